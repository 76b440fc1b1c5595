"""Allocations over REST: planned, done once, undone, and out of reach for who has no business there."""

from __future__ import annotations

from balances.models import Bucket, Entry
from tests.api.client import Api, charge, ids, read, refusal, used
from tests.cast import MARCH, VOICE_UNITS, Cast


def voice(cast: Cast) -> Bucket:
    return Bucket.objects.get(account=cast.aurora.root, service=2, cycle_start=MARCH)


def body(cast: Cast, *rows: dict, **changes) -> dict:
    named = [
        {key: cast.aurora.accounts[value].id if key == "account" else value for key, value in row.items()}
        for row in rows
    ]
    return {"bucket": voice(cast).id, "rows": named, **changes}


def test_a_dry_run_says_what_it_comes_to_and_does_nothing(cast: Cast, alice: Api) -> None:
    asked = body(cast, {"account": "NORTH", "units": 6000}, {"account": "SOUTH", "percent": "12.5"}, dry_run=True)
    plan = read(alice.post("/allocations", asked))
    assert [(row["units"], row["after"]["remaining_units"]) for row in plan["rows"]] == [(6000, 6000), (7500, 7500)]
    assert plan["after"]["remaining_units"] == VOICE_UNITS - 13_500
    assert Entry.objects.filter(transfer__isnull=False).count() == 0


def test_an_allocation_is_done_once_and_undone_as_far_as_unused(cast: Cast, alice: Api) -> None:
    line = cast.aurora.lines["emil phone"].id
    asked = body(cast, {"account": "SOUTH", "units": 6000}, {"line": line, "act": "give", "units": 600})
    key = {"Idempotency-Key": "march"}
    done = read(alice.post("/allocations", asked, **key), 201)
    assert read(alice.post("/allocations", asked, **key), 201) == done
    assert [(move["account"], move["line"], move["units"]) for move in done["moves"]] == [
        (cast.aurora.accounts["SOUTH"].id, None, 6000),
        (None, line, 600),
    ]
    asked["rows"][0]["units"] = 1
    assert refusal(alice.post("/allocations", asked, **key), 422)["code"] == "key_conflict"
    charge(cast.aurora, used(1, service="voice", units=100))
    undone = read(alice.post(f"/allocations/{done['id']}/undo"), 201)
    assert (undone["undoes"], [move["units"] for move in undone["moves"]]) == (done["id"], [-6000, -500])
    assert refusal(alice.post(f"/allocations/{done['id']}/undo"), 422)["code"] == "not_undoable"
    assert ids(alice.get("/allocations", bucket=asked["bucket"])) == {done["id"], undone["id"]}


def test_shares_are_exact(cast: Cast, alice: Api) -> None:
    rows = [{"account": "NORTH", "act": "give"}, {"account": "SOUTH", "act": "give"}]
    done = read(alice.post("/allocations", body(cast, *rows, share={"units": 1001})), 201)
    assert [move["units"] for move in done["moves"]] == [501, 500]
    refused = refusal(alice.post("/allocations", body(cast, *rows, share={"by": "history"})), 422)
    assert refused["code"] == "no_history"


def test_a_row_that_does_not_fit_is_pointed_at(cast: Cast, alice: Api) -> None:
    rows = [{"account": "NORTH", "units": VOICE_UNITS}, {"account": "SOUTH", "units": 1}]
    problem = refusal(alice.post("/allocations", body(cast, *rows)), 422)
    assert (problem["pointer"], problem["code"]) == ("/rows/1/units", "not_enough")
    for row, pointer in (
        ({"account": "NORTH", "units": 1, "percent": 1}, "/rows/0"),
        ({"units": 1}, "/rows/0"),
        ({"account": "NORTH", "percent": 101}, "/rows/0/percent"),
        ({"account": "NORTH", "units": -1}, "/rows/0/units"),
    ):
        assert refusal(alice.post("/allocations", body(cast, row)), 400)["pointer"] == pointer
    assert refusal(alice.post("/allocations", body(cast, {"account": "NORTH"})), 422)["code"] == "amount"
    assert Entry.objects.filter(transfer__isnull=False).count() == 0


