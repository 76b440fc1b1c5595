"""The personal payer in memory: who pays what in which order, and that memory and tables say the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from balances import ledger, personal, personal_tariffs
from balances.models import (
    OpenPersonalUsage,
    OpenReason,
    OpenState,
    PersonalAccount,
    PersonalBucket,
    PersonalEntry,
    PersonalTariff,
)
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import Service
from policies.steering.rules import REFUSE, Missing
from portal.charging.personal import PersonalBook, PersonalLeg
from portal.charging.records import canonical_time
from tests.cast import ACTOR, APRIL, FEBRUARY, MARCH, NOW, Cast

BY: dict[str, Any] = {"actor": ACTOR, "at": NOW}
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
DATA, VOICE = int(Service.DATA), int(Service.VOICE)


@pytest.fixture
def cursor(cast: Cast) -> Iterator[Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        yield cursor


@pytest.fixture
def tariff(cast: Cast) -> PersonalTariff:
    """Data at 10 micros a unit (70 in the world), 100 units a month at home, then 50 anywhere; no other service."""
    tariff = personal_tariffs.create_tariff(operator=cast.operator, name="Mine", currency="EUR", **BY)
    personal_tariffs.add_version(
        tariff=tariff,
        effective_at=FEBRUARY,
        rates=[RateRow(DATA, 10), RateRow(DATA, 70, 1, cast.zones["world"])],
        allowances=[AllowanceRow("Home", DATA, 100, (cast.zones["home"],)), AllowanceRow("Anywhere", DATA, 50)],
        **BY,
    )
    return tariff


def account_of(
    cast: Cast, tariff: PersonalTariff, micros: int = 0, kind: str = "prepaid", credit: int = 0, at: datetime = FEBRUARY
) -> PersonalAccount:
    """Emil's, accepted since February."""
    opened = personal.open_account(
        person=cast.aurora.people["P-1"], tariff=tariff, kind=kind, credit_limit_micros=credit, actor=ACTOR, at=at
    )
    account = personal.accept(account=opened, text="Prices", actor=ACTOR, at=at)
    if micros:
        personal.top_up(account=account, micros=micros, key=f"{account.id}", **BY)
    return account


class Charging:
    """A book and what charging does with it."""

    def __init__(self, cast: Cast, cursor: Any):
        self.cast, self.cursor = cast, cursor
        self.book = PersonalBook(cast.aurora.enterprise.id)
        self.number = 0

    def charge(
        self, units: int, at: datetime = NOW, *, zone: str = "home", service: int = DATA, missing: Missing = REFUSE,
        person: str | None = "P-1",
    ) -> PersonalLeg:  # fmt: skip
        """A leg, which is worth 3 micros a unit to the company."""
        person_id = self.cast.aurora.people[person].id if person else None
        starts, zone_id = canonical_time(at), self.cast.zones[zone].id
        leg = self.book.charge(
            self.cursor, person_id=person_id, service=service, zone_id=zone_id, units=units, starts=starts,
            missing=missing, value=lambda units: 3 * units,
        )  # fmt: skip
        assert leg.units + leg.refused_units == units
        self.number += 1
        self.book.note_open(
            leg, usage_id=self.number, number=0, used_at=starts, starts=starts,
            line_id=self.cast.aurora.lines["emil phone"].id, person_id=person_id, service=service, zone_id=zone_id,
        )  # fmt: skip
        return leg

    def write(self) -> int:
        """Write the group; returns the charge sequence."""
        sequence = ledger.advance(self.cursor, self.cast.aurora.enterprise.id)
        self.book.write(self.cursor, sequence=sequence, at=NOW)
        assert not self.book.is_changed
        return sequence


@pytest.fixture
def charging(cast: Cast, tariff: PersonalTariff, cursor: Any) -> Charging:
    """With Emil's prepaid account of 1,000 micros."""
    account_of(cast, tariff, 1_000)
    return Charging(cast, cursor)


def allowances() -> dict[str, int]:
    """Used units of each allowance, all months."""
    rows = PersonalBucket.objects.select_related("allowance").order_by("id")
    return {f"{row.allowance.name} {row.period_start:%m-%d}": row.used_units for row in rows}


