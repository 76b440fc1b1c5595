"""Every check of `manage.py check_ledger`: silent on sound data, and naming exactly what was damaged.

Damage is done as the owner of the tables, with triggers and constraints out of the way, inside the test's own
transaction. A new check without a case here fails.
"""

from __future__ import annotations

import os
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connection

from balances import contracts, cycles, draw_caps, exchange, ledger, loans, proof, reservations, standing, trading
from balances.models import Bucket, Loan, Person, UsageRecord
from balances.units import Service
from portal.charging import pipeline
from tests import personal_rows
from tests.balances.test_exchange import rated
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World

MARCH_20 = START + timedelta(days=5)


@pytest.fixture(scope="module")
def _as_owner(django_db_setup, django_db_blocker):
    """Connect as the role that owns the tables; the application's may neither touch entries nor drop constraints."""
    owner = urlsplit(os.environ.get("DATABASE_OWNER_URL", os.environ["DATABASE_URL"]))
    roles = {key: connection.settings_dict[key] for key in ("USER", "PASSWORD")}

    def connect_as(user: dict) -> None:
        with django_db_blocker.unblock():
            connection.close()
            connection.close_pool()
            connection.settings_dict.update(user)

    connect_as({"USER": owner.username, "PASSWORD": owner.password})
    yield
    connect_as(roles)


@pytest.fixture
def world(_as_owner, db) -> World:
    """Two cycles, with an example of everything that a check speaks of."""
    pipeline.forget_everything()
    world = World()
    records = [
        Record("one", "plain", "data", NUMBERS["a"], 30, START - timedelta(hours=2)),
        Record("one", "over", "voice", NUMBERS["b"], 80, START - timedelta(hours=1)),
        Record("one", "plain", "data", NUMBERS["a"], 30, START - timedelta(hours=2)),
        Record("one", "unknown", "data", "4917099999999", 5, START),
    ]
    data = Bucket.objects.get(enterprise=world.enterprise, name="Data", cycle_start=BOUNDARIES[1])
    ledger.allocate(
        bucket_id=data.id, account_id=world.accounts["N"].id, units=20, key="first", actor=ACTOR, at=START
    )  # fmt: skip
    contracts.set_threshold(account=world.accounts["N"], service=Service.DATA, units=25, actor=ACTOR, at=START)
    draw_caps.set_cap(account=world.accounts["N2"], service=Service.DATA, units=100, actor=ACTOR, at=START)
    rated(world, 3, 2)
    exchange.exchange(bucket_id=data.id, to_service=Service.VOICE, units=4, actor=ACTOR, at=START)
    world.accept(records)
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=BOUNDARIES[2], actor=ACTOR)
    following = Bucket.objects.get(enterprise=world.enterprise, name="Data 2", cycle_start=BOUNDARIES[2])
    expires_at = BOUNDARIES[2] + timedelta(hours=1)
    reservations.reserve(
        bucket_id=following.id, key="session", units=9, expires_at=expires_at, actor=ACTOR, at=BOUNDARIES[2]
    )  # fmt: skip
    trading.offer(account=world.accounts["R"], bucket=following, gives_units=5, actor=ACTOR, at=BOUNDARIES[2])
    _lend_and_give(world, following)
    _fork(world)
    return world


def _lend_and_give(world: World, bucket: Bucket) -> None:
    """A loan of which some came back, and a standing transfer that ran."""
    root, south, at = world.accounts["R"], world.accounts["S"], BOUNDARIES[2]
    back_at = at + timedelta(days=3)
    offer = trading.offer(account=root, bucket=bucket, gives_units=7, returns_at=back_at, actor=ACTOR, at=at)
    trading.accept(offer=offer, account=south, actor=ACTOR, at=at)
    loans.repay(loan=Loan.objects.get(), units=2, actor=ACTOR, at=at)
    standing.make(account=root, to_account=south, service=Service.DATA, units=3, day=2, actor=ACTOR, at=at)
    assert standing.run_due(actor=ACTOR, at=at + timedelta(days=1)) == 1


