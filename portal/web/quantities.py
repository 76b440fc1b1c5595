"""Quantities and prices as people type them: "100 GiB", "1,000 min", "0.09"; and back into a field.

Owns: reading and writing for forms. Exact both ways; how screens show figures is `portal.figures`.
"""

from __future__ import annotations

import re
from decimal import Decimal

from balances.errors import Refused
from balances.units import GIB, KIB, MIB, MICROS_PER_MAJOR, Service

TIB = 1024 * GIB
#: Unit words of each service, the largest first; the second member is what a bare number means.
UNITS: dict[int, tuple[dict[str, int], str]] = {
    Service.DATA: (
        {"TiB": TIB, "TB": 10**12, "GiB": GIB, "GB": 10**9, "MiB": MIB, "MB": 10**6, "KiB": KIB, "KB": 1000, "B": 1},
        "GiB",
    ),
    Service.VOICE: ({"h": 3600, "min": 60, "s": 1}, "min"),
    Service.MESSAGING: ({"messages": 1}, "messages"),
    Service.VIDEO_CONFERENCING: ({"participant-h": 3600, "participant-min": 60, "participant-s": 1}, "participant-h"),
}
_ALIASES = {
    "octets": "b", "bytes": "b", "hours": "h", "hour": "h", "minutes": "min", "minute": "min", "m": "min",
    "seconds": "s", "sec": "s", "message": "messages", "sms": "messages",
}  # fmt: skip
_DIGITS = re.compile(r"-?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})", re.ASCII)
_TYPED = re.compile(r"(?P<number>[0-9][0-9.,\s\u00a0\u202f]*)(?P<unit>[A-Za-z][A-Za-z -]*)?")


class NotAQuantity(Refused):
    """Text that is no quantity of the service."""


def read(text: str, service: int, *, bare: str | None = None) -> int:
    """Whole units of the service; `bare` is the unit of a number without one. Raises NotAQuantity."""
    words, usual = UNITS[service]
    found = _TYPED.fullmatch(text.strip())
    if found is None:
        raise NotAQuantity(f"“{text}” is no quantity; write it like {example(service)}.")
    unit = (found["unit"] or bare or usual).strip().casefold()
    unit = _ALIASES.get(unit, unit)
    by_word = {word.casefold(): factor for word, factor in words.items()}
    if service == Service.VIDEO_CONFERENCING and f"participant-{unit}" in by_word:
        unit = f"participant-{unit}"
    if unit not in by_word:
        raise NotAQuantity(f"“{found['unit']}” is no unit here; use {', '.join(words)}.")
    amount = number(found["number"]) * by_word[unit]
    if amount != amount.to_integral_value():
        raise NotAQuantity(f"“{text}” is no whole number of {list(words)[-1]}.")
    return int(amount)


def write(units: int, service: int) -> str:
    """The units in the largest word that says them exactly: "100 GiB"."""
    words, _ = UNITS[service]
    # Decimal words would say the same amount with more digits.
    for word, factor in words.items():
        if units and units % factor == 0 and not (service == Service.DATA and factor % 1000 == 0):
            return _said(units // factor, word)
    return _said(units, list(words)[-1])


def _said(amount: int, word: str) -> str:
    """Short enough for a field: participants are understood, and one message is no messages."""
    word = word.removeprefix("participant-")
    return f"{amount} {word.removesuffix('s') if amount == 1 and word == 'messages' else word}"


def example(service: int) -> str:
    """How a quantity of the service is written."""
    return {Service.DATA: "100 GiB", Service.VOICE: "1000 min", Service.MESSAGING: "5000"}.get(
        service, "50 participant-h"
    )


def number(text: str) -> Decimal:
    """A number with a decimal point; commas and spaces only between thousands. Raises NotAQuantity."""
    plain = re.sub(r"[\s\u00a0\u202f]", "", text)
    if "," in plain and not re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?", plain):
        raise NotAQuantity(f"“{text}” is not clear: write decimals with a point, like 0.5.")
    plain = plain.replace(",", "")
    # Not what Decimal reads besides: "Infinity", "1e9".
    if not _DIGITS.fullmatch(plain):
        raise NotAQuantity(f"“{text}” is no number.")
    return Decimal(plain)


def read_price(text: str) -> int:
    """A price in micros, from an amount of the currency's major unit. Raises NotAQuantity."""
    amount = number(text.strip()) * MICROS_PER_MAJOR
    if amount != amount.to_integral_value():
        raise NotAQuantity(f"“{text}” has more than six decimals.")
    return int(amount)


def write_price(micros: int) -> str:
    """A price as it is typed: 0.09."""
    text = f"{Decimal(micros) / MICROS_PER_MAJOR:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
