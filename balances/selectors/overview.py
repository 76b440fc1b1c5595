"""An account at a glance: what is left of each service, how it goes, and how long it lasts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from django.db.models import Min, Q, Sum

from balances.models import Account, Bucket, Counter
from balances.models.accounts import DrawAbove
from balances.models.buckets import BucketKind, ReleaseRule
from balances.models.counters import Grain, OwnerKind
from balances.pace import DayUsage, Estimate, estimate
from balances.periods import day_of
from balances.scope import Scope
from balances.selectors import tree
from balances.selectors.terms import Terms
from balances.units import SERVICE_NAMES, Service

#: The pace is taken from these days, also where they belong to the cycle before.
PACE_DAYS = timedelta(days=14)
WATCH_PERCENT, NEAR_PERCENT = 75, 90


class Fill(StrEnum):
    """How far a quantity has been used, as a word."""

    NONE = "none"  # nothing is held here
    OK = "ok"
    WATCH = "watch"
    NEAR = "near"
    USED_UP = "used_up"
    OVER = "over"


def fill_of(held_units: int, remaining_units: int, overage_units: int = 0) -> Fill:
    """The state of what is held; exactly everything used is "used up", only usage beyond it "over" (SCENARIOS 27)."""
    if held_units <= 0:
        return Fill.OVER if overage_units else Fill.NONE
    if remaining_units <= 0:
        return Fill.OVER if overage_units else Fill.USED_UP
    percent = used_percent(held_units, remaining_units)
    if percent >= NEAR_PERCENT:
        return Fill.NEAR
    return Fill.WATCH if percent >= WATCH_PERCENT else Fill.OK


def used_percent(held_units: int, remaining_units: int) -> int:
    """Whole percent that is gone; rounded down, so that 100 % means all of it; of nothing, 0 %."""
    if held_units <= 0:
        return 0
    return (held_units - remaining_units) * 100 // held_units


@dataclass(frozen=True, slots=True)
class Pool:
    """Buckets of one allowance, and of one owner where they lie above the account, added up."""

    name: str
    service: int
    owner: Account | None  # set where it lies above the account: drawn on, not held
    remaining_units: int
    reserved_units: int
    used_units: int

    @property
    def held_units(self) -> int:
        """What there was to use: left, set aside and used."""
        return self.remaining_units + self.reserved_units + self.used_units

    @property
    def percent(self) -> int:
        """Whole percent used or set aside."""
        return used_percent(self.held_units, self.remaining_units)

    @property
    def fill(self) -> Fill:
        """The state of this pool alone."""
        return fill_of(self.held_units, self.remaining_units)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account and everything below it used in a cycle."""

    used_units: int = 0
    overage_units: int = 0
    amount_micros: int = 0
    records: int = 0
    roaming_units: int = 0
    roaming_micros: int = 0


@dataclass(frozen=True, slots=True)
class ServiceOverview:
    """One service of one account in the cycle under way.

    `pools` is what the account and those below it hold; where they hold nothing, what they draw on above (`is_shared`).
    `draws_on`: beyond these pools there are others above that it may draw on, in the reader's reach or not.
    `days` covers the cycle up to now: units drawn from allowances a day, of the account, or of the shared pools' owner.
    """

    service: int
    pools: list[Pool]
    is_shared: bool
    draws_on: bool
    usage: Usage
    days: list[DayUsage]
    estimate: Estimate

    @property
    def name(self) -> str:
        """The service as files and addresses name it."""
        return SERVICE_NAMES[self.service]

    @property
    def held_units(self) -> int:
        return sum(pool.held_units for pool in self.pools)

    @property
    def remaining_units(self) -> int:
        return sum(pool.remaining_units for pool in self.pools)

    @property
    def reserved_units(self) -> int:
        return sum(pool.reserved_units for pool in self.pools)

    @property
    def percent(self) -> int:
        return used_percent(self.held_units, self.remaining_units)

    @property
    def fill(self) -> Fill:
        """Its state; what draws on others above is not "over", whatever some zone cost beside it."""
        overage_units = 0 if self.draws_on else self.usage.overage_units
        return fill_of(self.held_units, self.remaining_units, overage_units)

    def left_by_day(self) -> list[int]:
        """What was left at the start of each of `days`, and now: counted back from now, as far as was ever held."""
        left = [self.remaining_units + self.reserved_units]
        for day in reversed(self.days):
            left.append(min(left[-1] + day.units, self.held_units))
        return left[::-1]


