"""Random walks through the market, with usage between: the database and a reference in plain Python stay the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from balances import loans, proof, standing, trading, trading_terms
from balances.errors import Refused
from balances.models import Bucket, Loan, Offer, StandingRun, Trade
from portal.charging import pipeline
from tests.balances.market_model import APPROVAL, FLOOR, Box, Deal, Forbidden, Lent, Market, Pending
from tests.balances.test_ledger import give
from tests.balances.test_trading import DATA_NO
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World

SMALL, CHOICE = st.integers(1, 18), st.integers(0, 9)
TRADERS = st.sampled_from(["N", "S"])
OTHER = {"N": "S", "S": "N"}
LINES = {"N": "b", "S": "c"}
HELD = {"N": 40, "S": 25}


class Walk(RuleBasedStateMachine):
    """Each rule does one act on both, and expects both to do it or both to refuse it."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.save = transaction.savepoint()
        pipeline.forget_everything()
        self.now: datetime = START
        self.deals: list[tuple[Deal, int]] = []
        self.pendings: list[tuple[Pending, int]] = []
        self.turn = 0
        self.market = Market(BOUNDARIES[2], BOUNDARIES[1] + timedelta(days=17))
        self.market.boxes = [Box(owner, "allocation", units) for owner, units in HELD.items()]
        accounts = self.world.accounts
        self.standing = standing.make(
            account=accounts["N"], to_account=accounts["S"], service=DATA_NO, units=7, day=18, on_shortage="part",
            actor=ACTOR, at=START,
        )  # fmt: skip

    def teardown(self) -> None:
        faults = [found.faults for found in proof.prove(enterprise_id=self.world.enterprise.id) if not found.holds]
        transaction.savepoint_rollback(self.save)
        pipeline.forget_everything()
        assert not faults

    # --- both sides ------------------------------------------------------------------------------------------------

    def both(self, real: Callable[..., Any], model: Callable[[], Any], **wish: Any) -> tuple[Any, Any] | None:
        """Do an act on both; None where both refuse it."""
        try:
            expected = model()
        except Forbidden:
            with pytest.raises(Refused), transaction.atomic():
                real(**wish, actor=ACTOR, at=self.now)
            return None
        return real(**wish, actor=ACTOR, at=self.now), expected

    def rows(self, owner: str) -> list[Bucket]:
        account = self.world.accounts[owner]
        return list(Bucket.objects.filter(account=account, service=DATA_NO, cycle_start=BOUNDARIES[1]).order_by("id"))

    def row_of(self, box: Box) -> Bucket:
        mine = [known for known in self.market.boxes if known.owner == box.owner]
        return self.rows(box.owner)[mine.index(box)]

    def _offer(self, owner: str, pick: int, units: int, hours: int, lends: int, counters: tuple | None, to: str | None):
        mine = [box for box in self.market.boxes if box.owner == owner]
        box = mine[pick % len(mine)]
        expires = self.now + timedelta(hours=hours)
        returns = expires + timedelta(hours=lends) if lends else None
        done = self.both(
            trading.offer,
            lambda: self.market.offer(box, to, units, expires, returns),
            account=self.world.accounts[owner],
            to_account=self.world.accounts[to] if to else None,
            bucket=self.row_of(box),
            gives_units=units,
            expires_at=expires,
            returns_at=returns,
            counters=Offer.objects.get(id=counters[1]) if counters else None,
        )
        if done:
            done[1].counters = counters[0] if counters else None
            self.deals.append((done[1], done[0].id))

    @rule(owner=TRADERS, pick=CHOICE, units=SMALL, hours=st.integers(1, 60), lends=st.sampled_from([0, 0, 5, 40]))
    def offers(self, owner: str, pick: int, units: int, hours: int, lends: int) -> None:
        self._offer(owner, pick, units, hours, lends, None, OTHER[owner] if pick % 2 else None)

    @precondition(lambda self: any(deal.state == "open" for deal, _ in self.deals))
    @rule(pick=CHOICE, box=CHOICE, units=SMALL)
    def counters(self, pick: int, box: int, units: int) -> None:
        standing_deals = [(d, n) for d, n in self.deals if d.state == "open" and d.expires > self.now and d.to]
        if standing_deals:
            first = standing_deals[pick % len(standing_deals)]
            self._offer(OTHER[first[0].giver], box, units, 20, 0, first, first[0].giver)

    @precondition(lambda self: self.deals)
    @rule(pick=CHOICE, by=TRADERS, units=SMALL, whole=st.booleans())
    def takes(self, pick: int, by: str, units: int, whole: bool) -> None:
        deal, number = self.deals[-1 - pick % len(self.deals)]
        units = deal.open or 1 if whole else units
        done = self.both(
            trading.accept,
            lambda: self.market.take(deal, by, units, self.now),
            offer=Offer.objects.get(id=number),
            account=self.world.accounts[by],
            units=units,
        )
        if done:
            assert done[0].state == ("waiting" if units > APPROVAL else "settled")
            if done[1]:
                self.pendings.append((done[1], done[0].id))

    @precondition(lambda self: any(pending.state == "waiting" for pending, _ in self.pendings))
    @rule(pick=CHOICE, yes=st.booleans())
    def decides(self, pick: int, yes: bool) -> None:
        waiting = [(p, n) for p, n in self.pendings if p.state == "waiting"]
        pending, number = waiting[pick % len(waiting)]
        trade = Trade.objects.get(id=number)
        if yes:
            self.both(trading.approve, lambda: self.market.approve(pending), trade=trade)
        else:
            self.both(trading.refuse, lambda: self.market.refuse(pending, self.now), trade=trade)

    @precondition(lambda self: any(deal.state == "open" for deal, _ in self.deals))
    @rule(pick=CHOICE)
    def withdraws(self, pick: int) -> None:
        standing_deals = [(d, n) for d, n in self.deals if d.state == "open"]
        deal, number = standing_deals[pick % len(standing_deals)]
        self.both(trading.withdraw, lambda: self.market.end(deal, "withdrawn"), offer=Offer.objects.get(id=number))

    @precondition(lambda self: self.market.loans)
    @rule(pick=CHOICE, units=SMALL)
    def gives_back(self, pick: int, units: int) -> None:
        place = pick % len(self.market.loans)
        loan = Loan.objects.order_by("id")[place]
        lent: Lent = self.market.loans[place]
        self.both(loans.repay, lambda: self.market.bring_back(lent, units), loan=loan, units=units)

    @rule(owner=TRADERS, units=SMALL)
    def uses(self, owner: str, units: int) -> None:
        self.turn += 1
        line = LINES[owner]
        used_at = self.now - timedelta(minutes=1)
        self.world.accept([Record("one", f"t{self.turn}", "data", NUMBERS[line], units, used_at)], self.now)
        pipeline.drain(self.world.enterprise.id, clock=lambda: self.now)
        self.market.use(owner, units)

    @precondition(lambda self: self.now < BOUNDARIES[2] - timedelta(days=4))
    @rule(hours=st.sampled_from([1, 6, 30, 70]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        for _ in range(2):  # twice is once
            trading.sweep(actor="beat", at=self.now)
            loans.return_due(actor="beat", at=self.now)
            standing.run_due(actor="beat", at=self.now)
        self.market.tick([deal for deal, _ in self.deals], [pending for pending, _ in self.pendings], self.now)

    # --- the same ---------------------------------------------------------------------------------------------------

    @invariant()
    def every_box_is_its_bucket(self) -> None:
        for owner in HELD:
            real = [(b.kind, b.remaining_units, b.reserved_units, b.used_units) for b in self.rows(owner)]
            assert real == [(b.kind, b.free, b.held, b.used) for b in self.market.boxes if b.owner == owner]

    @invariant()
    def every_offer_and_loan_is_there_as_it_is(self) -> None:
        known = {n: (deal.state, deal.open if deal.state == "open" else 0, deal.held) for deal, n in self.deals}
        real = {o.id: (o.state, o.open_units if o.state == "open" else 0, o.held_units) for o in Offer.objects.all()}
        assert {number: real[number] for number in known} == known
        assert all(state == "taken" for number, (state, *_) in real.items() if number not in known)  # standing order's
        lent = [(loan.units, loan.returned_units, loan.state) for loan in Loan.objects.order_by("id")]
        assert lent == [(loan.units, loan.back, loan.state) for loan in self.market.loans]
        runs = list(StandingRun.objects.filter(standing=self.standing).values_list("units", flat=True))
        assert runs == ([] if self.market.standing_gave is None else [self.market.standing_gave])


def walked(examples: int, phases: tuple[Phase, ...] = (Phase.generate, Phase.shrink)) -> None:
    """So many walks, each undone at its end."""
    world = World()
    for owner, units in HELD.items():
        give(world, units, owner)
    trading_terms.set_terms(
        account=world.accounts["R"], service=DATA_NO, floor_units=FLOOR, approval_above_units=APPROVAL, actor=ACTOR,
        at=START,
    )  # fmt: skip
    run_state_machine_as_test(
        type("WalkHere", (Walk,), {"world": world}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
            phases=phases,
        ),
    )


@pytest.mark.django_db
def test_the_market_and_its_reference_stay_the_same():
    walked(examples=15)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["_settle", "bring_back"])
def test_a_reference_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch, name: str):
    """The control: with one unit out of place in one act of the model, a walk ends in a difference."""
    right = getattr(Market, name)

    def off(self: Market, *arguments: Any) -> None:
        right(self, *arguments)
        self.boxes[0].free += 1

    monkeypatch.setattr(Market, name, off)
    with pytest.raises(AssertionError):
        walked(examples=15, phases=(Phase.generate,))
