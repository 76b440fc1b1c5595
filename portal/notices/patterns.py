"""Whether a day of a line is far outside the line's own pattern. Pure: imports no Django, reads no clock.

The pattern is that of its days of the same kind, working days or weekends. Median and median absolute deviation are
used because the odd day must not hide the next one: half the days may be odd before they move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median_low

from balances.units import Service

#: Fewer known days of a kind than this are no pattern.
LEAST_DAYS = 8
#: Below this much a day is never unusual, whatever the line does otherwise: 500 MiB, an hour, 50 messages, 4 hours.
LEAST_UNITS = {
    Service.DATA: 500 * 2**20,
    Service.VOICE: 3_600,
    Service.MESSAGING: 50,
    Service.VIDEO_CONFERENCING: 4 * 3_600,
}
#: The deviation that a normal distribution has for each unit of its median absolute deviation, in ten-thousandths.
SCALE, SCALED = 14_826, 10_000
DEVIATIONS, MULTIPLE = 6, 3
#: Of the second greatest day: lines that burst now and then do so again, and one odd day must not hide the next.
BURSTS = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """`usual_units` is the median day; more than `bound_units` is unusual."""

    is_unusual: bool
    usual_units: int
    bound_units: int


def is_weekend(day: date) -> bool:
    """The kind of a day."""
    return day.weekday() >= 5


def judge(*, today_units: int, days: Sequence[int], least_units: int) -> Verdict | None:
    """Judge a day by its like; None where fewer than `LEAST_DAYS` are known.

    The bound is the greatest of: the median and six deviations, where a deviation is at least a quarter of the median;
    three times the median; twice the second greatest day; the least volume.
    """
    if len(days) < LEAST_DAYS:
        return None
    usual = median_low(days)
    spread = median_low([abs(units - usual) for units in days]) * SCALE // SCALED
    burst = BURSTS * sorted(days)[-2]
    bound = max(usual + DEVIATIONS * max(spread, usual // 4), MULTIPLE * usual, burst, least_units)
    return Verdict(today_units > bound, usual, bound)
