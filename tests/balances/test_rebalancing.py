"""Rebalancing: the worked example of its page, the law of its plans, and that what no longer holds is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balances import rebalance, rebalancing, trading_terms
from balances.models import Trade
from balances.pace import DAY, DayUsage
from balances.rebalancing import Lot, Party, Plan, Stale, Wanted
from balances.selectors.rebalancing import plan_below
from balances.selectors.terms import terms_at
from portal.charging import pipeline
from tests.balances.test_ledger import give
from tests.balances.test_trading import DATA_NO, held, offered, proven
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import NUMBERS, START, World

PAGE = Path(__file__).parents[2] / "docs" / "rebalancing.md"
NOW = datetime(2026, 3, 11, tzinfo=UTC)
ENDS = NOW + 10 * DAY


def used(*units: int) -> list[DayUsage]:
    """The last days up to now, the latest last."""
    first = NOW - len(units) * DAY
    return [DayUsage(first + n * DAY, first + (n + 1) * DAY, value) for n, value in enumerate(units)]


def tables() -> list[list[list[str]]]:
    """The tables of the example, without their heads."""
    found: list[list[list[str]]] = [[]]
    for line in PAGE.read_text().split("## Example")[1].splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [table[2:] for table in found if table]


def test_the_example_of_the_page_comes_out_as_it_says():
    accounts, transfers = tables()
    ids = {row[0]: number for number, row in enumerate(accounts, start=1)}
    parties = []
    for name, free, days, *_ in accounts:
        lots, units = (Lot(ids[name] * 10, int(free)),), [int(day) for day in days.split()]
        terms = {"B": {"floor_units": 10}, "C": {"lot_units": 5}}.get(name, {})
        parties.append(Party(ids[name], int(free), used(*units), lots, **terms))
    plan = rebalancing.plan(parties, now=NOW, ends_at=ENDS)
    names = {number: name for name, number in ids.items()}
    stood = [
        [
            names[s.party.account_id],
            f"{s.need.expected_units} {s.need.likely_units} {s.need.cautious_units}",
            s.stand.replace("_", " "),
            str(s.short_units or s.spare_units),
        ]
        for s in plan.standings
    ]
    assert stood == [[row[0], *row[3:]] for row in accounts]
    done = [
        [names[t.from_id], names[t.to_id], str(t.units), str(t.giver.held_after), str(t.receiver.held_after)]
        for t in plan.transfers
    ]
    assert done == transfers


@st.composite
def parties(draw) -> list[Party]:
    made = []
    for number in range(1, draw(st.integers(2, 7)) + 1):
        lots = [
            Lot(number * 10 + n, units, frozenset(draw(st.sets(st.integers(1, 7), max_size=2))))
            for n, units in enumerate(draw(st.lists(st.integers(1, 60), max_size=2)))
        ]
        days = used(*draw(st.lists(st.integers(0, 9), min_size=2, max_size=6)))
        above = draw(st.sets(st.integers(1, number - 1), max_size=2)) if number > 1 else set()
        free = sum(lot.units for lot in lots) + draw(st.integers(0, 20))
        floor, size = draw(st.integers(0, 20)), draw(st.sampled_from([1, 1, 4]))
        made.append(Party(number, free, days, tuple(lots), floor, size, draw(st.booleans()), frozenset(above)))
    return made


@settings(max_examples=150, deadline=None)
@given(parties())
def test_a_plan_passes_no_floor_and_hurts_nobody_and_is_itself_not_stale(parties: list[Party]):
    plan: Plan = rebalancing.plan(parties, now=NOW, ends_at=ENDS)
    known = {party.account_id: party for party in parties}
    needs = {number: rebalancing.need_of(party.days, NOW, ENDS) for number, party in known.items()}
    gone: dict[int, int] = {}
    for transfer in plan.transfers:
        giver, receiver = known[transfer.from_id], known[transfer.to_id]
        assert transfer.units % giver.lot_units == 0 < transfer.units
        assert transfer.giver.held_after >= needs[giver.account_id].cautious_units
        assert transfer.receiver.held_before < needs[receiver.account_id].likely_units
        assert transfer.to_id not in {transfer.from_id, *giver.above}
        assert transfer.from_id not in receiver.above
        gone[transfer.from_id] = gone.get(transfer.from_id, 0) + transfer.units
    for number, units in gone.items():
        assert sum(lot.units for lot in known[number].lots) - units >= known[number].floor_units
    assert len(plan.transfers) <= len(parties) + sum(len(party.lots) for party in parties)
    wanted = [Wanted(t.bucket_id, t.to_id, t.units) for t in plan.transfers]
    assert rebalancing.recheck(wanted, parties, now=NOW, ends_at=ENDS) == list(plan.transfers)


# --- carried out ---------------------------------------------------------------------------------------------------


@pytest.fixture
def world(db: None) -> World:
    """N holds 60 and uses little, S holds 4 and used 2 a day."""
    world = World()
    give(world, 60, "N")
    give(world, 4, "S")
    records = [
        Record("one", f"{line}{n}", "data", NUMBERS[line], units, START - n * DAY - timedelta(hours=1))
        for n in range(5)
        for line, units in (("c", 2), ("b", 1))
    ]
    world.accept(records)
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    return world


def planned(world: World) -> Plan:
    return plan_below(world.accounts["R"], DATA_NO, terms_at(world.enterprise.id, START), START)


def carried(world: World, wanted: list[Wanted], **changes) -> list[Trade]:
    doing = {"account": world.accounts["R"], "service": DATA_NO, "transfers": wanted, "actor": ACTOR, "at": START}
    return rebalance.carry_out(**{**doing, **changes})


def test_proposals_are_done_as_shown_once_for_a_key_with_approval_included(world: World):
    trading_terms.set_terms(account=world.accounts["R"], service=DATA_NO, approval_above_units=1, actor=ACTOR, at=START)
    plan = planned(world)
    (transfer,) = plan.transfers
    assert (transfer.from_id, transfer.to_id) == (world.accounts["N"].id, world.accounts["S"].id)
    before = held(world, "S")[0]
    wanted = [Wanted(transfer.bucket_id, transfer.to_id, transfer.units)]
    trades = carried(world, wanted, key="all")
    assert [(t.units, t.state) for t in trades] == [(transfer.units, "settled")]
    assert held(world, "S") == (before + transfer.units, 0)
    assert carried(world, wanted, key="all") == trades
    assert not planned(world).transfers
    assert proven(world)


def test_what_no_longer_holds_is_refused_and_nothing_is_done(world: World):
    (transfer,) = planned(world).transfers
    wanted = [Wanted(transfer.bucket_id, transfer.to_id, transfer.units)]
    offered(world, held(world, "N")[0] - 3, None)  # in escrow now, so not to spare
    with pytest.raises(Stale, match="to spare now"):
        carried(world, wanted)
    give(world, 36, "S")
    with pytest.raises(Stale, match="misses 0 units now"):
        carried(world, wanted)
    with pytest.raises(Stale):
        carried(world, [Wanted(transfer.bucket_id, world.accounts["R"].id, 1)])
    assert not Trade.objects.exists()