class TestOrder:
    def test_allowances_by_id_then_money(self, charging: Charging) -> None:
        leg = charging.charge(160)
        assert [units for _, units in leg.draws] == [100, 50]
        assert (leg.units, leg.refused_units, leg.micros) == (160, 0, 100)
        assert leg.reasons == " personal_allowance personal_tariff"
        charging.write()
        assert allowances() == {"Home 02-28": 100, "Anywhere 02-28": 50}
        assert {row.id for row in PersonalBucket.objects.all()} == {bucket_id for bucket_id, _ in leg.draws}
        assert PersonalAccount.objects.get().balance_micros == 900

    def test_only_allowances_that_cover_the_zone_and_the_zones_own_price(self, charging: Charging) -> None:
        leg = charging.charge(60, zone="world")
        assert ([units for _, units in leg.draws], leg.micros) == ([50], 700)
        assert leg.rate_id == personal_tariffs.PersonalRate.objects.get(zone=charging.cast.zones["world"]).id
        assert charging.charge(1, zone="eu").micros == 10

    def test_of_their_own_month_by_the_accounts_clock(self, charging: Charging) -> None:
        for at in (MARCH - SECOND, MARCH):
            assert [units for _, units in charging.charge(100, at).draws] == [100]
        charging.write()
        assert allowances() == {"Home 01-31": 100, "Home 02-28": 100}

    def test_prepaid_money_never_falls_below_nothing(self, charging: Charging) -> None:
        leg = charging.charge(150 + 101)
        assert (leg.units, leg.micros, leg.refused_units) == (250, 1_000, 1)
        assert leg.reasons == " personal_allowance personal_tariff personal_empty"
        assert [(part.reason, part.state, part.units, part.value_micros) for part in leg.open] == [
            (OpenReason.EMPTY, OpenState.REFUSED, 1, 3)
        ]
        assert charging.charge(1).reasons == " personal_empty"

    def test_postpaid_debts_never_pass_the_limit(self, cast: Cast, tariff: PersonalTariff, cursor: Any) -> None:
        account_of(cast, tariff, kind="postpaid", credit=205)
        charging = Charging(cast, cursor)
        leg = charging.charge(150 + 30)
        assert (leg.units, leg.micros, leg.refused_units) == (170, 200, 10)
        charging.write()
        assert PersonalAccount.objects.get().balance_micros == -200

    def test_without_a_price_only_allowances_pay(
        self, cast: Cast, tariff: PersonalTariff, charging: Charging, cursor: Any
    ) -> None:
        leg = charging.charge(7, service=VOICE)
        assert (leg.account_id, leg.units, leg.reasons) == (None, 0, " personal_no_rate")
        personal_tariffs.add_version(
            tariff=tariff, effective_at=NOW, rates=[RateRow(DATA, 10)],
            allowances=[AllowanceRow("Calls", VOICE, 5)], **BY,
        )  # fmt: skip
        leg = Charging(cast, cursor).charge(7, APRIL, service=VOICE)
        assert (leg.units, leg.refused_units, leg.reasons) == (5, 2, " personal_allowance personal_no_rate")


