"""Reservations: the only writer of Reservation. Units set aside for a session until it settles or is forgotten.

Owns: how much is granted, what is consumed at the end, and that nothing stays set aside for ever. Moves units only
through the ledger, under the enterprise's charging lock.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from balances import ledger, locks
from balances.errors import Refused
from balances.models import Bucket, Reservation
from balances.models.buckets import ReservationState
from balances.models.ledger import EntryKind


def reserve(*, bucket_id: int, key: str, units: int, expires_at: datetime, actor: str, at: datetime) -> Reservation:
    """Set units aside for a session; grants what is there if that is less. Repeating the key gives the first answer."""
    if units <= 0:
        raise Refused("Reserve at least one unit.", field="units")
    bucket = Bucket.objects.get(id=bucket_id)
    with locks.enterprise(bucket.enterprise_id), connection.cursor() as cursor:
        if first := Reservation.objects.filter(key=key).first():
            if first.bucket_id != bucket_id or first.requested_units != units:
                raise ledger.KeyConflict("This session key was used before for something else.", field="key")
            return first
        bucket.refresh_from_db()
        ledger.refuse_unless_usable(bucket, at)
        granted = min(units, bucket.remaining_units)
        reservation = Reservation.objects.create(
            enterprise_id=bucket.enterprise_id,
            bucket=bucket,
            key=key,
            requested_units=units,
            granted_units=granted,
            created_at=at,
            expires_at=expires_at,
        )
        if granted:
            ledger.post_now(cursor, bucket, [ledger.Change(bucket.id, EntryKind.RESERVE, granted, at)], actor, at)
        return reservation


def settle(*, key: str, used_units: int, actor: str, at: datetime) -> Reservation:
    """End a reservation: what was used is consumed, the rest released. Repeating it does nothing.

    Units that come back to a bucket that has closed meanwhile expire at once: they never outlive their cycle.
    """
    reservation = Reservation.objects.get(key=key)
    with locks.enterprise(reservation.enterprise_id), connection.cursor() as cursor:
        reservation.refresh_from_db()
        if reservation.state == ReservationState.CLOSED:
            return reservation
        if not 0 <= used_units <= reservation.granted_units:
            raise ledger.NotEnough(
                f"{reservation.granted_units} units are reserved; {used_units} cannot be used of them.",
                field="used_units",
            )
        bucket = Bucket.objects.get(id=reservation.bucket_id)
        freed = reservation.granted_units - used_units
        changes = []
        if used_units:
            changes.append(ledger.Change(bucket.id, EntryKind.CONSUME_RESERVED, used_units, at))
        if freed:
            changes.append(ledger.Change(bucket.id, EntryKind.RELEASE, freed, at))
            if bucket.closed_at is not None:
                changes.append(ledger.Change(bucket.id, EntryKind.EXPIRE, freed, at))
        if changes:
            ledger.post_now(cursor, bucket, changes, actor, at)
        reservation.used_units, reservation.state, reservation.closed_at = (
            used_units,
            ReservationState.CLOSED,
            at,
        )
        reservation.save(update_fields=["used_units", "state", "closed_at"])
        return reservation


def sweep(*, actor: str, at: datetime, most: int = 500) -> int:
    """Release reservations whose session never ended; returns how many."""
    overdue = Reservation.objects.filter(state=ReservationState.OPEN, expires_at__lte=at).order_by("expires_at")
    keys = list(overdue.values_list("key", flat=True)[:most])
    for key in keys:
        settle(key=key, used_units=0, actor=actor, at=at)
    return len(keys)
