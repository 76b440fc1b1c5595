"""What each enterprise of the demo has bought, sized against what it uses so that something needs attention
in each.

Owns: zones, prices and the sizing of allowances. Pure: the sums of the past come in, quantities go out.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from balances.units import GIB, KIB, MIB, Service
from portal.demo.history import Sums

TIME_ZONE = ZoneInfo("Europe/Berlin")
MINUTE = 60


@dataclass(frozen=True, slots=True)
class ZonePlan:
    """A zone of the operator; `networks` are prefixes."""

    code: str
    name: str
    networks: tuple[str, ...]
    is_home: bool = False
    is_default: bool = False


#: Mobile country codes of the European Union's larger members.
_UNION = (
    "202", "204", "206", "208", "214", "216", "219", "222", "226", "230", "231", "232", "238", "240", "244",
    "246", "247", "248", "260", "268", "270", "272", "278", "280", "284", "293",
)  # fmt: skip
ZONES = (
    ZonePlan("home", "Home", ("262",), is_home=True),
    ZonePlan("eu", "European Union", tuple(_UNION)),
    ZonePlan("world", "Rest of the world", (), is_default=True),
)


@dataclass(frozen=True, slots=True)
class Price:
    """Rounding and overage price of a service in a zone; micros a block."""

    service: Service
    zone: str
    increment_units: int
    price_micros: int
    block_units: int


PRICES = (
    Price(Service.DATA, "home", KIB, 1_500, MIB),
    Price(Service.DATA, "eu", KIB, 2_400, MIB),
    Price(Service.DATA, "world", 10 * KIB, 90_000, MIB),
    Price(Service.VOICE, "home", 1, 40_000, MINUTE),
    Price(Service.VOICE, "eu", 1, 60_000, MINUTE),
    Price(Service.VOICE, "world", MINUTE, 990_000, MINUTE),
    Price(Service.MESSAGING, "home", 1, 50_000, 1),
    Price(Service.MESSAGING, "eu", 1, 60_000, 1),
    Price(Service.MESSAGING, "world", 1, 290_000, 1),
    Price(Service.VIDEO_CONFERENCING, "home", 1, 8_000, MINUTE),
    Price(Service.VIDEO_CONFERENCING, "eu", 1, 8_000, MINUTE),
    Price(Service.VIDEO_CONFERENCING, "world", MINUTE, 120_000, MINUTE),
)


@dataclass(frozen=True, slots=True)
class Swap:
    """What so many units of one service are worth in another."""

    give: Service
    give_units: int
    get: Service
    get_units: int


SWAPS = (
    Swap(Service.DATA, GIB, Service.VOICE, 30 * MINUTE),
    Swap(Service.DATA, GIB, Service.VIDEO_CONFERENCING, 150 * MINUTE),
    Swap(Service.VOICE, 60 * MINUTE, Service.DATA, GIB),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """How an enterprise's contract is sized.

    A positive factor is taken of what a whole cycle needs at the present pace; `data_used_percent` instead
    sizes the data allowance so that just so much of it is used by now. `data_zones`: where the data
    allowance may be used. The cost centre that got too little draws on what is above it, or pays overage.
    """

    key: str
    days_left: int
    data_factor: float = 1.0
    data_used_percent: int = 0
    voice_factor: float = 1.2
    messaging_factor: float = 1.4
    video_factor: float = 1.1
    data_zones: tuple[str, ...] = ("home", "eu")
    rollover_percent: int = 20
    squeezed_draws_above: bool = True


TERMS = {
    terms.key: terms
    for terms in (
        Terms("meridian", days_left=9, data_factor=1.08, video_factor=0.8, squeezed_draws_above=False),
        Terms("hanse", days_left=6, data_used_percent=93, rollover_percent=0),
        Terms("brandt", days_left=12, data_factor=1.6, voice_factor=0.6, data_zones=("home",)),
    )
}


def granted_units(terms: Terms, sums: Sums, elapsed_share: float) -> dict[Service, int]:
    """The allowance of each service; `sums` are those of the current cycle, `elapsed_share` its part that
    is over.
    """
    need = {service: sums.covered[service.name.lower()] / elapsed_share for service in Service}
    if terms.data_used_percent:
        data = sums.covered["data"] * 100 / terms.data_used_percent
    else:
        data = need[Service.DATA] * terms.data_factor
    return {
        Service.DATA: _rounded(data, GIB if data > 100 * GIB else MIB),
        Service.VOICE: _rounded(need[Service.VOICE] * terms.voice_factor, 100 * MINUTE),
        Service.MESSAGING: _rounded(need[Service.MESSAGING] * terms.messaging_factor, 100),
        Service.VIDEO_CONFERENCING: _rounded(need[Service.VIDEO_CONFERENCING] * terms.video_factor, 100 * MINUTE),
    }


def _rounded(units: float, step: int) -> int:
    """Whole steps, at least one: what a contract would say."""
    return max(1, round(units / step)) * step
