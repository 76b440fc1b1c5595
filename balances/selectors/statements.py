"""The statement of a personal account for a civil month: what was recorded in it, whenever it was used.

A month that has ended never changes: usage that is reported late, and what was open and is charged later, are dated
lines of the month in which they were recorded. Opening money + entries = closing money, and usage listed = entries of
usage, because both are written in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, Min, Sum

from balances.models import ChargeLine, OpenPersonalUsage, PersonalAccount, PersonalEntry, PersonalEntryKind
from balances.models.counters import Payer
from balances.periods import Period, cycle_of, next_cycle
from balances.scope import Scope

#: Rows of one kind that a page shows at most; a file has all.
MOST_SHOWN = 300
#: Usage is older than this nowhere: contracts accept none.
OLDEST = timedelta(days=400)


@dataclass(slots=True)
class StatedUsage:
    """Usage of a service that was charged at once: in the month itself, or (`used_on`) late, on another day."""

    service: int
    used_on: date | None = None
    recorded_on: date | None = None
    units: int = 0
    covered_units: int = 0
    micros: int = 0
    records: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """A month of an account; `entries` without those of usage, which `usage` and `late` break down."""

    account: PersonalAccount
    month: Period
    opening_micros: int
    closing_micros: int
    sums: dict[str, int]
    entries: list[PersonalEntry]
    usage: list[StatedUsage]
    late: list[StatedUsage]
    open: list[OpenPersonalUsage]
    more_open: int = 0
    settled: dict[int, tuple[int, datetime]] = field(default_factory=dict)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.account.time_zone)

    @property
    def last_day(self) -> datetime:
        """An instant in the last civil day of the month."""
        return self.month.ends_at - timedelta(seconds=1)

    @property
    def usage_micros(self) -> int:
        """Money of all usage that was charged at once."""
        return sum(row.micros for row in [*self.usage, *self.late])


def months_of(account: PersonalAccount, now: datetime) -> list[Period]:
    """The months that have a statement, the latest first."""
    zone = ZoneInfo(account.time_zone)
    found = [cycle_of(account.opened_at, zone, 1)]
    until = now
    if account.closed_at is not None:
        last = (
            PersonalEntry.objects.filter(account=account).order_by("-id").values_list("recorded_at", flat=True).first()
        )
        until = min(now, max(filter(None, [account.closed_at, last])))
    while found[-1].ends_at <= until:
        found.append(next_cycle(found[-1], zone, 1))
    return found[::-1]


def statement(scope: Scope, account: PersonalAccount, month: Period) -> Statement:
    """What was recorded in a month, read within the scope of the account's person."""
    rows = PersonalEntry.objects.within(scope).filter(account=account)
    before = rows.filter(recorded_at__lt=month.starts_at).aggregate(sum=Sum("micros"))["sum"] or 0
    recorded = rows.filter(recorded_at__gte=month.starts_at, recorded_at__lt=month.ends_at)
    sums = {kind: int(total) for kind, total in recorded.order_by().values_list("kind").annotate(Sum("micros"))}
    entries = list(movements(scope, account, month)[:MOST_SHOWN])
    usage, late = _usage(scope, account, month)
    opened = open_rows(scope, account, month)
    shown = list(opened[: MOST_SHOWN + 1])
    more = opened.count() - MOST_SHOWN if len(shown) > MOST_SHOWN else 0
    return Statement(
        account, month, int(before), int(before) + sum(sums.values()), sums, entries, usage, late, shown[:MOST_SHOWN],
        more, _settled(scope, entries),
    )  # fmt: skip


def charge_lines(scope: Scope, account: PersonalAccount, month: Period):
    """The stretches that an account was charged in a month, in the order of their use."""
    lines = ChargeLine.objects.within(scope).filter(
        payer=Payer.PERSONAL, personal_account=account, usage__person=account.person_id,
        usage__charged_at__gte=month.starts_at, usage__charged_at__lt=month.ends_at,
        used_at__gte=month.starts_at - OLDEST, usage__used_at__gte=month.starts_at - OLDEST,
    )  # fmt: skip
    return lines.select_related("usage__zone").order_by("starts_at", "usage_id", "number")


def movements(scope: Scope, account: PersonalAccount, month: Period):
    """Entries that were recorded in a month, but for usage."""
    rows = PersonalEntry.objects.within(scope).filter(account=account)
    recorded = rows.filter(recorded_at__gte=month.starts_at, recorded_at__lt=month.ends_at)
    return recorded.exclude(kind=PersonalEntryKind.CHARGE).order_by("id")


def open_rows(scope: Scope, account: PersonalAccount, month: Period):
    """Usage of the person that nobody paid when it was recorded, in a month."""
    rows = OpenPersonalUsage.objects.within(scope).filter(
        enterprise=account.enterprise_id, person=account.person_id, recorded_at__gte=month.starts_at,
        recorded_at__lt=month.ends_at,
    )  # fmt: skip
    return rows.select_related("zone", "rate").order_by("starts_at", "id")


def _usage(scope: Scope, account: PersonalAccount, month: Period) -> tuple[list[StatedUsage], list[StatedUsage]]:
    zone = ZoneInfo(account.time_zone)
    usage: dict[int, StatedUsage] = {}
    late: dict[tuple[date, date, int], StatedUsage] = {}
    for line in charge_lines(scope, account, month).iterator():
        service = line.usage.service
        if line.starts_at >= month.starts_at:
            row = usage.setdefault(service, StatedUsage(service))
        else:
            used_on = line.starts_at.astimezone(zone).date()
            recorded_on = line.usage.charged_at.astimezone(zone).date()
            row = late.setdefault((used_on, recorded_on, service), StatedUsage(service, used_on, recorded_on))
        row.units += line.units
        row.covered_units += sum(line.personal_bucket_units)
        row.micros += line.personal_micros
        row.records += 1
    return [usage[service] for service in sorted(usage)], [late[key] for key in sorted(late)]


def _settled(scope: Scope, entries: list[PersonalEntry]) -> dict[int, tuple[int, datetime]]:
    """How many uses each settlement charged, and when the first of them was."""
    ids = [entry.id for entry in entries if entry.kind == PersonalEntryKind.SETTLEMENT]
    found: dict[int, tuple[int, datetime]] = {}
    if ids:
        rows = OpenPersonalUsage.objects.within(scope).filter(entry__in=ids).order_by().values("entry_id")
        for row in rows.annotate(uses=Count("id"), first=Min("starts_at")):
            found[row["entry_id"]] = row["uses"], row["first"]
    return found
