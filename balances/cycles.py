"""Billing cycles as they begin and end: grants, carrying over, expiry. All units move through the ledger.

Owns: which cycles a contract has, which bucket each allowance grants in each, and what becomes of the rest.
Repeating any of it does nothing: buckets are keyed by allowance and cycle, closing by the bucket itself.

A cycle is granted by the version in force when it begins (the first one: when the contract begins). A version that
takes effect later in the cycle changes rates at once and allowances from the next cycle on.

At the end, what is left of an allowance over all its buckets (the granted one and those allocated from it) is carried
over up to the allowance's cap, shared in proportion to what each owner saved; the rest expires. Carried-over units
are drawn first in the next cycle and are not carried again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import connection

from balances import ledger, loans, locks, trading
from balances.ledger import Change, NewBucket
from balances.models import Account, Allowance, Bucket, Contract, ContractVersion
from balances.models.buckets import BucketKind
from balances.models.contracts import VersionState
from balances.models.ledger import EntryKind
from balances.periods import Period, cycle_of, next_cycle
from balances.units import split_in_proportion

#: Carried-over units stand this much before the allowance's own in drawing order.
ROLLOVER_AHEAD = 10


def cycles_of(contract: Contract, until: datetime) -> Iterator[Period]:
    """The contract's cycles from its start up to and including the one that holds `until`; the first may be short."""
    zone = ZoneInfo(contract.time_zone)
    cycle = cycle_of(contract.starts_at, zone, contract.cycle_anchor_day)
    while cycle.starts_at <= until and (contract.ends_at is None or cycle.starts_at < contract.ends_at):
        yield cycle
        cycle = next_cycle(cycle, zone, contract.cycle_anchor_day)


def version_at(versions: list[ContractVersion], instant: datetime) -> ContractVersion | None:
    """The version in force at an instant; `versions` are published ones in order of effect."""
    in_force = None
    for version in versions:
        if version.effective_at > instant:
            break
        in_force = version
    return in_force


def open_cycles(*, enterprise_id: int, until: datetime, actor: str) -> int:
    """Grant what each cycle up to `until` is due and has not got yet; returns how many buckets were granted."""
    with locks.enterprise(enterprise_id), connection.cursor() as cursor:
        return open_cycles_locked(cursor, enterprise_id=enterprise_id, until=until, actor=actor)


def open_cycles_locked(cursor, *, enterprise_id: int, until: datetime, actor: str) -> int:
    """The same inside a transaction that holds the charging lock."""
    missing = _missing_grants(enterprise_id, until)
    if not missing:
        return 0
    changes = []
    for new, units in missing:
        bucket_id, is_new = ledger.open_bucket(cursor, enterprise_id=enterprise_id, new=new)
        if is_new and units:
            changes.append(Change(bucket_id, EntryKind.GRANT, units, new.valid_from, key=new.key))
    ledger.post(
        cursor,
        enterprise_id=enterprise_id,
        charge_sequence=ledger.advance(cursor, enterprise_id),
        changes=changes,
        actor=actor,
        recorded_at=until,
    )
    return len(missing)


def _missing_grants(enterprise_id: int, until: datetime) -> list[tuple[NewBucket, int]]:
    """Grants that are due and not there. A cycle that has any grant of its contract is complete: what a cycle was
    opened with stays, whatever is published later."""
    contracts = list(Contract.objects.filter(enterprise_id=enterprise_id, starts_at__lte=until).order_by("starts_at"))
    if not contracts:
        return []
    root_id = (
        Account.objects.filter(enterprise_id=enterprise_id, parent__isnull=True).values_list("id", flat=True).get()
    )
    published = ContractVersion.objects.filter(enterprise_id=enterprise_id, state=VersionState.PUBLISHED)
    versions: dict[int, list[ContractVersion]] = defaultdict(list)
    for version in published.order_by("effective_at"):
        versions[version.contract_id].append(version)
    allowances: dict[int, list[Allowance]] = defaultdict(list)
    for allowance in Allowance.objects.filter(enterprise_id=enterprise_id).prefetch_related("zones").order_by("id"):
        allowances[allowance.version_id].append(allowance)
    opened = set(
        Bucket.objects.filter(enterprise_id=enterprise_id, kind=BucketKind.GRANT).values_list(
            "allowance__version__contract_id", "cycle_start"
        )
    )
    missing = []
    for contract in contracts:
        for cycle in cycles_of(contract, until):
            if (contract.id, cycle.starts_at) in opened:
                continue
            starts_at = max(cycle.starts_at, contract.starts_at)
            in_force = version_at(versions[contract.id], starts_at)
            if in_force is None:
                continue
            ends_at = min(cycle.ends_at, contract.ends_at) if contract.ends_at else cycle.ends_at
            for allowance in allowances[in_force.id]:
                new = NewBucket(
                    key=f"grant:{allowance.id}:{cycle.starts_at:%Y-%m-%dT%H:%MZ}",
                    kind=BucketKind.GRANT,
                    name=allowance.name,
                    service=allowance.service,
                    zone_ids=tuple(sorted(zone.id for zone in allowance.zones.all())),
                    priority=allowance.priority,
                    cycle_start=cycle.starts_at,
                    valid_from=starts_at,
                    valid_until=ends_at,
                    account_id=root_id,
                    allowance_id=allowance.id,
                )
                missing.append((new, allowance.granted_units))
    return missing


