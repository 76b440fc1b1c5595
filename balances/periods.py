"""Billing-cycle and day arithmetic on civil time.

Owns: where a cycle or a day begins and ends for a time zone and an anchor day. Pure: imports no Django, reads
no clock. Instants are aware datetimes in UTC; boundaries lie at local midnight, so that a cycle in March or
October is an hour shorter or longer, exactly as the calendar on the wall says (SCENARIOS 6).
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open interval of instants, [starts_at, ends_at), both aware and in UTC."""

    starts_at: datetime
    ends_at: datetime

    def __contains__(self, instant: datetime) -> bool:
        return self.starts_at <= instant < self.ends_at


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a civil day, in UTC (where midnight does not exist, the first instant after the gap)."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _anchored(year: int, month: int, anchor_day: int) -> date:
    """The anchor day of a month; an anchor of 29-31 falls on the last day of a shorter month."""
    return date(year, month, min(anchor_day, monthrange(year, month)[1]))


def _next_month(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)


def cycle_of(instant: datetime, zone: ZoneInfo, anchor_day: int) -> Period:
    """The monthly billing cycle that holds `instant`."""
    today = instant.astimezone(zone).date()
    year, month = today.year, today.month
    if today < _anchored(year, month, anchor_day):
        year, month = (year - 1, 12) if month == 1 else (year, month - 1)
    first = _anchored(year, month, anchor_day)
    last = _anchored(*_next_month(year, month), anchor_day)
    return Period(midnight(first, zone), midnight(last, zone))


def next_cycle(cycle: Period, zone: ZoneInfo, anchor_day: int) -> Period:
    """The cycle that begins where `cycle` ends."""
    return cycle_of(cycle.ends_at, zone, anchor_day)


def previous_cycle(cycle: Period, zone: ZoneInfo, anchor_day: int) -> Period:
    """The cycle that ends where `cycle` begins."""
    return cycle_of(cycle.starts_at - timedelta(seconds=1), zone, anchor_day)


def day_of(instant: datetime, zone: ZoneInfo) -> Period:
    """The civil day that holds `instant`; 23 or 25 hours long where the clocks change."""
    today = instant.astimezone(zone).date()
    return Period(midnight(today, zone), midnight(today + timedelta(days=1), zone))
