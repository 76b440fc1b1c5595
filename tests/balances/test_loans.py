"""Loans: what is unused goes back by itself, what was used stays owed until it is repaid or forgiven."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from balances import allocation, cycles, ledger, loans, proof, reservations, trading, trading_terms
from balances.allocation_plan import Wish
from balances.errors import Refused
from balances.ledger import KeyConflict, NotEnough
from balances.loans import LoanEnded
from balances.models import Bucket, Entry, Loan, Offer, OfferAct
from balances.models.trading import LoanState
from portal.charging import pipeline
from tests.balances.test_ledger import give
from tests.balances.test_trading import DATA_NO, VOICE_NO, accepted, held, offered, own, proven
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World

DUE = START + timedelta(days=2)
pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None) -> World:
    """N has 40 data of its own."""
    world = World()
    give(world, 40, "N")
    return world


def lent(world: World, units: int = 20, returns_at=DUE, **changes) -> Loan:
    """N lends to S."""
    accepted(world, offered(world, units, returns_at=returns_at, **changes))
    return Loan.objects.latest("id")


def use(world: World, units: int, name: str = "r") -> None:
    """Line c of S uses data at home."""
    world.accept([Record("one", name, "data", NUMBERS["c"], units, START - timedelta(hours=1))])
    pipeline.drain(world.enterprise.id, clock=lambda: START)


def acts(loan: Loan) -> list[tuple[str, int]]:
    rows = OfferAct.objects.filter(trade=loan.trade_id).order_by("id")
    return [(act.kind, act.units) for act in rows]


def test_what_is_unused_goes_back_once_and_what_was_used_stays_owed(world: World):
    loan = lent(world)
    assert (held(world, "N"), held(world, "S")) == ((20, 0), (20, 0))
    use(world, 5)
    assert loans.return_due(actor="beat", at=DUE - timedelta(seconds=1)) == 0
    assert loans.return_due(actor="beat", at=DUE + timedelta(hours=5)) == 1  # hours of beats were missed
    assert loans.return_due(actor="beat", at=DUE + timedelta(hours=6)) == 0
    loan.refresh_from_db()
    assert (loan.state, loan.returned_units, loan.owed_units) == (LoanState.OWED, 15, 5)
    assert (held(world, "N"), held(world, "S")) == ((35, 0), (0, 0))
    assert acts(loan) == [("accepted", 20), ("returned", 15)]
    assert Entry.objects.filter(bucket=loan.bucket).latest("id").at == DUE  # dated when it was due
    told = OfferAct.objects.latest("id")
    assert (told.at, told.recorded_at) == (DUE, DUE + timedelta(hours=5))
    assert proven(world)


def test_an_unused_loan_is_returned_and_done(world: World):
    loan = lent(world)
    loans.return_due(actor="beat", at=DUE)
    loan.refresh_from_db()
    assert (loan.state, loan.owed_units, held(world, "N")) == (LoanState.RETURNED, 0, (40, 0))
    with pytest.raises(LoanEnded):
        loans.repay(loan=loan, actor=ACTOR, at=DUE)


def test_borrowed_units_are_used_last_and_go_nowhere_else(world: World):
    give(world, 3, "S")
    loan = lent(world)
    use(world, 4)
    loan.bucket.refresh_from_db()
    assert loan.bucket.used_units == 1
    doing = {"actor": ACTOR, "at": START}
    for elsewhere in (
        lambda: offered(world, 5, "N1", "S", bucket=loan.bucket),
        lambda: ledger.allocate(bucket_id=loan.bucket_id, account_id=world.accounts["S1"].id, units=1, **doing),
        lambda: allocation.apply(
            bucket_id=loan.bucket_id, wishes=[Wish(1, ("account", world.accounts["S1"].id), units=1)], **doing
        ),
    ):
        with pytest.raises(Refused, match="borrowed"):
            elsewhere()


def test_the_end_of_the_cycle_brings_it_back_before_the_rest_is_carried_over(world: World):
    end = own(world, "N").valid_until
    with pytest.raises(Refused, match="by then a loan is back"):
        lent(world, returns_at=end + timedelta(seconds=1))
    loan = lent(world, returns_at=end)
    use(world, 5)
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=end + timedelta(days=1), actor="beat")
    loan.refresh_from_db()
    assert (loan.state, loan.owed_units) == (LoanState.OWED, 5)
    assert not Bucket.objects.filter(account=world.accounts["S"], kind="rollover").exists()
    assert Bucket.objects.get(kind="rollover", source__account=world.accounts["N"]).received_units > 0
    # In the next cycle nothing is taken by itself; the borrower repays by hand out of what it has then.
    later = end + timedelta(days=2)
    assert loans.return_due(actor="beat", at=later) == 0
    granted = Bucket.objects.filter(kind="grant", service=DATA_NO, cycle_start=end).earliest("id")
    ledger.allocate(bucket_id=granted.id, account_id=world.accounts["S"].id, units=9, actor=ACTOR, at=later)
    source = Bucket.objects.get(account=world.accounts["S"], source=granted)
    loan = loans.repay(loan=loan, units=5, bucket=source, actor=ACTOR, at=later)
    assert (loan.state, loan.owed_units) == (LoanState.RETURNED, 0)
    assert Bucket.objects.get(account=world.accounts["N"], source=source).remaining_units == 5
    assert proven(world)


def test_early_by_hand_in_parts_and_once_for_a_key(world: World):
    loan = lent(world)
    doing = {"actor": ACTOR, "at": START}
    assert loans.check_repay(loan=loan, units=8, at=START).owed_units == 12
    assert loans.repay(loan=loan, units=8, key="k", **doing).owed_units == 12
    assert loans.repay(loan=loan, units=8, key="k", **doing).owed_units == 12
    with pytest.raises(KeyConflict):
        loans.repay(loan=loan, units=9, key="k", **doing)
    with pytest.raises(NotEnough):
        loans.repay(loan=loan, units=13, **doing)
    use(world, 10)
    with pytest.raises(NotEnough):
        loans.repay(loan=loan, units=3, **doing)
    assert loans.repay(loan=loan, **doing).owed_units == 10  # all that is unused
    assert proven(world)


def test_what_a_session_holds_at_the_return_follows_when_it_is_free(world: World):
    loan = lent(world, 20)
    reservations.reserve(bucket_id=loan.bucket_id, key="s", units=6, expires_at=DUE, actor=ACTOR, at=START)
    loans.return_due(actor="beat", at=DUE)
    assert held(world, "N") == (34, 0)
    reservations.settle(key="s", used_units=2, actor=ACTOR, at=DUE)
    assert loans.return_due(actor="beat", at=DUE) == 1
    loan.refresh_from_db()
    assert (loan.state, loan.owed_units, held(world, "N")) == (LoanState.OWED, 2, (38, 0))
    assert proven(world)


def test_the_lender_may_forgive_what_is_owed_but_not_call_a_loan_back(world: World):
    loan = lent(world)
    use(world, 5)
    with pytest.raises(Refused, match="not due yet"):
        loans.forgive(loan=loan, actor=ACTOR, at=START)
    assert held(world, "S") == (15, 0)
    loans.return_due(actor="beat", at=DUE)
    loan = loans.forgive(loan=loan, actor=ACTOR, at=DUE)
    assert loans.forgive(loan=loan, actor=ACTOR, at=DUE) == loan
    assert (loan.state, loan.returned_units, loan.owed_units) == (LoanState.FORGIVEN, 15, 0)
    assert acts(loan)[-2:] == [("returned", 15), ("forgiven", 5)]
    assert loans.return_due(actor="beat", at=DUE) == 0
    assert proven(world)


def test_a_loan_may_wait_for_approval_and_may_be_asked_for(world: World):
    trading_terms.set_terms(account=world.accounts["R"], service=DATA_NO, approval_above_units=5, actor=ACTOR, at=START)
    trade = accepted(world, offered(world, 10, returns_at=DUE))
    assert not Loan.objects.exists()
    trading.approve(trade=trade, actor=ACTOR, at=START)
    assert Loan.objects.get().units == 10
    asked = offered(world, 0, None, "S", wants_service=DATA_NO, wants_units=4, returns_at=DUE)
    accepted(world, asked, "N")
    loan = Loan.objects.latest("id")
    assert (loan.lender, loan.borrower, loan.units) == (world.accounts["N"], world.accounts["S"], 4)
    with pytest.raises(Refused, match="internal price"):
        offered(world, 4, wants_service=VOICE_NO, wants_units=1, returns_at=DUE)
    with pytest.raises(Refused, match="before the loan returns"):
        offered(world, 4, returns_at=DUE, expires_at=DUE + timedelta(seconds=1))
    assert Offer.objects.filter(returns_at=DUE).count() == 2
    assert proven(world)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE balances_loan SET returned_units = returned_units + 1", {"loans-are-what-came-back"}),
        (
            "UPDATE balances_loan SET trade_id = (SELECT max(id) FROM balances_trade)",
            {"loans-are-what-came-back"},
        ),
    ],
)
def test_a_damaged_loan_is_named(world: World, damage: str, named: set[str]):
    loan = lent(world)
    loans.repay(loan=loan, units=4, actor=ACTOR, at=START)
    accepted(world, offered(world, 1))
    assert proven(world)
    with connection.cursor() as cursor:
        cursor.execute(damage)
    faulty = {finding.check.name for finding in proof.prove(enterprise_id=world.enterprise.id) if not finding.holds}
    assert faulty == named


def test_boundaries_are_those_of_the_small_world():
    assert BOUNDARIES[1] < START < DUE < BOUNDARIES[2]
