"""Who may trade what, how much they keep, and the band of internal prices: the only writer of TradingTerms.

Owns: terms inherited down the tree (of each field the nearest account that says something wins) and the band from zero
to the overage rate. Not configuration of charging: terms matter when a trade is made, never to what was traded before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from django.db import transaction
from django.db.models import Q

from balances import audit, fields, locks
from balances.errors import Refused
from balances.models import Account, ContractVersion, Rate, TradingTerms
from balances.models.contracts import VersionState
from balances.units import SERVICE_NAMES

FIELDS = ("may_trade", "may_regift", "floor_units", "lot_units", "approval_above_units")
#: What holds where no account says anything.
DEFAULTS: dict[str, bool | int | None] = {
    "may_trade": True, "may_regift": True, "floor_units": 0, "lot_units": 1, "approval_above_units": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TermsInForce:
    """What holds for an account and a service, and for each field which account says so (None: nobody)."""

    may_trade: bool
    may_regift: bool
    floor_units: int
    lot_units: int
    approval_above_units: int | None
    said_by: dict[str, Account | None]


@dataclass(frozen=True, slots=True)
class Band:
    """Internal prices go from 0 to `most_micros` for a block of `block_units`: nobody pays more than overage."""

    most_micros: int
    block_units: int
    currency: str


def path_of(account: Account) -> list[Account]:
    """The account and all above it, nearest first, by parent pointers."""
    by_id = {row.id: row for row in Account.objects.filter(enterprise_id=account.enterprise_id)}
    path: list[Account] = []
    here: Account | None = by_id.get(account.id)
    while here is not None and here not in path:
        path.append(here)
        here = by_id.get(here.parent_id) if here.parent_id else None
    return path


def terms_of(account: Account, service: int) -> TermsInForce:
    """What holds for an account; two queries."""
    path = path_of(account)
    rows = TradingTerms.objects.filter(account__in=path, service=service)
    return resolved(path, {row.account_id: row for row in rows})


def resolved(path: list[Account], said: dict[int, TradingTerms]) -> TermsInForce:
    """What holds at the beginning of a path, nearest first; pure."""
    values: dict[str, bool | int | None] = dict(DEFAULTS)
    said_by: dict[str, Account | None] = dict.fromkeys(FIELDS)
    for name in FIELDS:
        for place in path:
            row = said.get(place.id)
            if row is not None and getattr(row, name) is not None:
                values[name], said_by[name] = getattr(row, name), place
                break
    return TermsInForce(**values, said_by=said_by)  # type: ignore[arg-type]  # each of its own kind


def set_terms(
    *,
    account: Account,
    service: int,
    may_trade: bool | None = None,
    may_regift: bool | None = None,
    floor_units: int | None = None,
    lot_units: int | None = None,
    approval_above_units: int | None = None,
    actor: str,
    at: datetime,
) -> TradingTerms:
    """Say, or say anew, what holds for an account and those below it; None leaves a field to the account above.

    Holds for what is offered and accepted from now on. Raises Refused, Unreadable, Busy.
    """
    fields.service(service)
    for name, value, least in (
        ("floor_units", floor_units, 0),
        ("lot_units", lot_units, 1),
        ("approval_above_units", approval_above_units, 0),
    ):
        if value is not None:
            fields.whole_number(value, least, fields.UNITS_MOST, field=name)
    values = {
        "may_trade": may_trade,
        "may_regift": may_regift,
        "floor_units": floor_units,
        "lot_units": lot_units,
        "approval_above_units": approval_above_units,
    }
    with locks.enterprise(account.enterprise_id):
        if not Account.objects.filter(id=account.id, enterprise_id=account.enterprise_id).exists():
            raise Refused("This account does not exist.", field="account")
        terms, _ = TradingTerms.objects.update_or_create(
            account=account, service=service, defaults={**values, "enterprise_id": account.enterprise_id}
        )
        audit.record(
            enterprise_id=account.enterprise_id,
            account_id=account.id,
            actor=actor,
            action="trading.terms_set",
            subject=account.name,
            detail={"service": SERVICE_NAMES[service], **values},
            at=at,
        )
        return terms


def check_terms(*, account: Account, service: int, at: datetime, **wish: Any) -> TermsInForce:
    """What would hold for the account if `set_terms` said so; says nothing, refuses what it would."""
    with transaction.atomic():
        set_terms(account=account, service=service, **wish, actor="nobody", at=at)
        after = terms_of(account, service)
        transaction.set_rollback(True)
        return after


def band(enterprise_id: int, service: int, zone_ids: list[int], at: datetime) -> Band:
    """The band for units usable in these zones (none named: everywhere): up to the cheapest overage rate among them.

    The cheapest, so that no internal price is above what overage would cost anybody. Without a rate only zero is left.
    """
    version = (
        ContractVersion.objects.filter(
            Q(contract__ends_at__isnull=True) | Q(contract__ends_at__gt=at),
            enterprise_id=enterprise_id,
            state=VersionState.PUBLISHED,
            effective_at__lte=at,
            contract__starts_at__lte=at,
        )
        .select_related("contract")
        .order_by("-effective_at")
        .first()
    )
    if version is None:
        return Band(0, 1, "EUR")
    rates = Rate.objects.filter(version=version, service=service)
    if zone_ids:
        rates = rates.filter(zone_id__in=zone_ids)
    cheapest = min(rates, key=lambda r: (Fraction(r.overage_price_micros, r.overage_block_units), r.id), default=None)
    if cheapest is None:
        return Band(0, 1, version.contract.currency)
    return Band(cheapest.overage_price_micros, cheapest.overage_block_units, version.contract.currency)
