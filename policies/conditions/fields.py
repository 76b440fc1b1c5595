"""What each field reads of an event, and how that compares. Pure. See `catalogue` for what fields there are.

An event is anything with the attributes of `policies.decision.Context`. A field either has a *maker*, whose function
every event can answer, or a *reading*: what the event has of it, None where it has nothing, and how that compares.
Neither raises, whatever the attributes of an event hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from math import isfinite
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeVar
from zoneinfo import ZoneInfo

from balances.units import SERVICES_BY_NAME
from policies.conditions import places, radio
from policies.conditions.catalogue import PREFIX, Kind
from policies.conditions.numbers import Entry
from policies.conditions.tree import Test, ends_of

Matches = Callable[[Any], bool]
Knows = Callable[[Any], bool | None]
#: Names of applications by which networks say that they do not know.
_NO_APPLICATION = frozenset({"", "unknown", "unclassified"})
_NUMBER_MOST = 2**63


class Numbers(Protocol):
    """A list of numbers, such as `numbers.NumberSet`."""

    def holds(self, digits: str, at: datetime) -> bool:
        """Whether a number is in it at that time."""
        ...


Trip = tuple[datetime, datetime, frozenset[str]]


class Home(NamedTuple):
    """Where lines are at home: the clock on the wall there, and whose public holidays are kept ("": not known)."""

    zone: ZoneInfo
    holidays: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What conditions refer to and events do not carry. What is None was not loaded, so nothing is known of it.

    `devices`: ownership, model and type by the first 14 digits of IMEI. `home_country`: of the home network, ""
    unknown. `directory`: the enterprise's numbers; `line_numbers`: of each line; both with their times. `trips`: of a
    person: from inclusive, until exclusive, countries (none: anywhere).
    `holiday_calendars`: "DE" or "DE-BY"; "" unknown; `enterprise_zones`: of its contracts; `homes`: of the lines of one
    chain of accounts, None: the contract's; each since when, in order.
    """

    zone_ids: Mapping[str, int] = field(default_factory=dict)
    home_ids: frozenset[int] = frozenset()
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    home_country: str = ""
    directory: Numbers | None = None
    line_numbers: Mapping[int, tuple[Entry, ...]] = field(default_factory=dict)
    number_lists: Mapping[str, Numbers] = field(default_factory=dict)
    trips: Mapping[int, tuple[Trip, ...]] | None = None
    holiday_calendars: tuple[tuple[datetime, str], ...] = ()
    enterprise_zones: tuple[tuple[datetime, ZoneInfo], ...] = ()
    homes: tuple[tuple[datetime, Home | None], ...] = ()

    def enterprise_zone_at(self, at: datetime) -> ZoneInfo | None:
        """The clock of the contract in force, else of the last that began by then, else of the first."""
        return _standing(self.enterprise_zones, at)

    def holidays_of(self, at: datetime) -> str:
        """The calendar of public holidays at a time, in the same order; "" where none is known."""
        return _standing(self.holiday_calendars, at) or ""

    def home_at(self, at: datetime) -> Home | None:
        """The home of the lines at a time; None where their accounts have none, so that it is the contract's."""
        found = None
        for since, home in self.homes:
            if since > at:
                break
            found = home
        return found


_Held = TypeVar("_Held")


def _standing(rows: tuple[tuple[datetime, _Held], ...], at: datetime) -> _Held | None:
    begun = [held for since, held in rows if since <= at]
    return begun[-1] if begun else next((held for _, held in rows), None)


class Reading(NamedTuple):
    """`read`: what an event has of a field, or None. `compare`: whether that matches; None if it cannot be said."""

    read: Callable[[Any], Any]
    compare: Knows


def maker_of(test: Test, around: Surroundings) -> Matches | None:
    """The function of a comparison that every event can answer; None where some cannot."""
    made = _MAKERS.get(test.field)
    return made(test, around) if made else None


def reading_of(test: Test, around: Surroundings) -> Reading:
    """What a comparison reads, of a field that has no maker."""
    made = _READINGS.get(test.field)
    return made(test, around) if made else _free(test)


def country_there(event: Any, around: Surroundings) -> str:
    """The country where the person is; "" where it is not known."""
    network = event.visited_network
    return places.country_of(network) if network else around.home_country


# --- fields that every event has ------------------------------------------------------------------------------------


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


