"""Reported usage: events a second from waiting parts to committed charges, and from HTTP to committed charges.

`ratio.copy` is against the raw COPY of the same usage rows into a table of the same shape and indexes, in the same
database and run; `ratio.base` against the first case of the figure.
"""

from __future__ import annotations

import gzip
import http.client as http_client
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache

from django.conf import settings
from django.db import connection

from balances.scope import Verb
from benchmarks import enterprises, programs
from benchmarks.enterprises import Subject
from portal import tokens
from portal.charging import ingest, records
from portal.charging.records import Usage
from portal.models import Membership, Role, User


@dataclass(frozen=True)
class Case:
    """What is varied."""

    lines: int = 5_000
    levels: int = 4
    shape: str = "uniform"
    workers: int = 1
    batch: int = 1_000

    def shown(self) -> dict:
        """The case as it is printed."""
        return {name: getattr(self, name) for name in ("lines", "levels", "shape", "workers", "batch")}


BASE = Case()
WORKER_CASES = (
    BASE,
    replace(BASE, workers=2),
    replace(BASE, shape="hot"),
    replace(BASE, lines=50_000),
    replace(BASE, levels=12),
    replace(BASE, batch=100),
    replace(BASE, batch=10_000),
    replace(BASE, lines=50_000, levels=12, shape="hot", workers=2),
)
QUICK_WORKER_CASES = (BASE,)
HTTP_CASES = (BASE, replace(BASE, workers=2), replace(BASE, batch=100), replace(BASE, batch=10_000))
QUICK_HTTP_CASES = (BASE,)
#: A soak of so many events shows whether a worker's memory stays flat.
SOAK_EVENTS = 2_000_000

_tags = iter(range(1_000_000))


@cache
def _subjects(lines: int, levels: int, shape: str, count: int) -> tuple[Subject, ...]:
    """Enterprises for a case, made once a run: with two workers there are two, since one enterprise has one writer."""
    made = []
    for number in range(count):
        base = {(5_000, 4, "uniform"): 0, (5_000, 4, "hot"): 10, (50_000, 4, "uniform"): 20, (5_000, 12, "uniform"): 30}
        place = base.get((lines, levels, shape), 40) + number
        made.append(_subject(place, lines, levels, shape))
    return tuple(made)


def base_subject() -> Subject:
    """The enterprise of the base case."""
    return _subjects(BASE.lines, BASE.levels, BASE.shape, 1)[0]


@cache
def _subject(number: int, lines: int, levels: int, shape: str) -> Subject:
    return enterprises.build(number=number, lines=lines, levels=levels, hot=shape == "hot")


