"""Conditions as functions of an event: compiled once, called for every event. Pure; nothing is evaluated as code.

An event is anything with the attributes of `policies.decision.Context`. Times are civil: the local time that a clock on
the wall shows. The hour that autumn shows twice is in a window both times; one that spring leaves out never comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from balances.units import SERVICES_BY_NAME
from policies.conditions.catalogue import CIVIL, FIELDS, PREFIX, Kind, field_named
from policies.conditions.tree import (
    ALWAYS,
    AllOf,
    AnyOf,
    Node,
    Not,
    Test,
    days_of,
    minutes_of,
    tests_of,
    weekday_number,
    zone_named,
)

Matches = Callable[[Any], bool]
_STEP = timedelta(microseconds=1)
#: Days over which changes are looked for, at most.
DAYS_MOST = 400


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What conditions refer to and events do not carry: zones by code, and devices by the first 14 digits of IMEI."""

    zone_ids: Mapping[str, int] = field(default_factory=dict)
    home_ids: frozenset[int] = frozenset()
    devices: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # ownership, model


def ALWAYS_TRUE(event: Any) -> bool:  # noqa: N802  # a constant that is called
    """The function of a condition that always holds."""
    return True


def compile_condition(node: Node, around: Surroundings) -> Matches:
    """One function of an event; never raises, whatever the event's attributes hold."""
    if node == ALWAYS:
        return ALWAYS_TRUE
    if isinstance(node, Test):
        return _test(node, around)
    if isinstance(node, Not):
        inner = compile_condition(node.part, around)
        return lambda event: not inner(event)
    parts = tuple(compile_condition(part, around) for part in node.parts)
    if len(parts) == 2:
        first, second = parts
        if isinstance(node, AllOf):
            return lambda event: first(event) and second(event)
        return lambda event: first(event) or second(event)
    return partial(_all if isinstance(node, AllOf) else _any, parts)


def settle(node: Node, around: Surroundings, event: Any) -> Node | bool:
    """What is left of a condition once the static facts of an event (service, zone, tags) are known: True or False
    where they decide it alone."""
    if isinstance(node, Test):
        known = field_named(node.field)
        return _test(node, around)(event) if known and known.is_static else node
    if isinstance(node, Not):
        inner = settle(node.part, around, event)
        return (not inner) if isinstance(inner, bool) else Not(inner)
    decides = isinstance(node, AnyOf)
    left: list[Node] = []
    for part in node.parts:
        found = settle(part, around, event)
        if isinstance(found, bool):
            if found is decides:
                return decides
        else:
            left.append(found)
    if not left:
        return not decides
    return left[0] if len(left) == 1 else type(node)(tuple(left))


def is_of_time(node: Node) -> bool:
    """Whether a condition asks for nothing but time, weekday and date."""
    known = [FIELDS.get(test.field) for test in tests_of(node)]
    return all(field is not None and field.kind in CIVIL for field in known)


def changes_between(node: Node, starts: datetime, ends: datetime, zone: ZoneInfo) -> list[datetime]:
    """Instants after `starts` and before `ends` at which a test of time turns over, in UTC, in order, for splitting a
    session at the edges of windows. `zone`: the contract's. Raises ValueError beyond 400 days."""
    if ends - starts > timedelta(days=DAYS_MOST):
        raise ValueError(f"at most {DAYS_MOST} days")
    found: set[datetime] = set()
    for test in tests_of(node):
        known = FIELDS.get(test.field)
        if known is None or known.kind not in CIVIL:
            continue
        clock = zone_named(test.clock) if test.clock else zone
        holds = _civil(test)
        for instant in _candidates(test, starts, ends, clock):
            before, after = (instant - _STEP).astimezone(clock), instant.astimezone(clock)
            if starts < instant < ends and holds(before) != holds(after):
                found.add(instant)
    return sorted(found)


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


def _all(parts: tuple[Matches, ...], event: Any) -> bool:
    for part in parts:  # noqa: SIM110  # a loop is faster than all() with a generator
        if not part(event):
            return False
    return True


def _any(parts: tuple[Matches, ...], event: Any) -> bool:
    for part in parts:  # noqa: SIM110
        if part(event):
            return True
    return False


