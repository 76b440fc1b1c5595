"""Exchange between services at the contract's rates: the only writer of ExchangeRate and Exchange.

Owns: rates in a draft version (frozen with it), what units of a bucket come to in another service, and the exchange
itself, through the ledger. Rounding: what is received is whole units, rounded down; what is given is the least that
comes to so much, so that a part that buys nothing stays where it is.

What is received stands in a bucket of its own beside the one it came from: same owner, zones, priority, validity. It is
of no allowance, and so is not carried over.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Q

from balances import audit, contracts, fields, ledger, locks
from balances.errors import Refused
from balances.ledger import Change, KeyConflict, NewBucket, NotEnough
from balances.models import Bucket, Contract, ContractVersion, Exchange, ExchangeRate
from balances.models.buckets import BucketKind
from balances.models.contracts import VersionState
from balances.models.ledger import EntryKind
from balances.units import SERVICE_NAMES


class NoRate(Refused):
    """The contract does not exchange these services."""


class TooLittle(Refused):
    """Units that come to less than one unit of the other service."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What an exchange would come to: `given_units` of the bucket for `received_units` of the other service."""

    bucket: Bucket
    rate: ExchangeRate
    given_units: int
    received_units: int


# --- rates -------------------------------------------------------------------------------------------------------


def set_rate(
    *,
    version: ContractVersion,
    from_service: int,
    to_service: int,
    from_units: int,
    to_units: int,
    actor: str,
    at: datetime,
) -> ExchangeRate:
    """`from_units` of one service for `to_units` of another; the rate that stands in the draft is replaced.

    Raises NotFound, Published, Unreadable, Refused, Busy.
    """
    fields.service(from_service)
    fields.service(to_service)
    fields.whole_number(from_units, 1, fields.UNITS_MOST, field="from_units")
    fields.whole_number(to_units, 1, fields.UNITS_MOST, field="to_units")
    if from_service == to_service:
        raise Refused("A service is exchanged for another one.", field="to_service")
    with locks.enterprise(version.enterprise_id):
        version = contracts.draft_of(version)
        rate, _ = ExchangeRate.objects.update_or_create(
            version=version,
            from_service=from_service,
            to_service=to_service,
            defaults={"enterprise_id": version.enterprise_id, "from_units": from_units, "to_units": to_units},
        )
        _record(rate, "contract.exchange_rate.set", actor, at)
        return rate


def remove_rate(*, rate: ExchangeRate, actor: str, at: datetime) -> None:
    """Take a rate out of a draft. Raises NotFound, Published, Busy."""
    with locks.enterprise(rate.enterprise_id):
        version = contracts.draft_of(rate.version)
        mine = ExchangeRate.objects.filter(id=rate.id, version=version)
        present = mine.select_related("version").first()
        if present is None:
            raise contracts.NotFound("This rate does not exist.", field="rate")
        mine.delete()
        _record(present, "contract.exchange_rate.removed", actor, at)


def _record(rate: ExchangeRate, action: str, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=rate.enterprise_id,
        actor=actor,
        action=action,
        subject=f"{rate.version}: {SERVICE_NAMES[rate.from_service]} to {SERVICE_NAMES[rate.to_service]}",
        detail={"from_units": rate.from_units, "to_units": rate.to_units},
        at=at,
    )


def rates_at(enterprise_id: int, at: datetime) -> list[ExchangeRate]:
    """The rates in force at an instant."""
    contract = (
        Contract.objects.filter(
            Q(ends_at__isnull=True) | Q(ends_at__gt=at), enterprise_id=enterprise_id, starts_at__lte=at
        )
        .order_by("-starts_at")
        .first()
    )
    version = (
        ContractVersion.objects.filter(contract=contract, state=VersionState.PUBLISHED, effective_at__lte=at)
        .order_by("-effective_at")
        .first()
    )
    return list(ExchangeRate.objects.filter(version=version).order_by("from_service", "to_service")) if version else []


# --- exchanging --------------------------------------------------------------------------------------------------


