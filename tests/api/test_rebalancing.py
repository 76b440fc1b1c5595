"""Proposals over REST: read, and carried out only by who manages the account above both sides."""

from __future__ import annotations

from balances.models import Bucket
from tests.api.client import Api, read, refusal
from tests.api.test_offers import traders
from tests.cast import MARCH, Cast

__all__ = ["traders"]


def test_proposals_are_read_and_stale_ones_refused(traders: Cast, alice: Api, carla: Api):
    root, north = traders.aurora.root, traders.aurora.accounts["NORTH"]
    plan = read(alice.get(f"/rebalancing-proposals?account={root.id}&service=voice"))
    assert [standing["account"] for standing in plan["standings"]] == [north.id]
    assert plan["standings"][0]["held_units"] == 6000
    assert plan["transfers"] == []
    bucket = Bucket.objects.get(account=north, service=2, cycle_start=MARCH)
    wanted = {"bucket": bucket.id, "to": traders.aurora.accounts["SOUTH"].id, "units": 60}
    body = {"account": root.id, "service": "voice", "transfers": [wanted]}
    assert refusal(alice.post("/rebalancing-proposals", body), 422)["code"] == "stale"
    refusal(carla.post("/rebalancing-proposals", body), 400)  # the root is not hers


def test_how_all_stand_comes_in_pages_by_account(traders: Cast, alice: Api):
    accounts = traders.aurora.accounts
    given = {"bucket": Bucket.objects.get(account=traders.aurora.root, service=2, cycle_start=MARCH).id,
             "rows": [{"account": accounts["SOUTH"].id, "units": 600}]}  # fmt: skip
    read(alice.post("/allocations", given), 201)
    address, seen, after = f"/rebalancing-proposals?account={traders.aurora.root.id}&service=voice&limit=1", [], 0
    while after is not None:
        page = read(alice.get(f"{address}&after={after}"))
        seen += [standing["account"] for standing in page["standings"]]
        after = page["next_after"]
    assert seen == sorted([accounts["NORTH"].id, accounts["SOUTH"].id])
    refusal(alice.get(f"{address}1000"), 400)
