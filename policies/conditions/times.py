"""Tests of time: whose clock they are read off, whether they hold at a local time, and when they turn over. Pure.

Times are civil: the local time that a clock on the wall shows. The hour that autumn shows twice is in a window both
times; one that spring leaves out never comes. Holidays are civil days of the calendar at home, else the enterprise's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from policies.conditions import places
from policies.conditions.calendars import is_holiday
from policies.conditions.catalogue import ENTERPRISE, FIELDS, THERE
from policies.conditions.fields import Matches, Reading, Surroundings, country_there, reading_of
from policies.conditions.numbers import Entry, NumberSet
from policies.conditions.tree import Node, Test, days_of, minutes_of, tests_of, weekday_number, zone_named

_STEP = timedelta(microseconds=1)
#: Days over which changes are looked for, at most.
DAYS_MOST = 400
#: Fields that ask what holds for a time of an event.
FOR_A_TIME = frozenset({"on_trip", "list", "directory", "line"})
Holds = Callable[[datetime], bool | None]


def is_civil(test: Test) -> bool:
    """Whether a test is read off a clock."""
    known = FIELDS.get(test.field)
    return known is not None and known.is_civil


def zone_there(event: Any, around: Surroundings) -> ZoneInfo | None:
    """The time zone where the person is; None where that is not known."""
    return places.zone_of(country_there(event, around))


def clock_of(test: Test, zone: ZoneInfo, around: Surroundings, there: ZoneInfo | None, at: datetime) -> ZoneInfo | None:
    """The time zone of a test's clock at an instant, by what is known of an event: `zone` the contract's; None where
    it is not."""
    if not test.clock:
        return zone if (home := around.home_at(at)) is None else home.zone
    if test.clock == ENTERPRISE:
        return around.enterprise_zone_at(at)
    return there if test.clock == THERE else zone_named(test.clock)


def maker_of_time(test: Test, around: Surroundings) -> Matches | None:
    """The function of a test of time that every event can answer off its own clock or a named one; None of others."""
    if test.field == "holiday" or test.clock in (ENTERPRISE, THERE) or (around.homes and not test.clock):
        return None
    holds = holds_of(test, Surroundings())
    if not test.clock:
        return lambda event: holds(event.at) is True
    clock = zone_named(test.clock)
    return lambda event: holds(event.at.astimezone(clock)) is True


def reading_of_time(test: Test, around: Surroundings) -> Reading:
    """What a test of time reads: the local time of its clock."""
    holds = holds_of(test, around)
    if test.clock == THERE:

        def read(event: Any) -> datetime | None:
            zone = zone_there(event, around)
            return None if zone is None else event.at.astimezone(zone)

        return Reading(read, holds)
    if test.clock == ENTERPRISE:

        def read_enterprise(event: Any) -> datetime | None:
            clock = around.enterprise_zone_at(event.at)
            return None if clock is None else event.at.astimezone(clock)

        return Reading(read_enterprise, holds)
    if test.clock:
        named = zone_named(test.clock)
        return Reading(lambda event: event.at.astimezone(named), holds)

    def read_home(event: Any) -> datetime:
        home = around.home_at(event.at)
        return event.at if home is None else event.at.astimezone(home.zone)

    return Reading(read_home if around.homes else lambda event: event.at, holds)


def holds_of(test: Test, around: Surroundings) -> Holds:
    """A test of time, as a function of a local time; None for holidays of an unknown calendar."""
    if test.field == "holiday":
        wanted = test.values[0]

        def on_holiday(at: datetime) -> bool | None:
            home = None if test.clock else around.home_at(at)
            calendar = home.holidays if home is not None and home.holidays else around.holidays_of(at)
            found = is_holiday(calendar, at.date())
            return None if found is None else found is wanted

        return on_holiday
    if test.field == "weekday":
        days = frozenset(weekday_number(str(value)) for value in test.values)
        return lambda at: at.weekday() in days
    if test.field == "date":
        spans = tuple(days_of(str(value)) for value in test.values)
        return lambda at: _in_days(at.date(), spans)
    windows = tuple(minutes_of(str(value)) for value in test.values)
    return lambda at: _in_windows(at.hour * 60 + at.minute, windows)


def _in_days(day: date, spans: tuple[tuple[date, date], ...]) -> bool:
    return any(first <= day <= last for first, last in spans)


def _in_windows(minute: int, windows: tuple[tuple[int, int], ...]) -> bool:
    for starts, ends in windows:
        if starts <= minute < ends if starts < ends else (minute >= starts or minute < ends):
            return True
    return False


# --- when they turn over --------------------------------------------------------------------------------------------


def changes_between(
    node: Node, starts: datetime, ends: datetime, zone: ZoneInfo, around: Surroundings | None = None,
    there: ZoneInfo | None = None, event: Any = None,
) -> list[datetime]:  # fmt: skip
    """Instants after `starts` and before `ends` at which a test of time turns over, in UTC, in order, for splitting a
    session at the edges of windows.

    `zone`: the contract's; `there`: that of the country where the person is. A clock or calendar that is not known
    never turns. With an `event` (whose own time does not matter) `there` is taken from it, and the edges of trips, of
    numbers in lists and the directory, and of the line's numbers are turns as well. Raises ValueError beyond 400 days.
    """
    if ends - starts > timedelta(days=DAYS_MOST):
        raise ValueError(f"at most {DAYS_MOST} days")
    around = around or Surroundings()
    if event is not None and there is None:
        there = zone_there(event, around)
    found: set[datetime] = set()
    for test in tests_of(node):
        if is_civil(test):
            if clock_of(test, zone, around, there, starts) is not None:
                found |= _turns(test, starts, ends, around, partial(clock_of, test, zone, around, there))
        elif event is not None and test.field in FOR_A_TIME:
            found |= _turns_of_event(test, starts, ends, around, event)
    return sorted(found)


def _turns(
    test: Test, starts: datetime, ends: datetime, around: Surroundings, clock_at: Callable[[datetime], ZoneInfo | None]
) -> set[datetime]:
    """Turns of a test of time; clocks and calendars may be others from some instant on."""
    holds = holds_of(test, around)
    edges = [since for since, _ in around.enterprise_zones] if test.clock == ENTERPRISE else []
    edges += [since for since, _ in around.holiday_calendars] if test.field == "holiday" else []
    edges += [since for since, _ in around.homes] if not test.clock else []
    moved = {edge for edge in edges if starts < edge < ends}
    clocks = {clock_at(instant) for instant in (starts, *moved)}
    found = moved.union(*(_candidates(test, starts, ends, clock) for clock in clocks if clock is not None))
    return {
        instant
        for instant in found
        if starts < instant < ends
        and holds((instant - _STEP).astimezone(clock_at(instant - _STEP)))
        is not holds(instant.astimezone(clock_at(instant)))
    }


def _turns_of_event(test: Test, starts: datetime, ends: datetime, around: Surroundings, event: Any) -> set[datetime]:
    """Turns of a test that asks what holds for a time."""
    read, compare = reading_of(test, around)

    def held(at: datetime) -> bool | None:
        value = read(replace(event, at=at))
        return None if value is None else compare(value)

    return {
        edge.astimezone(UTC)
        for edge in edges_of(test, around, event)
        if starts < edge < ends and held(edge - _STEP) is not held(edge)
    }


def edges_of(test: Test, around: Surroundings, event: Any) -> set[datetime]:
    """Instants at which a test that asks what holds for a time may turn over for an event, whose own time does not
    matter: edges of trips of the person, of the other party in lists and the directory, of numbers of the line."""
    if test.field == "on_trip":
        return {edge for trip in (around.trips or {}).get(event.person_id, ()) for edge in trip[:2]}
    if test.field == "line":
        return set(_edges(around.line_numbers.get(event.line_id, ())))
    if test.field == "directory":
        sets = [around.directory]
    else:
        sets = [around.number_lists.get(str(value)) for value in test.values]
    digits = event.other_party.removeprefix("+")
    return {edge for one in sets if isinstance(one, NumberSet) for edge in one.edges(digits)}


def number_edges(around: Surroundings) -> set[datetime]:
    """Instants at which any number may come into a list, the directory or to a line, or leave."""
    sets = [around.directory, *around.number_lists.values()]
    found = {edge for one in sets if isinstance(one, NumberSet) for edge in one.all_edges()}
    return found.union(*map(_edges, around.line_numbers.values()))


def _edges(held: Iterable[Entry]) -> Iterator[datetime]:
    return (edge for one in held for edge in (one.starts, one.ends) if edge is not None)


def _candidates(test: Test, starts: datetime, ends: datetime, clock: ZoneInfo) -> Iterable[datetime]:
    """Where a test of time may turn over: its edges on each civil day, both readings of them, changes of the clock."""
    minutes = {0}
    if test.field == "time":
        minutes |= {edge % 1440 for value in test.values for edge in minutes_of(str(value))}
    day, last = starts.astimezone(clock).date(), ends.astimezone(clock).date() + timedelta(days=1)
    while day <= last:
        for minute in minutes:
            local = datetime.combine(day, time(minute // 60, minute % 60), clock)
            yield local.astimezone(UTC)
            yield local.replace(fold=1).astimezone(UTC)
        first = datetime.combine(day, time(), clock).astimezone(UTC)
        if (moved := _clock_change(first, first + timedelta(hours=26), clock)) is not None:
            yield moved
        day += timedelta(days=1)


def _clock_change(low: datetime, high: datetime, clock: ZoneInfo) -> datetime | None:
    """The instant within a day at which the clock is put forward or back, to the second."""
    offset = low.astimezone(clock).utcoffset()
    if high.astimezone(clock).utcoffset() == offset:
        return None
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if middle.astimezone(clock).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high
