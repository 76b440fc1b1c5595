"""What a condition is, and what is wrong with one: `from_json` reads and checks, `to_json` writes what is stored.

    {"all": [...]}   {"any": [...]}   {"not": {...}}   {"field": "service", "op": "is", "value": "data"}

Tests of time take "clock": "enterprise", "there" (where the person is) or an IANA time zone; without it, or with
"home", they follow that of the line's home, which is the contract's unless an account has another one. `{"all": []}` is
always true.
Pure. What comes back is in normal form: groups of one are that one, "in" of one value is "is".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from balances.errors import Refused
from policies.conditions import places
from policies.conditions.catalogue import BUILT_IN, CLOCKS, HOME, SEVERAL, WEEKDAYS, Catalogue, Field, Kind

DEPTH_MOST, TESTS_MOST, VALUES_MOST, VALUE_LENGTH = 6, 50, 100, 120
NUMBER_MOST = 2**56

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,39}")
_DIGITS = re.compile(r"\+?[0-9]{1,20}")
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_DATES = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2}))?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class ConditionFault(Refused):
    """A condition that cannot be. `where` is the place in it: `all[1].value`, or a line and column of its text."""

    def __init__(self, message: str, where: str = ""):
        super().__init__(f"At {where}: {message}" if where else message, field="when")
        self.where = where


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison. `values`: as the operator needs them, one or several; `clock`: for time, "": of home;
    `kind`: of a declared field, as its values are to be read."""

    __test__ = False  # the test runner takes classes of this name for its own

    field: str
    op: str
    values: tuple[str | int | bool, ...]
    clock: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class AllOf:
    """True if all parts are; of none: always."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True if any part is."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True if its part is not."""

    part: Node


Node = Test | AllOf | AnyOf | Not
ALWAYS = AllOf(())


def from_json(data: Any, catalogue: Catalogue = BUILT_IN) -> Node:
    """The condition that JSON says, checked and in normal form. Raises ConditionFault."""
    return _Reader(catalogue).read(data, "", 1)


def to_json(node: Node) -> dict[str, Any]:
    """The condition as it is stored."""
    if isinstance(node, AllOf):
        return {"all": [to_json(part) for part in node.parts]}
    if isinstance(node, AnyOf):
        return {"any": [to_json(part) for part in node.parts]}
    if isinstance(node, Not):
        return {"not": to_json(node.part)}
    value = list(node.values) if len(node.values) > 1 or node.op == "in" else node.values[0]
    written: dict[str, Any] = {"field": node.field, "op": node.op, "value": value}
    if node.clock:
        written["clock"] = node.clock
    return written


def tests_of(node: Node) -> Iterator[Test]:
    """Every comparison in a condition."""
    if isinstance(node, Test):
        yield node
    elif isinstance(node, Not):
        yield from tests_of(node.part)
    else:
        for part in node.parts:
            yield from tests_of(part)


def made_test(
    field: str, op: str, value: Any, clock: str = "", where: str = "", catalogue: Catalogue = BUILT_IN
) -> Test:
    """One comparison, checked. Raises ConditionFault."""
    known = catalogue.field_named(field)
    if known is None:
        message = f"there is no field “{field[:60]}”. Use one of {', '.join(catalogue.fields)} or attributes.NAME."
        raise ConditionFault(message, _below(where, "field"))
    if op not in known.operators:
        message = f"{known.label} cannot be compared with “{op[:60]}”. Use {' or '.join(known.operators)}."
        raise ConditionFault(message, _below(where, "op"))
    here = _below(where, "value")
    given = value if isinstance(value, list | tuple) else [value]
    if not given:
        raise ConditionFault("no value is given: write at least one.", here)
    if len(given) > 1 and op not in SEVERAL:
        raise ConditionFault(f"“{op}” takes one value, and {len(given)} are given.", here)
    if len(given) > VALUES_MOST:
        raise ConditionFault(f"{len(given)} values are given; at most {VALUES_MOST} fit.", here)
    values = tuple(dict.fromkeys(_value(known, op, one, here) for one in given))
    if clock:
        if not known.is_civil:
            raise ConditionFault(f"{known.label} has no clock: remove it.", _below(where, "clock"))
        if clock in catalogue.without or (clock not in CLOCKS and clock not in _zones()):
            message = f"“{clock[:60]}” is no time zone: write home, enterprise, there, or it like Europe/Berlin."
            raise ConditionFault(message, _below(where, "clock"))
    kind = known.kind.value if known.is_declared else ""
    return Test(field, "is" if op == "in" and len(values) == 1 else op, values, "" if clock == HOME else clock, kind)


