"""Loans and standing transfers while usage is charged, by real threads: each unit comes back or is used, once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from balances import loans, proof, standing, trading
from balances.models import Bucket, Loan, StandingRun
from portal.charging import pipeline
from tests.balances.test_ledger import give
from tests.balances.test_trading import DATA_NO, offered
from tests.balances.test_trading_workers import at_once
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import NUMBERS, START, World

ROUNDS = 4
DUE = START + timedelta(hours=1)


@pytest.mark.django_db(transaction=True)
def test_returns_repayments_standing_transfers_and_usage_meet_on_the_same_units():
    pipeline.forget_everything()
    world = World()
    give(world, 40, "N")
    for turn in range(ROUNDS):
        offer = offered(world, 5, returns_at=DUE, expires_at=DUE)
        loan = trading.accept(offer=offer, account=world.accounts["S"], actor=ACTOR, at=START).loan
        row = standing.make(
            account=world.accounts["N"], to_account=world.accounts["S"], service=DATA_NO, units=1, day=20, actor=ACTOR,
            at=START,
        )  # fmt: skip
        world.accept([Record("one", f"r{turn}", "data", NUMBERS["c"], 2, START - timedelta(hours=1))])
        assert not at_once(
            lambda: loans.return_due(actor="beat", at=DUE),
            lambda: loans.return_due(actor="beat", at=DUE),
            lambda loan=loan: loans.repay(loan=loan, units=2, key="k", actor=ACTOR, at=START),
            lambda loan=loan: loans.repay(loan=loan, units=2, key="k", actor=ACTOR, at=START),
            lambda row=row: standing.run_due(actor="beat", at=row.next_at),
            lambda row=row: standing.run_due(actor="beat", at=row.next_at),
            lambda: pipeline.drain(world.enterprise.id, clock=lambda: START),
        )
        pipeline.drain(world.enterprise.id, clock=lambda: START)
        loans.return_due(actor="beat", at=DUE)
        standing.run_due(actor="beat", at=row.next_at)
        loan = Loan.objects.select_related("bucket").get(id=loan.id)
        assert (loan.bucket.remaining_units, loan.bucket.reserved_units) == (0, 0)
        assert loan.returned_units + loan.bucket.used_units == 5
        assert (loan.state == "returned") == (loan.bucket.used_units == 0)
        assert StandingRun.objects.get(standing=row).units == 1
    lender = Bucket.objects.get(account=world.accounts["N"])
    assert lender.given_units == sum(loan.owed_units for loan in Loan.objects.all()) + ROUNDS
    assert all(finding.holds for finding in proof.prove(enterprise_id=world.enterprise.id))
