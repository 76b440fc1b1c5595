"""What limits have counted, taken from the charge lines: for a limit that is new, and for the proof of all.

Owns: the one query that says which charge lines count towards which limit, in which period. Reads only.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.db.models import Sum

from balances.models import Counter
from balances.models.accounts import Line
from balances.models.counters import Grain, OwnerKind, Payer
from policies.models import Limit

#: Usage is never charged later than so many days after it was used (`portal.charging.terms.OLDEST_USAGE`).
OLDEST_DAYS = 800

#: Start of the period of a charge line `l` in the window of a limit `w`, by the contract's (`c`) civil time.
PERIOD_START = """
    CASE w."window" WHEN 'cycle' THEN l.cycle_start
        WHEN 'day' THEN date_trunc('day', l.starts_at AT TIME ZONE c.time_zone) AT TIME ZONE c.time_zone
        WHEN 'week' THEN date_trunc('week', l.starts_at AT TIME ZONE c.time_zone) AT TIME ZONE c.time_zone
        WHEN 'sliding_24h' THEN date_bin('15 minutes', l.starts_at, 'epoch'::timestamptz)
        ELSE w.counts_from END
"""

#: Limits `w` with the charge lines `l` of usage `u` that count towards them: the company's alone. `w` is the first of a
#: succession.
MATCHED = f"""
    policies_limit w
    JOIN balances_usagerecord u ON u.enterprise_id = w.enterprise_id
        AND u.used_at >= w.counts_from - interval '{OLDEST_DAYS} days'
    JOIN balances_chargeline l ON l.usage_id = u.id AND l.used_at = u.used_at AND l.starts_at >= w.counts_from
        AND l.payer = 1
    JOIN balances_accountpath p ON p.id = l.path_id
    JOIN balances_contractversion v ON v.id = l.version_id
    JOIN balances_contract c ON c.id = v.contract_id
    JOIN balances_zone z ON z.id = u.zone_id
"""

#: Which of them count, whoever owns the limit.
COUNTS = """
    (w.service IS NULL OR w.service = u.service) AND (w.zone_id IS NULL OR w.zone_id = u.zone_id)
    AND (NOT w.is_abroad OR NOT z.is_home) AND l.units + l.refused_units > 0
"""

OF_ACCOUNT = "w.account_id = ANY (p.account_ids)"
OF_LINE = "w.line_id = u.line_id"
OF_TAG = """
    EXISTS (SELECT FROM balances_linetag t WHERE t.line_id = u.line_id AND t.tag = w.tag
        AND l.charge_sequence > t.added_sequence
        AND (t.removed_sequence IS NULL OR l.charge_sequence <= t.removed_sequence))
"""


#: Windows whose periods accounts are counted by anyway.
_GRAINS = {"cycle": Grain.CYCLE, "day": Grain.DAY}


def _used_by_counters(limit: Limit, account_id: int) -> dict[datetime, int]:
    counters = Counter.objects.filter(
        enterprise_id=limit.enterprise_id,
        owner_kind=OwnerKind.ACCOUNT,
        owner_id=account_id,
        grain=_GRAINS[limit.window],
        period_start__gte=limit.counts_from,
        payer=Payer.CORPORATE,
    )
    if limit.service is not None:
        counters = counters.filter(service=limit.service)
    if limit.zone_id is not None:
        counters = counters.filter(zone_id=limit.zone_id)
    if limit.is_abroad:
        counters = counters.filter(zone__is_home=False)
    amount = Sum("amount_micros" if limit.measure == "money" else "used_units")
    used = counters.order_by().values("period_start").annotate(used=amount).values_list("period_start", "used")
    return {start: int(units) for start, units in used if units}


def used_so_far(limit: Limit) -> dict[datetime, int]:
    """What a limit has counted by start of period, from the charge lines. Needs the enterprise's lock to stay true.

    By the line's own usage where a line owns it; by counters where an account's periods are those of counters, cycles
    and civil days; otherwise all charge lines of the enterprise since then are read.
    """
    if limit.account_id is not None and limit.window in _GRAINS:
        return _used_by_counters(limit, limit.account_id)
    parameters: dict[str, int | list[int]] = {"limit": limit.id}
    if limit.line_id is not None:
        owner = "u.line_id = %(line)s"
        parameters["line"] = limit.line_id
    elif limit.tag:
        # What was charged while the line bore the tag; found by the lines that ever did.
        owner = "u.line_id = ANY (%(lines)s) AND " + OF_TAG
        parameters["lines"] = list(
            Line.objects.filter(enterprise_id=limit.enterprise_id, tags__tag=limit.tag).values_list("id", flat=True)
        )
    else:
        owner = OF_ACCOUNT
    amount = "l.amount_micros" if limit.measure == "money" else "l.units"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {PERIOD_START}, sum({amount}) FROM {MATCHED} "  # noqa: S608 - of constants
            f"WHERE w.id = %(limit)s AND {owner} AND {COUNTS} GROUP BY 1",
            parameters,
        )
        return {start: int(used) for start, used in cursor.fetchall() if used}
