"""Policies over REST: drafted, checked, replayed, published, taken back; what is wrong is said with its place."""

from __future__ import annotations

import pytest

from policies.models import PolicyVersion
from portal.charging import pipeline
from portal.models import Job
from portal.provisioning import work
from tests.api.client import Api, charge, read, refusal, used
from tests.cast import Cast

pytestmark = pytest.mark.django_db

HOME_ONLY = [{"name": "Home only", "when": "service is data and roaming is yes", "action": "stop_now"}]


@pytest.fixture
def carla(cast: Cast) -> Api:
    pipeline.forget_everything()
    return Api.of(cast, "carla")


def drafted(cast: Cast, api: Api, rules=HOME_ONLY) -> dict:
    body = {"account": cast.aurora.accounts["NORTH"].id, "name": "Abroad", "rules": rules}
    return read(api.post("/policies", body), 201)


def test_a_policy_is_drafted_published_and_taken_back(cast: Cast, carla: Api):
    draft = drafted(cast, carla)
    assert draft["words"] == ["Data while roaming: it is stopped at once."]
    assert draft["rules"][0]["when"]["all"][0] == {"field": "service", "op": "is", "value": "data"}
    address = f"/policies/{draft['policy']}"
    assert read(carla.get(address))["draft"] == draft["id"]
    published = read(carla.post(f"{address}/publish", {"reason": "agreed"}))
    assert (published["state"], published["conflicts"]) == ("published", [])
    assert read(carla.get(address))["published"] == draft["id"]
    read(carla.post(f"{address}/undo"))
    assert [row["state"] for row in read(carla.get(f"{address}/versions"))["results"]] == ["retired"]


def test_a_draft_shows_its_conflicts(cast: Cast, carla: Api):
    slow = {"name": "Slow", "when": "service is data", "action": "throttle"}
    [conflict] = drafted(cast, carla, [*HOME_ONLY, slow])["conflicts"]
    assert conflict["winner"]["rule_name"] == "Home only"
    assert "the stricter action wins" in conflict["words"]


def test_what_is_wrong_is_said_with_its_place(cast: Cast, carla: Api):
    body = {"account": cast.aurora.accounts["NORTH"].id, "name": "Abroad"}
    answer = refusal(carla.post("/policies", {**body, "rules": [{**HOME_ONLY[0], "when": "zone is mars"}]}), 422)
    assert "rules[0].when" in str(answer)
    assert "mars" in str(answer)


def test_a_template_is_drafted_with_its_limits(cast: Cast, carla: Api):
    body = {"account": cast.aurora.accounts["NORTH"].id, "template": "eu-roaming"}
    made = read(carla.post("/policies", body), 201)
    assert made["note"] == "Regulation (EU) 2022/612, article 14"


def test_a_draft_is_replayed_as_a_job(cast: Cast, carla: Api, django_capture_on_commit_callbacks):
    charge(cast.aurora, used(1, service="data", units=5_000_000, visited_network="310"))
    draft = drafted(cast, carla)
    job = read(carla.post(f"/policies/{draft['policy']}/replays", {"days": 30}), 201)
    assert Job.objects.get(id=job["id"]).state == "queued"
    work.turn(job["id"])
    [done] = read(carla.get(f"/policies/{draft['policy']}/replays"))["results"]
    assert (done["state"], done["percent"]) == ("done", 100)
    replayed = done["counts"]["replay"]
    assert (replayed["events"], replayed["lines_cut"]) == (1, 1)
    assert replayed["lines"][0]["by_name"] == "Home only (Abroad v1)"
    assert replayed["saved_micros"] > 0


def test_others_do_not_find_it(cast: Cast, carla: Api):
    draft = drafted(cast, carla)
    assert Api.of(cast, "bruno").get(f"/policies/{draft['policy']}").status_code == 404
    assert Api.of(cast, "bruno").post(f"/policies/{draft['policy']}/publish", {"reason": "x"}).status_code == 404
    assert PolicyVersion.objects.get(id=draft["id"]).state == "draft"


def test_ready_made_policies_are_changed_and_brought_back(cast: Cast, carla: Api):
    olga = Api.of(cast, "olga")
    keys = [row["key"] for row in read(carla.get("/policy-templates"))["results"]]
    assert keys[0] == "eu-roaming"
    body = {
        "name": "EU, lower", "rules": [{**HOME_ONLY[0], "beyond": {}}],
        "limits": [{"service": "data", "is_abroad": True, "amount": 30_000_000}],
    }  # fmt: skip
    assert refusal(carla.put("/policy-templates/eu-roaming", body), 403)
    changed = read(olga.put("/policy-templates/eu-roaming", body))
    assert changed["words"] == ["Data while roaming, beyond any limit: it is stopped at once."]
    assert read(carla.get("/policy-templates/eu-roaming"))["limits"][0]["percents"] == [80, 100]
    north = cast.aurora.accounts["NORTH"].id
    assert read(carla.post("/policies", {"account": north, "template": "eu-roaming"}), 201)["words"] == changed["words"]
    assert olga.delete("/policy-templates/eu-roaming").status_code == 204
    assert read(carla.get("/policy-templates/eu-roaming"))["changed_at"] is None


def test_a_ready_made_policy_that_is_not_offered_is_not_there_for_customers(cast: Cast, carla: Api):
    olga = Api.of(cast, "olga")
    body = {"name": "Trips", "rules": HOME_ONLY, "is_offered": False}
    assert read(olga.put("/policy-templates/trips", body))["is_built_in"] is False
    assert refusal(carla.get("/policy-templates/trips"), 404)
    assert read(olga.get("/policy-templates/trips"))["name"] == "Trips"
    wrong = refusal(olga.put("/policy-templates/trips", {**body, "limits": [{"amount": 5, "colour": 1}]}), 400)
    assert "colour" in str(wrong)
