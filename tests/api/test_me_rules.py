"""One's own lines, rules, questions and acceptance over REST."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from balances import inventory
from balances.models import ChargeLine, PersonalAccount
from balances.scope import Verb
from portal.api.endpoints import Endpoint
from tests.api.client import Api, read, refusal
from tests.cast import ACTOR, Cast, issue_token
from tests.employee import Employee, employee

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "clock", staticmethod(timezone.now))


@pytest.fixture
def emil(cast: Cast) -> Employee:
    return employee(cast)


@pytest.fixture
def mine(emil: Employee) -> Api:
    return Api.of(emil.cast, "emil")


def call(emil: Employee, **more) -> dict:
    line = emil.cast.aurora.lines["emil phone"]
    said = {"line": line.id, "service": "voice", "units": 300, "started_at": timezone.now().isoformat()}
    return said | {"other_party": "+498912345"} | more


def test_lines_are_ones_own_with_their_devices_while_they_are(emil: Employee, mine: Api) -> None:
    house = emil.cast.aurora
    inventory.change_person(line=house.lines["emil tablet"], person=None, actor=ACTOR, at=timezone.now())
    found = {row["line"]: row for row in read(mine.get("/me/lines"))["results"]}
    phone, tablet = (found[house.lines[name].id] for name in ("emil phone", "emil tablet"))
    assert phone["device"]["imei"] == house.lines["emil phone"].device.imei
    assert (phone["is_current"], tablet["is_current"], tablet["device"]) == (True, False, None)
    assert len(found) == 2
    assert read(Api.of(emil.cast, "alice").get("/me/lines"))["results"] == []


def test_rules_are_read_in_words_and_in_order(emil: Employee, mine: Api) -> None:
    [held] = [one for one in read(mine.get("/me/rules"))["results"] if one["account_name"] == "Field sales"]
    assert [rule["name"] for rule in held["rules"]] == ["Private numbers", "Data abroad"]
    assert held["rules"][0]["words"] == "Voice, with beginning with 4989: the person pays."
    assert (held["default"], held["default_place"]) == ("the company pays", "")
    assert emil.cast.aurora.lines["emil phone"].id in held["lines"]


def test_who_would_pay_is_said_with_ones_own_price_and_nothing_is_kept(emil: Employee, mine: Api) -> None:
    [leg] = read(mine.post("/me/trials", call(emil)))["legs"]
    assert (leg["payer"], leg["units"], leg["amount_micros"]) == ("me", 300, 500_000)
    assert leg["why"] == "Rule “Private numbers” of Aurora AG."
    [company] = read(mine.post("/me/trials", call(emil, other_party="49301234")))["legs"]
    assert (company["payer"], company["units"], company["amount_micros"]) == ("company", 300, None)
    assert not ChargeLine.objects.exists()


def test_nobody_asks_of_a_line_or_a_time_that_is_not_proven_to_be_theirs(emil: Employee, mine: Api) -> None:
    house = emil.cast.aurora
    refusal(mine.post("/me/trials", call(emil, line=house.lines["frida phone"].id)), 404)
    refusal(Api.of(emil.cast, "alice").post("/me/trials", call(emil)), 404)
    handed = timezone.now() + timedelta(hours=1)
    inventory.change_person(line=house.lines["emil phone"], person=house.people["P-2"], actor=ACTOR, at=handed)
    within = call(emil, ended_at=(timezone.now() + timedelta(minutes=5)).isoformat())
    assert read(mine.post("/me/trials", within))["legs"]
    beyond = call(emil, ended_at=(handed + timedelta(minutes=5)).isoformat())
    assert refusal(mine.post("/me/trials", beyond), 422)["pointer"] == "/started_at"
    old = call(emil, started_at=(timezone.now() - timedelta(days=70)).isoformat())
    assert refusal(mine.post("/me/trials", old), 422)["pointer"] == "/started_at"
    emil.cast.emil.claims.all().delete()
    refusal(mine.post("/me/trials", call(emil)), 404)


def test_an_account_is_accepted_by_the_text_that_was_read_and_by_its_person(cast: Cast) -> None:
    made = employee(cast, accepted=False)
    mine = Api.of(cast, "emil")
    [offer] = read(mine.get("/me/offers"))["results"]
    assert "Prices since" in offer["text"]
    body = {"account": made.account.id, "mark": offer["mark"]}
    assert refusal(mine.post("/me/accept", body | {"mark": "0" * 64}), 422)["pointer"] == "/mark"
    refusal(Api.of(cast, "alice").post("/me/accept", body), 404)
    _, plain = issue_token(cast, cast.alice, Verb.VIEW, enterprise=cast.aurora.enterprise)
    refusal(Api.bearing(plain).post("/me/accept", body), 403)
    accepted = read(mine.post("/me/accept", body))
    assert PersonalAccount.objects.get(id=made.account.id).accepted_at is not None
    assert read(mine.get("/me/offers"))["results"] == []
    assert read(mine.post("/me/accept", body)) == accepted, "sent again, it is done once"
