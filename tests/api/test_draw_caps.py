"""Draw caps over REST."""

from __future__ import annotations

from balances.models import ChargeLine, DrawCap
from tests.api.client import Api, charge, ids, read, refusal, used
from tests.cast import Cast


def test_a_cap_is_set_counts_is_succeeded_and_removed(cast: Cast, carla: Api, alice: Api) -> None:
    north = cast.aurora.accounts["NORTH"].id
    cap = read(carla.post("/draw-caps", {"account": north, "service": "voice", "units": 100}), 201)
    assert (cap["units"], cap["drawn_units"]) == (100, 0)
    charge(cast.aurora, used(1, service="voice", units=130))
    line = ChargeLine.objects.get()
    assert (line.overage_units, line.reasons) == (30, f"partly capped:{north}")
    explained = read(alice.get(f"/usage-records/{line.usage_id}"))
    assert f"Account {north} has drawn as much" in str(explained)
    assert read(carla.get(f"/draw-caps/{cap['id']}"))["drawn_units"] == 100
    more = read(carla.post("/draw-caps", {"account": north, "service": "voice", "units": 150}), 201)
    assert (more["drawn_units"], read(carla.get(f"/draw-caps/{cap['id']}"))["drawn_units"]) == (100, None)
    assert ids(carla.get("/draw-caps", account=north, is_retired="false")) == {more["id"]}
    assert carla.delete(f"/draw-caps/{more['id']}").status_code == 204
    assert not DrawCap.objects.filter(retired_at=None).exists()


def test_what_cannot_be_or_is_out_of_reach_is_refused(cast: Cast, carla: Api, dora: Api, alice: Api) -> None:
    root, south = cast.aurora.root.id, cast.aurora.accounts["SOUTH"].id
    body = {"service": "data", "units": 5}
    assert refusal(carla.post("/draw-caps", {"account": south, **body}), 400)["pointer"] == "/account"
    assert refusal(alice.post("/draw-caps", {"account": root, **body}), 422)["pointer"] == "/account"
    assert refusal(alice.post("/draw-caps", body), 422)["pointer"] == "/account"
    refusal(dora.post("/draw-caps", {"account": south, **body}), 403)
    cap = read(alice.post("/draw-caps", {"account": south, **body}), 201)
    refusal(carla.delete(f"/draw-caps/{cap['id']}"), 404)
    refusal(dora.delete(f"/draw-caps/{cap['id']}"), 403)