def joined(kind: type[AllOf] | type[AnyOf], parts: list[Node]) -> Node:
    """A group in normal form."""
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


class _Reader:
    def __init__(self, catalogue: Catalogue):
        self.catalogue, self.tests = catalogue, 0

    def read(self, data: Any, where: str, depth: int) -> Node:
        if depth > DEPTH_MOST:
            raise ConditionFault(f"groups lie deeper than {DEPTH_MOST}: take inner ones out.", where)
        if not isinstance(data, dict):
            raise ConditionFault("a condition is an object with all, any, not, or field.", where)
        for word, kind in (("all", AllOf), ("any", AnyOf)):
            if word in data:
                self._only(data, {word}, where)
                return self._group(data[word], kind, _below(where, word), depth)
        if "not" in data:
            self._only(data, {"not"}, where)
            return Not(self._inner(data["not"], _below(where, "not"), depth + 1))
        if "field" not in data:
            raise ConditionFault("neither all, any, not nor field is given.", where)
        self._only(data, {"field", "op", "value", "clock"}, where)
        self.tests += 1
        if self.tests > TESTS_MOST:
            raise ConditionFault(f"more than {TESTS_MOST} comparisons: make two rules of it.", where)
        field, op, clock = data["field"], data.get("op", "is"), data.get("clock") or ""
        if not (isinstance(field, str) and isinstance(op, str) and isinstance(clock, str)):
            raise ConditionFault("field, op and clock are texts.", where)
        if "value" not in data:
            raise ConditionFault("no value is given.", _below(where, "value"))
        return made_test(field, op, data["value"], clock, where, self.catalogue)

    def _group(self, parts: Any, kind, where: str, depth: int) -> Node:
        if not isinstance(parts, list):
            raise ConditionFault("a list of conditions is needed.", where)
        if not parts and (kind is AnyOf or depth > 1):
            raise ConditionFault("this group is empty: put a condition into it or remove it.", where)
        return joined(kind, [self._inner(part, f"{where}[{n}]", depth + 1) for n, part in enumerate(parts)])

    def _inner(self, data: Any, where: str, depth: int) -> Node:
        return self.read(data, where, depth)

    @staticmethod
    def _only(data: dict, known: set[str], where: str) -> None:
        if extra := sorted(str(key) for key in set(data) - known):
            raise ConditionFault(f"“{extra[0][:60]}” does not belong here.", where)


def _value(field: Field, op: str, value: Any, where: str) -> str | int | bool:
    """One value, checked by the kind of its field."""
    kind = field.kind
    if kind is Kind.FLAG:
        return _flag(value, where)
    if kind is Kind.NUMBER or op in ("at_least", "below"):
        return _number(value, where)
    if isinstance(value, int) and not isinstance(value, bool) and kind in (Kind.ATTRIBUTE, Kind.DIGITS):
        value = str(_number(value, where))
    if not isinstance(value, str):
        raise ConditionFault("a text is needed.", where)
    value = value.strip()
    if not value or len(value) > VALUE_LENGTH or _CONTROL.search(value):
        raise ConditionFault(f"a text of 1 to {VALUE_LENGTH} characters on one line is needed.", where)
    if field.choices:
        value = value.lower()
        if value not in field.choices:
            raise ConditionFault(f"“{value}” is not one of {', '.join(field.choices)}.", where)
    elif kind is Kind.DIGITS and op == "within":
        _range(value, where)
    elif kind in _CHECKS:
        _CHECKS[kind](value, where)
    if kind is Kind.COUNTRY:
        return _country(value, where)
    return value.removeprefix("+") if kind is Kind.DIGITS else value


