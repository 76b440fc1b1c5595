"""Every check of personal accounts: silent on sound data, and naming exactly what was damaged.

As in `tests/balances/test_proof.py`; records with two payers are damaged here, too. A new check without a case fails.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from balances import personal, personal_proof, personal_tariffs, proof
from balances.models import OpenPersonalUsage, OpenState, Person, PersonalAccount, PersonalTariff
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import Service
from policies.proof import CHECKS as POLICY_CHECKS
from portal.charging import pipeline
from tests.balances.test_proof import ELSEWHERE, _as_owner
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, START, World
from tests.charging.steered import legs, person_on, steer
from tests.charging.test_pipeline import charge, used

__all__ = ["_as_owner"]
BY: dict[str, Any] = {"actor": ACTOR, "at": START}


def tariff_of(world: World) -> PersonalTariff:
    """Data at 100 micros for 3 units, messages at 7; 10 units of data a month."""
    tariff = personal_tariffs.create_tariff(operator=world.operator, name="Mine", currency="EUR", **BY)
    personal_tariffs.add_version(
        tariff=tariff,
        effective_at=BOUNDARIES[0],
        rates=[RateRow(Service.DATA, 100, 3), RateRow(Service.MESSAGING, 7)],
        allowances=[AllowanceRow("Included", Service.DATA, 10)],
        **BY,
    )
    return tariff


def account_of(person: Person, tariff: PersonalTariff, micros: int, at: Any = BOUNDARIES[1]) -> PersonalAccount:
    account = personal.open_account(person=person, tariff=tariff, kind="prepaid", actor=ACTOR, at=at)
    personal.top_up(account=account, micros=micros, key=f"first {account.id}", actor=ACTOR, at=at)
    return personal.accept(account=account, text="Prices", actor=ACTOR, at=at)


@pytest.fixture
def world(_as_owner, db) -> World:
    """Everything that the checks speak of: forks, draws, prices, credit, refusals, settlements, a write-off."""
    pipeline.forget_everything()
    world = World()
    anna, bert = person_on(world, "a", "Anna"), person_on(world, "b", "Bert")
    parts = [{"payer": "corporate", "units": 5, "every": "cycle", "of": "person"}, {"payer": "personal"}]
    steer(
        world, "N", {"name": "First 5", "when": "service is data", "pays": parts}, {"name": "Rest", "pays": "personal"},
        missing={"action": "interim", "micros": 100_000},
    )  # fmt: skip
    tariff = tariff_of(world)
    theirs = account_of(anna, tariff, 300)
    # Of 30 the company has 5; 10 are included, 9 are paid, 6 are on credit.
    charge(world, used("fork", "a", 30), used("c", "c", 3))
    charge(world, used("voice", "a", 200, service="voice"))  # has no price, and soon no more credit
    charge(world, used("message", "b", 1, service="messaging"), used("data", "b", 15))  # no account: all on credit
    personal.top_up(account=theirs, micros=199, key="little", **BY)
    personal.top_up(account=theirs, micros=1, key="enough", **BY)
    given_up = OpenPersonalUsage.objects.get(state=OpenState.OPEN, service=Service.VOICE)
    personal.write_off(open_usage=given_up, **BY)
    charge(world, used("more voice", "a", 1, service="voice"))
    account_of(bert, tariff, 10_000, START)  # an allowance settles the data, money the message
    return world


#: Check -> what to do to the tables so that it, and no other of these, finds a fault.
DAMAGE: dict[str, str] = {
    "personal-balance-is-its-entries": "UPDATE balances_personalaccount SET balance_micros = balance_micros + 1",
    "personal-running-balance": "UPDATE balances_personalentry SET balance_after_micros = balance_after_micros + 1",
    "personal-balance-within-credit": "UPDATE balances_personalaccount SET credit_limit_micros = 1",
    "personal-buckets-are-draws": "UPDATE balances_personalbucket SET used_units = used_units - 1",
    "personal-charges-are-entries": "UPDATE balances_personalentry SET charge_sequence = charge_sequence + 1000 "
    "WHERE kind = 'charge'",
    "personal-settlements-are-usage": "UPDATE balances_openpersonalusage o SET entry_id = e.id "
    "FROM balances_personalentry e JOIN balances_personalaccount a ON a.id = e.account_id "
    "WHERE o.state = 'charged' AND e.kind = 'charge' AND a.person_id = o.person_id",
    "personal-line-is-its-parts": "UPDATE balances_openpersonalusage SET units = units + 1 WHERE state = 'refused'",
    "personal-settled-at-their-price": "UPDATE balances_openpersonalusage SET rate_id = "
    "(SELECT id FROM balances_personalrate WHERE service = 3) WHERE state = 'charged' AND service = 1 "
    "AND rate_id IS NOT NULL",
    "personal-account-of-the-time": "UPDATE balances_personalaccount SET accepted_at = '2027-01-01'",
    "open-usage-is-its-persons": "UPDATE balances_openpersonalusage SET starts_at = starts_at + interval '1 second' "
    "WHERE state = 'refused'",
    "personal-usage-has-no-days": "UPDATE balances_counter SET grain = 2 WHERE payer = 2 AND owner_kind = 2",
    "forks-share-their-place": "UPDATE balances_usagerecord SET position = position + 1 "
    "WHERE counterpart_id IS NOT NULL",
    "payer-of-a-record": "UPDATE balances_usagerecord SET payer = 2 WHERE payer = 1 "
    "AND id NOT IN (SELECT counterpart_id FROM balances_usagerecord WHERE counterpart_id IS NOT NULL)",
}
MINE = personal_proof.CHECKS + tuple(check for check in proof.CHECKS if check.name in ELSEWHERE)


def faulty_checks(world: World, checks: tuple[proof.Check, ...]) -> list[str]:
    """The names of the checks that find something, for the one enterprise and for all alike."""
    found = [
        [finding.check.name for finding in proof.prove(enterprise_id=which, checks=checks) if not finding.holds]
        for which in (world.enterprise.id, None)
    ]
    assert found[0] == found[1]
    return found[0]


def test_sound_data_is_sound(world: World) -> None:
    assert faulty_checks(world, proof.CHECKS + personal_proof.CHECKS + POLICY_CHECKS) == []
    assert {row.state for row in OpenPersonalUsage.objects.all()} == set(OpenState)


def test_what_was_charged_is_what_was_planned(world: World) -> None:
    """So that the checks have something to look at: draws, prices, credit, refusals."""
    forked = legs("fork")
    assert [(leg.payer, leg.units, leg.refused) for leg in forked] == [("corporate", 5, 0), ("personal", 25, 0)]
    assert forked[1].codes[:4] == ("personal_allowance", "personal_tariff", "personal_empty", "interim")
    anna, bert = PersonalAccount.objects.order_by("id")
    assert [(entry.kind, entry.micros) for entry in anna.entries.order_by("id")] == [
        ("top_up", 300), ("charge", -300), ("top_up", 199), ("top_up", 1), ("settlement", -200),
    ]  # fmt: skip
    assert [(entry.kind, entry.micros) for entry in bert.entries.order_by("id")] == [
        ("top_up", 10_000), ("settlement", -7),
    ]  # fmt: skip
    assert [(leg.units, leg.refused) for leg in legs("voice")] == [(98, 102)]


@pytest.mark.parametrize("name", [check.name for check in MINE])
def test_damage_is_named_by_its_check_and_no_other(world: World, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("personalentry", "usagerecord", "chargeline"):
            cursor.execute(f"ALTER TABLE balances_{table} DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE balances_personalaccount DROP CONSTRAINT personal_prepaid_has_no_credit")
        cursor.execute(DAMAGE[name])
        assert cursor.rowcount > 0, f"this damages nothing: {DAMAGE[name]}"
    assert faulty_checks(world, MINE) == [name]


def test_every_check_has_a_case_and_every_case_a_check() -> None:
    assert DAMAGE.keys() == {check.name for check in MINE}


def test_the_command_runs_them(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check_ledger")
    assert "personal-balance-is-its-entries" in capsys.readouterr().out
