"""Profiles of subscribers, and what their fields and those of network messages mean: the only writer of LineProfile and
DeclaredField.

Owns: what a profile may hold, and what an operator, or an enterprise for itself, may say of a field. Rules of who pays
read both. A profile holds for charges after the charge sequence at which it was set, as tags do. Each function opens
its own transaction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from math import isfinite
from typing import Any

from django.db.models import QuerySet

from balances import audit, fields, locks
from balances.errors import Refused
from balances.models import ChargingState, DeclaredField, Enterprise, Line, LineProfile, Operator

#: Attributes of a profile, and its bytes as JSON.
ATTRIBUTES_MOST, PROFILE_BYTES = 40, 2_048
VALUE_LENGTH, NUMBER_MOST = 200, 2**53
#: Fields that an operator declares, and an enterprise beside them; values that one may be bound to.
DECLARED_MOST, OWN_MOST, CHOICES_MOST, LABEL_LENGTH, HINT_LENGTH = 200, 50, 100, 60, 60
NAME_LENGTH = 70
KINDS = ("text", "number", "flag", "name", "digits")

_KEY = re.compile(r"[A-Za-z0-9_.\-]{1,60}")
_NAME = re.compile(r"(attributes|profile)\.[A-Za-z0-9_.\-]{1,60}")


class ProfileRefused(Refused):
    """A profile that cannot be, or a line that is gone."""


class FieldRefused(Refused):
    """A field that cannot be declared so, or not be withdrawn."""


# --- profiles -------------------------------------------------------------------------------------------------------


def of(line: Line) -> dict[str, Any]:
    """What is known of a line's subscriber now."""
    now = LineProfile.objects.filter(line=line, removed_at__isnull=True).values_list("attributes", flat=True).first()
    return dict(now or {})


def checked(attributes: Any) -> dict[str, Any]:
    """Attributes of a profile: texts, whole and other numbers, yes or no. Raises ProfileRefused."""
    if not isinstance(attributes, Mapping):
        raise ProfileRefused("A profile is an object of names and values.", field="attributes")
    if len(attributes) > ATTRIBUTES_MOST:
        message = f"{len(attributes)} attributes are given; at most {ATTRIBUTES_MOST} fit into a profile."
        raise ProfileRefused(message, field="attributes")
    for key, value in attributes.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            message = f"“{str(key)[:60]}” is no name: use letters, digits, dot, dash and underscore, 60 at most."
            raise ProfileRefused(message, field="attributes")
        if not _is_scalar(value):
            message = f"{key} is no text of up to {VALUE_LENGTH} characters on one line, no number, and not yes or no."
            raise ProfileRefused(message, field="attributes")
    size = len(json.dumps(attributes, ensure_ascii=False, separators=(",", ":")).encode())
    if size > PROFILE_BYTES:
        raise ProfileRefused(f"The profile has {size:,} bytes; at most {PROFILE_BYTES:,} fit.", field="attributes")
    return dict(attributes)


def set_profile(*, line: Line, attributes: Any, actor: str, at: datetime) -> dict[str, Any]:
    """Let a line have exactly this profile from the next charge on; returns it. Raises ProfileRefused, Busy."""
    wanted = checked(attributes)
    with locks.enterprise(line.enterprise_id):
        if not Line.objects.filter(id=line.id, enterprise_id=line.enterprise_id).exists():
            raise ProfileRefused("This line does not exist.", field="line")
        before = of(line)
        if _same(wanted, before):
            return before
        sequence = ChargingState.objects.get(enterprise_id=line.enterprise_id).charge_sequence
        LineProfile.objects.filter(line=line, removed_at__isnull=True).update(removed_at=at, removed_sequence=sequence)
        if wanted:
            LineProfile.objects.create(
                enterprise_id=line.enterprise_id, line=line, attributes=wanted, added_sequence=sequence, added_at=at
            )
        audit.record(
            enterprise_id=line.enterprise_id,
            account_id=line.account_id,
            actor=actor,
            action="line.profiled",
            subject=str(line),
            detail={"before": before, "after": wanted},
            at=at,
        )
        return wanted


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two profiles say the same; to Python, 1 and true do."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= VALUE_LENGTH and (not value or value.isprintable())
    if isinstance(value, bool):
        return True
    return isinstance(value, int | float) and isfinite(value) and abs(value) <= NUMBER_MOST


# --- declared fields ------------------------------------------------------------------------------------------------


def lock_concerned(operator_id: int, enterprise_id: int | None) -> AbstractContextManager[None]:
    """The locks of all whom a field concerns: one enterprise, or all of an operator."""
    return locks.enterprises_of(operator_id) if enterprise_id is None else locks.enterprise(enterprise_id)


