"""Proof of who pays on live data: the identities that must always hold, each as one query that finds what is off.

Owns: the checks that `manage.py check_ledger` adds to those of `balances.proof`; faults name ids and sums, not people.
Each has a test that damages the data and sees it named. Taken for granted is that nobody handed a line on within the
few minutes by which usage may be dated ahead of its charge: then a person's budget was that of the one before.
"""

from __future__ import annotations

from balances.proof import Check
from policies.models import BudgetMeasure, BudgetOwner
from policies.steering.outcomes import NUMBERS

_UNITS, _MICROS, _SHARED = (int(measure) for measure in BudgetMeasure)
_OF_ACCOUNT, _OF_LINE, _OF_PERSON = (int(owner) for owner in BudgetOwner)

#: What each rule and default of each published version says: its name as budgets have it, and its parts, each with its
#: place; one payer alone is one part.
_SAID = f"""
    SELECT r.enterprise_id, r.steering_id, r.account_id, r.rule_id, r.name, p.place::int AS part,
        CASE jsonb_typeof(r.pays) WHEN 'array' THEN p.said ELSE jsonb_build_object('payer', r.pays) END AS said,
        CASE jsonb_typeof(r.pays) WHEN 'array' THEN r.pays END AS parts
    FROM (SELECT v.enterprise_id, v.steering_id, s.account_id, v.id * {NUMBERS} + n.number AS rule_id,
              casefold((n.rule ->> 'name') COLLATE pg_unicode_fast) AS name, n.rule -> 'pays' AS pays
          FROM policies_steeringversion v JOIN policies_steering s ON s.id = v.steering_id
              CROSS JOIN LATERAL jsonb_array_elements(v.rules) WITH ORDINALITY AS n (rule, number)
          WHERE v.state <> 'draft' AND v.enterprise_id = coalesce(%(enterprise)s, v.enterprise_id)
          UNION ALL
          SELECT v.enterprise_id, v.steering_id, s.account_id, v.id * {NUMBERS}, '',
              coalesce(v.default, '"corporate"')
          FROM policies_steeringversion v JOIN policies_steering s ON s.id = v.steering_id
          WHERE v.state <> 'draft' AND v.enterprise_id = coalesce(%(enterprise)s, v.enterprise_id)) r
        CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(r.pays) WHEN 'array' THEN r.pays
            ELSE jsonb_build_array(r.pays) END) WITH ORDINALITY AS p (said, place)
"""

#: The budgets of the parts: name and measure as `SteeringUse` has them; percents in a row have one, at their first.
_BUDGETS = f"""
    SELECT enterprise_id, steering_id, account_id, rule_id, part, said ->> 'of' AS of, name || '#' || part || ' '
        || coalesce((said ->> 'payer') || ' ' || (said ->> 'every'), 'percent') AS budget,
        coalesce(said ->> 'every', 'cycle') AS every,
        coalesce(said ->> 'units', said ->> 'micros')::bigint AS amount,
        CASE WHEN said ? 'units' THEN {_UNITS} WHEN said ? 'micros' THEN {_MICROS} ELSE {_SHARED} END AS measure
    FROM ({_SAID}) t
    WHERE said ? 'every' OR (said ? 'percent' AND (part = 1 OR NOT parts -> (part - 2) ? 'percent'))
"""

#: Charge lines with the rule that decided, also of those that a limit or a policy left to the person (no part of it).
_LINES = """
    SELECT l.units, l.refused_units, l.part, l.starts_at, l.cycle_start, u.line_id, c.time_zone,
        coalesce(l.rule_id, substring(l.reasons FROM '\\msteer(?:_default)?:(\\d+)')::bigint) AS rule_id,
        div(2::numeric * l.units * r.overage_price_micros + r.overage_block_units, 2 * r.overage_block_units) AS micros
    FROM balances_chargeline l JOIN balances_usagerecord u ON u.id = l.usage_id AND u.used_at = l.used_at
        JOIN balances_contractversion v ON v.id = l.version_id JOIN balances_contract c ON c.id = v.contract_id
        JOIN balances_rate r ON r.id = l.rate_id
    WHERE l.enterprise_id = coalesce(%(enterprise)s, l.enterprise_id)
        AND (l.rule_id IS NOT NULL OR l.payer = 2)
"""

#: What of each budget its charge lines come to: at least and at most. They differ only by what was left to the person
#: from a part that is not known, where a percentage follows an amount.
_CHARGED = f"""
    SELECT b.steering_id, b.budget, b.measure, o.kind AS owner_kind, o.id AS owner_id, o.period_start,
        sum(CASE WHEN l.part IS NULL AND b.part > 1 THEN 0 ELSE o.amount END) AS least, sum(o.amount) AS most
    FROM ({_LINES}) l JOIN ({_BUDGETS}) b ON b.rule_id = l.rule_id
        LEFT JOIN balances_personassignment a ON b.of = 'person' AND a.line_id = l.line_id AND a.during @> l.starts_at
        CROSS JOIN LATERAL (SELECT
            CASE WHEN b.of = 'account' THEN {_OF_ACCOUNT} WHEN a.person_id IS NULL THEN {_OF_LINE} ELSE {_OF_PERSON}
                END AS kind,
            CASE WHEN b.of = 'account' THEN b.account_id ELSE coalesce(a.person_id, l.line_id) END AS id,
            CASE b.every WHEN 'cycle' THEN l.cycle_start WHEN 'lifetime' THEN 'epoch'::timestamptz
                ELSE date_trunc(b.every, l.starts_at AT TIME ZONE l.time_zone) AT TIME ZONE l.time_zone
                END AS period_start,
            CASE b.measure WHEN {_UNITS} THEN l.units WHEN {_MICROS} THEN l.micros
                ELSE l.units + l.refused_units END AS amount) o
    WHERE l.part = b.part OR (b.measure = {_SHARED} AND (l.part > b.part OR l.part IS NULL))
    GROUP BY 1, 2, 3, 4, 5, 6
"""

