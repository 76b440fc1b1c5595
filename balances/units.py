"""Services, their units, and the exact integer arithmetic of rounding, splitting and pricing.

Owns: what is counted (octets, seconds, messages, participant-seconds, micros) and how one quantity becomes
another without ever losing a unit. Pure: imports no Django, reads no clock, keeps no state.

Money while rating is held in *micros*: millionths of the currency's major unit (1 EUR = 1_000_000 micros,
1 cent = 10_000 micros). It is rounded to minor units once, where a document says so, never in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

MICROS_PER_MAJOR = 1_000_000

#: The largest quantity one usage record may report: 1 PiB, far above any real session (SCENARIOS 17).
LARGEST_UNITS = 2**50

#: The same by service: a pebibyte, three years of a call, a million messages, a thousand people for months.
MOST_UNITS = {1: LARGEST_UNITS, 2: 10**8, 3: 10**6, 4: 10**10}

KIB, MIB, GIB = 1024, 1024**2, 1024**3


class Service(IntEnum):
    """What is sold by allowance; the numbers are stored."""

    DATA = 1
    VOICE = 2
    MESSAGING = 3
    VIDEO_CONFERENCING = 4


#: Name in files, API and URLs.
SERVICE_NAMES: dict[int, str] = {
    Service.DATA: "data",
    Service.VOICE: "voice",
    Service.MESSAGING: "messaging",
    Service.VIDEO_CONFERENCING: "video_conferencing",
}
SERVICES_BY_NAME: dict[str, Service] = {name: Service(code) for code, name in SERVICE_NAMES.items()}

#: Unit of each service as the API names it.
UNIT_NAMES: dict[int, str] = {
    Service.DATA: "octets",
    Service.VOICE: "seconds",
    Service.MESSAGING: "messages",
    Service.VIDEO_CONFERENCING: "participant_seconds",
}


def round_up(units: int, increment: int, minimum: int = 0) -> int:
    """`units` rounded up to whole increments, and to the minimum charge; zero stays zero.

    The cost does not depend on how many increments there are (SCENARIOS 30).
    """
    if units <= 0:
        return 0
    if units < minimum:
        units = minimum
    return -(-units // increment) * increment


def split_in_proportion(units: int, weights: Sequence[int]) -> list[int]:
    """Split `units` by `weights` so that the parts sum to the whole (largest remainder; ties to the earlier part).

    All weights zero: everything goes to the first part.
    """
    total = sum(weights)
    if total == 0:
        return [units] + [0] * (len(weights) - 1)
    parts = [units * weight // total for weight in weights]
    missing = units - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(units * weights[i] % total), i))
    for i in by_remainder[:missing]:
        parts[i] += 1
    return parts


def price_micros(units: int, price_micros_per_block: int, block_units: int) -> int:
    """Price of `units` at a price a block, rounded half up to whole micros.

    Units are already whole increments; the block (1 MiB, 1 minute) is only how the contract quotes the price.
    """
    return (units * price_micros_per_block * 2 + block_units) // (2 * block_units)


def units_for(micros: int, price_micros_per_block: int, block_units: int) -> int | None:
    """The most units whose price is not above `micros`; None: any number, as they cost nothing."""
    if price_micros_per_block == 0:
        return None
    if micros < 0:
        return 0
    return (2 * block_units * (micros + 1) - block_units - 1) // (2 * price_micros_per_block)


def micros_to_minor(micros: int, minor_digits: int = 2) -> int:
    """Micros as minor units of a currency with `minor_digits` decimals, rounded half up (away from zero)."""
    per_minor: int = MICROS_PER_MAJOR // 10**minor_digits
    sign = -1 if micros < 0 else 1
    return sign * ((abs(micros) * 2 + per_minor) // (2 * per_minor))
