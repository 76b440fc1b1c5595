"""What can stop a line although it is not the line's own: limits above it, what restricts it now, and rules.

For who uses the line, and so past the reader's reach: what a limit on an account or a tag says, and how it stands as
far as that tells nothing about others. What it counts is everybody's use. Reads only. docs/byod.md
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Q

from balances.models import Account, Line, LineTag
from balances.models.accounts import LineStatus
from balances.selectors import tree
from policies import selectors
from policies.decision import Action
from policies.models import Limit, PolicyState, PolicyVersion, Restriction, RestrictionState
from policies.rules import Rule, rules_from_json
from policies.selectors import LimitState

#: Of a limit that fewer lines share, being near its end would tell what the few others use.
LINES_LEAST = 5
NEAR_PERCENT = 80
MOST = 50
#: What lets usage run as it is.
RUNS_ON = frozenset({Action.NOTIFY, Action.OVERAGE})


class Room(StrEnum):
    """How a shared limit stands, in the only words that are told of it."""

    ROOM = "room"
    NEAR = "near"
    USED_UP = "used_up"


@dataclass(frozen=True, slots=True)
class Shared:
    """A limit that others count towards, too. `exempt_until`: until then it does not stop the line."""

    limit: Limit
    room: Room
    bound: int | None
    ends_at: datetime | None
    exempt_until: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule of a published policy that can stop usage, or lets it run beyond others."""

    rule: Rule
    account: Account


def shared_limits(line: Line, at: datetime) -> list[Shared]:
    """Limits of the line's tags and of the accounts above it that slow down, stop, or hand over; the nearest first."""
    chain, tags = _chain(line), _tags(line)
    rows = Limit.objects.filter(
        Q(account__in=chain) | Q(tag__in=tags, account__isnull=True, line__isnull=True),
        Q(ends_at__isnull=True) | Q(ends_at__gt=at),
        enterprise_id=line.enterprise_id, retired_at__isnull=True,
    ).exclude(action__in=RUNS_ON)  # fmt: skip
    nearest = rows.select_related("account", "zone", "first").order_by("-account__level", "-id")[:MOST]
    chain_ids = {account.id for account in chain}
    return [
        Shared(state.limit, _room(state), state.bound, state.ends_at, _exempt_until(state, line, chain_ids, at))
        for state in selectors.states(list(nearest), at)
    ]


def restrictions(line: Line, at: datetime) -> list[Restriction]:
    """What restricts a line now, whoever's limit it was."""
    rows = Restriction.objects.filter(line=line, state=RestrictionState.ACTIVE)
    rows = rows.filter(Q(until__isnull=True) | Q(until__gt=at))
    return list(rows.select_related("limit__zone", "limit__account").order_by("-starts_at")[:MOST])


def rules(line: Line, at: datetime) -> list[Standing]:
    """Rules of policies that hold for a line, as far as they stop anything or except it; the nearest first."""
    versions = PolicyVersion.objects.filter(
        Q(ends_at__isnull=True) | Q(ends_at__gt=at),
        policy__account__in=_chain(line), effective_at__lte=at,
    ).exclude(state=PolicyState.DRAFT)  # fmt: skip
    found = [
        Standing(rule, version.policy.account)
        for version in versions.select_related("policy__account").order_by("-policy__account__level", "policy__name")
        for rule in rules_from_json(version.rules)
        if rule.is_exception or rule.action not in RUNS_ON
    ]
    return found[:MOST]


def _chain(line: Line) -> list[Account]:
    return list(Account.objects.get(id=line.account_id).get_ancestors(include_self=True))


def _tags(line: Line) -> list[str]:
    return list(LineTag.objects.filter(line=line, removed_at__isnull=True).values_list("tag", flat=True))


def _room(state: LimitState) -> Room:
    if state.left == 0:
        return Room.USED_UP
    is_near = state.percent is not None and state.percent >= NEAR_PERCENT
    return Room.NEAR if is_near and _is_of_many(state.limit) else Room.ROOM


def _is_of_many(limit: Limit) -> bool:
    """Whether so many lines share it that its being near tells nothing about one of them."""
    lines = Line.objects.filter(enterprise_id=limit.enterprise_id).exclude(status=LineStatus.RETIRED)
    if limit.account is not None:
        lines = lines.filter(tree.below(limit.account, "account__"))
    else:
        bearing = LineTag.objects.filter(enterprise_id=limit.enterprise_id, tag=limit.tag, removed_at__isnull=True)
        lines = lines.filter(id__in=bearing.values("line_id"))
    return len(lines.order_by()[:LINES_LEAST]) == LINES_LEAST


def _exempt_until(state: LimitState, line: Line, chain_ids: set[int], at: datetime) -> datetime | None:
    """The exemptions of a state have not ended; those that have not begun are none yet."""
    begun = [one for one in state.exemptions if one.starts_at <= at]
    return max((one.until for one in begun if one.line_id == line.id or one.account_id in chain_ids), default=None)
