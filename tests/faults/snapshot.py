"""What an enterprise's usage has come to, without ids, numbers and instants: equal for twins that were charged alike.

Which line was the one to find a shared bucket empty depends on who came first; so the overage of a service whose
allowance ran out is compared for the whole enterprise, everything else for every account and line.
"""

from __future__ import annotations

from typing import Any

import psycopg

from tests.faults.house import House

OWNERS = """
    SELECT 1 AS kind, id, code AS name FROM balances_account WHERE enterprise_id = %(enterprise)s
    UNION ALL SELECT 2, id, 'line ' || row_number() OVER (ORDER BY msisdn) FROM balances_line
    WHERE enterprise_id = %(enterprise)s
"""
QUERIES = {
    "buckets": f"""
        WITH owner AS ({OWNERS})
        SELECT o.name, b.service, b.kind, b.cycle_start, b.granted_units, b.received_units, b.remaining_units,
            b.reserved_units, b.used_units, b.given_units, b.expired_units
        FROM balances_bucket b JOIN owner o ON o.kind = 1 AND o.id = b.account_id OR o.kind = 2 AND o.id = b.line_id
        WHERE b.enterprise_id = %(enterprise)s ORDER BY 1, 2, 3, 4
    """,
    "counters": f"""
        WITH owner AS ({OWNERS})
        SELECT o.name, c.grain, c.period_start, c.service, c.used_units, c.records FROM balances_counter c
        JOIN owner o ON o.kind = c.owner_kind AND o.id = c.owner_id
        WHERE c.enterprise_id = %(enterprise)s ORDER BY 1, 2, 3, 4
    """,
    "overage": """
        SELECT c.service, c.period_start, sum(c.overage_units), sum(c.amount_micros) FROM balances_counter c
        JOIN balances_account a ON a.id = c.owner_id AND c.owner_kind = 1 AND a.parent_id IS NULL
        WHERE c.enterprise_id = %(enterprise)s AND c.grain = 1 GROUP BY 1, 2 ORDER BY 1, 2
    """,
    "records": """
        SELECT source_record_id, service, units, charged_units, used_at FROM balances_usagerecord
        WHERE enterprise_id = %(enterprise)s ORDER BY 1
    """,
    "suspended": """
        SELECT source_record_id, reason, state FROM balances_suspendedusage
        WHERE enterprise_id = %(enterprise)s ORDER BY 1
    """,
    "crossings": f"""
        WITH owner AS ({OWNERS})
        SELECT o.name, x.service, x.period_start, x.level_units FROM balances_crossing x
        JOIN owner o ON o.kind = 1 AND o.id = x.account_id OR o.kind = 2 AND o.id = x.line_id
        WHERE x.enterprise_id = %(enterprise)s ORDER BY 1, 2, 3, 4
    """,
}


def take(connection: psycopg.Connection, house: House) -> dict[str, list[tuple[Any, ...]]]:
    """Everything of a house by topic."""
    return {
        topic: connection.execute(query, {"enterprise": house.enterprise_id}).fetchall()
        for topic, query in QUERIES.items()
    }


def unlike(one: dict[str, list[tuple[Any, ...]]], other: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[Any]]:
    """What two snapshots do not share, by topic; empty for twins."""
    apart = {topic: sorted(set(rows) ^ set(other[topic]), key=str) for topic, rows in one.items()}
    return {topic: rows for topic, rows in apart.items() if rows or len(one[topic]) != len(other[topic])}