def _fork(world: World) -> None:
    """A person pays a part of a record, and another one alone."""
    person = Person.objects.create(enterprise=world.enterprise, account=world.accounts["R"], number="P", name="Paula")
    record = UsageRecord.objects.get(source_record_id="plain", enterprise=world.enterprise)
    personal_rows.half_of(record, person, 11)
    personal_rows.whole(record, person, 13)


#: Check -> what to do to the tables so that it, and no other, finds a fault.
DAMAGE: dict[str, list[str]] = {
    "bucket-balances": [
        "UPDATE balances_bucket SET remaining_units = remaining_units + 1 WHERE id = {grant}",
        "UPDATE balances_entry SET remaining_after = remaining_after + 1 WHERE bucket_id = {grant}",
    ],
    "bucket-is-its-entries": [
        "UPDATE balances_bucket SET remaining_units = remaining_units + 1, granted_units = granted_units + 1 "
        "WHERE id = {grant}",
        "UPDATE balances_entry SET remaining_after = remaining_after + 1 WHERE bucket_id = {grant}",
    ],
    "running-balance": ["UPDATE balances_entry SET remaining_after = remaining_after + 1 WHERE bucket_id = {grant}"],
    "transfers-sum-to-zero": [
        "UPDATE balances_entry SET transfer = NULL WHERE id = (SELECT min(id) FROM balances_entry WHERE kind = 3)"
    ],
    "rollovers-sum-to-zero": ["UPDATE balances_bucket SET source_id = {grant} WHERE kind = 'rollover'"],
    "charge-lines-are-the-usage": ["UPDATE balances_usagerecord SET charged_units = charged_units + 1"],
    "charge-lines-have-their-usage": [
        "INSERT INTO balances_chargeline SELECT enterprise_id, usage_id + 900000, number, used_at, starts_at, "
        "cycle_start, payer, path_id, version_id, rate_id, 0, 0, 0, '{{}}', '{{}}', '', charge_sequence "
        "FROM balances_chargeline LIMIT 1"
    ],
    "charge-line-is-draws-and-overage": [
        "UPDATE balances_chargeline SET overage_units = overage_units + 1 WHERE payer = 1",
        "UPDATE balances_counter SET overage_units = overage_units + 1 WHERE payer = 1",
    ],
    "draws-are-consumption": [
        "UPDATE balances_chargeline SET bucket_ids[1] = {grant} WHERE cardinality(bucket_ids) > 0"
    ],
    "counters-are-the-subtree": ["UPDATE balances_counter SET records = records + 1 WHERE grain = 1"],
    "days-are-the-cycle": ["UPDATE balances_counter SET used_units = used_units + 1 WHERE grain = 2"],
    "every-record-has-an-outcome": ["UPDATE balances_usagepart SET outcomes = outcomes || 'c'"],
    "batches-are-their-parts": ["UPDATE balances_usagebatch SET accepted_records = accepted_records + 1"],
    "charged-once": [
        "UPDATE balances_usagepart SET charged_count = charged_count + 1, duplicate_count = duplicate_count - 1"
    ],
    "suspended-once": [
        "UPDATE balances_usagepart SET suspended_count = suspended_count + 1, duplicate_count = duplicate_count - 1"
    ],
    "one-usage-record-an-identity": [
        "UPDATE balances_usageidentity SET usage_id = usage_id + 900000 WHERE usage_id > 0"
    ],
    "forks-share-their-place": ["UPDATE balances_usagerecord SET position = position + 1 WHERE counterpart_id > 0"],
    "payer-of-a-record": [
        "UPDATE balances_usagerecord SET payer = 1, person_id = NULL WHERE payer = 2 AND counterpart_id IS NULL"
    ],
    "crossings-were-reached": ["UPDATE balances_crossing SET used_units = level_units - 1"],
    "marks-reached-have-crossings": [
        "UPDATE balances_threshold SET created_at = '2020-01-01' WHERE units IS NOT NULL",
        "DELETE FROM balances_crossing WHERE base_units IS NULL",
    ],
    "exchanges-at-their-rate": ["UPDATE balances_exchange SET received_units = received_units + 1"],
    "draw-use-is-drawn": ["UPDATE balances_drawuse SET units = units + 1"],
    "reservations-are-reserved": ["UPDATE balances_reservation SET state = 'closed'"],
    "offers-are-their-escrow": ["UPDATE balances_entry SET kind = 5 WHERE kind = 11"],
    "offers-are-their-trades": ["UPDATE balances_offer SET open_units = open_units - 1 WHERE state = 'open'"],
    "loans-are-what-came-back": ["UPDATE balances_loan SET returned_units = returned_units + 1"],
    "standing-runs-are-their-trades": ["UPDATE balances_standingrun SET units = units + 1"],
    "returns-have-their-entries": ["UPDATE balances_offeract SET transfer = NULL WHERE kind IN ('returned', 'repaid')"],
}


