"""What was sold: the only writer of Zone, Contract, ContractVersion, Allowance and Rate.

Owns: the life of a version, draft, then published and unchangeable; thresholds come with it from
`balances.thresholds`. Never grants
units: publishing asks `balances.cycles` to, which does so through the ledger. Never rates usage.

Each function opens its own transaction under the enterprise's lock (a zone: under the locks of all
enterprises of its operator, whose prices it may change), and reads what it changes again under it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.numbers import is_currency
from django.db.models import Max, Q

from balances import audit, cycles, fields, locks, thresholds
from balances.errors import Refused
from balances.models import Allowance, Contract, ContractVersion, Enterprise, ExchangeRate, Operator, Rate, Zone
from balances.models.contracts import VersionState
from balances.thresholds import remove_threshold, set_threshold
from balances.units import SERVICE_NAMES

__all__ = [
    "AlreadyUsed",
    "NotFound",
    "NotReady",
    "NotValid",
    "Published",
    "add_allowance",
    "create_contract",
    "create_zone",
    "draft_version",
    "publish_version",
    "remove_allowance",
    "remove_threshold",
    "set_rate",
    "set_threshold",
]

#: A million of the currency's major unit for one block.
PRICE_MOST_MICROS = 10**12

_NETWORK = re.compile(r"[0-9]{3,6}", re.ASCII)


class AlreadyUsed(Refused):
    """A code, number or instant that must be unique is in use."""


class NotValid(Refused):
    """A value that a contract cannot have."""


class NotFound(Refused):
    """The contract, version, zone, account or line is gone or of somebody else."""


class Published(Refused):
    """A published version never changes."""


class NotReady(Refused):
    """The version cannot be published as it is."""


def create_zone(
    *,
    operator: Operator,
    code: str,
    name: str,
    networks: Sequence[str],
    is_home: bool = False,
    is_default: bool = False,
    actor: str,
    at: datetime,
) -> Zone:
    """A group of visited networks with one price.

    Published versions have no rate for it: usage there waits in suspense until a version with one takes
    effect. Raises AlreadyUsed, NotValid, Unreadable, Busy.
    """
    code = fields.text(code, field="code", label="The code", most=24)
    name = fields.text(name, field="name", label="The name", most=60)
    if not re.fullmatch(r"[a-z0-9_-]+", code):
        raise NotValid("A zone's code consists of small letters, digits, - and _.", field="code")
    networks = sorted({network.strip() for network in networks})
    if wrong := [network for network in networks if not _NETWORK.fullmatch(network)]:
        raise NotValid(f"“{wrong[0]}” is no network: 3 to 6 digits of MCC and MNC.", field="networks")
    with locks.enterprises_of(operator.id):
        # Zones of one operator are made one at a time, also before it has any enterprise.
        Operator.objects.select_for_update(no_key=True).get(id=operator.id)
        present = list(Zone.objects.filter(operator=operator))
        _refuse_second_zone(present, code, networks, is_home, is_default)
        zone = Zone.objects.create(
            operator=operator,
            code=code,
            name=name,
            networks=networks,
            is_home=is_home,
            is_default=is_default,
        )
        audit.record(
            enterprise_id=None,
            actor=actor,
            action="zone.created",
            subject=name,
            detail={"operator": operator.name, "code": code, "networks": networks},
            at=at,
        )
        return zone


def _refuse_second_zone(present: list[Zone], code: str, networks: list[str], is_home: bool, is_default: bool) -> None:
    for zone in present:
        if zone.code == code:
            raise AlreadyUsed(f"The code “{code}” is already used.", field="code")
        if is_home and zone.is_home:
            raise AlreadyUsed(f"“{zone.name}” is the home zone already.", field="is_home")
        if is_default and zone.is_default:
            raise AlreadyUsed(f"“{zone.name}” is the default zone already.", field="is_default")
        if both := set(zone.networks) & set(networks):
            raise AlreadyUsed(f"Network {min(both)} belongs to “{zone.name}” already.", field="networks")


def create_contract(
    *,
    enterprise: Enterprise,
    number: str,
    starts_at: datetime,
    ends_at: datetime | None = None,
    time_zone: str,
    currency: str,
    cycle_anchor_day: int,
    late_usage_days: int = 90,
    actor: str,
    at: datetime,
) -> Contract:
    """An agreement; nothing is granted until a version of it is published.

    An enterprise has one contract at a time. Raises AlreadyUsed, NotValid, Unreadable, Busy.
    """
    number = fields.code(number, field="number", label="The contract number")
    starts_at = fields.instant(starts_at, field="starts_at", default=at)
    ends_at = fields.instant(ends_at, field="ends_at", default=at) if ends_at else None
    if ends_at and ends_at <= starts_at:
        raise NotValid("The contract must end after it begins.", field="ends_at")
    if not _is_time_zone(time_zone):
        raise NotValid(f"“{time_zone}” is no time zone; write it like Europe/Berlin.", field="time_zone")
    if not is_currency(currency):
        raise NotValid(f"“{currency}” is no currency; write it like EUR.", field="currency")
    if not 1 <= cycle_anchor_day <= 31:
        raise NotValid("A cycle begins on a day from 1 to 31.", field="cycle_anchor_day")
    if not 0 <= late_usage_days <= 3650:
        raise NotValid("Late usage is accepted for 0 to 3650 days.", field="late_usage_days")
    with locks.enterprise(enterprise.id):
        mine = Contract.objects.filter(enterprise=enterprise)
        if mine.filter(number=number).exists():
            raise AlreadyUsed(f"The contract number “{number}” is already used.", field="number")
        same_time = mine.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=starts_at))
        if ends_at:
            same_time = same_time.filter(starts_at__lt=ends_at)
        if other := same_time.first():
            raise NotValid(f"Contract {other.number} holds at the same time.", field="starts_at")
        contract = Contract.objects.create(
            enterprise=enterprise,
            number=number,
            starts_at=starts_at,
            ends_at=ends_at,
            time_zone=time_zone,
            currency=currency,
            cycle_anchor_day=cycle_anchor_day,
            late_usage_days=late_usage_days,
        )
        audit.record(
            enterprise_id=enterprise.id,
            actor=actor,
            action="contract.created",
            subject=number,
            detail={
                "starts_at": starts_at.isoformat(),
                "ends_at": ends_at.isoformat() if ends_at else None,
                "time_zone": time_zone,
                "currency": currency,
                "cycle_anchor_day": cycle_anchor_day,
            },
            at=at,
        )
        return contract


def draft_version(
    *,
    contract: Contract,
    effective_at: datetime,
    note: str = "",
    copy_from: ContractVersion | None = None,
    actor: str,
    at: datetime,
) -> ContractVersion:
    """A version to be filled and published, empty or with the allowances and rates of another one.

    Raises NotFound, NotValid, Unreadable, Busy.
    """
    note = fields.text(note, field="note", label="The note", most=200, required=False)
    effective_at = fields.instant(effective_at, field="effective_at", default=at)
    with locks.enterprise(contract.enterprise_id):
        _refuse_outside(contract, effective_at)
        last = ContractVersion.objects.filter(contract=contract).aggregate(last=Max("number"))["last"] or 0
        version = ContractVersion.objects.create(
            enterprise_id=contract.enterprise_id,
            contract=contract,
            number=last + 1,
            effective_at=effective_at,
            note=note,
        )
        if copy_from is not None:
            _copy_terms(copy_from, version)
        audit.record(
            enterprise_id=contract.enterprise_id,
            actor=actor,
            action="contract.version.drafted",
            subject=str(version),
            detail={
                "effective_at": effective_at.isoformat(),
                "copied_from": copy_from.number if copy_from else None,
            },
            at=at,
        )
        return version


def add_allowance(
    *,
    version: ContractVersion,
    name: str,
    service: int,
    granted_units: int,
    zones: Iterable[Zone] = (),
    rollover_cap_units: int = 0,
    priority: int = 100,
    actor: str,
    at: datetime,
) -> Allowance:
    """Units of a service granted each cycle; no zones: usable everywhere. Lower priority is drawn first.

    Raises NotFound, Published, Unreadable, Busy.
    """
    name = fields.text(name, field="name", label="The name", most=80)
    fields.service(service)
    fields.whole_number(granted_units, 0, fields.UNITS_MOST, field="granted_units")
    fields.whole_number(rollover_cap_units, 0, fields.UNITS_MOST, field="rollover_cap_units")
    fields.whole_number(priority, 1, 1000, field="priority")
    with locks.enterprise(version.enterprise_id):
        version = draft_of(version)
        known = _own_zones(version, zones)
        allowance = Allowance.objects.create(
            enterprise_id=version.enterprise_id,
            version=version,
            name=name,
            service=service,
            granted_units=granted_units,
            rollover_cap_units=rollover_cap_units,
            priority=priority,
        )
        allowance.zones.set(known)
        audit.record(
            enterprise_id=version.enterprise_id,
            actor=actor,
            action="contract.allowance.added",
            subject=f"{version}: {name}",
            detail={
                "service": SERVICE_NAMES[service],
                "granted_units": granted_units,
                "rollover_cap_units": rollover_cap_units,
                "zones": [zone.code for zone in known],
            },
            at=at,
        )
        return allowance


def remove_allowance(*, allowance: Allowance, actor: str, at: datetime) -> None:
    """Take an allowance out of a draft. Raises NotFound, Published, Busy."""
    with locks.enterprise(allowance.enterprise_id):
        version = draft_of(allowance.version)
        if not Allowance.objects.filter(id=allowance.id, version=version).delete()[0]:
            raise NotFound("This allowance does not exist.", field="allowance")
        audit.record(
            enterprise_id=version.enterprise_id,
            actor=actor,
            action="contract.allowance.removed",
            subject=f"{version}: {allowance.name}",
            at=at,
        )


def set_rate(
    *,
    version: ContractVersion,
    service: int,
    zone: Zone,
    increment_units: int,
    minimum_units: int,
    overage_price_micros: int,
    overage_block_units: int,
    actor: str,
    at: datetime,
) -> Rate:
    """Rounding and overage price of a service in a zone; the one that stands in the draft is replaced.

    Raises NotFound, Published, Unreadable, Busy.
    """
    fields.service(service)
    fields.whole_number(increment_units, 1, fields.UNITS_MOST, field="increment_units")
    fields.whole_number(minimum_units, 0, fields.UNITS_MOST, field="minimum_units")
    fields.whole_number(overage_price_micros, 0, PRICE_MOST_MICROS, field="overage_price_micros")
    fields.whole_number(overage_block_units, 1, fields.UNITS_MOST, field="overage_block_units")
    with locks.enterprise(version.enterprise_id):
        version = draft_of(version)
        (known,) = _own_zones(version, [zone])
        terms = {
            "increment_units": increment_units,
            "minimum_units": minimum_units,
            "overage_price_micros": overage_price_micros,
            "overage_block_units": overage_block_units,
        }
        rate, _ = Rate.objects.update_or_create(
            version=version,
            service=service,
            zone=known,
            defaults={"enterprise_id": version.enterprise_id, **terms},
        )
        audit.record(
            enterprise_id=version.enterprise_id,
            actor=actor,
            action="contract.rate.set",
            subject=f"{version}: {SERVICE_NAMES[service]}, {known.name}",
            detail=terms,
            at=at,
        )
        return rate


def publish_version(*, version: ContractVersion, actor: str, at: datetime) -> ContractVersion:
    """Make a draft unchangeable and in force from its `effective_at` on, and grant what is due by `at`.

    It may take effect in the middle of a cycle: rates change there and then, allowances from the next cycle
    on; a cycle keeps what it was opened with. Usage that was charged already is not charged again. With the
    first version of a service the root account gets the default thresholds.

    Raises NotReady (no terms; a service without a rate in a zone), NotValid (outside the contract),
    AlreadyUsed (another version at the same instant), Published, NotFound, Busy.
    """
    with locks.enterprise(version.enterprise_id):
        version = draft_of(version)
        _refuse_outside(version.contract, version.effective_at)
        published = ContractVersion.objects.filter(enterprise_id=version.enterprise_id, state=VersionState.PUBLISHED)
        if other := published.filter(contract=version.contract, effective_at=version.effective_at).first():
            raise AlreadyUsed(f"{other} takes effect at the same instant.", field="effective_at")
        _refuse_missing_rates(version)
        known_services = set(Allowance.objects.filter(version__in=published).values_list("service", flat=True))
        version.state, version.published_at = VersionState.PUBLISHED, at
        version.save(update_fields=["state", "published_at"])
        thresholds.set_defaults(version, known_services)
        audit.record(
            enterprise_id=version.enterprise_id,
            actor=actor,
            action="contract.version.published",
            subject=str(version),
            detail={"effective_at": version.effective_at.isoformat()},
            at=at,
        )
        cycles.open_cycles(enterprise_id=version.enterprise_id, until=at, actor=actor)
        return version


# --- under the lock -------------------------------------------------------------------------------


def draft_of(version: ContractVersion) -> ContractVersion:
    """The version as it is now, if it is a draft. Raises NotFound, Published."""
    mine = ContractVersion.objects.filter(id=version.id, enterprise_id=version.enterprise_id)
    current = mine.select_related("contract__enterprise").first()
    if current is None:
        raise NotFound("This version does not exist.", field="version")
    if current.state == VersionState.PUBLISHED:
        raise Published(f"{current} is published and never changes. Draft a new version.", field="version")
    return current


def _copy_terms(source: ContractVersion, target: ContractVersion) -> None:
    if source.enterprise_id != target.enterprise_id:
        raise NotFound("This version does not exist.", field="copy_from")
    for allowance in source.allowances.order_by("id"):
        zones = list(allowance.zones.all())
        allowance.pk, allowance.version = None, target
        allowance._state.adding = True
        allowance.save()
        allowance.zones.set(zones)
    rates = list(source.rates.order_by("id"))
    for rate in rates:
        rate.pk, rate.version = None, target
    Rate.objects.bulk_create(rates)
    exchange_rates = list(source.exchange_rates.order_by("id"))
    for exchange_rate in exchange_rates:
        exchange_rate.pk, exchange_rate.version = None, target
    ExchangeRate.objects.bulk_create(exchange_rates)


def _own_zones(version: ContractVersion, zones: Iterable[Zone]) -> list[Zone]:
    """The zones, if all are of the operator. Raises NotFound."""
    wanted = {zone.id for zone in zones}
    known = list(Zone.objects.filter(id__in=wanted, operator=version.contract.enterprise.operator_id))
    if len(known) != len(wanted):
        raise NotFound("This zone does not exist.", field="zones")
    return known


def _refuse_outside(contract: Contract, effective_at: datetime) -> None:
    if effective_at < contract.starts_at:
        raise NotValid(
            f"A version cannot take effect before its contract begins ({contract.starts_at:%Y-%m-%d %H:%M} UTC).",
            field="effective_at",
        )
    if contract.ends_at and effective_at >= contract.ends_at:
        raise NotValid("A version cannot take effect after its contract ended.", field="effective_at")


def _refuse_missing_rates(version: ContractVersion) -> None:
    """Each service with an allowance needs a rate in every zone of the operator:

    usage may happen anywhere.
    """
    services = set(version.allowances.values_list("service", flat=True))
    rated = set(version.rates.values_list("service", "zone_id"))
    if not services and not rated:
        raise NotReady("This version has neither allowances nor rates.", field="version")
    zones = Zone.objects.filter(operator=version.contract.enterprise.operator_id)
    missing = [
        f"{SERVICE_NAMES[service].replace('_', ' ')} in {zone.name}"
        for service in sorted(services | {service for service, _ in rated})
        for zone in zones
        if (service, zone.id) not in rated
    ]
    if missing:
        raise NotReady(f"There is no rate for {', '.join(missing)}.", field="rates")


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
