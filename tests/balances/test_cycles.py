"""Cycles begin and end: grants, carrying over, expiry; missed ones are made up for, repeated ones change nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from balances import cycles, ledger, proof, reservations
from balances.models import Bucket, Entry
from balances.models.ledger import EntryKind
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, START, World

pytestmark = pytest.mark.django_db
MARCH, APRIL, MAY = BOUNDARIES[1:4]


@pytest.fixture
def world(db: None) -> World:
    return World()


def close(world: World, at) -> int:
    return cycles.close_cycles(enterprise_id=world.enterprise.id, at=at, actor=ACTOR)


def number(world: World, key: str) -> int:
    return next(bucket_id for bucket_id, known in world.bucket_keys().items() if known == key)


def allocate(world: World, key: str, to: str, units: int) -> None:
    ledger.allocate(
        bucket_id=number(world, key), account_id=world.accounts[to].id, units=units, actor=ACTOR, at=START
    )  # fmt: skip


def carried(world: World) -> dict[str, int]:
    """Carried-over bucket -> units that it received."""
    return {key: units[1] for key, units in world.buckets().items() if key.startswith("rollover")}


def proven(world: World) -> bool:
    return all(finding.holds for finding in proof.prove(enterprise_id=world.enterprise.id))


def test_publishing_grants_every_cycle_that_has_begun(world: World):
    assert {key for key in world.buckets() if key.startswith("grant:Data:")} == {"grant:Data:0", "grant:Data:1"}
    february = Bucket.objects.get(id=number(world, "grant:Data:0"))
    assert (february.valid_from, february.valid_until) == (BOUNDARIES[0], MARCH)


def test_cycles_that_were_missed_are_granted_in_full_and_only_once(world: World):
    until = BOUNDARIES[5] + timedelta(hours=1)
    assert cycles.open_cycles(enterprise_id=world.enterprise.id, until=until, actor=ACTOR) == 4 * 2
    assert cycles.open_cycles(enterprise_id=world.enterprise.id, until=until, actor=ACTOR) == 0
    assert world.buckets()["grant:Data 2:4"][0] == 90
    assert proven(world)


def test_a_cycle_is_granted_by_the_version_in_force_when_it_begins(world: World):
    close(world, APRIL + timedelta(hours=1))
    assert "grant:Data 2:2" in world.buckets()  # the second version took effect within March
    assert "grant:Data:1" in world.buckets()
    assert "grant:Data 2:1" not in world.buckets()


def test_what_is_left_is_carried_up_to_the_cap_and_the_rest_expires(world: World):
    assert close(world, MARCH) == 3
    buckets = world.buckets()
    # granted, received, remaining, reserved, used, given, expired, closed
    assert buckets["grant:Data:0"] == (100, 0, 0, 0, 0, 30, 70, True)
    assert buckets["grant:Data at home:0"] == (40, 0, 0, 0, 0, 0, 40, True)
    assert carried(world) == {"rollover:grant:Data:0": 30, "rollover:grant:Voice:0": 7}
    following = Bucket.objects.get(id=number(world, "rollover:grant:Data:0"))
    assert (following.priority, following.valid_from, following.valid_until) == (90, MARCH, APRIL)
    assert proven(world)


def test_the_cap_is_shared_in_proportion_to_what_each_has_saved(world: World):
    close(world, MARCH)
    allocate(world, "grant:Data:1", "N", 45)
    allocate(world, "grant:Data:1", "S", 15)
    close(world, APRIL)
    shares = {key: units for key, units in carried(world).items() if key.endswith((":1", ":N", ":S"))}
    # 30 of 40 + 45 + 15: 12, 13.5, 4.5 - the two halves tie, the earlier bucket takes the unit
    assert shares == {
        "rollover:grant:Data:1": 12,
        "rollover:allocation:grant:Data:1:account:N": 14,
        "rollover:allocation:grant:Data:1:account:S": 4,
        "rollover:grant:Voice:1": 7,
    }
    assert proven(world)


def test_units_are_not_carried_over_twice_also_not_by_way_of_an_allocation(world: World):
    close(world, MARCH)
    allocate(world, "rollover:grant:Data:0", "N", 20)
    close(world, APRIL)
    again = [key for key in carried(world) if "rollover:grant:Data:0" in key.removeprefix("rollover:")]
    assert again == ["rollover:grant:Data:0"] or not again
    assert not Bucket.objects.filter(kind="rollover", source__source__isnull=False, source__kind="allocation").exists()
    assert world.buckets()["allocation:rollover:grant:Data:0:account:N"][6] == 20
    assert proven(world)


def test_closing_again_does_nothing(world: World):
    close(world, APRIL)
    entries = Entry.objects.count()
    assert close(world, APRIL) == 0
    assert close(world, APRIL + timedelta(days=3)) == 0
    assert Entry.objects.count() == entries


def test_months_that_were_missed_close_one_after_the_other(world: World):
    close(world, MAY + timedelta(days=2))
    step_by_step = World.__new__(World)
    step_by_step.__dict__.update(world.__dict__)
    keys = set(world.buckets())
    assert {"rollover:grant:Data:0", "rollover:grant:Data:1", "rollover:grant:Data 2:2", "grant:Data 2:3"} <= keys
    assert all(bucket[7] for key, bucket in world.buckets().items() if key.endswith((":0", ":1")))
    assert proven(world)


def test_a_close_that_dies_resumes_with_the_cycle_it_was_at(world: World, monkeypatch):
    """One transaction a cycle: what is done is done, what is not has not begun."""
    finished = ledger.mark_closed
    calls = []

    def dies_at_the_second(cursor, **what):
        calls.append(what)
        if len(calls) == 2:
            raise KeyboardInterrupt
        finished(cursor, **what)

    monkeypatch.setattr(ledger, "mark_closed", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt), transaction.atomic():
        close(world, APRIL)
    monkeypatch.undo()
    close(world, APRIL)
    assert carried(world)["rollover:grant:Data:0"] == 30
    assert Entry.objects.filter(kind=EntryKind.ROLLOVER_OUT).count() == 4
    assert proven(world)


def test_reserved_units_outlive_the_close_and_expire_when_the_session_ends(world: World):
    allowance = number(world, "grant:Data:1")
    reservations.reserve(bucket_id=allowance, key="s", units=90, expires_at=APRIL, actor=ACTOR, at=START)
    close(world, APRIL)
    assert world.buckets()["grant:Data:1"] == (100, 0, 0, 90, 0, 10, 0, True)
    reservations.settle(key="s", used_units=25, actor=ACTOR, at=APRIL)
    assert world.buckets()["grant:Data:1"] == (100, 0, 0, 0, 25, 10, 65, True)
    assert proven(world)


def test_nothing_is_carried_beyond_the_end_of_the_contract():
    end = MARCH + timedelta(days=9)
    world = World(contract_end=end)
    close(world, end)
    assert {key for key in carried(world) if ":1" in key} == set()
    assert carried(world)["rollover:grant:Data:0"] == 30
    assert Bucket.objects.get(id=number(world, "rollover:grant:Data:0")).valid_until == end
    assert all(bucket[7] for bucket in world.buckets().values())
    assert proven(world)
