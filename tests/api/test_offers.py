"""Trading over REST: two managers who do not see each other's accounts trade, and learn nothing else of each other."""

from __future__ import annotations

import pytest

from balances import allocation
from balances.allocation_plan import Wish
from balances.models import Bucket, Offer
from portal.models import Membership, Role
from tests.api.client import Api, ids, read, refusal
from tests.cast import ACTOR, MARCH, NOW, Cast

DOING = {"actor": ACTOR, "at": NOW}


@pytest.fixture
def traders(cast: Cast) -> Cast:
    """North holds 6,000 s of voice, South 500 messages; Dora manages South."""
    accounts = cast.aurora.accounts
    for service, code, units in ((2, "NORTH", 6000), (3, "SOUTH", 500)):
        bucket = Bucket.objects.get(account=cast.aurora.root, service=service, cycle_start=MARCH)
        allocation.apply(bucket_id=bucket.id, wishes=[Wish(1, ("account", accounts[code].id), units=units)], **DOING)
    Membership.objects.create(
        user=cast.dora, role=Role.MANAGER, enterprise=cast.aurora.enterprise, account=accounts["SOUTH"]
    )
    return cast


def body(cast: Cast, **changes) -> dict:
    north = cast.aurora.accounts["NORTH"]
    bucket = Bucket.objects.get(account=north, service=2, cycle_start=MARCH)
    return {"account": north.id, "bucket": bucket.id, "gives_units": 1200, "price_micros": 30_000, **changes}


def test_an_offer_to_all_is_seen_and_taken_by_who_does_not_see_the_giver(traders: Cast, carla: Api, dora: Api):
    south = traders.aurora.accounts["SOUTH"].id
    key = {"Idempotency-Key": "o1"}
    offer = read(carla.post("/offers", body(traders), **key), 201)
    assert read(carla.post("/offers", body(traders), **key), 201) == offer
    assert (offer["price_block_units"], offer["price_most_micros"], offer["bucket"]) == (
        60,
        60_000,
        body(traders)["bucket"],
    )
    seen = read(dora.get(f"/offers/{offer['id']}"))
    assert (seen["from_name"], seen["open_units"], seen["bucket"]) == ("North", 1200, None)
    refusal(dora.get(f"/accounts/{offer['from_account']}"), 404)
    refusal(dora.post(f"/offers/{offer['id']}/withdraw"), 403)
    trade = read(dora.post(f"/offers/{offer['id']}/accept", {"account": south, "units": 600}), 201)
    assert (trade["state"], trade["amount_micros"], trade["payer"]) == ("settled", 300_000, south)
    assert read(dora.get(f"/offers/{offer['id']}/acts"))["results"][0]["kind"] == "accepted"
    assert [act["kind"] for act in read(carla.get(f"/offers/{offer['id']}/acts"))["results"]] == ["accepted", "offered"]
    assert ids(carla.get("/trades")) == ids(dora.get("/trades")) == {trade["id"]}
    assert read(carla.post(f"/offers/{offer['id']}/withdraw"))["state"] == "withdrawn"
    assert ids(dora.get("/offers")) == {offer["id"]}  # it took of it
    assert refusal(dora.post(f"/offers/{offer['id']}/accept", {"account": south}), 422)["code"] == "offer_ended"


def test_an_offer_to_one_is_not_there_for_others(traders: Cast, carla: Api, dora: Api, alice: Api, emil: Api):
    offer = read(carla.post("/offers", body(traders, to="N-SALES")), 201)
    refusal(dora.get(f"/offers/{offer['id']}"), 404)
    refusal(emil.get(f"/offers/{offer['id']}"), 404)
    refusal(Api.of(traders, "bruno").get(f"/offers/{offer['id']}"), 404)
    assert ids(alice.get("/offers", state="open")) == {offer["id"]}
    everybody = read(carla.post("/offers", body(traders)), 201)
    refusal(emil.get(f"/offers/{everybody['id']}"), 404)
    refusal(Api.of(traders, "bruno").get(f"/offers/{everybody['id']}"), 404)
    assert refusal(carla.post("/offers", body(traders, to="NOBODY")), 400)["pointer"] == "/to"
    assert refusal(carla.post("/offers", body(traders, price_micros=60_001)), 422)["pointer"] == "/price_micros"


def test_a_large_trade_waits_for_the_manager_above_both(traders: Cast, carla: Api, dora: Api, alice: Api):
    root, south = traders.aurora.root.id, traders.aurora.accounts["SOUTH"].id
    read(alice.post("/trading-terms", {"account": root, "service": "voice", "approval_above_units": 600}), 201)
    query = {"account": traders.aurora.accounts["NORTH"].id, "service": "voice"}
    assert read(carla.get("/trading-terms/in-force", **query))["said_by"]["approval_above_units"] == "Aurora AG"
    offer = read(carla.post("/offers", body(traders, price_micros=0, wants_service="messaging", wants_units=100)), 201)
    trade = read(dora.post(f"/offers/{offer['id']}/accept", {"account": south}), 201)
    assert (trade["state"], trade["approver_account"]) == ("waiting", root)
    assert Bucket.objects.get(account=south, service=3).reserved_units == 100
    refusal(carla.post(f"/offers/{offer['id']}/approve"), 403)
    done = read(alice.post(f"/offers/{offer['id']}/approve", {"trade": trade["id"]}))
    assert (done["state"], read(alice.post(f"/offers/{offer['id']}/approve", {"trade": trade["id"]}))) == (
        "settled",
        done,
    )
    assert Bucket.objects.get(account=south, kind="trade").remaining_units == 1200


def test_an_offer_is_answered_with_another(traders: Cast, carla: Api, dora: Api):
    south = traders.aurora.accounts["SOUTH"]
    offer = read(carla.post("/offers", body(traders, to="SOUTH")), 201)
    answer = {"account": south.id, "wants_service": "voice", "wants_units": 1200, "price_micros": 10_000}
    made = read(dora.post(f"/offers/{offer['id']}/counter", answer), 201)
    assert (made["counters"], made["to_name"], made["gives_units"]) == (offer["id"], "North", 0)
    trade = read(carla.post(f"/offers/{made['id']}/accept", {"account": offer["from_account"]}), 201)
    assert (trade["payer"], trade["amount_micros"]) == (south.id, 200_000)
    assert Offer.objects.get(id=offer["id"]).state == "withdrawn"
    second = read(carla.post("/offers", body(traders, to="SOUTH")), 201)
    assert read(dora.post(f"/offers/{second['id']}/refuse"))["state"] == "refused"
