"""Suspense over REST: why a record waits, and the two ways out."""

from __future__ import annotations

from balances.models import SuspendedUsage, UsageRecord
from portal.charging import pipeline
from tests.api.client import Api, charge, ids, read, refusal, used
from tests.cast import NOW, Cast

UNKNOWN = "4999900000001"


def test_a_suspended_record_says_why_and_is_recycled_once(cast: Cast, alice: Api) -> None:
    charge(cast.aurora, used(1, msisdn=UNKNOWN))
    (row,) = read(alice.get("/suspense", state="open", reason="unknown_line"))["results"]
    assert (row["title"], row["record"]["msisdn"], row["recycled_as"]) == ("Unknown line", UNKNOWN, None)
    assert row["how_to_mend"]
    address = f"/suspense/{row['id']}"
    body = {"corrections": {"msisdn": cast.aurora.lines["emil phone"].msisdn}}
    recycled = read(alice.post(f"{address}/recycle", body))
    assert recycled["state"] == "recycled"
    assert read(alice.get(f"/usage-batches/{recycled['recycled_as']}"))["accepted"] == 1
    pipeline.drain(cast.aurora.enterprise.id, clock=lambda: NOW)
    assert UsageRecord.objects.get().source_record_id == "cdr-1"
    assert read(alice.post(f"{address}/recycle", body))["recycled_as"] == recycled["recycled_as"]


def test_a_correction_of_what_no_record_has_is_refused(cast: Cast, alice: Api) -> None:
    charge(cast.aurora, used(1, msisdn=UNKNOWN))
    row = SuspendedUsage.objects.get()
    error = refusal(alice.post(f"/suspense/{row.id}/recycle", {"corrections": {"colour": "red"}}), 400)
    assert error["pointer"] == "/corrections/colour"


def test_a_record_is_written_off_with_a_note(cast: Cast, alice: Api) -> None:
    charge(cast.aurora, used(1, msisdn=UNKNOWN))
    address = f"/suspense/{SuspendedUsage.objects.get().id}/write-off"
    assert refusal(alice.post(address, {}), 400)["pointer"] == "/note"
    written = read(alice.post(address, {"note": "Test SIM"}))
    assert (written["state"], written["note"]) == ("written_off", "Test SIM")
    assert written["resolved_by"].endswith("Alice Arden")


def test_many_are_resolved_by_what_they_have_in_common(cast: Cast, alice: Api) -> None:
    unknown = [used(number, msisdn=UNKNOWN) for number in range(3)]
    charge(cast.aurora, *unknown, used(7, started_at="2026-12-01T00:00:00Z"))
    refusal(alice.post("/suspense/write-off", {"note": "all"}), 400)
    written = read(alice.post("/suspense/write-off", {"note": "Clock", "reason": "future"}))
    assert written == {"resolved": 1, "remaining": 0}
    recycled = read(alice.post("/suspense/recycle", {"reason": "unknown_line", "source": "Mediation"}))
    assert recycled == {"resolved": 3, "remaining": 0}


def test_others_see_and_resolve_nothing(cast: Cast, carla: Api, dora: Api) -> None:
    charge(cast.aurora, used(1, msisdn=UNKNOWN))
    row = SuspendedUsage.objects.get()
    bruno = Api.of(cast, "bruno")
    for api in (bruno, carla, dora):
        assert ids(api.get("/suspense")) == set()
        refusal(api.get(f"/suspense/{row.id}"), 404)
    assert read(bruno.post("/suspense/recycle", {"ids": [row.id]})) == {"resolved": 0, "remaining": 0}
    refusal(bruno.post(f"/suspense/{row.id}/recycle"), 404)
    refusal(dora.post(f"/suspense/{row.id}/recycle"), 403)
