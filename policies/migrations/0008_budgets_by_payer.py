"""Budgets are known by who pays them, too: what they have taken up is told apart by its payer.

A budget that one payer ever had gets that payer's name. Where a part of a rule had another payer in another version
one row has counted both; what each took up is then what its charge lines were granted, of which every row is the sum.
"""

from __future__ import annotations

from django.db import migrations, models

# What each rule and default of each published version has of budgets with an amount, by its former and its new name.
BUDGETS = """
    SELECT steering_id, account_id, rule_id, part, said ->> 'of' AS of, said ->> 'every' AS every,
        CASE WHEN said ? 'units' THEN 1 ELSE 2 END AS measure,
        concat(name, '#', part, ' ', said ->> 'every') AS former,
        concat(name, '#', part, ' ', said ->> 'payer', ' ', said ->> 'every') AS budget
    FROM (SELECT v.steering_id, s.account_id, v.id * 1000 + n.number AS rule_id,
              casefold((n.rule ->> 'name') COLLATE pg_unicode_fast) AS name, n.rule -> 'pays' AS pays
          FROM policies_steeringversion v JOIN policies_steering s ON s.id = v.steering_id
              CROSS JOIN LATERAL jsonb_array_elements(v.rules) WITH ORDINALITY AS n (rule, number)
          WHERE v.state <> 'draft'
          UNION ALL
          SELECT v.steering_id, s.account_id, v.id * 1000, '', v.default
          FROM policies_steeringversion v JOIN policies_steering s ON s.id = v.steering_id
          WHERE v.state <> 'draft') r
        CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(r.pays) WHEN 'array' THEN r.pays ELSE '[]' END)
            WITH ORDINALITY AS p (said, part)
    WHERE said ? 'every'
"""
NAMED = f"""
CREATE TEMPORARY TABLE budget_names ON COMMIT DROP AS {BUDGETS};
CREATE TEMPORARY TABLE budgets_of_both ON COMMIT DROP AS
    SELECT steering_id, former, measure FROM budget_names GROUP BY 1, 2, 3 HAVING count(DISTINCT budget) > 1;

INSERT INTO policies_steeringuse
    (enterprise_id, steering_id, budget, measure, owner_kind, owner_id, period_start, used)
SELECT l.enterprise_id, b.steering_id, b.budget, b.measure,
    CASE WHEN b.of = 'account' THEN 1 WHEN a.person_id IS NULL THEN 2 ELSE 3 END,
    CASE WHEN b.of = 'account' THEN b.account_id ELSE coalesce(a.person_id, u.line_id) END,
    CASE b.every WHEN 'cycle' THEN l.cycle_start WHEN 'lifetime' THEN 'epoch'::timestamptz
        ELSE date_trunc(b.every, l.starts_at AT TIME ZONE c.time_zone) AT TIME ZONE c.time_zone END,
    sum(CASE b.measure WHEN 1 THEN l.units::numeric ELSE
        div(2::numeric * l.units * r.overage_price_micros + r.overage_block_units, 2 * r.overage_block_units) END)
FROM budgets_of_both m
    JOIN budget_names b ON b.steering_id = m.steering_id AND b.former = m.former AND b.measure = m.measure
    JOIN balances_chargeline l ON l.rule_id = b.rule_id AND l.part = b.part
    JOIN balances_usagerecord u ON u.id = l.usage_id AND u.used_at = l.used_at
    JOIN balances_contractversion v ON v.id = l.version_id JOIN balances_contract c ON c.id = v.contract_id
    JOIN balances_rate r ON r.id = l.rate_id
    LEFT JOIN balances_personassignment a ON b.of = 'person' AND a.line_id = u.line_id AND a.during @> l.starts_at
GROUP BY 1, 2, 3, 4, 5, 6, 7;
DELETE FROM policies_steeringuse u USING budgets_of_both m
    WHERE u.steering_id = m.steering_id AND u.budget = m.former AND u.measure = m.measure;

UPDATE policies_steeringuse u SET budget = n.budget
FROM (SELECT DISTINCT steering_id, former, measure, budget FROM budget_names) n
WHERE u.steering_id = n.steering_id AND u.budget = n.former AND u.measure = n.measure;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("balances", "0017_personal_news"),
        ("policies", "0007_steering"),
    ]

    operations = [
        migrations.AlterField(
            model_name="steeringuse",
            name="budget",
            field=models.CharField(max_length=280),
        ),
        migrations.RunSQL(NAMED, migrations.RunSQL.noop),
    ]
