"""Usage over REST: what was sent, what became of it, and why it costs what it costs."""

from __future__ import annotations

import gzip
import json

from balances.models import UsageBatch
from balances.scope import Verb
from balances.units import GIB, KIB
from portal.charging import pipeline
from tests.api.client import BASE, Api, charge, read, refusal, used
from tests.cast import DATA_UNITS, NOW, Cast, issue_token

PHONE = "emil phone"
UNKNOWN = "4999900000001"


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


def test_a_delivery_for_several_enterprises_shows_each_its_own_part(
    cast: Cast, olga: Api, alice: Api, carla: Api
) -> None:
    _, plain = issue_token(cast, cast.olga, Verb.INGEST)
    sender = Api.bearing(plain)
    records = [used(1, msisdn=cast.borealis.lines["robot 1"].msisdn), used(2), used(3, msisdn=UNKNOWN)]
    accepted = read(sender.post("/usage-batches", {"source": "m-1", "records": records}), 202)
    address = f"/usage-batches/{accepted['id']}"
    pipeline.drain(cast.aurora.enterprise.id, clock=lambda: NOW)
    assert read(sender.get(address))["state"] == "partly"
    pipeline.drain(cast.borealis.enterprise.id, clock=lambda: NOW)
    pipeline.drain(None, clock=lambda: NOW)

    def seen_by(api: Api) -> tuple[int, int, int, list[int]]:
        batch = read(api.get(address))
        rows = read(api.get(f"{address}/records"))["results"]
        return batch["accepted"], batch["charged"], batch["suspended"], [row["position"] for row in rows]

    assert seen_by(sender) == seen_by(olga) == (3, 2, 1, [0, 1, 2])
    assert seen_by(alice) == (1, 1, 0, [1])
    assert seen_by(Api.of(cast, "bruno")) == (1, 1, 0, [0])
    assert [batch["accepted"] for batch in read(alice.get("/usage-batches"))["results"]] == [1]
    refusal(carla.get(address), 404)
    refusal(feed(cast, Verb.MANAGE).get(address), 403)


def test_an_id_sent_again_leads_to_what_it_was_at_first(cast: Cast, alice: Api) -> None:
    charge(cast.aurora, used(1), used(2, msisdn=UNKNOWN))
    batch_id = charge(cast.aurora, used(1), used(1, units=4096), used(2, msisdn=UNKNOWN))
    again, other, waiting = read(alice.get(f"/usage-batches/{batch_id}/records"))["results"]
    (charged,) = read(alice.get("/usage-records", account=cast.aurora.root.id))["results"]
    assert (again["outcome"], again["usage_id"]) == ("duplicate", charged["id"])
    assert (other["outcome"], other["reason"]) == ("suspended", "conflict")
    assert "with other content (charged)" in other["detail"], "no id: what was first may be a person's own"
    first = read(alice.get("/suspense", reason="unknown_line"))["results"][0]
    assert (waiting["outcome"], waiting["usage_id"], waiting["suspense_id"]) == ("duplicate", None, first["id"])


def test_pages_of_outcomes_follow_on_from_each_other(cast: Cast, alice: Api) -> None:
    batch_id = charge(cast.aurora, *[used(number) for number in range(7)])
    seen, position = [], 0
    while position is not None:
        page = read(alice.get(f"/usage-batches/{batch_id}/records", from_position=position, limit=3))
        seen += [row["position"] for row in page["results"]]
        position = page["next_position"]
    assert seen == list(range(7))
    refusal(alice.get(f"/usage-batches/{batch_id}/records", limit=0), 400)
    refusal(alice.get(f"/usage-batches/{batch_id}/records", outcome="lost"), 400)


def test_a_lines_balances_say_what_serves_it_and_what_it_used(cast: Cast, alice: Api, emil: Api, dora: Api) -> None:
    charge(cast.aurora, used(1, units=3 * GIB), used(2, units=2048, visited_network="310"))
    address = f"/lines/{cast.aurora.lines[PHONE].id}/balances"
    shown = read(alice.get(address))
    assert (shown["cycle"]["starts_at"], shown["currency"]) == ("2026-02-28T23:00:00Z", "EUR")
    assert shown["charge_sequence"] > 0
    data = next(service for service in shown["services"] if service["service"] == "data")
    # Abroad, data is counted in steps of 100 KiB, which no allowance covers: 0.25 EUR a MiB.
    abroad = 100 * KIB
    assert (data["used_units"], data["overage_units"], data["amount_micros"]) == (3 * GIB + abroad, abroad, 24_414)
    assert data["remaining_units"] == DATA_UNITS - 3 * GIB
    assert [read(alice.get(f"/buckets/{bucket}"))["account"] for bucket in data["buckets"]] == [cast.aurora.root.id]
    own = read(emil.get(address))
    assert own["draws_unseen"]
    assert [(service["used_units"], service["buckets"]) for service in own["services"]] == [(3 * GIB + abroad, [])]
    refusal(dora.get(address), 404)
    refusal(Api.of(cast, "bruno").get(address), 404)


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
