"""A stateful property: whatever people use, pay in, accept, close and owe, the database says what the model says.

Through all of charging, with a rule that leaves everything to people; examples are rolled back. REFERENCE_EXAMPLES and
REFERENCE_STEPS make the walk as long as wanted, as in `test_reference.py`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from balances import personal, personal_proof, personal_tariffs, proof
from balances.models import (
    ChargeLine,
    OpenPersonalUsage,
    PersonalAccount,
    PersonalBucket,
    PersonalEntry,
    PersonalTariffVersion,
    UsageRecord,
)
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import SERVICE_NAMES
from policies.proof import CHECKS
from portal.charging import pipeline
from portal.charging.personal import PersonalBook
from tests.cast import ACTOR
from tests.charging import personal_reference as reference
from tests.charging.personal_reference import PersonalModel
from tests.charging.small_world import BOUNDARIES, SERVICES, START, World
from tests.charging.steered import person_on, steer
from tests.charging.test_pipeline import charge, used
from tests.charging.test_reference import NEAR, STEPS, seeds, walk

#: Midnight of the first of March in New York, and in Berlin; some times between.
CUTS = [datetime(2026, 3, 1, 5, tzinfo=UTC), BOUNDARIES[1], *(datetime(2026, 2, day, tzinfo=UTC) for day in (5, 25))]
KINDS = [("data", "home"), ("data", "home"), ("data", "world"), ("voice", "home"), ("messaging", "home")]
NETWORKS = {"home": "", "world": "310"}


class Paying(RuleBasedStateMachine):
    """The database and the model, driven side by side."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.example = transaction.atomic()
        self.example.__enter__()
        pipeline.forget_everything()
        self.people = {line: person_on(self.world, line) for line in "ab"}  # of c nobody is known
        self.now = START
        self.legs: dict[str, reference.Leg] = {}
        self.names = 0
        #: In step with the model's.
        self.accounts: list[PersonalAccount] = []

    def teardown(self) -> None:
        try:
            self.compare()
            checks = proof.CHECKS + personal_proof.CHECKS + CHECKS
            assert [f for f in proof.prove(enterprise_id=self.world.enterprise.id, checks=checks) if not f.holds] == []
        finally:
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)

    @property
    def by(self) -> dict[str, Any]:
        return {"actor": ACTOR, "at": self.now}

    @initialize(seed=seeds)
    def begin_with_a_rule_and_a_tariff(self, seed: int) -> None:
        chance = random.Random(seed)
        bound = chance.choice([None, 5_000, 5_000, 200_000])
        missing = {"action": "refuse"} if bound is None else {"action": "interim", "micros": bound}
        steer(self.world, "R", {"name": "All", "pays": "personal"}, missing=missing)
        self.model = PersonalModel(bound)
        self.tariff = personal_tariffs.create_tariff(
            operator=self.world.operator, name="Mine", currency="EUR", **self.by
        )
        self._add_version(chance, chance.choice([BOUNDARIES[0], datetime(2026, 2, 20, tzinfo=UTC)]))
        if chance.random() < 0.5:
            self._add_version(chance, self.now)
        if chance.random() < 0.7:
            self._open(chance, "a")

    def _add_version(self, chance: random.Random, begins: datetime) -> None:
        while any(version.begins == begins for version in self.model.versions):
            begins += timedelta(minutes=1)
        prices: dict[tuple[str, str | None], tuple[int, int]] = {}
        for service, zone in (("data", None), ("data", "world"), ("voice", None), ("messaging", "home")):
            if chance.random() < 0.7:
                prices[service, zone] = (chance.choice([0, 1, 100, 333, 5_000]), chance.choice([1, 3, 7]))
        allowances = [
            (
                f"Included {place}",
                chance.choice(["data", "voice"]),
                chance.choice([(), ("home",)]),
                chance.randint(1, 20),
            )
            for place in range(chance.randint(0, 2))
        ]
        if not prices and not allowances:
            prices["data", None] = (100, 3)
        zones = self.world.zones
        personal_tariffs.add_version(
            tariff=self.tariff,
            effective_at=begins,
            rates=[
                RateRow(SERVICES[service], price, block, zones[zone] if zone else None)
                for (service, zone), (price, block) in prices.items()
            ],
            allowances=[
                AllowanceRow(name, SERVICES[service], units, tuple(zones[zone] for zone in where))
                for name, service, where, units in allowances
            ],
            **self.by,
        )
        self.model.versions.append(reference.Version(begins, prices, allowances))

    # --- what happens --------------------------------------------------------------------------------------------

    @rule(seed=seeds)
    def people_use_something(self, seed: int) -> None:
        chance = random.Random(seed)
        records = []
        for _ in range(chance.randint(1, 4)):
            line, (service, zone) = chance.choice("aaabc"), chance.choice(KINDS)
            units = chance.randint(0, 30) if zone == "home" else 10 * chance.randint(1, 3)
            name, at = self._name(), self._moment(chance)
            records.append(used(name, line, units, at, service=service, network=NETWORKS[zone]))
            person = line if line in self.people else None
            self.legs[name] = self.model.charge(person, at, service, zone, units)
        charge(self.world, *records, at=self.now)
        self.compare()

    def _name(self) -> str:
        self.names += 1
        return f"r{self.names}"

    def _moment(self, chance: random.Random) -> datetime:
        """Mostly just now, or about an instant at which something turns; never after now."""
        cuts = [*CUTS, *(version.begins for version in self.model.versions)]
        cuts += [at for account in self.model.accounts for at in (account.accepted, account.closed) if at is not None]
        at = chance.choice([self.now, self.now, chance.choice(cuts) + chance.choice(NEAR)])
        return max(min(at, self.now), datetime(2026, 2, 5, tzinfo=UTC))

    @rule(seed=seeds)
    def an_account_is_opened_or_accepted_or_closed(self, seed: int) -> None:
        chance = random.Random(seed)
        person = chance.choice("aab")
        place = next((p for p, a in enumerate(self.model.accounts) if a.person == person and a.closed is None), None)
        if place is None:
            self._open(chance, person)
        elif self.model.accounts[place].accepted is None:
            self._accept(place)
        elif chance.random() < 0.3:
            owed = max(-self.model.accounts[place].balance, 0)
            personal.close(account=self.accounts[place], owed_micros=owed, **self.by)
            self.model.accounts[place].closed = self.now

    def _open(self, chance: random.Random, person: str) -> None:
        kind = chance.choice(["prepaid", "postpaid"])
        credit = chance.choice([0, 700, 4_000]) if kind == "postpaid" else 0
        zone = chance.choice(["Europe/Berlin", "America/New_York"])
        account = personal.open_account(
            person=self.people[person], tariff=self.tariff, kind=kind, credit_limit_micros=credit, time_zone=zone,
            **self.by,
        )  # fmt: skip
        self.accounts.append(account)
        self.model.accounts.append(reference.Account(person, ZoneInfo(zone), credit))
        if chance.random() < 0.8:
            self._pay_in(len(self.accounts) - 1, chance.choice([50, 400, 3_000]))
        if chance.random() < 0.7:
            self._accept(len(self.accounts) - 1)

    def _accept(self, place: int) -> None:
        account, twin = self.accounts[place], self.model.accounts[place]
        personal.accept(account=account, text="Prices", **self.by)
        twin.accepted = self.now
        self.model.settle(twin)

    def _pay_in(self, place: int, micros: int) -> None:
        personal.top_up(account=self.accounts[place], micros=micros, key=self._name(), **self.by)
        self.model.accounts[place].balance += micros
        self.model.settle(self.model.accounts[place])

    @rule(seed=seeds)
    def money_comes_in_or_goes_out(self, seed: int) -> None:
        chance = random.Random(seed)
        if not self.accounts:
            return
        place = chance.randrange(len(self.accounts))
        twin = self.model.accounts[place]
        if twin.balance > 0 and chance.random() < 0.3:
            micros = chance.randint(1, twin.balance)
            personal.pay_out(account=self.accounts[place], micros=micros, key=self._name(), **self.by)
            twin.balance -= micros
        elif twin.closed is None:
            self._pay_in(place, chance.choice([1, 60, 900, 9_000]))
        elif twin.balance < 0:
            self._pay_in(place, chance.randint(1, -twin.balance))
        self.compare()

    @rule(seed=seeds)
    def a_limit_is_moved_or_something_is_written_off(self, seed: int) -> None:
        chance = random.Random(seed)
        for account, twin in zip(self.accounts, self.model.accounts, strict=True):
            if twin.closed is None and account.kind == "postpaid":
                twin.credit = max(chance.choice([0, 500, 6_000]), -twin.balance)
                personal.set_credit_limit(account=account, credit_limit_micros=twin.credit, **self.by)
                self.model.settle(twin)
        rows = list(OpenPersonalUsage.objects.filter(enterprise=self.world.enterprise).order_by("id"))
        open_ones = [place for place, row in enumerate(self.model.open) if row.state == "open"]
        if open_ones and chance.random() < 0.4:
            place = chance.choice(open_ones)
            personal.write_off(open_usage=rows[place], **self.by)
            self.model.open[place].state = "written_off"
        self.compare()

    @rule(seed=seeds)
    def time_passes(self, seed: int) -> None:
        chance = random.Random(seed)
        self.now += timedelta(minutes=chance.randint(1, 300))
        if chance.random() < 0.3:
            self._add_version(chance, self.now + timedelta(minutes=chance.choice([0, 0, 90])))
        if chance.random() < 0.3:
            pipeline.forget_everything()

    # --- what both say -------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Money, allowances, open usage and charge lines are the same on both sides."""
        begins = dict(PersonalTariffVersion.objects.values_list("id", "effective_at"))
        for account, twin in zip(self.accounts, self.model.accounts, strict=True):
            account.refresh_from_db()
            assert account.balance_micros == twin.balance
            assert sum(PersonalEntry.objects.filter(account=account).values_list("micros", flat=True)) == twin.balance
            buckets = PersonalBucket.objects.filter(account=account).select_related("allowance")
            used_units = {
                (
                    begins[b.allowance.version_id],
                    b.allowance.name,
                    b.period_start.astimezone(twin.zone).strftime("%Y-%m"),
                ): b.used_units
                for b in buckets
            }
            assert {key: n for key, n in used_units.items() if n} == {key: n for key, n in twin.used.items() if n}
        people = {person.id: line for line, person in self.people.items()}
        zones = {zone.id: code for code, zone in self.world.zones.items()}
        rows = OpenPersonalUsage.objects.filter(enterprise=self.world.enterprise).order_by("id")
        assert [
            reference.Open(
                people.get(row.person_id or 0), row.used_at, SERVICE_NAMES[row.service], zones[row.zone_id], row.units,
                row.value_micros, row.reason, row.state, row.amount_micros,
            )
            for row in rows
        ] == self.model.open  # fmt: skip
        names = dict(UsageRecord.objects.filter(payer=2).values_list("id", "source_record_id"))
        assert {
            names[line.usage_id]: reference.Leg(
                line.units, line.refused_units, sum(line.personal_bucket_units), line.personal_micros
            )
            for line in ChargeLine.objects.filter(payer=2)
        } == self.legs


