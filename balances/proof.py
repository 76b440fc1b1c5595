"""Proof on live data: the identities that must always hold, each as one query that finds what is off.

Owns: the checks of `manage.py check_ledger`. Reads in one repeatable-read snapshot, so that charging may go on
meanwhile; changes nothing. Each check has a test that damages the data and sees it named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection, transaction

#: Faults shown of one check at most.
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Check:
    """An identity: its name, what it says,
    and the query that returns one row a fault (its text in the first column)."""

    name: str
    says: str
    query: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check: how many faults, and the first of them in words."""

    check: Check
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.faults


_EFFECTS = """
    SELECT bucket_id,
        sum(units) FILTER (WHERE kind = 1) AS granted,
        sum(units) FILTER (WHERE kind IN (3, 10, 15)) AS received,
        sum(units) FILTER (WHERE kind IN (4, 9, 13, 14)) AS given,
        sum(units) FILTER (WHERE kind IN (2, 7)) AS used,
        sum(units) FILTER (WHERE kind = 8) AS expired,
        coalesce(sum(units) FILTER (WHERE kind IN (5, 11)), 0)
            - coalesce(sum(units) FILTER (WHERE kind IN (6, 7, 12, 13)), 0) AS reserved
    FROM balances_entry WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id) GROUP BY bucket_id
"""

_COUNTED = """
    SELECT l.enterprise_id, 1 AS owner_kind, member AS owner_id, l.cycle_start AS period_start, u.service,
        u.zone_id, l.payer,
        sum(l.units) AS used, sum(l.overage_units) AS overage, sum(l.amount_micros) AS amount,
        count(*) FILTER (WHERE l.number = 0) AS records
    FROM balances_chargeline l JOIN balances_usagerecord u ON u.id = l.usage_id AND u.used_at = l.used_at
        JOIN balances_accountpath p ON p.id = l.path_id CROSS JOIN unnest(p.account_ids) AS member
    WHERE l.enterprise_id = coalesce(%(enterprise)s, l.enterprise_id)
    GROUP BY 1, 3, 4, 5, 6, 7
    UNION ALL
    SELECT l.enterprise_id, 2, u.line_id, l.cycle_start, u.service, u.zone_id, l.payer,
        sum(l.units), sum(l.overage_units), sum(l.amount_micros), count(*) FILTER (WHERE l.number = 0)
    FROM balances_chargeline l JOIN balances_usagerecord u ON u.id = l.usage_id AND u.used_at = l.used_at
    WHERE l.enterprise_id = coalesce(%(enterprise)s, l.enterprise_id)
    GROUP BY 1, 3, 4, 5, 6, 7
"""

