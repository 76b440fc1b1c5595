"""How fast stored usage is replayed under limits and rules: charges a second, from the tables to the report."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from balances.models import Account, AccountPath, Line, Rate
from balances.units import Service
from benchmarks import enterprises
from policies import limits, publishing, replaying

RECORDS, QUICK_RECORDS = 1_000_000, 20_000
DAYS = 80
LINES = 1_000
OCTETS = 1_000_000  # of a record
#: Of a day's usage, how much its limit holds: one event in twenty is beyond.
WITHIN_LIMIT_PERCENT = 95

_USAGE = """
INSERT INTO balances_usagerecord (id, enterprise_id, line_id, account_id, part_id, position, source_id,
    source_record_id, service, zone_id, units, charged_units, used_at, charge_sequence, charged_at)
SELECT n, %(enterprise)s, (%(lines)s::bigint[])[1 + n %% %(count)s], %(account)s, 0, n, 0, n::text, 1,
    %(zone)s, %(octets)s, %(octets)s, u.at, 1, u.at
FROM generate_series(1, %(records)s) AS n,
    LATERAL (SELECT %(until)s::timestamptz - interval '1 second' * ((%(records)s - n) * %(step)s::float8) AS at) AS u
"""
_CHARGES = """
INSERT INTO balances_chargeline (enterprise_id, usage_id, number, used_at, starts_at, cycle_start, payer, path_id,
    version_id, rate_id, units, overage_units, amount_micros, reasons, charge_sequence)
SELECT enterprise_id, id, 0, used_at, used_at, date_trunc('month', used_at), 1,
    %(path)s, %(version)s, %(rate)s, units, units / 2, 2000,
    'partly', 1
FROM balances_usagerecord WHERE enterprise_id = %(enterprise)s
"""


def measure(quick: bool) -> Iterator[dict]:
    """A draft of twenty rules, and four limits, over the usage of 80 days."""
    wanted = QUICK_RECORDS if quick else RECORDS
    subject = enterprises.build(number=90, lines=LINES, levels=4, hot=True)
    now = datetime.now(UTC)
    root = Account.objects.get(enterprise_id=subject.id, parent__isnull=True)
    _fill(subject.id, wanted, now)
    daily = wanted * OCTETS * WITHIN_LIMIT_PERCENT // 100 // DAYS
    doing: dict[str, Any] = {"actor": enterprises.ACTOR, "at": now}
    for window, amount in (("day", daily), ("cycle", 2**50), ("week", 2**50)):
        limits.make(account=root, service=Service.DATA, measure="units", window=window, amount=amount, **doing)
    limits.make(account=root, measure="money", window="cycle", amount=2**50, **doing)
    rules: list[dict[str, Any]] = [
        {
            "name": f"Rule {number}",
            "when": f"service is data and tag is t{number} and not time within 07:00-20:00",
            "action": "stop_now",
        }
        for number in range(18)
    ]
    rules.append({"name": "Nights", "when": "time within 02:00-02:30", "action": "stop_now"})
    rules.append({"name": "Beyond", "when": "always", "beyond": {"window": "day"}, "action": "stop_now"})
    draft = publishing.create(account=root, name="Bench", rules=rules, **doing)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    plan = replaying.plan_for(enterprise_id=subject.id, draft=draft, at=now)
    report = replaying.run(plan, enterprise_id=subject.id, since=now - timedelta(days=90), until=now)
    seconds = time.perf_counter() - started
    if report.events != wanted or not report.refused_events:
        raise RuntimeError(f"The replay saw {report.events} charges and refused {report.refused_events}.")
    yield {
        "records": wanted,
        "rules": len(rules),
        "limits": 4,
        "seconds": round(seconds, 2),
        "records_per_second": round(wanted / seconds),
        "refused": report.refused_events,
        "grown_mib": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
    }


def _fill(enterprise_id: int, wanted: int, now: datetime) -> None:
    """Usage and charge lines as charging leaves them, without charging them."""
    lines = list(Line.objects.filter(enterprise_id=enterprise_id).values_list("id", "account_id").order_by("id"))
    chain = Account.objects.get(id=lines[0][1]).get_ancestors(ascending=True, include_self=True)
    path = AccountPath.objects.create(enterprise_id=enterprise_id, account_ids=[one.id for one in chain])
    rate = Rate.objects.filter(version__enterprise_id=enterprise_id, service=Service.DATA, zone__is_home=True)[0]
    values: dict[str, Any] = {
        "enterprise": enterprise_id, "lines": [line_id for line_id, _ in lines], "count": len(lines),
        "account": lines[0][1], "zone": rate.zone_id, "octets": OCTETS, "records": wanted,
        "until": now - timedelta(minutes=1), "step": DAYS * 86_400 / wanted, "path": path.id,
        "version": rate.version_id, "rate": rate.id,
    }  # fmt: skip
    with connection.cursor() as cursor:
        for months in range(5):
            day = (now - timedelta(days=30 * months)).date()
            cursor.execute("SELECT balances_prepare_usage_month(%s)", [day])
        cursor.execute(_USAGE, values)
        cursor.execute(_CHARGES, values)
        cursor.execute("ANALYZE balances_usagerecord, balances_chargeline")