def _flag(value: Any, where: str) -> bool:
    if isinstance(value, str) and value.lower() in ("yes", "no"):
        return value.lower() == "yes"
    if not isinstance(value, bool):
        raise ConditionFault("yes or no is needed.", where)
    return value


def _number(value: Any, where: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= NUMBER_MOST:
        raise ConditionFault("a whole number is needed.", where)
    return value


def _country(value: str, where: str) -> str:
    if not places.is_country(value.upper()):
        raise ConditionFault(f"“{value}” is no country: write two letters, such as DE.", where)
    return value.upper()


def _name(value: str, where: str) -> None:
    if not _NAME.fullmatch(value):
        raise ConditionFault(f"“{value}” is no code: letters, digits, dot, dash, up to 40.", where)


def _digits(value: str, where: str) -> None:
    if not _DIGITS.fullmatch(value):
        raise ConditionFault(f"“{value}” has something else than digits in it.", where)


def _range(value: str, where: str) -> None:
    first, last = ends_of(value)
    if not _DIGITS.fullmatch(first) or not _DIGITS.fullmatch(last) or len(first) != len(last):
        raise ConditionFault(f"“{value}” is no range: write two of as many digits, 35200900..35200999.", where)
    if last < first:
        raise ConditionFault(f"“{value}” ends before it begins.", where)


def ends_of(value: str) -> tuple[str, str]:
    """First and last of "35200900..35200999"; of one number: that one."""
    first, dots, last = value.partition("..")
    return first, last if dots else first


def _window(value: str, where: str) -> None:
    if value == "00:00-24:00":
        return
    found = _WINDOW.fullmatch(value)
    if not found or (value[6:8] == "24" and value[9:] != "00"):
        raise ConditionFault(f"“{value}” is no time of day: write it like 08:00-18:00.", where)
    if value[:5] == value[6:]:
        raise ConditionFault(f"“{value}” begins when it ends: for the whole day write 00:00-24:00.", where)


def minutes_of(window: str) -> tuple[int, int]:
    """From and until of "08:00-18:00" in minutes of the day; until may be 1440."""
    return int(window[:2]) * 60 + int(window[3:5]), int(window[6:8]) * 60 + int(window[9:11])


def _dates(value: str, where: str) -> None:
    try:
        first, last = days_of(value)
    except ValueError:
        raise ConditionFault(f"“{value}” is no date: write it like 2026-12-24..2026-12-26.", where) from None
    if last < first:
        raise ConditionFault(f"“{value}” ends before it begins.", where)


_CHECKS = {Kind.NAME: _name, Kind.DIGITS: _digits, Kind.TIME: _window, Kind.DATE: _dates}


def days_of(value: str) -> tuple[date, date]:
    """First and last civil day of "2026-12-24..2026-12-26". Raises ValueError."""
    found = _DATES.fullmatch(value)
    if not found:
        raise ValueError(value)
    first = date.fromisoformat(found[1])
    return first, date.fromisoformat(found[2]) if found[2] else first


_known_zones: frozenset[str] = frozenset()


def _zones() -> frozenset[str]:
    global _known_zones
    if not _known_zones:
        _known_zones = frozenset(available_timezones())
    return _known_zones


def zone_named(name: str) -> ZoneInfo:
    """The time zone of a test that names one."""
    return ZoneInfo(name)


def weekday_number(name: str) -> int:
    """Monday is 0."""
    return WEEKDAYS.index(name)


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
