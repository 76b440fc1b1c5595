"""Allocating a bucket to many at once: the only writer of Allocation; moves units through the ledger.

Owns: reading the balances that a plan is made on, applying it all or nothing under the enterprise's lock, and undoing
it as far as nothing was used. What wishes come to is `balances.allocation_plan`'s matter. A plan that was shown is not
applied: the wishes are planned again on the balances under the lock, and refused where they no longer fit.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum

from django.db import connection
from django.db.models import Q, Sum

from balances import audit, ledger, locks
from balances.allocation_plan import Act, Holding, Move, Plan, PlanRefused, Receiver, Source, Wish, plan, undoing
from balances.errors import Refused, RowProblem
from balances.ledger import Change, KeyConflict
from balances.models import Account, Allocation, Bucket, Counter, Line
from balances.models.accounts import LineStatus
from balances.models.buckets import BucketKind
from balances.models.counters import Grain, OwnerKind, Payer
from balances.models.ledger import EntryKind

#: Rows of one act.
ROWS_MOST = 5_000
#: Cycles that a share by history looks back at most.
CYCLES_MOST = 12


class NothingToMove(Refused):
    """An act that would leave all as it is."""


class NotUndoable(Refused):
    """An act that was undone, is an undoing itself, or of which everything is in use."""


class ShareBy(StrEnum):
    """By what units are shared."""

    EQUAL = "equal"
    HISTORY = "history"  # usage of the service in the last closed cycles


@dataclass(frozen=True, slots=True)
class Share:
    """Units to be shared by all wishes that have a weight; None: all that is free."""

    units: int | None
    by: ShareBy = ShareBy.EQUAL
    cycles: int = 3


@dataclass(frozen=True, slots=True)
class Situation:
    """A bucket, and what everybody has who holds, or is wished to hold, units of it."""

    bucket: Bucket
    source: Source
    holdings: dict[Receiver, Holding]


def preview(*, bucket_id: int, wishes: Sequence[Wish], share: Share | None = None, at: datetime) -> Plan:
    """What wishes would come to now. Locks and writes nothing. Raises PlanRefused, Refused."""
    bucket = _bucket(bucket_id)
    ledger.refuse_unless_movable(bucket, at)
    return _planned(situation(bucket.id, {wish.receiver for wish in wishes}), wishes, share)


def apply(
    *,
    bucket_id: int,
    wishes: Sequence[Wish],
    share: Share | None = None,
    key: str | None = None,
    actor: str,
    at: datetime,
) -> Allocation:
    """Do what the wishes come to on the balances under the lock, or nothing.

    One transaction and one charge sequence for all moves; an audit event a move. `key` makes repeating harmless.
    Raises PlanRefused, NothingToMove, KeyConflict, Refused, Busy.
    """
    bucket = _bucket(bucket_id)
    asked = _asked(bucket_id, wishes, share)
    with locks.enterprise(bucket.enterprise_id):
        own_key = _own_key(bucket.enterprise_id, key)
        if first := _first_answer(own_key, asked):
            return first
        bucket.refresh_from_db()
        ledger.refuse_unless_movable(bucket, at)
        planned = _planned(situation(bucket.id, {wish.receiver for wish in wishes}), wishes, share)
        if not planned.moves:
            raise NothingToMove("Nothing would change: everybody has what is asked for.", field="rows")
        return _post(bucket, planned.moves, asked=asked, key=own_key, undoes=None, actor=actor, at=at)


def undo(*, allocation_id: int, key: str | None = None, actor: str, at: datetime) -> Allocation:
    """Take back what an act has allocated, as far as it is unused, and give again what it has taken back.

    Raises NotUndoable, KeyConflict, Refused, Busy.
    """
    done = Allocation.objects.filter(id=allocation_id).select_related("bucket").first()
    if done is None:
        raise Refused("There is no such allocation.", field="allocation")
    asked = {"undo": allocation_id}
    with locks.enterprise(done.enterprise_id):
        own_key = _own_key(done.enterprise_id, key)
        if first := _first_answer(own_key, asked):
            return first
        if done.undoes_id is not None:
            raise NotUndoable("This act undid another one: allocate again instead.", field="allocation")
        if Allocation.objects.filter(undoes=done).exists():
            raise NotUndoable("This was undone already.", field="allocation")
        bucket = _bucket(done.bucket_id)
        ledger.refuse_unless_movable(bucket, at)
        moves = [(_receiver(move), move["units"]) for move in done.moves]
        known = situation(bucket.id, {receiver for receiver, _ in moves})
        wishes = undoing(moves, known.source, known.holdings)
        if not wishes:
            raise NotUndoable("Nothing of it can be taken back: all of it is in use.", field="allocation")
        planned = plan(known.source, known.holdings, wishes)
        return _post(bucket, planned.moves, asked=asked, key=own_key, undoes=done, actor=actor, at=at)


# --- reading -----------------------------------------------------------------------------------------------------


def situation(bucket_id: int, receivers: Iterable[Receiver] = ()) -> Situation:
    """A bucket with all that hold units of it, and `receivers` that may; those that may not are missing."""
    both = Bucket.objects.filter(Q(id=bucket_id) | Q(source_id=bucket_id, kind=BucketKind.ALLOCATION))
    rows = {row.id: row for row in both.select_related("account", "line__person")}  # one statement, one moment
    bucket = rows.pop(bucket_id)
    holdings = {holding.receiver: holding for holding in map(holding_of, rows.values())}
    missing = set(receivers) - holdings.keys()
    holdings |= _may_receive(bucket, missing)
    return Situation(bucket, source_of(bucket), holdings)


def source_of(bucket: Bucket) -> Source:
    """A bucket as the side that gives."""
    return Source(
        bucket.id,
        bucket.name,
        bucket.granted_units + bucket.received_units,
        bucket.remaining_units,
        bucket.reserved_units,
        bucket.used_units,
        bucket.given_units,
    )


def holding_of(bucket: Bucket) -> Holding:
    """An allocated bucket as what its owner holds."""
    return replace(
        _empty(bucket.account or bucket.line),  # type: ignore[arg-type]  # a constraint holds it to one of them
        allocated_units=bucket.received_units,
        remaining_units=bucket.remaining_units,
        reserved_units=bucket.reserved_units,
        used_units=bucket.used_units,
        given_units=bucket.given_units,
        bucket_id=bucket.id,
    )


def _empty(owner: Account | Line) -> Holding:
    if isinstance(owner, Account):
        return Holding(("account", owner.id), owner.name, is_open=owner.closed_at is None)
    return Holding(("line", owner.id), owner.full_name, is_open=owner.status != LineStatus.RETIRED)


def _may_receive(bucket: Bucket, receivers: set[Receiver]) -> dict[Receiver, Holding]:
    """Empty holdings of those that hang below the bucket's owner, by parent pointers."""
    if not receivers or bucket.account_id is None:
        return {}
    of_enterprise = {"enterprise_id": bucket.enterprise_id}
    accounts = Account.objects.filter(id__in=[number for kind, number in receivers if kind == "account"])
    lines = Line.objects.filter(id__in=[number for kind, number in receivers if kind == "line"])
    lines = lines.filter(**of_enterprise).select_related("person")
    owners: dict[int, list[Account | Line]] = {}
    for account in accounts.filter(**of_enterprise):
        if account.parent_id is not None:
            owners.setdefault(account.parent_id, []).append(account)
    for line in lines:
        owners.setdefault(line.account_id, []).append(line)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH RECURSIVE up (origin, here) AS (
                SELECT id, id FROM balances_account WHERE id = ANY(%s) AND enterprise_id = %s
                UNION SELECT up.origin, a.parent_id FROM up JOIN balances_account a ON a.id = up.here
                WHERE a.parent_id IS NOT NULL
            ) SELECT DISTINCT origin FROM up WHERE here = %s
            """,
            [list(owners), bucket.enterprise_id, bucket.account_id],
        )
        below = [row[0] for row in cursor.fetchall()]
    holdings = [_empty(owner) for parent_id in below for owner in owners[parent_id]]
    return {holding.receiver: holding for holding in holdings}


def _bucket(bucket_id: int) -> Bucket:
    bucket = Bucket.objects.filter(id=bucket_id).first()
    if bucket is None:
        raise Refused("There is no such bucket.", field="bucket")
    return bucket


# --- planning ----------------------------------------------------------------------------------------------------


def _planned(known: Situation, wishes: Sequence[Wish], share: Share | None) -> Plan:
    if not wishes:
        raise Refused("Name at least one account or line.", field="rows")
    if len(wishes) > ROWS_MOST:
        raise Refused(f"At most {ROWS_MOST} rows fit into one act.", field="rows")
    for wish in wishes:
        said = [value for value in (wish.units, wish.percent_hundredths, wish.weight) if value is not None]
        if len(said) != 1 or said[0] < 0:
            text = "Give one of units, percent and weight, not below zero."
            raise PlanRefused([RowProblem(wish.row, "units", "amount", text)])
        if wish.weight is not None and share is None:
            raise PlanRefused([RowProblem(wish.row, "weight", "no_share", "There is nothing to share by weight.")])
    if share is None:
        return plan(known.source, known.holdings, wishes)
    if not 1 <= share.cycles <= CYCLES_MOST:
        raise Refused(f"History goes back 1 to {CYCLES_MOST} cycles.", field="share")
    if share.by == ShareBy.HISTORY:
        used = usage_before(known.bucket, share.cycles)
        wishes = [w if w.weight is None else replace(w, weight=used.get(w.receiver, 0)) for w in wishes]
    units = share.units
    if units is None:
        sharing = [known.holdings.get(w.receiver) for w in wishes if w.weight is not None and w.act == Act.SET]
        # Whoever is set anew gives up what they have not used: that is shared, too.
        units = known.source.remaining_units + sum(holding.allocated_units for holding in sharing if holding)
    return plan(known.source, known.holdings, wishes, shared_units=units)


def usage_before(bucket: Bucket, cycles: int) -> dict[Receiver, int]:
    """What accounts and lines used of the bucket's service in the last cycles before the bucket's."""
    starts = (
        Bucket.objects.filter(enterprise_id=bucket.enterprise_id, cycle_start__lt=bucket.cycle_start)
        .order_by("-cycle_start")
        .values_list("cycle_start", flat=True)
        .distinct()[:cycles]
    )
    rows = (
        Counter.objects.filter(
            enterprise_id=bucket.enterprise_id,
            grain=Grain.CYCLE,
            period_start__in=list(starts),
            service=bucket.service,
            payer=Payer.CORPORATE,
        )
        .values("owner_kind", "owner_id")
        .annotate(used=Sum("used_units"))
    )
    words: dict[int, str] = {OwnerKind.ACCOUNT: "account", OwnerKind.LINE: "line"}
    return {(words[row["owner_kind"]], row["owner_id"]): int(row["used"]) for row in rows}


# --- writing -----------------------------------------------------------------------------------------------------


def _asked(bucket_id: int, wishes: Sequence[Wish], share: Share | None) -> dict:
    """What was asked for, as it is compared when its key comes again."""
    rows = [{**asdict(wish), "receiver": list(wish.receiver)} for wish in wishes]
    return {"bucket": bucket_id, "rows": rows, "share": asdict(share) if share else None}


def _own_key(enterprise_id: int, key: str | None) -> str | None:
    """A caller's key in a space of its own: it cannot meet another enterprise's."""
    if not key:
        return None
    if len(key) > ledger.KEY_LENGTH:
        raise Refused(f"An idempotency key has at most {ledger.KEY_LENGTH} characters.", field="key")
    return f"allocation:{enterprise_id}:{key}"


def _first_answer(key: str | None, asked: dict) -> Allocation | None:
    first = Allocation.objects.filter(key=key).first() if key else None
    if first is not None and first.asked != asked:
        raise KeyConflict("This idempotency key was used before for something else.", field="key")
    return first


def _receiver(move: dict) -> Receiver:
    kind = "account" if move["account"] is not None else "line"
    return kind, move[kind]


def _post(
    bucket: Bucket,
    moves: Sequence[Move],
    *,
    asked: dict,
    key: str | None,
    undoes: Allocation | None,
    actor: str,
    at: datetime,
) -> Allocation:
    """Write moves under the lock: what is taken back first, so that no balance is below zero in between."""
    changes, written, events = [], [], []
    with connection.cursor() as cursor:
        for move in sorted(moves, key=lambda move: move.units > 0):
            owner = {f"{kind}_id": move.receiver[1] if move.receiver[0] == kind else None for kind in _KINDS}
            new = ledger.allocated_bucket(bucket, **owner)
            target_id = move.before.bucket_id
            if target_id is None:
                target_id, _ = ledger.open_bucket(cursor, enterprise_id=bucket.enterprise_id, new=new)
            transfer = uuid.uuid4()
            changes += [
                Change(bucket.id, EntryKind.TRANSFER_OUT, move.units, at, None, transfer),
                Change(target_id, EntryKind.TRANSFER_IN, move.units, at, None, transfer),
            ]
            written.append(
                {
                    "row": move.row,
                    "account": owner["account_id"],
                    "line": owner["line_id"],
                    "name": move.before.name,
                    "bucket": target_id,
                    "units": move.units,
                    "allocated_before_units": move.before.allocated_units,
                    "allocated_after_units": move.after.allocated_units,
                    "transfer": str(transfer),
                }
            )
            events.append(_event(bucket, move, target_id, actor, at))
        ledger.post(
            cursor,
            enterprise_id=bucket.enterprise_id,
            charge_sequence=ledger.advance(cursor, bucket.enterprise_id),
            changes=changes,
            actor=actor,
            recorded_at=at,
        )
    audit.record_many(events)
    return Allocation.objects.create(
        enterprise_id=bucket.enterprise_id,
        bucket=bucket,
        key=key,
        asked=asked,
        moves=sorted(written, key=lambda move: move["row"]),
        undoes=undoes,
        actor=actor[: audit.ACTOR_LENGTH],
        at=at,
    )


_KINDS = ("account", "line")


def _event(bucket: Bucket, move: Move, target_id: int, actor: str, at: datetime):
    is_given = move.units > 0
    giver, taker = (bucket.id, target_id) if is_given else (target_id, bucket.id)
    return audit.event(
        enterprise_id=bucket.enterprise_id,
        account_id=move.receiver[1] if move.receiver[0] == "account" else bucket.account_id,
        actor=actor,
        action="bucket.allocated" if is_given else "bucket.taken_back",
        subject=f"{bucket.name}: {move.before.name}",
        detail={"from_bucket": giver, "to_bucket": taker, "units": abs(move.units)},
        at=at,
    )
