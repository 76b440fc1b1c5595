"""The screens of who pays: from a template to a publication, built in rows or as text, and tried, without script."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from balances import inventory
from balances.models import UsageRecord
from policies.conditions import read_text, write_text
from policies.models import NumberList, PolicyState, SteeringVersion, Trip
from policies.steering import declared, publishing
from policies.steering.loading import catalogue_of, terms_of
from policies.steering.rules import SteeringRule, parts_from_json
from portal.web import steering_rows
from portal.web.steering_rows import Choices
from tests.cast import ACTOR, FEBRUARY, NOW, Cast
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db

DOING = {"actor": ACTOR, "at": NOW}


def client_of(cast: Cast, name: str) -> Client:
    client = Client()
    client.force_login(cast.users[name])
    return client


@pytest.fixture
def carla(cast: Cast) -> Client:
    return client_of(cast, "carla")


@pytest.fixture
def address(cast: Cast) -> str:
    return reverse("account-steering", args=[cast.aurora.accounts["NORTH"].id])


def text_of(answer) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", answer.content.decode())))


def rules_now(cast: Cast, code: str = "NORTH") -> list[SteeringRule]:
    said = SteeringVersion.objects.filter(steering__account__code=code, enterprise=cast.aurora.enterprise)
    return list(terms_of(said.latest("number")).rules)


def fields_of(page: str, form_of: str = "editor") -> dict[str, str | list[str]]:
    """What a browser would send of the editor as it is shown: names and values of its controls."""
    part = page[page.index(f'id="{form_of}"') :]
    part = part[: part.index("</form>")]
    sent: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", part):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        is_box = 'type="radio"' in tag or 'type="checkbox"' in tag
        if name and (not is_box or " checked" in tag):
            sent.setdefault(name[1], []).append(unescape(value[1]) if value else "on")
    for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', part, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)"[^>]* selected', options) or re.search(r'value="([^"]*)"', options)
        sent.setdefault(name, []).append(unescape(chosen[1]) if chosen else "")
    for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', part, re.DOTALL):
        sent.setdefault(name, []).append(unescape(text))
    return sent


def test_a_template_is_published_in_five_clicks(cast: Cast, carla: Client, address: str):
    assert "No rule holds here" in text_of(carla.get(address))  # 1: the tab; 2: the template, 3: Draft it
    assert carla.post(address, {"action": "template", "template": "office-hours"}).status_code == 302
    page = text_of(carla.get(address))
    assert "Version 1, draft" in page
    assert "between 08:00 and 18:00, except on public holidays: the company pays." in page
    assert carla.post(address, {"action": "publish", "reason": "agreed"}).status_code == 302  # 4: why, 5: Publish
    assert SteeringVersion.objects.get().state == PolicyState.PUBLISHED


CONDITIONS = [
    "always",
    "service is data",
    "service in (data, voice) and not time within 07:00-20:00 at Europe/Berlin",
    "weekday in (mon, sun) at there or holiday is yes at enterprise",
    'application in (teams, "a, b") and device.model contains "Fair phone"',
    "roaming is yes and (tag is a or not (service is voice and (zone is eu or country in (FR, DE))))",
    "not (tag is a or tag is b)",
    "not (tag is a and not (units at_least 5 or attributes.cell is x))",
    "list in (customers, private) and profile.level is 3 and on_trip is no",
]


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_rule_comes_back_from_its_form_as_it_was(cast: Cast, carla: Client, address: str, text: str):
    account = cast.aurora.accounts["NORTH"]
    for code in ("private", "customers"):
        carla.post(reverse("account-number-lists", args=[account.id]), {
            "action": "create", "create-name": code, "create-code": code})  # fmt: skip
    pays = [
        {"payer": "corporate", "units": 3, "every": "day", "of": "line"}, {"payer": "personal", "percent": 30},
        {"payer": "corporate", "micros": 1_500_000, "every": "lifetime", "of": "account"}, {"payer": "personal"},
    ]  # fmt: skip
    rule = {"name": "One", "when": text, "pays": pays, "fixed": True, "hint": "look"}
    publishing.save_draft(account=account, rules=[rule], **DOING)
    before = rules_now(cast)
    page = carla.get(address, {"rule": "1"}).content.decode()
    sent = fields_of(page)
    assert carla.post(address, sent | {"do": "save"}).status_code == 302
    assert rules_now(cast) == before
    assert write_text(before[0].when) == write_text(read_text(text))


def test_rows_are_added_nested_filled_and_removed_before_they_are_saved(cast: Cast, carla: Client, address: str):
    def press(do: str, **typed) -> str:
        nonlocal sent
        answer = carla.post(address, sent | typed | {"do": do})
        assert answer.status_code == 200
        page = answer.content.decode()
        sent = fields_of(page)
        return page

    sent = fields_of(carla.get(address, {"rule": "new"}).content.decode())
    page = press("refresh", **{"n.0-field": "service"})
    assert 'name="n.0-box" value="data"' in page
    press("add-group:n", **{"n.0-box": ["data", "voice"], "name": "Both", "pays": "parts"})
    press("add-test:n.1", **{"n.1.0-field": "tag", "n.1.0-value": "board"})
    press("refresh", **{"n.1.1-field": "time"})
    page = press("look", **{"n.1.1-value": "09:00-17:00", "n.1.1-not": "not", "n.1.1-clock": "there"})
    assert "outside 09:00-17:00 (time where the person is)" in unescape(page)
    press("add-part", **{"p0-bound": "percent", "p0-amount": "40"})
    press("look", **{"p1-payer": "personal", "p1-bound": "percent", "p1-amount": "10"})
    page = press("add-test:n")
    page = press("remove:n.2")
    assert "n.2-field" not in page
    assert carla.post(address, sent | {"do": "save"}).status_code == 302
    [rule] = rules_now(cast)
    assert write_text(rule.when) == (
        "service in (data, voice) and (tag is board or not time within 09:00-17:00 at there)"
    )
    assert [(part.payer, part.percent) for part in rule.pays] == [("corporate", 40), ("personal", 10), ("personal", 0)]


def test_text_counts_where_it_was_changed_and_what_is_wrong_with_it_is_said(cast: Cast, carla: Client, address: str):
    sent = fields_of(carla.get(address, {"rule": "new"}).content.decode()) | {"name": "Typed"}
    answer = carla.post(address, sent | {"text": "zone of x", "do": "save"})
    assert "Zone cannot be compared with" in text_of(answer)
    assert "zone of x" in answer.content.decode()
    assert not SteeringVersion.objects.exists()
    page = carla.post(address, sent | {"text": "tag is a or tag is b", "do": "look"}).content.decode()
    assert fields_of(page)["n.1-value"] == ["b"]  # the rows follow
    assert carla.post(address, sent | {"text": "tag is a or tag is b", "do": "save"}).status_code == 302
    assert write_text(rules_now(cast)[0].when) == "tag is a or tag is b"


def test_amounts_are_typed_in_units_of_the_service(cast: Cast, carla: Client, address: str):
    sent = fields_of(carla.get(address, {"rule": "new"}).content.decode()) | {
        "name": "First", "text": "service is data", "pays": "parts", "p0-bound": "units", "p0-amount": "5 GiB",
        "p0-every": "cycle", "p0-of": "person",
    }  # fmt: skip
    assert carla.post(address, sent | {"do": "save"}).status_code == 302
    assert rules_now(cast)[0].pays[0].units == 5 * 1024**3
    page = carla.get(address, {"rule": "1"})
    assert fields_of(page.content.decode())["p0-amount"] == ["5 GiB"]
    assert "the first 5 GiB a cycle of each person" in text_of(page).replace("\u202f", " ")
    wrong = carla.post(address, sent | {"p0-amount": "lots", "do": "save", "rule": "1"})
    assert "Part 1: “lots” is no quantity" in text_of(wrong)


def test_rules_are_moved_among_their_like_and_removed(cast: Cast, carla: Client, address: str):
    rules = [
        {"name": "A", "pays": "corporate"}, {"name": "F", "pays": "corporate", "fixed": True},
        {"name": "B", "pays": "personal"}, {"name": "C", "pays": "corporate"},
    ]  # fmt: skip
    version = publishing.save_draft(account=cast.aurora.accounts["NORTH"], rules=rules, **DOING)
    publishing.publish(version=version, reason="x", **DOING)
    carla.post(address, {"action": "rise", "rule": "4"})
    assert [rule.name for rule in rules_now(cast)] == ["A", "F", "C", "B"]  # in a draft
    carla.post(address, {"action": "rise", "rule": "3"})
    assert [rule.name for rule in rules_now(cast)] == ["C", "F", "A", "B"]
    carla.post(address, {"action": "sink", "rule": "4"})  # the last one stays
    carla.post(address, {"action": "remove", "rule": "3"})
    assert [rule.name for rule in rules_now(cast)] == ["C", "F", "B"]
    assert [rule.name for rule in terms_of(SteeringVersion.objects.get(state="published")).rules] == list("AFBC")
    assert carla.post(address, {"action": "remove", "rule": "9"}).status_code == 404


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(cast: Cast, carla: Client, address: str):
    publishing.save_draft(account=cast.aurora.accounts["NORTH"], rules=[{"name": "A", "pays": "corporate"}], **DOING)
    sent = fields_of(carla.get(address, {"rule": "1"}).content.decode())
    other = client_of(cast, "alice")
    other.post(address, {"action": "remove", "rule": "1"})
    answer = carla.post(address, sent | {"name": "B", "do": "save"})
    assert "Somebody has changed these rules meanwhile" in text_of(answer)
    assert rules_now(cast) == []


def test_what_holds_beside_the_rules_is_said(cast: Cast, carla: Client, address: str):
    assert 'id="beside"' in carla.get(address, {"terms": "1"}).content.decode()
    form = {"action": "terms", "pays": "parts", "p0-payer": "corporate", "p0-bound": "percent", "p0-amount": "60",
            "p1-payer": "personal", "missing": "interim", "credit": "12.50"}  # fmt: skip
    assert carla.post(address, form).status_code == 302
    version = SteeringVersion.objects.get()
    assert version.default == [{"payer": "corporate", "percent": 60}, {"payer": "personal"}]
    assert version.missing == {"action": "interim", "micros": 12_500_000}
    page = text_of(carla.get(address))
    assert "the company pays 60 %, the person the rest · said here" in page
    assert "on credit, up to €12.50 a person · said here" in page
    assert "credit" in text_of(carla.post(address, form | {"credit": "much"})).lower()


def test_inherited_rules_show_where_they_stand_as_far_as_that_is_in_reach(cast: Cast, carla: Client):
    for code, name in (("A-1000", "From the top"), ("NORTH", "From the north")):
        account = cast.aurora.accounts[code]
        rules = [{"name": name, "when": f"tag is {code.lower()}", "pays": "personal"}]
        version = publishing.save_draft(account=account, rules=rules, default="personal", **DOING)
        publishing.publish(version=version, reason="x", **DOING)
    address = reverse("account-steering", args=[cast.aurora.accounts["N-FIELD"].id])
    page = text_of(carla.get(address))
    assert page.index("From North") < page.index("From the top From above your reach")
    assert "From Aurora" not in page
    assert "said by North" in page
    assert "From Aurora AG" in text_of(client_of(cast, "alice").get(address))


def test_a_publication_is_taken_back_and_versions_tell_what_changed(cast: Cast, carla: Client, address: str):
    for template in ("office-hours", "shared"):
        carla.post(address, {"action": "template", "template": template})
        carla.post(address, {"action": "publish", "reason": "agreed"})
    assert carla.post(address, {"action": "undo"}).status_code == 302
    assert SteeringVersion.objects.get(state=PolicyState.PUBLISHED).number == 3
    page = text_of(carla.get(address))
    assert "Added “Half and half”" in page
    assert "Removed “Half and half”" in page
    assert "Version 2 taken back" in page
    assert carla.post(address, {"action": "retire", "reason": "over"}).status_code == 302
    page = text_of(carla.get(address))
    assert "No rule holds here" in page
    assert "Version 3 holds again from now on" in page
    assert carla.post(address, {"action": "undo"}).status_code == 302
    assert SteeringVersion.objects.get(state=PolicyState.PUBLISHED).restores.number == 3
    assert "There is no draft" in text_of(carla.post(address, {"action": "publish", "reason": "x"}))


def test_a_publication_is_taken_back_beside_a_draft_in_work_which_stays(cast: Cast, carla: Client, address: str):
    for template in ("office-hours", "shared"):
        carla.post(address, {"action": "template", "template": template})
        carla.post(address, {"action": "publish", "reason": "agreed"})
    carla.post(address, {"action": "template", "template": "company-apps"})
    draft = SteeringVersion.objects.get(state=PolicyState.DRAFT)
    page = text_of(carla.get(address))
    assert "Version 1 holds again from now on, as a new version. This can be taken back, too." in page
    assert "The draft stays as it is, and becomes version 4." in page
    carla.post(address, {"action": "undo"})
    after = SteeringVersion.objects.get(state=PolicyState.DRAFT)
    assert (after.id, after.number, after.rules) == (draft.id, 4, draft.rules)


def test_who_only_looks_sees_the_rules_and_changes_none(cast: Cast):
    account = cast.aurora.accounts["SOUTH"]
    publishing.save_draft(account=account, rules=[{"name": "A", "pays": "personal"}], **DOING)
    dora, address = client_of(cast, "dora"), reverse("account-steering", args=[account.id])
    page = dora.get(address, {"rule": "1"}).content.decode()
    assert "the person pays" in page
    assert "Publish" not in page
    assert 'id="editor"' not in page
    assert dora.post(address, {"action": "publish", "reason": "x"}).status_code == 404


# --- trips and lists of numbers -------------------------------------------------------------------------------------


def test_trips_are_declared_by_personnel_number_and_removed(cast: Cast, carla: Client):
    address = reverse("account-trips", args=[cast.aurora.accounts["NORTH"].id])
    form = {"action": "declare", "declare-person": "P-1", "declare-starts_at": "2026-03-20T08:00",
            "declare-ends_at": "2026-03-22T18:00", "declare-countries": "fr", "declare-note": "Fair"}  # fmt: skip
    assert carla.post(address, form).status_code == 302
    trip = Trip.objects.get()
    page = text_of(carla.get(address))
    assert "Emil Engel" in page
    assert "France" in page
    assert "Nobody whom you run" in text_of(carla.post(address, form | {"declare-person": "P-2"}))  # of the south
    assert carla.post(address, {"action": "remove", "trip": trip.id}).status_code == 302
    assert "No trip is declared" in text_of(carla.get(address))
    assert client_of(cast, "bruno").post(address, form).status_code == 404


def test_numbers_are_pasted_looked_for_taken_out_and_downloaded(cast: Cast, carla: Client):
    address = reverse("account-number-lists", args=[cast.aurora.accounts["NORTH"].id])
    form = {"action": "create", "create-name": "Private", "create-code": "private"}
    assert carla.post(address, form).status_code == 302
    numbers = NumberList.objects.get()
    table = "+49 30 1234567, Mum\n+49 170*, Mobiles\nnonsense"
    answer = carla.post(address, {"action": "add", "list": numbers.id, "add-table": table})
    assert "Row 3, number" in text_of(answer)
    page = text_of(carla.get(address, {"list": numbers.id}))
    assert "+49301234567" in page
    assert "+49170* and all that begin so" in page
    assert "+49170*" not in text_of(carla.get(address, {"list": numbers.id, "q": "mum"}))
    downloaded = carla.get(address, {"list": numbers.id, "download": "1"})
    assert downloaded.content.decode().splitlines()[1] == "+49170*,Mobiles,,"
    entry = numbers.entries.get(is_prefix=True)
    carla.post(address, {"action": "take-out", "list": numbers.id, "entry": [entry.id]})
    assert numbers.entries.filter(removed_at=None).count() == 1
    below = reverse("account-number-lists", args=[cast.aurora.accounts["N-FIELD"].id])
    assert "is changed there" in text_of(carla.get(below, {"list": numbers.id}))
    carla.post(below, {"action": "rename", "list": numbers.id, "name": "Mine"})
    numbers.refresh_from_db()
    assert numbers.name == "Private"
    assert client_of(cast, "dora").get(address, {"list": numbers.id}).status_code == 404


# --- who would pay? -------------------------------------------------------------------------------------------------


def steered(cast: Cast, rules: list[dict], **more) -> None:
    version = publishing.save_draft(account=cast.aurora.accounts["NORTH"], rules=rules, **more, **DOING)
    publishing.publish(version=version, reason="x", **DOING)


HALVES = [
    {"name": "Evenings", "when": "service is data and time within 18:00-08:00", "pays": "personal"},
    {
        "name": "Halves",
        "when": "service is data",
        "pays": [{"payer": "corporate", "percent": 50}, {"payer": "personal"}],
    },
]
TOMORROW = datetime.now(ZoneInfo("Europe/Berlin")).date() + timedelta(days=1)
EVENT = {"line": "+49 170 10000001", "service": "1", "amount": "4 MiB", "starts_at": f"{TOMORROW}T17:30",
         "ends_at": f"{TOMORROW}T18:30"}  # fmt: skip


def test_a_made_up_event_shows_cuts_payers_rules_and_truths(cast: Cast, carla: Client):
    steered(cast, HALVES)
    address = reverse("account-steering-try", args=[cast.aurora.accounts["NORTH"].id])
    assert 'value="+4917010000001"' in carla.get(address).content.decode()
    page = text_of(carla.post(address, EVENT)).replace("\u202f", " ")
    assert "Both pay" in page
    assert re.search(rf"Cut at {TOMORROW.day} \w+ {TOMORROW.year}, 18:00:00\.", page)
    assert page.count("1,048,576 octets") >= 2  # half of half for both before it
    assert "2,097,152 octets" in page  # the evening is the person's
    assert "Rule “Halves” of North (version 1) decided." in page
    assert "Rule “Evenings” of North (version 1) decided." in page
    assert re.search(r"Evenings North, version 1 Does not match .* between 18:00 and 08:00", page)
    assert UsageRecord.objects.count() == 0


def test_of_the_personal_leg_nothing_is_shown_but_that_the_person_pays(cast: Cast, carla: Client):
    steered(cast, [{"name": "All", "pays": "personal"}], missing={"action": "interim", "micros": 10_000_000})
    address = reverse("account-steering-try", args=[cast.aurora.accounts["NORTH"].id])
    page = text_of(carla.post(address, EVENT))
    assert "The person pays" in page
    for word in ("credit", "personal account", "tariff", "Refused", "money"):
        assert word not in page[page.index("The person pays") :], word


def test_a_rule_that_reads_the_other_party_is_warned_of_where_the_event_names_none(cast: Cast, carla: Client):
    reads = {"name": "Germany", "when": "service is voice and other_party starts 49", "pays": "personal"}
    steered(cast, [{"name": "Messages", "when": "service is messaging", "pays": "corporate"}, reads])
    address = reverse("account-steering-try", args=[cast.aurora.accounts["NORTH"].id])
    call = EVENT | {"service": "2", "amount": "5 min", "ends_at": ""}
    warning = "A rule reads the other party, and this event has none"
    assert warning in text_of(carla.post(address, call))
    assert warning not in text_of(carla.post(address, call | {"other_party": "+49 30 1234"}))
    assert warning not in text_of(carla.post(address, EVENT)), "data has none ever"
    assert warning not in text_of(carla.post(address, call | {"service": "3", "amount": "1"})), "decided before"


def test_fields_that_somebody_declared_are_shown_by_their_labels(cast: Cast, carla: Client):
    doing = {"kind": "number", "actor": ACTOR, "at": NOW}
    declared.declare(operator=cast.operator, name="attributes.slice", label="Network slice", **doing)
    declared.declare(enterprise=cast.aurora.enterprise, name="profile.grade", label="Pay grade", **doing)
    whens = {"Slice": "attributes.slice is 3", "Grade": "profile.grade is 4"}
    steered(cast, [{"name": name, "when": when, "pays": "personal"} for name, when in whens.items()])
    page = text_of(carla.post(reverse("account-steering-try", args=[cast.aurora.accounts["NORTH"].id]), EVENT))
    for said in ("Network slice is 3", "Pay grade is 4", "does not say: Network slice."):
        assert said in page


def test_a_draft_is_tried_before_it_holds(cast: Cast, carla: Client):
    account = cast.aurora.accounts["NORTH"]
    publishing.save_draft(account=account, rules=[{"name": "Draft", "pays": "personal"}], **DOING)
    address = reverse("account-steering-try", args=[account.id])
    assert "The company pays" in text_of(carla.post(address, EVENT))
    page = text_of(carla.post(address, EVENT | {"draft": "on"}))
    assert "The person paysby the draft" in page


def test_an_event_that_cannot_be_is_told_at_its_field(cast: Cast, carla: Client):
    address = reverse("account-steering-try", args=[cast.aurora.accounts["NORTH"].id])
    for wrong, said in (
        ({"line": "+4917020000001"}, "No line of this account"),  # Borealis'
        ({"amount": "much"}, "no quantity"),
        ({"where": "Mars"}, "no network and no country"),
        ({"attributes": "[1]"}, "Write an object"),
        ({"ends_at": "2026-03-19T00:00"}, "cannot be"),
    ):
        assert said in text_of(carla.post(address, EVENT | wrong)), wrong
    assert "data on France" not in text_of(carla.post(address, EVENT | {"where": "FR"}))


def test_a_real_event_of_the_company_is_the_start_without_its_other_party(cast: Cast, carla: Client):
    emil = cast.aurora.lines["emil phone"]
    inventory.change_person(line=emil, person=cast.aurora.people["P-1"], actor=ACTOR, at=FEBRUARY)
    charge(cast.aurora, used(emil, "voice", 120, other_party="4930123456", attributes={"apn": "x", "cell": 7}))
    record = UsageRecord.objects.get()
    address = reverse("account-steering-try", args=[cast.aurora.accounts["NORTH"].id])
    page = carla.get(address, {"usage": record.id}).content.decode()
    assert 'value="2 min"' in page
    assert "4930123456" not in page
    assert "&quot;cell&quot;: 7" in page
    south = reverse("account-steering-try", args=[cast.aurora.accounts["SOUTH"].id])
    assert client_of(cast, "alice").get(south, {"usage": record.id}).status_code == 404
    assert client_of(cast, "dora").get(south, {"usage": record.id}).status_code == 404


def test_a_real_event_is_begun_with_as_far_as_the_reader_sees_it_and_to_the_second(cast: Cast, carla: Client):
    emil, number = cast.aurora.lines["emil phone"], "4930123456"
    inventory.change_person(line=emil, person=cast.aurora.people["P-1"], actor=ACTOR, at=FEBRUARY)
    steered(cast, [{"name": "Far", "when": "other_party starts (4989)", "pays": "personal"}])
    at = datetime.now(UTC).replace(second=17, microsecond=0) - timedelta(hours=1)
    ended_at = (at + timedelta(seconds=102)).isoformat()
    says = {"called": f"+{number}", "route": [f"tel:{number}"]}
    charge(
        cast.aurora,
        used(emil, "voice", 120, at, other_party=number, attributes=says, ended_at=ended_at),
        used(emil, "voice", 120, at, other_party="4989123456"),
    )
    address = reverse("account-steering-try", args=[cast.aurora.accounts["NORTH"].id])
    company, personal = UsageRecord.objects.order_by("payer")
    page = unescape(carla.get(address, {"usage": company.id}).content.decode())
    assert number not in page
    assert '"called": "+4930123…"' in page
    assert '"route": ["tel:4930123…"]' in page
    local = at.astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None)
    assert f'value="{local.isoformat()}"' in page
    assert f'value="{(local + timedelta(seconds=102)).isoformat()}"' in page
    for name in ("carla", "alice", "olga", "emil"):
        assert client_of(cast, name).get(address, {"usage": personal.id}).status_code == 404, name
    offered = reverse("usage", args=[company.id])
    there = reverse("account-steering-try", args=[emil.account_id])
    assert f'href="{there}?usage={company.id}"' in carla.get(offered).content.decode()
    assert there not in client_of(cast, "emil").get(offered).content.decode()


def test_choices_offer_what_is_declared_and_lists_by_name(cast: Cast):
    choices = Choices(catalogue_of(cast.aurora.enterprise.id), {"eu": "European Union"}, {"private": "Private"})
    form = steering_rows.form_of(
        SteeringRule("A", read_text("zone is eu"), parts_from_json("personal", "pays")), 1, choices
    )
    [test] = form.condition.parts
    assert test.boxes == [("eu", "European Union")]
