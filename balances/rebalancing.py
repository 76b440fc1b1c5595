"""Who will run out, who will not use what they have, and which transfers mend it.

Owns: the forecast and the plan. Pure and deterministic: imports no Django, reads no clock. Worked example and rule:
docs/rebalancing.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import ceil, sqrt

from balances.errors import Refused
from balances.pace import DAY, DayUsage, Estimate, estimate, pace_per_day

#: Standard normal quantiles: what a sum of many days stays below in so many of a hundred cases.
EXPECTED, LIKELY, CAUTIOUS = 0.0, 0.6745, 1.2816  # P50, P75, P90
#: Fewer whole days say too little about the spread.
LEAST_DAYS = 3


class Stand(StrEnum):
    """How an account stands until the end of the cycle."""

    RUNS_OUT = "runs_out"
    HAS_SPARE = "has_spare"
    LASTS = "lasts"
    TOO_EARLY = "too_early"


@dataclass(frozen=True, slots=True)
class Lot:
    """Units of one bucket that can be given; `came_from`: the accounts that must not get them."""

    bucket_id: int
    units: int
    came_from: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Party:
    """An account that holds units of its own. `days` is what it and all below it used, without gaps.

    `held_units`: free with it and below it, as its usage is that of all below; `lots`: what of its own it can give.
    """

    account_id: int
    held_units: int
    days: Sequence[DayUsage]
    lots: tuple[Lot, ...] = ()
    floor_units: int = 0
    lot_units: int = 1
    may_trade: bool = True
    above: frozenset[int] = frozenset()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """Units that will be used until the end of the cycle: expected, in three of four cases, in nine of ten."""

    expected_units: int
    likely_units: int
    cautious_units: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A party with its forecast. `short_units`: missing to its likely need; `spare_units`: beyond its cautious one."""

    party: Party
    stand: Stand
    need: Need | None
    short_units: int
    spare_units: int


@dataclass(frozen=True, slots=True)
class Side:
    """What one side holds and how long it lasts before and after a transfer."""

    held_before: int
    held_after: int
    lasts_before: Estimate
    lasts_after: Estimate


@dataclass(frozen=True, slots=True)
class Transfer:
    """So many units of a bucket to another account, with the effect on both sides."""

    bucket_id: int
    from_id: int
    to_id: int
    units: int
    giver: Side
    receiver: Side


@dataclass(frozen=True, slots=True)
class Plan:
    """How all stand, and the transfers that mend it, in the order in which they would be done."""

    standings: tuple[Standing, ...]
    transfers: tuple[Transfer, ...]
    unmet_units: dict[int, int] = field(default_factory=dict)


def need_of(days: Sequence[DayUsage], now: datetime, ends_at: datetime) -> Need | None:
    """What will be used from `now` to `ends_at`; None where too few whole days are known.

    The pace is that of the screens (recent days weigh more); the spread is the sample variance of the whole days, and
    days are taken as independent, so that it grows with the square root of the time left.
    """
    whole = [day.units for day in days if day.ends_at <= now]
    if len(whole) < LEAST_DAYS:
        return None
    left = max((ends_at - now) / DAY, 0.0)
    mean = sum(whole) / len(whole)
    variance = sum((units - mean) ** 2 for units in whole) / (len(whole) - 1)
    expected, spread = pace_per_day(days, now) * left, sqrt(variance * left)
    return Need(*(ceil(round(expected + z * spread, 6)) for z in (EXPECTED, LIKELY, CAUTIOUS)))


