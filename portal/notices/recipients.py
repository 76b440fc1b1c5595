"""Who is told: those whose membership holds the owner of the fact, nearest first.

Telecoms managers, the managers of accounts on the way up, and the employee whose own line it was then. Observers
and the operator's staff can read the history, and are not called. With an escalation on the way up, the nearest are
told first and each further step only when nobody has read it by then. What is personal is told to who proved to be
that person, and to nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from balances.models import Account
from balances.models.accounts import PersonAssignment
from portal.contests import acts_for
from portal.models import Contest, Escalation, Membership, Notice, NoticeKind, PersonClaim, Role
from portal.notices.turns import once

_MOST_LEVELS = 64  # a chain that does not end is damaged; `check_tree` finds it


@dataclass(frozen=True, slots=True)
class Recipient:
    """A user, why they are told (`role:place`), after how many steps, and when."""

    user_id: int
    why: str
    step: int
    at: datetime


@once
def chain_of(account_id: int | None) -> tuple[int, ...]:
    """An account and those above it, by parent pointers, nearest first."""
    chain: list[int] = []
    while account_id is not None and account_id not in chain and len(chain) < _MOST_LEVELS:
        chain.append(account_id)
        account_id = Account.objects.filter(id=account_id).values_list("parent_id", flat=True).first()
    return tuple(chain)


def recipients_of(notice: Notice, at: datetime) -> list[Recipient]:
    """Everybody who is to be told, each once, by the nearest of their roles."""
    if notice.person_id is not None:
        return [Recipient(user_id, "person:", 0, at) for user_id in _proven(notice.person_id)]
    line = notice.line
    chain = chain_of(notice.account_id or (line.account_id if line else None))
    found = list(_held(notice.enterprise_id, Q(role=Role.OWNER) | Q(role=Role.MANAGER, account_id__in=chain), at))
    if line is not None:
        users = _whose(line.id, notice.happened_at)
        found += _held(notice.enterprise_id, Q(role=Role.EMPLOYEE, person_id__in=users), at)
    nearest: dict[int, tuple[int, str]] = {}
    for membership in found:
        distance, why = _distance(membership, chain)
        if membership.user_id not in nearest or distance < nearest[membership.user_id][0]:
            nearest[membership.user_id] = distance, why
    pause = _pause(chain)
    if notice.kind == NoticeKind.TRADE:
        nearest = _answering(nearest, notice.facts, is_escalated=pause is not None)
    if notice.kind == NoticeKind.CONTEST:
        nearest = _deciding(nearest, notice.facts, is_escalated=pause is not None)
    steps = _steps({distance for distance, _ in nearest.values()}) if pause else {}
    return [
        Recipient(user_id, why, steps.get(distance, 0), at + steps.get(distance, 0) * (pause or timedelta(0)))
        for user_id, (distance, why) in sorted(nearest.items())
    ]


@once
def _whose(line_id: int, at: datetime) -> tuple[int, ...]:
    """The person whose line it was then, if it was anybody's."""
    then = PersonAssignment.objects.filter(line=line_id, during__contains=at)
    return tuple(then.values_list("person_id", flat=True))


@once
def _held(enterprise_id: int, roles: Q, at: datetime) -> list[Membership]:
    """Memberships with these roles that hold, of people who may sign in."""
    valid = Q(valid_until__isnull=True) | Q(valid_until__gt=at)
    held = Membership.objects.filter(valid, roles, enterprise_id=enterprise_id, user__is_active=True)
    return list(held.select_related("account", "enterprise").order_by("id"))


def _answering(nearest: dict[int, tuple[int, str]], facts: dict, *, is_escalated: bool) -> dict[int, tuple[int, str]]:
    """Of a trade: the nearest who manage the account, those above them only by escalation; not who did it."""
    least = min((distance for distance, _ in nearest.values()), default=0)
    actor = "" if facts["said"] == "approval" else facts["by"].partition(" ")[0]
    return {
        user_id: found
        for user_id, found in nearest.items()
        if (is_escalated or found[0] == least) and f"user:{user_id}" != actor
    }


def _deciding(nearest: dict[int, tuple[int, str]], facts: dict, *, is_escalated: bool) -> dict[int, tuple[int, str]]:
    """Of a contest: the nearest who can decide it, those above them only by escalation; not who has filed it."""
    filed_by = Contest.objects.values_list("filed_by", flat=True).get(id=facts["contest"])
    filer = acts_for(filed_by)
    others = {user_id: found for user_id, found in nearest.items() if f"user:{user_id}" != filer}
    least = min((distance for distance, _ in others.values()), default=0)
    return {user_id: found for user_id, found in others.items() if is_escalated or found[0] == least}


@once
def _proven(person_id: int) -> tuple[int, ...]:
    """Who proved to be a person, and may sign in."""
    claims = PersonClaim.objects.filter(person=person_id, confirmed_at__isnull=False, ended_at__isnull=True)
    return tuple(
        user_id for user_id in claims.filter(user__is_active=True).values_list("user_id", flat=True) if user_id
    )


def _distance(membership: Membership, chain: tuple[int, ...]) -> tuple[int, str]:
    if membership.role == Role.EMPLOYEE:
        return -1, "employee:"
    if membership.role == Role.OWNER or membership.account is None:
        return len(chain), f"owner:{membership.enterprise}"[:200]
    return chain.index(membership.account.id), f"manager:{membership.account.name}"[:200]


def _steps(distances: set[int]) -> dict[int, int]:
    """Steps by distance: the employee and the nearest manager begin together."""
    managers = sorted(distance for distance in distances if distance >= 0)
    return {-1: 0} | {distance: step for step, distance in enumerate(managers)}


@once
def _pause(chain: tuple[int, ...]) -> timedelta | None:
    rules = dict(Escalation.objects.filter(account_id__in=chain).values_list("account_id", "after_minutes"))
    minutes = next((rules[account_id] for account_id in chain if account_id in rules), None)
    return timedelta(minutes=minutes) if minutes else None