def declare_field(
    *,
    operator: Operator,
    enterprise: Enterprise | None = None,
    name: str,
    kind: str,
    label: str,
    hint: str = "",
    choices: Iterable[str] = (),
    checked: Callable[[], None],
    actor: str,
    at: datetime,
) -> DeclaredField:
    """Say what `attributes.X` or `profile.X` means in all enterprises of an operator, or in one, or say it anew.

    `checked` is called once it is written, in its transaction, and refuses where a stored rule would read otherwise.
    Raises FieldRefused, Unreadable, Busy.
    """
    if not _NAME.fullmatch(name):
        raise FieldRefused("A field is named attributes.NAME or profile.NAME.", field="name")
    if len(name) > NAME_LENGTH:
        raise FieldRefused(f"The name of a field has at most {NAME_LENGTH} characters.", field="name")
    if kind not in KINDS:
        raise FieldRefused(f"“{kind}” is no kind; there are {', '.join(KINDS)}.", field="kind")
    values = {
        "kind": kind,
        "label": _printable(label, "label", "The label", LABEL_LENGTH),
        "hint": _printable(hint, "hint", "The hint", HINT_LENGTH, required=False),
        "choices": _choices(choices, kind),
        "declared_at": at,
        "declared_by": actor,
    }
    with lock_concerned(operator.id, enterprise.id if enterprise else None):
        known = DeclaredField.objects.filter(operator=operator)
        _alone(known, enterprise, name)
        others = known.filter(enterprise=enterprise).exclude(name=name)
        most, who = (OWN_MOST, "An enterprise") if enterprise else (DECLARED_MOST, "An operator")
        if others.count() >= most:
            raise FieldRefused(f"{who} declares at most {most} fields: withdraw one first.")
        declared, _ = DeclaredField.objects.update_or_create(
            operator=operator, enterprise=enterprise, name=name, defaults=values
        )
        checked()
        _record(declared, "field.declared", actor, at)
        return declared


def withdraw_field(*, field: DeclaredField, checked: Callable[[], None], actor: str, at: datetime) -> None:
    """Let a field be again what the message or the profile makes of it. `checked`: as for `declare_field`.

    Raises FieldRefused, Busy.
    """
    with lock_concerned(field.operator_id, field.enterprise_id):
        found = DeclaredField.objects.select_related("operator").filter(id=field.id).first()
        if found is None:
            raise FieldRefused("This field is not declared.", field="name")
        _record(found, "field.withdrawn", actor, at)
        found.delete()
        checked()


def _alone(known: QuerySet[DeclaredField], enterprise: Enterprise | None, name: str) -> None:
    """Refuse a name that the other side has declared, whatever the case: rules would not say whose they mean."""
    if enterprise is not None and (taken := known.filter(enterprise=None, name__iexact=name).first()):
        message = f"Your operator has declared {taken.name}, as “{taken.label}”: use it, or choose another name."
        raise FieldRefused(message, field="name")
    if enterprise is None and known.filter(enterprise__isnull=False, name__iexact=name).exists():
        message = f"An enterprise has declared {name} for itself: choose another name."
        raise FieldRefused(message, field="name")


def _printable(value: str, field: str, label: str, most: int, *, required: bool = True) -> str:
    text = fields.text(value, field=field, label=label, most=most, required=required)
    if not text.isprintable():
        raise FieldRefused(f"{label} holds a character that cannot be printed.", field=field)
    return text


def _choices(choices: Iterable[str], kind: str) -> list[str]:
    found = list(dict.fromkeys(choice.strip().lower() for choice in choices if choice.strip()))
    if found and kind not in ("text", "name"):
        raise FieldRefused("Only a text or a name has choices.", field="choices")
    if len(found) > CHOICES_MOST:
        raise FieldRefused(f"{len(found)} choices are given; at most {CHOICES_MOST} fit.", field="choices")
    for choice in found:
        if len(choice) > LABEL_LENGTH or not choice.isprintable():
            message = f"“{choice[:60]}” is no choice: write at most {LABEL_LENGTH} characters on one line."
            raise FieldRefused(message, field="choices")
    return found


def _record(declared: DeclaredField, action: str, actor: str, at: datetime) -> None:
    detail = {
        "operator": declared.operator.name, "kind": declared.kind, "label": declared.label, "hint": declared.hint,
        "choices": declared.choices,
    }  # fmt: skip
    audit.record(
        enterprise_id=declared.enterprise_id, actor=actor, action=action, subject=declared.name, detail=detail, at=at
    )
