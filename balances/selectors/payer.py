"""A personal account as its person sees it: money, allowances of the month, prices, and what is on credit.

Every read is within the scope: the person's own account, and none else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Sum

from balances import personal_settling, personal_tariffs
from balances.models import (
    PersonalAccount,
    PersonalAccountKind,
    PersonalAllowance,
    PersonalBucket,
    PersonalEntry,
    PersonalEntryKind,
    PersonalRate,
    PersonalTariffVersion,
    Zone,
)
from balances.periods import Period, cycle_of
from balances.personal_settling import Quote
from balances.scope import Scope


@dataclass(frozen=True, slots=True)
class AllowanceLeft:
    """An allowance of a month; `places` empty: everywhere."""

    name: str
    service: int
    granted_units: int
    used_units: int
    places: tuple[str, ...]

    @property
    def left_units(self) -> int:
        return self.granted_units - self.used_units

    @property
    def percent(self) -> int:
        """Whole percent that is used."""
        return self.used_units * 100 // self.granted_units


@dataclass(frozen=True, slots=True)
class Payer:
    """A personal account now. `on_credit`: what is open, and what charging it would come to."""

    account: PersonalAccount
    month: Period
    allowances: list[AllowanceLeft]
    on_credit: Quote

    @property
    def zone(self) -> ZoneInfo:
        """Its clock."""
        return zone_of(self.account)

    @property
    def currency(self) -> str:
        return self.account.tariff.currency

    @property
    def is_prepaid(self) -> bool:
        return self.account.kind == PersonalAccountKind.PREPAID

    @property
    def is_accepted(self) -> bool:
        """Whether it pays for usage."""
        return self.account.accepted_at is not None

    @property
    def left_micros(self) -> int:
        """Money that was paid in and is not used."""
        return max(self.account.balance_micros, 0)

    @property
    def owed_micros(self) -> int:
        return max(-self.account.balance_micros, 0)

    @property
    def credit_left_micros(self) -> int:
        """How much more can be charged before nothing more is."""
        return self.account.credit_limit_micros + self.account.balance_micros


@dataclass(frozen=True, slots=True)
class Terms:
    """What a tariff asks for and includes from a time on; zones by their names, "" for everywhere else."""

    version: PersonalTariffVersion
    rates: list[tuple[PersonalRate, str]]
    allowances: list[AllowanceLeft]


def zone_of(account: PersonalAccount) -> ZoneInfo:
    """The clock by which the months of an account turn."""
    return ZoneInfo(account.time_zone)


def accounts_of(scope: Scope, person_id: int) -> list[PersonalAccount]:
    """The personal accounts that somebody has or had, the latest first."""
    rows = PersonalAccount.objects.within(scope).filter(person_id=person_id).select_related("tariff")
    return list(rows.order_by("-opened_at", "-id"))


def payer_of(scope: Scope, person_id: int, now: datetime) -> Payer | None:
    """The account of a person that is open, else the one that was closed last; None where there never was one."""
    accounts = accounts_of(scope, person_id)
    account = next((one for one in accounts if one.closed_at is None), next(iter(accounts), None))
    if account is None:
        return None
    month = cycle_of(now, zone_of(account), 1)
    quote = personal_settling.quote(account, at=now)
    return Payer(account, month, _left(account, month), quote)


def returned_micros(scope: Scope, account: PersonalAccount, month: Period) -> int:
    """Money that came back in a month for usage that was not the person's to pay."""
    rows = PersonalEntry.objects.within(scope).filter(
        account=account, kind=PersonalEntryKind.CORRECTION, recorded_at__gte=month.starts_at,
        recorded_at__lt=month.ends_at,
    )  # fmt: skip
    return rows.aggregate(sum=Sum("micros"))["sum"] or 0


def terms_of(account: PersonalAccount, at: datetime) -> Terms | None:
    """Prices and allowances of its tariff at a time; None before there are any."""
    versions = PersonalTariffVersion.objects.filter(tariff=account.tariff_id, effective_at__lte=at)
    version = versions.order_by("effective_at").last()
    if version is None:
        return None
    rates = version.rates.select_related("zone").order_by("service", "zone__name")
    names = _zone_names(account)
    allowances = [_allowance(row, row.units, 0, names) for row in version.allowances.all()]
    return Terms(version, [(rate, rate.zone.name if rate.zone else "") for rate in rates], allowances)


def _left(account: PersonalAccount, month: Period) -> list[AllowanceLeft]:
    """What is left in a month; nothing of an account that does not pay then."""
    if account.accepted_at is None or account.accepted_at >= month.ends_at or account.closed_at is not None:
        return []
    tariff = personal_tariffs.terms([account.tariff_id])[account.tariff_id]
    version = tariff.of_month(month.starts_at, month.ends_at, account.accepted_at)
    if version is None:
        return []
    buckets = PersonalBucket.objects.filter(account=account, period_start=month.starts_at)
    used = {bucket.allowance_id: (bucket.granted_units, bucket.used_units) for bucket in buckets}
    names = _zone_names(account)
    rows = PersonalAllowance.objects.filter(version=version.id).order_by("id")
    return [_allowance(row, *used.get(row.id, (row.units, 0)), names) for row in rows]


def _allowance(row: PersonalAllowance, granted: int, used: int, names: dict[int, str]) -> AllowanceLeft:
    """`granted` beyond the allowance came back for what was not the person's to pay: it counts as not used."""
    places = tuple(names[zone_id] for zone_id in row.zone_ids if zone_id in names)
    return AllowanceLeft(row.name, row.service, row.units, used - (granted - row.units), places)


def _zone_names(account: PersonalAccount) -> dict[int, str]:
    return dict(Zone.objects.filter(operator=account.tariff.operator_id).values_list("id", "name"))
