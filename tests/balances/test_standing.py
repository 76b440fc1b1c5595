"""Standing transfers: once in each cycle whatever beat misses, by their own rule where there is less than was meant."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from balances import cycles, proof, standing, trading_terms
from balances.errors import Refused
from balances.models import Bucket, StandingRun, StandingTransfer
from balances.models.trading import RunOutcome, StandingState
from tests.balances.test_ledger import give
from tests.balances.test_trading import DATA_NO, VOICE, VOICE_NO, held, own, proven
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, START, World

#: Midnight in Berlin on the 20th of March, the 20th day of the cycle.
TWENTIETH = BOUNDARIES[1] + timedelta(days=19)
pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None) -> World:
    """N has 40 data of its own in March."""
    world = World()
    give(world, 40, "N")
    return world


def made(world: World, units: int = 10, by: str = "N", **changes) -> StandingTransfer:
    values = {"account": world.accounts[by], "to_account": world.accounts["S"], "service": DATA_NO, "day": 20}
    return standing.make(**{**values, "units": units, "actor": ACTOR, "at": START, **changes})


def ran(at) -> int:
    return standing.run_due(actor="beat", at=at)


def runs(row: StandingTransfer) -> list[tuple[str, int]]:
    return [(run.outcome, run.units) for run in StandingRun.objects.filter(standing=row).order_by("id")]


def test_it_gives_once_a_cycle_however_often_and_late_beat_looks(world: World):
    row = made(world)
    assert row.next_at == TWENTIETH
    assert ran(TWENTIETH - timedelta(seconds=1)) == 0
    assert ran(TWENTIETH + timedelta(days=3)) == 1  # three days of beats were missed
    assert ran(TWENTIETH + timedelta(days=4)) == 0
    assert (held(world, "N"), held(world, "S")) == ((30, 0), (10, 0))
    row.refresh_from_db()
    assert row.next_at > BOUNDARIES[2]
    with pytest.raises(IntegrityError), transaction.atomic():
        StandingRun.objects.create(
            enterprise=world.enterprise, standing=row, cycle_start=BOUNDARIES[1], outcome="skipped", units=0,
            due_at=START, at=START,
        )  # fmt: skip
    assert proven(world)


def test_with_less_than_was_meant_it_skips_or_gives_what_is_there_above_the_floor(world: World):
    trading_terms.set_terms(
        account=world.accounts["R"], service=DATA_NO, floor_units=15, lot_units=4, actor=ACTOR, at=START
    )
    skips, part = made(world, 28), made(world, 28, on_shortage="part")
    assert ran(TWENTIETH) == 2
    assert (runs(skips), runs(part)) == ([("skipped", 0)], [("part", 24)])
    assert "4 of 28 units were missing" in StandingRun.objects.get(standing=part).why
    assert held(world, "N") == (16, 0)
    assert proven(world)


def test_a_cycle_that_was_missed_as_a_whole_is_noted_and_the_next_one_is_given(world: World):
    root = made(world, 5, "R", day=1)
    assert root.next_at == BOUNDARIES[2]
    at = BOUNDARIES[3] + timedelta(hours=1)
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=at, actor="beat")
    assert ran(at) == 2
    assert runs(root) == [(RunOutcome.MISSED, 0), (RunOutcome.MOVED, 5)]
    got = Bucket.objects.get(account=world.accounts["S"], cycle_start=BOUNDARIES[3])
    assert (got.kind, got.remaining_units) == ("trade", 5)
    assert proven(world)


def test_paused_ended_and_past_its_date_it_does_not_run(world: World):
    paused, ended = made(world, 5), made(world, 5)
    dated = made(world, 5, until=TWENTIETH + timedelta(days=1))
    standing.pause(standing=paused, actor=ACTOR, at=START)
    standing.end(standing=ended, actor=ACTOR, at=START)
    with pytest.raises(Refused):
        standing.resume(standing=ended, actor=ACTOR, at=START)
    assert ran(TWENTIETH) == 1
    resumed = standing.resume(standing=paused, actor=ACTOR, at=TWENTIETH + timedelta(days=2))
    assert resumed.next_at > BOUNDARIES[2]  # the pause is not made up for
    assert ran(TWENTIETH + timedelta(days=2)) == 0
    assert ran(TWENTIETH + timedelta(days=35)) == 1  # the resumed one
    dated.refresh_from_db()
    assert (dated.state, runs(dated)) == (StandingState.ENDED, [("moved", 5)])
    with pytest.raises(Refused, match="first run is due"):
        made(world, 5, until=TWENTIETH)


def test_approval_holds_and_refusals_are_told(world: World):
    give(world, 30, "S", VOICE)
    trading_terms.set_terms(account=world.accounts["R"], service=DATA_NO, approval_above_units=5, actor=ACTOR, at=START)
    waits, back = made(world, 10), made(world, 5, "S", service=VOICE_NO, to_account=world.accounts["N"])
    trading_terms.set_terms(account=world.accounts["S"], service=VOICE_NO, may_trade=False, actor=ACTOR, at=START)
    assert ran(TWENTIETH) == 2
    assert (runs(waits), runs(back)) == ([("moved", 10)], [("skipped", 0)])
    assert "may not trade" in StandingRun.objects.get(standing=back).why
    assert held(world, "N") == (30, 10)  # in escrow until it is approved
    assert own(world, "N").reserved_units == 10
    assert proven(world)


def test_a_damaged_run_is_named(world: World):
    made(world)
    ran(TWENTIETH)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE balances_trade SET run_id = NULL")
    faulty = {finding.check.name for finding in proof.prove(enterprise_id=world.enterprise.id) if not finding.holds}
    assert faulty == {"standing-runs-are-their-trades"}
