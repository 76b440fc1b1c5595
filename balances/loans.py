"""Loans: units that go back by themselves, as far as they are unused. The only writer of Loan.

A loan begins where a trade of an offer with `returns_at` is settled. Its units lie in a bucket of their own, so that
what is unused of them is that bucket's rest. At `returns_at` the rest goes back to the bucket that it came from; what
was used stays owed, is never taken from the borrower's other units by itself, and outlives the cycle: it is repaid by
hand, or forgiven. What a session under way still holds at the return follows once it is free. See docs/trading.md.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from balances import locks, trading_moves
from balances.errors import Refused
from balances.ledger import Change, KeyConflict, NotEnough
from balances.models import Bucket, Loan, Offer, OfferAct, Trade
from balances.models.ledger import EntryKind
from balances.models.trading import ActKind, LoanState
from balances.trading_acts import note
from balances.trading_terms import terms_of


class LoanEnded(Refused):
    """Nothing of the loan is owed any more."""


def begin_locked(*, offer: Offer, trade: Trade, at: datetime) -> Loan | None:
    """Note the loan that a trade just settled has made; None where its offer was no loan. Needs the lock."""
    if offer.returns_at is None:
        return None
    transfer = trade.gave_transfer or trade.got_transfer
    bucket = Bucket.objects.get(key=f"loan:{transfer}")
    assert bucket.source_id is not None
    assert bucket.account_id is not None
    return Loan.objects.create(
        enterprise_id=trade.enterprise_id, trade=trade, bucket=bucket, from_bucket_id=bucket.source_id,
        lender_id=offer.from_account_id if trade.gave_units else trade.account_id, borrower_id=bucket.account_id,
        service=bucket.service, units=trade.gave_units or trade.got_units, returns_at=offer.returns_at, created_at=at,
    )  # fmt: skip


def repay(
    *,
    loan: Loan,
    units: int | None = None,
    bucket: Bucket | None = None,
    key: str | None = None,
    actor: str,
    at: datetime,
) -> Loan:
    """Bring units of a loan back now: of what is unused of it, or of another bucket of the borrower's.

    `units` None: all that can be, at most what is owed. `key` makes repeating harmless. Units of another bucket arrive
    at the lender as a trade, and keep the borrower's floor. One transaction under the enterprise's lock. Raises
    LoanEnded, NotEnough, WentBefore, Refused, Busy.
    """
    with locks.enterprise(loan.enterprise_id), connection.cursor() as cursor:
        loan = Loan.objects.select_related("bucket", "trade__offer").get(id=loan.id)
        transfer = _transfer_of(loan, key)
        first = OfferAct.objects.filter(trade=loan.trade_id, transfer=transfer).first() if transfer else None
        if first is not None:
            if units not in (None, first.units):
                raise KeyConflict("This idempotency key was used before for something else.", field="key")
            return loan
        if not loan.owed_units:
            raise LoanEnded("Nothing of this loan is owed any more.", field="loan")
        own = bucket is None or bucket.id == loan.bucket_id
        source = loan.bucket if own else _other(loan, bucket, at)
        most = min(loan.owed_units, source.remaining_units)
        wanted = most if units is None else units
        if not 1 <= wanted <= loan.owed_units:
            raise NotEnough(f"Of this loan {loan.owed_units} units are owed.", field="units")
        if wanted > most:
            raise NotEnough(f"“{source.name}” has {source.remaining_units} free units.", field="units")
        if own:
            _bring_back(cursor, loan, wanted, ActKind.RETURNED, transfer, actor, at, at)
        else:
            terms = terms_of(loan.borrower, loan.service)
            trading_moves.refuse_unless_giveable(
                source, wanted, keep_units=terms.floor_units, may_regift=terms.may_regift, at=at
            )
            trading_moves.refuse_circle(source, loan.lender)
            transfer = transfer or uuid.uuid4()
            changes = trading_moves.across(cursor, source, loan.lender_id, wanted, transfer, False, False, at)
            trading_moves.post(cursor, loan.enterprise_id, changes, actor, at)
            _count(loan, wanted, ActKind.REPAID, transfer, actor, at, at)
        return loan


def check_repay(*, at: datetime, **wish: Any) -> Loan:
    """The loan as `repay` would leave it; changes nothing. Takes the lock for a moment, refuses what it would."""
    with transaction.atomic():
        after = repay(**wish, actor="nobody", at=at)
        transaction.set_rollback(True)
        return after


def forgive(*, loan: Loan, actor: str, at: datetime) -> Loan:
    """Ask for nothing more of a loan that was due, as its lender: before, its units are the borrower's to use.

    What came free since goes back. Forgiving again gives the first answer. Raises LoanEnded, Refused, Busy.
    """
    with locks.enterprise(loan.enterprise_id), connection.cursor() as cursor:
        loan = Loan.objects.select_related("bucket", "trade__offer").get(id=loan.id)
        if loan.state == LoanState.FORGIVEN:
            return loan
        if not loan.owed_units:
            raise LoanEnded("Nothing of this loan is owed any more.", field="loan")
        if loan.state == LoanState.LENT:
            raise Refused("This loan is not due yet: what it comes to is not known before.", field="loan")
        unused = min(loan.bucket.remaining_units, loan.owed_units)
        if loan.bucket.closed_at is None and unused:
            _bring_back(cursor, loan, unused, ActKind.RETURNED, None, actor, at, at)
        if not loan.owed_units:
            return loan
        forgiven = loan.owed_units
        loan.state, loan.closed_at = LoanState.FORGIVEN, at
        loan.save(update_fields=["state", "closed_at"])
        note(loan.trade.offer, ActKind.FORGIVEN, forgiven, actor, at, loan.trade)
        return loan


# --- by themselves -----------------------------------------------------------------------------------------------


def return_due(*, actor: str, at: datetime) -> int:
    """Return what is due in all enterprises, one transaction each; returns how many loans. Repeating does nothing."""
    returned = 0
    for enterprise_id in sorted(set(_due(at).values_list("enterprise_id", flat=True))):
        try:
            with locks.enterprise(enterprise_id), connection.cursor() as cursor:
                returned += return_due_locked(cursor, enterprise_id=enterprise_id, actor=actor, at=at)
        except locks.Busy:  # its units stay where they are until the next turn; the others' go back now
            continue
    return returned


def return_due_locked(cursor, *, enterprise_id: int, actor: str, at: datetime) -> int:
    """The same for one enterprise whose lock is held; dated when each was due, so before its cycle closes."""
    due = list(_due(at).filter(enterprise_id=enterprise_id).select_related("bucket", "trade__offer").order_by("id"))
    for loan in due:
        unused = min(loan.bucket.remaining_units, loan.owed_units)
        first = loan.state == LoanState.LENT
        counts_at = loan.returns_at if first else min(at, loan.bucket.valid_until)
        _bring_back(cursor, loan, unused, ActKind.RETURNED, None, actor, counts_at, at)
        if loan.owed_units and first:
            loan.state = LoanState.OWED
            loan.save(update_fields=["state"])
    return len(due)


def _due(at: datetime):
    """Loans whose time has come, and those of which something came free after it."""
    late = Q(state=LoanState.OWED, bucket__closed_at=None, bucket__remaining_units__gt=0)
    return Loan.objects.filter(Q(state=LoanState.LENT, returns_at__lte=at) | late)


def _other(loan: Loan, bucket: Bucket | None, at: datetime) -> Bucket:
    """Another bucket of the borrower's, of the same service."""
    assert bucket is not None
    found = trading_moves.own_buckets(loan.borrower_id, loan.service, at).filter(id=bucket.id).first()
    if found is None:
        raise Refused("Repay from a bucket of the borrower's own, of the same service.", field="bucket")
    return found


