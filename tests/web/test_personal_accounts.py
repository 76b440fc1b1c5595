"""Screens of personal accounts: opened one by one, for many, by a file; money in and out; what managers do not see."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from balances import inventory, personal, personal_tariffs
from balances.inventory import PersonRow
from balances.models import OpenPersonalUsage, PersonalAccount, PersonalEntry, PersonalTariff
from balances.personal_tariffs import RateRow
from balances.units import MIB, Service
from tests.balances.test_personal import on_credit
from tests.cast import ACTOR, MARCH, NOW, Cast

pytestmark = pytest.mark.django_db
DOING = {"actor": ACTOR, "at": NOW}
EURO = 1_000_000


def signed_in(cast: Cast, name: str) -> Client:
    client = Client()
    client.force_login(cast.users[name])
    return client


@pytest.fixture
def olga(cast: Cast) -> Client:
    return signed_in(cast, "olga")


@pytest.fixture
def tariff(cast: Cast) -> PersonalTariff:
    made = personal_tariffs.create_tariff(operator=cast.operator, name="Mine", currency="EUR", **DOING)
    personal_tariffs.add_version(
        tariff=made, effective_at=MARCH, rates=[RateRow(Service.DATA, 1 * EURO, 1_000)], **DOING
    )
    return made


@pytest.fixture
def emils(cast: Cast, tariff: PersonalTariff) -> PersonalAccount:
    """Emil's account, which may owe 50 euros, not accepted yet."""
    return personal.open_account(
        person=cast.aurora.people["P-1"], tariff=tariff, kind="postpaid", credit_limit_micros=50 * EURO, **DOING
    )


def accepted(account: PersonalAccount) -> PersonalAccount:
    return personal.accept(account=account, text="Data 1 euro.", actor="user:6 Emil Engel", at=NOW)


def listing(cast: Cast) -> str:
    return reverse("account-personal", args=[cast.aurora.root.id])


def test_an_account_is_opened_for_one_person(cast: Cast, olga: Client, tariff: PersonalTariff):
    form = {
        "action": "open-accounts", "id": str(cast.aurora.people["P-1"].id), "open-accounts-tariff": str(tariff.id),
        "open-accounts-kind": "postpaid", "open-accounts-credit_limit": "49.90",
    }  # fmt: skip
    page = olga.post(listing(cast), form, follow=True).content.decode()
    assert "1 account is opened. It pays nothing until the person accepts" in page
    account = PersonalAccount.objects.get()
    assert (account.person, account.credit_limit_micros) == (cast.aurora.people["P-1"], 49_900_000)
    assert account.time_zone == "Europe/Berlin"
    assert "Not accepted yet" in page
    again = olga.post(listing(cast), form, follow=True).content.decode()
    assert "nothing was opened" in again
    assert PersonalAccount.objects.count() == 1


def test_all_that_match_get_one_and_nobody_a_second(cast: Cast, olga: Client, emils: PersonalAccount):
    rows = [PersonRow(n, f"Q-{n}", f"Quill {n:03}", "N-FIELD", "") for n in range(2, 62)]
    inventory.load_people(enterprise=cast.aurora.enterprise, rows=rows, **DOING)
    form = {
        "action": "open-accounts", "all": "1", "open-accounts-tariff": str(emils.tariff_id),
        "open-accounts-kind": "prepaid",
    }  # fmt: skip
    page = olga.post(f"{listing(cast)}?q=Quill", form, follow=True).content.decode()
    assert "60 accounts are opened. They pay nothing" in page
    assert PersonalAccount.objects.filter(person=emils.person).count() == 1
    without = olga.get(f"{listing(cast)}?show=without").content.decode()
    assert "Frida Fels" in without
    assert "Quill" not in without
    second = olga.get(f"{listing(cast)}?q=Quill&page=2").content.decode()
    assert "51 to 60 of 60" in second


