"""Cycles and days on civil time: they tile it without gap or overlap, in every zone, through every change of clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balances.periods import cycle_of, day_of, midnight, next_cycle, previous_cycle

BERLIN = ZoneInfo("Europe/Berlin")
#: Half-hour offsets, clocks that change at midnight, a day that never was, both hemispheres.
ZONES = [
    "Europe/Berlin", "UTC", "America/New_York", "America/Havana", "America/Sao_Paulo", "Asia/Beirut", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Tehran",
]  # fmt: skip

zones = st.sampled_from(ZONES).map(ZoneInfo)
instants = st.datetimes(datetime(1990, 1, 1), datetime(2045, 1, 1), timezones=st.just(UTC))
anchors = st.integers(1, 31)


@given(instants, zones, anchors)
def test_a_cycle_holds_its_instant_and_borders_on_the_next(instant, zone, anchor):
    cycle = cycle_of(instant, zone, anchor)
    assert instant in cycle
    assert next_cycle(cycle, zone, anchor).starts_at == cycle.ends_at
    assert previous_cycle(cycle, zone, anchor).ends_at == cycle.starts_at
    assert cycle_of(cycle.starts_at, zone, anchor) == cycle
    assert cycle_of(cycle.ends_at - timedelta(microseconds=1), zone, anchor) == cycle
    assert timedelta(days=26) < cycle.ends_at - cycle.starts_at < timedelta(days=33)


@given(instants, zones)
def test_days_tile_time(instant, zone):
    day = day_of(instant, zone)
    assert instant in day
    assert day_of(day.ends_at, zone).starts_at == day.ends_at
    assert day_of(day.ends_at - timedelta(microseconds=1), zone) == day
    assert timedelta(hours=22) < day.ends_at - day.starts_at < timedelta(hours=26)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 7, 1), 24)])
def test_days_are_as_long_as_the_clock_on_the_wall_says(day, hours):
    found = day_of(midnight(day, BERLIN) + timedelta(hours=12), BERLIN)
    assert found.starts_at == midnight(day, BERLIN)
    assert found.ends_at - found.starts_at == timedelta(hours=hours)


def test_a_cycle_over_a_change_of_clocks_is_an_hour_off():
    march = cycle_of(datetime(2026, 3, 15, tzinfo=UTC), BERLIN, 1)
    assert march.starts_at == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert march.ends_at == datetime(2026, 3, 31, 22, tzinfo=UTC)
    assert march.ends_at - march.starts_at == timedelta(days=31, hours=-1)


@pytest.mark.parametrize(
    ("month", "first", "last"),
    [
        (1, date(2026, 1, 31), date(2026, 2, 28)),
        (2, date(2026, 2, 28), date(2026, 3, 31)),
        (4, date(2026, 4, 30), date(2026, 5, 31)),
    ],
)
def test_an_anchor_beyond_the_month_falls_on_its_last_day(month, first, last):
    cycle = cycle_of(midnight(first, BERLIN), BERLIN, 31)
    assert (cycle.starts_at, cycle.ends_at) == (midnight(first, BERLIN), midnight(last, BERLIN))


def test_a_leap_day_is_an_anchor_too():
    cycle = cycle_of(datetime(2028, 2, 29, 12, tzinfo=UTC), BERLIN, 30)
    assert cycle.starts_at == midnight(date(2028, 2, 29), BERLIN)


def test_a_day_without_midnight_begins_after_the_gap():
    beirut = ZoneInfo("Asia/Beirut")  # clocks went from 00:00 to 01:00 on 30 March 2025
    starts_at = midnight(date(2025, 3, 30), beirut)
    assert starts_at.astimezone(beirut).hour == 1
    assert day_of(starts_at, beirut).starts_at == starts_at
