"""Tariffs that operators offer to people: what a version may say, and what stays as it was charged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from balances import contracts, personal_tariffs
from balances.errors import Refused
from balances.models import AuditEvent, ChargingState, Operator, PersonalAccount, PersonalTariff
from balances.personal_pricing import Included, Price
from balances.personal_tariffs import AllowanceRow, NameUsed, RateRow, Retired
from balances.units import GIB, MIB, Service
from tests.cast import ACTOR, APRIL, FEBRUARY, NOW, Cast

BY: dict[str, Any] = {"actor": ACTOR, "at": NOW}
DATA = RateRow(Service.DATA, 10_000, MIB)


def tariff_of(cast: Cast, name: str = "Mine") -> PersonalTariff:
    return personal_tariffs.create_tariff(operator=cast.operator, name=name, currency="EUR", **BY)


def add(tariff: PersonalTariff, effective_at: Any = FEBRUARY, *rates: RateRow, **more: Any) -> Any:
    return personal_tariffs.add_version(
        tariff=tariff, effective_at=effective_at, rates=rates or [DATA], **{**BY, **more}
    )


def test_a_tariff_is_read_as_it_was_written(cast: Cast, django_assert_num_queries: Any) -> None:
    tariff, home, world = tariff_of(cast), cast.zones["home"], cast.zones["world"]
    allowance = AllowanceRow("2 GB at home", Service.DATA, 2 * GIB, (home,))
    first = add(tariff, FEBRUARY, DATA, RateRow(Service.DATA, 500_000, MIB, world), allowances=[allowance])
    second = add(tariff, APRIL, RateRow(Service.VOICE, 90_000, 60))
    other = tariff_of(cast, "Other")
    add(other)
    with django_assert_num_queries(3):
        found = personal_tariffs.terms([tariff.id, other.id])
    assert (first.number, second.number) == (1, 2)
    one, two = found[tariff.id].versions
    assert (one.begins, two.begins) == (FEBRUARY, APRIL)
    cheap, dear = one.price(Service.DATA, home.id), one.price(Service.DATA, world.id)
    assert cheap is not None
    assert dear is not None
    assert (cheap.price_micros, dear.price_micros, dear.block_units) == (10_000, 500_000, MIB)
    (included,) = one.covering(Service.DATA, home.id)
    assert included == Included(included.id, Service.DATA, frozenset({home.id}), 2 * GIB)
    assert one.covering(Service.DATA, world.id) == []
    assert (two.included, [type(price) for price in two.prices.values()]) == ((), [Price])
    assert AuditEvent.objects.filter(action="personal_tariff.version.added", enterprise=None).count() == 3


def test_names_are_unique_with_an_operator_and_currencies_are_known(cast: Cast) -> None:
    tariff_of(cast)
    with pytest.raises(NameUsed):
        tariff_of(cast, " Mine ")
    other = Operator.objects.create(name="Südnetz")
    assert personal_tariffs.create_tariff(operator=other, name="Mine", currency="EUR", **BY)
    with pytest.raises(contracts.NotValid):
        personal_tariffs.create_tariff(operator=other, name="Thaler", currency="XTH", **BY)


def test_only_the_first_version_begins_in_the_past(cast: Cast) -> None:
    tariff = tariff_of(cast)
    add(tariff, FEBRUARY)
    with pytest.raises(contracts.NotValid, match="begin now or later"):
        add(tariff, NOW - timedelta(seconds=1))
    add(tariff, NOW)
    with pytest.raises(contracts.NotValid, match="same instant"):
        add(tariff, NOW)
    # One may come between now and what is planned already.
    add(tariff, APRIL)
    add(tariff, APRIL - timedelta(days=1))
    assert [version.number for version in tariff.versions.order_by("effective_at")] == [1, 2, 4, 3]


@pytest.mark.parametrize(
    ("rates", "allowances", "words"),
    [
        ([], [], "neither prices nor allowances"),
        ([DATA, DATA], [], "two prices of data, everywhere else"),
        ([RateRow(9, 1)], [], "no service"),
        ([RateRow(Service.DATA, -1)], [], "whole number"),
        ([RateRow(Service.DATA, 1, 0)], [], "whole number"),
        ([], [AllowanceRow("a", Service.DATA, 0)], "whole number"),
        ([], [AllowanceRow("a", Service.DATA, 1), AllowanceRow("a ", Service.VOICE, 1)], "two allowances"),
        ([], [AllowanceRow(" ", Service.DATA, 1)], "missing"),
        ([DATA] * 201, [], "at most 200"),
    ],
)
def test_a_version_that_makes_no_sense_is_refused(cast: Cast, rates: Any, allowances: Any, words: str) -> None:
    tariff = tariff_of(cast)
    with pytest.raises(Refused, match=words):
        personal_tariffs.add_version(tariff=tariff, effective_at=NOW, rates=rates, allowances=allowances, **BY)
    assert not tariff.versions.exists()


def test_zones_are_the_operators_own(cast: Cast) -> None:
    other = Operator.objects.create(name="Südnetz")
    foreign = contracts.create_zone(operator=other, code="home", name="Home", networks=["262"], is_home=True, **BY)
    tariff = tariff_of(cast)
    with pytest.raises(contracts.NotFound):
        add(tariff, NOW, RateRow(Service.DATA, 1, 1, foreign))
    with pytest.raises(contracts.NotFound):
        add(tariff, NOW, allowances=[AllowanceRow("a", Service.DATA, 1, (foreign,))])


def test_a_retired_tariff_gets_no_other_version_and_stays_retired(cast: Cast) -> None:
    tariff = tariff_of(cast)
    retired = personal_tariffs.retire_tariff(tariff=tariff, **BY)
    assert retired.retired_at == NOW
    again = personal_tariffs.retire_tariff(tariff=tariff, actor=ACTOR, at=NOW + timedelta(days=1))
    assert again.retired_at == NOW
    assert AuditEvent.objects.filter(action="personal_tariff.retired").count() == 1
    with pytest.raises(Retired):
        add(tariff)


def test_a_new_version_is_seen_by_whoever_charges_its_accounts_and_by_no_one_else(cast: Cast) -> None:
    tariff = tariff_of(cast)
    add(tariff)
    PersonalAccount.objects.create(
        enterprise=cast.aurora.enterprise,
        person=cast.aurora.people["P-1"],
        tariff=tariff,
        kind="prepaid",
        opened_at=NOW,
        opened_by=ACTOR,
    )

    def versions() -> list[int]:
        return [
            ChargingState.objects.get(enterprise=house.enterprise).configuration_version
            for house in (cast.aurora, cast.borealis)
        ]

    before = versions()
    add(tariff, APRIL)
    after = versions()
    assert after[0] > before[0]
    assert after[1] == before[1]