def _network(test: Test, around: Surroundings) -> Matches:
    compare = _comparing(test)  # at home there is no visited network, which is known, too
    return lambda event: compare(event.visited_network)


def _units(test: Test, around: Surroundings) -> Matches:
    compare = _measuring(test)
    return lambda event: compare(event.units)


# --- fields that some events do not have ----------------------------------------------------------------------------


_OF_DEVICES = {"device.ownership": 0, "device.model": 1, "device.type": 2}
_NOT_KNOWN = ("", "unknown")


def _device(test: Test, around: Surroundings) -> Reading:
    devices, place = around.devices, _OF_DEVICES[test.field]

    def read(event: Any) -> str | None:
        found = devices.get(event.device[:14])
        return found[place] if found is not None and found[place] not in _NOT_KNOWN else None

    return Reading(read, _comparing(test, folded=place == 1))


def _imei(test: Test, around: Surroundings) -> Reading:
    return Reading(lambda event: event.device or None, _comparing(test))


def _other_party(test: Test, around: Surroundings) -> Reading:
    return Reading(_digits_called, _comparing(test))


def _digits_called(event: Any) -> str | None:
    return event.other_party.removeprefix("+") or None


def _directory(test: Test, around: Surroundings) -> Reading:
    known, wanted = around.directory, test.values[0]
    if known is None:
        return _NOTHING

    def compare(event: Any) -> bool:
        return known.holds(event.other_party.removeprefix("+"), event.at) is wanted

    return Reading(_calling, compare)


def _calling(event: Any) -> Any:
    """An event of which a comparison reads the other party and the time."""
    return event if _digits_called(event) else None


def _list(test: Test, around: Surroundings) -> Reading:
    lists = [around.number_lists.get(str(value)) for value in test.values]
    known = tuple(one for one in lists if one is not None)
    otherwise = False if len(known) == len(lists) else None

    def compare(event: Any) -> bool | None:
        digits, at = event.other_party.removeprefix("+"), event.at
        for one in known:
            if one.holds(digits, at):
                return True
        return otherwise

    return Reading(_calling, compare)


def _line(test: Test, around: Surroundings) -> Reading:
    numbers, compare = around.line_numbers, _comparing(test)

    def read(event: Any) -> str | None:
        at = event.at
        for held in numbers.get(event.line_id, ()):
            if held.holds(at):
                return held.digits
        return None

    return Reading(read, compare)


def _country(test: Test, around: Surroundings) -> Reading:
    return Reading(lambda event: country_there(event, around) or None, _comparing(test))


def _on_trip(test: Test, around: Surroundings) -> Reading:
    trips, wanted = around.trips, test.values[0]
    if trips is None:
        return _NOTHING

    def compare(event: Any) -> bool | None:
        at = event.at
        held: bool | None = False
        country = ""
        for starts, ends, countries in trips.get(event.person_id, ()):
            if starts <= at < ends and not held:
                country = country or country_there(event, around)
                if not countries or country in countries:
                    held = True
                elif not country:
                    held = None
        return None if held is None else held is wanted

    return Reading(lambda event: event if event.person_id else None, compare)


def _amount(test: Test, around: Surroundings) -> Reading:
    return Reading(attrgetter("used_so_far" if test.field == "used" else "spent_so_far"), _measuring(test))


# --- of the network's message and the profile -----------------------------------------------------------------------


