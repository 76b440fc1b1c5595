"""Limits, consents, exemptions and restrictions over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from balances.models import UsageRecord
from policies.models import Consent
from tests.api.client import Api, charge, ids, read, refusal, used
from tests.cast import NOW, Cast


def cap(cast: Cast, **changes: Any) -> dict[str, Any]:
    """4 KiB of data a cycle for Emil's phone, then stop."""
    line = cast.aurora.lines["emil phone"].id
    terms = {"line": line, "service": "data", "measure": "units", "window": "cycle", "amount": 4096}
    return {**terms, "percents": [50, 100], "action": "stop_now", **changes}


def test_a_line_is_capped_and_what_is_beyond_is_refused_and_explained(cast: Cast, alice: Api) -> None:
    made = read(alice.post("/limits", cap(cast)), 201)
    charge(cast.aurora, used(1), used(2, units=4096))
    shown = read(alice.get(f"/limits/{made['id']}"))
    assert (shown["used"], shown["refused_units"], shown["percent"], shown["state"]) == (4096, 2048, 100, "Restricted")
    usage = UsageRecord.objects.get(source_record_id="cdr-2")
    assert read(alice.get(f"/usage-records/{usage.id}"))["charge_lines"][0]["refused_units"] == 2048
    assert b"Not granted" in alice.client.get(f"/usage/{usage.id}/").content
    listed = read(alice.get("/usage-records", line=made["line"], refused="true"))["results"]
    assert [record["source_record_id"] for record in listed] == ["cdr-2"]
    crossings = read(alice.get("/limit-crossings"))["results"]
    assert sorted(crossing["percent"] for crossing in crossings) == [50, 100]
    restriction = read(alice.get("/restrictions", line=made["line"]))["results"][0]
    assert (restriction["action"], restriction["state"]) == ("blocked", "active")
    assert read(alice.post(f"/restrictions/{restriction['id']}/lift"))["state"] == "lifted"


def test_changing_a_limit_makes_a_successor_that_goes_on_counting(cast: Cast, alice: Api) -> None:
    made = read(alice.post("/limits", cap(cast)), 201)
    charge(cast.aurora, used(1))
    changed = read(alice.patch(f"/limits/{made['id']}", {"amount": 8192}))
    assert (changed["first"], changed["used"], changed["percent"]) == (made["id"], 2048, 25)
    refusal(alice.get(f"/limits/{made['id']}"), 404)
    assert read(alice.delete(f"/limits/{changed['id']}"), 204) is None
    assert ids(alice.get("/limits")) == set()


def test_two_who_consent_at_once_have_one_effect(cast: Cast, alice: Api, carla: Api) -> None:
    made = read(alice.post("/limits", cap(cast, action="consent")), 201)
    shown = {"number": made["next_consent"], "period_start": made["period_start"], "used": 0, "bound": made["bound"]}
    body = {**shown, "amount": 4096, "text_shown": "4 KiB more for 1 cent"}
    first = read(alice.post(f"/limits/{made['id']}/consents", body), 201)
    assert read(alice.post(f"/limits/{made['id']}/consents", body), 201) == first
    assert "has consented to 4,096 units more" in carla.post(f"/limits/{made['id']}/consents", body).text
    assert (first["kind"], first["text_shown"], first["channel"]) == ("consent", body["text_shown"], "api")
    assert read(alice.get(f"/limits/{made['id']}"))["bound"] == 8192
    assert read(alice.post(f"/consents/{first['id']}/revoke"))["revoked_at"]
    assert Consent.objects.count() == 1
    assert "revoked already" in alice.post(f"/consents/{first['id']}/revoke").text
    ahead = {**shown, "number": 9, "amount": 1}
    assert refusal(alice.post(f"/limits/{made['id']}/extensions", ahead), 422)["detail"].endswith("is number 2.")


def test_what_was_set_from_above_is_not_changed_from_below(cast: Cast, alice: Api, carla: Api) -> None:
    body = cap(cast, line=None, account=cast.aurora.accounts["NORTH"].id)
    made = read(alice.post("/limits", body), 201)
    assert ids(carla.get("/limits")) == {made["id"]}
    refusal(carla.patch(f"/limits/{made['id']}", {"amount": 1}), 403)
    refusal(carla.delete(f"/limits/{made['id']}"), 403)
    more = {"number": 1, "period_start": made["period_start"], "amount": 1}
    refusal(carla.post(f"/limits/{made['id']}/extensions", more), 403)
    own = read(carla.post("/limits", body), 201)
    assert read(carla.patch(f"/limits/{own['id']}", {"amount": 1}))["amount"] == 1


