"""POST /api/v1/usage-batches: usage comes in, ahead of Django's middleware.

Owns: reading the request (JSON or NDJSON, gzip accepted), the token, the answer. The reading and writing are the same
functions that files use. Answers 202 only after the delivery is durable; 503 with Retry-After when too many wait.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import parse_qs

import msgspec
import structlog
from django.conf import settings
from django.db import Error, connections

from balances.scope import Scope, Verb
from portal import tokens
from portal.access import scope_of_token
from portal.api.problems import problem_response
from portal.charging import ingest, records

log = structlog.get_logger(__name__)

#: Deliveries being read or written at a time, and those that may wait for it, before the door says "later".
THREADS, MOST_WAITING = 4, 64
#: A token's reach is asked anew after so many seconds: a revoked one works no longer than that.
TOKEN_SECONDS = 3.0
MOST_KNOWN_TOKENS = 1_000
#: A client has so long to send its body.
BODY_SECONDS = 60

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="usage-door")
_waiting = 0
_known_tokens: dict[str, tuple[float, _Caller]] = {}


class _Caller(msgspec.Struct, frozen=True):
    """What the door needs to know of a token."""

    name: str
    operator_id: int
    enterprise_id: int | None
    scope: Scope


class _Body(msgspec.Struct):
    """The JSON body; `records` stays raw until it is known to be wanted."""

    source: str
    records: msgspec.Raw


class _Problem(Exception):
    """An answer other than 202."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        errors: list[dict[str, str]] | None = None,
        *,
        headers: dict[str, str] | None = None,
    ):
        self.status, self.title, self.detail, self.errors = status, title, detail, errors
        self.headers = headers or {}


_read_body = msgspec.json.Decoder(_Body)


async def accept_usage(scope, receive, send) -> None:
    """The ASGI callable of the door."""
    global _waiting
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    extra: dict[str, str] = {}
    try:
        if _waiting >= MOST_WAITING:
            raise _Problem(
                503, "Busy", "Too many deliveries are waiting. Try again shortly.", headers={"retry-after": "1"}
            )
        _waiting += 1
        try:
            body = await asyncio.wait_for(_receive_body(headers, receive), BODY_SECONDS)
            query = parse_qs(scope["query_string"].decode("latin-1"))
            work = asyncio.get_running_loop().run_in_executor(_threads, _accept_and_close, headers, query, body)
            answer = await work
        finally:
            _waiting -= 1
        status, content = 202, msgspec.json.encode(answer)
        extra = {"content-type": "application/json", "location": answer["href"]}
    except TimeoutError:
        problem = _Problem(408, "Too slow", f"The body did not arrive within {BODY_SECONDS} seconds.")
        status, extra, content = _answer(problem)
    except _Problem as problem:
        status, extra, content = _answer(problem)
    raw_headers = [(name.encode(), value.encode()) for name, value in extra.items()]
    raw_headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw_headers})
    await send({"type": "http.response.body", "body": content})


def _answer(problem: _Problem) -> tuple[int, dict[str, str], bytes]:
    headers, content = problem_response(problem.status, problem.title, problem.detail, problem.errors or [])
    return problem.status, {**dict(headers), **problem.headers}, content