class TestMissing:
    @pytest.mark.parametrize(
        ("at", "reason"),
        [
            (MARCH - SECOND, OpenReason.MISSING),
            (MARCH, None),
            (NOW - SECOND, None),
            (NOW, OpenReason.CLOSED),
        ],
    )  # fmt: skip
    def test_the_account_pays_from_its_acceptance_to_its_end(
        self, cast: Cast, tariff: PersonalTariff, cursor: Any, at: datetime, reason: OpenReason | None
    ) -> None:
        personal.close(account=account_of(cast, tariff, at=MARCH), **BY)
        leg = Charging(cast, cursor).charge(5, at)
        assert [part.reason for part in leg.open] == ([reason] if reason else [])
        assert (leg.account_id is None) == (reason is not None)

    def test_an_account_that_was_not_accepted_pays_nothing(
        self, cast: Cast, tariff: PersonalTariff, cursor: Any
    ) -> None:
        account = personal.open_account(person=cast.aurora.people["P-1"], tariff=tariff, kind="prepaid", **BY)
        personal.top_up(account=account, micros=1_000, key="a", **BY)
        leg = Charging(cast, cursor).charge(5, NOW + DAY)
        assert (leg.reasons, leg.refused_units) == (" personal_missing", 5)

    def test_another_account_pays_from_its_own_acceptance(
        self, cast: Cast, tariff: PersonalTariff, cursor: Any
    ) -> None:
        first = account_of(cast, tariff, at=FEBRUARY)
        personal.close(account=first, actor=ACTOR, at=MARCH)
        second = account_of(cast, tariff, at=NOW)
        charging = Charging(cast, cursor)
        found = [charging.charge(5, at).account_id for at in (FEBRUARY, MARCH, NOW)]
        assert found == [first.id, None, second.id]

    def test_credit_goes_as_far_as_its_bound_a_person_over_all_records(self, charging: Charging) -> None:
        missing = Missing(interim_micros=100)  # 33 units of 3 micros
        first = charging.charge(20, person="P-2", missing=missing)
        assert (first.units, first.reasons) == (20, " personal_missing interim")
        second = charging.charge(20, person="P-2", missing=missing)
        assert (second.units, second.refused_units) == (13, 7)
        assert [(part.state, part.units, part.value_micros) for part in second.open] == [
            (OpenState.OPEN, 13, 39),
            (OpenState.REFUSED, 7, 21),
        ]
        charging.write()
        assert charging.charge(1, person="P-2", missing=missing).refused_units == 1
        charging.book.forget()
        assert charging.charge(1, person="P-2", missing=missing).refused_units == 1
        assert charging.charge(1, person="P-2", missing=Missing(interim_micros=102)).units == 1

    def test_without_a_person_everything_is_refused(self, charging: Charging) -> None:
        leg = charging.charge(5, person=None, missing=Missing(interim_micros=10**9))
        assert (leg.units, leg.refused_units, leg.reasons) == (0, 5, " personal_nobody")

    def test_what_is_open_stands_in_the_table_with_its_charge_line(self, charging: Charging) -> None:
        charging.charge(150 + 100 + 50, missing=Missing(interim_micros=60))
        charging.write()
        rows = OpenPersonalUsage.objects.order_by("state")
        assert [(row.state, row.units, row.value_micros, row.reason) for row in rows] == [
            ("open", 20, 60, "personal_empty"),
            ("refused", 30, 90, "personal_empty"),
        ]
        row = rows[0]
        assert (row.usage_id, row.number, row.used_at, row.starts_at, row.recorded_at) == (1, 0, NOW, NOW, NOW)
        assert (row.person, row.line) == (charging.cast.aurora.people["P-1"], charging.cast.aurora.lines["emil phone"])
        assert (row.bucket_ids, row.bucket_units, row.resolved_at) == ([], [], None)

    def test_no_units_are_nothing_at_all(self, charging: Charging) -> None:
        assert charging.charge(0, person=None) == PersonalLeg()


class TestWriting:
    def test_one_entry_an_account_and_group(self, charging: Charging) -> None:
        for _ in range(3):
            charging.charge(60)
        sequence = charging.write()
        entry = PersonalEntry.objects.get(kind="charge")
        assert (entry.micros, entry.balance_after_micros, entry.charge_sequence) == (-300, 700, sequence)
        charging.charge(1)
        charging.write()
        assert list(PersonalEntry.objects.order_by("id").values_list("balance_after_micros", flat=True)) == [
            1_000,
            700,
            690,
        ]

    def test_goes_on_with_what_was_written(self, charging: Charging) -> None:
        charging.charge(60)
        charging.write()
        charging.charge(60)
        charging.book.write(charging.cursor, sequence=99, at=NOW)
        assert allowances() == {"Home 02-28": 100, "Anywhere 02-28": 20}

    def test_a_fresh_book_goes_on_where_another_ended(self, charging: Charging) -> None:
        charging.charge(60)
        charging.write()
        again = Charging(charging.cast, charging.cursor)
        assert [units for _, units in again.charge(60).draws] == [40, 20]
        charging.book.forget()
        charging.book.ready(charging.cursor, [charging.cast.aurora.people["P-1"].id])
        assert [units for _, units in charging.charge(60).draws] == [40, 20]

    def test_what_was_paid_in_meanwhile_is_seen_once_balances_are_forgotten(self, charging: Charging) -> None:
        charging.charge(150 + 100)
        charging.write()
        assert charging.charge(1).refused_units == 1
        charging.write()
        personal.top_up(account=PersonalAccount.objects.get(), micros=10, key="more", **BY)
        charging.book.forget()
        assert charging.charge(1).micros == 10

    def test_memory_that_is_not_in_step_writes_nothing(self, charging: Charging) -> None:
        charging.charge(150 + 1)
        PersonalAccount.objects.update(balance_micros=5_000)
        with pytest.raises(RuntimeError, match="without raising the charge sequence"):
            charging.write()


