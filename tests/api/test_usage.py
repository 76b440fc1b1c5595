"""Usage over REST: what was sent, what became of it, and why it costs what it costs."""

from __future__ import annotations

import gzip
import json

from balances.models import UsageBatch
from balances.scope import Verb
from portal.charging import pipeline
from tests.api.client import BASE, Api, charge, read, refusal, used
from tests.cast import NOW, Cast, issue_token

PHONE = "emil phone"


def feed(cast: Cast, *verbs: Verb) -> Api:
    """A feed that reports Aurora's usage."""
    _, plain = issue_token(cast, cast.alice, *(verbs or (Verb.INGEST,)), enterprise=cast.aurora.enterprise)
    return Api.bearing(plain)


def test_a_feed_sends_usage_and_reads_what_became_of_each_record(cast: Cast) -> None:
    sender = feed(cast)
    records = [used(1), used(1), used(2, msisdn="4999900000001"), used(3, units=99)]
    accepted = read(sender.post("/usage-batches", {"source": "m-1", "records": records}), 202)
    batch = read(sender.get(f"/usage-batches/{accepted['id']}"))
    assert (batch["state"], batch["accepted"], batch["queued"]) == ("queued", 4, 4)
    pipeline.drain(cast.aurora.enterprise.id, clock=lambda: NOW)
    batch = read(sender.get(f"/usage-batches/{accepted['id']}"))
    assert (batch["state"], batch["charged"], batch["duplicate"], batch["suspended"]) == ("done", 2, 1, 1)
    first = read(sender.get(f"/usage-batches/{accepted['id']}/records", limit=3))
    charged, duplicate, suspended = first["results"]
    assert (charged["position"], charged["source_record_id"], charged["outcome"]) == (0, "cdr-1", "charged")
    assert duplicate["outcome"] == "duplicate"
    assert duplicate["usage_id"] == charged["usage_id"] is not None
    assert (suspended["outcome"], suspended["usage_id"], suspended["reason"]) == ("suspended", None, "unknown_line")
    assert suspended["suspense_id"]
    rest = read(sender.get(f"/usage-batches/{accepted['id']}/records", from_position=first["next_position"]))
    assert [(row["position"], row["outcome"]) for row in rest["results"]] == [(3, "charged")]
    assert rest["next_position"] is None
    only = read(sender.get(f"/usage-batches/{accepted['id']}/records", outcome="suspended"))
    assert [row["position"] for row in only["results"]] == [2]


def test_ndjson_and_gzip_are_taken_through_django_as_through_the_door(cast: Cast) -> None:
    sender = feed(cast)
    lines = "\n".join(json.dumps(used(number)) for number in range(3))
    response = sender.client.post(
        f"{BASE}/usage-batches?source=m-1",
        gzip.compress(lines.encode()),
        content_type="application/x-ndjson",
        headers={**sender.headers, "Content-Encoding": "gzip"},
    )
    assert read(response, 202)["accepted"] == 3


def test_a_delivery_that_cannot_be_read_is_refused_as_a_problem(cast: Cast) -> None:
    sender = feed(cast)
    refusal(sender.post("/usage-batches", {"records": []}), 400)
    error = refusal(sender.post("/usage-batches", {"source": "m", "records": [{"service": "data"}]}), 422)
    assert error["pointer"] == "/records/0/source_record_id"
    refusal(sender.client.post(f"{BASE}/usage-batches", "x", content_type="text/plain", headers=sender.headers), 415)
    refusal(Api.bearing("ent_nonsense").post("/usage-batches", {}), 401)
    refusal(feed(cast, Verb.VIEW).post("/usage-batches", {"source": "m", "records": [used(1)]}), 403)
    assert not UsageBatch.objects.exists()


def test_deliveries_are_seen_by_the_enterprise_and_by_nobody_else(cast: Cast, alice: Api, carla: Api) -> None:
    batch_id = charge(cast.aurora, used(1))
    assert [batch["id"] for batch in read(alice.get("/usage-batches"))["results"]] == [batch_id]
    refusal(carla.get(f"/usage-batches/{batch_id}"), 404)
    refusal(Api.of(cast, "bruno").get(f"/usage-batches/{batch_id}/records"), 404)
    assert read(carla.get("/usage-batches"))["results"] == []