def _test(test: Test, around: Surroundings) -> Matches:
    if test.field.startswith(PREFIX):
        return _attribute(test, test.field.removeprefix(PREFIX))
    known = FIELDS[test.field]
    if known.kind in CIVIL:
        holds = _civil(test)
        if not test.clock:
            return lambda event: holds(event.at)
        clock = zone_named(test.clock)
        return lambda event: holds(event.at.astimezone(clock))
    return _MAKERS[test.field](test, around)


def _civil(test: Test) -> Callable[[datetime], bool]:
    """A test of time, as a function of a local time."""
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


def _service(test: Test, around: Surroundings) -> Matches:
    services = frozenset(int(SERVICES_BY_NAME[str(value)]) for value in test.values)
    return lambda event: event.service in services


def _zone(test: Test, around: Surroundings) -> Matches:
    zones = frozenset(around.zone_ids.get(str(value), -1) for value in test.values)
    return lambda event: event.zone_id in zones


def _roaming(test: Test, around: Surroundings) -> Matches:
    home, wanted = around.home_ids, test.values[0]
    return lambda event: (event.zone_id not in home) is wanted


def _bearing(test: Test, around: Surroundings) -> Matches:
    wanted = frozenset(str(value) for value in test.values)
    if test.field == "role":
        return lambda event: event.role in wanted or not wanted.isdisjoint(event.tags)
    return lambda event: not wanted.isdisjoint(event.tags)


def _device(test: Test, around: Surroundings) -> Matches:
    devices, place = around.devices, 0 if test.field == "device.ownership" else 1
    compare = _comparing(test, folded=place == 1)
    return lambda event: (found := devices.get(event.device[:14])) is not None and compare(found[place])


def _units(test: Test, around: Surroundings) -> Matches:
    value = int(test.values[0])
    if test.op == "is":
        return lambda event: event.units == value
    if test.op == "below":
        return lambda event: event.units < value
    return lambda event: event.units >= value


def _of(name: str) -> Callable[[Test, Surroundings], Matches]:
    """A comparison of a text of the event."""

    def made(test: Test, around: Surroundings) -> Matches:
        compare = _comparing(test, folded=FIELDS[test.field].kind is Kind.TEXT)
        return lambda event: compare(getattr(event, name))

    return made


def _other_party(test: Test, around: Surroundings) -> Matches:
    compare = _comparing(test)
    return lambda event: compare(event.other_party.removeprefix("+"))


def _apn(test: Test, around: Surroundings) -> Matches:
    compare = _comparing(test, folded=True)

    def matches(event: Any) -> bool:
        attributes = event.attributes or {}
        value = attributes.get("apn") or attributes.get("dnn")
        return isinstance(value, str) and compare(value)

    return matches


def _attribute(test: Test, key: str) -> Matches:
    if test.op in ("at_least", "below"):
        bound, wanted = int(test.values[0]), test.op == "at_least"

        def measures(event: Any) -> bool:
            value = (event.attributes or {}).get(key)
            return isinstance(value, int | float) and not isinstance(value, bool) and (value >= bound) is wanted

        return measures
    compare = _comparing(test, folded=True)

    def matches(event: Any) -> bool:
        value = (event.attributes or {}).get(key)
        if isinstance(value, bool):
            return compare("true" if value else "false")
        return isinstance(value, str | int | float) and compare(str(value))

    return matches


def _comparing(test: Test, *, folded: bool = False) -> Callable[[str], bool]:
    values = tuple(str(value).casefold() if folded else str(value) for value in test.values)
    if test.op == "starts":
        compare: Callable[[str], bool] = lambda text: text.startswith(values)  # noqa: E731
    elif test.op == "contains":
        part = values[0]
        compare = lambda text: part in text  # noqa: E731
    else:
        known = frozenset(values)
        compare = lambda text: text in known  # noqa: E731
    return (lambda text: compare(text.casefold())) if folded else compare


_MAKERS: dict[str, Callable[[Test, Surroundings], Matches]] = {
    "service": _service,
    "zone": _zone,
    "roaming": _roaming,
    "network": _of("visited_network"),
    "device.ownership": _device,
    "device.model": _device,
    "device.imei": _of("device"),
    "role": _bearing,
    "tag": _bearing,
    "other_party": _other_party,
    "apn": _apn,
    "units": _units,
}
