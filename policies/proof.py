"""Proof of limits on live data: the identities that must always hold, each as one query that finds what is off.

Owns: the checks that `manage.py check_ledger` adds to those of `balances.proof`. Each has a test that damages the data
and sees it named.
"""

from __future__ import annotations

from balances.proof import Check
from policies.counting import COUNTS, MATCHED, OF_ACCOUNT, OF_LINE, OF_TAG, PERIOD_START

_COUNTED = f"""
    SELECT w.id AS limit_id, {PERIOD_START} AS period_start,
        sum(CASE w.measure WHEN 'money' THEN l.amount_micros ELSE l.units END) AS used
    FROM {MATCHED}
    WHERE w.first_id IS NULL AND w.enterprise_id = coalesce(%(enterprise)s, w.enterprise_id)
        AND EXISTS (SELECT FROM policies_limit s WHERE coalesce(s.first_id, s.id) = w.id AND s.retired_at IS NULL)
        AND ({OF_ACCOUNT} OR {OF_LINE} OR (w.tag <> '' AND {OF_TAG})) AND {COUNTS}
    GROUP BY 1, 2
"""

#: What stands now of each succession, with what was consented to and since when it decides as it does.
_STANDING = """
    SELECT u.limit_id, u.period_start, u.used, s.id AS row_id, s.action, s.measure, s.ends_at, s.needs_approval,
        s.amount + s.grace_units + coalesce(c.extra, 0) AS bound, s."window" AS every, coalesce(c.unbounded, false)
        AS unbounded, greatest(s.made_sequence, c.revoked) AS since
    FROM policies_limituse u
        JOIN policies_limit s ON coalesce(s.first_id, s.id) = u.limit_id AND s.retired_at IS NULL
        LEFT JOIN LATERAL (
            SELECT sum(amount) FILTER (WHERE revoked_at IS NULL) AS extra,
                bool_or(amount IS NULL) FILTER (WHERE revoked_at IS NULL) AS unbounded,
                max(revoked_sequence) AS revoked
            FROM policies_consent WHERE limit_id = u.limit_id AND period_start = u.period_start) c ON true
    WHERE u.enterprise_id = coalesce(%(enterprise)s, u.enterprise_id)
"""

CHECKS: tuple[Check, ...] = (
    Check(
        "limit-use-is-charge-lines",
        "What a limit has counted in a period is the sum of the charge lines that it matches.",
        f"""
        SELECT format('limit %%s, period of %%s: counted %%s, charge lines %%s', coalesce(u.limit_id, k.limit_id),
            coalesce(u.period_start, k.period_start), coalesce(u.used, 0), coalesce(k.used, 0))
        FROM (SELECT x.* FROM policies_limituse x JOIN policies_limit s
                ON coalesce(s.first_id, s.id) = x.limit_id AND s.retired_at IS NULL
                WHERE x.enterprise_id = coalesce(%(enterprise)s, x.enterprise_id)) u
            FULL JOIN ({_COUNTED}) k ON k.limit_id = u.limit_id AND k.period_start = u.period_start
        WHERE coalesce(u.used, 0) <> coalesce(k.used, 0)
        """,
    ),
    Check(
        "strict-limits-are-not-passed",
        "A limit that stops at once or waits for consent granted nothing beyond its amount, consents and grace.",
        f"""
        SELECT format('limit %%s, period of %%s: used %%s of %%s', p.limit_id, p.period_start, p.used, p.bound)
        FROM ({_STANDING}) p
            JOIN policies_limit w ON w.id = p.limit_id
            CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE l.units > 0 AND l.charge_sequence > p.since) AS granted,
                    sum(CASE p.measure WHEN 'money' THEN l.amount_micros ELSE l.units END)
                        FILTER (WHERE l.reasons ~ '\\m(emergency|exempt:|correction:)') AS excepted
                FROM (SELECT * FROM policies_limit WHERE id = p.limit_id) AS w
                    JOIN balances_usagerecord u ON u.enterprise_id = w.enterprise_id
                    JOIN balances_chargeline l ON l.usage_id = u.id AND l.used_at = u.used_at
                        AND l.payer = 1 AND l.starts_at >= w.counts_from
                    JOIN balances_accountpath a ON a.id = l.path_id
                    JOIN balances_contractversion v ON v.id = l.version_id
                    JOIN balances_contract c ON c.id = v.contract_id
                    JOIN balances_zone z ON z.id = u.zone_id
                WHERE {COUNTS} AND {PERIOD_START} = p.period_start
                    AND (w.account_id = ANY (a.account_ids) OR {OF_LINE} OR (w.tag <> '' AND {OF_TAG}))
                    AND (p.measure = 'units' OR l.amount_micros > 0)) g
        WHERE p.action IN ('stop_now', 'consent', 'suspend', 'steer_personal') AND NOT p.needs_approval
            AND p.ends_at IS NULL AND NOT p.unbounded AND p.every <> 'sliding_24h'
            AND p.used - coalesce(g.excepted, 0) > p.bound AND g.granted > 0
        """,
    ),
    Check(
        "limit-crossings-were-reached",
        "Each mark that a limit's use stands at or above has its crossing.",
        """
        SELECT format('limit %%s, period of %%s: used %%s, mark %%s without a crossing', u.limit_id, u.period_start,
            u.used, m.level)
        FROM policies_limituse u
            JOIN policies_limit s ON coalesce(s.first_id, s.id) = u.limit_id AND s.retired_at IS NULL
            LEFT JOIN LATERAL (SELECT sum(amount) AS extra, bool_or(amount IS NULL) AS unbounded FROM policies_consent
                WHERE limit_id = u.limit_id AND period_start = u.period_start AND revoked_at IS NULL) c ON true
            CROSS JOIN LATERAL (
                SELECT unnest(s.marks) AS level UNION
                SELECT greatest(ceil((s.amount + coalesce(c.extra, 0)) * percent / 100.0), 1)::bigint
                FROM unnest(s.percents) AS percent WHERE NOT coalesce(c.unbounded, false)) m
        WHERE u.enterprise_id = coalesce(%(enterprise)s, u.enterprise_id) AND s."window" <> 'sliding_24h'
            AND s.ends_at IS NULL AND u.used >= m.level
            AND (s.first_id IS NULL OR u.period_start >= s.made_at)
            AND NOT EXISTS (SELECT FROM policies_limitcrossing x WHERE x.first_id = u.limit_id
                AND x.period_start = u.period_start AND x.level = m.level)
        """,
    ),
)
