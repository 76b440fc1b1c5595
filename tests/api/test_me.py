"""One's own over REST: charges with who pays and why, and objections from both sides."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from balances.models import UsageRecord
from balances.scope import Verb
from portal import contests
from portal.api.endpoints import Endpoint
from portal.charging import pipeline
from portal.models import Membership, Role
from tests.api.client import Api, ids, read, refusal
from tests.cast import Cast, issue_token
from tests.employee import Employee, employee
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage of these tests is of today, not of the time of the cast."""
    monkeypatch.setattr(Endpoint, "clock", staticmethod(timezone.now))


@pytest.fixture
def emil(cast: Cast) -> Employee:
    """A private call of five minutes, and one of the company."""
    made = employee(cast)
    phone = cast.aurora.lines["emil phone"]
    charge(
        cast.aurora,
        used(phone, "voice", 300, other_party="498912345"),
        used(phone, "voice", 60, other_party="49301234"),
    )
    return made


def own() -> int:
    return UsageRecord.objects.get(payer=2).id


def test_charges_say_who_pays_and_why(emil: Employee) -> None:
    mine = Api.of(emil.cast, "emil")
    found = {row["payer"]: row for row in read(mine.get("/me/charges"))["results"]}
    assert (found["me"]["units"], found["me"]["amount_micros"]) == (300, 500_000)
    assert found["me"]["why"] == "Rule “Private numbers” of Aurora AG."
    assert found["company"]["units"] == 60
    assert [row["id"] for row in read(mine.get("/me/charges", payer="me"))["results"]] == [own()]


def test_a_charge_is_explained_to_its_person_alone(emil: Employee) -> None:
    mine = Api.of(emil.cast, "emil")
    [half] = read(mine.get(f"/me/charges/{own()}"))["halves"]
    assert (half["charge"]["id"], half["other_party"], half["open"]) == (own(), "498912345", [])
    [line] = half["lines"]
    assert (line["units"], line["amount_micros"]) == (300, 500_000)
    assert (line["price_micros"], line["block_units"]) == (100_000, 60)
    assert "“Private numbers” of Aurora AG" in " ".join(line["explanation"])
    refusal(Api.of(emil.cast, "carla").get(f"/me/charges/{own()}"), 404)


def test_a_token_opens_nothing_of_ones_own(emil: Employee) -> None:
    _, plain = issue_token(emil.cast, emil.cast.alice, Verb.VIEW, enterprise=emil.cast.aurora.enterprise)
    refusal(Api.bearing(plain).get("/me/charges"), 403)
    refusal(Api.bearing(plain).post("/contests", {"usage": [own()], "reason": "x"}), 403)


def test_whoever_is_nobody_in_particular_has_no_charges_of_their_own(emil: Employee) -> None:
    assert read(Api.of(emil.cast, "alice").get("/me/charges"))["results"] == []


def test_an_objection_is_filed_and_decided_and_only_its_person_reads_the_money(emil: Employee) -> None:
    mine, manager = Api.of(emil.cast, "emil"), Api.of(emil.cast, "carla")
    [filed] = read(mine.post("/contests", {"usage": [own()], "reason": "A customer."}), 201)
    assert filed["disclosed"].keys() == {"service", "day", "units"}
    assert refusal(mine.post("/contests", {"usage": [own()], "reason": "Again."}), 422)["pointer"] == "/usage"
    refusal(mine.post(f"/contests/{filed['id']}/decide", {"uphold": True}), 404)
    assert ids(manager.get("/contests")) == {filed["id"]}
    decided = read(manager.post(f"/contests/{filed['id']}/decide", {"uphold": True}))
    assert decided["state"] == "upheld"
    pipeline.drain(emil.cast.aurora.enterprise.id)
    contests.complete_due(at=datetime.now(UTC))
    assert read(mine.get(f"/contests/{filed['id']}"))["refunded_micros"] == 500_000
    seen = read(manager.get(f"/contests/{filed['id']}"))
    assert (seen["state"], seen["refunded_micros"], seen["usage_id"]) == ("corrected", None, None)
    assert filed["usage_id"] == own()


def test_nobody_decides_what_they_have_filed_by_a_token_of_theirs_either(emil: Employee) -> None:
    house = emil.cast.aurora.enterprise
    Membership.objects.create(user=emil.cast.emil, role=Role.OWNER, enterprise=house)  # people may be managers, too
    _, own_token = issue_token(emil.cast, emil.cast.emil, Verb.VIEW, Verb.MANAGE, enterprise=house)
    _, other_token = issue_token(emil.cast, emil.cast.alice, Verb.VIEW, Verb.MANAGE, enterprise=house)
    [filed] = read(Api.of(emil.cast, "emil").post("/contests", {"usage": [own()], "reason": "A customer."}), 201)
    for mine in (Api.of(emil.cast, "emil"), Api.bearing(own_token)):
        assert refusal(mine.post(f"/contests/{filed['id']}/decide", {"uphold": True}), 422)["code"] == "own_contest"
    decided = read(Api.bearing(other_token).post(f"/contests/{filed['id']}/decide", {"uphold": True}))
    assert decided["state"] == "upheld"


def test_only_charges_that_one_pays_oneself_can_be_contested(emil: Employee) -> None:
    company = UsageRecord.objects.get(payer=1).id
    refusal(Api.of(emil.cast, "emil").post("/contests", {"usage": [company], "reason": "x"}), 404)
    refusal(Api.of(emil.cast, "alice").post("/contests", {"usage": [own()], "reason": "x"}), 404)


def test_observers_and_other_houses_find_no_contest(emil: Employee) -> None:
    [filed] = read(Api.of(emil.cast, "emil").post("/contests", {"usage": [own()], "reason": "x"}), 201)
    for name in ("dora", "bruno"):
        refusal(Api.of(emil.cast, name).get(f"/contests/{filed['id']}"), 404)
        refusal(Api.of(emil.cast, name).post(f"/contests/{filed['id']}/decide", {"uphold": True}), 404)


def test_a_summary_has_both_payers_and_the_account(emil: Employee) -> None:
    [mine] = read(Api.of(emil.cast, "emil").get("/me"))["results"]
    assert mine["company"] == [{"service": "voice", "units": 60, "refused_units": 0, "open_units": 0}]
    assert [(part["units"], part["amount_micros"]) for part in mine["own"]] == [(300, 500_000)]
    assert mine["personal_account"]["balance_micros"] == 19_500_000
    emil.cast.emil.claims.all().delete()
    [named] = read(Api.of(emil.cast, "emil").get("/me"))["results"]
    assert (named["is_proven"], named["own"], named["personal_account"]) == (False, [], None)


def test_a_statement_adds_up_and_is_its_persons_alone(emil: Employee) -> None:
    mine = Api.of(emil.cast, "emil")
    shown = read(mine.get("/me/statement", account=emil.account.id))
    moved = sum(entry["micros"] for entry in shown["entries"])
    usage = sum(row["amount_micros"] for row in [*shown["usage"], *shown["late"]])
    assert shown["opening_micros"] + moved - usage == shown["closing_micros"] == 19_500_000
    assert read(mine.get("/me/statement", account=emil.account.id, month="2026-04"))["entries"][0]["kind"] == "top_up"
    refusal(mine.get("/me/statement", account=emil.account.id, month="2020-01"), 404)
    for name in ("alice", "olga"):
        refusal(Api.of(emil.cast, name).get("/me/statement", account=emil.account.id), 404)