def test_an_exemption_has_an_end_and_a_reason(cast: Cast, alice: Api) -> None:
    made = read(alice.post("/limits", cap(cast, amount=0)), 201)
    until = (NOW + timedelta(days=2)).isoformat()
    body = {"limit": made["id"], "line": made["line"], "until": until, "reason": "Fair in Hanover"}
    exemption = read(alice.post("/exemptions", body), 201)
    charge(cast.aurora, used(1, started_at="2026-03-15T12:55:00+01:00"))
    charge(cast.aurora, used(2, started_at="2026-03-15T13:00:00+01:00"))
    assert read(alice.get(f"/limits/{made['id']}"))["used"] == 2048  # the first was used before the exemption began
    assert read(alice.delete(f"/exemptions/{exemption['id']}"), 204) is None
    assert refusal(alice.post("/exemptions", body | {"until": NOW.isoformat()}), 422)["pointer"] == "/until"


def test_a_tag_is_limited_by_who_manages_the_whole_enterprise(cast: Cast, alice: Api, carla: Api) -> None:
    line = cast.aurora.lines["emil phone"].id
    assert read(carla.put(f"/lines/{line}/tags", {"tags": ["Field"]})) == {"tags": ["field"]}
    body = cap(cast, line=None, tag="field", enterprise=cast.aurora.enterprise.id)
    refusal(carla.post("/limits", body), 400)
    made = read(alice.post("/limits", body), 201)
    charge(cast.aurora, used(1))
    assert read(alice.get(f"/limits/{made['id']}"))["used"] == 2048
    assert refusal(alice.put(f"/lines/{line}/tags", {"tags": ["no tag!"]}), 422)["pointer"] == "/tags"


def test_what_eases_a_limit_from_above_is_refused_below_and_done_above(cast: Cast, alice: Api, carla: Api) -> None:
    top = read(alice.post("/limits", cap(cast, line=None, account=cast.aurora.root.id, needs_approval=True)), 201)
    north = read(
        alice.post("/limits", cap(cast, line=None, account=cast.aurora.accounts["NORTH"].id, action="consent")), 201
    )
    charge(cast.aurora, used(1), used(2, units=4096))
    waiting = read(alice.get("/restrictions", state="pending"))["results"]
    assert [restriction["limit"] for restriction in waiting] == [top["id"]]
    refusal(carla.post(f"/restrictions/{waiting[0]['id']}/approve"), 403)
    active = read(alice.get("/restrictions", state="active"))["results"]
    assert [restriction["limit"] for restriction in active] == [north["id"]]
    refusal(carla.post(f"/restrictions/{active[0]['id']}/lift"), 403)
    until = (NOW + timedelta(days=2)).isoformat()
    body = {"limit": north["id"], "line": active[0]["line"], "until": until, "reason": "Fair in Hanover"}
    refusal(carla.post("/exemptions", body), 403)
    assert read(alice.post(f"/restrictions/{waiting[0]['id']}/approve"))["state"] == "active"
    assert read(alice.post(f"/restrictions/{active[0]['id']}/lift"))["state"] == "lifted"
    exemption = read(alice.post("/exemptions", body), 201)
    refusal(carla.delete(f"/exemptions/{exemption['id']}"), 403)
    shown = {"number": 1, "period_start": north["period_start"], "amount": 4096, "text_shown": "4 KiB more"}
    given = read(carla.post(f"/limits/{north['id']}/consents", shown), 201)
    refusal(carla.post(f"/consents/{given['id']}/revoke"), 403)


def test_a_limit_is_fired_as_a_test(cast: Cast, alice: Api, carla: Api) -> None:
    made = read(alice.post("/limits", cap(cast, line=None, account=cast.aurora.root.id)), 201)
    fired = read(alice.post(f"/limits/{made['id']}/fire"), 201)
    assert (fired["kind"], fired["is_test"]) == ("limit", True)
    assert read(alice.post(f"/limits/{made['id']}/fire"), 201)["id"] != fired["id"]  # also in the same moment
    refusal(carla.post(f"/limits/{made['id']}/fire"), 404)
