"""What a client sent against what was charged, told by the client's own numbers of its uses.

Reads the database directly and trusts no figure of the product: neither identities nor outcomes nor counters.
"""

from __future__ import annotations

import time
from collections import Counter

import psycopg

from tests.faults.house import House

WAITING = "SELECT state, count(*) FROM balances_usagepart WHERE state <> 'done' GROUP BY state"
CHARGED = """
    SELECT (u.attributes ->> 'use')::int, u.units FROM balances_usagerecord u
    JOIN balances_usagesource s ON s.id = u.source_id WHERE u.enterprise_id = %s AND s.name = %s
"""
SUSPENDED = """
    SELECT (x.record -> 'attributes' ->> 'use')::int FROM balances_suspendedusage x
    JOIN balances_usagesource s ON s.id = x.source_id WHERE x.operator_id = %s AND s.name = %s
"""
DRAWN = """
    SELECT u.source_record_id, u.charged_units, sum(l.units) FROM balances_usagerecord u
    LEFT JOIN balances_chargeline l ON l.usage_id = u.id AND l.used_at = u.used_at
    WHERE u.enterprise_id = %s GROUP BY u.id, u.source_record_id, u.charged_units
    HAVING sum(l.units) IS DISTINCT FROM u.charged_units
"""
ACCEPTED = """
    SELECT coalesce(sum(b.accepted_records), 0) FROM balances_usagebatch b
    JOIN balances_usagesource s ON s.id = b.source_id WHERE s.operator_id = %s AND s.name = %s
"""
ACCOUNTED = """
    SELECT coalesce(sum(p.charged_count), 0), coalesce(sum(p.duplicate_count + p.suspended_count), 0)
    FROM balances_usagepart p
    JOIN balances_usagesource s ON s.id = p.source_id WHERE s.operator_id = %s AND s.name = %s
"""


def differences(connection: psycopg.Connection, house: House, source: str, accepted: list[dict]) -> list[str]:
    """Everything by which charges differ from the uses that the client was told were accepted; empty if nothing."""
    found = [f"{count} parts are {state}" for state, count in connection.execute(WAITING)]
    units = {use["attributes"]["use"]: use["units"] for use in accepted}
    charged: Counter[int] = Counter()
    for use, charged_units in connection.execute(CHARGED, [house.enterprise_id, source]):
        charged[use] += 1
        if use in units and units[use] != charged_units:
            found.append(f"use {use}: {charged_units} units were charged of {units[use]}")
    suspended = Counter(row[0] for row in connection.execute(SUSPENDED, [house.operator_id, source]))
    found += [f"use {use} was charged {times} times" for use, times in charged.items() if times > 1]
    found += [f"use {use} was suspended {times} times" for use, times in suspended.items() if times > 1]
    found += [f"use {use} was charged and suspended" for use in charged.keys() & suspended.keys()]
    found += [f"use {use} is lost" for use in units.keys() - charged.keys() - suspended.keys()]
    drawn = connection.execute(DRAWN, [house.enterprise_id])
    found += [f"record {row[0]}: charge lines of {row[2]} units for {row[1]}" for row in drawn]
    (taken,) = connection.execute(ACCEPTED, [house.operator_id, source]).fetchone()
    called_charged, others = connection.execute(ACCOUNTED, [house.operator_id, source]).fetchone()
    if taken != called_charged + others:
        found.append(f"{taken} records were accepted, {called_charged + others} are charged, duplicate or suspended")
    if called_charged != charged.total():
        found.append(f"{called_charged} records are called charged, {charged.total()} are")
    return found


def wait_until_charged(url: str, *, within_seconds: float) -> float:
    """Wait until no part waits; the seconds it took. Raises AssertionError with what still waits."""
    begun = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        while waiting := connection.execute(WAITING).fetchall():
            seconds = time.monotonic() - begun
            assert seconds < within_seconds, f"after {seconds:.0f} s: {waiting}"
            time.sleep(0.1)
    return time.monotonic() - begun
