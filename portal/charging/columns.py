"""Column profiles: how one row of an operator's own usage file becomes a usage record.

Owns: the shape of `ColumnProfile.mapping`, its validation, and the reading of a row by it: columns joined into one
field, service codes, units with decimals in KB or minutes, local times. Never opens files (`portal.charging.files`),
never touches the database. What cannot be read is kept as a record with a fault, never guessed. docs/files.md has a
worked example.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from balances import units as arithmetic
from balances.errors import Refused
from balances.models.usage import SuspenseReason
from balances.units import GIB, KIB, MIB
from portal.charging import records
from portal.charging.records import Usage

#: Fields of a record that columns can fill; the first of each two numbers that is there is used.
FIELDS = (
    "source_record_id",
    "service",
    "msisdn",
    "imsi",
    "units",
    "started_at",
    "ended_at",
    "visited_network",
    "other_party",
    "imei",
)
REQUIRED = ("source_record_id", "service", "units", "started_at")

#: What the units of a file can be counted in: factor to the unit of the service.
UNITS: dict[str, dict[str, int]] = {
    "data": {
        "octets": 1,
        "KB": 1000,
        "KiB": KIB,
        "MB": 1000**2,
        "MiB": MIB,
        "GB": 1000**3,
        "GiB": GIB,
    },
    "voice": {"seconds": 1, "minutes": 60, "hours": 3600},
    "messaging": {"messages": 1},
    "video_conferencing": {"participant_seconds": 1, "participant_minutes": 60, "participant_hours": 3600},
}
ROUNDINGS = {"exact": None, "up": ROUND_CEILING, "nearest": ROUND_HALF_UP}
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
ENCODINGS = ("utf-8", "iso-8859-1", "iso-8859-15", "cp1252", "ascii")
#: Joins the columns of a composed id or text; times are joined by a space.
JOINT = "-"
MOST_COLUMNS_A_FIELD = 6


class ProfileRefused(Refused):
    """A profile that cannot be used; `field` names the part of it."""


class Columns(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The JSON of `ColumnProfile.mapping`.

    `columns`: field -> the columns that it is joined from. `constants`: field -> the same value in every row.
    `services`: the file's code -> service. `units`: service -> what the file counts it in. `time_format`: "iso", or a
    strptime format; `time_zone` is for times without an offset.
    """

    columns: dict[str, list[str]]
    constants: dict[str, str] = {}
    delimiter: str = ","
    encoding: str = "utf-8"
    services: dict[str, str] = {}
    units: dict[str, str] = {}
    decimal: str = "."
    thousands: str = ""
    rounding: str = "exact"
    time_format: str = "iso"
    time_zone: str = ""


STANDARD = Columns(columns={field: [field] for field in FIELDS})
"""The built-in profile "standard": comma, UTF-8, columns named like the fields of the API, whole units, ISO times."""


def read_profile(mapping: Mapping[str, Any]) -> Columns:
    """A stored or typed mapping, checked as a whole. Raises ProfileRefused with the first fault in words."""
    try:
        profile = msgspec.convert(mapping, Columns)
    except msgspec.ValidationError as error:
        raise ProfileRefused(f"The profile is not understood: {error}.", field="mapping") from None
    _check_columns(profile)
    _check_text(profile)
    _check_numbers(profile)
    _check_times(profile)
    return profile


def _check_columns(profile: Columns) -> None:
    for field in {*profile.columns, *profile.constants}:
        if field not in FIELDS:
            raise ProfileRefused(f"A record has no field “{field}”.", field="columns")
    for field, columns in profile.columns.items():
        if not 1 <= len(columns) <= MOST_COLUMNS_A_FIELD or not all(column.strip() for column in columns):
            raise ProfileRefused(f"Name 1 to {MOST_COLUMNS_A_FIELD} columns for {field}.", field=field)
        if field in profile.constants:
            raise ProfileRefused(f"{field} has both a column and a fixed value.", field=field)
    for field in REQUIRED:
        if field not in profile.columns and field not in profile.constants:
            raise ProfileRefused(f"Name the column of {field}.", field=field)
    if "source_record_id" in profile.constants:
        raise ProfileRefused(
            "The id comes from columns that tell records apart, never from a fixed value.", field="source_record_id"
        )
    if "msisdn" not in profile.columns and "imsi" not in profile.columns:
        raise ProfileRefused("Name the column of the phone number or of the IMSI.", field="msisdn")


