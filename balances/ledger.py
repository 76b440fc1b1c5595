"""The ledger: the only writer of Bucket and Entry; `reservations.py` sets units aside through it.

Owns: how a bucket's quantities move, in whole units, each move an immutable entry; the enterprise's charging lock.
Never decides who pays or what is allowed; never counts usage.

Every function that changes a balance holds the enterprise's `ChargingState` row, FOR UPDATE, until its transaction
ends, and raises the charge sequence: a worker that remembers other numbers reloads. The functions of the first part
work on a cursor inside the caller's transaction; the verbs of the second part open their own.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection

from balances import audit, locks
from balances.errors import Refused
from balances.models import Account, Bucket, Entry, Line
from balances.models.buckets import BucketKind
from balances.models.ledger import EntryKind


class NotEnough(Refused):
    """A bucket holds fewer free units than asked for."""


class KeyConflict(Refused):
    """An idempotency key was used before for something else."""


class NotBelow(Refused):
    """The receiver of an allocation is not below the bucket's owner."""


@dataclass(slots=True)
class Change:
    """One entry to be posted. `units` is signed: a correction of a kind carries the opposite sign."""

    bucket_id: int
    kind: int
    units: int
    at: datetime
    key: str | None = None
    transfer: uuid.UUID | None = None


#: What one unit of an entry's kind does to (granted, received, remaining, reserved, used, given, expired).
EFFECTS: dict[int, tuple[int, int, int, int, int, int, int]] = {
    EntryKind.GRANT: (1, 0, 1, 0, 0, 0, 0),
    EntryKind.CONSUME: (0, 0, -1, 0, 1, 0, 0),
    EntryKind.TRANSFER_IN: (0, 1, 1, 0, 0, 0, 0),
    EntryKind.TRANSFER_OUT: (0, 0, -1, 0, 0, 1, 0),
    EntryKind.RESERVE: (0, 0, -1, 1, 0, 0, 0),
    EntryKind.RELEASE: (0, 0, 1, -1, 0, 0, 0),
    EntryKind.CONSUME_RESERVED: (0, 0, 0, -1, 1, 0, 0),
    EntryKind.EXPIRE: (0, 0, -1, 0, 0, 0, 1),
    EntryKind.ROLLOVER_OUT: (0, 0, -1, 0, 0, 1, 0),
    EntryKind.ROLLOVER_IN: (0, 1, 1, 0, 0, 0, 0),
    EntryKind.EXCHANGE_OUT: (0, 0, -1, 0, 0, 1, 0),
    EntryKind.EXCHANGE_IN: (0, 1, 1, 0, 0, 0, 0),
    EntryKind.ESCROW: (0, 0, -1, 1, 0, 0, 0),
    EntryKind.ESCROW_BACK: (0, 0, 1, -1, 0, 0, 0),
    EntryKind.ESCROW_OUT: (0, 0, 0, -1, 0, 1, 0),
}

# --- inside the caller's transaction -----------------------------------------------------------------------------


def lock(cursor, enterprise_id: int) -> tuple[int, int]:
    """Take the enterprise's charging lock; returns (configuration version, charge sequence)."""
    cursor.execute(
        "SELECT configuration_version, charge_sequence FROM balances_chargingstate WHERE enterprise_id = %s FOR UPDATE",
        [enterprise_id],
    )
    row = cursor.fetchone()
    if row is None:
        raise Refused(f"Enterprise {enterprise_id} has no charging state: it was not made through hierarchy.")
    return row


def advance(cursor, enterprise_id: int, *, charged_at: datetime | None = None) -> int:
    """Raise the charge sequence under the lock; returns the new one. `charged_at`: when usage was charged with it."""
    cursor.execute(
        "UPDATE balances_chargingstate SET charge_sequence = charge_sequence + 1, "
        "charged_at = COALESCE(%s, charged_at) WHERE enterprise_id = %s RETURNING charge_sequence",
        [charged_at, enterprise_id],
    )
    return cursor.fetchone()[0]


def _array(values: Iterable) -> str:
    """A PostgreSQL array literal of integers: cheaper to pass than a list."""
    return "{" + ",".join(map(str, values)) + "}"


