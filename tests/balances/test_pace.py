"""How long an allowance lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from balances.pace import DayUsage, Outlook, estimate, pace_per_day

START = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def days(*units: int) -> list[DayUsage]:
    return [DayUsage(START + n * DAY, START + (n + 1) * DAY, used) for n, used in enumerate(units)]


def test_even_usage_is_its_own_pace():
    assert pace_per_day(days(*[100] * 10), START + 10 * DAY) == pytest.approx(100)


def test_the_day_under_way_counts_as_far_as_it_has_gone():
    assert pace_per_day(days(100, 100, 25), START + 2.25 * DAY) == pytest.approx(100)


def test_recent_days_weigh_more():
    rising = pace_per_day(days(0, 0, 0, 0, 0, 100, 100, 100, 100, 100), START + 10 * DAY)
    falling = pace_per_day(days(100, 100, 100, 100, 100, 0, 0, 0, 0, 0), START + 10 * DAY)
    assert rising > 60 > 40 > falling
    assert rising + falling == pytest.approx(100)


def test_a_day_of_25_hours_is_longer():
    long = [DayUsage(START, START + timedelta(hours=25), 250)]
    assert pace_per_day(long, START + timedelta(hours=25)) == pytest.approx(240)


def test_it_runs_out_when_the_rest_is_used_at_that_pace():
    now = START + 10 * DAY
    result = estimate(remaining_units=500, days=days(*[100] * 10), now=now, ends_at=END)
    assert result.outlook == Outlook.RUNS_OUT
    assert result.units_per_day == 100
    assert abs(result.runs_out_at - (now + 5 * DAY)) < timedelta(seconds=1)


def test_exactly_enough_lasts():
    now = START + 10 * DAY
    result = estimate(remaining_units=2000, days=days(*[100] * 10), now=now, ends_at=END)
    assert (result.outlook, result.runs_out_at) == (Outlook.LASTS, None)


@pytest.mark.parametrize(
    ("remaining", "used", "after", "outlook"),
    [
        (0, [100], DAY, Outlook.USED_UP),
        (10, [], DAY, Outlook.TOO_EARLY),
        (10, [5], timedelta(hours=11), Outlook.TOO_EARLY),
        (10, [0, 0], 2 * DAY, Outlook.IDLE),
    ],
)
def test_what_cannot_be_extrapolated_is_said_so(remaining, used, after, outlook):
    result = estimate(remaining_units=remaining, days=days(*used), now=START + after, ends_at=END)
    assert result.outlook == outlook
    assert result.runs_out_at is None
