"""/healthz says that the process lives, /readyz whether the product can do its work, part by part."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from portal.api import health
from portal.asgi import application
from portal.charging import tasks
from tests.api.asgi import Answer, call

PARTS = {"database", "migrations", "redis", "workers", "beat"}
BEATS = ("heartbeat:workers", "heartbeat:beat")


@pytest.fixture
def inbox() -> Iterator[redis.Redis]:
    """The Redis database of heartbeats, with fresh ones from a worker and from beat."""
    inbox = health._inbox()
    inbox.delete(*BEATS)
    inbox.hset(BEATS[0], "worker-1", str(time.time()))
    inbox.set(BEATS[1], str(time.time()))
    yield inbox
    inbox.delete(*BEATS)


def ready() -> Answer:
    return call(application, "GET", "/readyz")


def lacking(answer: Answer) -> dict[str, str]:
    """The parts that are not ready, each with what it lacks."""
    assert answer.status == 503
    assert answer.json()["status"] == "not ready"
    assert answer.json()["parts"].keys() == PARTS
    return {part: state for part, state in answer.json()["parts"].items() if state != "ok"}


def test_a_process_that_answers_is_alive() -> None:
    answer = call(application, "GET", "/healthz")
    assert (answer.status, answer.json()) == (200, {"status": "alive"})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.django_db
def test_the_product_is_ready_when_every_part_is(inbox: redis.Redis) -> None:
    answer = ready()
    assert (answer.status, answer.json()) == (200, {"status": "ready", "parts": dict.fromkeys(PARTS, "ok")})


@pytest.mark.django_db
def test_the_heartbeat_task_is_what_readiness_listens_for(inbox: redis.Redis) -> None:
    inbox.delete(*BEATS)
    tasks.heartbeat.apply()
    assert ready().status == 200


@pytest.mark.django_db
def test_without_heartbeats_workers_and_beat_are_named(inbox: redis.Redis) -> None:
    inbox.delete(*BEATS)
    assert lacking(ready()).keys() == {"workers", "beat"}


@pytest.mark.django_db
def test_an_old_heartbeat_is_none(inbox: redis.Redis) -> None:
    inbox.set(BEATS[1], str(time.time() - health.DEAD_AFTER_SECONDS - 1))
    assert lacking(ready()).keys() == {"beat"}
    inbox.set(BEATS[1], str(time.time()))
    inbox.hset(BEATS[0], "worker-1", str(time.time() - health.DEAD_AFTER_SECONDS - 1))
    assert lacking(ready()).keys() == {"workers"}
    inbox.hset(BEATS[0], "worker-2", str(time.time()))
    assert ready().status == 200


@pytest.mark.django_db
def test_a_broken_part_is_named_with_its_trouble_and_hides_no_other(
    inbox: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "REDIS_INBOX_URL", "redis://127.0.0.1:1/0")
    nowhere = health._inbox.__wrapped__()
    monkeypatch.setattr(health, "_inbox", lambda: nowhere)
    found = lacking(ready())
    assert found.keys() == {"redis", "workers", "beat"}
    assert "ConnectionError" in found["redis"]


@pytest.mark.django_db
def test_a_part_that_hangs_does_not_hang_the_probe(inbox: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(health, "_redis", lambda: time.sleep(1))
    assert lacking(ready())["redis"].startswith("no answer within")


@pytest.mark.django_db
def test_migrations_that_wait_are_named(inbox: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = [("balances", "0001_initial")]
    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda *_: waiting)
    assert lacking(ready()) == {"migrations": "1 migration(s) are not applied; run manage.py migrate"}
