"""Column profiles by name: the built-in one, and those that an operator keeps. The only writer of ColumnProfile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from balances import audit, fields
from balances.errors import Refused
from balances.models import Operator
from portal.charging.columns import STANDARD, Columns, read_profile
from portal.models import ColumnProfile

#: The name of the built-in profile.
STANDARD_NAME = "standard"
#: Profiles of one operator at most.
PROFILES_MOST = 100


class UnknownProfile(Refused):
    """No profile of that name."""


class NameTaken(Refused):
    """The name is another profile's."""


def names(operator_id: int) -> list[str]:
    """The names that can be chosen, the built-in one first."""
    own = ColumnProfile.objects.filter(operator_id=operator_id).order_by("name")
    return [STANDARD_NAME, *own.values_list("name", flat=True)]


def named(operator_id: int, name: str) -> Columns:
    """The profile of that name. Raises UnknownProfile."""
    if name == STANDARD_NAME:
        return STANDARD
    profile = ColumnProfile.objects.filter(operator_id=operator_id, name=name).first()
    if profile is None:
        raise UnknownProfile(
            f"There is no column profile “{name}”. Known are: {', '.join(names(operator_id))}.", field="profile"
        )
    return read_profile(profile.mapping)


def save(
    *,
    operator: Operator,
    profile: ColumnProfile | None = None,
    name: str,
    mapping: Mapping[str, Any],
    actor: str,
    at: datetime,
) -> ColumnProfile:
    """Make a profile, or change `profile`. Files read before stay as they were read.

    Raises NameTaken, ProfileRefused, Unreadable.
    """
    name = fields.text(name, field="name", label="The name", most=60)
    if name.casefold() == STANDARD_NAME:
        raise NameTaken(f"“{STANDARD_NAME}” is the built-in profile. Choose another name.", field="name")
    read_profile(mapping)
    mine = ColumnProfile.objects.filter(operator=operator)
    if profile is None and mine.count() >= PROFILES_MOST:
        raise NameTaken(f"An operator keeps at most {PROFILES_MOST} profiles. Remove one first.", field="name")
    try:
        with transaction.atomic():
            if profile is None:
                profile = ColumnProfile.objects.create(operator=operator, name=name, mapping=dict(mapping))
            else:
                profile = mine.select_for_update().get(id=profile.id)
                profile.name, profile.mapping = name, dict(mapping)
                profile.save(update_fields=["name", "mapping"])
            _record(operator, "column_profile.saved", name, actor, at)
    except IntegrityError:
        raise NameTaken(f"There is a profile “{name}” already.", field="name") from None
    return profile


def remove(*, profile: ColumnProfile, actor: str, at: datetime) -> None:
    """Take a profile away. Uploads that still need it fail with a sentence."""
    with transaction.atomic():
        if ColumnProfile.objects.filter(id=profile.id).delete()[0]:
            _record(profile.operator, "column_profile.removed", profile.name, actor, at)


def _record(operator: Operator, action: str, subject: str, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=None, actor=actor, action=action, subject=subject, detail={"operator": operator.name}, at=at
    )
