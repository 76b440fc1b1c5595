"""The rules of an account as they stood at any moment: limits, caps on drawing above, and what policies said.

Reads only, a fixed number of queries. All of them are succeeded and never changed, so what is read is what charging
went by then; lines are those that the account has now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import F, Q

from balances.models import Account, DrawCap
from balances.scope import Scope
from policies import limits, marks, selectors
from policies.models import Exemption, Limit, PolicyState, PolicyVersion


@dataclass(slots=True)
class LimitThen:
    """A limit as it stood. `bound`: the amount with what was consented to by then; None: without bound."""

    limit: Limit
    bound: int | None
    exemptions: list[Exemption] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rules:
    """What held for an account at a moment: its own, its lines', and what stands above, as far as it is in reach."""

    at: datetime
    limits: list[LimitThen]
    caps: list[DrawCap]
    versions: list[PolicyVersion]


def rules_of(scope: Scope, account: Account, at: datetime, *, most: int = 500) -> Rules:
    """The rules of an account at a moment that has passed, of each kind at most so many."""
    chain = list(account.get_ancestors(include_self=True))
    owned = Q(account__in=chain) | Q(line__account=account)
    tagged = Q(account__isnull=True, line__isnull=True, enterprise_id=account.enterprise_id)
    rows = Limit.objects.within(scope).filter(owned | tagged, made_at__lte=at)
    rows = rows.filter(Q(retired_at__isnull=True) | Q(retired_at__gt=at))
    rows = rows.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at)).select_related("account", "line", "zone")
    caps = DrawCap.objects.within(scope).filter(owned, set_at__lte=at)
    caps = caps.filter(Q(retired_at__isnull=True) | Q(retired_at__gt=at)).select_related("account", "line__person")
    versions = PolicyVersion.objects.within(scope).exclude(state=PolicyState.DRAFT)
    versions = versions.filter(policy__account__in=chain, effective_at__lte=at)
    versions = versions.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at)).select_related("policy__account")
    nearest = F("account__lft").desc(nulls_first=True)
    return Rules(
        at,
        _as_then(list(rows.order_by(nearest, "-id")[:most]), at),
        list(caps.order_by(nearest, "service", "id")[:most]),
        list(versions.order_by("-policy__account__lft", "policy__name")[:most]),
    )


def _as_then(rows: Sequence[Limit], at: datetime) -> list[LimitThen]:
    clocks = {number: limits.clock_of(number, at) for number in {row.enterprise_id for row in rows}}
    periods = {row.first_number: clocks[row.enterprise_id].period(row, at) for row in rows}
    given = selectors.consents_in(rows, periods)
    found = {}
    for row in rows:
        held = [
            one.amount
            for one in given[row.first_number]
            if one.consented_at <= at and (one.revoked_at is None or one.revoked_at > at)
        ]
        found[row.first_number] = LimitThen(row, marks.total(row.amount, held))
    valid = Exemption.objects.filter(limit_id__in=found, starts_at__lte=at, until__gt=at)
    valid = valid.filter(Q(ended_at__isnull=True) | Q(ended_at__gt=at)).select_related("account", "line")
    for exemption in valid.order_by("until"):
        found[exemption.limit_id].exemptions.append(exemption)
    return list(found.values())
