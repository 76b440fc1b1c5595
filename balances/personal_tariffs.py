"""What operators offer to people for their own usage: the only writer of PersonalTariff, its versions and their terms.

Owns: the life of a tariff, and reading it as charging and settling do (`terms`). A version holds for usage from its own
time on and never changes; what would be charged anew by it is refused. Never opens an account, never charges.

Each function opens its own transaction under the locks of all enterprises of the operator, whose prices it may change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.numbers import is_currency
from django.db.models import Max

from balances import audit, fields, locks
from balances.contracts import PRICE_MOST_MICROS, NotFound, NotValid
from balances.errors import Refused
from balances.models import (
    Operator,
    PersonalAllowance,
    PersonalRate,
    PersonalTariff,
    PersonalTariffVersion,
    Zone,
)
from balances.personal_pricing import Included, Price, Tariff, Version
from balances.units import SERVICE_NAMES

#: Rates and allowances that a version has at most.
ROWS_MOST = 200


class NameUsed(Refused):
    """The operator has a tariff of this name already."""


class Retired(Refused):
    """The tariff is offered no more."""


@dataclass(frozen=True, slots=True)
class RateRow:
    """The price of a block of a service; `zone` None: in every zone without a rate of its own."""

    service: int
    price_micros: int
    block_units: int = 1
    zone: Zone | None = None


@dataclass(frozen=True, slots=True)
class AllowanceRow:
    """Units that each account has in each civil month; no zones: usable everywhere."""

    name: str
    service: int
    units: int
    zones: tuple[Zone, ...] = ()


def create_tariff(*, operator: Operator, name: str, currency: str, actor: str, at: datetime) -> PersonalTariff:
    """A tariff, to which versions are added. Raises NameUsed, NotValid, Unreadable, Busy."""
    name = fields.text(name, field="name", label="The name", most=80)
    if not is_currency(currency):
        raise NotValid(f"“{currency}” is no currency; write it like EUR.", field="currency")
    with locks.enterprises_of(operator.id):
        # The operator's own row makes this the only writer of its tariffs, also before it has any enterprise.
        Operator.objects.select_for_update(no_key=True).get(id=operator.id)
        if PersonalTariff.objects.filter(operator=operator, name=name).exists():
            raise NameUsed(f"There is a tariff “{name}” already.", field="name")
        tariff = PersonalTariff.objects.create(
            operator=operator, name=name, currency=currency, made_at=at, made_by=actor
        )
        _record(tariff, "personal_tariff.created", {"currency": currency}, actor, at)
        return tariff


def add_version(
    *,
    tariff: PersonalTariff,
    effective_at: datetime,
    rates: Sequence[RateRow],
    allowances: Sequence[AllowanceRow] = (),
    actor: str,
    at: datetime,
) -> PersonalTariffVersion:
    """Prices for usage from `effective_at` on, and allowances of the months that begin from then on.

    Only the first version may begin in the past: nobody was charged by the tariff yet. Raises NotFound, NotValid,
    Retired, Unreadable, Busy.
    """
    effective_at = fields.instant(effective_at, field="effective_at", default=at)
    _refuse_terms(rates, allowances)
    with locks.enterprises_of(tariff.operator_id):
        tariff = _current(tariff)
        if tariff.retired_at is not None:
            raise Retired(f"“{tariff}” is offered no more.", field="tariff")
        versions = PersonalTariffVersion.objects.filter(tariff=tariff)
        last = versions.aggregate(last=Max("number"))["last"]
        if last is not None and effective_at < at:
            raise NotValid(
                "Prices that people may have been charged by stay: begin now or later.", field="effective_at"
            )
        if versions.filter(effective_at=effective_at).exists():
            raise NotValid("Another version begins at the same instant.", field="effective_at")
        _refuse_foreign_zones(tariff, rates, allowances)
        version = PersonalTariffVersion.objects.create(
            tariff=tariff, number=(last or 0) + 1, effective_at=effective_at, made_at=at, made_by=actor
        )
        PersonalRate.objects.bulk_create(
            PersonalRate(
                version=version,
                service=row.service,
                zone=row.zone,
                price_micros=row.price_micros,
                block_units=row.block_units,
            )
            for row in rates
        )
        PersonalAllowance.objects.bulk_create(
            PersonalAllowance(
                version=version,
                name=row.name.strip(),
                service=row.service,
                zone_ids=sorted(zone.id for zone in row.zones),
                units=row.units,
            )
            for row in allowances
        )
        detail = {"version": version.number, "effective_at": effective_at.isoformat()}
        _record(tariff, "personal_tariff.version.added", detail, actor, at)
        return version


def retire_tariff(*, tariff: PersonalTariff, actor: str, at: datetime) -> PersonalTariff:
    """Offer a tariff no more; whoever has an account with it keeps it. Safe to repeat. Raises NotFound, Busy."""
    with locks.enterprises_of(tariff.operator_id):
        tariff = _current(tariff)
        if tariff.retired_at is None:
            tariff.retired_at = at
            tariff.save(update_fields=["retired_at"])
            _record(tariff, "personal_tariff.retired", {}, actor, at)
        return tariff


def terms(tariff_ids: Collection[int], instant: Callable[[datetime], Any] = lambda at: at) -> dict[int, Tariff[Any]]:
    """Tariffs as charging and settling read them, in three queries; `instant` says in what form times are wanted."""
    versions = PersonalTariffVersion.objects.filter(tariff__in=tariff_ids).order_by("effective_at")
    rates = PersonalRate.objects.filter(version__tariff__in=tariff_ids).order_by("id")
    prices: dict[int, dict[tuple[int, int | None], Price]] = defaultdict(dict)
    for rate in rates:
        prices[rate.version_id][rate.service, rate.zone_id] = Price(rate.id, rate.price_micros, rate.block_units)
    included: dict[int, list[Included]] = defaultdict(list)
    for row in PersonalAllowance.objects.filter(version__tariff__in=tariff_ids).order_by("id"):
        included[row.version_id].append(Included(row.id, row.service, frozenset(row.zone_ids), row.units))
    found: dict[int, list[Version[Any]]] = defaultdict(list)
    for version in versions:
        found[version.tariff_id].append(
            Version(version.id, instant(version.effective_at), prices[version.id], tuple(included[version.id]))
        )
    return {tariff_id: Tariff(tariff_id, tuple(found[tariff_id])) for tariff_id in tariff_ids}


# --- checks ----------------------------------------------------------------------------------------------------------


def _refuse_terms(rates: Sequence[RateRow], allowances: Sequence[AllowanceRow]) -> None:
    """Raises NotValid, Unreadable."""
    if not rates and not allowances:
        raise NotValid("This version has neither prices nor allowances.", field="rates")
    if len(rates) > ROWS_MOST or len(allowances) > ROWS_MOST:
        raise NotValid(f"A version has at most {ROWS_MOST} prices and {ROWS_MOST} allowances.", field="rates")
    priced: set[tuple[int, int | None]] = set()
    for row in rates:
        fields.service(row.service)
        fields.whole_number(row.price_micros, 0, PRICE_MOST_MICROS, field="price_micros")
        fields.whole_number(row.block_units, 1, fields.UNITS_MOST, field="block_units")
        place = (row.service, row.zone.id if row.zone else None)
        if place in priced:
            where = row.zone.name if row.zone else "everywhere else"
            raise NotValid(f"There are two prices of {SERVICE_NAMES[row.service]}, {where}.", field="rates")
        priced.add(place)
    names = set()
    for allowance in allowances:
        name = fields.text(allowance.name, field="allowances", label="The name of an allowance", most=80)
        fields.service(allowance.service)
        fields.whole_number(allowance.units, 1, fields.UNITS_MOST, field="units")
        if name in names:
            raise NotValid(f"There are two allowances “{name}”.", field="allowances")
        names.add(name)


def _refuse_foreign_zones(tariff: PersonalTariff, rates: Sequence[RateRow], allowances: Sequence[AllowanceRow]) -> None:
    """Zones are the operator's own. Raises NotFound."""
    wanted = {row.zone.id for row in rates if row.zone} | {zone.id for row in allowances for zone in row.zones}
    if Zone.objects.filter(id__in=wanted, operator=tariff.operator_id).count() != len(wanted):
        raise NotFound("This zone does not exist.", field="zones")


def _current(tariff: PersonalTariff) -> PersonalTariff:
    """The tariff as it is now. Raises NotFound."""
    found = PersonalTariff.objects.filter(id=tariff.id, operator=tariff.operator_id).select_related("operator").first()
    if found is None:
        raise NotFound("This tariff does not exist.", field="tariff")
    return found


def _record(tariff: PersonalTariff, action: str, detail: dict[str, Any], actor: str, at: datetime) -> None:
    detail = {"operator": tariff.operator.name, **detail}
    audit.record(enterprise_id=None, actor=actor, action=action, subject=tariff.name, detail=detail, at=at)
