"""What a person reads of their own: usage of both payers, what each has of it, and what it came to.

Corporate usage is a person's while the line was theirs, and as far as their scope reaches; personal usage is theirs
whom it names, and nothing but a proven identity opens it (docs/byod.md, The wall).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Sum

from balances import masking
from balances.models import ChargeLine, OpenPersonalUsage, OpenState, PersonAssignment, UsageRecord
from balances.models.counters import Payer
from balances.scope import Scope
from balances.selectors.charges import AHEAD, Before

#: A session that reaches into a cycle began at most so long before it.
LONGEST_SESSION = timedelta(days=31)


@dataclass(slots=True)
class Part:
    """What one payer has of a service, in a period.

    `units` were granted, whoever pays them; of a person `open_units` of them are on credit. `micros`: of the company
    beyond allowances, of a person what was charged to the personal account, also later.
    """

    service: int
    units: int = 0
    refused_units: int = 0
    micros: int = 0
    open_units: int = 0
    records: int = 0


@dataclass(slots=True)
class MyCharge:
    """A usage record of one payer, with what it came to; `reasons` of its first charge line, as stored."""

    usage: UsageRecord
    units: int = 0
    refused_units: int = 0
    micros: int = 0
    covered_units: int = 0
    open_units: int = 0
    written_off_units: int = 0
    reasons: str = ""

    @property
    def is_personal(self) -> bool:
        """Whether the person pays it."""
        return self.usage.payer == Payer.PERSONAL


@dataclass(frozen=True, slots=True)
class Half:
    """What one payer has of an event: its record, its charge lines in order of time, what is or was open of it."""

    charge: MyCharge
    lines: list[ChargeLine]
    open: list[OpenPersonalUsage] = field(default_factory=list)


def lines_held(person_ids: Collection[int]) -> list[PersonAssignment]:
    """Which lines were these people's, and when; the latest first."""
    rows = PersonAssignment.objects.filter(person__in=person_ids).select_related("line__account", "line__device")
    return list(rows.order_by("-during", "line_id"))


def usage_of(scope: Scope, person_ids: Collection[int]) -> QuerySet[UsageRecord]:
    """All records of these people that the reader may see: what the company paid of their lines, and what they did."""
    held = PersonAssignment.objects.filter(person__in=person_ids)
    then = held.filter(line=OuterRef("line_id"), during__contains=OuterRef("used_at"))
    line_ids = list(held.order_by().values_list("line_id", flat=True).distinct())
    company = Q(Exists(then), payer=Payer.CORPORATE, line__in=line_ids)
    personal = Q(payer=Payer.PERSONAL, person__in=scope.person_ids() & frozenset(person_ids))
    return UsageRecord.objects.within(scope).filter(company | personal)


def charges_of(
    scope: Scope,
    person_ids: Collection[int],
    *,
    now: datetime,
    payer: int | None = None,
    service: int | None = None,
    from_at: datetime | None = None,
    until_at: datetime | None = None,
    before: Before | None = None,
    most: int = 20,
) -> list[MyCharge]:
    """Their charges, newest first; `from_at` and `until_at` bound the time of use, `before` continues a list."""
    until = min(filter(None, [until_at, before.used_at if before else None, now + AHEAD]))
    records = usage_of(scope, person_ids).filter(used_at__lte=until)
    if until_at is not None:
        records = records.filter(used_at__lt=until_at)
    if from_at is not None:
        records = records.filter(used_at__gte=from_at)
    if before is not None:
        records = records.filter(Q(used_at__lt=before.used_at) | Q(id__lt=before.usage_id))
    if payer is not None:
        records = records.filter(payer=payer)
    if service is not None:
        records = records.filter(service=service)
    return with_amounts(scope, list(records.select_related("zone", "line").order_by("-used_at", "-id")[:most]))


def with_amounts(scope: Scope, records: Sequence[UsageRecord]) -> list[MyCharge]:
    """What records came to; two queries."""
    lines = _lines_of(scope, records)
    opened = _open_of(scope, records)
    return [_charge(record, lines[record.id], opened[record.id]) for record in records]


def explained(scope: Scope, person_ids: Collection[int], usage_id: int) -> list[Half]:
    """Both halves of an event of theirs, the company's first; raises UsageRecord.DoesNotExist outside their reach."""
    mine = usage_of(scope, person_ids)
    one = mine.get(id=usage_id)
    # Both are of one record of one part; the line and the time lead to them by index.
    around = (one.used_at - LONGEST_SESSION, (one.ended_at or one.used_at) + LONGEST_SESSION)
    both = mine.filter(part=one.part_id, position=one.position, line=one.line_id, used_at__range=around)
    records = list(both.select_related("zone", "line", "account", "enterprise", "source").order_by("payer", "id"))
    masking.show(records, scope)
    lines, opened = _lines_of(scope, records), _open_of(scope, records)
    return [
        Half(_charge(record, lines[record.id], opened[record.id]), lines[record.id], opened[record.id])
        for record in records
    ]


