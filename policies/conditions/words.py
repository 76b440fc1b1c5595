"""Conditions as a manager would say them: "data in European Union, on Monday to Friday, outside 08:00-18:00". Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from babel import Locale

from policies.conditions.catalogue import (
    BUILT_IN,
    ENTERPRISE,
    RADIO_NAMES,
    THERE,
    WEEKDAY_NAMES,
    Catalogue,
    Field,
    Kind,
)
from policies.conditions.tree import ALWAYS, AllOf, AnyOf, Node, Not, Test, weekday_number

#: (if it holds, if it does not), by field; the value takes the place of the braces.
_PHRASES: dict[str, tuple[str, str]] = {
    "service": ("{}", "any service but {}"),
    "zone": ("in {}", "outside {}"),
    "country": ("in {}", "outside {}"),
    "network": ("on network {}", "not on network {}"),
    "time": ("between {}", "outside {}"),
    "weekday": ("on {}", "not on {}"),
    "date": ("on {}", "not on {}"),
    "device.ownership": ("on a {} device", "not on a {} device"),
    "device.model": ("on a device {}", "not on a device {}"),
    "device.type": ("on a {}", "not on a {}"),
    "device.imei": ("on device {}", "not on device {}"),
    "role": ("by role {}", "not by role {}"),
    "tag": ("by lines tagged {}", "by lines not tagged {}"),
    "line": ("by line {}", "not by line {}"),
    "other_party": ("with {}", "not with {}"),
    "list": ("with a number of list {}", "with no number of list {}"),
    "apn": ("over APN {}", "not over APN {}"),
    "application": ("by application {}", "by any application but {}"),
    "radio": ("over {}", "not over {}"),
    "rating_group": ("of rating group {}", "not of rating group {}"),
    "units": ("of {} units", "not of {} units"),
    "used": ("with {} units paid by the company in the cycle", "not with {} units paid by the company in the cycle"),
    "spent": ("with {} micros of overage in the cycle", "not with {} micros of overage in the cycle"),
}
#: (if yes, if no) of flags.
_FLAGS: dict[str, tuple[str, str]] = {
    "roaming": ("while roaming", "at home"),
    "holiday": ("on public holidays", "except on public holidays"),
    "on_trip": ("on a business trip", "on no business trip"),
    "directory": ("with the corporate directory", "with others than the corporate directory"),
}
_CLOCKS = {ENTERPRISE: "the enterprise's time", THERE: "time where the person is"}
_OPS = {"starts": "beginning with ", "contains": "containing ", "at_least": "at least ", "below": "fewer than "}


def describe(node: Node, zone_names: Mapping[str, str] | None = None, catalogue: Catalogue = BUILT_IN) -> str:
    """The condition in words; `zone_names` by code."""
    if node == ALWAYS:
        return "any usage"
    return _Words(zone_names or {}, catalogue).said(node, holds=True)


class _Words:
    def __init__(self, zone_names: Mapping[str, str], catalogue: Catalogue):
        self.zone_names, self.catalogue = zone_names, catalogue

    def said(self, node: Node, *, holds: bool, inner: bool = False) -> str:
        if isinstance(node, Test):
            return self._test(node, holds=holds)
        if isinstance(node, Not):
            return self.said(node.part, holds=not holds, inner=inner)
        together = isinstance(node, AllOf) == holds  # what is not all of it is any of it not
        said = [self.said(part, holds=holds, inner=True) for part in node.parts]
        if together:
            text = f"{said[0]} {', '.join(said[1:])}" if _goes_with(node) and holds else ", ".join(said)
        else:
            text = ", or ".join(said)
        return f"({text})" if inner and not together else text

    def _test(self, test: Test, *, holds: bool) -> str:
        field = self.catalogue.field_named(test.field)
        clock = f" ({_CLOCKS.get(test.clock, f'{test.clock} time')})" if test.clock else ""
        if test.field in _FLAGS:
            return _FLAGS[test.field][0 if test.values[0] is holds else 1] + clock
        value = self._values(test, field)
        if test.field == "time" and holds:
            value = value.replace("-", " and ")
        value += clock
        if test.field in _PHRASES:
            return _PHRASES[test.field][0 if holds else 1].format(value)
        if field is not None and field.words and field.kind is Kind.FLAG:
            return field.words if test.values[0] is holds else f"not {field.words}"
        if field is not None and "{}" in field.words:
            return ("" if holds else "not ") + field.words.replace("{}", value)
        return f"{field.label if field else test.field} {'is' if holds else 'is not'} {value}"

    def _values(self, test: Test, field: Field | None) -> str:
        if test.field == "weekday":
            return _weekdays([weekday_number(str(value)) for value in test.values])
        values = ["yes" if value is True else "no" if value is False else str(value) for value in test.values]
        if test.field == "zone":
            values = [self.zone_names.get(value, value) for value in values]
        elif test.field in ("date", "device.imei"):
            values = [value.replace("..", " to ") for value in values]
        elif test.field == "country":
            values = [country_name(value) for value in values]
        elif test.field == "radio":
            values = [RADIO_NAMES[value] for value in values]
        elif field and field.choices:
            values = [value.replace("_", " ") for value in values]
        return _OPS.get(test.op, "") + _or(values)


@cache
def country_name(code: str) -> str:
    """A country as people read it."""
    return Locale("en").territories.get(code, code)


def _goes_with(node: AllOf | AnyOf) -> bool:
    """ "data in Europe", not "data, in Europe": a service is followed by where."""
    first, *rest = node.parts
    names = ("zone", "roaming", "country", "network")
    return isinstance(first, Test) and first.field == "service" and isinstance(rest[0], Test) and rest[0].field in names


def _or(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


def _weekdays(numbers: list[int]) -> str:
    ordered = sorted(numbers)
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{WEEKDAY_NAMES[ordered[0]]} to {WEEKDAY_NAMES[ordered[-1]]}"
    return _or([WEEKDAY_NAMES[number] for number in ordered])
