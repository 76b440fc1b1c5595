"""Replays over what is stored: a plan, and charge lines in the order of charging, in constant memory. Reads only.

The server keeps the result (a cursor on the server's side), rows become tuples and no objects of the ORM.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from balances.models import AccountPath, ChargeLine, LineTag, Rate, Zone
from balances.units import SERVICE_NAMES
from policies import limits
from policies.decision import Action
from policies.models import Consent, Exemption, Limit, Measure, PolicyVersion
from policies.replay import Exempted, Held, Plan, Replay, Report
from policies.resolution import LimitFacts, RuleBook

BATCH = 20_000

_COLUMNS = """c.starts_at, u.line_id, c.path_id, u.service, u.zone_id, c.units, c.refused_units, c.overage_units,
    c.amount_micros, c.rate_id, u.other_party, u.visited_network, u.imei"""
_STRETCHES = """
    SELECT {columns} FROM balances_chargeline c
    JOIN balances_usagerecord u ON u.id = c.usage_id AND u.used_at = c.used_at
    WHERE c.enterprise_id = %s AND c.used_at >= %s AND c.used_at < %s
        AND u.enterprise_id = %s AND u.used_at >= %s AND u.used_at < %s
    ORDER BY c.usage_id, c.number
"""


def plan_for(*, enterprise_id: int, draft: PolicyVersion | None, at: datetime) -> Plan:
    """The limits as they stand at `at`, with the published rules, or with a draft in place of its policy's.

    Raises LimitRefused where there is no contract yet.
    """
    clock = limits.clock_of(enterprise_id, at)
    zones = Zone.objects.filter(operator__enterprises=enterprise_id)
    codes = dict(zones.values_list("id", "code"))
    home = frozenset(zones.filter(is_home=True).values_list("id", flat=True))
    consents: dict[int, dict[datetime, list[int | None]]] = defaultdict(lambda: defaultdict(list))
    for row in Consent.objects.filter(enterprise_id=enterprise_id, revoked_at__isnull=True).order_by("id"):
        consents[row.limit_id][row.period_start].append(row.amount)
    exempted: dict[int, list[Exempted]] = defaultdict(list)
    for one in Exemption.objects.filter(enterprise_id=enterprise_id, ended_at__isnull=True).order_by("id"):
        exempted[one.limit_id].append(Exempted(one.id, one.account_id, one.line_id, one.starts_at, one.until))
    tags: dict[int, set[str]] = defaultdict(set)
    borne = LineTag.objects.filter(enterprise_id=enterprise_id, removed_at__isnull=True)
    for line_id, tag in borne.values_list("line_id", "tag"):
        tags[line_id].add(tag)
    held = [
        Held(
            limit.first_number, str(limit), limit.account_id, limit.line_id, limit.tag, _covering(limit, home),
            limit.measure == Measure.MONEY, limit.window, limit.amount, Action(limit.action), limit.grace_units,
            # A replay asks what limits would have done all along; with live rules they began when they began.
            limit.counts_from if draft is None else min(limit.counts_from, datetime(2000, 1, 1, tzinfo=UTC)),
            limit.ends_at, LimitFacts.of(limit, codes), dict(consents[limit.first_number]),
            exempted[limit.first_number],
        )
        for limit in Limit.objects.filter(enterprise_id=enterprise_id, retired_at__isnull=True).order_by("id")
    ]  # fmt: skip
    return Plan(
        zone=clock.zone,
        anchor_day=clock.anchor_day,
        limits=held,
        book=RuleBook.load(enterprise_id, instead=draft),
        paths={path.id: tuple(path.account_ids) for path in AccountPath.objects.filter(enterprise_id=enterprise_id)},
        rates={
            rate_id: (price, block)
            for rate_id, price, block in Rate.objects.filter(version__enterprise_id=enterprise_id).values_list(
                "id", "overage_price_micros", "overage_block_units"
            )
        },
        tags={line_id: frozenset(found) for line_id, found in tags.items()},
        emergency_numbers=frozenset(settings.EMERGENCY_NUMBERS),
        account_id=draft.policy.account_id if draft is not None else None,
    )


def _covering(limit: Limit, home: frozenset[int]) -> Callable[[int, int], bool]:
    service, zone_id, is_abroad = limit.service, limit.zone_id, limit.is_abroad

    def covers(asked: int, zone: int) -> bool:
        if service is not None and service != asked:
            return False
        return zone not in home if is_abroad else zone_id is None or zone_id == zone

    return covers


def count(*, enterprise_id: int, since: datetime, until: datetime) -> int:
    """How many charge lines a replay will read."""
    return ChargeLine.objects.filter(enterprise_id=enterprise_id, used_at__gte=since, used_at__lt=until).count()


def batches(
    *, enterprise_id: int, since: datetime, until: datetime, with_attributes: bool = True
) -> Iterator[list[tuple]]:
    """Stored charge lines in the order of charging, as tuples in the order of `replay.Stretch`."""
    columns = _COLUMNS + (", u.attributes" if with_attributes else "")
    place: list[Any] = [enterprise_id, since, until]
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(_STRETCHES.format(columns=columns), place + place)
        while rows := cursor.fetchmany(BATCH):
            yield rows


def run(
    plan: Plan, *, enterprise_id: int, since: datetime, until: datetime, progress: Callable[[int], None] | None = None
) -> Report:
    """Replay a time; `progress` hears after each batch how many charge lines are done."""
    replay = Replay(plan)
    needs = plan.book is not None and plan.book.reads_attributes
    for rows in batches(enterprise_id=enterprise_id, since=since, until=until, with_attributes=needs):
        replay.take(rows)
        if progress is not None:
            progress(replay.report.events)
    return replay.report


def summary(report: Report, *, most: int = 500) -> dict[str, Any]:
    """A report as JSON: totals, and the lines that would have been cut, those cut most first."""

    def named(units: dict[int, int]) -> dict[str, int]:
        return {SERVICE_NAMES[service]: count for service, count in sorted(units.items())}

    cuts = sorted(report.cuts.values(), key=lambda cut: (-cut.saved_micros, -cut.events, cut.line_id))
    accounts: dict[int, list[int]] = {}
    for cut in cuts:
        found = accounts.setdefault(cut.account_id, [0, 0, 0])
        found[0] += 1
        found[1] += cut.events
        found[2] += cut.saved_micros
    return {
        "events": report.events,
        "refused_events": report.refused_events,
        "refused_units": named(report.refused_units),
        "saved_micros": report.saved_micros,
        "live_refused_events": report.live_refused_events,
        "live_refused_units": named(report.live_refused_units),
        "live_saved_micros": report.live_saved_micros,
        "differing_events": report.differing_events,
        "lines_cut": len(report.cuts),
        "by": report.by,
        "accounts": [
            {"account": account_id, "lines": lines, "events": events, "saved_micros": saved}
            for account_id, (lines, events, saved) in sorted(accounts.items(), key=lambda item: -item[1][2])[:most]
        ],
        "lines": [
            {
                "line": cut.line_id,
                "account": cut.account_id,
                "first_at": cut.first_at.isoformat(),
                "by": cut.by,
                "events": cut.events,
                "units": named(cut.units),
                "saved_micros": cut.saved_micros,
            }
            for cut in cuts[:most]
        ],
    }