def services_of(scope: Scope, account: Account, terms: Terms, now: datetime) -> list[ServiceOverview]:
    """Every service that the account holds, may draw on, or has used in this cycle; five queries."""
    if terms.cycle is None:
        return []
    chain, draws_unseen = _drawing_chain(scope, account)
    held = _held_pools(scope, account, terms, now)
    above = _pools_above(scope, chain, terms, now)
    usage = usage_by_service(scope, account, terms)
    pool_owners = {service: pools[-1].owner.id for service, pools in above.items() if service not in held}
    days = daily_usage(scope, {account.id, *pool_owners.values()}, account.enterprise_id, terms, now)
    overviews = []
    for service in Service:
        if service not in held and service not in above and service not in usage:
            continue
        pools = held.get(service) or above.get(service, [])
        own_days = days[pool_owners.get(service, account.id), int(service)]
        overviews.append(
            ServiceOverview(
                service=int(service),
                pools=pools,
                is_shared=service not in held and bool(pools),
                draws_on=draws_unseen
                or (service in held and any(pool.remaining_units for pool in above.get(service, []))),
                usage=usage.get(service, Usage()),
                days=[day for day in own_days if day.starts_at >= terms.cycle.starts_at],
                estimate=estimate(
                    remaining_units=sum(pool.remaining_units for pool in pools),
                    days=own_days,
                    now=now,
                    ends_at=terms.cycle.ends_at,
                ),
            )
        )
    return overviews


def _drawing_chain(scope: Scope, account: Account) -> tuple[list[Account], bool]:
    """The accounts above that may be drawn on, nearest first, as far as they are in reach; whether there are more."""
    visible = tree.ancestors(scope, account)[::-1]
    chain: list[Account] = []
    for here, above in pairwise([account, *visible]):
        if here.draw_above == DrawAbove.NEVER:
            return chain, False
        chain.append(above)
    last = chain[-1] if chain else account
    return chain, last.draw_above == DrawAbove.ALWAYS and last.parent_id is not None


#: What was set aside is there, but not to be used, unless it opens when all else is used up.
CLOSED_SLICE = Q(kind=BucketKind.CONTINGENCY) & ~Q(release=ReleaseRule.ON_EXHAUSTION)
_SUMS = {
    "remaining": Sum("remaining_units", filter=~CLOSED_SLICE, default=0),
    "reserved": Sum("reserved_units") + Sum("remaining_units", filter=CLOSED_SLICE, default=0),
    "used": Sum("used_units"),
    "first": Min("priority"),
}


def _current_buckets(scope: Scope, enterprise_id: int, terms: Terms, now: datetime):
    return Bucket.objects.within(scope).filter(
        enterprise_id=enterprise_id,
        cycle_start=terms.cycle.starts_at,
        valid_from__lte=now,
        valid_until__gt=now,
    )


def _held_pools(scope: Scope, account: Account, terms: Terms, now: datetime) -> dict[int, list[Pool]]:
    """What the subtree holds, by service and allowance: what was passed on inside it is counted where it is now."""
    buckets = _current_buckets(scope, account.enterprise_id, terms, now)
    if account.parent_id is not None:
        buckets = buckets.filter(tree.below(account, "account__") | tree.below(account, "line__account__"))
    pools: dict[int, list[Pool]] = defaultdict(list)
    rows = buckets.values("service", "allowance_id", "allowance__name").annotate(**_SUMS)
    for row in sorted(rows, key=lambda row: (row["first"], row["allowance_id"] or 0)):
        name = row["allowance__name"] or "Received in exchange"
        pools[row["service"]].append(Pool(name, row["service"], None, row["remaining"], row["reserved"], row["used"]))
    return pools


