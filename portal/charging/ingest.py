"""Durable acceptance: a delivery is rows in PostgreSQL before anyone is told "accepted".

Owns: UsageSource, UsageBatch and UsagePart rows at acceptance, the routing of a delivery to enterprises, and the nudge
that wakes a worker. Never charges. Losing the nudge loses nothing: the sweep finds waiting parts by themselves.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import redis
import structlog
from celery import Task
from django.conf import settings
from django.db import connection, transaction

from balances.errors import Refused
from portal.charging import records
from portal.charging.records import Usage

log = structlog.get_logger(__name__)

#: The source of records by which a decision of a person corrects who paid (`portal.contests`); no door takes its name.
CORRECTIONS = "Corrections"


class ReservedSource(Refused):
    """The name of a source by which nobody delivers."""

    def __init__(self) -> None:
        super().__init__(f"“{CORRECTIONS}” is the portal's own source: choose another name.", field="source")


@dataclass(frozen=True, slots=True)
class Delivery:
    """Who delivers, and for whom: `enterprise_id` None where the sender reports for several enterprises of the
    operator; `among` then bounds them (empty: all). Numbers of others are as unknown as if nobody had them."""

    operator_id: int
    enterprise_id: int | None
    source_id: int
    accepted_by: str
    among: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PartDraft:
    """The records of a delivery that concern one enterprise (None: nobody knows whose), and their places in it."""

    enterprise_id: int | None
    payload: bytes
    record_count: int
    positions: list[int] | None


def uuid7() -> uuid.UUID:
    """A time-ordered UUID (RFC 9562): index pages stay warm."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return uuid.UUID(int=value)


def refuse_reserved(name: str) -> None:
    """Raises ReservedSource for the name of the portal's own source, however it is written."""
    if name.strip().casefold() == CORRECTIONS.casefold():
        raise ReservedSource


def source(*, operator_id: int, name: str) -> int:
    """The id of the operator's source of that name, made when first heard of. Raises ReservedSource."""
    refuse_reserved(name)
    return _source(operator_id, name)


def own_source(*, operator_id: int) -> int:
    """The id of the operator's source of corrections."""
    return _source(operator_id, CORRECTIONS)


