"""The ledger's verbs: both sides or neither, once for a key, never below zero, whoever does what at the same time."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections

from balances import ledger, proof, reservations
from balances.errors import Refused
from balances.ledger import KeyConflict, NotBelow, NotEnough
from balances.models import AuditEvent, Bucket, Entry, Reservation
from balances.models.ledger import EntryKind
from portal.charging import pipeline
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World

DATA, HOME = "grant:Data:1", "grant:Data at home:1"


@pytest.fixture
def world(db: None) -> World:
    return World()


def number(world: World, key: str) -> int:
    return next(bucket_id for bucket_id, known in world.bucket_keys().items() if known == key)


def give(world: World, units: int, to: str = "N", source: str = DATA, **changes) -> ledger.Transfer:
    line = world.lines.get(to)
    target = {"line_id": line.id} if line else {"account_id": world.accounts[to].id}
    return ledger.allocate(
        **{"bucket_id": number(world, source), "units": units, "actor": ACTOR, "at": START, **target, **changes}
    )


def take_back(world: World, units: int, **changes) -> ledger.Transfer:
    bucket_id = number(world, f"allocation:{DATA}:account:N")
    return ledger.take_back(**{"bucket_id": bucket_id, "units": units, "actor": ACTOR, "at": START, **changes})


def proven(world: World) -> bool:
    return all(finding.holds for finding in proof.prove(enterprise_id=world.enterprise.id))


def test_an_allocation_has_two_sides_of_one_transfer(world: World):
    moved = give(world, 30)
    sides = {entry.bucket_id: (entry.kind, entry.units, entry.remaining_after) for entry in
             Entry.objects.filter(transfer=moved.id)}  # fmt: skip
    assert sides == {
        moved.from_bucket_id: (EntryKind.TRANSFER_OUT, 30, 70),
        moved.to_bucket_id: (EntryKind.TRANSFER_IN, 30, 30),
    }
    source, target = Bucket.objects.get(id=moved.from_bucket_id), Bucket.objects.get(id=moved.to_bucket_id)
    for field in ("service", "zone_ids", "priority", "valid_from", "valid_until", "allowance_id", "cycle_start"):
        assert getattr(source, field) == getattr(target, field)
    assert AuditEvent.objects.filter(action="bucket.allocated").count() == 1
    assert proven(world)


def test_allocating_again_adds_to_the_same_bucket(world: World):
    assert give(world, 30).to_bucket_id == give(world, 10).to_bucket_id
    assert world.buckets()[f"allocation:{DATA}:account:N"][2] == 40


def test_taking_back_undoes_both_sides(world: World):
    give(world, 30)
    take_back(world, 30)
    assert world.buckets()[DATA] == (100, 0, 100, 0, 0, 0, 0, False)
    assert world.buckets()[f"allocation:{DATA}:account:N"] == (0, 0, 0, 0, 0, 0, 0, False)
    assert proven(world)


def test_a_key_makes_repeating_harmless(world: World):
    assert give(world, 30, key="k") == give(world, 30, key="k")
    assert take_back(world, 5, key="back") == take_back(world, 5, key="back")
    assert world.buckets()[DATA][2] == 75


@pytest.mark.parametrize("change", [{"units": 31}, {"to": "S"}, {"to": "a"}, {"source": HOME}])
def test_a_key_used_for_something_else_is_a_conflict(world: World, change: dict):
    give(world, 30, key="k")
    with pytest.raises(KeyConflict):
        give(world, **{"units": 30, "key": "k", **change})
    assert world.buckets()[DATA][2] == 70


def test_a_key_of_an_allocation_is_none_for_taking_back(world: World):
    give(world, 30, key="k")
    with pytest.raises(KeyConflict):
        take_back(world, 30, key="k")


def test_keys_of_callers_cannot_stand_in_the_way_of_the_ledgers_own(world: World):
    give(world, 1, key=f"expire:{number(world, DATA)}")
    from balances import cycles

    assert cycles.close_cycles(enterprise_id=world.enterprise.id, at=BOUNDARIES[2], actor=ACTOR)


@pytest.mark.parametrize(
    ("change", "refusal", "field"),
    [
        ({"units": 0}, Refused, "units"),
        ({"units": -5}, Refused, "units"),
        ({"units": 101}, NotEnough, "units"),
        ({"to": "R"}, NotBelow, "account"),
        ({"bucket_id": 0}, Refused, "bucket"),
        ({"line_id": 0, "account_id": None}, NotBelow, "line"),
        ({"account_id": None}, Refused, "account"),
        ({"at": BOUNDARIES[2]}, Refused, "bucket"),
        ({"key": "k" * (ledger.KEY_LENGTH + 1)}, Refused, "key"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_trace(world: World, change: dict, refusal, field):
    before, entries = world.buckets(), Entry.objects.count()
    with pytest.raises(refusal) as refused:
        give(world, **{"units": 10, **change})
    assert refused.value.field == field
    assert (world.buckets(), Entry.objects.count()) == (before, entries)


def test_units_go_down_the_tree_only(world: World):
    give(world, 30)
    held = f"allocation:{DATA}:account:N"
    give(world, 5, to="N2", source=held)
    give(world, 5, to="a", source=held)
    for elsewhere in ("S", "R", "c"):
        with pytest.raises(NotBelow):
            give(world, 5, to=elsewhere, source=held)
    with pytest.raises(NotBelow):
        give(world, 1, to="N2", source=f"allocation:{held}:line:a")
    assert proven(world)


def test_only_unused_units_of_an_allocation_can_be_taken_back(world: World):
    give(world, 30)
    with pytest.raises(NotEnough):
        take_back(world, 31)
    with pytest.raises(Refused):
        ledger.take_back(bucket_id=number(world, DATA), units=1, actor=ACTOR, at=START)
    with pytest.raises(Refused):
        take_back(world, 0)


def test_a_reservation_grants_what_there_is_and_returns_the_rest(world: World):
    def reserve(units: int, key: str) -> Reservation:
        return reservations.reserve(
            bucket_id=number(world, DATA), key=key, units=units, expires_at=START + timedelta(hours=1), actor=ACTOR,
            at=START,
        )  # fmt: skip

    assert (reserve(60, "one").granted_units, reserve(60, "two").granted_units) == (60, 40)
    assert reserve(60, "one").granted_units == 60
    with pytest.raises(KeyConflict):
        reserve(61, "one")
    with pytest.raises(NotEnough):
        reservations.settle(key="one", used_units=61, actor=ACTOR, at=START)
    for _ in range(2):
        reservations.settle(key="one", used_units=25, actor=ACTOR, at=START)
    assert world.buckets()[DATA] == (100, 0, 35, 40, 25, 0, 0, False)
    assert reservations.sweep(actor=ACTOR, at=START) == 0
    assert reservations.sweep(actor=ACTOR, at=START + timedelta(hours=1)) == 1
    assert world.buckets()[DATA] == (100, 0, 75, 0, 25, 0, 0, False)
    assert proven(world)


def test_entries_can_be_neither_changed_nor_deleted(world: World):
    from django.db import DatabaseError, transaction

    for statement in ("UPDATE balances_entry SET units = 1", "DELETE FROM balances_entry"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_and_charging_beside_them_lose_and_double_nothing(world: World):
    """Real transactions on real connections: all that was done is there, all that was refused is not."""
    pipeline.forget_everything()
    records = [Record("one", f"cdr-{i}", "data", NUMBERS["a"], 1, START - timedelta(hours=1)) for i in range(40)]
    given, problems = [], []

    def allocator(who: int) -> None:
        try:
            for turn in range(6):
                give(world, 2, key=f"{who}-{turn}")
                give(world, 2, key=f"{who}-{turn}")  # a caller that repeats
                given.append(2)
                if turn % 2:
                    try:
                        take_back(world, 1)
                        given.append(-1)
                    except NotEnough:
                        pass
        except Exception as problem:
            problems.append(problem)
        finally:
            connections.close_all()

    def charger() -> None:
        try:
            for start in range(0, len(records), 4):
                world.accept(records[start : start + 4])
                pipeline.drain(world.enterprise.id, clock=lambda: START)
        except Exception as problem:
            problems.append(problem)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=allocator, args=(who,)) for who in range(7)]
    threads.append(threading.Thread(target=charger))
    connection.close()  # the pool has eight
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    assert problems == []
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    buckets = world.buckets()
    near = buckets[f"allocation:{DATA}:account:N"]
    assert near[1] == sum(given) == buckets[DATA][5]
    assert sum(bucket[4] for bucket in buckets.values()) == 40
    assert proven(world)
