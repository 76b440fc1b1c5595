"""Zones, contracts, versions and thresholds over REST: the operator writes, the enterprise reads."""

from __future__ import annotations

from balances.models import Bucket
from tests.api.client import Api, charge, ids, read, refusal, used
from tests.cast import RATES, Cast


def test_a_contract_is_made_drafted_and_published(cast: Cast, olga: Api, alice: Api) -> None:
    enterprise = read(olga.post("/enterprises", {"name": "Corona SE", "number": "C-3000"}), 201)["id"]
    olga = Api.of(cast, "olga")  # her reach has grown
    body = {
        "enterprise": enterprise,
        "number": "C-1",
        "starts_at": "2026-03-01T00:00:00+01:00",
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
        "cycle_anchor_day": 1,
    }
    contract = read(olga.post("/contracts", body), 201)
    assert refusal(olga.post("/contracts", body | {"number": "C-2"}), 422)["pointer"] == "/starts_at"
    draft = {"effective_at": "2026-03-01T00:00:00+01:00", "note": "First"}
    version = read(olga.post(f"/contracts/{contract['id']}/versions", draft), 201)
    address = f"/versions/{version['id']}"
    refusal(olga.post(f"{address}/publish"), 422)
    data = {"name": "Data", "service": "data", "granted_units": 1024, "zones": [cast.zones["home"].id]}
    read(olga.post(f"{address}/allowances", data), 201)
    for (service, code), (increment, minimum, price, block) in RATES.items():
        rate = {
            "service": service.name.lower(),
            "zone": cast.zones[code].id,
            "increment_units": increment,
            "minimum_units": minimum,
            "overage_price_micros": price,
            "overage_block_units": block,
        }
        read(olga.put(f"{address}/rates", rate))
    assert len(read(olga.get(f"{address}/rates"))["results"]) == len(RATES)
    assert read(olga.post(f"{address}/publish"))["state"] == "published"
    assert Bucket.objects.get(enterprise_id=enterprise).granted_units == 1024
    assert refusal(olga.post(f"{address}/allowances", data), 422)["code"] == "published"
    refusal(alice.get(f"/contracts/{contract['id']}"), 404)


def test_an_enterprise_reads_its_terms_but_neither_drafts_nor_changes(cast: Cast, olga: Api, alice: Api) -> None:
    house = cast.aurora
    assert ids(alice.get("/contracts")) == {house.contract.id}
    copied = {"effective_at": "2026-04-01T00:00:00+02:00", "copy_from": house.version.id}
    draft = read(olga.post(f"/contracts/{house.contract.id}/versions", copied), 201)
    assert ids(alice.get(f"/contracts/{house.contract.id}/versions")) == {house.version.id}
    assert ids(olga.get(f"/contracts/{house.contract.id}/versions")) == {house.version.id, draft["id"]}
    refusal(alice.get(f"/versions/{draft['id']}"), 404)
    assert len(read(alice.get(f"/versions/{house.version.id}/allowances"))["results"]) == 4
    refusal(alice.post(f"/contracts/{house.contract.id}/versions", copied), 403)
    refusal(alice.post(f"/versions/{house.version.id}/publish"), 403)
    foreign = copied | {"copy_from": cast.borealis.version.id}
    error = refusal(olga.post(f"/contracts/{house.contract.id}/versions", foreign), 400)
    assert error["pointer"] == "/copy_from"


def test_an_allowance_is_taken_out_of_a_draft_only(cast: Cast, olga: Api) -> None:
    house = cast.aurora
    body = {"effective_at": "2026-04-01T00:00:00+02:00", "copy_from": house.version.id}
    draft = read(olga.post(f"/contracts/{house.contract.id}/versions", body), 201)["id"]
    first = read(olga.get(f"/versions/{draft}/allowances"))["results"][0]["id"]
    read(olga.delete(f"/allowances/{first}"), 204)
    assert len(read(olga.get(f"/versions/{draft}/allowances"))["results"]) == 3
    published = house.version.allowances.first().id
    assert refusal(olga.delete(f"/allowances/{published}"), 422)["code"] == "published"


def test_zones_are_the_operators(cast: Cast, olga: Api, alice: Api) -> None:
    assert ids(alice.get("/zones")) == {zone.id for zone in cast.zones.values()}
    body = {"code": "alps", "name": "Alps", "networks": ["22801"]}
    refusal(alice.post("/zones", body), 403)
    made = read(olga.post("/zones", body), 201)
    assert refusal(olga.post("/zones", body), 422)["pointer"] == "/code"
    assert read(alice.get(f"/zones/{made['id']}"))["networks"] == ["22801"]


def test_units_are_whole_numbers(cast: Cast, olga: Api) -> None:
    version = cast.aurora.version.id
    for wrong in ("1024", 10.5, True, -1, 2**60):
        body = {"name": "Data", "service": "data", "granted_units": wrong}
        assert refusal(olga.post(f"/versions/{version}/allowances", body), 400)["pointer"] == "/granted_units"


def test_thresholds_are_set_read_and_removed_in_reach(cast: Cast, alice: Api, carla: Api, dora: Api) -> None:
    field, plant = cast.aurora.accounts["N-FIELD"].id, cast.aurora.accounts["S-PLANT"].id
    made = read(carla.post("/thresholds", {"account": field, "service": "data", "units": 1000}), 201)
    assert (made["service"], made["units"], made["percent"]) == ("data", 1000, None)
    assert refusal(carla.post("/thresholds", {"account": plant, "service": "data", "units": 1}), 400)["pointer"] == (
        "/account"
    )
    assert refusal(carla.post("/thresholds", {"account": field, "service": "data"}), 422)["pointer"] == "/percent"
    refusal(dora.get(f"/thresholds/{made['id']}"), 404)
    charge(cast.aurora, used(1))
    (crossing,) = read(carla.get("/crossings", threshold=made["id"]))["results"]
    assert (crossing["level_units"], crossing["used_units"], crossing["account"]) == (1000, 2048, field)
    assert read(alice.get(f"/crossings/{crossing['id']}")) == crossing
    refusal(dora.get(f"/crossings/{crossing['id']}"), 404)
    refusal(dora.delete(f"/thresholds/{made['id']}"), 403)
    read(carla.delete(f"/thresholds/{made['id']}"), 204)
    refusal(alice.get(f"/thresholds/{made['id']}"), 404)