def test_a_file_opens_rows_without_a_problem_and_lists_the_others(cast: Cast, olga: Client, tariff: PersonalTariff):
    text = (
        "person_number;tariff;kind;credit_limit\r\nP-1;Mine;postpaid;20.50\r\nP-2;Mine;prepaid;5\r\nP-9;Mine;prepaid;\r\n"
        "P-2;Other;prepaid;\r\nP-2;Mine;loan;\r\nP-2;Mine;postpaid;20,50\r\nP-1;Mine;prepaid;\r\n"
    )
    file = SimpleUploadedFile("accounts.csv", text.encode())
    page = olga.post(listing(cast), {"action": "load-accounts", "load-accounts-file": file}).content.decode()
    account = PersonalAccount.objects.get()
    assert (account.person.number, account.credit_limit_micros) == ("P-1", 20_500_000)
    assert "1 opened; 6 problems." in page
    for said in (
        "Row 3, credit_limit: A prepaid account has no credit.",
        "Row 4, person_number: Nobody has the personnel number “P-9”.",
        "Row 5, tariff: There is no tariff “Other”.",
        "Row 6, kind: “loan” is not one of: prepaid, postpaid.",
        "Row 7, credit_limit: “20,50” is no amount",
        "Row 8, person_number: This person has an open account already.",
    ):
        assert said in page
    assert (
        b"person_number,tariff,kind,credit_limit"
        in olga.get(reverse("import-template", args=["personal-accounts"])).content
    )


def test_people_are_found_by_the_state_of_their_account(cast: Cast, olga: Client, emils: PersonalAccount):
    def shown(show: str) -> list[str]:
        page = olga.get(f"{listing(cast)}?show={show}").content.decode()
        return [name for name in ("Emil Engel", "Frida Fels") if f"{name}" in page.partition("<tbody>")[2]]

    assert (shown("waiting"), shown("open"), shown("without")) == (["Emil Engel"], [], ["Frida Fels"])
    accepted(emils)
    assert (shown("waiting"), shown("open"), shown("closed")) == ([], ["Emil Engel"], [])
    personal.close(account=emils, **DOING)
    assert (shown("open"), shown("closed"), shown("without")) == ([], ["Emil Engel"], ["Emil Engel", "Frida Fels"])


@pytest.mark.parametrize("name", ["alice", "carla"])
def test_managers_see_how_many_and_whom_to_ask_and_no_more(cast: Cast, emils: PersonalAccount, name: str):
    client = signed_in(cast, name)
    address = reverse("account-personal", args=[cast.aurora.accounts["NORTH"].id])
    page = client.get(address).content.decode()
    assert "<dt>With an accepted account</dt><dd>0</dd>" in page
    assert "Emil Engel" in page
    accepted(emils)
    personal.top_up(account=emils, micros=12_340_000, key="k", **DOING)
    page = client.get(address).content.decode()
    assert "<dt>With an accepted account</dt><dd>1</dd>" in page
    assert "Emil Engel" not in page
    assert "Mine" not in page
    assert "12.34" not in page
    form = {"action": "open-accounts", "all": "1", "open-accounts-tariff": str(emils.tariff_id)}
    client.post(address, form | {"open-accounts-kind": "prepaid"})
    assert PersonalAccount.objects.count() == 1
    assert client.get(reverse("personal-account", args=[emils.id])).status_code == 404


def test_money_comes_in_once_however_often_it_is_sent(cast: Cast, olga: Client, emils: PersonalAccount):
    accepted(emils)
    address = reverse("personal-account", args=[emils.id])
    form = {"action": "top-up", "top-up-amount": "25", "top-up-key": "abc", "top-up-note": "Cash"}
    assert "€25.00 are paid in." in olga.post(address, form, follow=True).content.decode()
    olga.post(address, form)
    emils.refresh_from_db()
    assert emils.balance_micros == 25 * EURO
    paid = {"action": "pay-out", "pay-out-key": "out", "pay-out-amount": "25.01"}
    assert "This account has €25.00 left." in olga.post(address, paid).content.decode()
    assert "€20.00 are paid out." in olga.post(address, paid | {"pay-out-amount": "20"}, follow=True).content.decode()
    emils.refresh_from_db()
    assert emils.balance_micros == 5 * EURO
    page = olga.get(f"{address}?month=2026-03").content.decode()
    assert "Money paid in" not in page  # it was done now, not at the time of the cast
    assert "“x” is no number" in olga.post(address, form | {"top-up-amount": "x"}).content.decode()


