"""Buckets, their ledger, and allocations over REST."""

from __future__ import annotations

from datetime import timedelta

from balances.models import Bucket, Entry
from portal.api.idempotency import KEY_LENGTH
from tests.api.client import Api, charge, ids, read, refusal, used
from tests.cast import MARCH, NOW, VOICE_UNITS, Cast


def voice(cast: Cast, house: str = "aurora") -> Bucket:
    enterprise = getattr(cast, house).enterprise
    return Bucket.objects.get(enterprise=enterprise, service=2, cycle_start=MARCH)


def test_buckets_are_filtered_by_owner_service_and_cycle(cast: Cast, alice: Api, carla: Api) -> None:
    bucket = voice(cast)
    query = {"account": cast.aurora.root.id, "service": "voice", "cycle_start": MARCH.isoformat()}
    assert ids(alice.get("/buckets", **query)) == {bucket.id}
    shown = read(alice.get(f"/buckets/{bucket.id}"))
    assert (shown["kind"], shown["unit"], shown["remaining_units"]) == ("grant", "seconds", VOICE_UNITS)
    assert ids(carla.get("/buckets")) == set()
    refusal(carla.get(f"/buckets/{bucket.id}"), 404)
    refusal(alice.get(f"/buckets/{voice(cast, 'borealis').id}/entries"), 404)
    assert refusal(alice.get("/buckets", cycle_start="yesterday"), 400)["pointer"] == "/cycle_start"


def test_an_allocation_is_done_once_however_often_it_is_sent(cast: Cast, alice: Api) -> None:
    bucket, north = voice(cast), cast.aurora.accounts["NORTH"].id
    address = f"/buckets/{bucket.id}/allocations"
    body, key = {"account": north, "units": 6000}, {"Idempotency-Key": "march-north"}
    first = read(alice.post(address, body, **key), 201)
    assert read(alice.post(address, body, **key), 201) == first
    assert Bucket.objects.get(id=bucket.id).remaining_units == VOICE_UNITS - 6000
    assert Bucket.objects.get(id=first["to_bucket"]).account_id == north
    assert refusal(alice.post(address, body | {"units": 1}, **key), 422)["code"] == "key_conflict"
    assert refusal(alice.post(address, body, **{"Idempotency-Key": "two words"}), 400)["code"] == "key"


def test_keys_of_two_enterprises_never_meet(cast: Cast, alice: Api) -> None:
    key = {"Idempotency-Key": "same"}
    for house, api in (("aurora", alice), ("borealis", Api.of(cast, "bruno"))):
        body = {"account": getattr(cast, house).accounts["NORTH"].id, "units": 60}
        read(api.post(f"/buckets/{voice(cast, house).id}/allocations", body, **key), 201)
    assert Entry.objects.filter(key__endswith=":same").count() == 2


def test_keys_of_two_callers_never_meet(cast: Cast, alice: Api, olga: Api) -> None:
    bucket, key = voice(cast), {"Idempotency-Key": "1"}
    address = f"/buckets/{bucket.id}/allocations"
    north, south = cast.aurora.accounts["NORTH"].id, cast.aurora.accounts["SOUTH"].id
    read(alice.post(address, {"account": north, "units": 60}, **key), 201)
    read(olga.post(address, {"account": south, "units": 70}, **key), 201)
    assert Bucket.objects.get(id=bucket.id).given_units == 130


def test_a_key_may_be_as_long_as_the_description_says(cast: Cast, alice: Api) -> None:
    address = f"/buckets/{voice(cast).id}/allocations"
    body = {"account": cast.aurora.accounts["NORTH"].id, "units": 60}
    read(alice.post(address, body, **{"Idempotency-Key": "k" * KEY_LENGTH}), 201)
    assert refusal(alice.post(address, body, **{"Idempotency-Key": "k" * (KEY_LENGTH + 1)}), 400)["code"] == "key"


def test_unused_units_go_back_to_where_they_came_from_once(cast: Cast, alice: Api, carla: Api, dora: Api) -> None:
    bucket = voice(cast)
    body = {"account": cast.aurora.accounts["NORTH"].id, "units": 600}
    given = read(alice.post(f"/buckets/{bucket.id}/allocations", body), 201)["to_bucket"]
    address, key = f"/buckets/{given}/returns", {"Idempotency-Key": "back-1"}
    first = read(carla.post(address, {"units": 200}, **key), 201)
    assert (first["from_bucket"], first["to_bucket"], first["units"]) == (given, bucket.id, 200)
    assert read(carla.post(address, {"units": 200}, **key), 201) == first
    assert Bucket.objects.get(id=given).remaining_units == 400
    assert Bucket.objects.get(id=bucket.id).remaining_units == VOICE_UNITS - 400
    assert refusal(carla.post(address, {"units": 201}, **key), 422)["code"] == "key_conflict"
    assert refusal(carla.post(address, {"units": 401}), 422)["code"] == "not_enough"
    assert refusal(alice.post(f"/buckets/{bucket.id}/returns", {"units": 1}), 422)["pointer"] == "/bucket"
    refusal(dora.post(address, {"units": 1}), 403)
    refusal(Api.of(cast, "bruno").post(address, {"units": 1}), 404)


