"""Charging by example, on the small world: 40 units of data at home, 100 at home and in Europe, 50 of voice a cycle.

What any sequence of acts comes to is the matter of `test_reference.py`; here each rule can be read.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction

from balances import contracts, cycles, hierarchy, inventory, ledger, proof
from balances.models import Bucket, ChargeLine, Enterprise, SuspendedUsage, UsagePart, UsageRecord
from balances.models.accounts import LineStatus
from balances.units import LARGEST_UNITS, Service
from portal.charging import pipeline
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import BOUNDARIES, NUMBERS, SECOND_VERSION, START, World, rolled_back

HOUR = timedelta(hours=1)
APRIL = BOUNDARIES[2]


def used(
    name: str,
    line: str,
    units: int,
    at: datetime = START - HOUR,
    *,
    service="data",
    network="",
    until=None,
    source="one",
) -> Record:
    """A record of a line of the small world; `line` may also be a number."""
    return Record(source, name, service, NUMBERS.get(line, line), units, at, until, network)


def charge(world: World, *records: Record, at: datetime = START) -> None:
    """Deliver and charge, each source by itself."""
    for source in dict.fromkeys(record.source for record in records):
        world.accept([record for record in records if record.source == source], at)
    drain(world, at)


def drain(world: World, at: datetime = START):
    return pipeline.drain(world.enterprise.id, clock=lambda: at)


def draws(world: World, name: str, source: str = "one") -> list[list[tuple[str, int]]]:
    """The draws of each charge line of a record."""
    return [line[5] for line in world.charges()[source, name]]


def charged(name: str) -> list[ChargeLine]:
    usage = UsageRecord.objects.get(source_record_id=name)
    return list(ChargeLine.objects.filter(usage_id=usage.id).order_by("number"))


def bucket(world: World, key: str) -> int:
    return next(number for number, known in world.bucket_keys().items() if known == key)


def allocate(world: World, key: str, to: str, units: int, at: datetime = START) -> str:
    """Allocate to an account by code or a line by name; the key of the bucket it made."""
    line = world.lines.get(to)
    target = {"line_id": line.id} if line else {"account_id": world.accounts[to].id}
    ledger.allocate(bucket_id=bucket(world, key), units=units, actor=ACTOR, at=at, **target)
    return f"allocation:{key}:{'line' if line else 'account'}:{to}"


def close(world: World, at: datetime) -> None:
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=at, actor=ACTOR)


def proven(world: World) -> bool:
    return all(finding.holds for finding in proof.prove(enterprise_id=world.enterprise.id))


HOME, DATA, VOICE = "grant:Data at home:1", "grant:Data:1", "grant:Voice:1"


# --- drawing ---------------------------------------------------------------------------------------------------------


def test_nearest_bucket_is_drawn_first_then_by_priority(world: World):
    near = allocate(world, DATA, "N", 20)
    own = allocate(world, DATA, "a", 3)
    charge(world, used("x", "a", 30))
    assert draws(world, "x") == [[(own, 3), (near, 20), (HOME, 7)]]


def test_what_no_bucket_has_is_overage_at_the_rate(world: World):
    charge(world, used("x", "a", 150))
    assert draws(world, "x") == [[(HOME, 40), (DATA, 100)]]
    line = charged("x")[0]
    assert (line.units, line.overage_units, line.amount_micros) == (150, 10, 3_333)  # 10 at 1,000 for 3
    assert line.reasons == "partly"


def test_units_are_rounded_once_for_the_zone(world: World):
    charge(world, used("x", "a", 3, network="20801"))
    line = charged("x")[0]
    assert (line.units, line.reasons) == (14, "allowance rounded:7")  # at least 10, in sevens
    assert UsageRecord.objects.get().units == 3


def test_a_zone_that_no_allowance_covers_is_paid(world: World):
    charge(world, used("x", "a", 10, network="310"))
    line = charged("x")[0]
    assert (line.bucket_ids, line.amount_micros, line.reasons) == ([], 128_571, "uncovered")


def test_the_longest_prefix_of_a_network_wins(world: World):
    charge(world, used("eu", "a", 7, network="20801"), used("world", "a", 10, network="20810"))
    assert [line.reasons.split()[0] for name in ("eu", "world") for line in charged(name)] == ["allowance", "uncovered"]


def test_an_account_that_never_draws_above_stops_its_usage(world: World):
    hierarchy.set_draw_above(account=world.accounts["N"], draw_above="never", actor=ACTOR, at=START)
    near = allocate(world, DATA, "N", 5)
    charge(world, used("x", "a", 8), used("y", "a", 1), used("z", "c", 1))
    assert draws(world, "x") == [[(near, 5)]]
    stopped = f"stopped:{world.accounts['N'].id}"
    assert [charged(name)[0].reasons for name in "xyz"] == [f"partly {stopped}", f"overage {stopped}", "allowance"]


def test_nothing_used_is_recorded_without_a_charge(world: World):
    charge(world, used("x", "a", 0), used("y", "a", 0, APRIL - HOUR, until=APRIL + HOUR), at=APRIL + 2 * HOUR)
    assert [(line.units, line.amount_micros) for name in "xy" for line in charged(name)] == [(0, 0), (0, 0)]
    assert charged("x")[0].reasons.startswith("nothing")
    assert proven(world)


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_session_is_split_where_the_cycle_ends_also_in_the_month_when_clocks_change(world: World):
    charge(world, used("x", "a", 12, APRIL - HOUR, until=APRIL + 2 * HOUR), at=APRIL + 3 * HOUR)
    first, second = charged("x")
    assert (first.cycle_start, first.starts_at, first.units) == (BOUNDARIES[1], APRIL - HOUR, 4)
    assert (second.cycle_start, second.starts_at, second.units) == (APRIL, APRIL, 8)
    assert draws(world, "x") == [[(HOME, 4)], [("grant:Data 2:2", 8)]]
    assert world.counters()[("line", "a"), 1, "data", "home"][3] == 1  # one record, counted where it began
    assert world.counters()[("line", "a"), 2, "data", "home"][3] == 0


def test_a_session_is_split_where_a_version_takes_effect_each_part_at_its_price(world: World):
    charge(
        world,
        used("x", "b", 90, SECOND_VERSION - HOUR / 2, until=SECOND_VERSION + HOUR, service="voice"),
        at=SECOND_VERSION + 2 * HOUR,
    )
    first, second = charged("x")
    assert (first.units, first.overage_units) == (30, 0)
    assert (second.units, second.overage_units, second.amount_micros) == (60, 40, 33_333)  # 40 at 50,000 for 60
    assert first.version_id != second.version_id


def test_a_session_that_ends_at_the_boundary_is_whole(world: World):
    charge(world, used("x", "a", 12, APRIL - HOUR, until=APRIL), at=APRIL + HOUR)
    assert len(charged("x")) == 1


# --- marks -----------------------------------------------------------------------------------------------------------


def mark(world: World, code: str, **level: int):
    return contracts.set_threshold(account=world.accounts[code], service=Service.DATA, actor=ACTOR, at=START, **level)


def test_a_mark_is_crossed_by_the_first_record_and_only_once(world: World):
    threshold = mark(world, "N", units=10)
    charge(world, used("x", "a", 12))
    assert world.crossings()[threshold.id, 1] == (10, 12)
    charge(world, used("y", "a", 12), used("z", "c", 9))
    assert world.crossings()[threshold.id, 1] == (10, 12)


def test_a_mark_is_crossed_at_exactly_its_percentage_and_not_before(world: World):
    threshold = mark(world, "R", percent=100)
    charge(world, used("x", "a", 139))
    assert (threshold.id, 1) not in world.crossings()
    charge(world, used("y", "a", 1))
    assert world.crossings()[threshold.id, 1] == (140, 140)


def test_a_percentage_is_of_what_the_account_holds_when_usage_comes(world: World):
    threshold = mark(world, "N", percent=50)
    charge(world, used("x", "a", 12))
    assert (threshold.id, 1) not in world.crossings()  # it has no allowance
    near = allocate(world, DATA, "N", 30)
    charge(world, used("y", "a", 1))
    assert (threshold.id, 1) not in world.crossings()  # 13 of 30
    ledger.take_back(bucket_id=bucket(world, near), units=10, actor=ACTOR, at=START)
    charge(world, used("z", "a", 0))
    assert world.crossings()[threshold.id, 1] == (10, 13)


def test_taking_back_does_not_raise_what_the_giver_holds(world: World):
    threshold = mark(world, "R", percent=100)
    near = allocate(world, DATA, "N", 30)
    ledger.take_back(bucket_id=bucket(world, near), units=30, actor=ACTOR, at=START)
    charge(world, used("x", "a", 140))
    assert world.crossings()[threshold.id, 1] == (140, 140)


def test_the_next_cycle_has_its_own_crossing(world: World):
    threshold = mark(world, "N", units=10)
    charge(world, used("x", "a", 10), used("y", "a", 10, APRIL + HOUR), at=APRIL + 2 * HOUR)
    assert {cycle for name, cycle in world.crossings() if name == threshold.id} == {1, 2}


# --- once ------------------------------------------------------------------------------------------------------------


def test_the_same_content_again_has_no_effect(world: World):
    charge(world, used("x", "a", 5), used("x", "a", 5))
    charge(world, used("x", "a", 5))
    assert UsageRecord.objects.count() == 1
    assert [part.outcomes for part in UsagePart.objects.order_by("id")] == ["cd", "d"]


def test_the_same_id_with_another_content_waits_for_a_person_once(world: World):
    charge(world, used("x", "a", 5), used("x", "a", 6))
    charge(world, used("x", "a", 6), used("x", "a", 5), used("x", "a", 7))
    assert world.suspended() == [("one", "x", "conflict"), ("one", "x", "conflict")]
    assert [part.outcomes for part in UsagePart.objects.order_by("id")] == ["cs", "dds"]


def test_two_sources_may_use_the_same_ids(world: World):
    charge(world, used("x", "a", 5), used("x", "a", 5, source="two"))
    assert UsageRecord.objects.count() == 2
    assert world.suspended() == []


def test_records_of_nobody_are_told_apart_as_well(world: World):
    stray = used("x", "4917099999999", 5)
    for units in (5, 6, 5, 6):
        world.accept([used("x", stray.number, units)], for_all=True)
    pipeline.drain(None, clock=lambda: START)
    parts = UsagePart.objects.filter(enterprise=None).order_by("id")
    assert "".join(part.outcomes for part in parts) == "ssdd"
    assert list(SuspendedUsage.objects.order_by("id").values_list("reason", flat=True)) == ["unknown_line", "conflict"]


# --- suspense --------------------------------------------------------------------------------------------------------

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (used("x", "4917099999999", 1), "unknown_line"),
        (used("x", "d", 1, START - 10 * DAY), "unassigned_line"),
        (used("x", "a", -1), "negative_units"),
        (used("x", "a", LARGEST_UNITS + 1), "absurd_units"),
        (used("x", "a", 1, service="telepathy"), "unknown_service"),
        (used("x", "a", 1, until=START - 2 * HOUR), "ends_before_start"),
        (used("x", "a", 1, START + HOUR), "future"),
        (used("x", "a", 1, until=datetime.max.replace(tzinfo=START.tzinfo)), "future"),
        (used("x", "a", 1, BOUNDARIES[0] - HOUR), "before_contract"),
        (used("x", "a", 1, service="video_conferencing"), "no_rate"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_charged_waits_with_its_reason(world: World, record: Record, reason: str):
    charge(world, used("before", "a", 1), record, used("after", "a", 1))
    row = SuspendedUsage.objects.get()
    assert row.reason == reason
    assert len(row.detail) > 10
    assert UsagePart.objects.get().outcomes == "csc"
    assert proven(world)


def test_usage_too_old_waits_also_beside_usage_that_is_not(world: World):
    at = START + 35 * DAY  # 45 days before is 5 March
    charge(world, used("fine", "a", 1, START), used("old", "a", 1, START - 11 * DAY), at=at)
    assert world.suspended() == [("one", "old", "too_old")]


def test_a_session_into_a_version_without_a_rate_waits_whole(world: World):
    record = used("x", "a", 10, SECOND_VERSION - HOUR, until=SECOND_VERSION + HOUR, service="messaging")
    charge(world, record, at=SECOND_VERSION + 2 * HOUR)
    assert world.suspended() == [("one", "x", "no_rate")]
    assert ChargeLine.objects.count() == 0


# --- late ------------------------------------------------------------------------------------------------------------


def test_late_usage_takes_back_what_expired_then_what_was_carried_over(world: World):
    close(world, BOUNDARIES[1] + HOUR)
    assert world.buckets()["rollover:grant:Data:0"][1] == 30
    february = BOUNDARIES[1] - 5 * DAY
    charge(world, used("x", "a", 40 + 75, february), used("y", "a", 1, february))
    assert draws(world, "x") == [[("grant:Data at home:0", 40), ("grant:Data:0", 75)]]
    assert charged("x")[0].reasons == "allowance late recovered"
    # granted, received, remaining, reserved, used, given, expired, closed
    assert world.buckets()["grant:Data:0"] == (100, 0, 0, 0, 76, 24, 0, True)
    assert world.buckets()["rollover:grant:Data:0"] == (0, 24, 24, 0, 0, 0, 0, False)
    assert proven(world)


def test_units_taken_back_are_gone_for_the_next_cycle_in_the_same_group(world: World):
    """The carried-over bucket is one and the same for both cycles."""
    close(world, BOUNDARIES[1] + HOUR)
    february = BOUNDARIES[1] - 5 * DAY
    world.accept([used("x", "a", 20, network="20801"), used("y", "a", 140, february), used("z", "a", 50)])
    drain(world)
    assert draws(world, "z") == [[(HOME, 40), (DATA, 10)]]
    assert world.buckets()["rollover:grant:Data:0"] == (0, 21, 0, 0, 21, 0, 0, False)
    assert proven(world)


def test_a_lost_carry_over_lowers_what_percentages_are_of_at_once(world: World):
    close(world, BOUNDARIES[1] + HOUR)
    threshold = mark(world, "R", percent=100)
    february = BOUNDARIES[1] - 5 * DAY
    charge(world, used("a", "a", 150, network="310"), used("b", "a", 140, february), used("c", "a", 0))
    assert world.crossings()[threshold.id, 1] == (140, 150)


def test_late_usage_follows_the_tree_of_its_time(world: World):
    moved_at = START + DAY
    hierarchy.move_account(account=world.accounts["N1"], new_parent=world.accounts["S"], actor=ACTOR, at=moved_at)
    charge(world, used("new", "a", 1, moved_at), used("old", "a", 1, moved_at - HOUR), at=moved_at + HOUR)
    assert [world.charges()["one", name][0][6] for name in ("old", "new")] == [
        ("N2", "N1", "N", "R"),
        ("N2", "N1", "S", "R"),
    ]


def test_usage_follows_the_assignment_of_its_time(world: World):
    inventory.assign_line(
        line=world.lines["a"], account=world.accounts["S1"], from_at=START - DAY, actor=ACTOR, at=START
    )
    charge(world, used("new", "a", 1), used("old", "a", 1, START - 2 * DAY))
    assert [world.charges()["one", name][0][6][0] for name in ("old", "new")] == ["N2", "S1"]


def test_a_number_that_moves_to_another_enterprise_takes_only_its_later_usage(world: World):
    inventory.set_line_status(line=world.lines["c"], status=LineStatus.RETIRED, actor=ACTOR, at=START - DAY)
    other: Enterprise = hierarchy.create_enterprise(
        operator=world.operator, name="Other", number="O", actor=ACTOR, at=START
    )
    root = other.accounts.get()
    inventory.add_line(
        enterprise=other, account=root, msisdn=NUMBERS["c"], assigned_from=START - DAY, actor=ACTOR, at=START
    )
    world.accept([used("old", "c", 1, START - 2 * DAY), used("new", "c", 1)], for_all=True)
    drain(world)
    pipeline.drain(other.id, clock=lambda: START)
    assert UsageRecord.objects.get().source_record_id == "old"
    waiting = SuspendedUsage.objects.get()  # the other enterprise has no contract yet
    assert (waiting.source_record_id, waiting.enterprise_id) == ("new", other.id)


# --- trouble ---------------------------------------------------------------------------------------------------------


def poison(name: str) -> Record:
    """A record whose amount is beyond a bigint: charging it fails in the database."""
    return used(name, "a", LARGEST_UNITS, network="310")


def test_a_poisonous_record_is_suspended_and_its_neighbours_are_charged(world: World):
    world.accept([used("first", "a", 1)])
    world.accept([used("x", "a", 2), poison("bad"), used("y", "a", 3), poison("worse"), used("z", "c", 4)])
    world.accept([used("last", "a", 5)])
    counts = drain(world)
    assert (counts.charged, counts.suspended, counts.parts) == (5, 2, 3)
    assert world.suspended() == [("one", "bad", "internal"), ("one", "worse", "internal")]
    assert world.buckets()[HOME][4] == 15
    assert proven(world)
    charge(world, used("later", "a", 5))  # the worker's memory has not kept anything of the trials
    assert world.buckets()[HOME][4] == 20
    assert proven(world)


def test_a_part_that_was_tried_too_often_is_parked_and_the_others_go_on(world: World):
    world.accept([used("x", "a", 1)])
    UsagePart.objects.update(attempts=20)
    world.accept([used("y", "a", 1)])
    UsagePart.objects.filter(attempts=0).update(attempts=10)
    drain(world)
    assert list(UsagePart.objects.order_by("id").values_list("state", flat=True)) == ["parked", "done"]
    assert UsageRecord.objects.get().source_record_id == "y"
    assert proof.accounted(enterprise_id=world.enterprise.id)["parked"] == 1


def test_a_delivery_without_records_is_harmless(world: World):
    from portal.charging import ingest

    delivery = ingest.Delivery(world.operator.id, world.enterprise.id, world.sources["one"], "test")
    ingest.accept(delivery=delivery, usages=[], at=START)
    assert drain(world).parts == 0
    assert proven(world)


# --- order -----------------------------------------------------------------------------------------------------------


def outcome(world: World) -> dict:
    """What no order of arrival may change."""
    counters = world.counters()
    root = {key[1:]: value for key, value in counters.items() if key[0] == ("account", "R")}
    return {
        "balance of every bucket": world.buckets(),
        "usage and records of every counter": {key: (value[0], value[3]) for key, value in counters.items()},
        "overage of the enterprise": {
            sold: sum(value[1] for (_, service, _), value in root.items() if service == sold)
            for sold in ("data", "voice")
        },
        "marks reached": set(world.crossings()),
        "charged units of every record": {
            name: [(line[0], line[1], line[2], line[6]) for line in lines] for name, lines in world.charges().items()
        },
        "suspended": sorted(world.suspended()),
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_order_and_batches_change_neither_balances_nor_counters(world: World, seed: int):
    """Whoever comes first gets the units: which record pays the overage follows the order, and nothing else does."""
    chance = random.Random(seed)
    allocate(world, DATA, "N", 25)
    allocate(world, VOICE, "c", 5)
    mark(world, "N1", units=40)
    records = [
        used(
            f"cdr-{number}",
            chance.choice("abcc"),
            chance.randint(0, 12),
            START - chance.randint(0, 72 * 60) * timedelta(minutes=1),
            service=chance.choice(["data", "data", "voice"]),
            network=chance.choice(["", "262", "20801", "310"]),
            until=None,
        )
        for number in range(60)
    ]
    records += [used("stray", "4917099999999", 1), *records[:10]]
    outcomes = []
    for size in (70, 7, 1):
        chance.shuffle(records)
        with rolled_back():
            for start in range(0, len(records), size):
                world.accept(records[start : start + size])
                if chance.random() < 0.3:
                    drain(world)
            drain(world)
            outcomes.append(outcome(world))
            assert proven(world)
    for name in outcomes[0]:
        assert outcomes[0][name] == outcomes[1][name] == outcomes[2][name], name


# --- keeping in step -------------------------------------------------------------------------------------------------


def test_what_was_rolled_back_is_charged_by_the_next_worker(world: World):
    charge(world, used("warm", "a", 1))
    world.accept([used("x", "a", 10)])
    with transaction.atomic():
        drain(world)
        transaction.set_rollback(True)
    pipeline.forget_everything()
    drain(world)
    assert world.buckets()[HOME][4] == 11


def test_a_change_behind_the_workers_back_is_seen(world: World):
    charge(world, used("warm", "a", 1))
    near = allocate(world, DATA, "N", 20)
    charge(world, used("x", "a", 1))
    assert draws(world, "x") == [[(near, 1)]]


def test_the_lock_time_out_of_the_worker_does_not_stay_on_its_connection(world: World):
    drain(world)
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone()[0] != pipeline.LOCK_WAIT


def test_every_bucket_of_a_new_cycle_is_there_for_its_first_record(world: World):
    charge(world, used("x", "a", 1, BOUNDARIES[3] + HOUR), at=BOUNDARIES[3] + 2 * HOUR)
    assert {b.name for b in Bucket.objects.filter(enterprise=world.enterprise, cycle_start=BOUNDARIES[3])} == {
        "Data 2",
        "Voice 2",
    }