CHECKS: tuple[Check, ...] = (
    Check(
        "bucket-balances",
        "Every bucket: granted + received = remaining + reserved + used + given + expired, none negative.",
        """
        SELECT format('bucket %%s (%%s): %%s + %%s is not %%s + %%s + %%s + %%s + %%s', id, name,
            granted_units, received_units,
            remaining_units, reserved_units, used_units, given_units, expired_units)
        FROM balances_bucket
        WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id) AND (

                granted_units + received_units
                    <> remaining_units + reserved_units + used_units + given_units + expired_units
            OR least(granted_units, received_units, remaining_units, reserved_units, used_units, given_units,
                expired_units) < 0)
        """,
    ),
    Check(
        "bucket-is-its-entries",
        "Every quantity of a bucket is the sum of its entries.",
        f"""
        SELECT format('bucket %%s (%%s) differs from its entries', b.id, b.name)
        FROM balances_bucket b LEFT JOIN ({_EFFECTS}) e ON e.bucket_id = b.id
        WHERE b.enterprise_id = coalesce(%(enterprise)s, b.enterprise_id) AND
            (b.granted_units, b.received_units, b.given_units, b.used_units, b.expired_units, b.reserved_units)
            IS DISTINCT FROM (coalesce(e.granted, 0), coalesce(e.received, 0), coalesce(e.given, 0),
                coalesce(e.used, 0),
            coalesce(e.expired, 0), coalesce(e.reserved, 0))
        """,
    ),
    Check(
        "running-balance",
        "The last entry of a bucket shows what the bucket has left.",
        """
        SELECT format('bucket %%s: last entry says %%s, the bucket %%s', b.id, e.remaining_after, b.remaining_units)
        FROM balances_bucket b CROSS JOIN LATERAL (
            SELECT remaining_after FROM balances_entry WHERE bucket_id = b.id ORDER BY id DESC LIMIT 1) e
        WHERE b.enterprise_id = coalesce(%(enterprise)s, b.enterprise_id) AND e.remaining_after <> b.remaining_units
        """,
    ),
    Check(
        "transfers-sum-to-zero",
        "A transfer has both sides, and they are equal.",
        """
        SELECT format('transfer %%s: %%s out, %%s in', transfer, given, taken) FROM (
            SELECT transfer, coalesce(sum(units) FILTER (WHERE kind IN (4, 13)), 0) AS given,
                coalesce(sum(units) FILTER (WHERE kind = 3), 0) AS taken
            FROM balances_entry WHERE transfer IS NOT NULL AND enterprise_id = coalesce(%(enterprise)s, enterprise_id)
            GROUP BY transfer) t WHERE given <> taken
        """,
    ),
    Check(
        "rollovers-sum-to-zero",
        "What a bucket carried out is what its successor received.",
        """
        SELECT format('bucket %%s carried out %%s, its successor received %%s', s.id, o.units, b.received_units)
        FROM balances_bucket b JOIN balances_bucket s ON s.id = b.source_id
            CROSS JOIN LATERAL (SELECT coalesce(sum(units), 0) AS units FROM balances_entry
                WHERE bucket_id = s.id AND kind = 9) o
        WHERE b.kind = 'rollover' AND b.enterprise_id = coalesce(%(enterprise)s, b.enterprise_id)
            AND o.units <> b.received_units
        """,
    ),
    Check(
        "charge-lines-are-the-usage",
        "The charge lines of a usage record, granted and refused, sum to its rounded units.",
        """
        SELECT format('usage record %%s: charged %%s, its lines %%s', u.id, u.charged_units, coalesce(l.units, 0))
        FROM balances_usagerecord u LEFT JOIN (
            SELECT usage_id, used_at, sum(units + refused_units) AS units FROM balances_chargeline
            WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id) GROUP BY usage_id, used_at
        ) l ON l.usage_id = u.id AND l.used_at = u.used_at
        WHERE u.enterprise_id = coalesce(%(enterprise)s, u.enterprise_id) AND u.charged_units IS DISTINCT FROM l.units
        """,
    ),
    Check(
        "charge-lines-have-their-usage",
        "Every charge line belongs to a usage record.",
        """
        SELECT format('charge line %%s/%%s has no usage record', l.usage_id, l.number)
        FROM balances_chargeline l LEFT JOIN balances_usagerecord u ON u.id = l.usage_id AND u.used_at = l.used_at
        WHERE l.enterprise_id = coalesce(%(enterprise)s, l.enterprise_id) AND u.id IS NULL
        """,
    ),
    Check(
        "charge-line-is-draws-and-overage",
        "The units of the company's charge line are what it drew plus its overage.",
        """
        SELECT format('charge line %%s/%%s: %%s units, %%s drawn, %%s overage', usage_id, number, units, drawn,
            overage_units)
        FROM (SELECT *, (SELECT coalesce(sum(d), 0) FROM unnest(bucket_units) d) AS drawn FROM balances_chargeline
              WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id)) l
        WHERE payer = 1 AND units <> drawn + overage_units
        """,
    ),
    Check(
        "draws-are-consumption",
        "What charge lines of one charging transaction drew on a bucket is its consumption entry.",
        """
        WITH drawn AS (
            SELECT l.enterprise_id, l.charge_sequence, d.bucket_id, sum(d.units) AS units
            FROM balances_chargeline l CROSS JOIN LATERAL unnest(l.bucket_ids, l.bucket_units) AS d (bucket_id, units)
            WHERE l.enterprise_id = coalesce(%(enterprise)s, l.enterprise_id) GROUP BY 1, 2, 3
        ), consumed AS (
            SELECT enterprise_id, charge_sequence, bucket_id, sum(units) AS units FROM balances_entry
            WHERE kind = 2 AND enterprise_id = coalesce(%(enterprise)s, enterprise_id) GROUP BY 1, 2, 3
        )
        SELECT format('bucket %%s in transaction %%s: %%s drawn by charge lines, %%s in entries', bucket_id,
            charge_sequence,
            coalesce(drawn.units, 0), coalesce(consumed.units, 0))
        FROM drawn FULL JOIN consumed USING (enterprise_id, charge_sequence, bucket_id)
        WHERE drawn.units IS DISTINCT FROM consumed.units
        """,
    ),
    Check(
        "counters-are-the-subtree",
        "A counter is the sum of the charges of its line, or of all lines below its account as the tree was then.",
        f"""
        WITH counted AS ({_COUNTED})
        SELECT format('%%s %%s, cycle of %%s, service %%s, zone %%s: counter %%s, charges %%s',
            CASE owner_kind WHEN 1 THEN 'account' ELSE 'line' END, owner_id, period_start, service, zone_id,
            coalesce(c.used_units, 0), coalesce(n.used, 0))
        FROM counted n FULL JOIN (SELECT * FROM balances_counter WHERE grain = 1
                AND enterprise_id = coalesce(%(enterprise)s, enterprise_id)) c
            USING (enterprise_id, owner_kind, owner_id, period_start, service, zone_id, payer)
        WHERE (c.used_units, c.overage_units, c.amount_micros, c.records) IS DISTINCT FROM (n.used, n.overage,
            n.amount, n.records)
        """,
    ),
    Check(
        "days-are-the-cycle",
        "The daily counters of an account sum to what the company has paid of it over all cycles.",
        """
        SELECT format('account %%s, service %%s, zone %%s: %%s by day, %%s by cycle', owner_id, service,
            zone_id, day, cycle)
        FROM (SELECT owner_id, service, zone_id, coalesce(sum(used_units) FILTER (WHERE grain = 2), 0) AS day,
                  coalesce(sum(used_units) FILTER (WHERE grain = 1), 0) AS cycle
              FROM balances_counter WHERE owner_kind = 1 AND payer = 1
                AND enterprise_id = coalesce(%(enterprise)s, enterprise_id)
              GROUP BY 1, 2, 3) c WHERE day <> cycle
        """,
    ),
    Check(
        "every-record-has-an-outcome",
        "Accepted = charged + duplicate + suspended, for every part that is done.",
        """
        SELECT format('part %%s: %%s records, %%s charged, %%s duplicate, %%s suspended', id, record_count,
            charged_count,
            duplicate_count, suspended_count)

            FROM balances_usagepart
            WHERE state = 'done' AND enterprise_id IS NOT DISTINCT FROM coalesce(%(enterprise)s, enterprise_id)
            AND (record_count <> charged_count + duplicate_count + suspended_count OR length(outcomes) <> record_count)
        """,
    ),
    Check(
        "batches-are-their-parts",
        "The parts of a batch hold all the records that were accepted.",
        """
        SELECT format('batch %%s: %%s accepted, %%s in parts', b.id, b.accepted_records,
            coalesce(sum(p.record_count), 0))
        FROM balances_usagebatch b LEFT JOIN balances_usagepart p ON p.batch_id = b.id
        WHERE b.enterprise_id IS NOT DISTINCT FROM coalesce(%(enterprise)s, b.enterprise_id)
        GROUP BY b.id HAVING b.accepted_records <> coalesce(sum(p.record_count), 0)
        """,
    ),
    Check(
        "charged-once",
        "Each record that a part counts as charged is one usage record, or the two of a fork; each of them is counted.",
        """
        SELECT format('part %%s: %%s charged, %%s usage records', coalesce(p.id, u.part_id),
            coalesce(p.charged_count, 0),
            coalesce(u.records, 0))
        FROM (SELECT id, charged_count FROM balances_usagepart WHERE charged_count > 0
                AND enterprise_id IS NOT DISTINCT FROM coalesce(%(enterprise)s, enterprise_id)) p
            FULL JOIN (SELECT part_id, count(*) FILTER (WHERE counterpart_id IS NULL) AS records
                FROM balances_usagerecord WHERE enterprise_id IS NOT DISTINCT FROM coalesce(%(enterprise)s,
                    enterprise_id) GROUP BY part_id) u ON u.part_id = p.id
        WHERE p.charged_count IS DISTINCT FROM u.records
        """,
    ),
    Check(
        "suspended-once",
        "Each record that a part counts as suspended stands in suspense.",
        """
        SELECT format('part %%s: %%s suspended, %%s in suspense', coalesce(p.id, s.part_id),
            coalesce(p.suspended_count, 0),
            coalesce(s.records, 0))
        FROM (SELECT id, suspended_count FROM balances_usagepart WHERE suspended_count > 0
                AND enterprise_id IS NOT DISTINCT FROM coalesce(%(enterprise)s, enterprise_id)) p
            FULL JOIN (SELECT part_id, count(*) AS records FROM balances_suspendedusage
                WHERE enterprise_id IS NOT DISTINCT FROM coalesce(%(enterprise)s,
                    enterprise_id) GROUP BY part_id) s ON s.part_id = p.id
        WHERE p.suspended_count IS DISTINCT FROM s.records
        """,
    ),
    Check(
        "one-usage-record-an-identity",
        "Each usage record holds its identity, of a fork the company's; no identity points into the void.",
        """
        SELECT format('%%s of source %%s: identity %%s, usage record %%s', coalesce(i.source_record_id,
            u.source_record_id),
            coalesce(i.source_id, u.source_id), coalesce(i.usage_id::text, 'none'), coalesce(u.id::text, 'none'))
        FROM (SELECT * FROM balances_usageidentity WHERE usage_id > 0
                AND enterprise_id = coalesce(%(enterprise)s, enterprise_id)) i
            FULL JOIN (SELECT id, enterprise_id, source_id, source_record_id FROM balances_usagerecord
                WHERE counterpart_id IS NULL AND enterprise_id = coalesce(%(enterprise)s, enterprise_id)) u
                ON u.id = i.usage_id
        WHERE (i.enterprise_id, i.source_id, i.source_record_id) IS DISTINCT FROM
              (u.enterprise_id, u.source_id, u.source_record_id)
        """,
    ),
    Check(
        "forks-share-their-place",
        "A personal record of a fork names the one that holds the identity, of the same record of the same part.",
        """
        SELECT format('usage record %%s: record %%s of part %%s; its counterpart %%s: record %%s of part %%s', p.id,
            p.position, p.part_id, p.counterpart_id, c.position, c.part_id)
        FROM balances_usagerecord p LEFT JOIN balances_usagerecord c ON c.id = p.counterpart_id
        WHERE p.counterpart_id IS NOT NULL AND p.enterprise_id = coalesce(%(enterprise)s, p.enterprise_id)
            AND (c.counterpart_id IS NOT NULL
                OR (p.enterprise_id, p.line_id, p.part_id, p.position, p.source_id, p.source_record_id) IS DISTINCT FROM
                    (c.enterprise_id, c.line_id, c.part_id, c.position, c.source_id, c.source_record_id))
        """,
    ),
    Check(
        "payer-of-a-record",
        "A usage record and its charge lines have one payer.",
        """
        SELECT format('usage record %%s is paid by %%s, its charge line %%s by %%s', u.id, u.payer, l.number, l.payer)
        FROM balances_usagerecord u JOIN balances_chargeline l ON l.usage_id = u.id AND l.used_at = u.used_at
        WHERE u.enterprise_id = coalesce(%(enterprise)s, u.enterprise_id) AND l.payer <> u.payer
        """,
    ),
    Check(
        "crossings-were-reached",
        "Each crossing stands at or above its mark.",
        """
        SELECT format('crossing %%s: mark %%s, used %%s', id, level_units, used_units) FROM balances_crossing
        WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id) AND used_units < level_units
        """,
    ),
    Check(
        "marks-reached-have-crossings",
        "A mark in units that usage has passed since it was set has its crossing.",
        """
        SELECT format('threshold %%s of %%s units, cycle of %%s: used %%s, no crossing', t.id, t.units,
            c.period_start, c.used)
        FROM balances_threshold t JOIN (
            SELECT enterprise_id, owner_kind, owner_id, service, period_start, sum(used_units) AS used
            FROM balances_counter WHERE grain = 1 AND payer = 1 GROUP BY 1, 2, 3, 4, 5) c
          ON c.enterprise_id = t.enterprise_id AND c.service = t.service
            AND c.owner_kind = CASE WHEN t.account_id IS NULL THEN 2 ELSE 1 END
            AND c.owner_id = coalesce(t.account_id, t.line_id)
        WHERE t.units IS NOT NULL AND c.used >= t.units
            AND t.enterprise_id = coalesce(%(enterprise)s, t.enterprise_id)
            AND EXISTS (SELECT FROM balances_chargeline l JOIN balances_usagerecord u
                    ON u.id = l.usage_id AND u.used_at = l.used_at JOIN balances_accountpath p ON p.id = l.path_id
                WHERE l.enterprise_id = t.enterprise_id AND l.payer = 1 AND l.cycle_start = c.period_start
                    AND u.service = t.service AND u.charged_at > t.created_at
                    AND (t.account_id = ANY (p.account_ids) OR t.line_id = u.line_id))
            AND NOT EXISTS (SELECT FROM balances_crossing x WHERE x.threshold_id = t.id
                AND x.period_start = c.period_start)
        """,
    ),
    Check(
        "exchanges-at-their-rate",
        "An exchange has both sides, and comes to what its rate says, rounded down.",
        """
        SELECT format('exchange %%s: gave %%s (entry %%s), received %%s (entry %%s) at %%s for %%s', x.id,
            x.given_units, e.given, x.received_units, e.taken, r.from_units, r.to_units)
        FROM balances_exchange x JOIN balances_exchangerate r ON r.id = x.rate_id CROSS JOIN LATERAL (
            SELECT sum(units) FILTER (WHERE kind = 14 AND bucket_id = x.from_bucket_id) AS given,
                sum(units) FILTER (WHERE kind = 15 AND bucket_id = x.to_bucket_id) AS taken
            FROM balances_entry WHERE transfer = x.transfer) e
        WHERE x.enterprise_id = coalesce(%(enterprise)s, x.enterprise_id)
            AND ((e.given, e.taken) IS DISTINCT FROM (x.given_units, x.received_units)
                OR x.received_units <> div(x.given_units::numeric * r.to_units, r.from_units))
        """,
    ),
    Check(
        "draw-use-is-drawn",
        "What a cap counts is what charge lines drew on buckets above its owner.",
        """
        SELECT format('owner %%s/%%s, service %%s, cycle of %%s: counted %%s, drawn %%s', d.owner_kind, d.owner_id,
            d.service, d.cycle_start, d.units, coalesce(s.units, 0))
        FROM balances_drawuse d CROSS JOIN LATERAL (
            SELECT sum(x.units) AS units FROM balances_chargeline l
                JOIN balances_accountpath p ON p.id = l.path_id
                JOIN balances_usagerecord u ON u.id = l.usage_id AND u.used_at = l.used_at
                CROSS JOIN LATERAL unnest(l.bucket_ids, l.bucket_units) AS x (bucket_id, units)
                JOIN balances_bucket b ON b.id = x.bucket_id
            WHERE l.enterprise_id = d.enterprise_id AND l.cycle_start = d.cycle_start AND u.service = d.service
                AND b.account_id IS NOT NULL AND CASE d.owner_kind WHEN 2 THEN u.line_id = d.owner_id
                    ELSE array_position(p.account_ids, b.account_id) > array_position(p.account_ids, d.owner_id) END) s
        WHERE d.enterprise_id = coalesce(%(enterprise)s, d.enterprise_id) AND d.units <> coalesce(s.units, 0)
        """,
    ),
    Check(
        "reservations-are-reserved",
        "What open reservations, offers and trades that wait hold of a bucket is its reserved quantity.",
        """
        SELECT format('bucket %%s: %%s reserved, reservations, offers and trades hold %%s', b.id, b.reserved_units,
            coalesce(r.units, 0))
        FROM balances_bucket b LEFT JOIN (SELECT bucket_id, sum(units) AS units FROM (
                SELECT bucket_id, granted_units AS units FROM balances_reservation WHERE state = 'open'
                UNION ALL SELECT bucket_id, held_units FROM balances_offer WHERE held_units > 0
                UNION ALL SELECT bucket_id, got_units FROM balances_trade WHERE state = 'waiting' AND got_units > 0) h
            GROUP BY bucket_id) r ON r.bucket_id = b.id
        WHERE b.enterprise_id = coalesce(%(enterprise)s, b.enterprise_id) AND b.reserved_units <> coalesce(r.units, 0)
        """,
    ),
    Check(
        "offers-are-their-escrow",
        "What offers and trades that wait hold of a bucket is what its escrow entries say.",
        """
        SELECT format('bucket %%s: offers hold %%s, escrow entries %%s', bucket_id, coalesce(h.units, 0),
            coalesce(e.units, 0))
        FROM (SELECT bucket_id, sum(units) AS units FROM (
                SELECT bucket_id, held_units AS units, enterprise_id FROM balances_offer WHERE held_units > 0
                UNION ALL SELECT bucket_id, got_units, enterprise_id FROM balances_trade
                WHERE state = 'waiting' AND got_units > 0) o
              WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id) GROUP BY bucket_id) h
            FULL JOIN (SELECT bucket_id, sum(CASE kind WHEN 11 THEN units ELSE -units END) AS units
                FROM balances_entry WHERE kind IN (11, 12, 13)
                AND enterprise_id = coalesce(%(enterprise)s, enterprise_id) GROUP BY bucket_id) e USING (bucket_id)
        WHERE coalesce(h.units, 0) <> coalesce(e.units, 0)
        """,
    ),
    Check(
        "offers-are-their-trades",
        "What an offer holds is what is open of it and what its waiting trades give; what is gone was settled.",
        """
        SELECT format('offer %%s: holds %%s of %%s given', o.id, o.held_units, o.gives_units) FROM balances_offer o
            LEFT JOIN LATERAL (SELECT coalesce(sum(gave_units) FILTER (WHERE state = 'waiting'), 0) AS waiting
                FROM balances_trade t WHERE t.offer_id = o.id) t ON true
        WHERE o.enterprise_id = coalesce(%(enterprise)s, o.enterprise_id) AND o.held_units <>
            t.waiting + CASE WHEN o.state = 'open' AND o.gives_units > 0 THEN o.open_units ELSE 0 END
        """,
    ),
    Check(
        "loans-are-what-came-back",
        "What came back of a loan is what its acts say; its bucket received the rest, and closes after its return.",
        """
        SELECT format('loan %%s: %%s lent, %%s back; its acts say %%s returned and %%s repaid, its bucket received %%s',
            l.id, l.units, l.returned_units, a.returned, a.repaid, b.received_units)
        FROM balances_loan l JOIN balances_bucket b ON b.id = l.bucket_id CROSS JOIN LATERAL (
            SELECT coalesce(sum(units) FILTER (WHERE kind = 'returned'), 0) AS returned,
                coalesce(sum(units) FILTER (WHERE kind = 'repaid'), 0) AS repaid
            FROM balances_offeract WHERE trade_id = l.trade_id) a
        WHERE l.enterprise_id = coalesce(%(enterprise)s, l.enterprise_id) AND (
            l.returned_units <> a.returned + a.repaid OR b.received_units <> l.units - a.returned
            OR l.state = 'lent' AND b.closed_at IS NOT NULL)
        """,
    ),
    Check(
        "standing-runs-are-their-trades",
        "What a run of a standing transfer gave is what its trades give, to the account that it is for.",
        """
        SELECT format('run %%s of standing transfer %%s: %%s units, its trades %%s', r.id, r.standing_id, r.units,
            t.units)
        FROM balances_standingrun r JOIN balances_standingtransfer s ON s.id = r.standing_id CROSS JOIN LATERAL (
            SELECT coalesce(sum(t.units), 0) AS units, coalesce(bool_or(t.account_id <> s.to_account_id), false) AS led
            FROM balances_trade t WHERE t.run_id = r.id) t
        WHERE r.enterprise_id = coalesce(%(enterprise)s, r.enterprise_id) AND (r.units <> t.units OR t.led
            OR r.units > s.units)
        """,
    ),
    Check(
        "returns-have-their-entries",
        "Each act that brought units of a loan back is one transfer of so many units.",
        """
        SELECT format('act %%s: %%s units came back, its transfer moved %%s', a.id, a.units, coalesce(e.units, 0))
        FROM balances_offeract a LEFT JOIN LATERAL (SELECT sum(abs(units)) AS units FROM balances_entry
            WHERE transfer = a.transfer AND kind = 3) e ON true
        WHERE a.enterprise_id = coalesce(%(enterprise)s, a.enterprise_id) AND a.kind IN ('returned', 'repaid')
            AND a.units <> coalesce(e.units, 0)
        """,
    ),
)


