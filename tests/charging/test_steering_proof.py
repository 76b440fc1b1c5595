"""Every check of who pays: silent on sound data, and naming exactly what was damaged. A new check without a case fails.

As in `tests/charging/test_personal_proof.py`. That they are silent on whatever else rules can say is what the worked
cases show (`test_byod_cases.py`).
"""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.db import connection

from balances import proof
from policies.models import SteeringUse
from policies.steering.proof import CHECKS
from portal.charging import pipeline
from portal.management.commands import check_ledger
from tests.balances.test_proof import _as_owner
from tests.charging.byod_world import People
from tests.charging.small_world import START, World
from tests.charging.steered import legs, person_on, split_of, steer
from tests.charging.test_limits import limit
from tests.charging.test_pipeline import charge, used

__all__ = ["_as_owner"]
HOUR = timedelta(hours=1)
#: In capitals and with a letter that becomes two where case is folded.
NAME = "AUSSER HAUS, groß"


@pytest.fixture
def world(_as_owner, db) -> World:
    """Budgets of each measure and owner, percents after an amount, forks, a default, and what a limit left."""
    pipeline.forget_everything()
    world = World()
    person_on(world, "a")
    parts = [
        {"payer": "corporate", "units": 5, "every": "day", "of": "person"},
        {"payer": "corporate", "micros": 1_000, "every": "week", "of": "account"},
        {"payer": "corporate", "percent": 60},
        {"payer": "personal"},
    ]
    first = [{"payer": "personal", "units": 4, "every": "lifetime", "of": "line"}, {"payer": "corporate"}]
    steer(
        world, "N", {"name": NAME, "when": "service is data", "pays": parts},
        {"name": "Default", "when": "service is messaging", "pays": first}, default=first,
    )  # fmt: skip
    charge(world, used("fork", "a", 14, START - 2 * HOUR), used("next", "a", 10, START - HOUR))
    charge(world, used("voice", "b", 9, service="voice"), used("message", "a", 5, service="messaging"))
    limit(world, "N", 20, action="steer_personal")
    charge(world, used("left", "a", 10), used("abroad", "a", 10, START - 26 * HOUR, network="20801"))
    return world


#: Check -> what to do to the tables so that it, and no other of these, finds a fault.
DAMAGE: dict[str, str] = {
    "budget-use-is-charge-lines": "UPDATE policies_steeringuse SET used = used - 1 WHERE used > 0",
    "budgets-are-not-passed": "UPDATE policies_steeringversion SET rules = jsonb_set(rules, '{0,pays,0,units}', '4')",
    "lines-are-their-rules": "UPDATE balances_chargeline SET part = 9 WHERE part = 4",
    "people-pay-for-a-reason": "UPDATE balances_chargeline SET reasons = replace(reasons, ':', ':9') "
    "WHERE payer = 2 AND rule_id IS NOT NULL",
    "forks-are-the-event": "UPDATE balances_usagerecord SET units = units - 1 WHERE counterpart_id IS NOT NULL",
}


def faulty_checks(world: World, checks: tuple[proof.Check, ...] = CHECKS) -> list[str]:
    """The names of the checks that find something, for the one enterprise and for all alike."""
    found = [
        [finding.check.name for finding in proof.prove(enterprise_id=which, checks=checks) if not finding.holds]
        for which in (world.enterprise.id, None)
    ]
    assert found[0] == found[1]
    return found[0]


def test_sound_data_is_sound(world: World) -> None:
    assert faulty_checks(world, check_ledger.CHECKS) == []


def test_what_was_charged_is_what_was_planned(world: World) -> None:
    """So that the checks have something to look at."""
    assert split_of("fork") == [("corporate", 5), ("corporate", 3), ("corporate", 4), ("personal", 2)]
    assert any("limit_steer_personal" in code for leg in legs("left") for code in leg.codes)
    budgets = dict(SteeringUse.objects.values_list("budget", "measure"))
    assert budgets == {
        "ausser haus, gross#1 corporate day": 1, "ausser haus, gross#2 corporate week": 2,
        "ausser haus, gross#3 percent": 3,
    }  # fmt: skip


def test_a_rule_called_default_has_another_budget_than_the_default(db) -> None:
    world = World()
    person_on(world, "a")
    parts = [{"payer": "corporate", "units": 4, "every": "lifetime", "of": "line"}, {"payer": "personal"}]
    steer(world, "N", {"name": "Default", "when": "service is messaging", "pays": parts}, default=parts)
    charge(world, used("message", "a", 4, service="messaging"), used("voice", "a", 4, service="voice"))
    assert set(SteeringUse.objects.values_list("budget", "used")) == {
        ("default#1 corporate lifetime", 4), ("#1 corporate lifetime", 4),
    }  # fmt: skip
    assert faulty_checks(world) == []


@pytest.mark.usefixtures("_as_owner", "db")
def test_use_that_was_kept_under_one_name_for_both_payers_is_told_apart_by_its_charge_lines() -> None:
    """The migration of what was stored before a budget was known by its payer; of one payer's alone and of both's."""
    pipeline.forget_everything()
    world = People(World()).world
    first = {"units": 4, "every": "week", "of": "person"}
    parts = [{**first, "payer": "corporate"}, {"payer": "personal"}]
    turned = [{**first, "payer": "personal"}, {"payer": "corporate"}]
    data, turns_at = {"name": NAME, "when": "service is data"}, START - HOUR
    steer(world, "N", {**data, "pays": parts}, default=parts, ends_at=turns_at)
    steer(world, "N", {**data, "pays": turned}, default=parts, effective_at=turns_at)
    sms = used("sms", "a", 2, service="messaging")
    charge(world, used("x", "a", 3, START - 2 * HOUR), used("y", "a", 9), sms)
    kept = SteeringUse.objects.order_by("budget").values_list("budget", "measure", "owner_kind", "period_start", "used")
    told_apart = list(kept)
    assert [(budget, amount) for budget, *_, amount in told_apart] == [
        ("#1 corporate week", 2), ("ausser haus, gross#1 corporate week", 3), ("ausser haus, gross#1 personal week", 4),
    ]  # fmt: skip
    SteeringUse.objects.filter(budget__contains="personal").delete()
    SteeringUse.objects.filter(used=3).update(budget="ausser haus, gross#1 week", used=7)
    SteeringUse.objects.filter(used=2).update(budget="#1 week")
    assert faulty_checks(world) == ["budget-use-is-charge-lines"]
    migration = import_module("policies.migrations.0008_budgets_by_payer")
    with connection.cursor() as cursor:
        cursor.execute(migration.NAMED)
    assert list(kept) == told_apart
    assert faulty_checks(world) == []


@pytest.mark.parametrize("name", [check.name for check in CHECKS])
def test_damage_is_named_by_its_check_and_no_other(world: World, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("balances_usagerecord", "balances_chargeline", "policies_steeringversion"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(DAMAGE[name])
        assert cursor.rowcount > 0, f"this damages nothing: {DAMAGE[name]}"
    assert faulty_checks(world) == [name]


def test_every_check_has_a_case_and_every_case_a_check() -> None:
    assert DAMAGE.keys() == {check.name for check in CHECKS}


def test_the_command_runs_them() -> None:
    assert set(CHECKS) <= set(check_ledger.CHECKS)
