"""Fields that an operator declares for rules of who pays: said anew or withdrawn only where stored rules stay the same.

Owns: the guard that nothing that was published ever reads otherwise because of it. `balances.profiles` writes the rows,
`loading` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from balances import locks, profiles
from balances.errors import Refused
from balances.models import DeclaredField, Operator
from policies.conditions import Catalogue, Declared, Kind, tests_of
from policies.models import PolicyState, SteeringVersion
from policies.steering.loading import terms_of
from policies.steering.rules import SteeringFault, Terms, rules_to_json


class DeclaredInUse(Refused):
    """A field that rules ask for, so that it cannot be declared otherwise."""


def catalogue_of_operator(operator_id: int) -> Catalogue:
    """The fields that rules of an operator's enterprises may ask for."""
    rows = DeclaredField.objects.filter(operator_id=operator_id).order_by("id")
    return Catalogue(tuple(Declared(row.name, Kind(row.kind), row.label, row.hint, tuple(row.choices)) for row in rows))


def declare(
    *,
    operator: Operator,
    name: str,
    kind: str,
    label: str,
    hint: str = "",
    choices: Iterable[str] = (),
    actor: str,
    at: datetime,
) -> DeclaredField:
    """Say what a field means, or say it anew. Raises FieldRefused, DeclaredInUse, Unreadable, Busy."""
    with locks.enterprises_of(operator.id):
        return profiles.declare_field(
            operator=operator, name=name, kind=kind, label=label, hint=hint, choices=choices,
            checked=_unchanged(operator, name), actor=actor, at=at,
        )  # fmt: skip


def withdraw(*, field: DeclaredField, actor: str, at: datetime) -> None:
    """Declare a field no more. Raises FieldRefused, DeclaredInUse, Busy."""
    with locks.enterprises_of(field.operator_id):
        profiles.withdraw_field(field=field, checked=_unchanged(field.operator, field.name), actor=actor, at=at)


def _unchanged(operator: Operator, name: str) -> Callable[[], None]:
    """A check, to be called after a change: what was published means what it meant, and drafts can still be read."""
    before = catalogue_of_operator(operator.id)
    asking = SteeringVersion.objects.filter(enterprise__operator=operator).select_related("steering__account")
    using = [version for version in asking.iterator(chunk_size=200) if _asks_for(version.rules, name)]
    meant = {version.id: _meaning(terms_of(version, before)) for version in using}

    def check() -> None:
        after = catalogue_of_operator(operator.id)
        for version in using:
            try:
                means_same = _meaning(terms_of(version, after)) == meant[version.id]
            except SteeringFault:
                means_same = False
            else:
                means_same = means_same or version.state == PolicyState.DRAFT
            if not means_same:
                message = (
                    f"{version} asks for {name} as it is now: its kind stays, and so do choices that are asked for."
                )
                raise DeclaredInUse(message, field="name")

    return check


def _meaning(terms: Terms) -> tuple[Any, ...]:
    """Terms as they are compared: a text that is declared reads as one that is not."""
    kinds = [test.kind for rule in terms.rules for test in tests_of(rule.when)]
    return rules_to_json(terms.rules), ["" if kind == Kind.TEXT else kind for kind in kinds]


def _asks_for(data: Any, name: str) -> bool:
    if isinstance(data, Mapping):
        return data.get("field") == name or any(_asks_for(value, name) for value in data.values())
    return isinstance(data, list) and any(_asks_for(value, name) for value in data)
