"""Contingency: a slice of a bucket that its owner sets aside, and what opens it again.

Owns: setting aside and releasing, through the ledger. A slice is a bucket of the same owner, of kind contingency. Its
rule says when it is drawn: `by_hand` and `on_date` not before it was released, which gives its units back to where they
came from; `on_exhaustion` after everything else of its owner, and so without anybody's doing. Whether a bucket is drawn
is charging's matter; at the end of the cycle a slice is carried over or expires like the rest.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import connection

from balances import audit, fields, ledger, locks
from balances.errors import Refused
from balances.ledger import Change, NotEnough
from balances.models import Bucket
from balances.models.buckets import BucketKind, ReleaseRule
from balances.models.ledger import EntryKind


class NotSetAside(Refused):
    """A slice that cannot be set aside, or is none."""


def set_aside(
    *, bucket_id: int, units: int, rule: str, release_at: datetime | None = None, actor: str, at: datetime
) -> Bucket:
    """Set units of a bucket aside until they are released by hand, on a date, or drawn when all else is used up.

    Setting aside again by the same rule adds to the same slice. One transaction under the charging lock. Raises
    NotSetAside, NotEnough, Unreadable, Refused, Busy.
    """
    rule = fields.choice(rule, ReleaseRule, field="rule", default="")
    fields.whole_number(units, 1, fields.UNITS_MOST, field="units")
    source = Bucket.objects.filter(id=bucket_id).first()
    if source is None:
        raise NotSetAside("There is no such bucket.", field="bucket")
    if (rule == ReleaseRule.ON_DATE) != (release_at is not None):
        raise NotSetAside("A slice that opens on a date needs one, and no other has any.", field="release_at")
    if release_at is not None and not at < release_at < source.valid_until:
        raise NotSetAside("The date must lie between now and the end of the bucket.", field="release_at")
    with locks.enterprise(source.enterprise_id), connection.cursor() as cursor:
        source.refresh_from_db()
        ledger.refuse_unless_movable(source, at)
        if source.remaining_units < units:
            raise NotEnough(
                f"“{source.name}” has {source.remaining_units} free units; {units} were to be set aside.",
                field="units",
            )
        slice_id = ledger.open_slice(cursor, source=source, rule=rule, release_at=release_at)
        _move(cursor, source, slice_id, units, actor, at)
        _record(source, "bucket.set_aside", {"units": units, "rule": rule, "to_bucket": slice_id}, actor, at)
        return Bucket.objects.get(id=slice_id)


def release(*, bucket_id: int, units: int | None = None, actor: str, at: datetime) -> Bucket:
    """Give units of a slice, all by default, back to the bucket that they came from; returns that bucket.

    Raises NotSetAside, NotEnough, Refused, Busy.
    """
    held = Bucket.objects.filter(id=bucket_id, kind=BucketKind.CONTINGENCY).first()
    if held is None or held.source_id is None:
        raise NotSetAside("This is nothing that was set aside.", field="bucket")
    if units is not None:
        fields.whole_number(units, 1, fields.UNITS_MOST, field="units")
    with locks.enterprise(held.enterprise_id), connection.cursor() as cursor:
        held.refresh_from_db()
        if held.closed_at is not None or held.valid_until <= at:
            raise NotSetAside(f"“{held.name}” has ended.", field="bucket")
        freed = held.remaining_units if units is None else units
        if not freed or held.remaining_units < freed:
            raise NotEnough(f"“{held.name}” has {held.remaining_units} units left.", field="units")
        source = Bucket.objects.get(id=held.source_id)
        _move(cursor, source, held.id, -freed, actor, at)
        _record(source, "bucket.released", {"units": freed, "from_bucket": held.id}, actor, at)
        return Bucket.objects.get(id=source.id)


def release_due(*, actor: str, at: datetime) -> int:
    """Release the slices whose date has come; returns how many."""
    due = Bucket.objects.filter(
        kind=BucketKind.CONTINGENCY,
        release=ReleaseRule.ON_DATE,
        release_at__lte=at,
        valid_until__gt=at,
        closed_at__isnull=True,
        remaining_units__gt=0,
    )
    ids = list(due.order_by("release_at").values_list("id", flat=True)[:500])
    for bucket_id in ids:
        release(bucket_id=bucket_id, actor=actor, at=at)
    return len(ids)


def _move(cursor, source: Bucket, slice_id: int, units: int, actor: str, at: datetime) -> None:
    """Move units from a bucket to its slice; below zero: back, as a correction."""
    transfer = uuid.uuid4()
    ledger.post(
        cursor,
        enterprise_id=source.enterprise_id,
        charge_sequence=ledger.advance(cursor, source.enterprise_id),
        changes=[
            Change(source.id, EntryKind.TRANSFER_OUT, units, at, None, transfer),
            Change(slice_id, EntryKind.TRANSFER_IN, units, at, None, transfer),
        ],
        actor=actor,
        recorded_at=at,
    )


def _record(source: Bucket, action: str, detail: dict, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=source.enterprise_id,
        account_id=source.account_id,
        actor=actor,
        action=action,
        subject=source.name,
        detail=detail,
        at=at,
    )
