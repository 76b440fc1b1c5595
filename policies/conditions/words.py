"""Conditions as a manager would say them: "data in European Union, on Monday to Friday, outside 08:00-18:00". Pure."""

from __future__ import annotations

from collections.abc import Mapping

from policies.conditions.catalogue import FIELDS, WEEKDAY_NAMES, field_named
from policies.conditions.tree import ALWAYS, AllOf, AnyOf, Node, Not, Test, weekday_number

#: (if it holds, if it does not), by field; the value takes the place of the braces.
_PHRASES: dict[str, tuple[str, str]] = {
    "service": ("{}", "any service but {}"),
    "zone": ("in {}", "outside {}"),
    "network": ("on network {}", "not on network {}"),
    "time": ("between {}", "outside {}"),
    "weekday": ("on {}", "not on {}"),
    "date": ("on {}", "not on {}"),
    "device.ownership": ("on a {} device", "not on a {} device"),
    "device.model": ("on a device {}", "not on a device {}"),
    "device.imei": ("on device {}", "not on device {}"),
    "role": ("by role {}", "not by role {}"),
    "tag": ("by lines tagged {}", "by lines not tagged {}"),
    "other_party": ("with {}", "not with {}"),
    "apn": ("over APN {}", "not over APN {}"),
    "units": ("of {} units", "not of {} units"),
}
_OPS = {"starts": "beginning with ", "contains": "containing ", "at_least": "at least ", "below": "fewer than "}


def describe(node: Node, zone_names: Mapping[str, str] | None = None) -> str:
    """The condition in words; `zone_names` by code."""
    if node == ALWAYS:
        return "any usage"
    return _said(node, zone_names or {}, holds=True)


def _said(node: Node, names: Mapping[str, str], *, holds: bool, inner: bool = False) -> str:
    if isinstance(node, Test):
        return _test(node, names, holds=holds)
    if isinstance(node, Not):
        return _said(node.part, names, holds=not holds, inner=inner)
    together = isinstance(node, AllOf) == holds  # what is not all of it is any of it not
    said = [_said(part, names, holds=holds, inner=True) for part in node.parts]
    if together:
        text = f"{said[0]} {', '.join(said[1:])}" if _goes_with(node) and holds else ", ".join(said)
    else:
        text = ", or ".join(said)
    return f"({text})" if inner and not together else text


def _goes_with(node: AllOf | AnyOf) -> bool:
    """ "data in Europe", not "data, in Europe": a service is followed by where."""
    first, *rest = node.parts
    names = ("zone", "roaming", "network")
    return isinstance(first, Test) and first.field == "service" and isinstance(rest[0], Test) and rest[0].field in names


def _test(test: Test, names: Mapping[str, str], *, holds: bool) -> str:
    if test.field == "roaming":
        return "while roaming" if test.values[0] is holds else "at home"
    field = field_named(test.field)
    if test.field == "weekday":
        value = _weekdays([weekday_number(str(value)) for value in test.values])
    elif test.field == "zone":
        value = _or([names.get(str(value), str(value)) for value in test.values])
    elif test.field == "date":
        value = _or([str(value).replace("..", " to ") for value in test.values])
    else:
        value = _or([str(value).replace("_", " ") if field and field.choices else str(value) for value in test.values])
    value = _OPS.get(test.op, "") + value
    if test.clock:
        value += f" ({test.clock} time)"
    if test.field in FIELDS:
        return _PHRASES[test.field][0 if holds else 1].format(value)
    return f"{field.label if field else test.field} {'is' if holds else 'is not'} {value}"


def _or(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


def _weekdays(numbers: list[int]) -> str:
    ordered = sorted(numbers)
    if len(ordered) > 2 and ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{WEEKDAY_NAMES[ordered[0]]} to {WEEKDAY_NAMES[ordered[-1]]}"
    return _or([WEEKDAY_NAMES[number] for number in ordered])
