"""Rules of who pays in words, with quantities and money as screens and REST write them. Pure formats."""

from __future__ import annotations

from collections.abc import Mapping

from balances.units import GIB, KIB, MIB, SERVICES_BY_NAME, Service
from policies.conditions import Catalogue
from policies.steering.rules import Missing, Parts, SteeringRule, Terms, differences, missing_words, parts_words
from portal import figures

_SIZES = ((1024 * GIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))


def units_words(units: int, service: str) -> str:
    """Units of a service in the largest word that says them exactly: 5 GiB, 100 min, 5,000 messages."""
    number = SERVICES_BY_NAME[service]
    if number == Service.DATA:
        for size, name in _SIZES:
            if units and units % size == 0:
                return f"{figures.count(units // size)}{figures.NARROW_SPACE}{name}"
    if number in (Service.VOICE, Service.VIDEO_CONFERENCING) and units and units % 60 == 0:
        minutes = "min" if number == Service.VOICE else "participant-minutes"
        return f"{figures.count(units // 60)}{figures.NARROW_SPACE}{minutes}"
    return figures.exact(units, number)


class Wording:
    """How the rules of one enterprise are said."""

    def __init__(self, zone_names: Mapping[str, str], currency: str, catalogue: Catalogue):
        self.zone_names, self.currency, self.catalogue = zone_names, currency, catalogue

    def rule(self, rule: SteeringRule) -> str:
        """A rule as a sentence."""
        return rule.words(self.zone_names, self.currency, self.catalogue, units_words)

    def parts(self, parts: Parts, service: str = "") -> str:
        """Who pays."""
        return parts_words(parts, self.currency, units_words, service)

    def missing(self, missing: Missing) -> str:
        """What happens where a person cannot pay."""
        return missing_words(missing, self.currency)

    def differences(self, before: Terms, after: Terms) -> list[str]:
        """What differs between two versions."""
        return differences(
            before, after, zone_names=self.zone_names, currency=self.currency, catalogue=self.catalogue,
            units_words=units_words,
        )  # fmt: skip
