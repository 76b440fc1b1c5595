"""Why a bucket holds what it holds: its entries with both sides of each move, and balances at any past moment.

A balance of the past is the sum of the entries up to then, by the time at which they count (`Entry.at`): nothing is
stored for it, and nothing can differ from the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import QuerySet

from balances.ledger import EFFECTS
from balances.models import Account, Bucket, Entry, Line
from balances.models.ledger import EntryKind
from balances.scope import Scope

#: What usage does: of these there are many, and they say little one by one.
USAGE_KINDS = (EntryKind.CONSUME, EntryKind.RESERVE, EntryKind.RELEASE, EntryKind.CONSUME_RESERVED)
QUANTITIES = ("granted", "received", "remaining", "reserved", "used", "given", "expired")


@dataclass(frozen=True, slots=True)
class Told:
    """An entry, and who is on the other side: "" outside the reader's reach, None where there is no other side."""

    entry: Entry
    peer: str | None

    @property
    def change_units(self) -> int:
        """What it did to what remains."""
        return EFFECTS[self.entry.kind][2] * self.entry.units


def bucket(scope: Scope, bucket_id: int) -> Bucket:
    """One bucket in reach; raises Bucket.DoesNotExist."""
    owners = ("account", "line__person", "line__account", "source__account", "source__line", "enterprise")
    return Bucket.objects.within(scope).select_related(*owners).get(id=bucket_id)


def entries_of(scope: Scope, bucket: Bucket, *, with_usage: bool = True) -> QuerySet[Entry]:
    """A bucket's entries, latest first."""
    entries = Entry.objects.within(scope).filter(bucket=bucket).order_by("-id")
    return entries if with_usage else entries.exclude(kind__in=USAGE_KINDS)


def told(scope: Scope, entries: Sequence[Entry]) -> list[Told]:
    """Entries of one page with their other sides; two queries."""
    transfers = {entry.transfer for entry in entries if entry.transfer}
    sides = (
        Entry.objects.within(scope)
        .filter(transfer__in=transfers)
        .exclude(id__in=[entry.id for entry in entries])
        .select_related("bucket__account", "bucket__line__person")
    )
    peers = {(side.transfer, side.bucket_id): owner_name(side.bucket) for side in sides} if transfers else {}
    by_transfer: dict = defaultdict(dict)
    for (transfer, bucket_id), name in peers.items():
        by_transfer[transfer][bucket_id] = name
    found = []
    for entry in entries:
        others = [name for number, name in by_transfer[entry.transfer].items() if number != entry.bucket_id]
        found.append(Told(entry, (others[0] if others else "") if entry.transfer else None))
    return found


def owner_name(bucket: Bucket) -> str:
    """Whose a bucket is."""
    owner: Account | Line = bucket.account or bucket.line
    return owner.name if isinstance(owner, Account) else owner.full_name


def at_moment(buckets: Iterable[Bucket], moment: datetime) -> list[Bucket]:
    """The buckets with the quantities that they had at a moment: to be read, never to be saved. One query."""
    rows = list(buckets)
    totals: dict[int, list[int]] = {row.id: [0] * len(QUANTITIES) for row in rows}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bucket_id, kind, sum(units)::bigint FROM balances_entry "
            "WHERE bucket_id = ANY(%s) AND at <= %s GROUP BY 1, 2",
            [list(totals), moment],
        )
        for bucket_id, kind, units in cursor.fetchall():
            for place, effect in enumerate(EFFECTS[kind]):
                totals[bucket_id][place] += effect * units
    for row in rows:
        for name, units in zip(QUANTITIES, totals[row.id], strict=True):
            setattr(row, f"{name}_units", units)
        if row.closed_at is not None and row.closed_at > moment:
            row.closed_at = None
    return rows