def test_what_is_out_of_reach_does_not_exist(cast: Cast, alice: Api, carla: Api, dora: Api) -> None:
    foreign = body(cast)
    foreign["rows"] = [{"account": cast.borealis.accounts["NORTH"].id, "units": 1}]
    assert refusal(alice.post("/allocations", foreign), 400)["pointer"] == "/rows/0/account"
    mine = body(cast, {"account": "NORTH", "units": 600})
    refusal(carla.post("/allocations", mine), 400)  # the root's bucket is not hers
    done = read(alice.post("/allocations", mine), 201)
    refusal(carla.get(f"/allocations/{done['id']}"), 404)
    refusal(carla.post(f"/allocations/{done['id']}/undo"), 404)
    refusal(dora.post("/allocations", mine), 403)
    held = done["moves"][0]["bucket"]
    onwards = {"bucket": held, "rows": [{"account": cast.aurora.accounts["N-SALES"].id, "units": 60}]}
    read(carla.post("/allocations", onwards), 201)
    onwards["rows"][0]["account"] = cast.aurora.accounts["SOUTH"].id
    refusal(carla.post("/allocations", onwards), 400)
    assert Bucket.objects.get(id=held).given_units == 60


def test_units_are_set_aside_and_released(cast: Cast, alice: Api, carla: Api) -> None:
    bucket = voice(cast)
    body = {"bucket": bucket.id, "units": 600, "rule": "by_hand"}
    held = read(alice.post("/contingencies", body), 201)
    assert (held["kind"], held["release"], held["remaining_units"]) == ("contingency", "by_hand", 600)
    assert ids(alice.get("/contingencies", account=cast.aurora.root.id)) == {held["id"]}
    refusal(carla.post(f"/contingencies/{held['id']}/release"), 404)
    source = read(alice.post(f"/contingencies/{held['id']}/release", {"units": 200}), 201)
    assert (source["id"], source["remaining_units"]) == (bucket.id, VOICE_UNITS - 400)
    assert refusal(alice.post("/contingencies", body | {"rule": "on_date"}), 422)["pointer"] == "/release_at"
    assert refusal(alice.post("/contingencies", body | {"rule": "never"}), 400)["pointer"] == "/rule"


def test_a_file_is_taken_whole_or_its_rows_are_pointed_at(cast: Cast, alice: Api) -> None:
    address, number = f"/allocations/file?bucket={voice(cast).id}", cast.aurora.lines["emil phone"].msisdn
    bad = alice.csv(address, "receiver,amount\nNORTH,100 min\nNOWHERE,1 min\nSOUTH,much\n")
    assert [error["pointer"] for error in bad.json()["errors"]] == ["/rows/1/receiver", "/rows/2/amount"]
    text = f"receiver,amount\nNORTH,100 min\nSOUTH,12.5 %\n+{number},+10 min\n"
    plan = read(alice.csv(f"{address}&dry_run=true", text))
    assert [row["units"] for row in plan["rows"]] == [6000, 7500, 600]
    assert not Bucket.objects.filter(account=cast.aurora.accounts["NORTH"]).exists()
    done = read(alice.csv(address, text), 201)
    assert [move["units"] for move in done["moves"]] == [6000, 7500, 600]
    refusal(alice.csv(address, "receiver\nNORTH\n"), 400)


def test_which_tier_stops_whom_is_said_tier_by_tier(cast: Cast, alice: Api) -> None:
    north = cast.aurora.accounts["NORTH"].id
    read(alice.post("/draw-caps", {"account": north, "service": "voice", "units": 600}), 201)
    (path,) = [row for row in read(alice.get(f"/accounts/{north}/drawing")) if row["service"] == "voice"]
    assert [(tier["name"], tier["given_units"]) for tier in path["tiers"]] == [("North", 0), ("Aurora AG", 600)]
    assert (path["usable_units"], path["stopped_by"]) == (600, "North")