def test_more_than_there_is_is_not_allocated(cast: Cast, alice: Api, carla: Api) -> None:
    address = f"/buckets/{voice(cast).id}/allocations"
    north = cast.aurora.accounts["NORTH"].id
    assert refusal(alice.post(address, {"account": north, "units": VOICE_UNITS + 1}), 422)["code"] == "not_enough"
    assert refusal(alice.post(address, {"account": north, "units": 0}), 400)["pointer"] == "/units"
    refusal(alice.post(address, {"units": 5}), 422)
    foreign = {"account": cast.borealis.accounts["NORTH"].id, "units": 5}
    assert refusal(alice.post(address, foreign), 400)["pointer"] == "/account"
    refusal(carla.post(address, {"account": north, "units": 5}), 404)


def test_a_manager_allocates_onwards_inside_the_own_subtree(cast: Cast, alice: Api, carla: Api) -> None:
    north, line = cast.aurora.accounts["NORTH"].id, cast.aurora.lines["emil phone"].id
    given = read(alice.post(f"/buckets/{voice(cast).id}/allocations", {"account": north, "units": 600}), 201)
    onwards = f"/buckets/{given['to_bucket']}/allocations"
    passed = read(carla.post(onwards, {"line": line, "units": 60}), 201)
    assert read(carla.get(f"/buckets/{passed['to_bucket']}"))["line"] == line


def test_the_ledger_of_a_bucket_tells_why_it_holds_what_it_holds(cast: Cast, alice: Api) -> None:
    charge(cast.aurora, used(1, service="voice", units=61))
    entries = read(alice.get(f"/buckets/{voice(cast).id}/entries"))["results"]
    assert [(entry["kind"], entry["units"], entry["remaining_after"]) for entry in entries] == [
        ("consume", 61, VOICE_UNITS - 61),
        ("grant", VOICE_UNITS, VOICE_UNITS),
    ]
    assert [(entry["change_units"], entry["sentence"]) for entry in entries] == [
        (-61, "Used: records that were charged together."),
        (VOICE_UNITS, "Granted by the contract for this cycle."),
    ]


def test_an_entry_says_with_whom_as_far_as_one_may_know(cast: Cast, alice: Api, carla: Api) -> None:
    body = {"account": cast.aurora.accounts["NORTH"].id, "units": 600}
    bucket = voice(cast)
    given = read(alice.post(f"/buckets/{bucket.id}/allocations", body), 201)["to_bucket"]
    read(carla.post(f"/buckets/{given}/returns", {"units": 200}), 201)

    def sentences(api: Api, bucket_id: int) -> list[str]:
        return [entry["sentence"] for entry in read(api.get(f"/buckets/{bucket_id}/entries"))["results"]][:2]

    assert sentences(alice, bucket.id) == ["Taken back from North.", "Given to North."]
    outside = "an account outside your view"
    assert sentences(carla, given) == [f"Taken back by {outside}.", f"Received from {outside}."]


def test_buckets_as_they_were(cast: Cast, alice: Api) -> None:
    bucket = voice(cast)
    charge(cast.aurora, used(1, service="voice", units=61))
    before = (NOW - timedelta(hours=1)).isoformat()
    assert read(alice.get(f"/buckets/{bucket.id}"))["used_units"] == 61
    then = read(alice.get(f"/buckets/{bucket.id}", as_of=before))
    assert (then["used_units"], then["remaining_units"]) == (0, VOICE_UNITS)
    listed = read(alice.get("/buckets", as_of=before, service="voice"))["results"]
    assert {row["used_units"] for row in listed} == {0}
    assert ids(alice.get("/buckets", as_of=(MARCH - timedelta(days=1)).isoformat())).isdisjoint({bucket.id})
    later = (NOW + timedelta(hours=1)).isoformat()
    assert refusal(alice.get("/buckets", as_of=later), 400)["pointer"] == "/as_of"
    assert refusal(alice.get("/buckets", as_of="yesterday"), 400)["pointer"] == "/as_of"