def post(
    cursor,
    *,
    enterprise_id: int,
    charge_sequence: int,
    changes: list[Change],
    actor: str,
    recorded_at: datetime,
) -> None:
    """Post changes: one UPDATE for all touched buckets, one INSERT for all entries. Needs the charging lock.

    The CHECK constraints of Bucket refuse what would make a balance negative; then nothing of the transaction stands.
    """
    if not changes:
        return
    totals: dict[int, list[int]] = defaultdict(lambda: [0] * 7)
    for change in changes:
        total, units = totals[change.bucket_id], change.units
        for place, effect in enumerate(EFFECTS[change.kind]):
            if effect:
                total[place] += effect * units
    ids = sorted(totals)
    columns = [_array(totals[bucket_id][place] for bucket_id in ids) for place in range(7)]
    cursor.execute(
        """
        UPDATE balances_bucket AS b SET
            granted_units = b.granted_units + d.granted, received_units = b.received_units + d.received,
            remaining_units = b.remaining_units + d.remaining, reserved_units = b.reserved_units + d.reserved,
            used_units = b.used_units + d.used, given_units = b.given_units + d.given,
            expired_units = b.expired_units + d.expired
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
                    %s::bigint[]) AS d (id, granted, received, remaining, reserved, used, given, expired)
        WHERE b.id = d.id AND b.enterprise_id = %s RETURNING b.id, b.remaining_units
        """,
        [_array(ids), *columns, enterprise_id],
    )
    remaining = dict(cursor.fetchall())
    if len(remaining) != len(ids):
        raise Refused("A bucket to be changed does not belong to this enterprise.")
    # Entries carry the balance after each: count back from the final one.
    for bucket_id in ids:
        remaining[bucket_id] -= totals[bucket_id][2]
    rows: list[tuple] = []
    for change in changes:
        remaining[change.bucket_id] += EFFECTS[change.kind][2] * change.units
        rows.append(
            (
                enterprise_id, change.bucket_id, int(change.kind), change.units, remaining[change.bucket_id],
                charge_sequence, change.at, recorded_at, actor, change.key, change.transfer,
            )
        )  # fmt: skip
    statement = "COPY balances_entry (enterprise_id, bucket_id, kind, units, remaining_after, charge_sequence, at, "
    with cursor.copy(statement + "recorded_at, actor, key, transfer) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


@dataclass(frozen=True, slots=True)
class NewBucket:
    """What a bucket to be opened is like; `key` names the act that makes it, so that it is made once."""

    key: str
    kind: str
    name: str
    service: int
    zone_ids: tuple[int, ...]
    priority: int
    cycle_start: datetime
    valid_from: datetime
    valid_until: datetime
    account_id: int | None = None
    line_id: int | None = None
    allowance_id: int | None = None
    source_id: int | None = None


def open_bucket(cursor, *, enterprise_id: int, new: NewBucket) -> tuple[int, bool]:
    """Open a bucket, empty; returns (its id, whether it is new). Needs the charging lock."""
    cursor.execute("SELECT id FROM balances_bucket WHERE key = %s", [new.key])
    if row := cursor.fetchone():
        return row[0], False
    cursor.execute(
        """
        INSERT INTO balances_bucket (enterprise_id, account_id, line_id, allowance_id, source_id, kind, name, service,
            zone_ids, priority, cycle_start, valid_from, valid_until, granted_units, received_units, remaining_units,
            reserved_units, used_units, given_units, expired_units, release, key, created_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0, 0, 0, 0, 0, 0, 0, '', %s, now()) RETURNING id
        """,
        [
            enterprise_id, new.account_id, new.line_id, new.allowance_id, new.source_id, new.kind, new.name,
            new.service, list(new.zone_ids), new.priority, new.cycle_start, new.valid_from, new.valid_until, new.key,
        ],
    )  # fmt: skip
    return cursor.fetchone()[0], True


def allocated_bucket(source: Bucket, *, account_id: int | None = None, line_id: int | None = None) -> NewBucket:
    """The one bucket in which an account or a line holds what it is allocated of `source`; as long valid as that."""
    owner = f"line:{line_id}" if account_id is None else f"account:{account_id}"
    return NewBucket(
        key=f"allocation:{source.id}:{owner}",
        kind=BucketKind.ALLOCATION,
        name=source.name,
        service=source.service,
        zone_ids=tuple(source.zone_ids),
        priority=source.priority,
        cycle_start=source.cycle_start,
        valid_from=source.valid_from,
        valid_until=source.valid_until,
        account_id=account_id,
        line_id=line_id,
        allowance_id=source.allowance_id,
        source_id=source.id,
    )


def open_slice(cursor, *, source: Bucket, rule: str, release_at: datetime | None) -> int:
    """Open the bucket for what the owner of `source` sets aside of it by a rule. Needs the charging lock."""
    until = f":{release_at.isoformat()}" if release_at else ""
    new = NewBucket(
        key=f"contingency:{source.id}:{rule}{until}",
        kind=BucketKind.CONTINGENCY,
        name=f"{source.name}, set aside"[:80],
        service=source.service,
        zone_ids=tuple(source.zone_ids),
        priority=source.priority,
        cycle_start=source.cycle_start,
        valid_from=source.valid_from,
        valid_until=source.valid_until,
        account_id=source.account_id,
        line_id=source.line_id,
        allowance_id=source.allowance_id,
        source_id=source.id,
    )
    slice_id, is_new = open_bucket(cursor, enterprise_id=source.enterprise_id, new=new)
    if is_new:
        cursor.execute(
            "UPDATE balances_bucket SET release = %s, release_at = %s WHERE id = %s", [rule, release_at, slice_id]
        )
    return slice_id


def traded_bucket(source: Bucket, *, account_id: int) -> NewBucket:
    """The one bucket in which an account holds what it got of `source` by trading: usable where and as long as that."""
    new = allocated_bucket(source, account_id=account_id)
    return replace(new, key=f"trade:{source.id}:account:{account_id}", kind=BucketKind.TRADE)


#: Borrowed units are drawn this much behind the own ones: what was not needed goes back.
LOAN_BEHIND = 10


def loan_bucket(source: Bucket, *, account_id: int, transfer: uuid.UUID) -> NewBucket:
    """A bucket of its own for each loan, so that it is known what of it is unused."""
    new = allocated_bucket(source, account_id=account_id)
    behind = min(source.priority + LOAN_BEHIND, 32_767)
    return replace(new, key=f"loan:{transfer}", kind=BucketKind.LOAN, priority=behind)


def mark_closed(cursor, *, bucket_ids: list[int], at: datetime) -> None:
    """Say that buckets have been closed: their rest is gone or carried over. Needs the charging lock."""
    cursor.execute("UPDATE balances_bucket SET closed_at = %s WHERE id = ANY(%s)", [at, bucket_ids])


# --- verbs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transfer:
    """Units that moved from one bucket to another; both entries carry `id`."""

    id: uuid.UUID
    from_bucket_id: int
    to_bucket_id: int
    units: int


def allocate(
    *,
    bucket_id: int,
    account_id: int | None = None,
    line_id: int | None = None,
    units: int,
    key: str | None = None,
    actor: str,
    at: datetime,
) -> Transfer:
    """Give units of a bucket to an account or line below its owner, as a dedicated bucket of the same validity.

    Allocating again adds to the same bucket. `key` makes repeating harmless. One transaction under the charging lock.
    Raises NotEnough, NotBelow, KeyConflict, Busy.
    """
    if units <= 0:
        raise Refused("Allocate at least one unit; to take back, use take_back.", field="units")
    if (account_id is None) == (line_id is None):
        raise Refused("Name either an account or a line to allocate to.", field="account")
    source = Bucket.objects.filter(id=bucket_id).first()
    if source is None:
        raise Refused("There is no such bucket.", field="bucket")
    target_key = allocated_bucket(source, account_id=account_id, line_id=line_id).key
    with locks.enterprise(source.enterprise_id), connection.cursor() as cursor:
        source.refresh_from_db()
        key = _own_key(source.enterprise_id, key)
        if first := _first_answer(key, source.id, _bucket_of(target_key), units):
            return first
        _refuse_unless_below(source, account_id, line_id)
        refuse_unless_movable(source, at)
        if source.remaining_units < units:
            raise NotEnough(
                f"“{source.name}” has {source.remaining_units} free units; {units} were asked for.",
                field="units",
            )
        new = allocated_bucket(source, account_id=account_id, line_id=line_id)
        target_id, _ = open_bucket(cursor, enterprise_id=source.enterprise_id, new=new)
        moved = Transfer(uuid.uuid4(), source.id, target_id, units)
        post_now(
            cursor,
            source,
            [
                Change(source.id, EntryKind.TRANSFER_OUT, units, at, key, moved.id),
                Change(target_id, EntryKind.TRANSFER_IN, units, at, None, moved.id),
            ],
            actor,
            at,
        )
        audit.record(
            enterprise_id=source.enterprise_id,
            account_id=account_id,
            actor=actor,
            action="bucket.allocated",
            subject=source.name,
            detail={"from_bucket": source.id, "to_bucket": target_id, "units": units},
            at=at,
        )
        return moved


def take_back(*, bucket_id: int, units: int, key: str | None = None, actor: str, at: datetime) -> Transfer:
    """Return unused units of an allocated bucket to the bucket they came from.

    Its entries correct the allocation (they carry the opposite sign), so that what an owner has received stays what it
    has been given in the end: percentages of allowances are taken of that. Raises NotEnough, KeyConflict, Busy.
    """
    if units <= 0:
        raise Refused("Take back at least one unit.", field="units")
    bucket = Bucket.objects.filter(id=bucket_id, kind=BucketKind.ALLOCATION).first()
    if bucket is None or bucket.source_id is None:
        raise Refused("Only an allocated bucket can be taken back from.", field="bucket")
    with locks.enterprise(bucket.enterprise_id), connection.cursor() as cursor:
        bucket.refresh_from_db()
        key = _own_key(bucket.enterprise_id, key)
        if first := _first_answer(key, bucket.id, bucket.source_id, units):
            return first
        _refuse_unless_open(bucket, at)
        if bucket.remaining_units < units:
            raise NotEnough(
                f"“{bucket.name}” has {bucket.remaining_units} unused units; {units} were asked for.",
                field="units",
            )
        moved = Transfer(uuid.uuid4(), bucket.id, bucket.source_id, units)
        post_now(
            cursor,
            bucket,
            [
                Change(bucket.id, EntryKind.TRANSFER_IN, -units, at, key, moved.id),
                Change(bucket.source_id, EntryKind.TRANSFER_OUT, -units, at, None, moved.id),
            ],
            actor,
            at,
        )
        audit.record(
            enterprise_id=bucket.enterprise_id,
            account_id=bucket.account_id,
            actor=actor,
            action="bucket.taken_back",
            subject=bucket.name,
            detail={"from_bucket": bucket.id, "to_bucket": bucket.source_id, "units": units},
            at=at,
        )
        return moved


#: The longest idempotency key that callers may choose.
KEY_LENGTH = 100


def _own_key(enterprise_id: int, key: str | None) -> str | None:
    """A caller's idempotency key in a space of its own: it can meet neither another enterprise's nor the ledger's."""
    if not key:
        return None
    if len(key) > KEY_LENGTH:
        raise Refused(f"An idempotency key has at most {KEY_LENGTH} characters.", field="key")
    return f"transfer:{enterprise_id}:{key}"


def _bucket_of(key: str) -> int | None:
    return Bucket.objects.filter(key=key).values_list("id", flat=True).first()


def _first_answer(key: str | None, from_bucket_id: int, to_bucket_id: int | None, units: int) -> Transfer | None:
    """What an idempotency key led to before; the same key for something else is a conflict."""
    entry = Entry.objects.filter(key=key).first() if key else None
    if entry is None:
        return None
    if entry.transfer is None or to_bucket_id is None:
        raise KeyConflict("This idempotency key was used before for something else.", field="key")
    sides = {side.kind: side for side in Entry.objects.filter(transfer=entry.transfer)}
    giver, receiver = sides[EntryKind.TRANSFER_OUT], sides[EntryKind.TRANSFER_IN]
    if giver.units < 0:  # taken back
        giver, receiver = receiver, giver
    first = Transfer(entry.transfer, giver.bucket_id, receiver.bucket_id, abs(entry.units))
    if first != Transfer(entry.transfer, from_bucket_id, to_bucket_id, units):
        raise KeyConflict("This idempotency key was used before for something else.", field="key")
    return first


def _refuse_unless_open(bucket: Bucket, at: datetime) -> None:
    if bucket.closed_at is not None or bucket.valid_until <= at:
        raise Refused(f"“{bucket.name}” ended on {bucket.valid_until:%Y-%m-%d %H:%M} UTC.", field="bucket")


def refuse_unless_movable(bucket: Bucket, at: datetime) -> None:
    """Units of a bucket that has ended, that were set aside or are borrowed, are not given."""
    refuse_unless_usable(bucket, at)
    if bucket.kind == BucketKind.LOAN:
        raise Refused(f"“{bucket.name}” is borrowed: it is used, or goes back.", field="bucket")


def refuse_unless_usable(bucket: Bucket, at: datetime) -> None:
    """Units of a bucket that has ended, or that were set aside, are neither given nor reserved."""
    _refuse_unless_open(bucket, at)
    if bucket.kind == BucketKind.CONTINGENCY:
        raise Refused(f"“{bucket.name}”: release it first.", field="bucket")


def _refuse_unless_below(source: Bucket, account_id: int | None, line_id: int | None) -> None:
    """The receiver must be of the same enterprise and hang below the owner, by parent pointers."""
    if line_id is not None:
        current = Line.objects.filter(id=line_id, enterprise_id=source.enterprise_id).values_list("account_id").first()
        current_id = current[0] if current else None
        if source.line_id is not None:
            current_id = None
    else:
        parent = Account.objects.filter(id=account_id, enterprise_id=source.enterprise_id).values_list("parent_id")
        current_id = parent[0][0] if parent else None
    while current_id is not None and current_id != source.account_id:
        current_id = Account.objects.filter(id=current_id).values_list("parent_id", flat=True).get()
    if current_id is None:
        raise NotBelow(
            "Units can only be allocated to an account or a line below the bucket's owner.",
            field="account" if line_id is None else "line",
        )


def post_now(cursor, bucket: Bucket, changes: list[Change], actor: str, at: datetime) -> None:
    """Post changes of a bucket's enterprise, raising its charge sequence; the caller holds the lock."""
    post(
        cursor,
        enterprise_id=bucket.enterprise_id,
        charge_sequence=advance(cursor, bucket.enterprise_id),
        changes=changes,
        actor=actor,
        recorded_at=at,
    )
