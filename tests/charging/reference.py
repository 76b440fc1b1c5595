"""What charging must come to, in plain Python: dicts, integers and the rules as docs/charging.md states them.

A model to compare with, not a second implementation: it looks at one record after the other, keeps everything in the
open, is slow where slow is simpler, and knows neither the database nor the pipeline. Accounts, lines, services and
zones are plain strings; a bucket is known by the act that made it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

Owner = tuple[str, str]  # ("account", code) or ("line", label)

BERLIN = ZoneInfo("Europe/Berlin")
DAY_AROUND = timedelta(hours=24)  # 96 slots, and the one at hand
LARGEST_UNITS = 2**50
CARRIED_FIRST = 10  # carried-over units stand so much before the allowance's own


class Refusal(Exception):
    """The act is refused, and nothing of it has happened."""


@dataclass(frozen=True)
class Terms:
    """Rounding and overage price."""

    increment: int
    minimum: int
    price: int
    block: int


@dataclass(frozen=True)
class Grant:
    """An allowance: what each cycle begins with."""

    name: str
    service: str
    units: int
    zones: frozenset[str]
    cap: int
    priority: int


@dataclass(frozen=True)
class Version:
    """What the contract says from an instant on."""

    effective_at: datetime
    rates: dict[tuple[str, str], Terms]
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class Record:
    """A usage record as reported."""

    source: str
    id: str
    service: str
    number: str
    units: int
    used_at: datetime
    ended_at: datetime | None = None
    network: str = ""


@dataclass
class Bucket:
    """Quantities of one unit."""

    key: str
    order: int
    kind: str
    owner: Owner
    service: str
    zones: frozenset[str]
    priority: int
    cycle: int
    grant: Grant
    source: Bucket | None = None
    granted: int = 0
    received: int = 0
    remaining: int = 0
    reserved: int = 0
    used: int = 0
    given: int = 0
    expired: int = 0
    is_closed: bool = False
    successor: Bucket | None = None

    def quantities(self) -> tuple[int, ...]:
        """All seven, in the order of the identity."""
        return (
            self.granted, self.received, self.remaining, self.reserved, self.used, self.given, self.expired,
        )  # fmt: skip


@dataclass
class ChargeLine:
    """A stretch of a record as charged."""

    cycle: int
    starts_at: datetime
    units: int
    overage: int
    amount: int
    draws: list[tuple[str, int]]
    chain: tuple[str, ...]
    refused: int = 0
    line: str = ""
    service: str = ""
    zone: str = ""


@dataclass
class Threshold:
    """A mark on an owner's usage of a service in a cycle."""

    name: object
    owner: Owner
    service: str
    percent: int | None
    units: int | None


