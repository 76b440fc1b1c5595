"""Proof of personal accounts on live data: the identities that must always hold, each as one query that finds faults.

Owns: the checks that `manage.py check_ledger` adds to those of `balances.proof`; faults name ids and sums, not people.
Each has a test that damages the data and sees it named.
"""

from __future__ import annotations

from balances.proof import Check

CHECKS: tuple[Check, ...] = (
    Check(
        "personal-balance-is-its-entries",
        "The balance of a personal account is the sum of its entries.",
        """
        SELECT format('personal account %%s: %%s, its entries %%s', a.id, a.balance_micros, coalesce(e.micros, 0))
        FROM balances_personalaccount a LEFT JOIN (
            SELECT account_id, sum(micros) AS micros FROM balances_personalentry GROUP BY 1) e ON e.account_id = a.id
        WHERE a.enterprise_id = coalesce(%(enterprise)s, a.enterprise_id)
            AND a.balance_micros <> coalesce(e.micros, 0)
        """,
    ),
    Check(
        "personal-running-balance",
        "Each entry of a personal account shows the balance after it, the last one what the account has.",
        """
        SELECT format('personal account %%s, entry %%s: says %%s, the entries up to it %%s', e.account_id, e.id,
            e.balance_after_micros, e.total)
        FROM (SELECT *, sum(micros) OVER (PARTITION BY account_id ORDER BY id) AS total
              FROM balances_personalentry) e JOIN balances_personalaccount a ON a.id = e.account_id
        WHERE a.enterprise_id = coalesce(%(enterprise)s, a.enterprise_id) AND e.balance_after_micros <> e.total
        """,
    ),
    Check(
        "personal-balance-within-credit",
        "No prepaid account is below zero, no postpaid one below its credit limit.",
        """
        SELECT format('personal account %%s: %%s with a credit of %%s', id, balance_micros, credit_limit_micros)
        FROM balances_personalaccount WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id)
            AND (balance_micros < -credit_limit_micros OR kind = 'prepaid' AND credit_limit_micros <> 0)
        """,
    ),
    Check(
        "personal-buckets-are-draws",
        "What was used of an allowance is what charge lines and settled usage drew, never more than its grant.",
        """
        SELECT format('personal bucket %%s: used %%s of %%s, drawn %%s', coalesce(b.id, d.id), b.used_units,
            b.granted_units, coalesce(d.units, 0))
        FROM (SELECT b.* FROM balances_personalbucket b JOIN balances_personalaccount a ON a.id = b.account_id
                WHERE a.enterprise_id = coalesce(%(enterprise)s, a.enterprise_id)) b
            FULL JOIN (SELECT t.id, sum(t.units) AS units FROM (
                SELECT d.* FROM balances_chargeline l
                    CROSS JOIN LATERAL unnest(l.personal_bucket_ids, l.personal_bucket_units) AS d (id, units)
                WHERE l.payer = 2 AND l.enterprise_id = coalesce(%(enterprise)s, l.enterprise_id)
                UNION ALL
                SELECT d.* FROM balances_openpersonalusage o
                    CROSS JOIN LATERAL unnest(o.bucket_ids, o.bucket_units) AS d (id, units)
                WHERE o.enterprise_id = coalesce(%(enterprise)s, o.enterprise_id)) t GROUP BY 1) d ON d.id = b.id
        WHERE b.used_units IS DISTINCT FROM coalesce(d.units, 0) OR b.used_units > b.granted_units
        """,
    ),
    Check(
        "personal-charges-are-entries",
        "What charge lines of one charging transaction cost a personal account is its entry.",
        """
        SELECT format('personal account %%s in transaction %%s: charge lines %%s, entries %%s', account_id,
            charge_sequence, coalesce(l.micros, 0), coalesce(e.micros, 0))
        FROM (SELECT enterprise_id, personal_account_id AS account_id, charge_sequence, sum(personal_micros) AS micros
              FROM balances_chargeline WHERE payer = 2 AND personal_micros > 0
                AND enterprise_id = coalesce(%(enterprise)s, enterprise_id) GROUP BY 1, 2, 3) l
            FULL JOIN (SELECT a.enterprise_id, e.account_id, e.charge_sequence, -sum(e.micros) AS micros
              FROM balances_personalentry e JOIN balances_personalaccount a ON a.id = e.account_id
              WHERE e.kind = 'charge' AND a.enterprise_id = coalesce(%(enterprise)s, a.enterprise_id)
              GROUP BY 1, 2, 3) e USING (enterprise_id, account_id, charge_sequence)
        WHERE l.micros IS DISTINCT FROM e.micros
        """,
    ),
    Check(
        "personal-settlements-are-usage",
        "What settled usage came to is the entry that it was settled with, of an account of its person.",
        """
        SELECT format('entry %%s of personal account %%s: %%s, the usage that it settles %%s', e.id, e.account_id,
            -e.micros, coalesce(o.micros, 0))
        FROM balances_personalentry e JOIN balances_personalaccount a ON a.id = e.account_id
            LEFT JOIN (SELECT entry_id, sum(amount_micros) AS micros, min(person_id) AS first, max(person_id) AS last
                FROM balances_openpersonalusage WHERE state = 'charged' GROUP BY 1) o ON o.entry_id = e.id
        WHERE a.enterprise_id = coalesce(%(enterprise)s, a.enterprise_id)
            AND (e.kind = 'settlement' OR o.entry_id IS NOT NULL)
            AND (e.kind <> 'settlement' OR -e.micros IS DISTINCT FROM o.micros
                OR o.first IS DISTINCT FROM a.person_id OR o.last IS DISTINCT FROM a.person_id)
        """,
    ),
    Check(
        "personal-line-is-its-parts",
        "A personal charge line is what it drew, paid for and has on credit; what it refused stands as refused usage.",
        """
        SELECT format('charge line %%s/%%s: %%s units, %%s drawn, %%s on credit, price %%s; refused %%s, of it open '
            'usage %%s', l.usage_id, l.number, l.units, l.drawn, coalesce(o.credit, 0), l.personal_rate_id,
            l.refused_units, coalesce(o.refused, 0))
        FROM (SELECT *, (SELECT coalesce(sum(d), 0) FROM unnest(personal_bucket_units) d) AS drawn
              FROM balances_chargeline WHERE payer = 2 AND enterprise_id = coalesce(%(enterprise)s, enterprise_id)) l
            LEFT JOIN balances_personalrate r ON r.id = l.personal_rate_id
            FULL JOIN (SELECT usage_id, number, sum(units) FILTER (WHERE state = 'refused') AS refused,
                sum(units) FILTER (WHERE state <> 'refused') AS credit
                FROM balances_openpersonalusage WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id)
                GROUP BY 1, 2) o ON o.usage_id = l.usage_id AND o.number = l.number
            CROSS JOIN LATERAL (SELECT l.units - l.drawn - coalesce(o.credit, 0) AS priced) p
        WHERE l.usage_id IS NULL OR l.refused_units <> coalesce(o.refused, 0) OR p.priced < 0
            OR (p.priced > 0) <> (r.id IS NOT NULL) OR l.personal_micros <> coalesce(
                div(p.priced * r.price_micros * 2 + r.block_units, 2 * r.block_units::numeric), 0)
            OR (l.drawn > 0 OR p.priced > 0) <> (l.personal_account_id IS NOT NULL)
        """,
    ),
    Check(
        "personal-settled-at-their-price",
        "Settled usage came to the price of what it did not draw, by the tariff of the account that paid it.",
        """
        SELECT format('open usage %%s: %%s units, %%s drawn, came to %%s', o.id, o.units, o.drawn, o.amount_micros)
        FROM (SELECT *, (SELECT coalesce(sum(d), 0) FROM unnest(bucket_units) d) AS drawn
              FROM balances_openpersonalusage WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id)) o
            LEFT JOIN balances_personalrate r ON r.id = o.rate_id
            LEFT JOIN balances_personaltariffversion v ON v.id = r.version_id
            LEFT JOIN balances_personalentry e ON e.id = o.entry_id
            LEFT JOIN balances_personalaccount a ON a.id = e.account_id
        WHERE (o.state = 'charged') <> (e.id IS NOT NULL) OR (o.units > o.drawn) <> (r.id IS NOT NULL)
                AND o.state = 'charged' OR o.drawn > o.units OR o.drawn > 0 AND o.state <> 'charged'
            OR r.id IS NOT NULL AND (v.tariff_id <> a.tariff_id OR v.effective_at > o.starts_at
                OR r.service <> o.service OR r.zone_id <> o.zone_id)
            OR o.state = 'charged' AND o.amount_micros <> coalesce(
                div((o.units - o.drawn) * r.price_micros * 2 + r.block_units, 2 * r.block_units::numeric), 0)
        """,
    ),
    Check(
        "personal-account-of-the-time",
        "A person's usage is paid by their own account, which was accepted when it was used, by its tariff.",
        """
        SELECT format('charge line %%s/%%s: personal account %%s is not the one of its time', l.usage_id, l.number,
            l.personal_account_id)
        FROM balances_chargeline l
            JOIN balances_usagerecord u ON u.id = l.usage_id AND u.used_at = l.used_at
            LEFT JOIN balances_personalaccount a ON a.id = l.personal_account_id
            LEFT JOIN balances_personalrate r ON r.id = l.personal_rate_id
            LEFT JOIN balances_personaltariffversion v ON v.id = r.version_id
        WHERE l.payer = 2 AND l.enterprise_id = coalesce(%(enterprise)s, l.enterprise_id)
            AND l.personal_account_id IS NOT NULL
            AND (a.id IS NULL OR (a.enterprise_id, a.person_id) IS DISTINCT FROM (l.enterprise_id, u.person_id)
                OR a.accepted_at IS NULL OR l.starts_at < a.accepted_at OR v.tariff_id <> a.tariff_id
                OR v.effective_at > l.starts_at OR r.service <> u.service OR r.zone_id <> u.zone_id)
        """,
    ),
    Check(
        "open-usage-is-its-persons",
        "Open usage stands with the person, line, service and time of its charge line.",
        """
        SELECT format('open usage %%s is not that of charge line %%s/%%s', o.id, o.usage_id, o.number)
        FROM balances_openpersonalusage o
            LEFT JOIN balances_chargeline l ON l.usage_id = o.usage_id AND l.used_at = o.used_at
                AND l.number = o.number
            LEFT JOIN balances_usagerecord u ON u.id = o.usage_id AND u.used_at = o.used_at
        WHERE o.enterprise_id = coalesce(%(enterprise)s, o.enterprise_id) AND (l.payer IS DISTINCT FROM 2 OR
            (o.enterprise_id, o.line_id, o.person_id, o.service, o.zone_id, o.starts_at)
            IS DISTINCT FROM (l.enterprise_id, u.line_id, u.person_id, u.service, u.zone_id, l.starts_at))
        """,
    ),
    Check(
        "personal-usage-has-no-days",
        "What people pay is counted by cycle only: nobody can read from counters on which day it was.",
        """
        SELECT format('counter of owner %%s on %%s', owner_id, period_start) FROM balances_counter
        WHERE payer = 2 AND grain <> 1 AND enterprise_id = coalesce(%(enterprise)s, enterprise_id)
        """,
    ),
)
