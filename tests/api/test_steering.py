"""Who pays over REST: drafted, tried, published, taken back; trips, lists, profiles and declared fields beside it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from balances.models import UsageRecord
from policies.models import SteeringVersion
from portal.api.endpoints import Endpoint
from portal.charging import pipeline
from tests.api.client import Api, ids, read, refusal
from tests.cast import NOW, Cast

pytestmark = pytest.mark.django_db

EVENINGS = {"name": "Evenings", "when": "service is data and time within 18:00-08:00", "pays": "personal"}


@pytest.fixture
def carla(cast: Cast) -> Api:
    pipeline.forget_everything()
    return Api.of(cast, "carla")


def drafted(cast: Cast, api: Api, *rules: dict, **more) -> dict:
    body = {"account": cast.aurora.accounts["NORTH"].id, "rules": list(rules) or [EVENINGS], **more}
    return read(api.post("/steerings", body), 201)


def test_who_pays_is_drafted_published_and_taken_back(cast: Cast, carla: Api):
    draft = drafted(cast, carla, default="corporate", missing={"action": "refuse"})
    assert draft["words"] == ["Data, between 18:00 and 08:00: the person pays."]
    assert draft["texts"] == ["service is data and time within 18:00-08:00"]
    assert [one["about"] for one in draft["cautions"]] == ["nobody"]
    address = f"/steerings/{draft['steering']}"
    assert read(carla.get(address))["draft"] == draft["id"]
    published = read(carla.post(f"{address}/publish", {"reason": "agreed"}))
    assert (published["state"], published["missing"]) == ("published", {"action": "refuse"})
    again = read(carla.post(f"{address}/versions", {"rules": []}), 201)
    assert (again["number"], again["state"]) == (2, "draft")
    assert carla.delete(f"{address}/versions").status_code == 204
    read(carla.post(f"{address}/undo"))
    assert [row["state"] for row in read(carla.get(f"{address}/versions"))["results"]] == ["retired"]
    assert refusal(carla.post(f"{address}/retire", {"reason": "x"}), 422)


def test_what_is_wrong_is_said_with_its_place(cast: Cast, carla: Api):
    body = {"account": cast.aurora.accounts["NORTH"].id, "rules": [{**EVENINGS, "when": "zone is mars"}]}
    answer = refusal(carla.post("/steerings", body), 422)
    assert "rules[0].when" in str(answer)
    assert "mars" in str(answer)
    assert refusal(carla.post("/steerings", {**body, "template": "shared"}), 400)


def test_what_holds_is_told_with_where_it_comes_from_as_far_as_that_is_in_reach(cast: Cast, carla: Api):
    alice = Api.of(cast, "alice")
    body = {"account": cast.aurora.root.id, "template": "company-budget"}
    top = read(alice.post("/steerings", body), 201)
    read(alice.post(f"/steerings/{top['steering']}/publish", {"reason": "x"}))
    mine = drafted(cast, carla)
    read(carla.post(f"/steerings/{mine['steering']}/publish", {"reason": "x"}))
    field = cast.aurora.accounts["N-FIELD"].id
    later = (NOW + timedelta(days=3650)).isoformat()
    held = read(carla.get("/steerings/in-force", account=field, at=later))
    north = cast.aurora.accounts["NORTH"].id
    assert [(rule["name"], rule["account"]) for rule in held["rules"]] == [
        ("Evenings", north), ("First 5 GiB", None), ("First 20 of calls", None),
    ]  # fmt: skip
    assert (held["default"], held["missing"]) == ("corporate", {"action": "refuse"})
    assert (
        read(carla.get("/steerings/in-force", account=field, at=(NOW - timedelta(days=1)).isoformat()))["rules"] == []
    )
    seen = read(alice.get("/steerings/in-force", account=field, at=later))
    assert seen["rules"][1]["account"] == cast.aurora.root.id
    assert carla.get("/steerings/in-force", account=cast.aurora.root.id).status_code == 400


def test_a_made_up_event_is_split_to_the_unit_and_says_nothing_of_the_person_s_account(
    cast: Cast, carla: Api, monkeypatch: pytest.MonkeyPatch
):
    halves = {"name": "Halves", "when": "service is data", "pays": [
        {"payer": "corporate", "percent": 50}, {"payer": "personal"}]}  # fmt: skip
    draft = drafted(cast, carla, EVENINGS, halves, missing={"action": "interim", "micros": 5_000_000})
    event = {
        "line": cast.aurora.lines["emil phone"].id, "service": "data", "units": 4096 * 1024,
        "started_at": "2026-03-16T17:30:00+01:00", "ended_at": "2026-03-16T18:30:00+01:00",
        "attributes": {"application": "teams"},
    }  # fmt: skip
    monkeypatch.setattr(Endpoint, "clock", staticmethod(lambda: NOW + timedelta(days=2)))
    trial = read(carla.post("/steering-trials", {**event, "draft": draft["id"]}))
    without = read(carla.post("/steering-trials", event))
    assert [(leg["payer"], leg["units"], leg["part"]) for leg in trial["legs"]] == [
        ("corporate", 1024 * 1024, 1), ("personal", 1024 * 1024, 2), ("personal", 2048 * 1024, 1),
    ]  # fmt: skip
    assert [leg["rule"]["name"] for leg in trial["legs"]] == ["Halves", "Halves", "Evenings"]
    for leg in trial["legs"][1:]:
        hidden = ("refused_units", "covered_units", "amount_micros", "value_micros")
        assert [leg[name] for name in hidden] == [None] * 4
        assert "account" not in str(leg["reasons"]).lower()
    assert trial["legs"][0]["value_micros"] > 0
    assert [(one["rule"]["name"], one["holds"], one["decides"]) for one in trial["asked"]] == [
        ("Evenings", False, False), ("Halves", True, True),
    ]  # fmt: skip
    assert [(leg["payer"], leg["rule"]) for leg in without["legs"]] == [("corporate", None)]
    assert not UsageRecord.objects.exists()
    assert refusal(Api.of(cast, "bruno").post("/steering-trials", event), 400)
    assert Api.of(cast, "emil").post("/steering-trials", event).status_code == 404


def test_others_do_not_find_it(cast: Cast, carla: Api):
    draft = drafted(cast, carla)
    bruno = Api.of(cast, "bruno")
    assert bruno.get(f"/steerings/{draft['steering']}").status_code == 404
    assert bruno.post(f"/steerings/{draft['steering']}/publish", {"reason": "x"}).status_code == 404
    assert SteeringVersion.objects.get(id=draft["id"]).state == "draft"


def test_trips_are_declared_found_and_removed(cast: Cast, carla: Api):
    body = {"person": cast.aurora.people["P-1"].id, "starts_at": "2026-03-20T08:00:00+01:00",
            "ends_at": "2026-03-22T18:00:00+01:00", "countries": ["fr"]}  # fmt: skip
    trip = read(carla.post("/trips", body), 201)
    assert trip["countries"] == ["FR"]
    assert refusal(carla.post("/trips", {**body, "countries": ["zz"]}), 422)
    assert refusal(carla.post("/trips", {**body, "person": cast.aurora.people["P-2"].id}), 400)  # of the south
    assert ids(carla.get("/trips", ends_after="2026-03-21T00:00:00Z", is_removed="false")) == {trip["id"]}
    assert carla.delete(f"/trips/{trip['id']}").status_code == 204
    assert ids(carla.get("/trips", is_removed="false")) == set()
    assert read(carla.get(f"/trips/{trip['id']}"))["removed_at"]


def test_numbers_are_added_as_rows_or_csv_and_taken_out(cast: Cast, carla: Api):
    body = {"account": cast.aurora.accounts["NORTH"].id, "code": "customers", "name": "Customers"}
    numbers = read(carla.post("/number-lists", body), 201)
    address = f"/number-lists/{numbers['id']}"
    rows = {"rows": [{"number": "+49 30 1234567"}, {"number": "nonsense"}]}
    loaded = read(carla.post(f"{address}/entries", rows), 201)
    assert (loaded["created"], loaded["errors"][0]["pointer"]) == (1, "/rows/1/number")
    loaded = read(carla.csv(f"{address}/entries", "number,label,valid_until\n+4940*,Hamburg,2026-12-31\n"), 201)
    assert loaded["created"] == 1
    entries = read(carla.get(f"{address}/entries"))["results"]
    assert {(one["digits"], one["is_prefix"], one["label"]) for one in entries} == {
        ("49301234567", False, ""), ("4940", True, "Hamburg"),
    }  # fmt: skip
    assert read(carla.get(address))["numbers"] == 2
    assert read(carla.post(f"{address}/removals", {"entries": [entries[0]["id"]]})) == {"taken_out": 1}
    assert read(carla.patch(address, {"name": "Clients"}))["name"] == "Clients"
    assert refusal(carla.delete(address), 422)
    assert Api.of(cast, "bruno").get(address).status_code == 404


def test_a_profile_is_read_and_written_whole(cast: Cast, carla: Api):
    address = f"/lines/{cast.aurora.lines['emil phone'].id}/profile"
    assert read(carla.get(address)) == {"attributes": {}}
    attributes = {"level": 3, "board": True, "site": "Köln"}
    assert read(carla.put(address, {"attributes": attributes})) == {"attributes": attributes}
    assert refusal(carla.put(address, {"attributes": {"a b": 1}}), 422)
    assert read(carla.get(address)) == {"attributes": attributes}


def test_fields_are_declared_by_the_operator_and_read_by_its_customers(cast: Cast, carla: Api):
    olga = Api.of(cast, "olga")
    body = {"name": "profile.level", "kind": "number", "label": "Level"}
    field = read(olga.post("/declared-fields", body), 201)
    assert refusal(carla.post("/declared-fields", body), 403)
    assert ids(carla.get("/declared-fields", name="profile.level")) == {field["id"]}
    high = {"name": "High", "when": "profile.level at_least 3", "pays": "personal"}
    draft = drafted(cast, carla, high)
    assert draft["words"] == ["Level is at least 3: the person pays."]
    read(carla.post(f"/steerings/{draft['steering']}/publish", {"reason": "x"}))
    assert refusal(olga.post("/declared-fields", {**body, "kind": "flag"}), 422)
    other = read(olga.post("/declared-fields", {**body, "name": "profile.site", "kind": "text"}), 201)
    assert olga.delete(f"/declared-fields/{other['id']}").status_code == 204


def test_an_enterprise_declares_fields_that_another_one_never_sees(cast: Cast, carla: Api):
    alice, bruno, olga = (Api.of(cast, who) for who in ("alice", "bruno", "olga"))
    aurora, borealis = cast.aurora.enterprise.id, cast.borealis.enterprise.id
    body = {"enterprise": aurora, "name": "profile.grade", "kind": "number", "label": "Grade"}
    field = read(alice.post("/declared-fields", body), 201)
    assert (field["enterprise"], field["operator"]) == (aurora, cast.operator.id)
    assert ids(carla.get("/declared-fields", enterprise=aurora)) == {field["id"]}
    assert ids(bruno.get("/declared-fields")) == set()
    assert bruno.delete(f"/declared-fields/{field['id']}").status_code == 404
    for foreign, whose in ((carla, aurora), (bruno, aurora), (alice, borealis)):
        assert "does not exist" in str(refusal(foreign.post("/declared-fields", {**body, "enterprise": whose}), 400))
    operators = {**body, "name": "profile.Grade"}
    del operators["enterprise"]
    assert "for itself" in str(refusal(olga.post("/declared-fields", operators), 422))
    read(olga.post("/declared-fields", {**operators, "name": "profile.site", "kind": "text"}), 201)
    taken = {**body, "name": "profile.SITE"}
    assert "Your operator has declared" in str(refusal(alice.post("/declared-fields", taken), 422))
    high = {"name": "High", "when": "profile.grade at_least 3", "pays": "personal"}
    draft = drafted(cast, carla, high)
    assert draft["words"] == ["Grade is at least 3: the person pays."]
    read(carla.post(f"/steerings/{draft['steering']}/publish", {"reason": "x"}))
    assert refusal(carla.delete(f"/declared-fields/{field['id']}"), 403)
    assert "asks for profile.grade" in str(refusal(alice.delete(f"/declared-fields/{field['id']}"), 422))
    other = read(alice.post("/declared-fields", {**body, "name": "attributes.desk", "kind": "text"}), 201)
    assert alice.delete(f"/declared-fields/{other['id']}").status_code == 204


def test_a_home_holds_below_where_it_is_set_until_it_is_taken_back(cast: Cast, carla: Api):
    alice = Api.of(cast, "alice")
    north, sales = (cast.aurora.accounts[code].id for code in ("NORTH", "N-SALES"))
    body = {"account": north, "time_zone": "Europe/Lisbon", "effective_at": "2026-02-10T00:00:00Z"}
    home = read(alice.post("/account-homes", body), 201)
    held = read(carla.get("/account-homes/in-force", account=sales))
    assert (held["account"], held["time_zone"], held["holiday_calendar"]) == (north, "Europe/Lisbon", "PT")
    before = read(carla.get("/account-homes/in-force", account=sales, at="2026-02-09T23:59:59Z"))
    assert (before["is_contracts"], before["time_zone"]) == (True, "Europe/Berlin")
    read(alice.post("/account-homes", {"account": sales, "time_zone": "", "effective_at": "2026-02-11T00:00:00Z"}), 201)
    assert read(carla.get("/account-homes/in-force", account=sales))["account"] == north
    assert "whole enterprise" in str(refusal(carla.post("/account-homes", body), 403))
    assert refusal(carla.delete(f"/account-homes/{home['id']}"), 403)
    assert alice.delete(f"/account-homes/{home['id']}").status_code == 204
    assert read(carla.get("/account-homes/in-force", account=sales))["is_contracts"] is True
    for wrong in ({"time_zone": "Lisbon"}, {"holiday_calendar": "DE-XX"}, {"time_zone": "", "holiday_calendar": "PT"}):
        assert refusal(alice.post("/account-homes", body | wrong), 422)
    assert refusal(alice.post("/account-homes", body | {"account": cast.borealis.root.id}), 400)