def plan(parties: Sequence[Party], *, now: datetime, ends_at: datetime) -> Plan:
    """The transfers, few and large: the largest shortage is met by whoever has the most to spare.

    Each transfer ends a shortage, a donor's spare or one of its buckets, so of r short accounts and d donors with one
    bucket each there are at most r + d - 1. Accounts below are helped before those above them.
    """
    table = _Table(parties, now, ends_at)
    before = tuple(table.standing(party) for party in sorted(parties, key=lambda p: p.account_id))
    transfers: list[Transfer] = []
    short = [s.party for s in before if s.short_units]
    for receiver in sorted(short, key=lambda p: (-len(p.above), -table.short(p), p.account_id)):
        while missing := table.short(receiver):
            found = table.donor(receiver, missing)
            if found is None:
                break
            transfers.append(table.move(*found, receiver))
    return Plan(before, tuple(transfers), {p.account_id: missing for p in short if (missing := table.short(p))})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A transfer that was shown and is to be done."""

    bucket_id: int
    to_id: int
    units: int


class Stale(Refused):
    """What a proposal promised no longer holds."""


def recheck(wanted: Sequence[Wanted], parties: Sequence[Party], *, now: datetime, ends_at: datetime) -> list[Transfer]:
    """The same transfers with their effect as things stand now, in order; all of them, or Stale.

    A transfer holds as long as the receiver would still run out, and misses so much but for what it uses in a day, and
    the giver keeps its floor and its likely need: usage that has only moved the figures does not matter.
    """
    table = _Table(parties, now, ends_at, giver_keeps=LIKELY)
    known = {party.account_id: party for party in parties}
    owners = {lot.bucket_id: party for party in parties for lot in party.lots}
    again = "Look at the proposals again."
    done = []
    for wish in wanted:
        giver, receiver = owners.get(wish.bucket_id), known.get(wish.to_id)
        if giver is None or receiver is None or wish.units < 1:
            raise Stale(f"One of the transfers is no longer possible. {again}")
        missing = table.short(receiver)
        a_day = ceil(pace_per_day(receiver.days, now))
        if not missing or wish.units > -(-(missing + a_day) // giver.lot_units) * giver.lot_units:
            raise Stale(f"{receiver.label} misses {missing} units now, not {wish.units}. {again}")
        found = table.most(giver, wish.bucket_id, receiver)
        if wish.units > found:
            raise Stale(f"{giver.label} has {found} units to spare now, not {wish.units}. {again}")
        done.append(table.move(giver, wish.bucket_id, wish.units, receiver))
    return done


class _Table:
    """What everybody holds while transfers are laid out."""

    def __init__(self, parties: Sequence[Party], now: datetime, ends_at: datetime, giver_keeps: float = CAUTIOUS):
        self.parties, self.now, self.ends_at, self.giver_keeps = list(parties), now, ends_at, giver_keeps
        self.needs = {p.account_id: need_of(p.days, now, ends_at) for p in parties}
        self.held = {p.account_id: p.held_units for p in parties}
        self.lots = {p.account_id: {lot.bucket_id: lot.units for lot in p.lots} for p in parties}

    def short(self, party: Party) -> int:
        """Units missing to the likely need, of who will run out by the expected one."""
        need, held = self.needs[party.account_id], self.held[party.account_id]
        if need is None or not party.may_trade or held >= need.expected_units:
            return 0
        return need.likely_units - held

    def spare(self, party: Party) -> int:
        """Units in whole lots that it will not need, in nine of ten cases, and may give without passing its floor."""
        need = self.needs[party.account_id]
        if need is None or not party.may_trade:
            return 0
        own = sum(self.lots[party.account_id].values())
        kept = need.cautious_units if self.giver_keeps == CAUTIOUS else need.likely_units
        free = min(self.held[party.account_id] - kept, own - party.floor_units)
        return max(free // party.lot_units * party.lot_units, 0)

    def donor(self, receiver: Party, missing: int) -> tuple[Party, int, int] | None:
        """(who, bucket, units) with the most to spare for this receiver; units in whole lots, at least enough."""
        best: tuple[int, int, Party, int] | None = None
        for party in self.parties:
            for lot in party.lots:
                most = self.most(party, lot.bucket_id, receiver)
                if most and (best is None or (most, -party.account_id) > best[:2]):
                    best = (most, -party.account_id, party, lot.bucket_id)
        if best is None:
            return None
        most, _, giver, bucket_id = best
        return giver, bucket_id, min(-(-missing // giver.lot_units) * giver.lot_units, most)

    def most(self, giver: Party, bucket_id: int, receiver: Party) -> int:
        """Units in whole lots that a bucket can give to a receiver: never to itself, up or down the tree, or back."""
        if giver.account_id in receiver.above or receiver.account_id in giver.above or giver is receiver:
            return 0
        lot = next(lot for lot in giver.lots if lot.bucket_id == bucket_id)
        if receiver.account_id in lot.came_from:
            return 0
        has = self.lots[giver.account_id][bucket_id]
        return min(self.spare(giver), has // giver.lot_units * giver.lot_units)

    def move(self, giver: Party, bucket_id: int, units: int, receiver: Party) -> Transfer:
        """Note a transfer; what is given and got counts above both sides as well."""
        giver_side, receiver_side = self._side(giver, -units), self._side(receiver, units)
        self.lots[giver.account_id][bucket_id] -= units
        for party, change in ((giver, -units), (receiver, units)):
            for account_id in {party.account_id, *party.above} & self.held.keys():
                self.held[account_id] += change
        return Transfer(bucket_id, giver.account_id, receiver.account_id, units, giver_side, receiver_side)

    def standing(self, party: Party) -> Standing:
        short, spare, need = self.short(party), self.spare(party), self.needs[party.account_id]
        if need is None:
            return Standing(party, Stand.TOO_EARLY, None, 0, 0)
        stand = Stand.HAS_SPARE if spare else Stand.LASTS
        if self.held[party.account_id] < need.expected_units:
            stand = Stand.RUNS_OUT
        return Standing(party, stand, need, short, spare)

    def _side(self, party: Party, change: int) -> Side:
        held = self.held[party.account_id]
        lasts = [
            estimate(remaining_units=units, days=party.days, now=self.now, ends_at=self.ends_at)
            for units in (held, held + change)
        ]
        return Side(held, held + change, *lasts)
