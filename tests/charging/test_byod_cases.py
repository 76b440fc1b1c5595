"""The worked cases of docs/byod_cases.csv, each through the real pipeline; the page shows some of them as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from balances import proof
from policies import conditions
from policies.conditions import FIELDS, Catalogue, Declared, Kind
from policies.steering.rules import EVERY, OF
from portal.charging.reasons import REASONS
from portal.charging.steering_replaying import run_what_was_live
from portal.management.commands.check_ledger import CHECKS
from tests.charging.byod_cases import Case, cases, shown, statements, table
from tests.charging.byod_world import People, charged, deliver, events, expected, parts, publish, spelt
from tests.charging.small_world import BOUNDARIES, World, rolled_back

CASES = cases()


@pytest.fixture(scope="module")
def _people(_module_world: World, django_db_blocker) -> People:
    with django_db_blocker.unblock():
        return People(_module_world)


@pytest.fixture
def people(_people: People, django_db_blocker) -> Iterator[People]:
    with django_db_blocker.unblock(), rolled_back():
        yield _people


def faults(world: World) -> list[str]:
    """What the proof of all identities finds, in words."""
    findings = proof.prove(enterprise_id=world.enterprise.id, checks=CHECKS)
    return [f"{finding.check.name}: {fault}" for finding in findings for fault in finding.faults]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(people: People, case: Case):
    people.hold(case.facts)
    publish(people.world, case.rules)
    for event in events(case.events):
        deliver(people, event)
    assert [spelt(leg) for leg in charged(people.world, case)] == [spelt(leg) for leg in expected(case)]
    assert faults(people.world) == []
    if any(event.fact for event in events(case.events)):
        report = run_what_was_live(enterprise_id=people.world.enterprise.id, since=BOUNDARIES[0], until=BOUNDARIES[-1])
        assert (report.events, report.differing_events, report.differing_reasons) == (len(named(case)), 0, 0)


def named(case: Case) -> set[str]:
    """The events of a case that have a name: facts that come between them have none."""
    return {event.name for event in events(case.events)} - {""}


# --- the file -------------------------------------------------------------------------------------------------------


def asked() -> Iterator[conditions.Test]:
    """Every comparison of every rule in the file."""
    declared = Catalogue(
        (Declared("attributes.level", Kind.NUMBER, "Level"), Declared("profile.private_use", Kind.FLAG, "P"))
    )
    for case in CASES:
        for rule in statements(case.rules):
            where, _, _ = rule.partition(" => ")
            if "default" not in where and "missing" not in where:
                yield from conditions.tests_of(conditions.read_text(where.partition(": ")[2], declared))


def test_the_file_asks_for_every_field_by_every_operator_and_clock():
    found = list(asked())
    assert {test.field for test in found} >= set(FIELDS)
    assert {test.field.partition(".")[0] for test in found} >= {"attributes", "profile"}
    assert {test.op for test in found} == {"is", "in", "starts", "within", "at_least", "below", "contains"}
    assert {test.clock for test in found} >= {"", "enterprise", "there", "America/New_York"}


def test_the_file_has_every_kind_of_budget_and_every_reason():
    said = [rule for case in CASES for rule in statements(case.rules) if " missing => " not in rule]
    pays = [parts(rule.partition(" => ")[2]) for rule in said]
    budgets = [part for rule in pays if isinstance(rule, list) for part in rule if "every" in part]
    assert {part["every"] for part in budgets} == set(EVERY)
    assert {part["of"] for part in budgets} == set(OF)
    reasons = {code.partition(":")[0] for case in CASES for leg in expected(case) for code in leg.reasons}
    of_steering = {code for code in REASONS if code.startswith(("steer", "personal_", "budget", "unknown", "interim"))}
    assert reasons >= of_steering | {"correction", "limit_steer_personal", "late", "split", "rounded"}


def test_the_file_is_as_long_as_was_asked_and_no_case_is_named_twice():
    assert len(CASES) >= 70
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_page_shows_the_first_case_of_each_topic_as_it_stands_in_the_file():
    assert shown() == table()
