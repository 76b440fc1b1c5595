"""The fields that a condition can speak of: their kinds, operators and values. Adding one is one row here.

Pure. `is_static` fields are known before an event comes (they follow from service, zone and line), so that rules which
cannot apply to a kind of event cost it nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from balances.units import SERVICE_NAMES


class Kind(StrEnum):
    """How the values of a field look."""

    CHOICE = "choice"  # one of a closed list
    NAME = "name"  # a code or a tag
    FLAG = "flag"  # yes or no
    DIGITS = "digits"  # a number that is dialled, or a network's code
    TEXT = "text"  # any text; the case of letters does not matter
    NUMBER = "number"  # a whole number
    TIME = "time"  # time of day, from inclusive, until exclusive
    WEEKDAY = "weekday"
    DATE = "date"  # civil days, both inclusive
    ATTRIBUTE = "attribute"  # text or number of the network's message


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

#: Operators by kind, in the order in which a builder offers them.
OPERATORS: dict[Kind, tuple[str, ...]] = {
    Kind.CHOICE: ("is", "in"),
    Kind.NAME: ("is", "in"),
    Kind.FLAG: ("is",),
    Kind.DIGITS: ("is", "in", "starts"),
    Kind.TEXT: ("is", "in", "starts", "contains"),
    Kind.NUMBER: ("is", "at_least", "below"),
    Kind.TIME: ("within",),
    Kind.WEEKDAY: ("is", "in"),
    Kind.DATE: ("within",),
    Kind.ATTRIBUTE: ("is", "in", "starts", "contains", "at_least", "below"),
}
#: Kinds that are read off a clock, which may be named.
CIVIL = frozenset({Kind.TIME, Kind.WEEKDAY, Kind.DATE})
#: Operators that take several values; the others take one.
SEVERAL = frozenset({"in", "starts", "within"})


@dataclass(frozen=True, slots=True)
class Field:
    """A fact of an event. `label` begins a row of the builder; `hint` says what to write."""

    name: str
    kind: Kind
    label: str
    hint: str
    choices: tuple[str, ...] = ()
    is_static: bool = False

    @property
    def operators(self) -> tuple[str, ...]:
        return OPERATORS[self.kind]


_SERVICES = tuple(SERVICE_NAMES.values())
_ALL = (
    Field("service", Kind.CHOICE, "Service", "data, voice, messaging, video_conferencing", _SERVICES, is_static=True),
    Field("zone", Kind.NAME, "Zone", "codes of zones, such as eu", is_static=True),
    Field("roaming", Kind.FLAG, "Roaming", "yes: outside the home zone", is_static=True),
    Field("network", Kind.DIGITS, "Visited network", "MCC or MCC and MNC, such as 208 or 20801"),
    Field("time", Kind.TIME, "Time of day", "08:00-18:00; 22:00-06:00 runs past midnight"),
    Field("weekday", Kind.WEEKDAY, "Weekday", "mon, tue, wed, thu, fri, sat, sun", WEEKDAYS),
    Field("date", Kind.DATE, "Date", "2026-12-24 or 2026-12-24..2026-12-26"),
    Field("device.ownership", Kind.CHOICE, "Device belongs to", "corporate, personal", ("corporate", "personal")),
    Field("device.model", Kind.TEXT, "Device model", "such as iPhone 17"),
    Field("device.imei", Kind.DIGITS, "Device IMEI", "digits, or the first of them"),
    Field("role", Kind.NAME, "Role", "such as executive", is_static=True),
    Field("tag", Kind.NAME, "Tag", "tags of the line", is_static=True),
    Field("other_party", Kind.DIGITS, "Other party", "numbers with country code, or how they begin"),
    Field("apn", Kind.TEXT, "APN or DNN", "such as corp.example"),
    Field("units", Kind.NUMBER, "Units of the event", "octets, seconds, messages, participant-seconds"),
)
FIELDS: dict[str, Field] = {field.name: field for field in _ALL}
PREFIX = "attributes."
_ATTRIBUTE = re.compile(r"attributes\.[A-Za-z0-9_.\-]{1,60}")


def field_named(name: str) -> Field | None:
    """The field of the catalogue, or of the network's message; None where there is none of that name."""
    if name in FIELDS:
        return FIELDS[name]
    if _ATTRIBUTE.fullmatch(name):
        key = name.removeprefix(PREFIX)
        return Field(name, Kind.ATTRIBUTE, f"Attribute {key}", "as the network's message has it")
    return None