#: Of records with two payers: damaged in `tests/charging/test_personal_proof.py`.
ELSEWHERE = {"forks-share-their-place", "payer-of-a-record"}


def faulty_checks(world: World) -> list[str]:
    """The names of the checks that find something, for the one enterprise and for all alike."""
    found = [
        [finding.check.name for finding in proof.prove(enterprise_id=which) if not finding.holds]
        for which in (world.enterprise.id, None)
    ]
    assert found[0] == found[1]
    return found[0]


def damage(statements: list[str], *, grant: int) -> None:
    """Run statements past every protection of the tables; the test's transaction takes it all back."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("entry", "usagerecord", "chargeline", "exchange", "offeract", "standingrun"):
            cursor.execute(f"ALTER TABLE balances_{table} DISABLE TRIGGER USER")
        cursor.execute("ALTER TABLE balances_bucket DROP CONSTRAINT bucket_balances")
        for statement in statements:
            cursor.execute(statement.format(grant=grant))
            assert cursor.rowcount > 0, f"this damages nothing: {statement}"


def test_sound_data_is_sound(world: World):
    assert faulty_checks(world) == []
    assert proof.accounted(enterprise_id=world.enterprise.id) == {
        "accepted": 5, "charged": 3, "duplicate": 1, "suspended": 1, "waiting": 0, "parked": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", [check.name for check in proof.CHECKS if check.name not in ELSEWHERE])
def test_damage_is_named_by_its_check_and_no_other(world: World, name: str):
    unused = Bucket.objects.get(enterprise=world.enterprise, name="Voice", cycle_start=BOUNDARIES[0])
    damage(DAMAGE[name], grant=unused.id)
    assert faulty_checks(world) == [name]


def test_every_check_has_a_case_and_every_case_a_check():
    assert set(DAMAGE) | ELSEWHERE == {check.name for check in proof.CHECKS}


def test_a_mark_set_after_the_usage_is_no_fault(world: World):
    """Only usage since then can reach it, and usage of others says nothing about it."""
    contracts.set_threshold(line=world.lines["a"], service=Service.DATA, units=1, actor=ACTOR, at=BOUNDARIES[2])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE balances_threshold SET created_at = %s WHERE units = 1", [BOUNDARIES[2]])
    world.accept([Record("one", "later", "data", NUMBERS["c"], 3, START)], BOUNDARIES[2])
    pipeline.drain(world.enterprise.id, clock=lambda: BOUNDARIES[2] + timedelta(hours=1))
    assert faulty_checks(world) == []


def test_a_fault_is_told_in_words_and_not_more_often_than_shown(world: World):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE balances_counter SET records = records + 1 WHERE grain = 1")
    finding = next(f for f in proof.prove(enterprise_id=world.enterprise.id) if not f.holds)
    assert "counter" in finding.faults[0]
    assert len(finding.faults) <= proof.MOST_SHOWN