async def _receive_body(headers: dict[str, str], receive) -> bytes:
    """The request's body, bounded."""
    most = settings.USAGE_BATCH_MOST_BYTES
    too_large = _Problem(413, "Too large", f"A delivery may have at most {most:,} bytes; send several.")
    if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > most:
        raise too_large
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Problem(400, "Incomplete", "The connection ended before the body did.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise too_large
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _accept_and_close(headers: dict[str, str], query: dict[str, list[str]], body: bytes) -> dict:
    """Accept in a thread of the door's own; its database connection goes back to the pool."""
    try:
        return accept_body(headers, query, body, at=datetime.now(UTC))
    except Error as error:
        log.warning("usage_door.database", error=str(error))
        raise _Problem(
            503,
            "Unavailable",
            "The database did not answer. Send it again as it is: records that were accepted are not charged twice.",
            headers={"retry-after": "2"},
        ) from error
    finally:
        connections.close_all()


def answer(headers: dict[str, str], query: dict[str, list[str]], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """The door's whole answer for requests that reach Django all the same: status, headers, content."""
    try:
        if len(body) > settings.USAGE_BATCH_MOST_BYTES:
            raise _Problem(413, "Too large", f"A delivery may have at most {settings.USAGE_BATCH_MOST_BYTES:,} bytes.")
        accepted = accept_body(headers, query, body, at=datetime.now(UTC))
    except _Problem as problem:
        return _answer(problem)
    return 202, {"content-type": "application/json", "location": accepted["href"]}, msgspec.json.encode(accepted)


def accept_body(headers: dict[str, str], query: dict[str, list[str]], body: bytes, *, at: datetime) -> dict:
    """The door's work, without ASGI: token, body, durable acceptance; returns the answer's content."""
    caller = _caller(headers.get("authorization", ""))
    body = _inflate(headers.get("content-encoding", ""), body)
    source, usages = _read(headers.get("content-type", ""), query, body)
    delivery = ingest.Delivery(
        operator_id=caller.operator_id,
        enterprise_id=_enterprise(caller),
        source_id=ingest.source(operator_id=caller.operator_id, name=source),
        accepted_by=caller.name,
        among=tuple(sorted(caller.scope.whole_enterprise_ids(Verb.INGEST))),
    )
    batch_id = ingest.accept(delivery=delivery, usages=usages, at=at)
    return {
        "id": str(batch_id),
        "href": f"/api/v1/usage-batches/{batch_id}",
        "accepted": len(usages),
        "state": "queued",
    }


def _caller(authorization: str) -> _Caller:
    """Who calls, from the bearer token; known for a few seconds."""
    scheme, _, plain = authorization.partition(" ")
    plain = plain.strip()
    if scheme.lower() != "bearer" or not plain:
        raise _Problem(
            401, "No token", "Send “Authorization: Bearer <token>”; tokens are made in the portal.",
            headers={"www-authenticate": "Bearer"},
        )  # fmt: skip
    now = time.monotonic()
    known = _known_tokens.get(plain)
    if known is None or known[0] < now:
        token = tokens.find(plain)
        if token is None:
            _known_tokens.pop(plain, None)
            raise _Problem(
                401,
                "Unknown token",
                "This token is unknown, revoked or expired.",
                headers={"www-authenticate": "Bearer"},
            )
        tokens.touch(token, at=datetime.now(UTC))
        caller = _Caller(
            f"token:{token.pk} {token.name}", token.operator_id, token.enterprise_id, scope_of_token(token)
        )
        if len(_known_tokens) >= MOST_KNOWN_TOKENS:
            _known_tokens.clear()
        known = _known_tokens[plain] = (now + TOKEN_SECONDS, caller)
    if not known[1].scope.whole_enterprise_ids(Verb.INGEST):
        raise _Problem(
            403,
            "Not allowed",
            "This token may not send usage: it needs the verb “ingest” on a whole enterprise.",
        )
    return known[1]


def _enterprise(caller: _Caller) -> int | None:
    """The enterprise that all records belong to; None where the caller reports for several."""
    if caller.enterprise_id is not None:
        return caller.enterprise_id
    reach = caller.scope.whole_enterprise_ids(Verb.INGEST)
    return next(iter(reach)) if len(reach) == 1 and not caller.scope.operator_ids else None


def _inflate(encoding: str, body: bytes) -> bytes:
    """The body as sent, with gzip undone, bounded: a small body may not become a huge one."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip":
            most = settings.USAGE_BATCH_MOST_BYTES
            inflater = zlib.decompressobj(wbits=31)
            try:
                inflated = inflater.decompress(body, most + 1)
            except zlib.error as error:
                raise _Problem(400, "Not gzip", f"The body cannot be unpacked as gzip: {error}.") from None
            if len(inflated) > most:
                raise _Problem(413, "Too large", f"Unpacked, a delivery may have at most {most:,} bytes; send several.")
            if not inflater.eof:
                raise _Problem(400, "Not gzip", "The gzip body is cut off. Nothing was accepted; send it again.")
            return inflated
        case _:
            raise _Problem(415, "Encoding not known", f"Content-Encoding “{encoding}” is not known; use gzip or none.")


def _read(content_type: str, query: dict[str, list[str]], body: bytes) -> tuple[str, list[records.Usage]]:
    """Source name and records of a body, by its media type."""
    media_type = content_type.partition(";")[0].strip().lower()
    try:
        match media_type:
            case "application/json" | "":
                read = _read_body.decode(body)
                source, usages = read.source, records.read_json(read.records)
            case "application/x-ndjson" | "application/ndjson" | "application/jsonl":
                source = (query.get("source") or [""])[0]
                usages = _read_lines(body)
            case _:
                raise _Problem(
                    415,
                    "Media type not known",
                    f"“{media_type}” is not known; send application/json or application/x-ndjson.",
                )
    except records.RecordErrors as error:
        errors = [
            {"pointer": f"/records/{index}/{field}".rstrip("/"), "code": "unidentifiable", "detail": message}
            for index, field, message in error.errors
        ]
        raise _Problem(422, "Records without identity", error.message, errors) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        example = "{“source”: “…”, “records”: [{…}, …]}"
        raise _Problem(400, "Not readable", f"The body is not {example}: {error}. Nothing was accepted.") from None
    source = source.strip()
    if not 1 <= len(source) <= 60 or "\x00" in source:
        detail = "Name the source: “source” in the JSON body, or ?source= with NDJSON; 1 to 60 characters."
        raise _Problem(422, "No source", detail, [{"pointer": "/source", "code": "required", "detail": detail}])
    try:
        ingest.refuse_reserved(source)
    except ingest.ReservedSource as refusal:
        error = {"pointer": "/source", "code": "reserved_source", "detail": refusal.message}
        raise _Problem(422, "Refused", refusal.message, [error]) from None
    most = settings.USAGE_BATCH_MOST_RECORDS
    if not usages:
        raise _Problem(422, "No records", "A delivery needs at least one record.")
    if len(usages) > most:
        raise _Problem(413, "Too many records", f"{len(usages):,} records; at most {most:,} a delivery. Send several.")
    return source, usages


def _read_lines(body: bytes) -> list[records.Usage]:
    """NDJSON: one record a line; blank lines are passed over."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > settings.USAGE_BATCH_MOST_RECORDS:
        raise _Problem(413, "Too many records", f"{len(lines):,} lines; at most {settings.USAGE_BATCH_MOST_RECORDS:,}.")
    return records.read_json(b"[" + b",".join(lines) + b"]")
