"""Charging with group commit: everything that waits for one enterprise is charged together, in one transaction.

Owns: claiming waiting parts, and the order of the steps: lock, keep in step, tell duplicates, charge in memory
(`portal.charging.charger`), write, commit, tell. One writer an enterprise at a time, whatever the number of workers;
killed anywhere, the transaction has happened or it has not. docs/charging.md describes it with a worked example.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import psycopg
import structlog
from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection, transaction

from balances import ledger
from portal.charging import telling, writing
from portal.charging.charger import Charger
from portal.charging.group import Counts, Part
from portal.charging.records import canonical_time, decode_payload
from portal.charging.state import NOBODY, EnterpriseState, StateCache
from portal.charging.terms import OLDEST_USAGE
from portal.live import publish

log = structlog.get_logger(__name__)

#: How long a worker waits for an enterprise that another one is charging; that one takes what is waiting anyway.
LOCK_WAIT = "400ms"
LOCK_NOT_AVAILABLE = "55P03"
ADVISORY_LOCKS = 0x43484152  # the first of the two keys of this module's advisory locks
#: The server, or a lock, was not to be had: no record is to blame. COPY raises psycopg's own, not Django's.
UNAVAILABLE = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)

_states = StateCache()
_known_months: set[str] = set()


class Busy(Exception):
    """Another worker is charging this enterprise."""


@contextmanager
def _exclusive(enterprise_id: int | None):
    """Be the only worker that charges an enterprise: a session's advisory lock, gone with the connection if we die.

    Raises `Busy` after a short wait: whoever has it looks for waiting parts again before letting go.
    """
    key = (ADVISORY_LOCKS, enterprise_id or 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_WAIT])
        try:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", key)
            cursor.execute("RESET lock_timeout")
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                cursor.execute("RESET lock_timeout")
                raise Busy(f"enterprise {enterprise_id} is being charged by another worker") from error
            raise
    try:
        yield
    finally:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", key)
        except Error:
            _end_session()


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Let the collector of cycles wait until a group is done: its rows are many and none is in a cycle, but each few
    thousand of them would have it walk through all lines, plans and rules that are kept between groups."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _end_session() -> None:
    """Close the server's session, and free its locks with it: closed for Django only, the pool would lend it on."""
    if connection.connection is not None:
        connection.connection.close()
    connection.close()


def drain(enterprise_id: int | None, *, seconds: float | None = None, clock=lambda: datetime.now(UTC)) -> Counts:
    """Charge what waits for an enterprise (None: records of nobody's line), group by group, till nothing waits.

    `seconds` bounds the time it goes on taking new groups. Returns the counts. Raises `Busy` where another worker has
    the enterprise.
    """
    total = Counts()
    stop_at = time.monotonic() + seconds if seconds is not None else float("inf")
    with _exclusive(enterprise_id):
        while time.monotonic() < stop_at:
            counts = charge_group(enterprise_id, at=clock())
            if counts is None:
                break
            total.add(counts)
    return total


def charge_group(enterprise_id: int | None, *, at: datetime, most_records: int | None = None) -> Counts | None:
    """Charge the next group of waiting parts in one transaction; None where nothing waits.

    A group that fails is tried part by part, and a part record by record: one poisonous record is suspended, its
    neighbours are charged.
    """
    parts = _claim(enterprise_id, most_records or settings.CHARGING_GROUP_RECORDS)
    if not parts:
        return parts if parts is None else Counts()
    try:
        with _collecting_later():
            return _charge_parts(enterprise_id, parts, at, poisoned=frozenset())
    except UNAVAILABLE:
        _give_attempts_back(parts)
        raise
    except Exception as error:
        log.exception("charging.group_failed", enterprise_id=enterprise_id, parts=[part.id for part in parts])
        if len(parts) > 1:
            return _one_by_one(enterprise_id, parts, at)
        return _without_poison(enterprise_id, parts[0], at, error)


def _one_by_one(enterprise_id: int | None, parts: list[Part], at: datetime) -> Counts:
    total = Counts()
    for part in parts:
        try:
            total.add(_charge_parts(enterprise_id, [part], at, poisoned=frozenset()))
        except UNAVAILABLE:
            raise
        except Exception as error:
            try:
                total.add(_without_poison(enterprise_id, part, at, error))
            except UNAVAILABLE:
                raise
            except Exception:  # left waiting, to be taken alone from now on; its neighbours go ahead
                log.exception("charging.part_failed", enterprise_id=enterprise_id, part=part.id)
    return total


def _give_attempts_back(parts: list[Part]) -> None:
    """A lock or a server that was not there is not the parts' fault: they come no nearer to being parked."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE balances_usagepart SET attempts = attempts - 1 "
                "WHERE id = ANY(%s) AND state = 'queued' AND attempts > 0",
                [[part.id for part in parts]],
            )
    except Error:
        log.warning("charging.attempts_kept", parts=[part.id for part in parts])


def _without_poison(enterprise_id: int | None, part: Part, at: datetime, error: Exception) -> Counts:
    """Find the records of a part that cannot be charged by halving it in rolled-back trials; suspend just those."""
    poisoned: set[int] = set()
    waiting = [range(len(part.usages))]
    while waiting:
        places = waiting.pop()
        others = frozenset(range(len(part.usages))) - frozenset(places)
        try:
            _charge_parts(enterprise_id, [part], at, poisoned=frozenset(), skipped=others)
        except UNAVAILABLE:
            raise
        except Exception:
            if len(places) == 1:
                poisoned.add(places[0])
            else:
                middle = len(places) // 2
                waiting += [places[:middle], places[middle:]]
    log.error("charging.poison", part=part.id, positions=sorted(poisoned), error=str(error))
    return _charge_parts(enterprise_id, [part], at, poisoned=frozenset(poisoned))


def retry_parked() -> list[int | None]:
    """Let parked parts wait again, once what made them fail is mended; returns their enterprises, to be nudged."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE balances_usagepart SET state = 'queued', attempts = 0 WHERE state = 'parked' "
            "RETURNING enterprise_id"
        )
        return [row[0] for row in cursor.fetchall()]