def quote(*, bucket_id: int, to_service: int, units: int, at: datetime) -> Quote:
    """What units of a bucket would come to now. Writes nothing. Raises NoRate, TooLittle, NotEnough, Refused."""
    bucket = Bucket.objects.filter(id=bucket_id).first()
    if bucket is None:
        raise Refused("There is no such bucket.", field="bucket")
    ledger.refuse_unless_movable(bucket, at)
    fields.whole_number(units, 1, fields.UNITS_MOST, field="units")
    rates = [r for r in rates_at(bucket.enterprise_id, at) if r.from_service == bucket.service]
    rate = next((rate for rate in rates if rate.to_service == to_service), None)
    if rate is None:
        there = ", ".join(SERVICE_NAMES[rate.to_service] for rate in rates) or "nothing"
        raise NoRate(f"The contract exchanges {SERVICE_NAMES[bucket.service]} for {there}.", field="service")
    received = units * rate.to_units // rate.from_units
    if not received:
        least = -(-rate.from_units // rate.to_units)
        raise TooLittle(f"That comes to less than one unit; exchange at least {least} units.", field="units")
    given = -(-received * rate.from_units // rate.to_units)
    if given > bucket.remaining_units:
        raise NotEnough(
            f"“{bucket.name}” has {bucket.remaining_units} free units; {given} would be given.", field="units"
        )
    return Quote(bucket, rate, given, received)


def exchange(
    *, bucket_id: int, to_service: int, units: int, key: str | None = None, actor: str, at: datetime
) -> Exchange:
    """Give units of a bucket for units of another service, at the rate in force.

    `key` makes repeating harmless. One transaction under the charging lock. Raises NoRate, TooLittle, NotEnough,
    KeyConflict, Refused, Busy.
    """
    source = Bucket.objects.filter(id=bucket_id).first()
    if source is None:
        raise Refused("There is no such bucket.", field="bucket")
    with locks.enterprise(source.enterprise_id), connection.cursor() as cursor:
        own_key = _own_key(source.enterprise_id, key)
        if first := Exchange.objects.filter(key=own_key).select_related("to_bucket").first() if own_key else None:
            if (first.from_bucket_id, first.to_bucket.service, first.asked_units) != (bucket_id, to_service, units):
                raise KeyConflict("This idempotency key was used before for something else.", field="key")
            return first
        found = quote(bucket_id=bucket_id, to_service=to_service, units=units, at=at)
        source = found.bucket
        target_id, _ = ledger.open_bucket(cursor, enterprise_id=source.enterprise_id, new=_target(source, to_service))
        transfer = uuid.uuid4()
        ledger.post(
            cursor,
            enterprise_id=source.enterprise_id,
            charge_sequence=ledger.advance(cursor, source.enterprise_id),
            changes=[
                Change(source.id, EntryKind.EXCHANGE_OUT, found.given_units, at, None, transfer),
                Change(target_id, EntryKind.EXCHANGE_IN, found.received_units, at, None, transfer),
            ],
            actor=actor,
            recorded_at=at,
        )
        audit.record(
            enterprise_id=source.enterprise_id,
            account_id=source.account_id,
            actor=actor,
            action="bucket.exchanged",
            subject=source.name,
            detail={
                "from_bucket": source.id,
                "to_bucket": target_id,
                "given_units": found.given_units,
                "received_units": found.received_units,
                "to_service": SERVICE_NAMES[to_service],
            },
            at=at,
        )
        return Exchange.objects.create(
            enterprise_id=source.enterprise_id,
            from_bucket=source,
            to_bucket_id=target_id,
            rate=found.rate,
            asked_units=units,
            given_units=found.given_units,
            received_units=found.received_units,
            transfer=transfer,
            key=own_key,
            actor=actor[: audit.ACTOR_LENGTH],
            at=at,
        )


def _target(source: Bucket, to_service: int) -> NewBucket:
    return NewBucket(
        key=f"exchange:{source.id}:{to_service}",
        kind=BucketKind.EXCHANGE,
        name=f"{source.name}, exchanged"[:80],
        service=to_service,
        zone_ids=tuple(source.zone_ids),
        priority=source.priority,
        cycle_start=source.cycle_start,
        valid_from=source.valid_from,
        valid_until=source.valid_until,
        account_id=source.account_id,
        line_id=source.line_id,
        source_id=source.id,
    )


def _own_key(enterprise_id: int, key: str | None) -> str | None:
    if not key:
        return None
    if len(key) > ledger.KEY_LENGTH:
        raise Refused(f"An idempotency key has at most {ledger.KEY_LENGTH} characters.", field="key")
    return f"exchange:{enterprise_id}:{key}"
