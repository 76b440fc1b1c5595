"""Replays over what is stored: a plan, and charge lines in the order of charging, in constant memory. Reads only.

The server keeps the result (a cursor on the server's side), rows become tuples and no objects of the ORM. A draft is
replayed with what stands now (`plan_for`); what was live with the limits, consents, exemptions, approvals and tags of
each charge (`plan_of_what_was_live`): all of them say after which charge they began and ended.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from balances.models import AccountPath, ChargeLine, LineTag, Rate, Zone
from balances.models.counters import Payer
from balances.units import SERVICE_NAMES
from policies import limits, windows
from policies.decision import Action
from policies.models import Consent, Exemption, Limit, LimitUse, Measure, PolicyVersion
from policies.replay import Exempted, Held, Plan, Replay, Report, Terms, Turn
from policies.resolution import LimitFacts, RuleBook

BATCH = 20_000

#: Workers take usage ids in blocks: within a charge they rise, from one to the next they need not.
_COLUMNS = """c.starts_at, u.line_id, c.path_id, u.service, u.zone_id, c.units, c.refused_units, c.overage_units,
    c.amount_micros, c.rate_id, u.other_party, u.visited_network, u.imei, {sequence}"""
_STRETCHES = """
    SELECT {columns} FROM balances_chargeline c
    JOIN balances_usagerecord u ON u.id = c.usage_id AND u.used_at = c.used_at
    WHERE c.enterprise_id = %s AND c.payer = 1 AND c.used_at >= %s AND c.used_at < %s
        AND u.enterprise_id = %s AND u.used_at >= %s AND u.used_at < %s
    ORDER BY c.charge_sequence, c.usage_id, c.number
"""


def plan_for(*, enterprise_id: int, draft: PolicyVersion | None, at: datetime) -> Plan:
    """The limits as they stand at `at`, with the published rules, or with a draft in place of its policy's.

    Raises LimitRefused where there is no contract yet.
    """
    consents: dict[int, dict[datetime, list[int | None]]] = defaultdict(lambda: defaultdict(list))
    for row in Consent.objects.filter(enterprise_id=enterprise_id, revoked_at__isnull=True).order_by("id"):
        consents[row.limit_id][row.period_start].append(row.amount)
    exempted: dict[int, list[Exempted]] = defaultdict(list)
    for one in Exemption.objects.filter(enterprise_id=enterprise_id, ended_at__isnull=True).order_by("id"):
        exempted[one.limit_id].append(_exempted(one))
    tags: dict[int, set[str]] = defaultdict(set)
    borne = LineTag.objects.filter(enterprise_id=enterprise_id, removed_at__isnull=True)
    for line_id, tag in borne.values_list("line_id", "tag"):
        tags[line_id].add(tag)
    plan = _plan(enterprise_id, at, RuleBook.load(enterprise_id, instead=draft))
    home, codes = _zones(enterprise_id)
    plan.limits = [
        # A replay asks what limits would have done all along; with live rules they began when they began.
        _held(
            limit, home, codes, _terms(limit)._replace(needs_approval=False),
            limit.counts_from if draft is None else min(limit.counts_from, datetime(2000, 1, 1, tzinfo=UTC)),
            dict(consents[limit.first_number]), exempted[limit.first_number],
        )
        for limit in Limit.objects.filter(enterprise_id=enterprise_id, retired_at__isnull=True).order_by("id")
    ]  # fmt: skip
    plan.tags = {line_id: frozenset(found) for line_id, found in tags.items()}
    plan.account_id = draft.policy.account_id if draft is not None else None
    return plan


def plan_of_what_was_live(*, enterprise_id: int, since: datetime, at: datetime) -> tuple[Plan, datetime]:
    """All limits that ever stood and the published rules, with what people changed, charge by charge; and from when on
    charge lines have to be read, so that periods under way at `since` have what was used before.

    What was made before its charge was noted with it counts as made before everything. Raises LimitRefused where there
    is no contract yet.
    """
    plan = _plan(enterprise_id, at, RuleBook.load(enterprise_id))
    home, codes = _zones(enterprise_id)
    rows = list(Limit.objects.filter(enterprise_id=enterprise_id).order_by("id"))
    plan.limits = [_held(row, home, codes, None, row.counts_from) for row in rows if row.first_id is None]
    plan.turns = sorted(_turns(enterprise_id, rows), key=lambda turn: turn.sequence)
    plan.since, plan.is_live = since, True
    begun = [
        windows.period_of(held.window, since, plan.zone, plan.anchor_day, held.counts_from).starts_at
        - (windows.SLOT * windows.SLOTS if held.window == "sliding_24h" else timedelta(0))
        for held in plan.limits
        if held.counts_from < since
    ]
    return plan, min([since, *begun])


def _turns(enterprise_id: int, rows: list[Limit]) -> Iterator[Turn]:
    """What people changed, limit by limit and line by line; before is in the order of making, which sorting keeps."""
    for row in rows:
        if row.retired_at is not None:
            yield Turn(_known(row.retired_sequence), "terms", row.first_number, None)
        yield Turn(row.made_sequence, "terms", row.first_number, _terms(row))
    for consent in Consent.objects.filter(enterprise_id=enterprise_id).order_by("id"):
        place = consent.period_start, consent.amount
        yield Turn(_known(consent.made_sequence), "consent", consent.limit_id, (*place, True))
        if consent.revoked_at is not None:
            yield Turn(_known(consent.revoked_sequence), "consent", consent.limit_id, (*place, False))
    for one in Exemption.objects.filter(enterprise_id=enterprise_id).order_by("id"):
        yield Turn(_known(one.made_sequence), "exempted", one.limit_id, (_exempted(one), True))
        if one.ended_at is not None:
            yield Turn(_known(one.ended_sequence), "exempted", one.limit_id, (_exempted(one), False))
    for use in LimitUse.objects.filter(enterprise_id=enterprise_id, approved_at__isnull=False):
        yield Turn(_known(use.approved_sequence), "approved", use.limit_id, use.period_start)
    for tag in LineTag.objects.filter(enterprise_id=enterprise_id).order_by("id").iterator():
        yield Turn(tag.added_sequence, "tag", tag.line_id, (tag.tag, True))
        if tag.removed_sequence is not None:
            yield Turn(tag.removed_sequence, "tag", tag.line_id, (tag.tag, False))


def _known(sequence: int | None) -> int:
    """-1, before every charge, where it was not noted yet."""
    return -1 if sequence is None else sequence


def _plan(enterprise_id: int, at: datetime, book: RuleBook | None) -> Plan:
    """A plan without limits."""
    clock = limits.clock_of(enterprise_id, at)
    rates = Rate.objects.filter(version__enterprise_id=enterprise_id)
    prices = rates.values_list("id", "overage_price_micros", "overage_block_units")
    return Plan(
        zone=clock.zone,
        anchor_day=clock.anchor_day,
        limits=(),
        book=book,
        paths={path.id: tuple(path.account_ids) for path in AccountPath.objects.filter(enterprise_id=enterprise_id)},
        rates={rate_id: (price, block) for rate_id, price, block in prices},
        emergency_numbers=frozenset(settings.EMERGENCY_NUMBERS),
    )


def _zones(enterprise_id: int) -> tuple[frozenset[int], dict[int, str]]:
    """The zones at home, and the codes of all."""
    zones = Zone.objects.filter(operator__enterprises=enterprise_id)
    return frozenset(zones.filter(is_home=True).values_list("id", flat=True)), dict(zones.values_list("id", "code"))


def _held(
    limit: Limit,
    home: frozenset[int],
    codes: dict[int, str],
    terms: Terms | None,
    counts_from: datetime,
    consents: dict[datetime, list[int | None]] | None = None,
    exempted: list[Exempted] | None = None,
) -> Held:
    return Held(
        limit.first_number, str(limit), limit.account_id, limit.line_id, limit.tag, _covering(limit, home),
        limit.measure == Measure.MONEY, limit.window, terms, counts_from, LimitFacts.of(limit, codes), consents or {},
        exempted or (),
    )  # fmt: skip


def _terms(limit: Limit) -> Terms:
    return Terms(limit.amount, Action(limit.action), limit.grace_units, limit.ends_at, limit.needs_approval)


def _exempted(one: Exemption) -> Exempted:
    return Exempted(one.id, one.account_id, one.line_id, one.starts_at, one.until)


def _covering(limit: Limit, home: frozenset[int]) -> Callable[[int, int], bool]:
    service, zone_id, is_abroad = limit.service, limit.zone_id, limit.is_abroad

    def covers(asked: int, zone: int) -> bool:
        if service is not None and service != asked:
            return False
        return zone not in home if is_abroad else zone_id is None or zone_id == zone

    return covers


def count(*, enterprise_id: int, since: datetime, until: datetime) -> int:
    """How many charge lines a replay will read: the company's, of which alone policies and limits are asked."""
    lines = ChargeLine.objects.filter(enterprise_id=enterprise_id, payer=Payer.CORPORATE)
    return lines.filter(used_at__gte=since, used_at__lt=until).count()