def _claim(enterprise_id: int | None, most_records: int) -> list[Part] | None:
    """Waiting parts in the order of acceptance, up to `most_records` (at least one part); None where none waits.

    The attempt is counted first, in a transaction of its own: a part that kills its worker is taken alone after a few
    attempts, so that its neighbours do not suffer, and in the end parked instead of killing one worker after another.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH waiting AS (
                SELECT id, attempts > 3 AS suspect, row_number() OVER (ORDER BY attempts > 3, id) AS place,
                    sum(record_count) OVER (ORDER BY attempts > 3, id) - record_count AS before
                FROM (SELECT id, attempts, record_count FROM balances_usagepart
                      WHERE enterprise_id IS NOT DISTINCT FROM %s AND state = 'queued' ORDER BY id LIMIT 500) AS oldest
            )
            UPDATE balances_usagepart p SET attempts = p.attempts + 1,
                state = CASE WHEN p.attempts >= %s THEN 'parked' ELSE p.state END
            FROM waiting w
            WHERE p.id = w.id AND w.before < %s AND (NOT w.suspect OR w.place = 1) AND p.state = 'queued'
            RETURNING p.id, p.source_id, p.payload, p.state
            """,
            [enterprise_id, settings.USAGE_PART_MOST_ATTEMPTS, most_records],
        )
        rows = sorted(cursor.fetchall())
    for row in rows:
        if row[3] == "parked":
            log.error("charging.parked", part=row[0], enterprise_id=enterprise_id)
    if not rows:
        return None
    return [Part(row[0], row[1], decode_payload(row[2])) for row in rows if row[3] == "queued"]


def _charge_parts(
    enterprise_id: int | None,
    parts: list[Part],
    at: datetime,
    *,
    poisoned: frozenset[int],
    skipped: frozenset[int] | None = None,
) -> Counts:
    """One transaction over claimed parts. With `skipped` positions (of one part), even none, it is only a trial, rolled
    back."""
    _prepare_months(parts, at)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # Every statement below finds its rows by key; a fresh table's statistics must not mislead the planner.
            cursor.execute("SELECT set_config('lock_timeout', '10s', true), set_config('enable_seqscan', 'off', true)")
            if enterprise_id is not None:
                version, sequence = ledger.lock(cursor, enterprise_id)
            parts = _still_waiting(cursor, parts)
            if not parts:
                return Counts()
            state = EnterpriseState(NOBODY)
            if enterprise_id is not None:
                state = _states.get(enterprise_id)
                state.refresh(cursor, version, sequence, at + settings.USAGE_FUTURE_TOLERANCE)
            charger = Charger(cursor, enterprise_id, state, at)
            for part in parts:
                charger.charge_part(part, poisoned=poisoned, skipped=skipped or frozenset())
            new_sequence = writing.write(cursor, charger)
            if skipped is not None:
                transaction.set_rollback(True)
                _states.drop(enterprise_id or NOBODY)
                return Counts()
    except BaseException:
        # The memory has run ahead of the database.
        _states.drop(enterprise_id or NOBODY)
        raise
    if new_sequence is not None:
        state.charge_sequence = new_sequence
        publish.charged(
            enterprise_id=state.enterprise_id,
            sequence=new_sequence,
            account_ids=charger.tally.touched_accounts(),
            charged_at=at,
        )
        if charger.wrote_facts:
            telling.facts_written(state.enterprise_id)
    return charger.counts


def _still_waiting(cursor, parts: list[Part]) -> list[Part]:
    """Under the lock: the claimed parts that no other worker has finished meanwhile, their rows locked."""
    cursor.execute(
        "SELECT id FROM balances_usagepart WHERE id = ANY(%s) AND state = 'queued' ORDER BY id FOR UPDATE",
        [[part.id for part in parts]],
    )
    waiting = {row[0] for row in cursor.fetchall()}
    return [part for part in parts if part.id in waiting]


def _prepare_months(parts: Iterable[Part], at: datetime) -> None:
    """Make the monthly partitions that the records need, ahead of the charging transaction: they need a table lock."""
    oldest, newest = canonical_time(at - OLDEST_USAGE)[:7], canonical_time(at + timedelta(days=2))[:7]
    months = {usage.used_at[:7] for part in parts for usage in part.usages} - _known_months
    for month in sorted(months):
        if oldest <= month <= newest:
            prepare_month(date(int(month[:4]), int(month[5:7]), 1))
            _known_months.add(month)


def prepare_month(month: date) -> bool:
    """Make sure that a month's partitions exist; True if they are new."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT balances_prepare_usage_month(%s)", [month])
        return cursor.fetchone()[0]


def forget_everything() -> None:
    """Empty this process's memory: for tests that change databases under it."""
    global _states
    _states = StateCache()
    _known_months.clear()
