"""A reference of the market in plain Python: boxes of units, deals, loans and one standing order. Knows no database.

It is written from docs/trading.md, act by act, as simply as it can be: everything is looked up by walking lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

FLOOR, APPROVAL = 2, 12


class Forbidden(Exception):
    """The page says no."""


@dataclass(eq=False)
class Box:
    """Units of one owner that came the same way. `came`: everybody they were with before."""

    owner: str
    kind: str
    free: int
    came: frozenset[str] = frozenset({"R"})
    source: Box | None = None
    held: int = 0
    used: int = 0


@dataclass
class Deal:
    """An offer."""

    giver: str
    to: str | None
    box: Box
    open: int
    expires: datetime
    returns: datetime | None
    counters: Deal | None = None
    held: int = 0
    state: str = "open"


@dataclass
class Pending:
    """A trade that waits for approval."""

    deal: Deal
    taker: str
    units: int
    expires: datetime
    state: str = "waiting"


@dataclass
class Lent:
    """A loan."""

    box: Box
    units: int
    due: datetime
    back: int = 0
    state: str = "lent"


@dataclass
class Market:
    """Who holds what, and what stands between them. Boxes are in order of their making."""

    cycle_end: datetime
    standing_due: datetime
    boxes: list[Box] = field(default_factory=list)
    loans: list[Lent] = field(default_factory=list)
    standing_units: int = 7
    standing_gave: int | None = None

    def own(self, owner: str) -> list[Box]:
        """What an owner may give, the fullest first."""
        mine = [box for box in self.boxes if box.owner == owner and box.kind != "loan"]
        return sorted(mine, key=lambda box: (-box.free, self.boxes.index(box)))

    def offer(self, box: Box, to: str | None, units: int, expires: datetime, returns: datetime | None) -> Deal:
        """Units into escrow."""
        rest = sum(mine.free for mine in self.own(box.owner)) - units
        if box.kind == "loan" or units > box.free or rest < FLOOR or to in box.came:
            raise Forbidden
        box.free, box.held = box.free - units, box.held + units
        return Deal(box.owner, to, box, units, expires, returns, held=units)

    def take(self, deal: Deal, taker: str, units: int, now: datetime) -> Pending | None:
        """Units to whoever takes them, or a trade that waits."""
        if deal.state != "open" or deal.expires <= now or taker == deal.giver or deal.to not in (None, taker):
            raise Forbidden
        if units > deal.open or taker in deal.box.came:
            raise Forbidden
        if deal.counters is not None and deal.counters.giver == taker:
            self.end(deal.counters, "withdrawn")
        deal.open -= units
        if not deal.open:
            deal.state = "taken"
        if units > APPROVAL:
            return Pending(deal, taker, units, min(self.cycle_end, deal.returns or self.cycle_end))
        self._settle(deal, taker, units)
        return None

    def _settle(self, deal: Deal, taker: str, units: int) -> None:
        deal.held, deal.box.held = deal.held - units, deal.box.held - units
        target = self._target(deal.box, taker, is_loan=deal.returns is not None)
        target.free += units
        if deal.returns is not None:
            self.loans.append(Lent(target, units, deal.returns))

    def _target(self, source: Box, taker: str, *, is_loan: bool) -> Box:
        for box in self.boxes:
            if not is_loan and (box.owner, box.kind, box.source) == (taker, "trade", source):
                return box
        made = Box(taker, "loan" if is_loan else "trade", 0, source.came | {source.owner}, source)
        self.boxes.append(made)
        return made

    def end(self, deal: Deal, state: str) -> None:
        """Withdrawn, refused or expired: what is open is free again."""
        if deal.state != "open":
            return
        self._free(deal, deal.open)
        deal.state = state

    def _free(self, deal: Deal, units: int) -> None:
        deal.box.free, deal.box.held, deal.held = deal.box.free + units, deal.box.held - units, deal.held - units

    def approve(self, pending: Pending) -> None:
        pending.state = "settled"
        self._settle(pending.deal, pending.taker, pending.units)

    def refuse(self, pending: Pending, now: datetime, state: str = "refused") -> None:
        deal, pending.state = pending.deal, state
        if deal.state in ("open", "taken") and deal.expires > now:
            deal.open, deal.state = deal.open + pending.units, "open"
            return
        self._free(deal, pending.units)
        if deal.state == "taken":
            deal.state = "expired"

    def bring_back(self, loan: Lent, units: int) -> None:
        """Unused units to the box that lent them."""
        if not 1 <= units <= min(loan.box.free, loan.units - loan.back):
            raise Forbidden
        assert loan.box.source is not None
        loan.box.free, loan.box.source.free = loan.box.free - units, loan.box.source.free + units
        loan.back += units
        if loan.back == loan.units:
            loan.state = "returned"

    def use(self, owner: str, units: int) -> None:
        """Own units in order of making, borrowed ones last; what lacks comes from above."""
        mine = [box for box in self.boxes if box.owner == owner]
        for box in sorted(mine, key=lambda box: box.kind == "loan"):
            drawn = min(units, box.free)
            box.free, box.used, units = box.free - drawn, box.used + drawn, units - drawn

    def tick(self, deals: list[Deal], pendings: list[Pending], now: datetime) -> None:
        """What time does: expiry, then approvals that came too late, loans, the standing order."""
        for deal in deals:
            if deal.expires <= now:
                self.end(deal, "expired")
        for pending in pendings:
            if pending.state == "waiting" and pending.expires <= now:
                self.refuse(pending, pending.expires, "expired")
        for loan in self.loans:
            if loan.state == "lent" and loan.due <= now:
                if unused := min(loan.box.free, loan.units - loan.back):
                    self.bring_back(loan, unused)
                loan.state = "owed" if loan.state == "lent" else loan.state
        if self.standing_gave is None and self.standing_due <= now:
            self._standing()

    def _standing(self) -> None:
        """From N to S, what is there above the floor, out of the fullest boxes."""
        mine = self.own("N")
        left = min(self.standing_units, max(sum(box.free for box in mine) - FLOOR, 0))
        self.standing_gave = 0
        for box in mine:
            units = min(left, box.free)
            if units and "S" not in box.came:
                box.free, left, self.standing_gave = box.free - units, left - units, self.standing_gave + units
                self._target(box, "S", is_loan=False).free += units
