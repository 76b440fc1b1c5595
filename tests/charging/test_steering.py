"""Who pays, by example, on the small world: what each rule of docs/byod.md does while usage is charged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from balances.models import Counter, SuspendedUsage, UsageRecord
from policies.models import SteeringUse
from portal.charging import pipeline, steering_trial
from portal.charging.records import read_mapping
from tests.charging.small_world import NUMBERS, START, World
from tests.charging.steered import event, legs, person_on, split_of, steer
from tests.charging.test_limits import limit, sound
from tests.charging.test_pipeline import charge, used

OFFICE = {"name": "Office", "when": "time within 08:00-18:00", "pays": "corporate"}
AFTER = {"name": "After hours", "pays": "personal"}
#: 17:00 in Berlin on Saturday, 14 March.
FIVE = datetime(2026, 3, 14, 16, tzinfo=UTC)


@pytest.fixture
def world(db) -> World:
    return World()


def test_without_rules_the_company_pays_and_no_rule_is_named(world: World):
    charge(world, used("x", "a", 10))
    assert split_of("x") == [("corporate", 10)]
    assert not any(code.startswith("steer") for leg in legs("x") for code in leg.codes)


def test_a_rule_of_the_company_names_itself(world: World):
    version = steer(world, "R", {"name": "All", "pays": "corporate"})
    charge(world, used("x", "a", 10))
    assert split_of("x") == [("corporate", 10)]
    assert f"steer:{version.id * 1000 + 1}" in legs("x")[0].codes
    assert UsageRecord.objects.get().payer == 1


def test_a_session_is_cut_where_office_hours_end_and_neither_record_shows_the_other(world: World):
    person = person_on(world, "a")
    steer(world, "R", OFFICE, AFTER)
    charge(world, used("x", "a", 40, FIVE, service="voice", until=FIVE + timedelta(hours=4)))
    assert split_of("x") == [("corporate", 10), ("personal", 30)]
    corporate, personal = UsageRecord.objects.order_by("payer")
    assert (corporate.used_at, corporate.ended_at, corporate.units) == (FIVE, FIVE + timedelta(hours=1), 10)
    assert (personal.used_at, personal.ended_at, personal.units) == (
        FIVE + timedelta(hours=1), FIVE + timedelta(hours=4), 30,
    )  # fmt: skip
    assert (corporate.counterpart_id, corporate.person_id) == (None, None)
    assert (personal.counterpart_id, personal.person_id) == (corporate.id, person.id)


def test_a_session_within_one_rule_is_not_cut(world: World):
    steer(world, "R", OFFICE, AFTER)
    charge(world, used("x", "a", 40, FIVE - timedelta(hours=5), service="voice", until=FIVE))
    assert len(legs("x")) == 1


def test_an_upper_level_fixes_and_a_lower_one_overrides_the_rest(world: World):
    person_on(world, "a")
    steer(
        world, "R", {"name": "Fixed", "when": "service is messaging", "pays": "personal", "fixed": True},
        {"name": "Open", "when": "service is data", "pays": "personal"},
    )  # fmt: skip
    steer(world, "N1", {"name": "Ours", "pays": "corporate"})
    charge(world, used("m", "a", 1, service="messaging"), used("d", "a", 5), used("c", "c", 5))
    assert split_of("m") == [("personal", 1)]
    assert split_of("d") == [("corporate", 5)]
    assert split_of("c") == [("personal", 5)], "another branch has only the root's rules"


def test_who_would_pay_asks_rules_of_the_units_that_are_charged(world: World):
    steer(world, "R", {"name": "Big", "when": "units at_least 14", "pays": "personal"})
    said = {"source_record_id": "x", "service": "data", "units": 8, "visited_network": "20801"}
    usage = read_mapping({**said, "msisdn": NUMBERS["a"], "started_at": START})
    found = steering_trial.foresee(line=world.lines["a"], usage=usage, at=START, is_walled=True)
    assert [(leg.is_personal, leg.units) for leg in found.legs] == [(True, 14)], "in steps of 7"
    assert [(one.name, one.decides) for one in found.asked] == [("Big", True)]


def test_who_would_pay_asks_no_rule_of_an_emergency(world: World):
    steer(world, "R", {"name": "All", "pays": "personal"})
    said = {"source_record_id": "x", "service": "voice", "units": 60, "other_party": "112"}
    usage = read_mapping({**said, "msisdn": NUMBERS["a"], "started_at": START})
    found = steering_trial.foresee(line=world.lines["a"], usage=usage, at=START, is_walled=True)
    assert [leg.is_personal for leg in found.legs] == [False]
    assert found.asked == ()


def test_a_budget_ends_within_an_event_and_the_person_has_the_rest(world: World):
    person_on(world, "a")
    parts = [{"payer": "corporate", "units": 25, "every": "cycle", "of": "person"}, {"payer": "personal"}]
    steer(world, "R", {"name": "First", "pays": parts})
    charge(world, used("x", "a", 20), used("y", "a", 20), used("z", "a", 20))
    assert [split_of(name) for name in "xyz"] == [
        [("corporate", 20)], [("corporate", 5), ("personal", 15)], [("personal", 20)],
    ]  # fmt: skip
    assert "budget_used" in legs("y")[0].codes
    assert SteeringUse.objects.get().used == 25


def test_percents_of_events_that_cannot_be_divided_come_out_in_the_long_run(world: World):
    person_on(world, "a")
    steer(world, "R", {"name": "Shared", "pays": [{"payer": "corporate", "percent": 60}, {"payer": "personal"}]})
    charge(world, *[used(f"m{number}", "a", 1, service="messaging") for number in range(10)])
    payers = [split_of(f"m{number}")[0][0] for number in range(10)]
    assert (payers.count("corporate"), payers.count("personal")) == (6, 4)


def test_what_a_limit_leaves_to_the_person_is_a_personal_leg(world: World):
    person_on(world, "a")
    limit(world, "N", 12, action="steer_personal")
    charge(world, used("x", "a", 10), used("y", "a", 10), used("z", "a", 10))
    assert [split_of(name) for name in "xyz"] == [
        [("corporate", 10)], [("corporate", 2), ("personal", 8)], [("personal", 10)],
    ]  # fmt: skip


def test_what_a_limit_refuses_of_a_budget_is_still_there(world: World):
    person_on(world, "a")
    parts = [{"payer": "corporate", "units": 25, "every": "cycle", "of": "line"}, {"payer": "personal"}]
    steer(world, "R", {"name": "First", "pays": parts})
    limit(world, "N", 8, "stop_now")
    charge(world, used("x", "a", 10))
    assert (legs("x")[0].units, legs("x")[0].refused) == (8, 2)
    assert SteeringUse.objects.get().used == 8


def test_an_emergency_call_is_never_the_persons(world: World):
    person_on(world, "a")
    steer(world, "R", {"name": "All", "pays": "personal", "fixed": True})
    event(world, "x", "a", 10, FIVE, service="voice", other_party="112")
    assert [leg.payer for leg in legs("x")] == ["corporate"]


def test_personal_usage_is_in_no_counter_of_the_company(world: World):
    person_on(world, "a")
    steer(world, "R", {"name": "All", "pays": "personal"})
    charge(world, used("x", "a", 10))
    assert not Counter.objects.filter(payer=1).exists()
    assert not Counter.objects.filter(payer=2, grain=2).exists(), "nor by day"
    assert sound(world)


def test_the_same_again_is_a_duplicate_whoever_paid(world: World):
    person_on(world, "a")
    steer(world, "R", OFFICE, AFTER)
    record = used("x", "a", 40, FIVE, service="voice", until=FIVE + timedelta(hours=4))
    charge(world, record)
    charge(world, record)
    assert UsageRecord.objects.count() == 2
    assert not SuspendedUsage.objects.exists()


def test_workers_that_remember_and_workers_that_do_not_decide_the_same(world: World):
    person_on(world, "a")
    parts = [{"payer": "corporate", "units": 30, "every": "day", "of": "person"}, {"payer": "personal"}]
    steer(world, "R", {"name": "Night", "when": "not time within 08:00-18:00", "pays": "personal"},
          {"name": "Day", "pays": parts})  # fmt: skip
    for number in range(6):
        charge(world, used(f"x{number}", "a", 11, START - timedelta(hours=3 * number)))
        if number % 2:
            pipeline.forget_everything()
    first = [split_of(f"x{number}") for number in range(6)]
    assert sum(units for one in first for _, units in one) == 66
    assert SteeringUse.objects.exists()


@pytest.mark.parametrize("remembers", [True, False])
def test_an_emergency_call_counts_towards_what_was_used_whether_the_worker_remembers_or_not(
    world: World, remembers: bool
):
    person_on(world, "a")
    steer(world, "R", {"name": "Much", "when": "used at_least 10", "pays": "personal"})
    charge(world, used("before", "a", 1, FIVE, service="voice"))
    event(world, "emergency", "a", 10, FIVE, service="voice", other_party="112")
    if not remembers:
        pipeline.forget_everything()
    charge(world, used("x", "a", 5, FIVE, service="voice"))
    assert split_of("x") == [("personal", 5)]