def _source(operator_id: int, name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM balances_usagesource WHERE operator_id = %s AND name = %s", [operator_id, name])
        if row := cursor.fetchone():
            return row[0]
        cursor.execute(
            "INSERT INTO balances_usagesource (operator_id, name, created_at) VALUES (%s, %s, now()) "
            "ON CONFLICT (operator_id, name) DO UPDATE SET name = excluded.name RETURNING id",
            [operator_id, name],
        )
        return cursor.fetchone()[0]


OWNERS_QUERY = """
    SELECT n.kind, n.number, n.enterprise_id, lower(n.during), upper(n.during)
    FROM balances_numberassignment n JOIN balances_enterprise e ON e.id = n.enterprise_id AND e.operator_id = %s
    WHERE n.number = ANY(%s::bigint[]) AND (cardinality(%s::bigint[]) = 0 OR n.enterprise_id = ANY(%s::bigint[]))
"""


def split_by_enterprise(usages: list[Usage], owners: list[tuple]) -> list[PartDraft]:
    """Sort a delivery's records by whose number it was when it was used; `owners` are rows of `OWNERS_QUERY`."""
    intervals: dict[tuple[int, int], list[tuple[str, str, int]]] = defaultdict(list)
    for kind, number, enterprise_id, starts_at, ends_at in owners:
        first = records.canonical_time(starts_at) if starts_at else ""
        last = records.canonical_time(ends_at) if ends_at else "~"
        intervals[kind, number].append((first, last, enterprise_id))
    positions: dict[int | None, list[int]] = defaultdict(list)
    for position, usage in enumerate(usages):
        held = intervals.get((usage.number_kind, usage.number), ())
        owner = next((e for first, last, e in held if first <= usage.used_at < last), None)
        # A known number outside its intervals is its last owner's question, not nobody's.
        positions[owner if owner is not None or not held else max(held)[2]].append(position)
    drafts = []
    for enterprise_id, places in sorted(positions.items(), key=lambda item: item[1][0]):
        chosen = usages if len(places) == len(usages) else [usages[place] for place in places]
        kept = None if len(places) == len(usages) else places
        drafts.append(PartDraft(enterprise_id, records.encode_payload(chosen), len(places), kept))
    return drafts


INSERT_BATCH = """
    INSERT INTO balances_usagebatch (id, operator_id, enterprise_id, source_id, accepted_by, accepted_at,
        accepted_records)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
INSERT_PART = """
    INSERT INTO balances_usagepart (batch_id, enterprise_id, source_id, payload, positions, record_count, state,
        attempts, outcomes, charged_count, duplicate_count, suspended_count, accepted_at)
    VALUES (%s, %s, %s, %s, %s, %s, 'queued', 0, '', 0, 0, 0, %s) RETURNING id
"""


def insert_statements(delivery: Delivery, drafts: list[PartDraft], batch_id: uuid.UUID, at: datetime):
    """The statements that make a delivery durable, for a synchronous or an asynchronous cursor alike."""
    total = sum(draft.record_count for draft in drafts)
    yield (
        INSERT_BATCH,
        (
            batch_id,
            delivery.operator_id,
            delivery.enterprise_id,
            delivery.source_id,
            delivery.accepted_by[:160],
            at,
            total,
        ),
    )
    for draft in drafts:
        yield (
            INSERT_PART,
            (
                batch_id,
                draft.enterprise_id,
                delivery.source_id,
                draft.payload,
                draft.positions,
                draft.record_count,
                at,
            ),
        )


def accept(*, delivery: Delivery, usages: list[Usage], at: datetime) -> uuid.UUID:
    """Make a delivery durable and wake a worker; returns the batch id. The nudge follows the commit."""
    with transaction.atomic():
        batch_id, parts = record(delivery=delivery, usages=usages, at=at)
        enterprise_ids = [enterprise_id for _, enterprise_id in parts]
        transaction.on_commit(lambda: nudge(enterprise_ids))
    return batch_id


def record(*, delivery: Delivery, usages: list[Usage], at: datetime) -> tuple[uuid.UUID, list[tuple[int, int | None]]]:
    """The rows of a delivery, inside the caller's transaction: batch id and (part id, enterprise id) of each part."""
    batch_id = uuid7()
    with connection.cursor() as cursor:
        if delivery.enterprise_id is not None:
            whole = PartDraft(delivery.enterprise_id, records.encode_payload(usages), len(usages), None)
            drafts = [whole] if usages else []
        else:
            numbers = list({usage.number for usage in usages})
            among = list(delivery.among)
            cursor.execute(OWNERS_QUERY, [delivery.operator_id, numbers, among, among])
            drafts = split_by_enterprise(usages, cursor.fetchall())
        parts = []
        for statement, values in insert_statements(delivery, drafts, batch_id, at):
            cursor.execute(statement, values)
            if statement is INSERT_PART:
                parts.append(cursor.fetchone()[0])
    return batch_id, list(zip(parts, [draft.enterprise_id for draft in drafts], strict=True))


# --- the nudge ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def inbox() -> redis.Redis:
    """The Redis database of nudges and heartbeats, with short time-outs: it may be down, and nothing may hang on it."""
    return redis.Redis.from_url(settings.REDIS_INBOX_URL, socket_timeout=2, socket_connect_timeout=2)


def queue_of(enterprise_id: int | None) -> str:
    """The charging queue of an enterprise."""
    return settings.CHARGING_QUEUES[(enterprise_id or 0) % len(settings.CHARGING_QUEUES)]


def nudge_key(enterprise_id: int | None) -> str:
    """The Redis key that says "a task is on its way" for an enterprise."""
    return f"nudge:{{{enterprise_id or 0}}}"


def nudge(enterprise_ids: list[int | None]) -> None:
    """Tell workers that enterprises have waiting parts. One task is enough, two are harmless, none heals."""
    from portal.charging.tasks import charge_enterprise

    for enterprise_id in dict.fromkeys(enterprise_ids):
        key = nudge_key(enterprise_id)
        try:
            if inbox().set(key, 1, nx=True, ex=5):
                _send_task(charge_enterprise, enterprise_id, key)
        except Exception as error:
            # The delivery is durable already; the sweep picks it up when the broker is back.
            log.warning("nudge.failed", enterprise_id=enterprise_id, error=str(error))


def _send_task(task: Task, enterprise_id: int | None, key: str) -> None:
    """Send the task whose key has just been set; where that fails, the key must not keep others from trying."""
    try:
        task.apply_async(
            kwargs={"enterprise_id": enterprise_id or 0}, queue=queue_of(enterprise_id), retry=False, expires=60
        )
    except Exception:
        inbox().delete(key)
        raise
