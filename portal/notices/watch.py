"""Reads what charging has stored, after it is committed, for lines that leave their pattern and SIMs in new devices.

Owns: WatchMark, LineDay, LineDevice; personal usage is not read, so that nobody is told of it. Charging knows nothing
of all this and waits for nothing of it. Each record is read once: an enterprise's charges are numbered under its lock,
so all up to the number in its `ChargingState` are committed.
What was told, the counts and the marks are one transaction: killed anywhere, it is as if the turn had not been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Min

from balances.models import ChargingState, Device, Enterprise, Line
from balances.selectors.terms import terms_at
from balances.units import SERVICE_NAMES, Service
from portal.models import LineDay, LineDevice, NoticeKind, Severity, WatchMark
from portal.notices import outbox, patterns
from portal.notices.facts import Facts, owner_facts, pool_facts, price_facts
from portal.notices.found import Found

#: How much earlier than it is committed a charge may be dated: longer than any waits for its lock and is written.
OVERLAP = timedelta(minutes=5)
PATTERN_DAYS = timedelta(days=56)
KEPT_DAYS = timedelta(days=70)
#: What is told is of today or yesterday; older days only teach the pattern.
NEWS = timedelta(days=1)
#: An IMEI without its check digit: networks send either.
IMEI_DIGITS = 14

_NEWS = """
    FROM balances_usagerecord u
    JOIN unnest(%(enterprises)s::bigint[], %(zones)s::text[], %(after)s::bigint[], %(upto)s::bigint[])
      AS e(enterprise_id, zone, after, upto)
      ON e.enterprise_id = u.enterprise_id AND u.charge_sequence > e.after AND u.charge_sequence <= e.upto
    WHERE u.charged_at >= %(charged_since)s AND u.used_at >= %(used_since)s AND u.payer = 1
"""
_DAYS = f"""
    INSERT INTO portal_lineday AS d (enterprise_id, line_id, service, day, units, records)
    SELECT u.enterprise_id, u.line_id, u.service, (u.used_at AT TIME ZONE e.zone)::date, sum(u.units), count(*)
    {_NEWS} GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4
    ON CONFLICT (line_id, service, day)
    DO UPDATE SET units = d.units + excluded.units, records = d.records + excluded.records
    RETURNING line_id, service, day, units
"""
_DEVICES = f"""
    INSERT INTO portal_linedevice AS d (enterprise_id, line_id, imei, first_used_at, last_used_at)
    SELECT u.enterprise_id, u.line_id, left(u.imei, {IMEI_DIGITS}), min(u.used_at), max(u.used_at)
    {_NEWS} AND u.imei <> '' GROUP BY 1, 2, 3 ORDER BY 2, 3
    ON CONFLICT (line_id, imei) DO UPDATE SET
        first_used_at = least(d.first_used_at, excluded.first_used_at),
        last_used_at = greatest(d.last_used_at, excluded.last_used_at)
    RETURNING id, xmax = 0
"""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Day:
    """A line's usage of a service on a civil day, so far."""

    line_id: int
    service: int
    day: date
    units: int


def turn(*, at: datetime) -> outbox.Told:
    """Read what has been charged since the last turn, and tell what is out of the ordinary. A second turn waits."""
    with transaction.atomic():
        everybody = Enterprise.objects.filter(contracts__isnull=False).distinct().values_list("id", flat=True)
        WatchMark.objects.bulk_create([WatchMark(enterprise_id=e) for e in everybody], ignore_conflicts=True)
        marks = list(WatchMark.objects.select_for_update().order_by("enterprise_id"))
        states = ChargingState.objects.in_bulk([mark.enterprise_id for mark in marks])
        recent: list[WatchMark] = []
        histories: list[WatchMark] = []
        for mark in marks:
            state = states.get(mark.enterprise_id)
            if state is None or state.charge_sequence <= mark.sequence:
                continue
            # Past usage is charged by a past clock, as when an enterprise moves in: then the date says nothing.
            is_past = mark.read_at is None or (state.charged_at or _BEGINNING) < mark.read_at - OVERLAP
            (histories if is_past else recent).append(mark)
        since = min((mark.read_at for mark in recent if mark.read_at), default=at) - OVERLAP
        found: list[Found] = []
        for group, charged_since in [(recent, since), *(([mark], _BEGINNING) for mark in histories)]:
            if group:
                found += _read({m.enterprise_id: (m.sequence, states[m.enterprise_id].charge_sequence) for m in group},
                               charged_since, at)  # fmt: skip
        for mark in marks:
            state = states.get(mark.enterprise_id)
            mark.sequence, mark.read_at = state.charge_sequence if state else 0, at
        WatchMark.objects.bulk_update(marks, ["sequence", "read_at"])
        return outbox.post(found=found, at=at)


