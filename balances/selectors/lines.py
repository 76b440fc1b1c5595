"""Lines: lists of them, and one line with its history, usage and the buckets that serve it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Count, Exists, Q, QuerySet, Sum
from django.db.models.functions import TruncDay

from balances.models import Account, Bucket, ChargeLine, Line, LineAssignment, UsageRecord
from balances.models.accounts import DrawAbove, LineStatus
from balances.models.counters import OwnerKind, Payer
from balances.periods import day_of
from balances.scope import Scope
from balances.selectors import tree
from balances.selectors.overview import CLOSED_SLICE, Usage, cycle_counters
from balances.selectors.ranking import counters_of_line
from balances.selectors.terms import Terms


class Show(StrEnum):
    """Which lines of an account a list holds; the links of what needs attention lead here."""

    ALL = "all"
    OVERAGE = "overage"
    ROAMING = "roaming"
    IDLE = "idle"


def line(scope: Scope, line_id: int) -> Line:
    """One line in reach; raises Line.DoesNotExist."""
    return Line.objects.within(scope).select_related("enterprise", "account", "person", "device").get(id=line_id)


def lines_of(scope: Scope, account: Account, terms: Terms, *, text: str = "", show: Show = Show.ALL) -> QuerySet[Line]:
    """The lines of a subtree, by number."""
    lines = Line.objects.within(scope).filter(tree.below(account, "account__"))
    if text:
        lines = tree.matching_lines(lines, text)
    used = counters_of_line(terms)
    if show == Show.OVERAGE:
        lines = lines.filter(Exists(used.filter(amount_micros__gt=0)))
    elif show == Show.ROAMING:
        lines = lines.filter(Exists(used.filter(zone__is_home=False)))
    elif show == Show.IDLE:
        lines = lines.filter(~Exists(used), status=LineStatus.ACTIVE)
    return lines.select_related("person", "account").order_by("msisdn", "id")


def own_lines(scope: Scope) -> QuerySet[Line]:
    """The lines that the principal holds as their user, over all enterprises."""
    own = Line.objects.within(scope).filter(id__in=scope.line_ids())
    return own.select_related("person", "account", "enterprise").order_by("msisdn", "id")


@dataclass(frozen=True, slots=True)
class LineUsage:
    """A line with what it used in the cycle, by service."""

    line: Line
    by_service: dict[int, Usage]

    @property
    def amount_micros(self) -> int:
        return sum(usage.amount_micros for usage in self.by_service.values())


def with_usage(scope: Scope, lines: list[Line], terms: Terms) -> list[LineUsage]:
    """What each of a page of lines of one enterprise used; one query."""
    if not lines:
        return []
    counters = cycle_counters(scope, lines[0].enterprise_id, OwnerKind.LINE, terms)
    rows = (
        counters.filter(owner_id__in=[line.id for line in lines])
        .values("owner_id", "service")
        .annotate(used=Sum("used_units"), overage=Sum("overage_units"), amount=Sum("amount_micros"))
    )
    usage: dict[int, dict[int, Usage]] = defaultdict(dict)
    for row in rows:
        usage[row["owner_id"]][row["service"]] = Usage(int(row["used"]), int(row["overage"]), int(row["amount"]))
    if unread := [line.id for line in lines if line.id in scope.line_ids() and line.id not in usage]:
        for row in _added_up(scope, unread, terms, "usage__line_id", "usage__service"):
            service, line_id = row["usage__service"], row["usage__line_id"]
            usage[line_id][service] = Usage(int(row["used"]), int(row["overage"]), int(row["amount"]))
    return [LineUsage(line, usage[line.id]) for line in lines]


def _added_up(scope: Scope, line_ids: list[int], terms: Terms, *by: str):
    """What lines used in the cycle as far as it is the reader's, record by record.

    For whoever got a line within the cycle: its counters are of others, too.
    """
    lines = ChargeLine.objects.within(scope).filter(usage__line_id__in=line_ids, payer=Payer.CORPORATE)
    in_cycle = lines.filter(cycle_start=terms.cycle.starts_at if terms.cycle else None)
    return in_cycle.values(*by).annotate(
        used=Sum("units"),
        overage=Sum("overage_units"),
        amount=Sum("amount_micros"),
        records=Count("number", filter=Q(number=0)),
    )


@dataclass(frozen=True, slots=True)
class ZoneUsage:
    """What a line used of a service in a zone, in the cycle."""

    service: int
    zone_name: str
    is_home: bool
    used_units: int
    overage_units: int
    amount_micros: int
    records: int


def usage_by_zone(scope: Scope, line: Line, terms: Terms) -> list[ZoneUsage]:
    """A line's counters of the cycle, home first."""
    counters = cycle_counters(scope, line.enterprise_id, OwnerKind.LINE, terms).filter(owner_id=line.id)
    found = [
        ZoneUsage(
            counter.service,
            counter.zone.name,
            counter.zone.is_home,
            counter.used_units,
            counter.overage_units,
            counter.amount_micros,
            counter.records,
        )
        for counter in counters.select_related("zone").order_by("service", "-zone__is_home", "zone__name")
    ]
    if found or line.id not in scope.line_ids():
        return found
    rows = _added_up(scope, [line.id], terms, "usage__service", "usage__zone__name", "usage__zone__is_home")
    return [
        ZoneUsage(
            row["usage__service"],
            row["usage__zone__name"],
            row["usage__zone__is_home"],
            int(row["used"]),
            int(row["overage"]),
            int(row["amount"]),
            row["records"],
        )
        for row in rows.order_by("usage__service", "-usage__zone__is_home", "usage__zone__name")
    ]


