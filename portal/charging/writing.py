"""Writes what a group of records became: COPY for rows, one statement for all buckets, one for all counters.

Owns: the order and form of the writes of one charging transaction. Never decides anything. Needs the charging lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from psycopg.types.json import Jsonb

from balances import draw_caps, ledger
from balances.models.counters import Payer
from portal.charging import limit_writing
from portal.charging.charger import Charger
from portal.charging.group import CHARGED, DUPLICATE, SUSPENDED

ACTOR = "charging"

_USAGE_COLUMNS = (
    "id, enterprise_id, line_id, account_id, part_id, position, source_id, source_record_id, service, zone_id, units, "
    "charged_units, used_at, ended_at, visited_network, other_party, imei, attributes, charged_at, payer, "
    "counterpart_id, person_id, charge_sequence"
)
_CHARGE_COLUMNS = (
    "enterprise_id, usage_id, number, used_at, starts_at, cycle_start, payer, path_id, version_id, rate_id, units, "
    "overage_units, amount_micros, bucket_ids, bucket_units, refused_units, reasons, rule_id, part, charge_sequence"
)
_PERSONAL_COLUMNS = (
    "enterprise_id, usage_id, number, used_at, starts_at, cycle_start, payer, path_id, version_id, rate_id, units, "
    "overage_units, amount_micros, refused_units, reasons, rule_id, part, personal_account_id, personal_rate_id, "
    "personal_bucket_ids, personal_bucket_units, personal_micros, charge_sequence"
)


def write(cursor, charger: Charger) -> int | None:
    """Write a charged group; returns the new charge sequence, None where nothing was charged to an enterprise."""
    _write_suspended(cursor, charger)
    sequence = None
    if charger.usage_rows:
        sequence = ledger.advance(cursor, charger.state.enterprise_id, charged_at=charger.at)
        _copy_by_month(cursor, "balances_usagerecord", _USAGE_COLUMNS, charger.usage_rows, sequence)
        _copy_by_month(cursor, "balances_chargeline", _CHARGE_COLUMNS, charger.charge_rows, sequence)
        _copy_by_month(cursor, "balances_chargeline", _PERSONAL_COLUMNS, charger.personal_rows, sequence)
        _copy(
            cursor,
            "balances_usageidentity (enterprise_id, source_id, source_record_id, content_hash, usage_id)",
            "".join(charger.identity_rows),
        )
        _take_over_identities(cursor, charger)
        ledger.post(
            cursor,
            enterprise_id=charger.state.enterprise_id,
            charge_sequence=sequence,
            changes=charger.changes(),
            actor=ACTOR,
            recorded_at=charger.at,
        )
        _write_counters(cursor, charger)
        _write_personal(cursor, charger, sequence)
        _write_draw_use(cursor, charger)
        _write_crossings(cursor, charger)
        if charger.guarding is not None:
            limit_writing.write(cursor, charger.guarding, charger.at)
    _finish_parts(cursor, charger)
    return sequence


def _copy(cursor, target: str, text: str) -> None:
    if text:
        with cursor.copy(f"COPY {target} FROM STDIN") as copy:
            copy.write(text)


def _copy_by_month(cursor, table: str, columns: str, rows: dict[str, list[str]], sequence: int) -> None:
    """COPY straight into each month's partition: routing row by row would cost more than writing."""
    ending = f"{sequence}\n"
    for month, lines in rows.items():
        partition = f"{table}_y{month[:4]}m{month[5:7]}"
        _copy(cursor, f"{partition} ({columns})", ending.join(lines) + ending)


def _array(values: Iterable) -> str:
    return "{" + ",".join(map(str, values)) + "}"


_RAISE_COUNTERS = """
    INSERT INTO balances_counter AS c (owner_id, used_units, overage_units, amount_micros, records,
        enterprise_id, owner_kind, grain, period_start, service, zone_id, payer)
    SELECT t.owner, t.used, t.overage, t.amount, t.records, %s, %s, %s, %s, %s, %s, %s
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS t (owner, used, overage, amount, records)
    ON CONFLICT (enterprise_id, owner_kind, owner_id, grain, period_start, service, zone_id, payer) DO UPDATE SET
        used_units = c.used_units + excluded.used_units, overage_units = c.overage_units + excluded.overage_units,
        amount_micros = c.amount_micros + excluded.amount_micros, records = c.records + excluded.records
"""


def _write_counters(cursor, charger: Charger) -> None:
    """One upsert a series (owner kind, grain, period, service, zone); owners in order, so that index pages are visited
    once. An UPDATE of the known ones is no faster, and its plan goes wrong while the table has no statistics."""
    for payer, increments in (
        (Payer.CORPORATE, charger.tally.increments()),
        # What people pay is not counted by day: its totals tell nobody when.
        (Payer.PERSONAL, charger.personal_tally.increments(by_day=False)),
    ):
        for (kind, grain, period_start, service, zone_id), owners in increments.items():
            place = [charger.enterprise_id, kind, grain, period_start, service, zone_id, int(payer)]
            cursor.execute(_RAISE_COUNTERS, [*place, *_columns(sorted(owners), owners)])


