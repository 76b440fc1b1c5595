"""The door of usage, ahead of Django: what it takes, what it turns away and why, and for how long it knows a token."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterable

import pytest
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone

from balances.models import UsageBatch, UsagePart, UsageRecord
from balances.scope import Verb
from portal import tokens
from portal.api import usage_door
from portal.asgi import application
from portal.charging import ingest, pipeline
from portal.models import ApiToken, Membership
from tests.api.asgi import Answer, call
from tests.api.client import used
from tests.cast import NOW, Cast, bearer, build, issue_token

PATH = "/api/v1/usage-batches"
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
GZIP = {"Content-Encoding": "gzip"}

#: The door works in threads of its own, which see only what has been committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def committed() -> Cast:
    """The cast, as other threads see it."""
    return build()


@pytest.fixture
def known(committed: Cast) -> dict[str, str]:
    """The headers of a feed that may send Aurora's usage."""
    return bearer(issue_token(committed, committed.alice, Verb.INGEST, enterprise=committed.aurora.enterprise)[1])


def delivery(*records: dict, source: str = "m-1") -> bytes:
    """A JSON body."""
    return json.dumps({"source": source, "records": records}).encode()


def send(body: bytes | Iterable[bytes], headers: dict[str, str], query: str = "", **how) -> Answer:
    """A delivery at the door."""
    chunks = [body] if isinstance(body, bytes) else body
    return call(application, "POST", PATH + query, headers=JSON | headers, body=chunks, **how)


def test_a_delivery_is_durable_when_it_is_accepted(committed: Cast, known: dict[str, str]) -> None:
    body = delivery(used(1), used(2))
    answer = send([body[:50], body[50:51], body[51:]], known)
    accepted = answer.json()
    assert (answer.status, accepted["accepted"], accepted["state"]) == (202, 2, "queued")
    assert answer.headers["location"] == accepted["href"] == f"{PATH}/{accepted['id']}"
    part = UsagePart.objects.select_related("batch").get()
    assert (str(part.batch.pk), part.record_count, part.state) == (accepted["id"], 2, "queued")
    assert part.batch.accepted_by.endswith(" Mediation")
    assert ApiToken.objects.get(name="Mediation").last_used_at is not None
    pipeline.drain(committed.aurora.enterprise.id, clock=lambda: NOW)
    assert UsageRecord.objects.count() == 2


def test_lines_of_json_and_gzip_are_taken(known: dict[str, str]) -> None:
    lines = "\n".join(json.dumps(used(number)) for number in range(3)).encode() + b"\n\n"
    assert send(lines, known | NDJSON, "?source=m-1").json()["accepted"] == 3
    assert send(gzip.compress(lines), known | NDJSON | GZIP, "?source=m-1").json()["accepted"] == 3
    assert send(gzip.compress(delivery(used(1))), known | GZIP).json()["accepted"] == 1


def test_a_bad_value_does_not_keep_its_neighbours_out(committed: Cast, known: dict[str, str]) -> None:
    answer = send(delivery(used(1), used(2, units=-5), used(3, service="fax")), known)
    assert answer.json()["accepted"] == 3
    pipeline.drain(committed.aurora.enterprise.id, clock=lambda: NOW)
    part = UsagePart.objects.get()
    assert (part.outcomes, part.charged_count, part.suspended_count) == ("css", 1, 2)


MOST = settings.USAGE_BATCH_MOST_RECORDS
FULL = delivery(used(1))
NO_ID = {key: value for key, value in used(2).items() if key != "source_record_id"}
BOMB = gzip.compress(b" " * (settings.USAGE_BATCH_MOST_BYTES + 1))