def _check_text(profile: Columns) -> None:
    if profile.delimiter not in DELIMITERS:
        raise ProfileRefused(f"The delimiter is one of: {', '.join(DELIMITERS.values())}.", field="delimiter")
    if profile.encoding not in ENCODINGS:
        raise ProfileRefused(f"The encoding is one of: {', '.join(ENCODINGS)}.", field="encoding")
    codecs.lookup(profile.encoding)
    for code, service in profile.services.items():
        if service not in arithmetic.SERVICES_BY_NAME:
            known = ", ".join(arithmetic.SERVICES_BY_NAME)
            raise ProfileRefused(f"“{code}” is translated to “{service}”; services are {known}.", field="services")
    fixed = profile.constants.get("service")
    if fixed is not None and fixed not in arithmetic.SERVICES_BY_NAME:
        raise ProfileRefused(f"“{fixed}” is no service.", field="service")


def _check_numbers(profile: Columns) -> None:
    for service, unit in profile.units.items():
        if unit not in UNITS.get(service, {}):
            known = ", ".join(UNITS.get(service, {})) or "none, because there is no such service"
            raise ProfileRefused(f"{service} is counted in “{unit}”; known are {known}.", field="units")
    if profile.decimal not in (".", ","):
        raise ProfileRefused("The decimal sign is a point or a comma.", field="decimal")
    if profile.thousands not in ("", ".", ",", " ", "'", "\u00a0", "\u202f"):
        raise ProfileRefused(
            "Thousands are parted by nothing, a point, a comma, a space or an apostrophe.", field="thousands"
        )
    if profile.thousands == profile.decimal:
        raise ProfileRefused("Decimal sign and thousands separator must differ.", field="thousands")
    if profile.rounding not in ROUNDINGS:
        raise ProfileRefused(f"Rounding is one of: {', '.join(ROUNDINGS)}.", field="rounding")


