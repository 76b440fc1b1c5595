"""Standing transfers over REST: made once for a key, run, read by both sides, ended by who gives."""

from __future__ import annotations

from datetime import timedelta

from balances import standing
from balances.models import StandingTransfer
from tests.api.client import Api, ids, read, refusal
from tests.api.test_offers import traders
from tests.cast import NOW, Cast

__all__ = ["traders"]


def test_a_standing_transfer_from_making_to_its_end(traders: Cast, carla: Api, dora: Api):
    north, south = traders.aurora.accounts["NORTH"].id, traders.aurora.accounts["SOUTH"].id
    body = {"account": north, "to": "SOUTH", "service": "voice", "units": 600, "day": 20}
    made = read(carla.post("/standing-transfers", body, **{"Idempotency-Key": "s"}), 201)
    assert read(carla.post("/standing-transfers", body, **{"Idempotency-Key": "s"}), 201) == made
    assert (made["to_account"], made["on_shortage"], made["state"]) == (south, "skip", "active")
    standing.run_due(actor="beat", at=NOW + timedelta(days=6))
    runs = read(dora.get(f"/standing-transfers/{made['id']}/runs"))["results"]
    assert [(run["outcome"], run["units"]) for run in runs] == [("moved", 600)]
    assert set(runs[0]["trades"]) == ids(dora.get("/trades"))
    refusal(dora.post(f"/standing-transfers/{made['id']}/end"), 403)
    assert read(carla.post(f"/standing-transfers/{made['id']}/end"))["state"] == "ended"
    refusal(carla.post(f"/standing-transfers/{made['id']}/resume"), 422)
    refusal(carla.post("/standing-transfers", {**body, "to": "NOWHERE"}), 400)
    assert StandingTransfer.objects.count() == 1