#: What is sent, headers, query; the status and the pointer (or title) that must come back.
REFUSED = {
    "not JSON": (b"{nonsense", {}, "", 400, "Not readable"),
    "JSON, but no delivery": (b"[]", {}, "", 400, "Not readable"),
    "no source": (b'{"records": []}', {}, "", 400, "Not readable"),
    "a source of blanks": (delivery(used(1), source="  "), {}, "", 422, "/source"),
    "a source that is too long": (delivery(used(1), source="m" * 61), {}, "", 422, "/source"),
    "lines without a source": (json.dumps(used(1)).encode(), NDJSON, "", 422, "/source"),
    "no records": (delivery(), {}, "", 422, "No records"),
    "no lines": (b"\n \n", NDJSON, "?source=m-1", 422, "No records"),
    "a record without an id": (delivery(used(1), NO_ID), {}, "", 422, "/records/1/source_record_id"),
    "a record that is no object": (delivery(used(1), 7), {}, "", 422, "/records/1/record"),
    "an id of controls": (delivery(used(1, source_record_id="a\nb")), {}, "", 422, "/records/0/source_record_id"),
    "one record too many": (delivery(*[used(n) for n in range(MOST + 1)]), {}, "", 413, "Too many records"),
    "gzip that is cut off": (gzip.compress(FULL)[:-9], GZIP, "", 400, "Not gzip"),
    "gzip that is none": (FULL, GZIP, "", 400, "Not gzip"),
    "a small body that unpacks to a huge one": (BOMB, GZIP, "", 413, "Too large"),
    "a body that says it is too long": (FULL, {"Content-Length": str(10**9)}, "", 413, "Too large"),
    "another packing": (FULL, {"Content-Encoding": "br"}, "", 415, "Encoding not known"),
    "another media type": (FULL, {"Content-Type": "text/plain"}, "", 415, "Media type not known"),
}


def test_what_cannot_be_taken_is_refused_whole_with_a_reason(known: dict[str, str]) -> None:
    for name, (body, headers, query, status, where) in REFUSED.items():
        answer = send(body, known | headers, query)
        problem = answer.json()
        assert (answer.status, problem["status"]) == (status, status), (name, problem)
        assert answer.headers["content-type"] == "application/problem+json", name
        assert where in (problem["title"], problem.get("errors", [{}])[0].get("pointer")), (name, problem)
        assert problem["detail"], name
    assert not UsageBatch.objects.exists()


def test_a_body_without_end_is_not_kept_in_memory(known: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "USAGE_BATCH_MOST_BYTES", 1_000)
    assert send([b" " * 600] * 3, known).status == 413


def test_only_who_may_send_is_let_in(committed: Cast) -> None:
    enterprise, north = committed.aurora.enterprise, committed.aurora.accounts["NORTH"]
    body = delivery(used(1))
    for headers in ({}, bearer("ent_nonsense"), {"Authorization": "Basic YTpi"}):
        answer = send(body, headers)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    looks_only = issue_token(committed, committed.alice, Verb.VIEW, enterprise=enterprise)
    part_only = issue_token(committed, committed.alice, Verb.INGEST, enterprise=enterprise, account=north)
    for _, plain in (looks_only, part_only):
        assert send(body, bearer(plain)).status == 403
    assert not UsageBatch.objects.exists()


def test_numbers_of_another_enterprise_are_nobodys_to_a_feed(committed: Cast, known: dict[str, str]) -> None:
    foreign = committed.borealis.lines["robot 1"].msisdn
    assert send(delivery(used(1, msisdn=foreign)), known).status == 202
    part = UsagePart.objects.get()
    assert part.enterprise_id == committed.aurora.enterprise.id
    pipeline.drain(committed.aurora.enterprise.id, clock=lambda: NOW)
    part.refresh_from_db()
    assert part.outcomes == "s"


def test_a_revoked_token_is_known_no_longer_than_promised(committed: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_door, "TOKEN_SECONDS", 0.05)
    token, plain = issue_token(committed, committed.alice, Verb.INGEST, enterprise=committed.aurora.enterprise)
    assert send(delivery(used(1)), bearer(plain)).status == 202
    tokens.revoke(token=token, actor="user:1 Alice Arden", at=timezone.now())
    time.sleep(0.06)
    assert send(delivery(used(2)), bearer(plain)).status == 401


def test_a_token_sends_no_longer_than_its_maker_may(committed: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_door, "TOKEN_SECONDS", 0.05)
    _, plain = issue_token(committed, committed.alice, Verb.INGEST, enterprise=committed.aurora.enterprise)
    assert send(delivery(used(1)), bearer(plain)).status == 202
    Membership.objects.filter(user=committed.alice).delete()
    time.sleep(0.06)
    assert send(delivery(used(2)), bearer(plain)).status == 403


def test_the_door_says_later_instead_of_keeping_senders_waiting(
    known: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_door, "MOST_WAITING", 0)
    answer = send(delivery(used(1)), known)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_senders_that_stall_or_leave_are_let_go(known: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_door, "BODY_SECONDS", 0.05)
    assert send(b'{"source"', known, ends="never").status == 408
    assert send(b'{"source"', known, ends="disconnect").status == 400
    assert usage_door._waiting == 0


def test_without_a_database_nothing_is_accepted(known: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(**delivery: object) -> None:
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(ingest, "accept", gone)
    answer = send(delivery(used(1)), known)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert "connection is lost" not in answer.json()["detail"]
