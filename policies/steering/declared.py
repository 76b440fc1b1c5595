"""Fields that are declared for rules of who pays, by an operator or by an enterprise for itself: said anew or withdrawn
only where stored rules stay the same.

Owns: the guard that nothing that was published ever reads otherwise because of it, and who may see and change which.
`balances.profiles` writes the rows, `loading` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from balances import profiles
from balances.errors import Refused
from balances.models import DeclaredField, Enterprise, Operator
from balances.scope import Scope, Verb
from policies.conditions import Catalogue, Kind, tests_of
from policies.models import PolicyState, SteeringVersion
from policies.steering.loading import catalogue_of, terms_of
from policies.steering.rules import SteeringFault, Terms, rules_to_json


class DeclaredInUse(Refused):
    """A field that rules ask for, so that it cannot be declared otherwise."""


def within(rows: QuerySet[DeclaredField], scope: Scope, verb: Verb = Verb.VIEW) -> QuerySet[DeclaredField]:
    """The fields on which the holder of a scope may do `verb`.

    An operator's are its staff's to change, its customers read them; an enterprise's own are changed by whoever manages
    all of it, read by whoever has anything to do in it, and by nobody else's.
    """
    operators = Q(enterprise=None, operator_id__in=scope.operator_ids)
    if verb != Verb.VIEW:
        return rows.filter(operators | Q(enterprise_id__in=scope.whole_enterprise_ids(verb)))
    served = scope.enterprise_ids(verb)
    theirs = Q(enterprise=None, operator__in=Operator.objects.filter(enterprises__in=served))
    return rows.filter(operators | theirs | Q(enterprise_id__in=served))


def declare(
    *,
    operator: Operator | None = None,
    enterprise: Enterprise | None = None,
    name: str,
    kind: str,
    label: str,
    hint: str = "",
    choices: Iterable[str] = (),
    actor: str,
    at: datetime,
) -> DeclaredField:
    """Say what a field means in an enterprise, or in all of an operator, or say it anew.

    Raises FieldRefused, DeclaredInUse, Unreadable, Busy.
    """
    whose = enterprise.operator if enterprise is not None else operator
    if whose is None:
        raise ValueError("a field is declared by an operator or by an enterprise")
    with profiles.lock_concerned(whose.id, enterprise.id if enterprise else None):
        return profiles.declare_field(
            operator=whose, enterprise=enterprise, name=name, kind=kind, label=label, hint=hint, choices=choices,
            checked=_unchanged(whose.id, enterprise.id if enterprise else None, name), actor=actor, at=at,
        )  # fmt: skip


def withdraw(*, field: DeclaredField, actor: str, at: datetime) -> None:
    """Declare a field no more. Raises FieldRefused, DeclaredInUse, Busy."""
    with profiles.lock_concerned(field.operator_id, field.enterprise_id):
        checked = _unchanged(field.operator_id, field.enterprise_id, field.name)
        profiles.withdraw_field(field=field, checked=checked, actor=actor, at=at)


def _unchanged(operator_id: int, enterprise_id: int | None, name: str) -> Callable[[], None]:
    """A check, to be called after a change: what was published means what it meant, and drafts can still be read."""
    concerned = Q(enterprise__operator=operator_id) if enterprise_id is None else Q(enterprise=enterprise_id)
    asking = SteeringVersion.objects.filter(concerned).select_related("steering__account")
    using = [version for version in asking.iterator(chunk_size=200) if _asks_for(version.rules, name)]
    before = _catalogues(using)
    meant = {version.id: _meaning(terms_of(version, before[version.enterprise_id])) for version in using}

    def check() -> None:
        after = _catalogues(using)
        for version in using:
            try:
                means_same = _meaning(terms_of(version, after[version.enterprise_id])) == meant[version.id]
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


def _catalogues(versions: Iterable[SteeringVersion]) -> dict[int, Catalogue]:
    """What may be asked for in each enterprise of these."""
    return {one: catalogue_of(one) for one in {version.enterprise_id for version in versions}}


def _meaning(terms: Terms) -> tuple[Any, ...]:
    """Terms as they are compared: a text that is declared reads as one that is not."""
    kinds = [test.kind for rule in terms.rules for test in tests_of(rule.when)]
    return rules_to_json(terms.rules), ["" if kind == Kind.TEXT else kind for kind in kinds]


def _asks_for(data: Any, name: str) -> bool:
    if isinstance(data, Mapping):
        return data.get("field") == name or any(_asks_for(value, name) for value in data.values())
    return isinstance(data, list) and any(_asks_for(value, name) for value in data)
