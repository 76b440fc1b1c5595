"""Notices over REST: read, silenced and unsilenced, told as one wishes, tried out."""

from __future__ import annotations

from balances import contracts
from portal.models import Escalation, Notice
from portal.notices import outbox
from tests.api.client import Api, charge, ids, read, refusal, used
from tests.cast import ACTOR, NOW, Cast


def told(cast: Cast) -> Notice:
    """Emil's phone has reached its threshold."""
    contracts.set_threshold(line=cast.aurora.lines["emil phone"], service=1, units=1024, actor=ACTOR, at=NOW)
    charge(cast.aurora, used(1))
    outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=NOW)
    return Notice.objects.get()


def test_a_notice_is_read_silenced_and_the_silence_ended(cast: Cast, alice: Api, carla: Api) -> None:
    notice = told(cast)
    assert ids(alice.get("/notices", unread="true")) == {notice.id}
    assert read(alice.post(f"/notices/{notice.id}/read"))["seen_at"]
    assert ids(alice.get("/notices", unread="true")) == set()
    assert read(carla.post("/notices/read-all")) == {"count": 1}
    body = {"until": "2026-03-20T00:00:00Z", "reason": "Fair"}
    made = read(alice.post(f"/notices/{notice.id}/silence", body), 201)
    assert ids(alice.get("/silences")) == {made["id"]}
    assert ids(carla.get("/silences")) == set()
    refusal(carla.delete(f"/silences/{made['id']}"), 404)
    read(alice.delete(f"/silences/{made['id']}"), 204)
    assert ids(alice.get("/silences")) == set()


def test_language_hours_and_quiet_time_are_chosen(alice: Api) -> None:
    assert read(alice.get("/notice-preferences/clock"))["daily_at"] == "08:00"
    wish = {"language": "de", "time_zone": "Europe/London", "daily_at": "17:30", "weekly_on": 4}
    assert read(alice.put("/notice-preferences/clock", wish))["weekly_on"] == 4
    assert read(alice.get("/notice-preferences/clock")) == {
        "language": "de", "time_zone": "Europe/London", "daily_at": "17:30", "weekly_on": 4, "mute_from": None,
        "mute_until": None,
    }  # fmt: skip
    assert refusal(alice.put("/notice-preferences/clock", {"time_zone": "Mars"}), 422)["pointer"] == "/time_zone"
    read(alice.post("/notice-preferences", {"kind": "trade", "channel": "email", "digest": "weekly"}))


def test_an_escalation_is_set_and_ended_by_who_runs_the_account(cast: Cast, alice: Api, carla: Api) -> None:
    root, north = cast.aurora.root.id, cast.aurora.accounts["NORTH"].id
    assert read(carla.post("/escalations", {"account": north, "after_minutes": 30}))["after_minutes"] == 30
    refusal(carla.post("/escalations", {"account": root, "after_minutes": 30}), 400)
    assert [row["account"] for row in read(alice.get("/escalations"))["results"]] == [north]
    read(alice.post("/escalations", {"account": north, "after_minutes": 0}), 204)
    assert not Escalation.objects.exists()


def test_a_threshold_is_fired_as_a_test_for_its_caller_alone(cast: Cast, alice: Api, carla: Api) -> None:
    mark = contracts.set_threshold(account=cast.aurora.root, service=1, percent=80, actor=ACTOR, at=NOW)
    made = read(alice.post(f"/thresholds/{mark.id}/fire"), 201)
    assert made["is_test"]
    assert made["was_sent"]
    refusal(carla.post(f"/thresholds/{mark.id}/fire"), 404)
