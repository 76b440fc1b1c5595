"""Limits as they stand: what was used of each in the period under way, what is left, and in which state it is.

Reads only, a fixed number of queries however many limits; screens and API show the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Coalesce

from balances.models import Account, ChargingState, Line, LineTag
from balances.pace import DayUsage, Estimate, estimate
from balances.scope import Scope
from balances.selectors import tree
from policies import limits, marks, windows
from policies.marks import Standing
from policies.models import Consent, Exemption, Limit, LimitUse, Restriction, RestrictionState, Window


@dataclass(slots=True)
class LimitState:
    """A limit in the period under way. `bound` None: without bound; `ends_at` None: a lifetime; `as_of`: the last
    charge of the enterprise."""

    limit: Limit
    period_start: datetime
    ends_at: datetime | None
    used: int
    refused: int
    bound: int | None
    restricted: int
    as_of: datetime | None
    consents: list[Consent] = field(default_factory=list)
    exemptions: list[Exemption] = field(default_factory=list)

    @property
    def percent(self) -> int | None:
        """Whole percent used; None without bound."""
        return marks.percent_used(self.used, self.bound)

    @property
    def standing(self) -> Standing:
        """The state in a word."""
        return marks.standing(self.used, self.bound, is_restricted=bool(self.restricted))

    @property
    def left(self) -> int | None:
        """What is left, never negative; None without bound."""
        return None if self.bound is None else max(self.bound - self.used, 0)

    def outlook(self, at: datetime) -> Estimate | None:
        """Whether it is reached before its period ends, at the pace of the period so far; None where nothing can be
        said: without a bound, of a lifetime, and of a window that slides."""
        if self.bound is None or self.left is None or self.ends_at is None:
            return None
        if self.limit.window == Window.SLIDING_24H or at <= self.period_start:
            return None
        so_far = [DayUsage(self.period_start, at, self.used)]
        return estimate(remaining_units=self.left, days=so_far, now=at, ends_at=self.ends_at)

    @property
    def next_number(self) -> int:
        """The number of the next consent in this period."""
        return max((given.number for given in self.consents), default=0) + 1


def standing(scope: Scope) -> QuerySet[Limit]:
    """The limits in reach that stand now."""
    rows = Limit.objects.within(scope).filter(retired_at__isnull=True)
    return rows.select_related("account", "line", "zone", "first").order_by("-id")


def of_account(scope: Scope, account: Account) -> QuerySet[Limit]:
    """Limits on an account, its lines, and at the top those on tags, too."""
    wanted = Q(account=account) | Q(line__account=account)
    if account.parent_id is None:
        wanted |= Q(account__isnull=True, line__isnull=True, enterprise_id=account.enterprise_id)
    return standing(scope).filter(wanted)


def below_account(scope: Scope, account: Account) -> QuerySet[Limit]:
    """Limits on the accounts below one, and on their lines."""
    wanted = tree.below(account, "account__") | tree.below(account, "line__account__")
    rows = standing(scope).filter(wanted)
    return rows.exclude(account=account).exclude(line__account=account)


def of_line(scope: Scope, line: Line) -> QuerySet[Limit]:
    """Limits in reach that usage of a line counts towards: its own, its tags', its accounts'."""
    above = Account.objects.get(id=line.account_id).get_ancestors(include_self=True)
    tags = LineTag.objects.filter(line=line, removed_at__isnull=True).values("tag")
    return standing(scope).filter(
        Q(line=line) | Q(account__in=above) | Q(tag__in=tags, enterprise_id=line.enterprise_id)
    )


def states(rows: Sequence[Limit], at: datetime) -> list[LimitState]:
    """How these limits of one enterprise or several stand at an instant."""
    clocks = {number: limits.clock_of(number, at) for number in {row.enterprise_id for row in rows}}
    progress = dict(ChargingState.objects.filter(enterprise_id__in=clocks).values_list("enterprise_id", "charged_at"))
    periods = {row.first_number: clocks[row.enterprise_id].period(row, at) for row in rows}
    uses = _uses(rows, periods)
    consents = consents_in(rows, periods)
    exemptions = defaultdict(list)
    valid = Exemption.objects.filter(limit_id__in=periods, ended_at__isnull=True, until__gt=at)
    for exemption in valid.select_related("account", "line").order_by("until"):
        exemptions[exemption.limit_id].append(exemption)
    restricted = dict(
        Restriction.objects.filter(Q(limit_id__in=periods) | Q(limit__first_id__in=periods))
        .filter(Q(until__isnull=True) | Q(until__gt=at), state=RestrictionState.ACTIVE)
        .annotate(first_limit=Coalesce("limit__first_id", "limit_id"))
        .values("first_limit")
        .annotate(lines=Count("line_id", distinct=True))
        .values_list("first_limit", "lines")
    )
    found = []
    for row in rows:
        number = row.first_number
        period, given = periods[number], consents[number]
        used, refused = uses.get(number, (0, 0))
        found.append(
            LimitState(
                row, period.starts_at, None if period.ends_at == windows.FOREVER else period.ends_at, used, refused,
                marks.total(row.amount, [one.amount for one in given if one.revoked_at is None]),
                restricted.get(number, 0), progress.get(row.enterprise_id), given, exemptions[number],
            )
        )  # fmt: skip
    return found


def _uses(rows: Sequence[Limit], periods: dict) -> dict[int, tuple[int, int]]:
    wanted = Q()
    for row in rows:
        start = periods[row.first_number].starts_at
        if row.window == Window.SLIDING_24H:
            since = start - windows.SLOT * (windows.SLOTS - 1)
            wanted |= Q(limit_id=row.first_number, period_start__gte=since, period_start__lte=start)
        else:
            wanted |= Q(limit_id=row.first_number, period_start=start)
    sums: dict[int, tuple[int, int]] = {}
    if wanted:
        for number, used, refused in LimitUse.objects.filter(wanted).values_list("limit_id", "used", "refused"):
            before = sums.get(number, (0, 0))
            sums[number] = before[0] + used, before[1] + refused
    return sums


def consents_in(rows: Sequence[Limit], periods: dict) -> dict[int, list[Consent]]:
    """The consents of these limits in these periods by the first of each, revoked ones too, in order."""
    found: dict[int, list[Consent]] = defaultdict(list)
    sliding = {row.first_number for row in rows if row.window == Window.SLIDING_24H}
    for consent in Consent.objects.filter(limit_id__in=periods).order_by("period_start", "number"):
        start = periods[consent.limit_id].starts_at
        reach = windows.SLOT * (windows.SLOTS - 1)
        if consent.period_start == start or (
            consent.limit_id in sliding and start - reach <= consent.period_start <= start
        ):
            found[consent.limit_id].append(consent)
    return found


def state_of(limit: Limit, at: datetime) -> LimitState:
    """How one limit stands."""
    return states([limit], at)[0]