def prove(*, enterprise_id: int | None = None, checks: tuple[Check, ...] = CHECKS) -> Iterator[Finding]:
    """Run these checks, for one enterprise or all, in one snapshot; yields each finding as it is known."""
    has_snapshot = connection.in_atomic_block  # the caller's
    with transaction.atomic(), connection.cursor() as cursor:
        if not has_snapshot:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for check in checks:
            cursor.execute(f"{check.query} LIMIT {MOST_SHOWN}", {"enterprise": enterprise_id})
            yield Finding(check, tuple(row[0] for row in cursor.fetchall()))


def accounted(*, enterprise_id: int | None = None) -> dict[str, int]:
    """Records by what became of them: accepted = charged + duplicate + suspended + waiting + parked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(record_count), 0), coalesce(sum(charged_count), 0), "
            "coalesce(sum(duplicate_count), 0), "
            "coalesce(sum(suspended_count), 0), coalesce(sum(record_count) FILTER (WHERE state = 'queued'), 0), "
            "coalesce(sum(record_count) FILTER (WHERE state = 'parked'), 0) FROM balances_usagepart "
            "WHERE enterprise_id IS NOT DISTINCT FROM coalesce(%(enterprise)s, enterprise_id)",
            {"enterprise": enterprise_id},
        )
        names = ("accepted", "charged", "duplicate", "suspended", "waiting", "parked")
        return dict(zip(names, map(int, cursor.fetchone()), strict=True))
