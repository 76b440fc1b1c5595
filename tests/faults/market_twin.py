"""The reference of charging with the market in it: offers, trades, loans and standing transfers over its buckets.

Written from docs/trading.md. It is told what was done, in the order in which it was committed, and does it too; an act
that cannot be done where it stands in that order is a `Refusal`, and a fault.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.charging.reference import Bucket, Limit, Record, Reference, Refusal

LOAN_BEHIND = 10
FLOOR, APPROVAL_ABOVE = 5, 60


@dataclass
class Deal:
    """An offer of units."""

    giver: str
    bucket: Bucket
    open: int
    held: int
    expires: datetime
    returns: datetime | None
    counters: int | None
    state: str = "open"


@dataclass
class Pending:
    """A trade, waiting or decided."""

    offer: int
    taker: str
    units: int
    state: str


@dataclass
class Lent:
    """A loan."""

    bucket: Bucket
    units: int
    due: datetime
    back: int = 0
    state: str = "lent"


@dataclass
class Order:
    """A standing transfer, due once in the time that is simulated."""

    giver: str
    taker: str
    units: int
    due: datetime
    gave: int | None = None


class Twin(Reference):
    """One enterprise; offers, trades, loans and standing transfers by the ids that the database gave them."""

    def __init__(self, **terms: Any) -> None:
        super().__init__(**terms)
        self.deals: dict[int, Deal] = {}
        self.trades: dict[int, Pending] = {}
        self.loans: dict[int, Lent] = {}  # by trade
        self.orders: dict[int, Order] = {}
        self._sums: dict[object, dict[datetime, int]] = {}
        self._at_hand: tuple[str, str] | None = None

    # --- limits: what the reference adds up anew each time is kept here; `added_up_anew` is what it would have found -

    def uses(self, limit: Limit) -> dict[datetime, int]:
        if limit.name not in self._sums:
            self._sums[limit.name] = super().uses(limit)
            return self._sums[limit.name]
        found = defaultdict(int, self._sums[limit.name])
        self._add(found, limit)
        return {period: used for period, used in found.items() if used}

    def _add(self, found: dict[datetime, int], limit: Limit) -> None:
        for one in self.charges.get(self._at_hand, []) if self._at_hand else []:
            if self._counts(limit, (one.line, one.chain, one.service, one.zone), one.starts_at):
                period = limit.period(one.starts_at)
                found[period] = found.get(period, 0) + (one.amount if limit.counts_money else one.units)

    def _charge(self, record: Record) -> None:
        for limit in self.limits:
            self.uses(limit)
        self._at_hand = record.source, record.id
        super()._charge(record)
        for limit in self.limits:
            self._add(self._sums[limit.name], limit)
        self._at_hand = None

    def added_up_anew(self) -> dict[object, dict[datetime, int]]:
        """The use of each limit from all charge lines."""
        return {limit.name: Reference.uses(self, limit) for limit in self.limits}

    # --- offers and trades -------------------------------------------------------------------------------------------

    def _own(self, owner: str, service: str, cycle: int) -> list[Bucket]:
        """What an account may give, the fullest first."""
        mine = [
            bucket
            for bucket in self.buckets.values()
            if (bucket.owner, bucket.service, bucket.cycle) == (("account", owner), service, cycle)
            and bucket.kind not in ("contingency", "loan")
        ]
        return sorted(mine, key=lambda bucket: (-bucket.remaining, bucket.order))

    def _line(self, bucket: Bucket | None) -> Iterator[Bucket]:
        while bucket is not None:
            yield bucket
            bucket = bucket.source

    def _refuse_circle(self, bucket: Bucket, taker: str) -> None:
        if any(source.owner == ("account", taker) for source in self._line(bucket)):
            raise Refusal("it came from there")

    def offer(
        self, number: int, key: str, to: str | None, units: int, expires: datetime, returns: datetime | None,
        counters: int | None,
    ) -> None:  # fmt: skip
        """Units into escrow."""
        bucket = self.buckets[key]
        giver = bucket.owner[1]
        free = sum(mine.remaining for mine in self._own(giver, bucket.service, bucket.cycle))
        if bucket.kind == "loan" or units > bucket.remaining or free - units < FLOOR:
            raise Refusal("not to give")
        if to is not None:
            self._refuse_circle(bucket, to)
        if counters is not None and self.deals[counters].state != "open":
            raise Refusal("an answer to what is over")
        bucket.remaining, bucket.reserved = bucket.remaining - units, bucket.reserved + units
        self.deals[number] = Deal(giver, bucket, units, units, expires, returns, counters)

    def accept(self, number: int, offer: int, taker: str, units: int, at: datetime) -> None:
        """Units to whoever takes them, or a trade that waits."""
        deal = self.deals[offer]
        if deal.state != "open" or deal.expires <= at or units > deal.open:
            raise Refusal("not open")
        self._refuse_circle(deal.bucket, taker)
        if deal.counters is not None:
            first = self.deals[deal.counters]
            if first.state == "open" and first.giver == taker:
                self._end(first, "withdrawn")
        deal.open -= units
        deal.state = deal.state if deal.open else "taken"
        self.trades[number] = Pending(offer, taker, units, "waiting" if units > APPROVAL_ABOVE else "settled")
        if units <= APPROVAL_ABOVE:
            self._settle(number)

    def _settle(self, number: int) -> None:
        trade = self.trades[number]
        deal = self.deals[trade.offer]
        deal.held, deal.bucket.reserved = deal.held - trade.units, deal.bucket.reserved - trade.units
        target = self._across(deal.bucket, trade.taker, trade.units, number if deal.returns else None)
        if deal.returns:
            self.loans[number] = Lent(target, trade.units, deal.returns)

    def _across(self, source: Bucket, taker: str, units: int, loan: int | None) -> Bucket:
        kind = "trade" if loan is None else "loan"
        key = f"trade:{source.key}:{taker}" if loan is None else f"loan:{loan}"
        target = self.buckets.get(key) or self._open(
            key, kind, ("account", taker), source.grant, source.priority + (LOAN_BEHIND if loan else 0), source.cycle,
            source,
        )  # fmt: skip
        source.given += units
        target.received, target.remaining = target.received + units, target.remaining + units
        return target

    def withdraw(self, offer: int) -> None:
        """Its giver takes it back."""
        self._end_open(offer, "withdrawn")

    def decline(self, offer: int) -> None:
        """Whom it is for says no."""
        self._end_open(offer, "refused")

    def _end_open(self, offer: int, state: str) -> None:
        deal = self.deals[offer]
        if deal.state not in ("open", state):
            raise Refusal("ended twice")
        if deal.state == "open":
            self._end(deal, state)

    def _end(self, deal: Deal, state: str) -> None:
        self._out_of_escrow(deal, deal.open)
        deal.state = state

    def _out_of_escrow(self, deal: Deal, units: int) -> None:
        deal.held, deal.bucket.reserved = deal.held - units, deal.bucket.reserved - units
        deal.bucket.remaining += units

    def approve(self, trade: int) -> None:
        """Who is above both says yes."""
        if self._decide(trade, "settled"):
            self._settle(trade)

    def refuse(self, trade: int, at: datetime, state: str = "refused") -> None:
        """Who is above both says no: its units are open again, or free."""
        if not self._decide(trade, state):
            return
        deal, units = self.deals[self.trades[trade].offer], self.trades[trade].units
        if deal.state in ("open", "taken") and deal.expires > at:
            deal.open, deal.state = deal.open + units, "open"
            return
        self._out_of_escrow(deal, units)
        deal.state = "expired" if deal.state == "taken" else deal.state

    def _decide(self, trade: int, state: str) -> bool:
        """Whether it was still to be decided: the same once more changes nothing."""
        before, self.trades[trade].state = self.trades[trade].state, state
        if before not in ("waiting", state):
            raise Refusal("decided twice")
        return before == "waiting"

    # --- what time does ----------------------------------------------------------------------------------------------

    def sweep(self, at: datetime) -> None:
        """Offers that are due expire, then trades that nobody decided."""
        for deal in self.deals.values():
            if deal.state == "open" and deal.expires <= at:
                self._end(deal, "expired")
        for number, trade in self.trades.items():
            due = self.deals[trade.offer].returns
            if trade.state == "waiting" and due is not None and due <= at:
                self.refuse(number, due, "expired")

    def return_due(self, at: datetime) -> None:
        """What is unused of loans that are due goes back."""
        for loan in self.loans.values():
            if (loan.state == "lent" and loan.due <= at) or (loan.state == "owed" and loan.bucket.remaining):
                self._bring_back(loan, min(loan.bucket.remaining, loan.units - loan.back))
                loan.state = "owed" if loan.state == "lent" else loan.state

    def repay(self, trade: int, units: int) -> None:
        """Some of a loan goes back before."""
        loan = self.loans[trade]
        if not 1 <= units <= min(loan.bucket.remaining, loan.units - loan.back):
            raise Refusal("not there")
        self._bring_back(loan, units)

    def _bring_back(self, loan: Lent, units: int) -> None:
        source = loan.bucket.source
        assert source is not None
        loan.bucket.remaining, loan.bucket.received = loan.bucket.remaining - units, loan.bucket.received - units
        source.remaining, source.given = source.remaining + units, source.given - units
        loan.back += units
        loan.state = "returned" if loan.back == loan.units else loan.state

    def order(self, number: int, giver: str, taker: str, units: int, due: datetime) -> None:
        """A standing transfer is made."""
        self.orders[number] = Order(giver, taker, units, due)

    def run(self, order: int, at: datetime) -> None:
        """A standing transfer gives what is there above the floor, out of the fullest buckets; once."""
        held = self.orders[order]
        if held.gave is not None or held.due > at:
            return
        held.gave = 0
        mine = self._own(held.giver, "data", self.cycle_at(at))
        left = min(held.units, max(sum(bucket.remaining for bucket in mine) - FLOOR, 0))
        for bucket in mine:
            units = min(left, bucket.remaining)
            if units and all(source.owner != ("account", held.taker) for source in self._line(bucket)):
                bucket.remaining -= units
                self._across(bucket, held.taker, units, None)
                left, held.gave = left - units, held.gave + units
