"""What an offer and a trade do to buckets: escrow, its return, and both sides of a settled trade.

Owns: the entries; each function works under the enterprise's lock and posts once, with one charge sequence. Never
decides whether an offer may be made or taken; that is `balances.trading`.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db.models import Sum

from balances import ledger
from balances.errors import Refused
from balances.ledger import Change, NotEnough
from balances.models import Account, Bucket, Offer, Trade
from balances.models.buckets import BucketKind
from balances.models.ledger import EntryKind

#: What an account holds and cannot give: what it set aside, and what it has borrowed.
NOT_TO_GIVE = (BucketKind.CONTINGENCY, BucketKind.LOAN)


class WentBefore(Refused):
    """Units would go back to an account that they came from, or have been traded before where that is forbidden."""


def own_buckets(account_id: int, service: int, at: datetime):
    """What an account holds itself of a service and may give, open at an instant; most free units first."""
    held = Bucket.objects.filter(
        account_id=account_id, service=service, closed_at__isnull=True, valid_from__lte=at, valid_until__gt=at
    )
    return held.exclude(kind__in=NOT_TO_GIVE).order_by("-remaining_units", "id")


def free_units(account_id: int, service: int, at: datetime) -> int:
    """What an account has free of a service, in all buckets of its own."""
    return own_buckets(account_id, service, at).aggregate(units=Sum("remaining_units"))["units"] or 0


def refuse_unless_giveable(bucket: Bucket, units: int, *, keep_units: int, may_regift: bool, at: datetime) -> None:
    """Refuses units that the bucket does not have free, that the owner must keep, or that may not be passed on."""
    if bucket.closed_at is not None or not bucket.valid_from <= at < bucket.valid_until:
        raise Refused(f"“{bucket.name}” is not in its cycle at this time.", field="bucket")
    if bucket.kind == BucketKind.CONTINGENCY:
        raise Refused(f"“{bucket.name}” is set aside: release it before it is traded.", field="bucket")
    if bucket.kind == BucketKind.LOAN:
        raise Refused(f"“{bucket.name}” is borrowed: it is used, or goes back.", field="bucket")
    if bucket.remaining_units < units:
        raise NotEnough(f"“{bucket.name}” has {bucket.remaining_units} free units, not {units}.", field="units")
    free = free_units(bucket.account_id, bucket.service, at)  # type: ignore[arg-type]  # accounts only trade
    if free - units < keep_units:
        raise NotEnough(
            f"The floor is {keep_units} units: of {free} free ones at most {max(free - keep_units, 0)} can be given.",
            field="units",
        )
    if not may_regift and any(source.kind == BucketKind.TRADE for source in _line_of(bucket)):
        raise WentBefore("These units came by a trade, and the terms forbid to trade them on.", field="bucket")


def refuse_circle(bucket: Bucket | None, receiver: Account) -> None:
    """Units never go to an account that they came from: what was allocated is taken back instead."""
    if bucket is not None and any(source.account_id == receiver.id for source in _line_of(bucket)):
        raise WentBefore(
            f"These units came from “{receiver.name}”: they can be taken back, but not be traded in a circle.",
            field="account",
        )


def may_go(bucket: Bucket, receiver: Account, *, may_regift: bool) -> bool:
    """Whether units of a bucket may go to an account: not back, nor on where that is forbidden."""
    line = _line_of(bucket)
    is_traded = any(source.kind == BucketKind.TRADE for source in line)
    return (may_regift or not is_traded) and all(source.account_id != receiver.id for source in line)


def _line_of(bucket: Bucket) -> list[Bucket]:
    """The bucket and all that its units came from, nearest first."""
    line = [bucket]
    while line[-1].source_id is not None:
        line.append(Bucket.objects.get(id=line[-1].source_id))
    return line


def hold(cursor, bucket: Bucket, units: int, actor: str, at: datetime) -> None:
    """Put units into escrow."""
    post(cursor, bucket.enterprise_id, [Change(bucket.id, EntryKind.ESCROW, units, at)], actor, at)


def back(bucket_id: int | None, units: int, at: datetime) -> list[Change]:
    """Units out of escrow again; to a bucket that has closed meanwhile they come to expire at once."""
    if not units or bucket_id is None:
        return []
    changes = [Change(bucket_id, EntryKind.ESCROW_BACK, units, at)]
    if Bucket.objects.filter(id=bucket_id, closed_at__isnull=False).exists():
        changes.append(Change(bucket_id, EntryKind.EXPIRE, units, at))
    return changes


def post(cursor, enterprise_id: int, changes: list[Change], actor: str, recorded_at: datetime) -> None:
    """Post under the lock; nothing where nothing moves."""
    if changes:
        ledger.post(
            cursor,
            enterprise_id=enterprise_id,
            charge_sequence=ledger.advance(cursor, enterprise_id),
            changes=changes,
            actor=actor,
            recorded_at=recorded_at,
        )


def settle(cursor, offer: Offer, trade: Trade, *, was_waiting: bool, actor: str, at: datetime) -> None:
    """Move both sides of a trade: out of escrow, or of a bucket that had not waited, into buckets of the receivers."""
    changes: list[Change] = []
    is_loan = offer.returns_at is not None
    if trade.gave_units:
        source = _known(offer.bucket_id)
        trade.gave_transfer = uuid.uuid4()
        changes += across(cursor, source, trade.account_id, trade.gave_units, trade.gave_transfer, True, is_loan, at)
        offer.held_units -= trade.gave_units
    if trade.got_units:
        source = _known(trade.bucket_id)
        trade.got_transfer = uuid.uuid4()
        taker, transfer = offer.from_account_id, trade.got_transfer
        changes += across(cursor, source, taker, trade.got_units, transfer, was_waiting, is_loan, at)
    post(cursor, offer.enterprise_id, changes, actor, at)


def _known(bucket_id: int | None) -> Bucket:
    """The bucket of a side that gives; it always has one."""
    assert bucket_id is not None
    return Bucket.objects.get(id=bucket_id)


def across(
    cursor,
    source: Bucket,
    receiver_id: int,
    units: int,
    transfer: uuid.UUID,
    from_escrow: bool,
    is_loan: bool,
    at: datetime,
) -> list[Change]:
    """Both sides of units that change hands; a loan comes into a bucket of its own."""
    if source.closed_at is not None or source.valid_until <= at:
        raise Refused(f"“{source.name}” ended on {source.valid_until:%Y-%m-%d %H:%M} UTC.", field="bucket")
    if is_loan:
        new = ledger.loan_bucket(source, account_id=receiver_id, transfer=transfer)
    else:
        new = ledger.traded_bucket(source, account_id=receiver_id)
    target_id, _ = ledger.open_bucket(cursor, enterprise_id=source.enterprise_id, new=new)
    out = EntryKind.ESCROW_OUT if from_escrow else EntryKind.TRANSFER_OUT
    return [
        Change(source.id, out, units, at, None, transfer),
        Change(target_id, EntryKind.TRANSFER_IN, units, at, None, transfer),
    ]
