"""Who holds what below an account, and uses how much a day: what proposals for rebalancing are made of."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from django.db.models import Sum

from balances import rebalancing
from balances.models import Account, Bucket, Counter, TradingTerms
from balances.models.buckets import BucketKind
from balances.models.counters import Grain, OwnerKind, Payer
from balances.pace import DayUsage
from balances.periods import day_of
from balances.rebalancing import Lot, Party, Plan
from balances.selectors.overview import PACE_DAYS
from balances.selectors.terms import Terms
from balances.trading_moves import NOT_TO_GIVE
from balances.trading_terms import resolved


def plan_below(account: Account, service: int, terms: Terms, now: datetime) -> Plan:
    """The proposals for a service among the accounts below one."""
    if terms.cycle is None:
        return Plan((), ())
    return rebalancing.plan(parties_below(account, service, terms, now), now=now, ends_at=terms.cycle.ends_at)


def parties_below(account: Account, service: int, terms: Terms, now: datetime) -> list[Party]:
    """The accounts below one that hold units of their own; five queries. Read under the lock where it is acted upon."""
    places = {row.id: row for row in Account.objects.filter(enterprise_id=account.enterprise_id)}
    paths = {place_id: _path(places, place_id) for place_id in places}
    buckets = list(
        Bucket.objects.filter(
            enterprise_id=account.enterprise_id,
            service=service,
            closed_at=None,
            valid_from__lte=now,
            valid_until__gt=now,
        )
        .exclude(kind=BucketKind.CONTINGENCY)
        .select_related("line")
        .order_by("-remaining_units", "id")
    )
    held: dict[int, int] = defaultdict(int)
    own: dict[int, list[Bucket]] = defaultdict(list)
    for bucket in buckets:
        owner_id = bucket.account_id if bucket.line is None else bucket.line.account_id
        for place in paths.get(owner_id or 0, []):
            held[place.id] += bucket.remaining_units
        if bucket.account_id is not None:
            own[bucket.account_id].append(bucket)
    below = [
        place
        for place in places.values()
        if place.id in own and place.closed_at is None and account.id in {above.id for above in paths[place.id][1:]}
    ]
    days = _demand(account.enterprise_id, [place.id for place in below], buckets, terms, now)
    said = {
        row.account_id: row for row in TradingTerms.objects.filter(enterprise_id=account.enterprise_id, service=service)
    }
    by_id = {bucket.id: bucket for bucket in buckets}
    parties = []
    for place in below:
        in_force = resolved(paths[place.id], said)
        lots = []
        for bucket in own[place.id]:
            line = _line_of(bucket, by_id)
            regifts = any(source.kind == BucketKind.TRADE for source in line)
            if bucket.kind in NOT_TO_GIVE or not bucket.remaining_units or (regifts and not in_force.may_regift):
                continue
            came_from = {source.account_id for source in line if source.account_id is not None}
            lots.append(Lot(bucket.id, bucket.remaining_units, frozenset(came_from - {place.id})))
        parties.append(
            Party(
                place.id,
                held[place.id],
                days[place.id],
                tuple(lots),
                in_force.floor_units,
                in_force.lot_units,
                in_force.may_trade,
                frozenset(above.id for above in paths[place.id][1:]),
                f"“{place.name}”",
            )
        )
    return parties


def _path(places: dict[int, Account], place_id: int) -> list[Account]:
    """An account and all above it, nearest first."""
    path: list[Account] = []
    here = places.get(place_id)
    while here is not None and here not in path:
        path.append(here)
        here = places.get(here.parent_id) if here.parent_id else None
    return path


def _line_of(bucket: Bucket, by_id: dict[int, Bucket]) -> list[Bucket]:
    """The bucket and all that its units came from, nearest first; what has closed meanwhile is read."""
    line = [bucket]
    while (source_id := line[-1].source_id) is not None:
        line.append(by_id.get(source_id) or Bucket.objects.get(id=source_id))
    return line


def _demand(
    enterprise_id: int, account_ids: list[int], buckets: list[Bucket], terms: Terms, now: datetime
) -> dict[int, list[DayUsage]]:
    """What was used a day where such units can be used, beyond allowances too: who ran dry still has that need."""
    assert terms.cycle is not None
    first = day_of(min(terms.cycle.starts_at, now - PACE_DAYS), terms.zone)
    rows = Counter.objects.filter(
        enterprise_id=enterprise_id,
        owner_kind=OwnerKind.ACCOUNT,
        owner_id__in=account_ids,
        grain=Grain.DAY,
        service=buckets[0].service if buckets else 0,
        period_start__gte=first.starts_at,
        period_start__lte=now,
        payer=Payer.CORPORATE,
    )
    zones = {zone_id for bucket in buckets for zone_id in bucket.zone_ids}
    if zones and all(bucket.zone_ids for bucket in buckets):
        rows = rows.filter(zone_id__in=zones)
    used: dict[int, dict[datetime, int]] = defaultdict(dict)
    for row in rows.values("owner_id", "period_start").annotate(units=Sum("used_units")):
        used[row["owner_id"]][row["period_start"]] = int(row["units"])
    calendar, day = [], first
    while day.starts_at <= now:
        calendar.append(day)
        day = day_of(day.ends_at, terms.zone)
    days: dict[int, list[DayUsage]] = {}
    for account_id in account_ids:
        mine = used[account_id]
        since = min([*mine, terms.cycle.starts_at])
        days[account_id] = [
            DayUsage(d.starts_at, d.ends_at, mine.get(d.starts_at, 0)) for d in calendar if d.starts_at >= since
        ]
    return days
