"""One's own pages: both payers side by side, why, and nothing personal for whoever has not proved who they are."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from balances import inventory, personal
from balances.models import PersonalAccount, PersonalEntry, UsageRecord
from balances.units import MIB, Service
from policies import limits
from tests.cast import ACTOR, Cast
from tests.employee import CALLS, Employee, employee, open_account, prove, steer
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def words(user, name: str, *arguments, status: int = 200, **query) -> str:
    """What somebody reads on a page, without tags."""
    response = signed_in(user).get(reverse(name, args=arguments), query)
    assert response.status_code == status, response.content.decode()
    html = response.content.decode().partition("<main")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("&quot;", '"').replace("\u202f", " ").split())


@pytest.fixture
def emil(cast: Cast) -> Employee:
    """A private call of five minutes, and data abroad that both pay."""
    made = employee(cast)
    phone = cast.aurora.lines["emil phone"]
    charge(
        cast.aurora,
        used(phone, "voice", 300, other_party="498912345"),
        used(phone, "voice", 60, other_party="49301234"),
        used(phone, "data", 100 * MIB, visited_network="208"),
    )
    return made


def personal_record(service: int) -> UsageRecord:
    return UsageRecord.objects.get(payer=2, service=service)


def test_both_payers_stand_side_by_side_with_units_and_the_persons_money(emil: Employee):
    page = words(emil.cast.emil, "me")
    company, _, own = page.partition("The company pays ")[2].partition(" I pay ")
    assert "60 MiB 1 charge" in company
    assert "1:00 min 1 charge" in company
    assert "40 MiB" in own
    assert "5:00 min" in own
    assert "€3.50" in own, "30 MiB beyond 10 that are included, and five minutes"
    assert "€16.50 left" in page
    assert "0 B left of 10 MiB" in page


def test_each_charge_says_who_pays_and_why_in_words(emil: Employee):
    page = words(emil.cast.emil, "me-charges")
    assert "I pay" in page
    assert "Rule “Private numbers” of Aurora AG." in page
    assert "No rule says otherwise: the company pays." in page


def test_charges_are_chosen_by_payer_service_and_cycle(emil: Employee):
    mine = words(emil.cast.emil, "me-charges", payer="me")
    assert mine.count("Rule “") == 2
    assert "No rule says" not in mine
    assert words(emil.cast.emil, "me-charges", payer="me", service="voice").count("Rule “") == 1
    assert "Nothing fits" in words(emil.cast.emil, "me-charges", payer="me", service="messaging")


def test_a_list_of_charges_goes_on_where_it_ended(emil: Employee):
    phone = emil.cast.aurora.lines["emil phone"]
    charge(emil.cast.aurora, *[used(phone, "voice", number, other_party="49301234") for number in range(1, 61)])
    client, address, seen = signed_in(emil.cast.emil), reverse("me-charges"), []
    while address:
        html = client.get(address).content.decode()
        seen += re.findall(r'href="/me/charges/(\d+)/"', html)
        older = re.search(r'rel="next" href="([^"]+)"', html)
        address = older and reverse("me-charges") + older[1].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == 64


def test_an_event_of_both_is_explained_with_both_halves_whichever_is_asked_for(emil: Employee):
    for record in UsageRecord.objects.filter(service=1):
        page = words(emil.cast.emil, "me-charge", record.id)
        assert "Both pay a part of it: 100 MiB 104,857,600 octets in all." in page
        assert "62,914,560 octets" in page
        assert "41,943,040 octets" in page
        assert "€3.00" in page
        assert "Who pays was decided by rule “Data abroad” of Aurora AG." in page


def test_what_is_not_ones_own_does_not_exist(emil: Employee):
    frida = emil.cast.aurora.lines["frida phone"]
    charge(emil.cast.aurora, used(frida, "voice", 60))
    foreign = UsageRecord.objects.get(line=frida)
    words(emil.cast.emil, "me-charge", foreign.id, status=404)
    for user in (emil.cast.alice, emil.cast.olga, emil.cast.mallory):
        for name in ("me", "me-charges", "me-statement", "me-rules", "me-lines"):
            words(user, name, status=404)
        words(user, "me-charge", personal_record(2).id, status=404)


def test_without_a_proof_nothing_personal_shows_and_the_page_says_how_to_get_it(cast: Cast):
    made = employee(cast)
    cast.emil.claims.all().delete()
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "voice", 300, other_party="498912345"))
    for name in ("me", "me-charges", "me-statement", "me-rules", "me-lines"):
        page = words(cast.emil, name)
        assert "€" not in page
        assert "5:00 min" not in page
        assert "498912345" not in page
    assert "Your mobile operator gives you a code" in words(cast.emil, "me")
    words(cast.emil, "me-charge", personal_record(2).id, status=404)
    assert made.account.balance_micros == 20_000_000


def test_a_former_employee_who_proved_who_they_are_keeps_what_they_used(emil: Employee):
    emil.cast.emil.memberships.all().delete()
    page = words(emil.cast.emil, "me")
    assert "40 MiB" in page
    assert "60 MiB" in page, "what the company paid of their own lines, while these were theirs"
    assert "498912345" in words(emil.cast.emil, "me-charge", personal_record(2).id)


def test_usage_of_who_had_the_line_before_is_not_shown(emil: Employee):
    cast, phone = emil.cast, emil.cast.aurora.lines["emil phone"]
    inventory.change_person(line=phone, person=cast.aurora.people["P-2"], actor=ACTOR, at=datetime.now(UTC))
    assert "The company pays" in words(cast.emil, "me-charges"), "his own stay his"
    frida = type(cast.emil).objects.create(email="frida@example.org", name="Frida")
    prove(frida, cast.aurora.people["P-2"])
    assert "Nothing was charged yet" in words(frida, "me-charges")


def test_nothing_is_charged_before_the_terms_are_accepted_as_shown(cast: Cast):
    account = open_account(cast, cast.aurora.people["P-1"], accepted=False)
    steer(cast.aurora, CALLS)
    client = signed_in(cast.emil)
    html = client.get(reverse("me")).content.decode()
    assert "Private data: 10" in html
    shown = re.search(r'name="accept-shown" value="([0-9a-f]+)"', html)[1]
    sent = {"action": "accept", "accept-account": account.id, "accept-shown": shown}
    client.post(reverse("me"), {**sent, "accept-shown": "0" * 64})
    account.refresh_from_db()
    assert account.accepted_at is None
    client.post(reverse("me"), sent)
    account.refresh_from_db()
    assert account.accepted_at is not None
    assert "everywhere else: €0.10 for 1" in account.accepted_text


def test_nobody_accepts_for_somebody_else(cast: Cast):
    theirs = open_account(cast, cast.aurora.people["P-2"], accepted=False)
    sent = {"action": "accept", "accept-account": theirs.id, "accept-shown": "0"}
    assert signed_in(cast.emil).post(reverse("me"), sent).status_code == 404
    assert PersonalAccount.objects.get().accepted_at is None


def test_a_statement_adds_up(emil: Employee):
    page = words(emil.cast.emil, "me-statement")
    assert "Balance now €16.50" in page
    assert "Usage −€3.50" in page
    first = words(emil.cast.emil, "me-statement", month="2026-04")
    assert "Paid in €20.00" in first
    assert "Balance after 30 Apr 2026 €20.00" in first


def test_late_usage_is_a_dated_line_of_the_month_in_which_it_was_recorded(emil: Employee):
    now = datetime.now(UTC)
    used_at = now.replace(day=1) - timedelta(days=3)
    phone = emil.cast.aurora.lines["emil phone"]
    charge(emil.cast.aurora, used(phone, "voice", 600, used_at, other_party="498912345"))
    page = words(emil.cast.emil, "me-statement")
    late = page.partition("Used before, recorded in this month")[2]
    local = used_at.astimezone(ZoneInfo("Europe/Berlin"))
    assert f"{local.day} {local:%b}" in late
    assert "€1.00" in late
    assert "Usage −€4.50" in page
    before = words(emil.cast.emil, "me-statement", month=f"{used_at:%Y-%m}")
    assert "€1.00" not in before


def test_a_statement_as_a_file_has_each_use_and_its_money(emil: Employee):
    response = signed_in(emil.cast.emil).get(reverse("me-statement"), {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    charged = [row for row in rows if row["what"] == "usage"]
    assert [row["units"] for row in charged] == ["300", str(40 * MIB)]
    entries = PersonalEntry.objects.filter(account=emil.account, kind="charge")
    assert sum(round(float(row["amount"]) * 1e6) for row in charged) == sum(entry.micros for entry in entries)


def test_a_note_is_no_formula_in_a_file(emil: Employee):
    personal.top_up(account=emil.account, micros=1, key="x", note="=HYPERLINK(1)", actor=ACTOR, at=datetime.now(UTC))
    response = signed_in(emil.cast.emil).get(reverse("me-statement"), {"format": "csv"})
    assert ",'=HYPERLINK(1)" in b"".join(response.streaming_content).decode()


def test_what_nobody_could_pay_stands_on_the_statement(cast: Cast):
    employee(cast, paid_in=0)
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "voice", 60, other_party="498912345"))
    page = words(cast.emil, "me-statement")
    assert "Not enough money Refused" in page
    assert "1:00 min refused" in words(cast.emil, "me")


def test_rules_stand_in_words_with_their_place(emil: Employee):
    page = words(emil.cast.emil, "me-rules")
    assert "Private numbers" in page
    assert "Rule of Aurora AG" in page
    assert "Otherwise The company pays. Nobody has said otherwise" in page


def ask(user, **event) -> str:
    now = datetime.now(UTC)
    sent = {"service": "voice", "amount": "5 min", "starts_at": f"{now:%Y-%m-%dT%H:%M}", "where": "", **event}
    page = signed_in(user).post(reverse("me-rules"), {"action": "ask"} | {f"ask-{k}": v for k, v in sent.items()})
    html = page.content.decode().partition("<main")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\u202f", " ").split())


def test_who_would_pay_names_the_price_for_the_person(emil: Employee):
    phone = emil.cast.aurora.lines["emil phone"]
    before = UsageRecord.objects.count()
    assert "I pay 5:00 min for €0.50 Rule “Private numbers” of Aurora AG." in ask(
        emil.cast.emil, line=phone.id, other_party="+49 89 777"
    )
    assert "The company pays 5:00 min" in ask(emil.cast.emil, line=phone.id)
    shared = ask(emil.cast.emil, line=phone.id, service="data", amount="100 MiB", where="208")
    assert "40 MiB" in shared
    assert "€4.00" in shared
    assert UsageRecord.objects.count() == before


def test_who_would_pay_is_answered_for_own_lines_and_times_only(emil: Employee):
    cast = emil.cast
    assert "not one of the available choices" in ask(cast.emil, line=cast.aurora.lines["frida phone"].id)
    phone = cast.aurora.lines["emil phone"]
    inventory.change_person(line=phone, person=None, actor=ACTOR, at=datetime.now(UTC) - timedelta(days=9))
    inventory.change_person(
        line=phone, person=cast.aurora.people["P-1"], actor=ACTOR, at=datetime.now(UTC) - timedelta(days=2)
    )
    then = datetime.now(UTC) - timedelta(days=5)
    assert "not yours at that time" in ask(cast.emil, line=phone.id, starts_at=f"{then:%Y-%m-%dT%H:%M}")


def test_a_charge_of_ones_own_is_the_start_of_a_question_both_halves_of_it_as_one(cast: Cast):
    phone, mine = cast.aurora.lines["emil phone"], signed_in(cast.emil)
    open_account(cast, cast.aurora.people["P-1"])
    parts = [{"payer": "corporate", "percent": 60}, {"payer": "personal"}]
    when = "apn is corporate and rating_group is 7 and device.imei starts 35824005"
    steer(cast.aurora, {"name": "Shared", "when": when, "pays": parts})
    begins = datetime.now(BERLIN).replace(microsecond=0) - timedelta(days=2)
    ended_at = (begins + timedelta(minutes=9)).isoformat()
    said = {"imei": "358240051111110", "attributes": {"apn": "corporate", "rating_group": 7}}
    charge(cast.aurora, used(phone, "data", 10 * MIB, begins, ended_at=ended_at, visited_network="208", **said))
    company, own = UsageRecord.objects.order_by("payer")
    assert (company.units, own.units) == (6 * MIB, 4 * MIB)
    for record in (company, own):
        address = f"{reverse('me-rules')}?usage={record.id}"
        assert address in mine.get(reverse("me-charge", args=[record.id])).content.decode()
        page = mine.get(address).content.decode()
        for value in ("10 MiB", "corporate", f"{begins:%Y-%m-%dT%H:%M:%S}"):
            assert f'value="{value}"' in page
        assert re.search(r'<option value="208" selected', page)
        form = {"usage": record.id, "service": "data", "amount": "10 MiB", "starts_at": f"{begins:%Y-%m-%dT%H:%M:%S}"}
        assert "I pay 4 MiB" in ask(cast.emil, line=phone.id, apn="corporate", **form)
        assert "The company pays 10 MiB" in ask(cast.emil, line=phone.id, apn="internet", **form)
    foreign = cast.aurora.lines["frida phone"]
    charge(cast.aurora, used(foreign, "voice", 60))
    for number in (UsageRecord.objects.get(line=foreign).id, own.id + 10_000, "x"):
        assert mine.get(reverse("me-rules"), {"usage": number}).status_code == 404


def test_an_end_cuts_what_one_asks_for_and_lies_within_ones_own_time(cast: Cast):
    phone = cast.aurora.lines["emil phone"]
    open_account(cast, cast.aurora.people["P-1"])
    steer(cast.aurora, {"name": "Evening", "when": "not time within 08:00-18:00", "pays": "personal"})
    day = (datetime.now(BERLIN) - timedelta(days=3)).date()
    session = {"service": "data", "amount": "20 MiB", "starts_at": f"{day}T17:30", "ends_at": f"{day}T18:30"}
    page = ask(cast.emil, line=phone.id, **session)
    assert "The company pays 10 MiB" in page
    assert "I pay 10 MiB" in page
    assert "could not be charged" in ask(cast.emil, line=phone.id, **session | {"ends_at": f"{day}T17:00"})
    handed_on = datetime.combine(day, time(18), BERLIN)
    inventory.change_person(line=phone, person=cast.aurora.people["P-2"], actor=ACTOR, at=handed_on)
    inventory.change_person(
        line=phone, person=cast.aurora.people["P-1"], actor=ACTOR, at=handed_on + timedelta(hours=12)
    )
    page = ask(cast.emil, line=phone.id, **session)
    assert "not yours at that time" in page
    assert "pay 10 MiB" not in page, "who has it then is somebody else's business"
    long_call = {"service": "voice", "amount": "60 min", "starts_at": f"{day}T17:30"}
    assert "not yours at that time" in ask(cast.emil, line=phone.id, **long_call)


def test_lines_say_since_when_and_with_which_device(emil: Employee):
    page = words(emil.cast.emil, "me-lines")
    assert "+49 170 10000001" in page
    assert "Mine since 1 Feb 2026" in page
    assert "Fairphone 6" in page
    assert "No trip is declared" in page


def test_lines_show_their_limits_with_what_is_used_of_them(emil: Employee):
    phone = emil.cast.aurora.lines["emil phone"]
    limits.make(
        line=phone, name="Data of the phone", service=Service.DATA, measure="units", amount=120 * MIB, window="cycle",
        percents=(80, 100), action="notify", actor=ACTOR, at=datetime.now(UTC),
    )  # fmt: skip
    page = words(emil.cast.emil, "me-lines")
    assert "Data of the phone" in page
    assert "60 MiB of 120 MiB · 50 %" in page


def test_pages_cost_the_same_however_much_was_used(emil: Employee, django_assert_max_num_queries):
    phone = emil.cast.aurora.lines["emil phone"]
    charge(emil.cast.aurora, *[used(phone, "voice", 60, other_party="498912345") for _ in range(40)])
    client = signed_in(emil.cast.emil)
    for name, most in (("me", 60), ("me-charges", 40), ("me-statement", 40)):
        with django_assert_max_num_queries(most):
            assert client.get(reverse(name)).status_code == 200