def usage_of(zones: list[ZoneUsage]) -> dict[int, Usage]:
    """A line's usage of the cycle by service, of its usage by zone."""
    usage: dict[int, Usage] = {}
    for zone in zones:
        so_far = usage.get(zone.service, Usage())
        abroad = not zone.is_home
        usage[zone.service] = Usage(
            so_far.used_units + zone.used_units,
            so_far.overage_units + zone.overage_units,
            so_far.amount_micros + zone.amount_micros,
            so_far.records + zone.records,
            so_far.roaming_units + abroad * zone.used_units,
            so_far.roaming_micros + abroad * zone.amount_micros,
        )
    return usage


@dataclass(frozen=True, slots=True)
class DayOfLine:
    """Units that a line used in one civil day, as charged."""

    starts_at: datetime
    units: int


def days_of(scope: Scope, line: Line, terms: Terms, service: int, now: datetime) -> list[DayOfLine]:
    """What the company paid of a line a day in the cycle up to now, from records: lines have no counters by day."""
    if terms.cycle is None:
        return []
    rows = (
        UsageRecord.objects.within(scope)
        .filter(line_id=line.id, service=service, payer=Payer.CORPORATE)
        .filter(used_at__gte=terms.cycle.starts_at, used_at__lt=terms.cycle.ends_at)
        .annotate(day=TruncDay("used_at", tzinfo=terms.zone))
        .order_by()
        .values("day")
        .annotate(units=Sum("charged_units"))
    )
    units = {row["day"].astimezone(terms.zone).date(): int(row["units"]) for row in rows}
    days = []
    day = day_of(terms.cycle.starts_at, terms.zone)
    while day.starts_at <= now:
        days.append(DayOfLine(day.starts_at, units.get(day.starts_at.astimezone(terms.zone).date(), 0)))
        day = day_of(day.ends_at, terms.zone)
    return days


@dataclass(frozen=True, slots=True)
class Serving:
    """Buckets that serve a line, in the order in which charging draws on them, nearest first."""

    buckets: list[Bucket]
    draws_unseen: bool


def serving(scope: Scope, line: Line, terms: Terms, now: datetime) -> Serving:
    """The line's own buckets, then those up its chain, as far as each account lets draw and is in reach."""
    account = Account.objects.within(scope).filter(id=line.account_id).first()
    chain = [account, *tree.ancestors(scope, account)[::-1]] if account else []
    drawing: list[Account] = []
    for here in chain:
        drawing.append(here)
        if here.draw_above == DrawAbove.NEVER:
            break
    last = drawing[-1] if drawing else None
    draws_unseen = last is None or (last.draw_above == DrawAbove.ALWAYS and last.parent_id is not None)
    if terms.cycle is None:
        return Serving([], draws_unseen)
    steps = {owner.id: step for step, owner in enumerate(drawing)}
    buckets = (
        Bucket.objects.within(scope)
        .filter(
            Q(line_id=line.id) | Q(account_id__in=steps),
            enterprise_id=line.enterprise_id,
            cycle_start=terms.cycle.starts_at,
            valid_from__lte=now,
            valid_until__gt=now,
        )
        .exclude(CLOSED_SLICE)
        .select_related("account", "line")
    )
    in_order = sorted(
        buckets,
        key=lambda b: (b.service, steps.get(b.account_id, -1), bool(b.release), b.priority, b.valid_until, b.id),
    )
    return Serving(in_order, draws_unseen)


def history(scope: Scope, line: Line) -> list[LineAssignment]:
    """To which accounts the line belonged, latest first."""
    assignments = LineAssignment.objects.within(scope).filter(line_id=line.id)
    return list(assignments.select_related("account").order_by("-during"))