def _pools_above(scope: Scope, chain: Sequence[Account], terms: Terms, now: datetime) -> dict[int, list[Pool]]:
    """What the accounts above hold themselves, by service; nearest first."""
    if not chain:
        return {}
    owners = {owner.id: (place, owner) for place, owner in enumerate(chain)}
    buckets = _current_buckets(scope, chain[0].enterprise_id, terms, now).filter(account_id__in=owners)
    rows = buckets.values("service", "account_id", "allowance_id", "allowance__name").annotate(**_SUMS)
    pools: dict[int, list[Pool]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (owners[row["account_id"]][0], row["first"], row["allowance_id"] or 0)):
        owner = owners[row["account_id"]][1]
        name = row["allowance__name"] or "Received in exchange"
        pools[row["service"]].append(Pool(name, row["service"], owner, row["remaining"], row["reserved"], row["used"]))
    return pools


def cycle_counters(scope: Scope, enterprise_id: int, kind: OwnerKind, terms: Terms):
    """Counters of the cycle under way for owners of one kind."""
    return Counter.objects.within(scope).filter(
        enterprise_id=enterprise_id,
        owner_kind=kind,
        grain=Grain.CYCLE,
        period_start=terms.cycle.starts_at if terms.cycle else None,
    )


def usage_by_service(scope: Scope, account: Account, terms: Terms) -> dict[int, Usage]:
    """What an account used in the cycle, by service."""
    counters = cycle_counters(scope, account.enterprise_id, OwnerKind.ACCOUNT, terms).filter(owner_id=account.id)
    return summed_by_service(counters)


def summed_by_service(counters) -> dict[int, Usage]:
    """Counters added up over zones."""
    abroad = Q(zone__is_home=False)
    rows = counters.values("service").annotate(
        used=Sum("used_units"),
        overage=Sum("overage_units"),
        amount=Sum("amount_micros"),
        count=Sum("records"),
        roaming=Sum("used_units", filter=abroad, default=0),
        roaming_amount=Sum("amount_micros", filter=abroad, default=0),
    )
    return {
        row["service"]: Usage(
            int(row["used"]),
            int(row["overage"]),
            int(row["amount"]),
            int(row["count"]),
            int(row["roaming"]),
            int(row["roaming_amount"]),
        )
        for row in rows
    }


def daily_usage(
    scope: Scope, owner_ids: set[int], enterprise_id: int, terms: Terms, now: datetime
) -> dict[tuple[int, int], list[DayUsage]]:
    """Units drawn from allowances a day, without gaps, by (account, service): the cycle, and enough for a pace."""
    first = day_of(min(terms.cycle.starts_at, now - PACE_DAYS), terms.zone)
    rows = (
        Counter.objects.within(scope)
        .filter(
            enterprise_id=enterprise_id,
            owner_kind=OwnerKind.ACCOUNT,
            owner_id__in=owner_ids,
            grain=Grain.DAY,
            period_start__gte=first.starts_at,
            period_start__lte=now,
        )
        .values("owner_id", "service", "period_start")
        .annotate(units=Sum("used_units") - Sum("overage_units"))
    )
    units: dict[tuple[int, int], dict[datetime, int]] = defaultdict(dict)
    earliest: dict[tuple[int, int], datetime] = {}
    for row in rows:
        key = row["owner_id"], row["service"]
        units[key][row["period_start"]] = int(row["units"])
        earliest[key] = min(earliest.get(key, row["period_start"]), row["period_start"])
    calendar = []
    day = first
    while day.starts_at <= now:
        calendar.append(day)
        day = day_of(day.ends_at, terms.zone)
    days: dict[tuple[int, int], list[DayUsage]] = defaultdict(list)
    for key, used in units.items():
        # Before the first usage ever seen there was nothing to measure: an enterprise that began yesterday has no
        # two idle weeks behind it. The cycle itself is always whole.
        since = min(earliest[key], terms.cycle.starts_at)
        days[key] = [
            DayUsage(period.starts_at, period.ends_at, used.get(period.starts_at, 0))
            for period in calendar
            if period.starts_at >= since
        ]
    return days
