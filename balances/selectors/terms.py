"""What frames every figure: the contract in force, its billing cycle, and how far charging has come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Q

from balances.models import ChargingState, Contract
from balances.periods import Period, cycle_of


@contextmanager
def snapshot() -> Iterator[None]:
    """Everything read inside is of one instant, as far as the caller is not in a transaction already."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


@dataclass(frozen=True, slots=True)
class Terms:
    """The contract in force at an instant, and the cycle that holds it."""

    contract_id: int | None
    contract_number: str
    zone: ZoneInfo
    currency: str
    cycle: Period | None

    @property
    def is_in_force(self) -> bool:
        """Whether there is a contract at all."""
        return self.contract_id is not None

    @property
    def last_day(self) -> datetime | None:
        """An instant in the last civil day of the cycle."""
        return self.cycle.ends_at - timedelta(seconds=1) if self.cycle else None


NO_TERMS = Terms(None, "", ZoneInfo("UTC"), "EUR", None)


def terms_at(enterprise_id: int, now: datetime) -> Terms:
    """The terms of an enterprise that the caller may see something of; `NO_TERMS` without a contract in force."""
    contract = (
        Contract.objects.filter(
            Q(ends_at__isnull=True) | Q(ends_at__gt=now), enterprise_id=enterprise_id, starts_at__lte=now
        )
        .order_by("-starts_at")
        .first()
    )
    return in_force(contract, now) if contract else NO_TERMS


def in_force(contract: Contract, now: datetime) -> Terms:
    """A contract's terms at an instant at which it is in force."""
    zone = ZoneInfo(contract.time_zone)
    cycle = cycle_of(now, zone, contract.cycle_anchor_day)
    return Terms(contract.id, contract.number, zone, contract.currency, cycle)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an enterprise has been charged, and when that was read."""

    sequence: int
    charged_at: datetime | None
    as_of: datetime


def progress_of(enterprise_id: int) -> Progress:
    """The charge sequence of an enterprise, now."""
    row = ChargingState.objects.filter(enterprise_id=enterprise_id).values_list("charge_sequence", "charged_at").first()
    sequence, charged_at = row or (0, None)
    return Progress(sequence, charged_at, datetime.now(UTC))