@dataclass
class Limit:
    """The most that may be used in a window. `service` and `zone` None: any; `zone` "abroad": any but home."""

    name: object
    owner: Owner
    service: str | None
    zone: str | None
    counts_money: bool
    window: str
    amount: int
    action: str
    percents: tuple[int, ...]
    counts_from: datetime
    extras: list[tuple[datetime, int]] = field(default_factory=list)  # period, consented to

    def period(self, instant: datetime) -> datetime:
        """Start of the period that holds an instant; of a sliding window its quarter of an hour."""
        civil = instant.astimezone(BERLIN)
        midnight = datetime(civil.year, civil.month, civil.day, tzinfo=BERLIN)
        match self.window:
            case "day":
                return midnight.astimezone(UTC)
            case "week":
                monday = midnight.date() - timedelta(days=midnight.weekday())
                return datetime(monday.year, monday.month, monday.day, tzinfo=BERLIN).astimezone(UTC)
            case "cycle":
                return datetime(civil.year, civil.month, 1, tzinfo=BERLIN).astimezone(UTC)
            case "sliding_24h":
                return instant.astimezone(UTC).replace(minute=instant.minute // 15 * 15, second=0, microsecond=0)
        return self.counts_from


@dataclass
class Reference:
    """One enterprise. `boundaries` are the instants at which cycles begin, the contract's start first."""

    boundaries: list[datetime]
    versions: list[Version]
    networks: dict[str, str]  # prefix -> zone
    home: str
    elsewhere: str
    late: timedelta
    tolerance: timedelta
    contract_end: datetime | None = None

    parents: dict[str, list[tuple[datetime | None, str | None]]] = field(default_factory=dict)
    never_above: set[str] = field(default_factory=set)
    caps: dict[tuple[Owner, str], int] = field(default_factory=dict)  # of units from above, a cycle
    above: dict[tuple[Owner, int, str], int] = field(default_factory=lambda: defaultdict(int))  # what was drawn there
    assignments: dict[str, list[tuple[datetime, str]]] = field(default_factory=dict)
    numbers: dict[str, list[tuple[datetime, datetime | None, str]]] = field(default_factory=dict)
    thresholds: list[Threshold] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    limit_crossings: dict[tuple[object, datetime, int], int] = field(default_factory=dict)

    buckets: dict[str, Bucket] = field(default_factory=dict)
    opened: int = 0  # cycles that were granted
    reservations: dict[str, tuple[Bucket, int]] = field(default_factory=dict)
    contents: dict[tuple[str, str], list[Record]] = field(default_factory=lambda: defaultdict(list))
    charges: dict[tuple[str, str], list[ChargeLine]] = field(default_factory=dict)
    suspended: list[tuple[str, str, str]] = field(default_factory=list)
    counters: dict[tuple[Owner, int, str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0, 0, 0])
    )
    crossings: dict[tuple[object, int], tuple[int, int]] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    # --- who and where, at a time ------------------------------------------------------------------------------------

    def parent_at(self, account: str, instant: datetime) -> str | None:
        """The account above; before the first placement: that one."""
        places = self.parents[account]
        held = [parent for since, parent in places if since is None or since <= instant]
        return held[-1] if held else places[0][1]

    def chain_at(self, account: str, instant: datetime) -> tuple[str, ...]:
        """The account and all above it, as they hung at an instant."""
        chain = [account]
        while (parent := self.parent_at(chain[-1], instant)) is not None:
            chain.append(parent)
        return tuple(chain)

    def account_at(self, line: str, instant: datetime) -> str | None:
        """The account that a line belonged to."""
        held = [account for since, account in self.assignments[line] if since <= instant]
        return held[-1] if held else None

    def zone_of(self, network: str) -> str:
        """Longest prefix; without a network at home."""
        if not network:
            return self.home
        known = [prefix for prefix in self.networks if network.startswith(prefix)]
        return self.networks[max(known, key=len)] if known else self.elsewhere

    def cycle_at(self, instant: datetime) -> int:
        """The number of the cycle that holds an instant; -1 before the first."""
        return bisect_right(self.boundaries, instant) - 1

    def version_at(self, instant: datetime) -> Version:
        """The version in force."""
        return [version for version in self.versions if version.effective_at <= instant][-1]

    def in_contract(self, instant: datetime) -> bool:
        """Whether the contract holds."""
        return self.boundaries[0] <= instant and (self.contract_end is None or instant < self.contract_end)

    def cycle_end(self, cycle: int) -> datetime:
        """When a cycle ends: the contract's end is the last one's."""
        end = self.boundaries[cycle + 1]
        return min(end, self.contract_end) if self.contract_end else end

    # --- cycles ------------------------------------------------------------------------------------------------------

    def open_cycles(self, until: datetime) -> None:
        """Grant what every cycle that has begun is due, by the version in force when it began."""
        while self.boundaries[self.opened] <= until and self.in_contract(self.boundaries[self.opened]):
            for grant in self.version_at(self.boundaries[self.opened]).grants:
                bucket = self._open(
                    f"grant:{grant.name}:{self.opened}", "grant", ("account", self.root), grant, grant.priority,
                    self.opened, None,
                )  # fmt: skip
                bucket.granted = bucket.remaining = grant.units
            self.opened += 1

    @property
    def root(self) -> str:
        """The account that has none above it."""
        return next(account for account, places in self.parents.items() if places[0][1] is None)

    def _open(self, key, kind, owner, grant, priority, cycle, source) -> Bucket:
        bucket = Bucket(key, len(self.buckets), kind, owner, grant.service, grant.zones, priority, cycle, grant, source)
        self.buckets[key] = bucket
        return bucket

    def close_cycles(self, at: datetime) -> None:
        """Carry over and expire, cycle by cycle."""
        self.open_cycles(at)
        for cycle in range(self.opened):
            if self.cycle_end(cycle) <= at:
                self._close([b for b in self.buckets.values() if b.cycle == cycle and not b.is_closed])

    def _close(self, buckets: list[Bucket]) -> None:
        goes_on = self.contract_end is None or any(self.cycle_end(b.cycle) < self.contract_end for b in buckets)
        for grant in {bucket.grant.name: bucket.grant for bucket in buckets}.values():
            mine = [b for b in buckets if b.grant == grant and not self._was_carried(b)]
            left = sum(b.remaining for b in mine)
            carried = shares(min(left, grant.cap), [b.remaining for b in mine]) if goes_on and left else [0] * len(mine)
            for bucket, units in zip(mine, carried, strict=True):
                if units:
                    self._carry(bucket, units)
        for bucket in buckets:
            bucket.expired += bucket.remaining
            bucket.remaining = 0
            bucket.is_closed = True

    def _was_carried(self, bucket: Bucket) -> bool:
        origin = bucket
        while origin.kind in ("allocation", "contingency"):
            origin = origin.source
        return origin.kind == "rollover"

    def _carry(self, bucket: Bucket, units: int) -> None:
        bucket.successor = self._open(
            f"rollover:{bucket.key}", "rollover", bucket.owner, bucket.grant, bucket.priority - CARRIED_FIRST,
            bucket.cycle + 1, bucket,
        )  # fmt: skip
        bucket.remaining -= units
        bucket.given += units
        bucket.successor.received = bucket.successor.remaining = units

    # --- the ledger's verbs ------------------------------------------------------------------------------------------

    def _refuse_unless_open(self, bucket: Bucket, at: datetime) -> None:
        if bucket.is_closed or self.cycle_end(bucket.cycle) <= at:
            raise Refusal

    def allocate(self, key: str, owner: Owner, units: int, at: datetime) -> None:
        """Give units to an owner below, in a bucket of its own."""
        source = self.buckets[key]
        self._refuse_unless_open(source, at)
        if source.owner[0] == "line" or units > source.remaining:
            raise Refusal
        kind, name = owner
        chain = self.chain_at(self.account_at(name, at), at) if kind == "line" else self.chain_at(name, at)[1:]
        if source.owner[1] not in chain:
            raise Refusal
        target_key = f"allocation:{key}:{kind}:{name}"
        target = self.buckets.get(target_key) or self._open(
            target_key, "allocation", owner, source.grant, source.priority, source.cycle, source
        )
        source.remaining -= units
        source.given += units
        target.received += units
        target.remaining += units

    def set_aside(self, key: str, rule: str, units: int, at: datetime) -> None:
        """Move units to a slice of the same owner."""
        source = self.buckets[key]
        self._refuse_unless_open(source, at)
        if source.kind == "contingency" or units > source.remaining:
            raise Refusal
        target_key = f"contingency:{key}:{rule}"
        target = self.buckets.get(target_key) or self._open(
            target_key, "contingency", source.owner, source.grant, source.priority, source.cycle, source
        )
        source.remaining -= units
        source.given += units
        target.received += units
        target.remaining += units

    def release(self, key: str, at: datetime) -> None:
        """Give back what is left of a slice."""
        bucket = self.buckets[key]
        self._refuse_unless_open(bucket, at)
        if not bucket.remaining:
            raise Refusal
        units, bucket.remaining = bucket.remaining, 0
        bucket.received -= units
        bucket.source.given -= units
        bucket.source.remaining += units

    def take_back(self, key: str, units: int, at: datetime) -> None:
        """Undo so much of an allocation."""
        bucket = self.buckets[key]
        self._refuse_unless_open(bucket, at)
        if bucket.kind != "allocation" or units > bucket.remaining:
            raise Refusal
        bucket.received -= units
        bucket.remaining -= units
        bucket.source.given -= units
        bucket.source.remaining += units

    def reserve(self, key: str, name: str, units: int, at: datetime) -> None:
        """Set aside what there is of so many units."""
        bucket = self.buckets[key]
        self._refuse_unless_open(bucket, at)
        granted = min(units, bucket.remaining)
        bucket.remaining -= granted
        bucket.reserved += granted
        self.reservations[name] = (bucket, granted)

    def settle(self, name: str, used: int) -> None:
        """End a reservation; what comes back to a closed bucket expires."""
        bucket, granted = self.reservations[name]
        if used > granted:
            raise Refusal
        del self.reservations[name]
        bucket.reserved -= granted
        bucket.used += used
        if bucket.is_closed:
            bucket.expired += granted - used
        else:
            bucket.remaining += granted - used

    # --- usage -------------------------------------------------------------------------------------------------------

    def take(self, record: Record, at: datetime) -> str:
        """Charge one record at an instant; returns charged, duplicate, or the reason for suspense."""
        self.open_cycles(at + self.tolerance)
        known = self.contents[record.source, record.id]
        if record in known:
            self.outcomes["duplicate"] += 1
            return "duplicate"
        reason = "conflict" if known else self._obstacle(record, at)
        known.append(record)
        if reason:
            self.suspended.append((record.source, record.id, reason))
            self.outcomes["suspended"] += 1
            return reason
        self._charge(record)
        self.outcomes["charged"] += 1
        return "charged"

    def _obstacle(self, record: Record, at: datetime) -> str:
        if record.units < 0:
            return "negative_units"
        if record.units > LARGEST_UNITS:
            return "absurd_units"
        if record.ended_at and record.ended_at < record.used_at:
            return "ends_before_start"
        if (record.ended_at or record.used_at) > at + self.tolerance:
            return "future"
        if record.number not in self.numbers:
            return "unknown_line"
        if self._located(record) is None:
            return "unassigned_line"
        if record.used_at < self.boundaries[0]:
            return "before_contract"
        if not self.in_contract(record.used_at):
            return "after_contract"
        if record.used_at < at - self.late:
            return "too_old"
        zone = self.zone_of(record.network)
        stretches = self._stretches(record)
        # Only a part with units needs a rate; the first always does, because it rounds.
        first = self.version_at(record.used_at).rates.get((record.service, zone))
        if first is None:
            return "no_rate"
        parts = self._parts(record, first, stretches)
        if any((record.service, zone) not in version.rates for _, version, _ in parts):
            return "no_rate"
        return ""

    def _located(self, record: Record) -> tuple[str, str] | None:
        for since, until, line in self.numbers[record.number]:
            if since <= record.used_at and (until is None or record.used_at < until):
                account = self.account_at(line, record.used_at)
                return (line, account) if account else None
        return None

    def _stretches(self, record: Record) -> list[tuple[datetime, datetime]]:
        """The record's time, cut where a cycle ends or a version takes effect; the rest beyond the contract stays."""
        ends_at = record.ended_at or record.used_at
        cuts = {*self.boundaries, *(version.effective_at for version in self.versions)}
        inner = sorted(cut for cut in cuts if record.used_at < cut < ends_at and self.in_contract(cut))
        edges = [record.used_at, *inner, ends_at]
        return list(pairwise(edges))

    def _parts(self, record: Record, terms: Terms, stretches) -> list[tuple[datetime, Version, int]]:
        """The rounded units by time: (start, version, units); parts without units fall away, but one stays."""
        units = rounded(record.units, terms)
        times = [int((end - start) / timedelta(milliseconds=1)) for start, end in stretches]
        parts = [
            (start, self.version_at(start), share)
            for (start, _), share in zip(stretches, shares(units, times), strict=True)
        ]
        return [part for part in parts if part[2]] or parts[:1]

    def _charge(self, record: Record) -> None:
        line, account = self._located(record)
        chain = self.chain_at(account, record.used_at)
        zone = self.zone_of(record.network)
        first = self.version_at(record.used_at).rates[record.service, zone]
        lines = self.charges[record.source, record.id] = []
        for number, (start, version, units) in enumerate(self._parts(record, first, self._stretches(record))):
            cycle = self.cycle_at(start)
            terms = version.rates[record.service, zone]
            place = (line, chain, record.service, zone)
            asked, units = units, self._granted(place, start, cycle, units, terms)
            draws, overage = self._draw(line, chain, record.service, zone, cycle, units)
            amount = half_up(Fraction(overage * terms.price, terms.block))
            lines.append(
                ChargeLine(
                    cycle, start, units, overage, amount, draws, chain, asked - units, line, record.service, zone
                )
            )
            if asked:
                for limit in self.limits:
                    if self._counts(limit, place, start):
                        self.cross(limit, limit.period(start))
            owners = [("account", member) for member in chain] + [("line", line)]
            for owner in owners:
                counter = self.counters[owner, cycle, record.service, zone]
                for place, value in enumerate((units, overage, amount, 1 if number == 0 else 0)):
                    counter[place] += value
            for owner in owners:
                self._mark(owner, cycle, record.service)

    def _draw(self, line, chain, service, zone, cycle, units) -> tuple[list[tuple[str, int]], int]:
        owners: list[Owner] = [("line", line)]
        for account in chain:
            owners.append(("account", account))
            if account in self.never_above:
                break
        draws = []
        for place, owner in enumerate(owners):
            below = owners[:place]  # whose caps what is drawn here counts against
            mine = [
                b for b in self.buckets.values()
                if b.owner == owner and b.cycle == cycle and b.service == service and (not b.zones or zone in b.zones)
                and (b.kind != "contingency" or b.key.endswith(":on_exhaustion"))
            ]  # fmt: skip
            # One cycle, one expiry; what opens when all else is used up comes last.
            for bucket in sorted(mine, key=lambda b: (b.kind == "contingency", b.priority, b.order)):
                rooms = [
                    self.caps[o, service] - self.above[o, cycle, service] for o in below if (o, service) in self.caps
                ]
                possible = max(min([units, *rooms]), 0)
                if bucket.is_closed:
                    self._bring_back(bucket, possible - bucket.remaining)
                taken = min(possible, bucket.remaining)
                if taken:
                    bucket.remaining -= taken
                    bucket.used += taken
                    units -= taken
                    draws.append((bucket.key, taken))
                    for lower in below:
                        self.above[lower, cycle, service] += taken
        return draws, units

    def _bring_back(self, bucket: Bucket, wanted: int) -> None:
        """Undo expiry, then carrying over, as far as units are still there."""
        wanted = max(wanted, 0)
        from_expired = min(wanted, bucket.expired)
        bucket.expired -= from_expired
        bucket.remaining += from_expired
        wanted -= from_expired
        after = bucket.successor
        if wanted and after:
            if after.is_closed:
                self._bring_back(after, wanted - after.remaining)
            units = min(wanted, after.remaining)
            after.remaining -= units
            after.received -= units
            bucket.given -= units
            bucket.remaining += units

    # --- limits ------------------------------------------------------------------------------------------------------

    def _counts(self, limit: Limit, place: tuple, start: datetime) -> bool:
        line, chain, service, zone = place
        owners = [("line", line)] + [("account", account) for account in chain]
        return (
            limit.owner in owners
            and limit.service in (None, service)
            and (zone != self.home if limit.zone == "abroad" else limit.zone in (None, zone))
            and start >= limit.counts_from
        )

    def uses(self, limit: Limit) -> dict[datetime, int]:
        """What was used of a limit, by start of period: added up anew from all charge lines."""
        found: dict[datetime, int] = defaultdict(int)
        for lines in self.charges.values():
            for one in lines:
                if self._counts(limit, (one.line, one.chain, one.service, one.zone), one.starts_at):
                    found[limit.period(one.starts_at)] += one.amount if limit.counts_money else one.units
        return {period: used for period, used in found.items() if used}

    def limit_used(self, limit: Limit, period: datetime) -> int:
        """What stands against the amount in a period: of a sliding window the fullest that holds the slot."""
        uses = self.uses(limit)
        if limit.window != "sliding_24h":
            return uses.get(period, 0)
        ends = [period] + [slot for slot in uses if period < slot <= period + DAY_AROUND]
        return max(sum(u for slot, u in uses.items() if end - DAY_AROUND <= slot <= end) for end in ends)

    def limit_amount(self, limit: Limit, period: datetime) -> int:
        """The amount with what was consented to in the period."""
        reach = DAY_AROUND if limit.window == "sliding_24h" else timedelta(0)
        return limit.amount + sum(extra for given, extra in limit.extras if given <= period <= given + reach)

    def _granted(self, place: tuple, start: datetime, cycle: int, units: int, terms: Terms) -> int:
        """The least that any limit grants; tried unit by unit."""
        free = None
        granted = units
        for limit in self.limits:
            if limit.action == "notify" or not self._counts(limit, place, start):
                continue
            period = limit.period(start)
            room = max(self.limit_amount(limit, period) - self.limit_used(limit, period), 0)
            if limit.action == "block_new" and room:
                continue
            if limit.counts_money:
                if free is None:
                    free = self._free(place, cycle, units)
                fits = [
                    n
                    for n in range(units + 1)
                    if half_up(Fraction(max(n - free, 0) * terms.price, terms.block)) <= room
                ]
                granted = min(granted, max(fits))
            else:
                granted = min(granted, room)
        return granted

    def _free(self, place: tuple, cycle: int, units: int) -> int:
        """What buckets would give: drawn, looked at, and undone."""
        above = self.above.copy()
        kept = {key: vars(bucket).copy() for key, bucket in self.buckets.items()}
        line, chain, service, zone = place
        _, overage = self._draw(line, chain, service, zone, cycle, units)
        for key, values in kept.items():
            vars(self.buckets[key]).update(values)
        self.above = above
        return units - overage

    def cross(self, limit: Limit, period: datetime) -> None:
        """Note the marks of a limit that use has reached and that are not noted in this period."""
        used, bound = self.limit_used(limit, period), self.limit_amount(limit, period)
        near = DAY_AROUND if limit.window == "sliding_24h" else timedelta(0)
        for percent in limit.percents:
            level = max(-(-bound * percent // 100), 1)
            known = [p for (n, p, mark) in self.limit_crossings if n == limit.name and mark == level]
            if used >= level and not any(abs(p - period) <= near for p in known):
                self.limit_crossings[limit.name, period, level] = used

    # --- marks -------------------------------------------------------------------------------------------------------

    def used(self, owner: Owner, cycle: int, service: str) -> int:
        """Usage so far over all zones."""
        return sum(c[0] for (o, n, s, _), c in self.counters.items() if (o, n, s) == (owner, cycle, service))

    def level(self, mark: Threshold, cycle: int) -> int | None:
        """The mark in units, as things stand; None: no allowance to take a percentage of."""
        if mark.units is not None:
            return mark.units
        mine = [b for b in self.buckets.values() if (b.owner, b.cycle, b.service) == (mark.owner, cycle, mark.service)]
        if not mine:
            return None
        held = sum(b.granted + (0 if b.kind == "contingency" else b.received) for b in mine)
        return max(-(-held * mark.percent // 100), 1)

    def _mark(self, owner: Owner, cycle: int, service: str) -> None:
        for mark in self.thresholds:
            if mark.owner != owner or mark.service != service or (mark.name, cycle) in self.crossings:
                continue
            level, used = self.level(mark, cycle), self.used(owner, cycle, service)
            if level is not None and used >= level:
                self.crossings[mark.name, cycle] = (level, used)


def rounded(units: int, terms: Terms) -> int:
    """Whole increments, at least the minimum; nothing stays nothing."""
    if units == 0:
        return 0
    steps = Fraction(max(units, terms.minimum), terms.increment)
    return -(-steps.numerator // steps.denominator) * terms.increment


def half_up(value: Fraction) -> int:
    """Rounded to the nearest whole, halves up."""
    return (value + Fraction(1, 2)).__floor__()


def shares(units: int, weights: list[int]) -> list[int]:
    """`units` by weights: whole parts first, then one each to the largest remainders, the earlier first."""
    total = sum(weights)
    if total == 0:
        return [units] + [0] * (len(weights) - 1)
    exact = [Fraction(units * weight, total) for weight in weights]
    parts = [value.__floor__() for value in exact]
    order = sorted(range(len(weights)), key=lambda i: (parts[i] - exact[i], i))
    for i in order[: units - sum(parts)]:
        parts[i] += 1
    return parts