CHECKS: tuple[Check, ...] = (
    Check(
        "budget-use-is-charge-lines",
        "What a budget has taken up is what its charge lines were granted, in units or at the contract's rate; of "
        "percents it is all that they shared.",
        f"""
        SELECT format('budget %%s of steering %%s, owner %%s/%%s, period of %%s: taken up %%s, charge lines %%s',
            coalesce(u.budget, k.budget), coalesce(u.steering_id, k.steering_id),
            coalesce(u.owner_kind, k.owner_kind), coalesce(u.owner_id, k.owner_id),
            coalesce(u.period_start, k.period_start), coalesce(u.used, 0), coalesce(k.most, 0))
        FROM (SELECT * FROM policies_steeringuse WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id)) u
            FULL JOIN ({_CHARGED}) k ON k.steering_id = u.steering_id AND k.budget = u.budget
                AND k.measure = u.measure AND k.owner_kind = u.owner_kind AND k.owner_id = u.owner_id
                AND k.period_start = u.period_start
        WHERE coalesce(u.used, 0) NOT BETWEEN coalesce(k.least, 0) AND coalesce(k.most, 0)
        """,
    ),
    Check(
        "budgets-are-not-passed",
        "No budget has taken up more than the largest amount that a version ever gave it.",
        f"""
        SELECT format('budget %%s of steering %%s, owner %%s/%%s, period of %%s: taken up %%s of %%s', u.budget,
            u.steering_id, u.owner_kind, u.owner_id, u.period_start, u.used, b.amount)
        FROM policies_steeringuse u JOIN (
            SELECT steering_id, budget, measure, max(amount) AS amount FROM ({_BUDGETS}) t GROUP BY 1, 2, 3) b
            ON b.steering_id = u.steering_id AND b.budget = u.budget AND b.measure = u.measure
        WHERE u.enterprise_id = coalesce(%(enterprise)s, u.enterprise_id) AND u.used > b.amount
        """,
    ),
    Check(
        "lines-are-their-rules",
        "The rule and part of a charge line are those of a version of its enterprise, and that part names its payer.",
        f"""
        SELECT format('usage record %%s, charge line %%s: payer %%s by part %%s of rule %%s', l.usage_id, l.number,
            l.payer, l.part, l.rule_id)
        FROM balances_chargeline l
            LEFT JOIN ({_SAID}) s ON s.rule_id = l.rule_id AND s.part = l.part AND s.enterprise_id = l.enterprise_id
        WHERE l.enterprise_id = coalesce(%(enterprise)s, l.enterprise_id)
            AND (l.rule_id IS NOT NULL OR l.part IS NOT NULL)
            AND s.said ->> 'payer' IS DISTINCT FROM (CASE l.payer WHEN 1 THEN 'corporate' ELSE 'personal' END)
        """,
    ),
    Check(
        "people-pay-for-a-reason",
        "Every personal charge line has a rule or default that its reasons name, or a limit or policy left it.",
        f"""
        SELECT format('usage record %%s, charge line %%s is personal: rule %%s, reasons “%%s”', usage_id, number,
            rule_id, reasons)
        FROM balances_chargeline WHERE payer = 2 AND enterprise_id = coalesce(%(enterprise)s, enterprise_id)
            AND reasons !~ CASE WHEN rule_id IS NULL THEN '\\m(limit|rule)_steer_personal:\\d'
                WHEN rule_id %% {NUMBERS} = 0 THEN '\\msteer_default:' || rule_id || '\\M'
                ELSE '\\msteer:' || rule_id || '\\M' END
        """,
    ),
    Check(
        "forks-are-the-event",
        "The records of a fork have together the units of the event, rounded once by a rate of the contract.",
        """
        SELECT format('usage record %%s and its counterparts: %%s units reported, %%s charged', e.event, e.reported,
            e.charged)
        FROM (SELECT coalesce(counterpart_id, id) AS event, min(service) AS service, min(zone_id) AS zone_id,
                  sum(units) AS reported, sum(charged_units) AS charged, min(used_at) AS used_at,
                  (array_agg(id ORDER BY used_at))[1] AS first_id
              FROM balances_usagerecord
              WHERE enterprise_id = coalesce(%(enterprise)s, enterprise_id) AND (counterpart_id IS NOT NULL OR id IN (
                  SELECT counterpart_id FROM balances_usagerecord WHERE counterpart_id IS NOT NULL))
              GROUP BY 1) e
        WHERE NOT EXISTS (
            SELECT FROM balances_chargeline l JOIN balances_contractversion v ON v.id = l.version_id
                JOIN balances_contractversion w ON w.contract_id = v.contract_id
                JOIN balances_rate r ON r.version_id = w.id AND r.service = e.service AND r.zone_id = e.zone_id
            WHERE l.usage_id = e.first_id AND l.used_at = e.used_at AND e.charged = CASE WHEN e.reported > 0
                THEN ceil(greatest(e.reported, r.minimum_units)::numeric / r.increment_units) * r.increment_units
                ELSE 0 END)
        """,
    ),
)
