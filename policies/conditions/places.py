"""Where a network is: the country of its code, and that country's time zone. Pure; tables are read once.

Owns: MCC -> ISO 3166 alpha-2, from python-stdnum's copy of the ITU-T E.212 lists (the country of most networks of an
MCC, but for a few), and country -> time zone, from tzdata's `zone.tab`. A country with several zones has that of its
capital, which `zone.tab` names first but for those in `_CAPITALS`. Codes of no country (901 and other international
ones, ships, planes, test networks) are unknown.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from stdnum import numdb

#: Codes that lists give to several countries at once, or to an outlying one: the country that ITU names first.
_MCC = {"340": "GP", "362": "CW", "505": "AU", "647": "RE"}
#: Networks in another country than most of their MCC. The list itself names more, but takes networks of all the United
#: States for the Virgin Islands', and Jamaica's for its neighbours'.
_OUTLYING = {
    "311470": "VI", "311780": "AS", "313790": "VI", "42505": "PS", "42506": "PS", "50510": "NF",
}  # fmt: skip
#: Zones of capitals that `zone.tab` does not have first, and of Kosovo, which it does not have.
_CAPITALS = {
    "AU": "Australia/Sydney",
    "BR": "America/Sao_Paulo",
    "CA": "America/Toronto",
    "FM": "Pacific/Pohnpei",
    "RU": "Europe/Moscow",
    "UA": "Europe/Kyiv",
    "UZ": "Asia/Tashkent",
    "XK": "Europe/Belgrade",
}


@lru_cache(maxsize=4096)
def country_of(network: str) -> str:
    """The country of a network's code (MCC, or MCC and MNC), as ISO 3166 alpha-2; "" where none is known."""
    return _OUTLYING.get(network) or _countries().get(network[:3], "")


@cache
def network_of(country: str) -> str:
    """The lowest code (MCC) that a country has; "" where none is known. For made-up events."""
    return min((mcc for mcc, found in _countries().items() if found == country), default="")


@cache
def zone_of(country: str) -> ZoneInfo | None:
    """The time zone of a country's capital; None where the country is unknown."""
    name = _zones().get(country)
    return ZoneInfo(name) if name else None


def is_country(code: str) -> bool:
    """Whether there is a country of that code, in capitals."""
    return code in _zones()


def has_several_zones(country: str) -> bool:
    """Whether clocks differ within a country, so that what is said of its time has to be said with care."""
    return country in _with_several()


@cache
def _countries() -> dict[str, str]:
    by_mcc = {}
    for _, mcc, _, _, networks in numdb.get("imsi").prefixes:
        found = Counter(facts["cc"].upper() for _, _, _, facts, _ in networks if len(facts.get("cc", "")) == 2)
        if found:
            by_mcc[mcc] = found.most_common(1)[0][0]
    return by_mcc | _MCC


@cache
def _zones() -> dict[str, str]:
    zones: dict[str, str] = {}
    for country, name in _rows():
        zones.setdefault(country, name)
    return zones | _CAPITALS


@cache
def _with_several() -> frozenset[str]:
    rows = Counter(country for country, _ in _rows())
    return frozenset(country for country, count in rows.items() if count > 1)


@cache
def _rows() -> tuple[tuple[str, str], ...]:
    text = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="ascii")
    columns = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return tuple((column[0], column[2]) for column in columns)
