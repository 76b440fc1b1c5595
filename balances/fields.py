"""Reads what people and files type into what is stored: texts, numbers of lines and devices, instants.

Owns: how each kind of input is cleaned and what is wrong with it, in words for people. Pure: no queries, no
clock. Each function raises `Unreadable` with the name of its field; bulk loads turn that into a row's error.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from stdnum import luhn

from balances.errors import Refused
from balances.units import SERVICE_NAMES

NAME_LENGTH = 120
CODE_LENGTH = 40
LABEL_LENGTH = 80
#: Far above any real sale, far below where years of counting it would pass a bigint.
UNITS_MOST = 2**56
EXAMPLE_TIME = "2026-03-01T00:00:00+01:00"
#: Years in which a time that somebody writes may lie: those before and after are slips, and some overflow in UTC.
FIRST_YEAR, LAST_YEAR = 2000, 2199

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATORS = re.compile(r"[\s\-./()\u2010-\u2015]+")
_MSISDN = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_IMSI = re.compile(r"[0-9]{15}", re.ASCII)
_IMEI = re.compile(r"[0-9]{15}", re.ASCII)


class Unreadable(Refused):
    """Input that is missing, too long or not of its kind."""


def text(value: str, *, field: str, label: str, most: int, required: bool = True) -> str:
    """The text without space around it, at most `most` characters, on one line."""
    cleaned = value.strip()
    if not cleaned:
        if required:
            raise Unreadable(f"{label} is missing.", field=field)
        return ""
    if len(cleaned) > most:
        raise Unreadable(f"{label} has {len(cleaned)} characters; at most {most} fit.", field=field)
    if _CONTROL.search(cleaned):
        raise Unreadable(f"{label} holds a line break or a control character.", field=field)
    return cleaned


def name(value: str) -> str:
    """The name of an account, an enterprise or a person."""
    return text(value, field="name", label="The name", most=NAME_LENGTH)


def code(value: str, *, field: str = "code", label: str = "The code") -> str:
    """A short code that files refer to."""
    return text(value, field=field, label=label, most=CODE_LENGTH)


def msisdn(value: str, *, field: str = "msisdn") -> str:
    """The digits of an E.164 number: "+49 170 1234567", "0049170..." and "49170..." all mean the same."""
    digits = _SEPARATORS.sub("", value.replace("(0)", ""))
    digits = digits.removeprefix("+") if digits.startswith("+") else digits.removeprefix("00")
    if digits.startswith("0"):
        raise Unreadable(f"“{value}” has no country code: write it like +49 170 1234567.", field=field)
    if not _MSISDN.fullmatch(digits):
        raise Unreadable(f"“{value}” is no phone number with 7 to 15 digits and country code.", field=field)
    return digits


def imsi(value: str, *, field: str = "imsi") -> str:
    """The 15 digits of a SIM; empty stays empty."""
    digits = _SEPARATORS.sub("", value)
    if digits and not _IMSI.fullmatch(digits):
        raise Unreadable(f"“{value}” is no IMSI: it has 15 digits.", field=field)
    return digits


def imei(value: str, *, field: str = "imei") -> str:
    """The 15 digits of a device, the last of which is a check digit (3GPP TS 23.003, clause 6.2.1)."""
    digits = _SEPARATORS.sub("", value)
    if not _IMEI.fullmatch(digits):
        raise Unreadable(f"“{value}” is no IMEI: it has 15 digits.", field=field)
    if not luhn.is_valid(digits):
        raise Unreadable(f"“{value}” is no IMEI: its check digit does not fit. Was it mistyped?", field=field)
    return digits


def email(value: str) -> str:
    """A mail address in lower case; empty stays empty."""
    address = value.strip().lower()
    if address:
        try:
            validate_email(address)
        except ValidationError:
            raise Unreadable(f"“{value}” is no e-mail address.", field="email") from None
        if len(address) > 254:
            raise Unreadable("The e-mail address is longer than 254 characters.", field="email")
    return address


def choice(value: str, choices: type, *, field: str, default: str) -> str:
    """The stored value of a choice given by value or label in any case ("Cost centre", "cost-centre")."""
    wanted = re.sub(r"[\s\-]+", "_", value.strip().lower()) or default
    for option, label in choices.choices:  # type: ignore[attr-defined]
        if wanted in (option, re.sub(r"[\s\-]+", "_", label.lower())):
            return option
    known = ", ".join(choices.values)  # type: ignore[attr-defined]
    raise Unreadable(f"“{value}” is not one of: {known}.", field=field)


def instant(value: datetime | str | None, *, field: str, default: datetime) -> datetime:
    """An aware instant in UTC. Text is ISO 8601 with an offset: local time is ambiguous twice a year."""
    if value is None or value == "":
        return default
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise Unreadable(f"“{value}” is no time: write it like {EXAMPLE_TIME}.", field=field) from None
    if value.tzinfo is None:
        raise Unreadable(f"The time has no offset: write it like {EXAMPLE_TIME}.", field=field)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise Unreadable(f"Write a time between {FIRST_YEAR} and {LAST_YEAR}.", field=field) from None


def whole_number(value: int | None, least: int, most: int, *, field: str) -> None:
    """Refuses anything but an integer between the two, both allowed."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Unreadable(f"A whole number from {least} to {most} is needed.", field=field)


def service(value: int) -> None:
    """Refuses what is not the number of a service."""
    if value not in SERVICE_NAMES:
        raise Unreadable(f"“{value}” is no service.", field="service")
