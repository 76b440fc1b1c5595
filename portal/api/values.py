"""Fields, bodies and filters that the endpoints share: services by name, instants with offset, things in reach.

Owns: how values look in JSON and in addresses. Units and money are whole numbers, times RFC 3339 with an offset.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import django_filters
from django import forms
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from balances.fields import EXAMPLE_TIME, FIRST_YEAR, LAST_YEAR, UNITS_MOST
from balances.scope import Verb
from balances.units import SERVICE_NAMES, SERVICES_BY_NAME
from portal.api.authentication import scope_of_request

BIGINT_MOST = 2**63 - 1

_LOST_PLUS_SIGN = re.compile(r" (?=[0-9]{2}:?[0-9]{2}$)")


def with_plus_sign(text: str) -> str:
    """An instant whose offset lost its plus sign, as happens in addresses where nobody escapes it."""
    return _LOST_PLUS_SIGN.sub("+", text.strip())


class ServiceField(serializers.ChoiceField):
    """A service by its name: data, voice, messaging, video_conferencing."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=list(SERVICES_BY_NAME), **options)

    def to_internal_value(self, data: Any) -> int:
        return int(SERVICES_BY_NAME[super().to_internal_value(data)])

    def to_representation(self, value: Any) -> str:
        return SERVICE_NAMES[value]


class Instant(serializers.DateTimeField):
    """An instant with its offset: local time alone is ambiguous twice a year."""

    default_error_messages = {
        "no_offset": f"The time has no offset: write it like {EXAMPLE_TIME}.",
        "far": f"The time must lie in the years {FIRST_YEAR} to {LAST_YEAR}.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        return super().to_internal_value(with_plus_sign(value) if isinstance(value, str) else value)

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            self.fail("no_offset")
        if not FIRST_YEAR <= value.year <= LAST_YEAR:
            self.fail("far")
        return super().enforce_timezone(value)


class Units(serializers.IntegerField):
    """A quantity in the unit of its service; a whole number."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"min_value": 0, "max_value": UNITS_MOST, **options})

    def to_internal_value(self, data: Any) -> int:
        """No text, no fraction: a quantity is written as a whole number, or it is a mistake."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


@extend_schema_field(OpenApiTypes.INT)
class InReach(serializers.PrimaryKeyRelatedField):
    """Something named by its id, on which the caller may do `verb`; anything else does not exist for them."""

    def __init__(self, rows=None, *, verb: Verb = Verb.MANAGE, **options: Any) -> None:
        self.verb = verb
        super().__init__(queryset=rows, **options)

    def get_queryset(self):
        return super().get_queryset().within(scope_of_request(self.context["request"]), self.verb)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("incorrect_type", data_type=type(data).__name__)
        return super().to_internal_value(data)


class Body(serializers.Serializer):
    """What a caller may send; a field that is not known is a mistake, not a wish to be ignored."""

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        if unknown := {str(key) for key in data} - set(self.fields):
            known = ", ".join(self.fields) or "none"
            raise ValidationError({key: [f"There is no such field; known are: {known}."] for key in unknown}, "unknown")
        return values


class IdFilter(django_filters.Filter):
    """Rows that belong to one thing, named by its id."""

    field_class = forms.IntegerField

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, min_value=1, max_value=BIGINT_MOST, **options)


class ServiceFilter(django_filters.ChoiceFilter):
    """Rows of one service, by its name."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        choices = [(name, name) for name in SERVICES_BY_NAME]
        super().__init__(*arguments, choices=choices, **options)

    def filter(self, rows, value: Any):
        """Names become the stored numbers."""
        return super().filter(rows, SERVICES_BY_NAME[value] if value else value)


class InstantFormField(forms.Field):
    """An instant in an address."""

    def to_python(self, value: Any) -> datetime | None:
        if not value:
            return None
        try:
            instant = parse_datetime(with_plus_sign(str(value)))
        except ValueError:
            instant = None
        if instant is None or instant.tzinfo is None or not FIRST_YEAR <= instant.year <= LAST_YEAR:
            raise forms.ValidationError(f"Write the time like {EXAMPLE_TIME}.")
        return instant


@extend_schema_field(OpenApiTypes.DATETIME)
class InstantFilter(django_filters.Filter):
    """Rows at, from or until an instant."""

    field_class = InstantFormField