def _write_personal(cursor, charger: Charger, sequence: int) -> None:
    """What budgets of steering rules took up, and what personal accounts paid."""
    steering, personal = charger.state.steering, charger.state.personal
    if steering is not None:
        steering.budgets.write(cursor)
    if personal is not None:
        personal.write(cursor, sequence=sequence, at=charger.at)


def _columns(owner_ids: list[int], owners: dict[int, list[int]]) -> list[str]:
    """Owners and their four increments as array literals."""
    return [_array(owner_ids), *map(_array, zip(*(owners[owner_id] for owner_id in owner_ids), strict=True))]


def _write_draw_use(cursor, charger: Charger) -> None:
    """What passed the caps, one upsert a cycle."""
    by_cycle: dict[datetime, dict[draw_caps.Owner, int]] = defaultdict(dict)
    for (owner, cycle_start), gate in charger.passed_gates.items():
        if gate.drawn:
            by_cycle[cycle_start][owner] = gate.drawn
            gate.drawn = 0
    for cycle_start, drawn in by_cycle.items():
        draw_caps.add_use(cursor, enterprise_id=charger.state.enterprise_id, cycle_start=cycle_start, drawn=drawn)


def _write_crossings(cursor, charger: Charger) -> None:
    """Crossings are unique by threshold and period: a mark is told once, whatever happens."""
    for crossed in charger.crossed:
        cursor.execute(
            """
            INSERT INTO balances_crossing (enterprise_id, threshold_id, account_id, line_id, service, period_start,
                level_units, used_units, base_units, usage_id, crossed_at, recorded_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (threshold_id, period_start) DO NOTHING
            """,
            [
                charger.enterprise_id, crossed.threshold_id, crossed.account_id, crossed.line_id, crossed.service,
                crossed.period_start, crossed.level_units, crossed.used_units, crossed.base_units, crossed.usage_id,
                crossed.crossed_at, charger.at,
            ],
        )  # fmt: skip


def _take_over_identities(cursor, charger: Charger) -> None:
    """Identities that suspended records held pass to the records that were recycled from them."""
    for source_id, source_record_id, content_hash, usage_id in charger.taken_over:
        cursor.execute(
            "UPDATE balances_usageidentity SET content_hash = %s, usage_id = %s "
            "WHERE enterprise_id = %s AND source_id = %s AND source_record_id = %s",
            [content_hash, usage_id, charger.enterprise_id, source_id, source_record_id],
        )


def _write_suspended(cursor, charger: Charger) -> None:
    """Suspense rows; those that take their identity hold it with the negative id of the suspense row."""
    for record in charger.suspended:
        cursor.execute(
            """
            INSERT INTO balances_suspendedusage (enterprise_id, operator_id, part_id, position, source_id,
                source_record_id, content_hash, record, reason, detail, suspended_at, state, resolved_by, note)
            SELECT %s, b.operator_id, p.id, %s, %s, %s, %s, %s, %s, %s, %s, 'open', '', ''
            FROM balances_usagepart p JOIN balances_usagebatch b ON b.id = p.batch_id WHERE p.id = %s RETURNING id
            """,
            [
                charger.enterprise_id, record.position, record.source_id, record.source_record_id, record.content_hash,
                Jsonb(record.record), record.reason, record.detail[:300], charger.at, record.part_id,
            ],
        )  # fmt: skip
        suspense_id = cursor.fetchone()[0]
        if record.takes_identity:
            cursor.execute(
                "INSERT INTO balances_usageidentity "
                "(enterprise_id, source_id, source_record_id, content_hash, usage_id) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (enterprise_id, source_id, source_record_id) "
                "DO UPDATE SET content_hash = excluded.content_hash, usage_id = excluded.usage_id",
                [
                    charger.enterprise_id,
                    record.source_id,
                    record.source_record_id,
                    record.content_hash,
                    -suspense_id,
                ],
            )


def _finish_parts(cursor, charger: Charger) -> None:
    """Mark parts done with the outcome of each record; their CHECK wants every record accounted for."""
    ids, outcomes = zip(*charger.outcomes, strict=True)
    cursor.execute(
        """
        UPDATE balances_usagepart p SET state = 'done', done_at = %s, outcomes = t.outcomes, charged_count = t.charged,
            duplicate_count = t.duplicate, suspended_count = t.suspended
        FROM unnest(%s::bigint[], %s::text[], %s::int[], %s::int[], %s::int[])
            AS t (id, outcomes, charged, duplicate, suspended)
        WHERE p.id = t.id
        """,
        [
            charger.at, _array(ids), _array(outcomes), _array(text.count(CHARGED) for text in outcomes),
            _array(text.count(DUPLICATE) for text in outcomes), _array(text.count(SUSPENDED) for text in outcomes),
        ],
    )  # fmt: skip