def company_part(scope: Scope, person_ids: Collection[int], cycle_start: datetime, ends_at: datetime) -> list[Part]:
    """What the company has of their usage in a billing cycle, by service."""
    records = usage_of(scope, person_ids).filter(payer=Payer.CORPORATE).filter(_reaching_into(cycle_start, ends_at))
    lines = records.filter(
        charge_lines__cycle_start=cycle_start, charge_lines__used_at__gte=cycle_start - LONGEST_SESSION
    )
    return _parts(lines, micros="charge_lines__amount_micros")


def personal_part(scope: Scope, person_ids: Collection[int], starts_at: datetime, ends_at: datetime) -> list[Part]:
    """What they have themselves of a month, by service, with what was charged of it."""
    records = usage_of(scope, person_ids).filter(payer=Payer.PERSONAL).filter(_reaching_into(starts_at, ends_at))
    lines = records.filter(
        charge_lines__starts_at__gte=starts_at, charge_lines__starts_at__lt=ends_at,
        charge_lines__used_at__gte=starts_at - LONGEST_SESSION,
    )  # fmt: skip
    parts = {part.service: part for part in _parts(lines, micros="charge_lines__personal_micros")}
    rows = OpenPersonalUsage.objects.within(scope).filter(
        person__in=person_ids,
        starts_at__gte=starts_at,
        starts_at__lt=ends_at,
        state__in=[OpenState.OPEN, OpenState.CHARGED],
    )
    for service, state, units, micros in (
        rows.order_by().values_list("service", "state").annotate(Sum("units"), Sum("amount_micros"))
    ):
        part = parts.setdefault(service, Part(service))
        part.micros += int(micros or 0)
        if state == OpenState.OPEN:
            part.open_units += int(units)
    return [parts[service] for service in sorted(parts)]


def last_charged_at(scope: Scope, person_ids: Collection[int], since: datetime) -> datetime | None:
    """When usage of theirs was charged last."""
    return usage_of(scope, person_ids).filter(used_at__gte=since).aggregate(last=Max("charged_at"))["last"]


def _reaching_into(starts_at: datetime, ends_at: datetime) -> Q:
    return Q(used_at__gte=starts_at - LONGEST_SESSION, used_at__lt=ends_at)


def _parts(records: QuerySet[UsageRecord], *, micros: str) -> list[Part]:
    rows = (
        records.order_by()
        .values("service")
        .annotate(
            granted=Sum("charge_lines__units"),
            refused=Sum("charge_lines__refused_units"),
            money=Sum(micros),
            count=Count("id", distinct=True),
        )
    )
    return [
        Part(row["service"], int(row["granted"]), int(row["refused"]), int(row["money"]), records=row["count"])
        for row in sorted(rows, key=lambda row: row["service"])
    ]


def _lines_of(scope: Scope, records: Sequence[UsageRecord]) -> dict[int, list[ChargeLine]]:
    found: dict[int, list[ChargeLine]] = defaultdict(list)
    if records:
        times = [record.used_at for record in records]
        # The records are the reader's; so are their lines.
        lines = ChargeLine.objects.filter(
            usage__in=[record.id for record in records], used_at__gte=min(times), used_at__lte=max(times)
        )
        for line in lines.select_related("personal_rate__zone", "rate__zone", "version").order_by("usage_id", "number"):
            found[line.usage_id].append(line)
    return found


def _open_of(scope: Scope, records: Iterable[UsageRecord]) -> dict[int, list[OpenPersonalUsage]]:
    found: dict[int, list[OpenPersonalUsage]] = defaultdict(list)
    ids = [record.id for record in records if record.payer == Payer.PERSONAL]
    if ids:
        rows = OpenPersonalUsage.objects.within(scope).filter(usage_id__in=ids).select_related("rate__zone")
        for row in rows.order_by("starts_at", "id"):
            found[row.usage_id].append(row)
    return found


def _charge(record: UsageRecord, lines: list[ChargeLine], opened: list[OpenPersonalUsage]) -> MyCharge:
    charge = MyCharge(record, reasons=lines[0].reasons if lines else "")
    is_personal = record.payer == Payer.PERSONAL
    for line in lines:
        charge.units += line.units
        charge.refused_units += line.refused_units
        charge.micros += line.personal_micros if is_personal else line.amount_micros
        charge.covered_units += sum(line.personal_bucket_units if is_personal else line.bucket_units)
    for row in opened:
        if row.state == OpenState.OPEN:
            charge.open_units += row.units
        elif row.state == OpenState.WRITTEN_OFF:
            charge.written_off_units += row.units
        elif row.state == OpenState.CHARGED:
            charge.micros += row.amount_micros or 0
            charge.covered_units += sum(row.bucket_units)
    return charge
