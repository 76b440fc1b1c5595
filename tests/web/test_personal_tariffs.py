"""The screens of tariffs for people: an account manager offers one, sees what a later version changes, ends it."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from balances import personal, personal_tariffs
from balances.models import PersonalAllowance, PersonalRate, PersonalTariff, PersonalTariffVersion
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import GIB, MIB, Service
from tests.cast import ACTOR, MARCH, NOW, Cast

pytestmark = pytest.mark.django_db
DOING = {"actor": ACTOR, "at": NOW}
ALLOWANCE = {"a0-name": "Data of my own", "a0-service": "1", "a0-amount": "2 GiB"}


@pytest.fixture
def olga(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.olga)
    return client


@pytest.fixture
def tariff(cast: Cast) -> PersonalTariff:
    made = personal_tariffs.create_tariff(operator=cast.operator, name="Mine", currency="EUR", **DOING)
    personal_tariffs.add_version(
        tariff=made,
        effective_at=MARCH,
        rates=[RateRow(Service.DATA, 2_000, MIB), RateRow(Service.DATA, 90_000, MIB, cast.zones["world"])],
        allowances=[AllowanceRow("Data of my own", Service.DATA, 2 * GIB, (cast.zones["home"],))],
        **DOING,
    )
    return made


def typed(cast: Cast, **values: str) -> dict[str, str]:
    world = cast.zones["world"].id
    return {
        "action": "terms", "terms-name": "Mine", "terms-currency": "eur", "do": "add-version",
        "rate-1-0-price": "0.002", "rate-1-0-block": "1 MiB", f"rate-1-{world}-price": "0.09", **ALLOWANCE, **values,
    }  # fmt: skip


def test_a_tariff_is_offered_with_its_first_version(cast: Cast, olga: Client):
    page = olga.post(reverse("personal-tariff-new"), typed(cast), follow=True).content.decode()
    assert "Version 1 of “Mine” holds from" in page
    tariff = PersonalTariff.objects.get()
    assert (tariff.currency, tariff.operator) == ("EUR", cast.operator)
    rates = {(rate.service, rate.zone_id): (rate.price_micros, rate.block_units) for rate in PersonalRate.objects.all()}
    assert rates == {(1, None): (2_000, MIB), (1, cast.zones["world"].id): (90_000, MIB)}
    assert PersonalAllowance.objects.get().units == 2 * GIB
    assert "Offered" in olga.get(reverse("personal-tariffs")).content.decode()


def test_what_will_hold_is_shown_before_it_is_added(cast: Cast, olga: Client):
    page = olga.post(reverse("personal-tariff-new"), typed(cast, do="show-version")).content.decode()
    assert '€0.002</span> <span class="soft">per MiB' in page
    assert "Offer this tariff" in page
    assert not PersonalTariff.objects.exists()


def test_a_later_version_is_seen_beside_todays(cast: Cast, olga: Client, tariff: PersonalTariff):
    address = reverse("personal-tariff-version-new", args=[tariff.id])
    form = olga.get(address).content.decode()
    assert 'value="0.002"' in form
    assert 'value="2 GiB"' in form
    values = typed(cast, **{"terms-effective_at": "2199-01-01T00:00", "rate-1-0-price": "0.003"})
    shown = olga.post(address, values | {"do": "show-version"}).content.decode()
    assert '<span class="changed">€0.003</span>' in shown
    assert PersonalTariffVersion.objects.count() == 1
    page = olga.post(address, values, follow=True).content.decode()
    assert "Version 2 of “Mine” holds from 1 Jan 2199, 00:00:00 on." in page
    assert "Prices, today and to come" in page
    assert page.index('<span class="">€0.002</span>') < page.index('<span class="changed">€0.003</span>')


def test_nothing_new_is_no_version(cast: Cast, olga: Client, tariff: PersonalTariff):
    home = str(cast.zones["home"].id)
    same = typed(cast, do="show-version", **{"a0-zones": home})
    page = olga.post(reverse("personal-tariff-version-new", args=[tariff.id]), same).content.decode()
    assert "Nothing differs from version 1." in page


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rate-1-0-price": "cheap"}, "Data, Everywhere else: “cheap” is no number."),
        ({"rate-1-0-price": "Infinity"}, "Data, Everywhere else: “Infinity” is no number."),
        ({"rate-1-0-price": "-1"}, "A whole number from 0 to"),
        ({"rate-1-0-block": "1 fax"}, "Data, Everywhere else: “fax” is no unit here"),
        ({"a0-amount": "lots"}, "Allowance 1: “lots” is no quantity"),
        ({"a0-name": ""}, "The name of an allowance is missing."),
        ({"a0-service": "9"}, "Allowance 1: choose its service."),
        ({"terms-currency": "XYZ"}, "“XYZ” is no currency"),
        ({"terms-effective_at": "2026-03-29T02:30"}, "Clocks never showed this time"),
    ],
)
def test_what_is_wrong_is_said_at_its_row_and_nothing_is_kept(cast: Cast, olga: Client, wrong: dict, said: str):
    page = olga.post(reverse("personal-tariff-new"), typed(cast, **wrong)).content.decode()
    assert said in page
    assert 'value="Mine"' in page
    assert not PersonalTariff.objects.exists()


def test_prices_that_people_were_charged_by_stay(cast: Cast, olga: Client, tariff: PersonalTariff):
    late = typed(cast, **{"terms-effective_at": "2026-03-10T00:00"})
    page = olga.post(reverse("personal-tariff-version-new", args=[tariff.id]), late).content.decode()
    assert "Prices that people may have been charged by stay" in page


def test_an_offer_ends_and_whoever_has_it_keeps_it(cast: Cast, olga: Client, tariff: PersonalTariff):
    personal.open_account(person=cast.aurora.people["P-1"], tariff=tariff, kind="prepaid", **DOING)
    address = reverse("personal-tariff", args=[tariff.id])
    assert "The 1 account with it keeps it." in olga.get(address).content.decode()
    page = olga.post(address, {"action": "retire"}, follow=True).content.decode()
    assert "Offered no more" in page
    assert olga.get(reverse("personal-tariff-version-new", args=[tariff.id])).status_code == 404


@pytest.mark.parametrize("name", ["alice", "carla", "dora", "emil", "mallory"])
def test_nobody_else_finds_tariffs(cast: Cast, tariff: PersonalTariff, name: str):
    client = Client()
    client.force_login(cast.users[name])
    assert client.get(reverse("personal-tariffs")).status_code == 404
    assert client.get(reverse("personal-tariff", args=[tariff.id])).status_code == 404