def _read(sequences: dict[int, tuple[int, int]], charged_since: datetime, at: datetime) -> list[Found]:
    """Count the usage of charges beyond the first number up to the second, and note its devices."""
    zones = {enterprise_id: terms_at(enterprise_id, at).zone for enterprise_id in sequences}
    values: dict[str, Any] = {
        "enterprises": list(sequences),
        "zones": [zone.key for zone in zones.values()],
        "after": [after for after, _ in sequences.values()],
        "upto": [upto for _, upto in sequences.values()],
        "charged_since": charged_since,
        "used_since": at - KEPT_DAYS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, values)
        days = [_Day(*row) for row in cursor.fetchall()]
        cursor.execute(_DEVICES, values)
        new = [row[0] for row in cursor.fetchall() if row[1]]
    return [*_unusual(days, at, zones), *_in_new_devices(new, at)]


def forget(*, at: datetime) -> int:
    """Delete days that no pattern is taken of any more."""
    return LineDay.objects.filter(day__lt=(at - KEPT_DAYS).date()).delete()[0]


# --- patterns ----------------------------------------------------------------------------------------------------


def _unusual(touched: Iterable[_Day], at: datetime, zones: dict[int, ZoneInfo]) -> Iterator[Found]:
    """Days of now that are far outside their line's pattern; a line's first service alone, once a day."""
    earliest = (at - NEWS - timedelta(hours=14)).date()  # no zone's yesterday is older
    recent = [d for d in touched if d.day >= earliest and d.units > patterns.LEAST_UNITS[Service(d.service)]]
    if not recent:
        return
    lines = Line.objects.select_related("person", "account").in_bulk({d.line_id for d in recent})
    known: dict[tuple[int, int], dict[date, int]] = defaultdict(dict)
    rows = LineDay.objects.filter(line__in=lines, day__gte=earliest - PATTERN_DAYS)
    for line_id, service, day, units in rows.values_list("line_id", "service", "day", "units"):
        known[line_id, service][day] = units
    first_days = _first_days(lines.values())
    unusual: list[tuple[_Day, patterns.Verdict, int]] = []
    for each in recent:
        line = lines[each.line_id]
        zone = zones[line.enterprise_id]
        if each.day < (at.astimezone(zone) - NEWS).date():
            continue
        like = _like(each.day, first_days[line.id], known[line.id, each.service])
        verdict = patterns.judge(
            today_units=each.units, days=like, least_units=patterns.LEAST_UNITS[Service(each.service)]
        )
        if verdict is not None and verdict.is_unusual:
            unusual.append((each, verdict, len(like)))
    # A person is told of so many a day only: of the most unusual. One line's first service stands for the line.
    unusual.sort(key=lambda one: (-(one[0].units // one[1].bound_units), one[0].line_id, one[0].day, one[0].service))
    for each, verdict, days in unusual:
        line = lines[each.line_id]
        yield _anomaly(line, each, verdict, days, zones[line.enterprise_id], at)


def _first_days(lines: Iterable[Line]) -> dict[int, date]:
    """Since when a line's days are known, also those without usage: not before the portal knew its enterprise's."""
    lines = list(lines)
    enterprises = {line.enterprise_id for line in lines}
    seen = LineDay.objects.filter(enterprise__in=enterprises).values_list("enterprise_id")
    begun = dict(seen.annotate(first=Min("day")))
    first = dict(LineDay.objects.filter(line__in=lines).values_list("line_id").annotate(first=Min("day")))
    return {line.id: max(min(first[line.id], line.created_at.date()), begun[line.enterprise_id]) for line in lines}


def _like(today: date, first: date, known: dict[date, int]) -> list[int]:
    """What was used on the days of the same kind before; nothing on those that have no row."""
    start = max(first, today - PATTERN_DAYS)
    days = (start + timedelta(days=n) for n in range((today - start).days))
    return [known.get(day, 0) for day in days if patterns.is_weekend(day) == patterns.is_weekend(today)]


def _anomaly(line: Line, each: _Day, verdict: patterns.Verdict, days: int, zone: ZoneInfo, at: datetime) -> Found:
    facts: Facts = owner_facts(None, line) | price_facts(line.enterprise_id, each.service, at)
    facts |= {
        "service": SERVICE_NAMES[each.service], "as_of": at.isoformat(), "time_zone": zone.key,
        "day": each.day.isoformat(), "day_units": each.units, "usual_units": verdict.usual_units,
        "bound_units": verdict.bound_units, "days": days,
        "day_kind": "weekend" if patterns.is_weekend(each.day) else "working",
    } | pool_facts(line, each.service, at)  # fmt: skip
    return Found(
        key=f"anomaly:{line.id}:{each.day.isoformat()}",
        kind=NoticeKind.ANOMALY,
        enterprise_id=line.enterprise_id,
        account=None,
        line=line,
        service=each.service,
        severity=Severity.WARNING,
        happened_at=at,
        facts=facts,
    )


# --- devices -----------------------------------------------------------------------------------------------------


def _in_new_devices(new_ids: list[int], at: datetime) -> Iterator[Found]:
    """Devices that a SIM had not been seen in, where another was known: the assigned one, or one seen before."""
    if not new_ids:
        return
    new = {row.id: row for row in LineDevice.objects.filter(id__in=new_ids)}
    line_ids = {row.line_id for row in new.values()}
    lines = Line.objects.select_related("person", "account", "device").in_bulk(line_ids)
    by_line: dict[int, list[LineDevice]] = defaultdict(list)
    for row in LineDevice.objects.filter(line__in=line_ids).order_by("first_used_at", "id"):
        by_line[row.line_id].append(row)
    for line_id in sorted(line_ids):
        line, before = lines[line_id], ""
        assigned = line.device.imei[:IMEI_DIGITS] if line.device else ""
        for row in by_line[line_id]:
            was = before or assigned
            is_news = row.id in new and row.first_used_at > at - NEWS
            if is_news and was and row.imei not in (was, assigned):
                yield _device_found(line, row, was, assigned, at)
            before = row.imei


def _device_found(line: Line, row: LineDevice, before: str, assigned: str, at: datetime) -> Found:
    models = {
        device.imei[:IMEI_DIGITS]: str(device.model)
        for device in Device.objects.filter(enterprise_id=line.enterprise_id)
        .extra(where=["left(imei, %s) = ANY(%s)"], params=[IMEI_DIGITS, [row.imei, before]])
    }  # fmt: skip
    facts: Facts = owner_facts(None, line) | {
        "as_of": at.isoformat(), "time_zone": terms_at(line.enterprise_id, at).zone.key, "imei": row.imei,
        "model": models.get(row.imei, ""), "imei_before": before, "model_before": models.get(before, ""),
        "is_assigned_before": before == assigned, "since": row.first_used_at.isoformat(),
    }  # fmt: skip
    facts |= pool_facts(line, Service.DATA, at)
    return Found(
        key=f"device:{line.id}:{row.imei}",
        kind=NoticeKind.DEVICE,
        enterprise_id=line.enterprise_id,
        account=None,
        line=line,
        service=None,
        severity=Severity.WARNING,
        happened_at=row.first_used_at,
        facts=facts,
        recorded_at=at,
    )
