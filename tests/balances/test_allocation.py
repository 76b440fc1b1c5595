"""Allocating to many at once: all or nothing, once for a key, undone as far as unused, whoever does what beside it."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections, transaction

from balances import allocation, ledger, proof
from balances.allocation import NothingToMove, NotUndoable, Share, ShareBy
from balances.allocation_plan import Act, PlanRefused, Wish
from balances.errors import Refused
from balances.ledger import KeyConflict
from balances.models import Allocation, AuditEvent, Bucket, ChargingState, Entry
from portal.charging import pipeline
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World

pytestmark = pytest.mark.django_db

DATA = "grant:Data:1"


@pytest.fixture
def world() -> World:
    return World()


def number(world: World, key: str = DATA) -> int:
    return next(bucket_id for bucket_id, known in world.bucket_keys().items() if known == key)


def receiver(world: World, name: str) -> tuple[str, int]:
    return ("line", world.lines[name].id) if name in world.lines else ("account", world.accounts[name].id)


def wish(world: World, row: int, name: str, *amount, **changes) -> Wish:
    return Wish(row, receiver(world, name), *amount, **changes)


def apply(world: World, *wishes: Wish, source: str = DATA, **changes) -> Allocation:
    return allocation.apply(
        **{"bucket_id": number(world, source), "wishes": wishes, "actor": ACTOR, "at": START, **changes}
    )


def received(world: World, *names: str, source: str = DATA) -> list[int]:
    buckets = world.buckets()
    keys = [f"allocation:{source}:{'line' if name in world.lines else 'account'}:{name}" for name in names]
    return [buckets[key][1] if key in buckets else 0 for key in keys]


def proven(world: World) -> bool:
    return all(finding.holds for finding in proof.prove(enterprise_id=world.enterprise.id))


def test_many_moves_are_one_act_with_one_charge_sequence(world: World):
    before = ChargingState.objects.get().charge_sequence
    done = apply(world, wish(world, 1, "N", units=30), wish(world, 2, "S", units=20), wish(world, 3, "a", units=5))
    assert received(world, "N", "S", "a") == [30, 20, 5]
    assert world.buckets()[DATA][2] == 45
    assert ChargingState.objects.get().charge_sequence == before + 1
    assert [move["units"] for move in done.moves] == [30, 20, 5]
    assert AuditEvent.objects.filter(action="bucket.allocated").count() == 3
    assert proven(world)


def test_units_move_from_one_to_another_in_one_act(world: World):
    apply(world, wish(world, 1, "N", units=100))
    apply(world, wish(world, 1, "S", units=60), wish(world, 2, "N", units=40))
    assert received(world, "N", "S") == [40, 60]
    assert world.buckets()[DATA][2] == 0
    assert proven(world)


def test_one_row_that_does_not_fit_stops_all(world: World):
    entries = Entry.objects.count()
    with pytest.raises(PlanRefused) as refused:
        apply(world, wish(world, 1, "N", units=99), wish(world, 2, "S", units=2))
    assert [problem.row for problem in refused.value.problems] == [2]
    assert (Entry.objects.count(), Allocation.objects.count()) == (entries, 0)


def test_a_key_makes_repeating_harmless_and_something_else_a_conflict(world: World):
    first = apply(world, wish(world, 1, "N", Act.GIVE, 30), key="k")
    assert apply(world, wish(world, 1, "N", Act.GIVE, 30), key="k") == first
    assert received(world, "N") == [30]
    with pytest.raises(KeyConflict):
        apply(world, wish(world, 1, "N", Act.GIVE, 31), key="k")


def test_what_was_changed_since_it_was_shown_is_refused(world: World):
    shown = wish(world, 1, "N", units=50, expects_units=0)
    apply(world, wish(world, 1, "N", units=10))
    with pytest.raises(PlanRefused) as refused:
        apply(world, shown)
    assert refused.value.problems[0].code == "changed"


def test_only_who_hangs_below_receives(world: World):
    apply(world, wish(world, 1, "N", units=30))
    held = f"allocation:{DATA}:account:N"
    apply(world, wish(world, 1, "N2", units=5), wish(world, 2, "a", units=5), wish(world, 3, "b", units=1), source=held)
    for elsewhere in ("S", "R", "N", "c", "d"):
        with pytest.raises(PlanRefused) as refused:
            apply(world, wish(world, 1, elsewhere, units=1), source=held)
        assert refused.value.problems[0].code == "not_below"
    assert proven(world)


@pytest.mark.parametrize(
    ("wishes", "changes"),
    [
        ([], {}),
        ([("N", {"units": 1})], {"bucket_id": 0}),
        ([("N", {"units": 1})], {"at": BOUNDARIES[2]}),
        ([("N", {"units": 1})], {"key": "k" * (ledger.KEY_LENGTH + 1)}),
        ([("N", {"units": 1, "weight": 1})], {}),
        ([("N", {})], {}),
        ([("N", {"units": -1})], {}),
        ([("N", {"weight": 1})], {}),
        ([("N", {"weight": 1})], {"share": Share(5, cycles=0)}),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_trace(world: World, wishes, changes):
    entries = Entry.objects.count()
    with pytest.raises(Refused):
        apply(world, *(wish(world, row, name, **amount) for row, (name, amount) in enumerate(wishes)), **changes)
    assert Entry.objects.count() == entries


def test_an_act_that_changes_nothing_is_none(world: World):
    apply(world, wish(world, 1, "N", units=30))
    with pytest.raises(NothingToMove):
        apply(world, wish(world, 1, "N", units=30))


def test_shares_by_history_follow_usage_of_closed_cycles(world: World):
    world.accept(
        [
            Record("one", "n", "data", NUMBERS["a"], 30, BOUNDARIES[0] + timedelta(days=1)),
            Record("one", "s", "data", NUMBERS["c"], 10, BOUNDARIES[0] + timedelta(days=1)),
        ]
    )
    pipeline.drain(world.enterprise.id, clock=lambda: START - timedelta(days=1))
    sharing = [wish(world, 1, "N", Act.GIVE, weight=1), wish(world, 2, "S", Act.GIVE, weight=1)]
    apply(world, *sharing, share=Share(41, ShareBy.HISTORY))
    assert received(world, "N", "S") == [31, 10]
    apply(world, *sharing, share=Share(None))  # the other 59, the odd one to the first
    assert received(world, "N", "S") == [61, 39]


def test_a_preview_says_what_applying_does_and_does_nothing(world: World):
    wishes = [wish(world, 1, "N", percent_hundredths=3333), wish(world, 2, "S", percent_hundredths=3333)]
    shown = allocation.preview(bucket_id=number(world), wishes=wishes, at=START)
    assert Entry.objects.filter(transfer__isnull=False).count() == 0
    done = apply(world, *wishes)
    assert [move["units"] for move in done.moves] == [row.units for row in shown.rows]
    assert world.buckets()[DATA][2] == shown.after.remaining_units


def test_undoing_brings_back_what_is_unused_once(world: World):
    done = apply(world, wish(world, 1, "N", units=30), wish(world, 2, "S", units=20))
    world.accept([Record("one", "u", "data", NUMBERS["b"], 12, START - timedelta(hours=1))])
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    undone = allocation.undo(allocation_id=done.id, key="u", actor=ACTOR, at=START)
    assert allocation.undo(allocation_id=done.id, key="u", actor=ACTOR, at=START) == undone
    assert received(world, "N", "S") == [12, 0]
    for again in (done, undone):
        with pytest.raises(NotUndoable):
            allocation.undo(allocation_id=again.id, actor=ACTOR, at=START)
    assert proven(world)


def test_acts_can_be_neither_changed_nor_deleted(world: World):
    apply(world, wish(world, 1, "N", units=30))
    for statement in ("UPDATE balances_allocation SET moves = '[]'", "DELETE FROM balances_allocation"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.django_db(transaction=True)
def test_bulk_acts_and_charging_at_once_lose_and_double_nothing(world: World):
    """Real transactions on real connections: every act is whole or not there, and no unit is made or lost."""
    pipeline.forget_everything()
    records = [Record("one", f"cdr-{i}", "data", NUMBERS["a"], 1, START - timedelta(hours=1)) for i in range(40)]
    problems: list[Exception] = []

    def mover(who: int) -> None:
        for turn in range(6):
            wishes = [wish(world, 1, "N", Act.GIVE, 7 + who), wish(world, 2, "S", Act.GIVE, 5)]
            with suppress(PlanRefused, NotUndoable):
                done = apply(world, *wishes, key=f"{who}-{turn}")
                if turn % 2:
                    allocation.undo(allocation_id=done.id, actor=ACTOR, at=START)

    def charger(_: int) -> None:
        for start in range(0, len(records), 4):
            world.accept(records[start : start + 4])
            pipeline.drain(world.enterprise.id, clock=lambda: START)

    def noting(work, who: int) -> None:
        try:
            work(who)
        except Exception as problem:
            problems.append(problem)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=noting, args=(work, who)) for who, work in enumerate([mover] * 6 + [charger])]
    connection.close()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    assert problems == []
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    net = {"N": 0, "S": 0}
    names = {world.accounts[name].id: name for name in net}
    for done in Allocation.objects.all():
        for move in done.moves:
            net[names[move["account"]]] += move["units"]
    assert received(world, "N", "S") == [net["N"], net["S"]]
    assert Bucket.objects.get(id=number(world)).given_units == sum(net.values())
    assert sum(bucket[4] for bucket in world.buckets().values()) == 40
    assert proven(world)
