"""The fields that a condition can speak of: their kinds, operators and values. Adding one is one row here.

Pure. `is_static` fields are known before an event comes (they follow from service, zone and line), so that rules which
cannot apply to a kind of event cost it nothing. What the network's message and the subscriber's profile say is read
by `attributes.X` and `profile.X`; an administrator may *declare* such a one: give it a kind, a label and words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from enum import StrEnum

from balances.errors import Refused
from balances.units import SERVICE_NAMES


class Kind(StrEnum):
    """How the values of a field look."""

    CHOICE = "choice"  # one of a closed list
    NAME = "name"  # a code or a tag
    FLAG = "flag"  # yes or no
    DIGITS = "digits"  # a number that is dialled, or a network's code
    TEXT = "text"  # any text; the case of letters does not matter
    NUMBER = "number"  # a whole number
    COUNTRY = "country"  # ISO 3166 alpha-2
    TIME = "time"  # time of day, from inclusive, until exclusive
    WEEKDAY = "weekday"
    DATE = "date"  # civil days, both inclusive
    ATTRIBUTE = "attribute"  # text or number of the network's message


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
#: What radio is called, and how people read it.
RADIO_NAMES = {
    "5g": "5G", "lte": "LTE", "3g": "3G", "2g": "2G", "wifi": "Wi-Fi", "iot": "NB-IoT or LTE-M",
    "satellite": "satellite", "fixed": "a fixed line",
}  # fmt: skip

#: Operators by kind, in the order in which a builder offers them.
OPERATORS: dict[Kind, tuple[str, ...]] = {
    Kind.CHOICE: ("is", "in"),
    Kind.NAME: ("is", "in"),
    Kind.FLAG: ("is",),
    Kind.DIGITS: ("is", "in", "starts"),
    Kind.TEXT: ("is", "in", "starts", "contains"),
    Kind.NUMBER: ("is", "at_least", "below"),
    Kind.COUNTRY: ("is", "in"),
    Kind.TIME: ("within",),
    Kind.WEEKDAY: ("is", "in"),
    Kind.DATE: ("within",),
    Kind.ATTRIBUTE: ("is", "in", "starts", "contains", "at_least", "below"),
}
#: Kinds that are read off a clock, which may be named.
CIVIL = frozenset({Kind.TIME, Kind.WEEKDAY, Kind.DATE})
#: Operators that take several values; the others take one.
SEVERAL = frozenset({"in", "starts", "within"})
#: Clocks by name, besides time zones: that of the line's home (also where none is named), the enterprise's, and that of
#: the country where the person is.
HOME, ENTERPRISE, THERE = "home", "enterprise", "there"
CLOCKS = (HOME, ENTERPRISE, THERE)


@dataclass(frozen=True, slots=True)
class Field:
    """A fact of an event. `label` begins a row of the builder; `hint` says what to write.

    `only`: its operators, where they are not those of its kind. `has_clock`: a flag that is read off a clock.
    `has_several`: an event may have more than one value. `is_of_policies`: policies may ask for it, too; what else
    there is, charging works out for the question of who pays alone. `is_own`: declared, by the enterprise itself.
    `words`: said if it holds, {} for the value.
    """

    name: str
    kind: Kind
    label: str
    hint: str
    choices: tuple[str, ...] = ()
    is_static: bool = False
    only: tuple[str, ...] = ()
    has_clock: bool = False
    has_several: bool = False
    is_of_policies: bool = True
    is_declared: bool = False
    is_own: bool = False
    words: str = ""

    @property
    def operators(self) -> tuple[str, ...]:
        return self.only or OPERATORS[self.kind]

    @property
    def is_civil(self) -> bool:
        """Whether it is read off a clock, which a test may name."""
        return self.has_clock or self.kind in CIVIL


_SERVICES = tuple(SERVICE_NAMES.values())
_DEVICE_TYPES = ("phone", "tablet", "router", "machine")
_AMOUNTS = ("at_least", "below")
_ALL = (
    Field("service", Kind.CHOICE, "Service", "data, voice, messaging, video_conferencing", _SERVICES, is_static=True),
    Field("zone", Kind.NAME, "Zone", "codes of zones, such as eu", is_static=True),
    Field("roaming", Kind.FLAG, "Roaming", "yes: outside the home zone", is_static=True),
    Field("country", Kind.COUNTRY, "Country", "where the visited network is: DE, FR", is_of_policies=False),
    Field("network", Kind.DIGITS, "Visited network", "MCC or MCC and MNC, such as 208 or 20801"),
    Field("time", Kind.TIME, "Time of day", "08:00-18:00; 22:00-06:00 runs past midnight"),
    Field("weekday", Kind.WEEKDAY, "Weekday", "mon, tue, wed, thu, fri, sat, sun", WEEKDAYS),
    Field("date", Kind.DATE, "Date", "2026-12-24 or 2026-12-24..2026-12-26"),
    Field("holiday", Kind.FLAG, "Public holiday", "yes: by the calendar of the line's home, else the enterprise's",
          has_clock=True, is_of_policies=False),
    Field("device.ownership", Kind.CHOICE, "Device belongs to", "corporate, personal", ("corporate", "personal")),
    Field("device.model", Kind.TEXT, "Device model", "such as iPhone 17"),
    Field("device.type", Kind.CHOICE, "Device type", ", ".join(_DEVICE_TYPES), _DEVICE_TYPES),
    Field("device.imei", Kind.DIGITS, "Device IMEI", "digits, or the first of them; a range: 35200900..35200999",
          only=("is", "in", "starts", "within")),
    Field("role", Kind.NAME, "Role", "a tag of the line, such as executive", is_static=True, has_several=True),
    Field("tag", Kind.NAME, "Tag", "tags of the line", is_static=True, has_several=True),
    Field("line", Kind.DIGITS, "Line", "numbers with country code, or how they begin", is_of_policies=False),
    Field("on_trip", Kind.FLAG, "On a business trip", "yes: in a country of a declared trip, during it",
          is_of_policies=False),
    Field("other_party", Kind.DIGITS, "Other party", "numbers with country code, or how they begin"),
    Field("directory", Kind.FLAG, "In the directory", "yes: the other party is in the corporate directory",
          is_of_policies=False),
    Field("list", Kind.NAME, "Number list", "codes of lists that the other party is in", has_several=True,
          is_of_policies=False),
    Field("apn", Kind.TEXT, "APN or DNN", "such as corp.example"),
    Field("application", Kind.TEXT, "Application", "name or category, such as teams or video", has_several=True),
    Field("radio", Kind.CHOICE, "Radio", ", ".join(RADIO_NAMES), tuple(RADIO_NAMES)),
    Field("rating_group", Kind.NUMBER, "Rating group", "such as 100", only=("is", "in", *_AMOUNTS)),
    Field("units", Kind.NUMBER, "Units of the event", "octets, seconds, messages, participant-seconds"),
    Field("used", Kind.NUMBER, "Used so far", "units of the service that the company paid for the line in its cycle",
          only=_AMOUNTS, is_of_policies=False),
    Field("spent", Kind.NUMBER, "Spent so far", "micros beyond allowances that the line cost the company in its cycle",
          only=_AMOUNTS, is_of_policies=False),
)  # fmt: skip
FIELDS: dict[str, Field] = {field.name: field for field in _ALL}
PREFIX, PROFILE = "attributes.", "profile."
_FREE = re.compile(r"(attributes|profile)\.([A-Za-z0-9_.\-]{1,60})")
#: Fields that are read from the attributes of the network's message, besides `attributes.X`.
OF_THE_MESSAGE = frozenset({"apn", "application", "radio", "rating_group"})

DECLARED_MOST, LABEL_LENGTH, CHOICES_MOST = 250, 60, 100
#: Kinds that a declared field may have.
DECLARABLE = (Kind.TEXT, Kind.NUMBER, Kind.FLAG, Kind.NAME, Kind.DIGITS)


class DeclarationFault(Refused):
    """A field that cannot be declared so."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What an administrator says of `attributes.X` or `profile.X`. Raises DeclarationFault.

    `choices`: its values, where there are no others (of text and name). `words`: how it is said if it holds, with {}
    for the value ("for cost level {}"); for a flag without. `is_own`: an enterprise says it, for itself.
    """

    name: str
    kind: Kind
    label: str
    hint: str = ""
    choices: tuple[str, ...] = ()
    words: str = ""
    is_own: bool = False

    def __post_init__(self):
        if not _FREE.fullmatch(self.name):
            raise DeclarationFault("A field is named attributes.NAME or profile.NAME.", field="name")
        if self.kind not in DECLARABLE:
            raise DeclarationFault(f"Use one of the kinds {', '.join(DECLARABLE)}.", field="kind")
        for name, least in (("label", 1), ("hint", 0), ("words", 0)):
            text = getattr(self, name)
            if not least <= len(text.strip()) <= LABEL_LENGTH or not text.isprintable():
                raise DeclarationFault(f"Write at most {LABEL_LENGTH} characters on one line.", field=name)
        if self.choices and self.kind not in (Kind.TEXT, Kind.NAME):
            raise DeclarationFault("Only a text or a name has choices.", field="choices")
        if len(self.choices) > CHOICES_MOST or any(
            not 0 < len(one) <= LABEL_LENGTH or one != one.strip().lower() or not one.isprintable()
            for one in self.choices
        ):
            message = f"At most {CHOICES_MOST} choices of up to {LABEL_LENGTH} characters, in small letters."
            raise DeclarationFault(message, field="choices")

    @property
    def field(self) -> Field:
        """The field that it makes."""
        only = ("is", "in") if self.choices else ("is", "in", *_AMOUNTS) if self.kind is Kind.NUMBER else ()
        hint = self.hint or ", ".join(self.choices)[:LABEL_LENGTH] or _HINTS[self.kind]
        return Field(
            self.name, self.kind, self.label.strip(), hint, self.choices, only=only, is_declared=True,
            is_own=self.is_own, is_of_policies=self.name.startswith(PREFIX), words=self.words.strip(),
        )  # fmt: skip


_HINTS = {
    Kind.TEXT: "text; the case of letters does not matter",
    Kind.NUMBER: "a whole number",
    Kind.FLAG: "yes or no",
    Kind.NAME: "a code",
    Kind.DIGITS: "digits, or the first of them",
}


@dataclass(frozen=True)
class Catalogue:
    """The fields that conditions of somebody may use: the built-in ones, and what is declared. `without`: fields,
    "profile." and clocks that they may not.

    `fields`: in the order in which a builder offers them. Raises DeclarationFault for more than 250, or one twice.
    """

    declared: tuple[Declared, ...] = ()
    without: Set[str] = frozenset()
    fields: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        found = {name: known for name, known in FIELDS.items() if name not in self.without}
        for one in self.declared:
            if one.name in found:
                raise DeclarationFault(f"{one.name} is declared twice.", field="name")
            found[one.name] = one.field
        if len(self.declared) > DECLARED_MOST:
            raise DeclarationFault(f"At most {DECLARED_MOST} fields can be declared.", field="name")
        object.__setattr__(self, "fields", found)

    def field_named(self, name: str) -> Field | None:
        """The field of that name, also one of the network's message or the profile that nobody declared; or None."""
        known = self.fields.get(name)
        if known is not None:
            return known
        found = _FREE.fullmatch(name)
        if found is None or f"{found[1]}." in self.without:
            return None
        if found[1] == "profile":
            return Field(name, Kind.ATTRIBUTE, f"Profile {found[2]}", "as the subscriber's profile has it")
        return Field(name, Kind.ATTRIBUTE, f"Attribute {found[2]}", "as the network's message has it")


#: All built-in fields, with nothing declared.
BUILT_IN = Catalogue()


def for_policies(declared: Iterable[Declared] = ()) -> Catalogue:
    """What policies may ask for: charging knows no more when it decides on limits."""
    without = {name for name, known in FIELDS.items() if not known.is_of_policies} | {PROFILE, ENTERPRISE, THERE}
    return Catalogue(tuple(one for one in declared if one.name.startswith(PREFIX)), frozenset(without))


def field_named(name: str) -> Field | None:
    """The built-in field, or that of the network's message or the profile; None where there is none of that name."""
    return BUILT_IN.field_named(name)