def close_cycles(*, enterprise_id: int, at: datetime, actor: str) -> int:
    """Close the buckets whose cycle has ended by `at`, oldest cycle first; returns how many.

    One transaction a cycle: a killed close resumes where it stopped. Offers that end with the cycle expire before,
    and loans return.
    """
    closed = 0
    while True:
        with locks.enterprise(enterprise_id), connection.cursor() as cursor:
            open_cycles_locked(cursor, enterprise_id=enterprise_id, until=at, actor=actor)
            ended = Bucket.objects.filter(enterprise_id=enterprise_id, closed_at__isnull=True, valid_until__lte=at)
            first = ended.order_by("valid_until").values_list("valid_until", flat=True).first()
            if first is None:
                return closed
            buckets = list(
                ended.filter(valid_until=first).select_related("allowance__version__contract").order_by("id")
            )
            ended_offers = trading.expire_due_locked(cursor, enterprise_id=enterprise_id, actor=actor, at=at)
            if loans.return_due_locked(cursor, enterprise_id=enterprise_id, actor=actor, at=at) + ended_offers:
                for bucket in buckets:
                    bucket.refresh_from_db(fields=["remaining_units", "reserved_units"])
            _close(cursor, enterprise_id, buckets, actor, at)
            closed += len(buckets)


def _close(cursor, enterprise_id: int, buckets: list[Bucket], actor: str, at: datetime) -> None:
    """Carry over and expire what is left in buckets that end at the same instant."""
    by_allowance: dict[int | None, list[Bucket]] = defaultdict(list)
    by_id = {bucket.id: bucket for bucket in buckets}
    for bucket in buckets:
        carries = bucket.allowance_id is not None and not _is_carried_over(bucket, by_id)
        by_allowance[bucket.allowance_id if carries else None].append(bucket)
    changes: list[Change] = []
    for allowance_id, group in by_allowance.items():
        left = [bucket.remaining_units for bucket in group]
        carried = [0] * len(group)
        allowance = group[0].allowance if allowance_id is not None else None
        if allowance is not None and _continues(allowance, group[0]):
            carried = split_in_proportion(min(sum(left), allowance.rollover_cap_units), left)
        for bucket, rest, carry in zip(group, left, carried, strict=True):
            if carry and allowance is not None:
                changes += _carry_over(cursor, enterprise_id, allowance, bucket, carry)
            if rest > carry:
                expiry = Change(
                    bucket.id, EntryKind.EXPIRE, rest - carry, bucket.valid_until, key=f"expire:{bucket.id}"
                )
                changes.append(expiry)
    ledger.post(
        cursor,
        enterprise_id=enterprise_id,
        charge_sequence=ledger.advance(cursor, enterprise_id),
        changes=changes,
        actor=actor,
        recorded_at=at,
    )
    ledger.mark_closed(cursor, bucket_ids=[bucket.id for bucket in buckets], at=at)


def _is_carried_over(bucket: Bucket, by_id: dict[int, Bucket]) -> bool:
    """Whether units were carried over once already, here or before they were allocated; `by_id`: all that end with the
    bucket, and so whatever it was allocated from."""
    moved = (BucketKind.ALLOCATION, BucketKind.CONTINGENCY, BucketKind.TRADE, BucketKind.LOAN)
    while bucket.kind in moved and bucket.source_id is not None:
        bucket = by_id[bucket.source_id]
    return bucket.kind == BucketKind.ROLLOVER


def _continues(allowance: Allowance, bucket: Bucket) -> bool:
    """Whether the contract goes on after the bucket's end: otherwise there is no next cycle to carry into."""
    contract = allowance.version.contract
    return contract.ends_at is None or contract.ends_at > bucket.valid_until


def _carry_over(cursor, enterprise_id: int, allowance: Allowance, bucket: Bucket, units: int) -> list[Change]:
    """The bucket of the next cycle that takes what is carried, and both sides of the move, dated at the boundary."""
    contract = allowance.version.contract
    following = cycle_of(bucket.valid_until, ZoneInfo(contract.time_zone), contract.cycle_anchor_day)
    new = NewBucket(
        key=f"rollover:{bucket.id}",
        kind=BucketKind.ROLLOVER,
        name=f"{bucket.name}, carried over",
        service=bucket.service,
        zone_ids=tuple(bucket.zone_ids),
        priority=bucket.priority - ROLLOVER_AHEAD,
        cycle_start=following.starts_at,
        valid_from=bucket.valid_until,
        valid_until=min(following.ends_at, contract.ends_at) if contract.ends_at else following.ends_at,
        account_id=bucket.account_id,
        line_id=bucket.line_id,
        allowance_id=bucket.allowance_id,
        source_id=bucket.id,
    )
    target_id, _ = ledger.open_bucket(cursor, enterprise_id=enterprise_id, new=new)
    return [
        Change(bucket.id, EntryKind.ROLLOVER_OUT, units, bucket.valid_until, key=f"carry:{bucket.id}"),
        Change(target_id, EntryKind.ROLLOVER_IN, units, bucket.valid_until),
    ]