@pytest.mark.django_db
@pytest.mark.timeout(0 if "REFERENCE_EXAMPLES" in os.environ else 600)
def test_whatever_happens_people_pay_what_the_model_says() -> None:
    walk(World(), machine=Paying)


def _never_look_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PersonalBook, "forget", lambda book: vars(book).setdefault("_on_credit", {}) or _begin(book))


def _begin(book: PersonalBook) -> None:
    if not hasattr(book, "_drawn"):
        book._loaded, book._drawn, book._charged, book._opened = [], [], [], []


def _wander(world: World, numbers: Iterable[int]) -> None:
    """Examples by `random` alone: what hypothesis draws depends on which modules are loaded."""
    for seed in numbers:
        _wander_once(world, seed)


def _wander_once(world: World, seed: int) -> None:
    chance = random.Random(seed)
    machine = type("Wandering", (Paying,), {"world": world})()
    steps = [
        machine.people_use_something, machine.an_account_is_opened_or_accepted_or_closed,
        machine.money_comes_in_or_goes_out, machine.a_limit_is_moved_or_something_is_written_off, machine.time_passes,
    ]  # fmt: skip
    try:
        machine.begin_with_a_rule_and_a_tariff(seed=chance.getrandbits(32))
        for _ in range(STEPS):
            chance.choice(steps)(seed=chance.getrandbits(32))
    finally:
        machine.teardown()


@pytest.mark.django_db
@pytest.mark.timeout(600)
def test_the_walk_finds_a_worker_that_never_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: money that came in meanwhile is not seen."""
    world = World()
    _wander(world, range(1))  # ends well as long as it looks
    _never_look_again(monkeypatch)
    with pytest.raises((AssertionError, RuntimeError)):
        _wander(world, range(50))
