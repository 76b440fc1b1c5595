"""What all forms share: fields for civil times and quantities, and refusals of the domain shown at their field.

Owns: no rules. What may be is said by the write functions; a form only reads, hands over, and shows what they refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest

from balances.errors import Refused
from portal.web import quantities

Made = TypeVar("Made")
LOCAL = "%Y-%m-%dT%H:%M"
LOCAL_SECONDS = f"{LOCAL}:%S"


class CivilTimeField(forms.DateTimeField):
    """A time as clocks of the form's zone show it; becomes an aware instant. `to_the_second`: as usage is told."""

    def __init__(self, *, to_the_second: bool = False, **options):
        self.format = LOCAL_SECONDS if to_the_second else LOCAL
        attributes = {"type": "datetime-local", "step": 1 if to_the_second else 60}
        options.setdefault("widget", forms.DateTimeInput(attrs=attributes, format=self.format))
        options.setdefault("input_formats", [LOCAL, LOCAL_SECONDS, "%Y-%m-%d %H:%M"])
        super().__init__(**options)
        self.zone = ZoneInfo("UTC")

    def to_python(self, value: Any) -> datetime | None:
        """The instant; times that clocks showed twice or never are refused."""
        for pattern in self.input_formats:
            try:
                read = datetime.strptime(str(value).strip(), pattern)  # noqa: DTZ007 - the zone follows
            except ValueError:
                continue
            earlier, later = read.replace(tzinfo=self.zone), read.replace(tzinfo=self.zone, fold=1)
            if earlier.utcoffset() != later.utcoffset():
                raise forms.ValidationError("Clocks showed this time twice, or never: choose another one.")
            return earlier
        if value in self.empty_values:
            return None
        raise forms.ValidationError("Write the time like 2026-03-01 00:00.")

    def prepare_value(self, value: Any) -> Any:
        """The instant as the zone's clocks show it."""
        return value.astimezone(self.zone).strftime(self.format) if isinstance(value, datetime) else value


class PortalForm(forms.Form):
    """A form with a name of its own on the page (`action`), read by `sent`."""

    action = ""
    #: Whether fields that may be empty say so; not where empty is as usual as full.
    marks_optional = True

    def __init__(self, *arguments, zone: ZoneInfo | None = None, **options):
        options.setdefault("prefix", self.action or None)
        super().__init__(*arguments, **options)
        for field in self.fields.values():
            if isinstance(field, CivilTimeField) and zone is not None:
                field.zone = zone
                field.help_text = field.help_text or f"Clocks of {zone.key}."

    def quantity(self, name: str, service: int, *, default: int | None = None) -> int | None:
        """The units that were typed into a field; raises Refused at that field."""
        text = self.cleaned_data.get(name) or ""
        if not text.strip():
            return default
        try:
            return quantities.read(text, service)
        except quantities.NotAQuantity as refusal:
            raise Refused(refusal.message, field=name) from None


def sent(request: HttpRequest, form_class: type[PortalForm], **options) -> PortalForm:
    """The form, bound where this request has sent it."""
    is_sent = request.method == "POST" and request.POST.get("action", "") == form_class.action
    return form_class(request.POST if is_sent else None, request.FILES if is_sent else None, **options)


def attempt(form: PortalForm, write: Callable[[dict[str, Any]], Made]) -> Made | None:
    """Call `write` with the values of a bound, readable form; None, with errors shown, where it is refused."""
    if not form.is_bound or not form.is_valid():
        return None
    try:
        return write(form.cleaned_data)
    except Refused as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
        return None


def acting(request: HttpRequest) -> dict[str, Any]:
    """`actor` and `at` of a write that this request asks for."""
    return {"actor": f"user:{request.user.pk} {request.user}", "at": datetime.now(UTC)}