def _first(attributes: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(attributes, Mapping):
        return None
    for name in names:
        if (value := attributes.get(name)) is not None:
            return value
    return None


def _apn(test: Test, around: Surroundings) -> Reading:
    def read(event: Any) -> str | None:
        attributes = event.attributes
        value = (attributes.get("apn") or attributes.get("dnn")) if isinstance(attributes, Mapping) else None
        return value if isinstance(value, str) and value else None

    return Reading(read, _comparing(test, folded=True))


def _radio(test: Test, around: Surroundings) -> Reading:
    return Reading(lambda event: radio.named(_first(event.attributes, radio.ATTRIBUTES)), _comparing(test))


def _rating_group(test: Test, around: Surroundings) -> Reading:
    names = ("rating_group", "ratingGroup")
    return Reading(lambda event: _number_in(_first(event.attributes, names)), _measuring(test))


def _application(test: Test, around: Surroundings) -> Reading:
    """Name or category. Where only the category is said, what does not match is unknown: the name might."""
    compare = _comparing(test, folded=True)

    def read(event: Any) -> tuple[str | None, str | None] | None:
        name = _application_in(_first(event.attributes, ("application", "app")))
        category = _application_in(_first(event.attributes, ("app_category",)))
        return (name, category) if name or category else None

    def matches(found: tuple[str | None, str | None]) -> bool | None:
        name, category = found
        if (name is not None and compare(name)) or (category is not None and compare(category)):
            return True
        return None if name is None else False

    return Reading(read, matches)


def _application_in(value: Any) -> str | None:
    text = _text_in(value)
    return None if text is None or text.strip().casefold() in _NO_APPLICATION else text


def _free(test: Test) -> Reading:
    """`attributes.X` and `profile.X`, as they are declared, or as anything they may be."""
    whose, key = ("attributes" if test.field.startswith(PREFIX) else "profile"), (test.field.partition(".")[2],)
    if test.kind == Kind.FLAG:
        wanted = test.values[0]
        return Reading(lambda event: _flag_in(_first(getattr(event, whose), key)), lambda flag: flag is wanted)
    if test.kind == Kind.NUMBER:
        return Reading(lambda event: _number_in(_first(getattr(event, whose), key)), _measuring(test))
    if test.op in ("at_least", "below"):  # not declared, so a text of digits is a text
        return Reading(lambda event: _measure_in(_first(getattr(event, whose), key)), _measuring(test))
    if test.kind == Kind.DIGITS:
        compare = _comparing(test)
        return Reading(
            lambda event: _text_in(_first(getattr(event, whose), key)), lambda text: compare(text.removeprefix("+"))
        )
    return Reading(lambda event: _text_in(_first(getattr(event, whose), key)), _comparing(test, folded=True))


def _flag_in(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(
        (_text_in(value) or "").strip().casefold()
    )


def _measure_in(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite_number(value):
        return None
    return value


def isfinite_number(value: int | float) -> bool:
    """Whether a number can be compared and written; integers always are finite, however long."""
    return isinstance(value, int) or isfinite(value)


def _number_in(value: Any) -> int | float | None:
    if isinstance(value, str):
        digits = value.strip()
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None
    return _measure_in(value)


def _text_in(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if -_NUMBER_MOST <= value <= _NUMBER_MOST else None  # longer ones have no text in Python
    return str(value) if isinstance(value, float) else None


# --- comparisons ----------------------------------------------------------------------------------------------------


def _measuring(test: Test) -> Callable[[int | float], bool]:
    value = int(test.values[0])
    if test.op == "below":
        return lambda number: number < value
    if test.op == "at_least":
        return lambda number: number >= value
    known = frozenset(int(one) for one in test.values)
    return lambda number: number in known


def _comparing(test: Test, *, folded: bool = False) -> Callable[[str], bool]:
    values = tuple(str(value).casefold() if folded else str(value) for value in test.values)
    if test.op == "starts":
        compare: Callable[[str], bool] = lambda text: text.startswith(values)  # noqa: E731
    elif test.op == "within":
        compare = partial(_in_ranges, tuple(ends_of(value) for value in values))
    elif test.op == "contains":
        part = values[0]
        compare = lambda text: part in text  # noqa: E731
    else:
        compare = frozenset(values).__contains__
    return (lambda text: compare(text.casefold())) if folded else compare


def _in_ranges(ranges: tuple[tuple[str, str], ...], digits: str) -> bool:
    """Whether a number lies in a range, by as many of its first digits as the range has."""
    return any(len(digits) >= len(first) and first <= digits[: len(first)] <= last for first, last in ranges)


def _nothing(_: Any) -> None:
    return None


_NOTHING = Reading(_nothing, _nothing)

_MAKERS: dict[str, Callable[[Test, Surroundings], Matches]] = {
    "service": _service,
    "zone": _zone,
    "roaming": _roaming,
    "network": _network,
    "role": _bearing,
    "tag": _bearing,
    "units": _units,
}
_READINGS: dict[str, Callable[[Test, Surroundings], Reading]] = {
    "country": _country,
    "device.ownership": _device,
    "device.model": _device,
    "device.type": _device,
    "device.imei": _imei,
    "line": _line,
    "on_trip": _on_trip,
    "other_party": _other_party,
    "directory": _directory,
    "list": _list,
    "apn": _apn,
    "application": _application,
    "radio": _radio,
    "rating_group": _rating_group,
    "used": _amount,
    "spent": _amount,
}