def worker(quick: bool) -> Iterator[dict]:
    """Events a second in the workers: parts wait, workers are nudged, the clock runs until all is committed.

    Rounds of a case take turns with rounds of the base case, so that a machine that is slower for a while is so for
    both sides of `ratio.base`.
    """
    events, rounds = (16_000, 1) if quick else (64_000, 3)
    for case in QUICK_WORKER_CASES if quick else WORKER_CASES:
        subjects = _subjects(case.lines, case.levels, case.shape, case.workers)
        base_subjects = (base_subject(),)
        rates, base_rates = [], []
        with programs.workers(case.workers) as running:
            # Warm: lines, plans, partitions, statistics, and the counters that later usage only raises.
            _charge(subjects, events // 4 if quick else max(events // 4, case.lines * 2), case.batch)
            for _ in range(rounds):
                rates.append(_charge(subjects, events, case.batch))
                if case != BASE:
                    base_rates.append(_charge(base_subjects, events, BASE.batch))
            memory = max(program.memory_mib() for program in running)
        rate = statistics.median(rates)
        yield {
            "case": case.shown(),
            "value": round(rate),
            "unit": "events/s",
            "ratio": {
                "copy": round(rate / copy_rate(subjects[0], 16_000 if quick else 40_000), 3),
                "base": round(rate / statistics.median(base_rates or rates), 3),
            },
            "worker_memory_mib": round(memory),
        }
    if not quick:
        yield _soak()


def _soak() -> dict:
    """A worker's memory over two million events, in four quarters."""
    subjects = _subjects(5_000, 4, "uniform", 1)
    memories, started = [], time.monotonic()
    with programs.workers(1) as running:
        for _ in range(4):
            for _ in range(SOAK_EVENTS // 4 // 100_000):
                _charge(subjects, 100_000, 1_000)
            memories.append(round(running[0].memory_mib()))
    return {
        "case": {**BASE.shown(), "soak_events": SOAK_EVENTS},
        "value": max(memories),
        "unit": "MiB of a worker",
        "ratio": {"last_quarter_to_first": round(memories[-1] / memories[0], 3)},
        "quarters_mib": memories,
        "seconds": round(time.monotonic() - started),
    }


def _charge(
    subjects: tuple[Subject, ...], events: int, batch: int, usage: Callable[..., list[Usage]] = enterprises.usage
) -> float:
    """Let parts wait, then nudge; returns events a second until all are committed. `usage`: what is charged."""
    before = _charged(subjects)
    with _without_nudges():
        for subject in subjects:
            usages = usage(subject, events // len(subjects), tag=f"w{next(_tags)}")
            delivery = delivery_of(subject)
            for start in range(0, len(usages), batch):
                ingest.accept(delivery=delivery, usages=usages[start : start + batch], at=datetime.now(UTC))
    connection.close()
    started = time.perf_counter()
    ingest.nudge([subject.id for subject in subjects])
    _wait_charged(subjects, before + events // len(subjects) * len(subjects))
    return events / (time.perf_counter() - started)


def delivery_of(subject: Subject) -> ingest.Delivery:
    """Who delivers a subject's usage."""
    source_id = ingest.source(operator_id=subject.operator_id, name="bench")
    return ingest.Delivery(subject.operator_id, subject.id, source_id, "bench")


@contextmanager
def _without_nudges():
    """Let parts wait until the clock starts: a held nudge key says "a task is on its way"."""
    real = ingest.nudge
    ingest.nudge = lambda enterprise_ids: None  # noqa: ARG005 - called by name
    try:
        yield
    finally:
        ingest.nudge = real


def _charged(subjects: tuple[Subject, ...]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(charged_count), 0) FROM balances_usagepart WHERE state = 'done' "
            "AND enterprise_id = ANY(%s)",
            [[subject.id for subject in subjects]],
        )
        return int(cursor.fetchone()[0])


def _wait_charged(subjects: tuple[Subject, ...], count: int, timeout_seconds: float = 300) -> None:
    deadline = time.monotonic() + timeout_seconds
    while _charged(subjects) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"Only {_charged(subjects)} of {count} records were charged in {timeout_seconds} s.")
        time.sleep(0.02)


# --- raw COPY ----------------------------------------------------------------------------------------------------


def copy_rate(subject: Subject, rows: int = 40_000) -> float:
    """Rows a second of a bare COPY of this subject's usage rows into a table of the same shape and indexes, measured
    beside the case that is compared with it."""
    import psycopg

    text: list[bytes] = []
    with psycopg.connect(settings.DATABASE_OWNER_URL) as owner, owner.cursor() as cursor:
        select = f"SELECT * FROM balances_usagerecord WHERE enterprise_id = {subject.id} LIMIT {rows}"
        with cursor.copy(f"COPY ({select}) TO STDOUT") as out:
            text = [bytes(row) for row in out]
        cursor.execute("CREATE TABLE raw_copy (LIKE balances_usagerecord INCLUDING ALL)")
        owner.commit()
        rates = []
        for _ in range(3):
            started = time.perf_counter()
            for start in range(0, len(text), settings.CHARGING_GROUP_RECORDS):
                with cursor.copy("COPY raw_copy FROM STDIN") as into:
                    into.write(b"".join(text[start : start + settings.CHARGING_GROUP_RECORDS]))
                owner.commit()
            rates.append(len(text) / (time.perf_counter() - started))
            cursor.execute("TRUNCATE raw_copy")
            owner.commit()
        cursor.execute("DROP TABLE raw_copy")
    return statistics.median(rates)


# --- HTTP --------------------------------------------------------------------------------------------------------


def http(quick: bool) -> Iterator[dict]:
    """Events a second from the first byte sent over HTTP to the last charge committed."""
    cases = QUICK_HTTP_CASES if quick else HTTP_CASES
    events, rounds = (10_000, 1) if quick else (60_000, 3)
    base = None
    for case in cases:
        subjects = _subjects(case.lines, case.levels, case.shape, case.workers)
        with programs.workers(case.workers), programs.web() as address:
            _send_and_charge(subjects, address, events // 4, case.batch)
            rates = [_send_and_charge(subjects, address, events, case.batch) for _ in range(rounds)]
        rate = statistics.median(rates)
        base = base or rate
        yield {
            "case": case.shown(),
            "value": round(rate),
            "unit": "events/s",
            "ratio": {
                "copy": round(rate / copy_rate(subjects[0], 16_000 if quick else 40_000), 3),
                "base": round(rate / base, 3),
            },
        }


def _send_and_charge(subjects: tuple[Subject, ...], address: tuple[str, int], events: int, batch: int) -> float:
    before = _charged(subjects)
    bodies = {subject: _bodies(subject, events // len(subjects), batch) for subject in subjects}
    connection.close()
    senders = [threading.Thread(target=_send, args=(address, _token(s), bodies[s])) for s in subjects]
    started = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    _wait_charged(subjects, before + events // len(subjects) * len(subjects))
    return events / (time.perf_counter() - started)


def _bodies(subject: Subject, events: int, batch: int) -> list[bytes]:
    usages = enterprises.usage(subject, events, tag=f"h{next(_tags)}")
    return [
        gzip.compress(
            json.dumps(
                {"source": "bench", "records": [records.public(usage) for usage in usages[start : start + batch]]}
            ).encode(),
            1,
        )
        for start in range(0, events, batch)
    ]


def _send(address: tuple[str, int], token: str, bodies: list[bytes]) -> None:
    client = http_client.HTTPConnection(*address, timeout=60)
    headers = {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json", "Content-Encoding": "gzip",
    }  # fmt: skip
    for body in bodies:
        while True:
            client.request("POST", "/api/v1/usage-batches", body, headers)
            answer = client.getresponse()
            content = answer.read()
            if answer.status == 202:
                break
            if answer.status != 503:
                raise RuntimeError(f"The door answered {answer.status}: {content[:300]!r}")
            time.sleep(0.05)
    client.close()


@cache
def _token(subject: Subject) -> str:
    """A token that may send the subject's usage."""
    made, _ = enterprises.operator()
    user, _ = User.objects.get_or_create(email="bench@example.org", defaults={"name": "Bench"})
    Membership.objects.get_or_create(user=user, role=Role.OPERATOR, operator=made, enterprise_id=subject.id)
    _, plain = tokens.issue(
        operator=made,
        enterprise=made.enterprises.get(id=subject.id),
        name="Bench",
        verbs=[Verb.INGEST],
        created_by=user,
        at=datetime.now(UTC),
    )
    return plain