def test_usage_is_one_sum_a_day_without_a_time(cast: Cast, olga: Client, emils: PersonalAccount):
    accepted(emils)
    personal.top_up(account=emils, micros=10 * EURO, key="in", **DOING)
    balance = 10 * EURO
    for second, micros in ((1, 300_000), (2, 700_000)):
        balance -= micros
        PersonalEntry.objects.create(
            account=emils, kind="charge", micros=-micros, balance_after_micros=balance, charge_sequence=1,
            at=NOW + timedelta(seconds=second), recorded_at=NOW, actor="charging",
        )  # fmt: skip
    PersonalAccount.objects.filter(id=emils.id).update(balance_micros=balance)
    page = olga.get(reverse("personal-account", args=[emils.id]) + "?month=2026-03").content.decode()
    assert "Usage of the day" in page
    assert "−€1.00" in page
    assert "€9.00" in page
    assert "−€0.30" not in page
    assert "13:00:01" not in page  # the second of the first charge, in Berlin
    assert "13:00:00" in page  # the payment is an act


def test_closing_says_what_is_owed_first(cast: Cast, olga: Client, emils: PersonalAccount):
    on_credit(cast, 4_000, MARCH + timedelta(days=1))
    accepted(emils)
    address = reverse("personal-account", args=[emils.id])
    assert "<strong>€4.00 are owed</strong>" in olga.get(address).content.decode()
    stale = olga.post(address, {"action": "close", "close-owed_micros": "0"}).content.decode()
    assert "This account owes €4.00 now: look again before you close it." in stale
    done = olga.post(address, {"action": "close", "close-owed_micros": str(4 * EURO)}, follow=True).content.decode()
    assert "The account is closed." in done
    more = {"action": "top-up", "top-up-key": "late", "top-up-amount": "5"}
    assert "no more can be paid in" in olga.post(address, more).content.decode()
    olga.post(address, more | {"top-up-amount": "4"})
    emils.refresh_from_db()
    assert emils.balance_micros == 0


def test_a_credit_limit_is_set_and_settles_what_fits(cast: Cast, olga: Client, emils: PersonalAccount):
    on_credit(cast, 60_000, MARCH + timedelta(days=1))
    accepted(emils)
    address = reverse("personal-account", args=[emils.id])
    page = olga.post(address, {"action": "credit-limit", "credit-limit-amount": "60"}, follow=True).content.decode()
    assert "This account may owe €60.00 now." in page
    emils.refresh_from_db()
    assert (emils.credit_limit_micros, emils.balance_micros) == (60 * EURO, -60 * EURO)
    lower = olga.post(address, {"action": "credit-limit", "credit-limit-amount": "10"}).content.decode()
    assert "This account owes €60.00: its limit cannot be lower." in lower


def test_what_is_on_credit_is_shown_in_sums_and_written_off_as_shown(cast: Cast, olga: Client, emils: PersonalAccount):
    for day in (1, 2):
        on_credit(cast, 5 * MIB, MARCH + timedelta(days=day, hours=7, minutes=11))
    address = reverse("personal-account", args=[emils.id])
    page = olga.get(address).content.decode()
    assert "2 uses" in page
    assert "10\u202fMiB" in page
    assert "07:11" not in page
    form = {"action": "write-off", "write-off-service": "1", "write-off-reason": "personal_missing"}
    shown = {"write-off-rows": "2", "write-off-value_micros": str(10 * MIB)}
    stale = olga.post(address, form | shown | {"write-off-rows": "1"}).content.decode()
    assert "What is on credit has changed meanwhile: look again." in stale
    done = olga.post(address, form | shown, follow=True).content.decode()
    assert "2 uses are written off: nobody pays." in done
    assert not OpenPersonalUsage.objects.filter(state="open").exists()
