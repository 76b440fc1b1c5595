"""Ready-made policies of an operator: what is built in, as the operator changed it, and its own. The only writer of
PolicyTemplate.

Owns: which templates an enterprise may begin with, and changing them. A change is for policies that are begun later:
what was drafted from a template is the enterprise's own from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import transaction

from balances import audit, fields
from balances.errors import Refused
from balances.models import Operator, Zone
from balances.units import SERVICES_BY_NAME
from policies.models import Measure, PolicyTemplate, Window
from policies.regulation import TEMPLATES, LimitTerms, Template
from policies.rules import NAME_LENGTH, check_zones, rules_from_json, rules_to_json

#: Templates that an operator keeps, and limits of one, at most.
TEMPLATES_MOST, LIMITS_MOST = 100, 10
KEY_LENGTH, SOURCE_LENGTH, NOTE_LENGTH = 40, 200, 600
PERCENTS_MOST, PERCENT_MOST = 10, 1000
_SLUG = "abcdefghijklmnopqrstuvwxyz0123456789-"
#: The address of the screen where one is made.
RESERVED = "new"


class TemplateRefused(Refused):
    """A template that cannot be."""


def of_operator(operator_id: int) -> dict[str, Template]:
    """All templates of an operator by key: those built in, in their order and as they were changed; then its own."""
    kept = {row.key: _read(row) for row in PolicyTemplate.objects.filter(operator_id=operator_id).order_by("name")}
    found = {key: kept.pop(key, template) for key, template in TEMPLATES.items()}
    blank = found.pop("empty")
    return found | kept | {"empty": blank}


def offered_to(enterprise_id: int) -> dict[str, Template]:
    """The templates that an enterprise may begin with, by key."""
    operator_id = Operator.objects.filter(enterprises=enterprise_id).values_list("id", flat=True)[0]
    return {key: template for key, template in of_operator(operator_id).items() if template.is_offered}


def save(
    *,
    operator: Operator,
    key: str,
    name: str,
    source: str = "",
    note: str = "",
    rules: Any,
    limits: Any = (),
    is_offered: bool = True,
    actor: str,
    at: datetime,
) -> Template:
    """Make a template, or change the one of that key, built in or not. What was drafted from it before stays as it is.

    Raises TemplateRefused, RuleFault, Unreadable.
    """
    _check_key(key)
    read = rules_from_json(rules)
    if not read:
        raise TemplateRefused("A template has at least one rule.", field="rules")
    check_zones(read, set(Zone.objects.filter(operator=operator).values_list("code", flat=True)))
    values = {
        "name": fields.text(name, field="name", label="The name", most=NAME_LENGTH),
        "source": fields.text(source, field="source", label="The source", most=SOURCE_LENGTH, required=False),
        "note": fields.text(note, field="note", label="The note", most=NOTE_LENGTH, required=False),
        "rules": rules_to_json(read),
        "limits": [asdict(terms) for terms in limits_from_json(limits)],
        "is_offered": is_offered,
        "changed_at": at,
        "changed_by": actor,
    }
    with transaction.atomic():
        others = PolicyTemplate.objects.filter(operator=operator).exclude(key=key)
        taken = [template.name for other, template in of_operator(operator.id).items() if other != key]
        if values["name"] in taken:
            raise TemplateRefused(f"There is a template “{values['name']}” already.", field="name")
        if others.count() >= TEMPLATES_MOST:
            raise TemplateRefused(f"An operator keeps at most {TEMPLATES_MOST} templates: remove one first.")
        row, _ = PolicyTemplate.objects.update_or_create(operator=operator, key=key, defaults=values)
        _record(operator, "policy_template.saved", row, actor, at)
    return _read(row)


def reset(*, operator: Operator, key: str, actor: str, at: datetime) -> Template | None:
    """Let a built-in template be again as it was; take one of the operator's own away (None).

    Raises TemplateRefused.
    """
    with transaction.atomic():
        row = PolicyTemplate.objects.select_for_update().filter(operator=operator, key=key).first()
        if row is None:
            raise TemplateRefused("There is no such template, or nobody changed it.", field="key")
        _record(operator, "policy_template.reset" if key in TEMPLATES else "policy_template.removed", row, actor, at)
        row.delete()
    return TEMPLATES.get(key)


def free_key(operator_id: int, name: str) -> str:
    """A key that no template of the operator has, like the name."""
    plain = "".join(sign if sign in _SLUG else "-" for sign in name.casefold())
    stem = "-".join(part for part in plain.split("-") if part)[: KEY_LENGTH - 4] or "policy"
    taken = {*of_operator(operator_id), RESERVED}
    return next(key for key in (stem, *(f"{stem}-{number}" for number in range(2, 1000))) if key not in taken)


def limits_from_json(data: Any) -> tuple[LimitTerms, ...]:
    """The limits that a template brings along, checked. Raises TemplateRefused, Unreadable."""
    if not isinstance(data, list | tuple):
        raise TemplateRefused("A list of limits is needed.", field="limits")
    if len(data) > LIMITS_MOST:
        raise TemplateRefused(f"At most {LIMITS_MOST} limits fit into a template.", field="limits")
    return tuple(_limit(number, entry) for number, entry in enumerate(data))


def _limit(number: int, entry: Any) -> LimitTerms:
    def refuse(message: str) -> TemplateRefused:
        return TemplateRefused(f"At limits[{number}]: {message}", field="limits")

    if not isinstance(entry, Mapping) or not all(isinstance(key, str) for key in entry):
        raise refuse("an object is needed.")
    if unknown := sorted(set(entry) - _LIMIT_KEYS):
        raise refuse(f"there is no “{unknown[0]}”; there are {', '.join(sorted(_LIMIT_KEYS))}.")
    service, measure, window = entry.get("service", ""), entry.get("measure", "money"), entry.get("window", "cycle")
    if service not in ("", *SERVICES_BY_NAME):
        raise refuse(f"“{service}” is no service; there are {', '.join(SERVICES_BY_NAME)}.")
    if measure not in Measure.values or window not in Window.values:
        wrong, known = ("measure", Measure.values) if measure not in Measure.values else ("window", Window.values)
        raise refuse(f"“{entry[wrong]}” is no {wrong}; there are {', '.join(known)}.")
    if measure == Measure.UNITS and not service:
        raise refuse("units are of one service; only money is counted across services.")
    name, is_abroad = entry.get("name", ""), entry.get("is_abroad", False)
    if not isinstance(name, str) or not isinstance(is_abroad, bool):
        raise refuse("name is a text, is_abroad is true or false.")
    percents = entry.get("percents", [80, 100])
    if not isinstance(percents, list | tuple) or not 1 <= len(percents) <= PERCENTS_MOST:
        raise refuse(f"percents are a list of 1 to {PERCENTS_MOST} numbers.")
    try:
        fields.whole_number(entry.get("amount"), 1, fields.UNITS_MOST, field="amount")
        for percent in percents:
            fields.whole_number(percent, 1, PERCENT_MOST, field="percents")
        name = fields.text(name, field="name", label="The name", most=NAME_LENGTH, required=False)
    except Refused as fault:
        raise refuse(f"{fault.field}: {fault.message}") from None
    return LimitTerms(name, entry["amount"], tuple(sorted(set(percents))), service, is_abroad, measure, window)


_LIMIT_KEYS = {"name", "amount", "percents", "service", "is_abroad", "measure", "window"}


def _check_key(key: str) -> None:
    is_plain = 1 <= len(key) <= KEY_LENGTH and all(sign in _SLUG for sign in key) and key.strip("-") == key
    if not is_plain or key == RESERVED:
        raise TemplateRefused(
            f"A key has 1 to {KEY_LENGTH} small letters, digits and hyphens, like eu-roaming, and is not “{RESERVED}”.",
            field="key",
        )


def _read(row: PolicyTemplate) -> Template:
    return Template(
        row.key, row.name, row.source, row.note, tuple(row.rules), limits_from_json(row.limits), row.is_offered,
        row.changed_at, row.changed_by,
    )  # fmt: skip


def _record(operator: Operator, action: str, row: PolicyTemplate, actor: str, at: datetime) -> None:
    detail = {
        "operator": operator.name, "key": row.key, "rules": row.rules, "limits": row.limits,
        "is_offered": row.is_offered,
    }  # fmt: skip
    audit.record(enterprise_id=None, actor=actor, action=action, subject=row.name, detail=detail, at=at)
