"""Exchange over REST: rates by the operator, exchange by the manager."""

from __future__ import annotations

from datetime import timedelta

from balances.units import GIB
from tests.api.client import Api, ids, read, refusal
from tests.api.test_allocations import voice
from tests.cast import MARCH, NOW, VOICE_UNITS, Cast


def rated(cast: Cast, olga: Api) -> dict:
    body = {"effective_at": (NOW - timedelta(days=1)).isoformat(), "copy_from": cast.aurora.version.id}
    draft = read(olga.post(f"/contracts/{cast.aurora.contract.id}/versions", body), 201)
    address = f"/versions/{draft['id']}/exchange-rates"
    rate = {"from_service": "voice", "to_service": "data", "from_units": 600, "to_units": GIB}
    read(olga.put(address, {**rate, "to_units": 5}))
    made = read(olga.put(address, rate))
    other = read(olga.put(address, {**rate, "to_service": "messaging"}))
    assert olga.delete(f"/exchange-rates/{other['id']}").status_code == 204
    assert ids(olga.get(address)) == {made["id"]}
    read(olga.post(f"/versions/{draft['id']}/publish"))
    return made


def test_units_are_exchanged_at_the_contracts_rate_once(cast: Cast, alice: Api, carla: Api, olga: Api) -> None:
    bucket = voice(cast)
    body = {"bucket": bucket.id, "service": "data", "units": 660}
    assert refusal(alice.post("/exchanges", body), 422)["code"] == "no_rate"
    rated(cast, olga)
    quote = read(alice.post("/exchanges", body | {"dry_run": True}))
    assert (quote["given_units"], quote["received_units"]) == (660, 660 * GIB // 600)
    key = {"Idempotency-Key": "swap"}
    done = read(alice.post("/exchanges", body, **key), 201)
    assert read(alice.post("/exchanges", body, **key), 201) == done
    assert read(alice.get(f"/buckets/{bucket.id}"))["remaining_units"] == VOICE_UNITS - 660
    target = read(alice.get(f"/buckets/{done['to_bucket']}"))
    assert (target["kind"], target["service"], target["cycle_start"][:10]) == ("exchange", "data", str(MARCH.date()))
    entries = read(alice.get(f"/buckets/{target['id']}/entries"))["results"]
    assert [entry["sentence"] for entry in entries] == ["Received in exchange for another service."]
    assert ids(alice.get("/exchanges", from_bucket=bucket.id)) == {done["id"]}
    refusal(carla.post("/exchanges", body), 400)
    refusal(carla.get(f"/exchanges/{done['id']}"), 404)
