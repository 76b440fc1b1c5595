"""GET /healthz and /readyz, ahead of Django: is this process alive; can the whole product do its work.

Owns: what "ready" means, each part named. Every look has a time limit, so that a probe never hangs on what it probes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cache

import msgspec
import redis
from django.conf import settings
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from redis.backoff import NoBackoff
from redis.retry import Retry

LOOK_SECONDS = 3
#: Heartbeats are sent every five seconds; a part that has missed three of them is taken for dead.
DEAD_AFTER_SECONDS = 20


class NotReady(Exception):
    """A part cannot do its work; the text says why."""


async def healthz(scope, receive, send) -> None:
    """200 as long as this process answers."""
    await _answer(send, 200, {"status": "alive"})


async def readyz(scope, receive, send) -> None:
    """200 when every part is ready, else 503; the parts are named, each with what it lacks."""
    looks = {"database": _database, "migrations": _migrations, "redis": _redis, "workers": _workers, "beat": _beat}
    states = await asyncio.gather(*(_look(look) for look in looks.values()))
    parts = dict(zip(looks, states, strict=True))
    ready = all(state == "ok" for state in states)
    await _answer(send, 200 if ready else 503, {"status": "ready" if ready else "not ready", "parts": parts})


async def _look(look: Callable[[], None]) -> str:
    try:
        await asyncio.wait_for(asyncio.to_thread(look), LOOK_SECONDS)
    except TimeoutError:
        return f"no answer within {LOOK_SECONDS} s"
    except NotReady as why:
        return str(why)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'failed'}"
    return "ok"


def _database() -> None:
    connection = connections["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


_migrated = False


def _migrations() -> None:
    """Asked of the database until it says yes: a running process does not lose its migrations."""
    global _migrated
    if _migrated:
        return
    connection = connections["default"]
    try:
        executor = MigrationExecutor(connection)
        if waiting := executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise NotReady(f"{len(waiting)} migration(s) are not applied; run manage.py migrate")
        _migrated = True
    finally:
        connection.close()


@cache
def _inbox() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_INBOX_URL,
        socket_timeout=2,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),  # tried again and again, a refused connection would look like a slow one
        decode_responses=True,
    )


def _redis() -> None:
    _inbox().ping()


def _workers() -> None:
    seen = _inbox().hgetall("heartbeat:workers")
    youngest = max((float(at) for at in seen.values()), default=0.0)
    if time.time() - youngest > DEAD_AFTER_SECONDS:
        raise NotReady(f"no worker has been heard of for {DEAD_AFTER_SECONDS} s")


def _beat() -> None:
    at = float(_inbox().get("heartbeat:beat") or 0)
    if time.time() - at > DEAD_AFTER_SECONDS:
        raise NotReady(f"beat has sent nothing for {DEAD_AFTER_SECONDS} s")


async def _answer(send, status: int, content: dict) -> None:
    body = msgspec.json.encode(content)
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
