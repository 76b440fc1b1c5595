"""How long an allowance lasts at the pace of the last days.

Owns: the estimate of when units run out, from usage a civil day. Pure: imports no Django, reads no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: Usage this long ago weighs half as much as usage now: the last week still counts, an old burst fades.
HALF_LIFE = timedelta(days=5)
#: Less time than this says nothing about a pace.
LEAST_OBSERVED = timedelta(hours=12)
DAY = timedelta(days=1)


class Outlook(StrEnum):
    """What the pace of the last days means for the rest of the cycle."""

    USED_UP = "used_up"
    TOO_EARLY = "too_early"
    IDLE = "idle"
    LASTS = "lasts"
    RUNS_OUT = "runs_out"


@dataclass(frozen=True, slots=True)
class DayUsage:
    """Units used in one civil day, [starts_at, ends_at)."""

    starts_at: datetime
    ends_at: datetime
    units: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """`units_per_day` is the weighted pace; `runs_out_at` is set where `outlook` is RUNS_OUT."""

    outlook: Outlook
    units_per_day: int = 0
    runs_out_at: datetime | None = None


def pace_per_day(days: Sequence[DayUsage], now: datetime) -> float:
    """Units a day up to `now`, recent days weighing more; the day under way counts as far as it has gone."""
    used = elapsed = 0.0
    for day in days:
        if day.starts_at >= now:
            continue
        until = min(day.ends_at, now)
        weight = 0.5 ** ((now - until) / HALF_LIFE)
        used += weight * day.units
        elapsed += weight * ((until - day.starts_at) / DAY)
    return used / elapsed if elapsed else 0.0


def estimate(*, remaining_units: int, days: Sequence[DayUsage], now: datetime, ends_at: datetime) -> Estimate:
    """When `remaining_units` run out, if that is before `ends_at`. `days` are in order and without gaps."""
    if remaining_units <= 0:
        return Estimate(Outlook.USED_UP)
    if not days or now - days[0].starts_at < LEAST_OBSERVED:
        return Estimate(Outlook.TOO_EARLY)
    pace = pace_per_day(days, now)
    if pace <= 0:
        return Estimate(Outlook.IDLE)
    days_left = remaining_units / pace
    if days_left >= (ends_at - now) / DAY:
        return Estimate(Outlook.LASTS, round(pace))
    return Estimate(Outlook.RUNS_OUT, round(pace), now + days_left * DAY)
