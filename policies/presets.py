"""Ready-made limits: what regulation asks for, as defaults that may be changed; and prices in words."""

from __future__ import annotations

from dataclasses import dataclass

from balances.models import Rate
from balances.money import exact_money
from balances.units import GIB, MIB, MICROS_PER_MAJOR, UNIT_NAMES, Service
from policies.decision import Action
from policies.models import Limit


@dataclass(frozen=True, slots=True)
class Preset:
    """A limit to begin with; `because` names where it comes from."""

    key: str
    name: str
    because: str
    service: int
    measure: str
    amount: int
    percents: tuple[int, ...]
    action: str
    is_abroad: bool = False
    window: str = "cycle"


PRESETS: tuple[Preset, ...] = (
    Preset(
        "eu-roaming", "Roaming data, 50 a cycle", "EU 2022/612, art. 14: told at 80 %, consent at the limit",
        Service.DATA, "money", 50 * MICROS_PER_MAJOR, (80, 100), Action.CONSENT.value, is_abroad=True,
    ),
    Preset(
        "au-data", "Data, told at 50, 85 and 100 %", "Australia, TCP code: 50/85/100 %, with the price beyond",
        Service.DATA, "units", 10 * GIB, (50, 85, 100), Action.NOTIFY.value,
    ),
    Preset(
        "ca-data", "Overage of data, 50 a cycle", "Canada, Wireless Code: pause at the cap until somebody consents",
        Service.DATA, "money", 50 * MICROS_PER_MAJOR, (80, 100), Action.CONSENT.value,
    ),
)  # fmt: skip


def by_key(key: str) -> Preset | None:
    """The ready-made limit with this key."""
    return next((preset for preset in PRESETS if preset.key == key), None)


def price_beyond(limit: Limit, contract_id: int | None, currency: str) -> str:
    """What usage beyond a limit costs at most, by the rates in force: a sentence for whoever consents."""
    rates = Rate.objects.filter(version__contract_id=contract_id or 0, version__state="published")
    if limit.service:
        rates = rates.filter(service=limit.service)
    if limit.zone_id:
        rates = rates.filter(zone_id=limit.zone_id)
    if limit.is_abroad:
        rates = rates.filter(zone__is_home=False)
    rate = max(rates, key=lambda one: one.overage_price_micros / one.overage_block_units, default=None)
    if rate is None:
        return "The contract has no rate for it."
    block, unit = rate.overage_block_units, UNIT_NAMES[rate.service].replace("_", " ")
    said = "MiB" if rate.service == Service.DATA and block == MIB else f"{block:,} {unit}"
    price = exact_money(rate.overage_price_micros, currency)
    return f"Beyond allowances it costs at most {price} per {said}."