def _check_times(profile: Columns) -> None:
    if profile.time_zone:
        try:
            ZoneInfo(profile.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ProfileRefused(
                f"“{profile.time_zone}” is no time zone; write it like Europe/Berlin.", field="time_zone"
            ) from None
    if profile.time_format == "iso":
        return
    example = datetime(2026, 3, 15, 14, 5, 9, tzinfo=UTC)
    try:
        again = datetime.strptime(example.strftime(profile.time_format), profile.time_format)  # noqa: DTZ007
    except ValueError as error:
        raise ProfileRefused(f"The time format cannot be used: {error}.", field="time_format") from None
    if (again.year, again.month, again.day, again.hour, again.minute) != (2026, 3, 15, 14, 5):
        raise ProfileRefused(
            "The time format must hold year, month, day, hour and minute, like %d.%m.%Y %H:%M:%S.", field="time_format"
        )
    if "%z" not in profile.time_format and not profile.time_zone:
        raise ProfileRefused("Times without an offset need a time zone.", field="time_zone")


class _Unclear(Exception):
    """A cell that cannot be read; field, reason, sentence."""

    def __init__(self, field: str, reason: SuspenseReason, sentence: str):
        self.field, self.reason, self.sentence = field, reason, sentence


class RowReader:
    """Reads rows under one header. Made once a file: `header` holds the trimmed names of the columns.

    Raises `MissingColumns`. Columns of fields that a record can do without may be missing from the file.
    """

    def __init__(self, profile: Columns, header: Sequence[str]):
        self.profile = profile
        self._zone = ZoneInfo(profile.time_zone) if profile.time_zone else None
        self._read_time = _time_reader(profile.time_format)
        self._services = {code.strip().casefold(): service for code, service in profile.services.items()}
        self._rounding = ROUNDINGS[profile.rounding]
        self._width = len(header)
        places = {name.casefold(): place for place, name in enumerate(header)}
        missing = []
        self._places: list[tuple[str, list[int]]] = []
        for field, columns in profile.columns.items():
            absent = [column for column in columns if column.strip().casefold() not in places]
            if not absent:
                self._places.append((field, [places[column.strip().casefold()] for column in columns]))
            elif field in REQUIRED:
                missing += absent
        if not missing and not {"msisdn", "imsi"} & {field for field, _ in self._places}:
            missing = [*profile.columns.get("msisdn", ()), *profile.columns.get("imsi", ())]
        if missing:
            raise MissingColumns(missing, header)
        present = {field for field, _ in self._places} | profile.constants.keys()
        # In this order: units need to know the service.
        converters = (
            ("service", self._service),
            ("msisdn", self._number),
            ("imsi", self._number),
            ("units", self._units),
            ("started_at", self._time),
            ("ended_at", self._time),
        )
        self._converters = [(field, convert) for field, convert in converters if field in present]

    def read(self, cells: Sequence[str]) -> Usage:
        """The record of a row. Raises `records.Unidentifiable`; any other fault is kept in the record."""
        texts = dict(self.profile.constants)
        for field, places in self._places:
            joint = " " if field in ("started_at", "ended_at") else JOINT
            texts[field] = joint.join([cells[place].strip() for place in places if place < len(cells)])
        if len(texts["source_record_id"]) == texts["source_record_id"].count(JOINT):
            texts["source_record_id"] = ""  # all of its columns are empty
        if len(cells) != self._width:
            sentence = f"The row has {len(cells)} cells, the header {self._width}. Is a quote or delimiter missing?"
            return records.faulty(texts, SuspenseReason.MALFORMED, sentence)
        unclear: _Unclear | None = None
        for field, convert in self._converters:
            if text := texts[field]:
                try:
                    texts[field] = convert(text, texts)
                except _Unclear as problem:
                    unclear = unclear or problem
        if unclear is not None:
            return records.faulty(texts, unclear.reason, unclear.sentence)
        return records.read_mapping(texts, lax=True)

    # --- cells -----------------------------------------------------------------------------------------------------

    def _service(self, text: str, texts: Mapping[str, str]) -> str:
        service = self._services.get(text.casefold(), text)
        if service not in arithmetic.SERVICES_BY_NAME:
            raise _Unclear(
                "service",
                SuspenseReason.UNKNOWN_SERVICE,
                f"The file calls the service “{text[:60]}”, which its column profile does not translate.",
            )
        return service

    def _number(self, text: str, texts: Mapping[str, str]) -> str:
        """Digits of a phone number or IMSI as files write them: +49 170-1234567, 0049..."""
        digits = text.translate(_SPACING)
        return digits[2:] if digits.startswith("00") else digits

    def _units(self, text: str, texts: Mapping[str, str]) -> str:
        """Whole units of the service, from what the file counts in."""
        profile = self.profile
        service = texts.get("service", "")
        if service not in arithmetic.SERVICES_BY_NAME and profile.units:
            # Once the service is mended, the bare number must not pass for its smallest unit.
            return f"{text} (counted as in the file)"
        plain = text.replace(profile.thousands, "") if profile.thousands else text
        if profile.decimal != ".":
            plain = plain.replace(".", "?").replace(profile.decimal, ".")
        try:
            amount = Decimal(plain)
        except InvalidOperation:
            raise _Unclear("units", SuspenseReason.MALFORMED, f"units is “{text[:60]}”, which is no number.") from None
        if not amount.is_finite() or abs(amount) > _ABSURD:
            raise _Unclear("units", SuspenseReason.ABSURD_UNITS, f"units is “{text[:60]}”, which is no amount of use.")
        unit = profile.units.get(service)
        if unit is not None:
            amount *= UNITS[service][unit]
        if self._rounding is not None:
            amount = amount.to_integral_value(self._rounding)
        if amount != amount.to_integral_value():
            counted = f" {unit}, that is {amount.normalize():f}" if unit else ""
            raise _Unclear(
                "units",
                SuspenseReason.FRACTIONAL_UNITS,
                f"units is {text[:60]}{counted}: no whole {_unit_name(service)}. Let the profile round, or correct it.",
            )
        return str(int(amount))

    def _time(self, text: str, texts: Mapping[str, str]) -> str:
        """ISO 8601 with an offset, from the file's own format and civil time."""
        try:
            read = self._read_time(text)
        except ValueError:
            wanted = "ISO 8601" if self.profile.time_format == "iso" else self.profile.time_format
            raise _Unclear(
                "started_at", SuspenseReason.MALFORMED, f"“{text[:60]}” is no time of the format {wanted}."
            ) from None
        if read.tzinfo is not None:
            return read.isoformat()
        if self._zone is None:
            raise _Unclear(
                "started_at",
                SuspenseReason.AMBIGUOUS_TIME,
                f"“{text[:60]}” has no offset, and the profile names no time zone.",
            )
        return self._civil(read, text).isoformat()

    def _civil(self, read: datetime, text: str) -> datetime:
        """A civil time as an instant, unless clocks showed it twice or never."""
        earlier, later = read.replace(tzinfo=self._zone), read.replace(tzinfo=self._zone, fold=1)
        first, second = earlier.utcoffset(), later.utcoffset()
        if first == second:
            return earlier
        shown = "twice" if (first or timedelta()) > (second or timedelta()) else "never"
        raise _Unclear(
            "started_at",
            SuspenseReason.AMBIGUOUS_TIME,
            f"Clocks in {self.profile.time_zone} showed {text[:60]} {shown}. Write the time with its offset.",
        )


class MissingColumns(Refused):
    """The file's header lacks columns that the profile names."""

    def __init__(self, missing: Sequence[str], found: Sequence[str]):
        self.missing, self.found = list(missing), list(found)
        lacks = ", ".join(f"“{name}”" for name in missing)
        has = ", ".join(f"“{name[:40]}”" for name in found[:30])
        super().__init__(f"The file lacks the column{'s' if len(missing) > 1 else ''} {lacks}. It has: {has}.")


def _time_reader(time_format: str) -> Callable[[str], datetime]:
    """A function from text to time for a format; raises ValueError. Formats of digits only are read ten times faster
    than by strptime, which matters for a million rows."""
    if time_format == "iso":
        return datetime.fromisoformat
    codes = re.findall(r"%(.)", time_format)
    if len(set(codes)) != len(codes) or not {*"Ymd"} <= set(codes) <= set(_DIGITS):
        return lambda text: datetime.strptime(text, time_format)  # noqa: DTZ007 - the zone follows
    pattern = re.escape(time_format).replace(r"\%", "%")
    compiled = re.compile(re.sub(r"%(.)", lambda code: f"(?P<{code[1]}>{_DIGITS[code[1]]})", pattern), re.ASCII)

    def read(text: str) -> datetime:
        found = compiled.fullmatch(text)
        if found is None:
            raise ValueError(text)
        parts = found.groupdict(default="0")
        year, month, day, hour, minute, second = (int(parts.get(code, "0")) for code in "YmdHMS")
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the zone follows

    return read


#: Codes of strptime that are plain digits.
_DIGITS = {"Y": "[0-9]{4}", **dict.fromkeys("mdHMS", "[0-9]{1,2}")}
_SPACING = str.maketrans("", "", " \u00a0\u202f-/().")
_ABSURD = Decimal(10) ** 24


def _unit_name(service: str) -> str:
    code = arithmetic.SERVICES_BY_NAME.get(service)
    return arithmetic.UNIT_NAMES[code].replace("_", " ") if code else "units"