def test_a_feed_for_several_enterprises_reads_its_own_deliveries(cast: Cast, olga: Api, alice: Api) -> None:
    _, plain = issue_token(cast, cast.olga, Verb.INGEST)
    sender = Api.bearing(plain)
    records = [used(1), used(2, msisdn=cast.borealis.lines["robot 1"].msisdn)]
    accepted = read(sender.post("/usage-batches", {"source": "m-1", "records": records}), 202)
    for house in (cast.aurora, cast.borealis):
        pipeline.drain(house.enterprise.id, clock=lambda: NOW)
    assert read(sender.get(f"/usage-batches/{accepted['id']}"))["charged"] == 2
    results = read(sender.get(f"/usage-batches/{accepted['id']}/records"))["results"]
    assert [row["source_record_id"] for row in results] == ["cdr-1", "cdr-2"]
    assert read(olga.get(f"/usage-batches/{accepted['id']}"))["enterprise"] is None
    refusal(alice.get(f"/usage-batches/{accepted['id']}"), 404)


def test_usage_is_listed_by_line_and_by_subtree_within_bounds(cast: Cast, alice: Api, carla: Api, emil: Api) -> None:
    late = used(3, started_at="2026-02-05T09:00:00+01:00")
    charge(cast.aurora, used(1), used(2, msisdn=cast.aurora.lines["press 7"].msisdn), late)
    line, north, south = cast.aurora.lines[PHONE].id, cast.aurora.accounts["NORTH"], cast.aurora.accounts["SOUTH"]

    def own_ids(api: Api, **query) -> list[str]:
        return [row["source_record_id"] for row in read(api.get("/usage-records", **query))["results"]]

    assert own_ids(emil, line=line) == ["cdr-1"]
    assert own_ids(emil, line=line, from_at="2026-02-01T00:00:00Z") == ["cdr-3", "cdr-1"]
    assert own_ids(carla, account=north.id) == ["cdr-1"]
    assert own_ids(alice, account=cast.aurora.root.id) == ["cdr-2", "cdr-1"]
    assert own_ids(alice, account=cast.aurora.root.id, service="voice") == []
    refusal(carla.get("/usage-records", account=south.id), 404)
    refusal(emil.get("/usage-records", account=north.id), 404)
    refusal(alice.get("/usage-records"), 400)
    wide = {"from_at": "2024-01-01T00:00:00Z", "until_at": "2026-01-01T00:00:00Z"}
    assert refusal(alice.get("/usage-records", line=line, **wide), 400)["code"] == "interval"


def test_a_charge_is_explained_as_far_as_the_reader_may_see(cast: Cast, alice: Api, emil: Api) -> None:
    charge(cast.aurora, used(1, units=2000))
    (row,) = read(alice.get("/usage-records", line=cast.aurora.lines[PHONE].id))["results"]
    explained = read(alice.get(f"/usage-records/{row['id']}"))
    assert (explained["units"], explained["charged_units"], explained["amount_micros"]) == (2000, 2048, 0)
    assert explained["path"][-1] == cast.aurora.root.id
    (stretch,) = explained["charge_lines"]
    assert sum(draw["units"] for draw in stretch["draws"]) == stretch["units"] == 2048
    assert "allowance" in stretch["reasons"]
    assert all(sentence.endswith(".") for sentence in stretch["explanation"])
    own = read(emil.get(f"/usage-records/{row['id']}"))
    assert set(own["path"]) == {None}
    assert [draw["bucket"] for draw in own["charge_lines"][0]["draws"]] == [None]
    refusal(Api.of(cast, "bruno").get(f"/usage-records/{row['id']}"), 404)


def test_counters_add_up_a_subtree(cast: Cast, alice: Api, carla: Api) -> None:
    charge(cast.aurora, used(1), used(2, msisdn=cast.aurora.lines["press 7"].msisdn))
    root, north, line = cast.aurora.root.id, cast.aurora.accounts["NORTH"].id, cast.aurora.lines[PHONE].id
    (cycle,) = read(alice.get("/counters", account=root))
    assert (cycle["used_units"], cycle["records"], cycle["zone"]) == (4096, 2, "home")
    (day,) = read(carla.get("/counters", account=north, grain="day"))
    assert (day["used_units"], day["period_start"]) == (2048, "2026-03-09T23:00:00Z")
    assert [counter["line"] for counter in read(carla.get("/counters", line=line))] == [line]
    refusal(carla.get("/counters", account=root), 404)
