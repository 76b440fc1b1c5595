"""Writes what a group did to limits: one upsert for all use, one statement each for crossings and restrictions.

Owns: the form of these writes. Never decides anything. Needs the charging lock.
"""

from __future__ import annotations

from datetime import datetime

from portal.charging.guarding import Guarding

_USE = """
    INSERT INTO policies_limituse AS u (limit_id, period_start, used, refused, enterprise_id, approved_by)
    SELECT t.limit_id, t.period_start, t.used, t.refused, %s, ''
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[])
        AS t (limit_id, period_start, used, refused) ORDER BY 1, 2
    ON CONFLICT (limit_id, period_start) DO UPDATE SET
        used = u.used + excluded.used, refused = u.refused + excluded.refused
"""

_CROSSINGS = """
    INSERT INTO policies_limitcrossing (limit_id, first_id, period_start, percent, level, amount, used, line_id,
        usage_id, crossed_at, enterprise_id, recorded_at)
    SELECT t.*, %s, %s FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::smallint[], %s::bigint[],
        %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[]) AS t
    ON CONFLICT (first_id, period_start, level) DO NOTHING
"""

_RESTRICTIONS = """
    INSERT INTO policies_restriction (line_id, service, action, limit_id, period_start, consents, starts_at, until,
        state, enterprise_id, lifted_by)
    SELECT t.*, %s, '' FROM unnest(%s::bigint[], %s::smallint[], %s::text[], %s::bigint[], %s::timestamptz[],
        %s::smallint[], %s::timestamptz[], %s::timestamptz[], %s::text[]) AS t
    ON CONFLICT (limit_id, period_start, consents, line_id, service) WHERE state <> 'lifted' DO NOTHING
"""


def write(cursor, guarding: Guarding, at: datetime) -> None:
    """Write use, crossings and restrictions of a group; what is written is in step with memory from then on."""
    enterprise_id = guarding.limits.enterprise_id
    if changes := guarding.limits.changes():
        cursor.execute(_USE, [enterprise_id, *_columns(changes)])
    if guarding.reached:
        cursor.execute(_CROSSINGS, [enterprise_id, at, *_columns(guarding.reached)])
    if guarding.restricted:
        cursor.execute(_RESTRICTIONS, [enterprise_id, *_columns(guarding.restricted)])


def _columns(rows: list) -> list[list]:
    return [list(column) for column in zip(*rows, strict=True)]
