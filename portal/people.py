"""Who a signed-in user is, as a person of an enterprise: proven by a claim, or named so by an employer.

Owns: the list of them. What is personal opens by the scope alone, so only to who is proven; a name that an employer
gave shows what the company pays. Never writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q
from django.utils import timezone

from balances.models import Person
from balances.scope import Scope
from portal.models import Membership, Role, User


@dataclass(frozen=True, slots=True)
class Oneself:
    """A person that the user is; `is_proven`: so that personal usage is theirs to see."""

    person: Person
    is_proven: bool


def oneself(user: User, scope: Scope) -> list[Oneself]:
    """The people that a user is, proven ones first; empty for whoever is nobody's employee."""
    proven = scope.person_ids()
    valid = Q(valid_until__isnull=True) | Q(valid_until__gt=timezone.now())
    named = Membership.objects.filter(valid, user=user, role=Role.EMPLOYEE).values_list("person_id", flat=True)
    people = Person.objects.filter(id__in={*proven, *filter(None, named)}, enterprise__in=scope.enterprise_ids())
    found = [Oneself(person, person.id in proven) for person in people.select_related("enterprise", "account")]
    return sorted(found, key=lambda one: (not one.is_proven, one.person.enterprise.name, one.person.id))


def is_somebody(scope: Scope) -> bool:
    """Whether the principal is a person of an enterprise: what employees and proven people hold is on no account."""
    return any(grant.account_ids == frozenset() for grant in scope.grants)