def _bring_back(
    cursor,
    loan: Loan,
    units: int,
    kind: str,
    transfer: uuid.UUID | None,
    actor: str,
    at: datetime,
    recorded_at: datetime,
) -> None:
    """Unused units back to the bucket that lent them: the entries correct the lending, with the opposite sign."""
    transfer = transfer or uuid.uuid4()
    if units:
        changes = [
            Change(loan.bucket_id, EntryKind.TRANSFER_IN, -units, at, None, transfer),
            Change(loan.from_bucket_id, EntryKind.TRANSFER_OUT, -units, at, None, transfer),
        ]
        trading_moves.post(cursor, loan.enterprise_id, changes, actor, recorded_at)
    _count(loan, units, kind, transfer if units else None, actor, at, recorded_at)


def _count(
    loan: Loan, units: int, kind: str, transfer: uuid.UUID | None, actor: str, at: datetime, recorded_at: datetime
) -> None:
    loan.returned_units += units
    if not loan.owed_units:
        loan.state, loan.closed_at = LoanState.RETURNED, at
    loan.save(update_fields=["returned_units", "state", "closed_at"])
    note(loan.trade.offer, kind, units, actor, at, loan.trade, transfer, recorded_at=recorded_at)


def _transfer_of(loan: Loan, key: str | None) -> uuid.UUID | None:
    """The transfer that a caller's key names: the same key is the same transfer."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"loan:{loan.id}:{key}") if key else None