def batches(
    *, enterprise_id: int, since: datetime, until: datetime, with_attributes: bool = True, with_reasons: bool = True
) -> Iterator[list[tuple]]:
    """Stored charge lines in the order of charging, as tuples in the order of `replay.Stretch`."""
    columns = _COLUMNS.format(sequence="c.charge_sequence, c.reasons" if with_reasons else "0, ''")
    columns += ", u.attributes" if with_attributes else ""
    place: list[Any] = [enterprise_id, since, until]
    # Not in a transaction, whose progress nobody else would see before its end: the server keeps the whole result.
    with connection.chunked_cursor() as cursor:
        cursor.execute(_STRETCHES.format(columns=columns), place + place)
        while rows := cursor.fetchmany(BATCH):
            yield rows


def run(
    plan: Plan, *, enterprise_id: int, since: datetime, until: datetime, progress: Callable[[int], None] | None = None
) -> Report:
    """Replay a time; `progress` hears after each batch how many charge lines are done."""
    replay = Replay(plan)
    needs = plan.book is not None and plan.book.reads_attributes
    done = 0
    for rows in batches(
        enterprise_id=enterprise_id, since=since, until=until, with_attributes=needs, with_reasons=plan.is_live
    ):
        replay.take(rows)
        done += len(rows)
        if progress is not None:
            progress(done)
    return replay.report


def run_what_was_live(*, enterprise_id: int, since: datetime, until: datetime) -> Report:
    """Decide again on all usage of a time as it was decided then. What differs is a fault, or one of the few facts that
    are not kept as they were (docs/policies.md)."""
    plan, read_from = plan_of_what_was_live(enterprise_id=enterprise_id, since=since, at=until)
    return run(plan, enterprise_id=enterprise_id, since=read_from, until=until)


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