class TestQueries:
    def test_loading_takes_few_however_many_people(
        self, cast: Cast, tariff: PersonalTariff, cursor: Any, django_assert_num_queries: Any
    ) -> None:
        people = [cast.aurora.people[number] for number in ("P-1", "P-2")]
        for person in people:
            account = personal.open_account(person=person, tariff=tariff, kind="prepaid", **BY)
            personal.accept(account=account, text="Prices", **BY)
            personal.top_up(account=account, micros=10_000, key=person.number, **BY)
        with django_assert_num_queries(4):  # accounts; versions, prices, allowances of their tariffs
            charging = Charging(cast, cursor)
        with django_assert_num_queries(4), connection.cursor() as charging.cursor:
            # Balances, credit; buckets of the month; ids of new ones.
            charging.book.ready(charging.cursor, [person.id for person in people])
            for person in people:
                charging.charge(200, person=person.number)
        with django_assert_num_queries(0), connection.cursor() as charging.cursor:
            charging.charge(200)
            charging.charge(10**6)
        with django_assert_num_queries(5), connection.cursor() as charging.cursor:
            charging.write()  # the sequence; buckets, accounts with entries, what is open, what came to a mark
        with django_assert_num_queries(2), connection.cursor() as charging.cursor:
            charging.charge(1, person="P-2")
            charging.write()  # the sequence, accounts with entries: nothing came to a mark

    def test_an_enterprise_without_personal_accounts_costs_one(
        self, cast: Cast, django_assert_num_queries: Any
    ) -> None:
        with django_assert_num_queries(1):
            PersonalBook(cast.aurora.enterprise.id)


class TestTurns:
    def turns(self, cast: Cast, starts: datetime, ends: datetime, person: str | None = "P-1") -> list[str]:
        person_id = cast.aurora.people[person].id if person else None
        return PersonalBook(cast.aurora.enterprise.id).turns_between(
            person_id, canonical_time(starts), canonical_time(ends)
        )

    def test_are_months_versions_and_the_accounts_own_begin_and_end(self, cast: Cast, tariff: PersonalTariff) -> None:
        personal_tariffs.add_version(tariff=tariff, effective_at=NOW + DAY, rates=[RateRow(DATA, 1)], **BY)
        account = account_of(cast, tariff, at=MARCH - DAY)
        personal.close(account=account, actor=ACTOR, at=APRIL + DAY)
        found = self.turns(cast, FEBRUARY, APRIL + 40 * DAY)
        assert found == [canonical_time(at) for at in (MARCH - DAY, MARCH, NOW + DAY, APRIL, APRIL + DAY)]

    def test_lie_strictly_inside(self, cast: Cast, tariff: PersonalTariff) -> None:
        account_of(cast, tariff, at=FEBRUARY)
        assert self.turns(cast, MARCH, APRIL) == []
        assert self.turns(cast, MARCH - SECOND, APRIL + SECOND) == [canonical_time(MARCH), canonical_time(APRIL)]
        assert self.turns(cast, FEBRUARY, MARCH) == []

    def test_are_none_where_nobody_pays(self, cast: Cast, tariff: PersonalTariff) -> None:
        account_of(cast, tariff)
        assert self.turns(cast, FEBRUARY, APRIL, None) == []
        assert self.turns(cast, FEBRUARY, APRIL, "P-2") == []
