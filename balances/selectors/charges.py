"""Charges: the latest of a subtree or a line, and everything that explains a single one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q, Sum

from balances import masking
from balances.models import Account, Bucket, ChargeLine, Entry, UsageRecord
from balances.models.accounts import AccountPath
from balances.scope import Scope
from balances.selectors import tree

#: "Latest" looks back this far, so that only a few monthly partitions are touched; and a little ahead: clocks differ.
RECENT = timedelta(days=35)
AHEAD = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Charge:
    """A usage record with what it came to."""

    usage: UsageRecord
    overage_units: int
    amount_micros: int
    refused_units: int = 0


def latest_below(scope: Scope, account: Account, now: datetime, limit: int = 10) -> list[Charge]:
    """What the company was charged for in the subtree and used last. Three queries, whatever the number of lines."""
    ids = list(Account.objects.within(scope).filter(tree.below(account)).order_by().values_list("id", flat=True))
    since, until = now - RECENT, now + AHEAD
    with connection.cursor() as cursor:
        # Account by account, newest first, by index: a plain ORDER BY over the subtree would read all its usage.
        cursor.execute(
            """
            SELECT u.id FROM unnest(%s::bigint[]) AS a (id) CROSS JOIN LATERAL (
                SELECT id, used_at FROM balances_usagerecord
                WHERE account_id = a.id AND payer = 1 AND used_at >= %s AND used_at < %s
                ORDER BY used_at DESC LIMIT %s
            ) AS u ORDER BY u.used_at DESC, u.id DESC LIMIT %s
            """,
            [ids, since, until, limit, limit],
        )
        found = [row[0] for row in cursor.fetchall()]
    records = UsageRecord.objects.within(scope).filter(id__in=found, used_at__gte=since, used_at__lt=until)
    return _with_amounts(list(with_names(records)), since, until)


@dataclass(frozen=True, slots=True)
class Before:
    """Where a page of charges ends and the next begins."""

    used_at: datetime
    usage_id: int


def of_line(scope: Scope, line_id: int, now: datetime, limit: int = 20, before: Before | None = None) -> list[Charge]:
    """A line's charges, newest first, at most `limit`, older than `before`."""
    until = before.used_at if before else now + AHEAD
    records = UsageRecord.objects.within(scope).filter(line_id=line_id, used_at__lte=until)
    if before:
        records = records.filter(Q(used_at__lt=before.used_at) | Q(id__lt=before.usage_id))
    found = list(with_names(records)[:limit])
    if not found:
        return []
    return _with_amounts(found, found[-1].used_at, until + AHEAD)


def with_names(records):
    return records.select_related("zone", "line__person", "account").order_by("-used_at", "-id")


def _with_amounts(records: list[UsageRecord], since: datetime, until: datetime) -> list[Charge]:
    rows = (
        ChargeLine.objects.filter(usage_id__in=[record.id for record in records], used_at__gte=since, used_at__lt=until)
        .values("usage_id")
        .annotate(overage=Sum("overage_units"), amount=Sum("amount_micros"), refused=Sum("refused_units"))
    )
    amounts = {row["usage_id"]: (int(row["overage"]), int(row["amount"]), int(row["refused"])) for row in rows}
    return [Charge(record, *amounts.get(record.id, (0, 0))) for record in records]


@dataclass(frozen=True, slots=True)
class Draw:
    """Units that a stretch drew from one bucket. `bucket` None: it lies outside the reader's reach."""

    bucket: Bucket | None
    units: int
    step: int | None  # 0: the line's own account, 1: the one above, ...


@dataclass(frozen=True, slots=True)
class Stretch:
    """One charge line, with what it drew."""

    line: ChargeLine
    draws: list[Draw]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything stored about a charge."""

    usage: UsageRecord
    stretches: list[Stretch]
    path: list[Account | None]  # nearest first, as it hung when used; None: outside the reader's reach
    entries: list[Entry]

    @property
    def amount_micros(self) -> int:
        return sum(stretch.line.amount_micros for stretch in self.stretches)

    @property
    def overage_units(self) -> int:
        return sum(stretch.line.overage_units for stretch in self.stretches)


def explain(scope: Scope, usage_id: int) -> Explanation:
    """Why a usage record costs what it costs; raises UsageRecord.DoesNotExist outside the reader's reach."""
    usage = (
        UsageRecord.objects.within(scope)
        .select_related("zone", "line__person", "account", "part", "source", "enterprise")
        .get(id=usage_id)
    )
    masking.show([usage], scope)
    lines = list(
        ChargeLine.objects.filter(usage_id=usage.id, used_at=usage.used_at)
        .select_related("path", "version__contract", "rate__zone")
        .order_by("number")
    )
    bucket_ids = {bucket_id for line in lines for bucket_id in line.bucket_ids}
    buckets = Bucket.objects.within(scope).filter(id__in=bucket_ids).select_related("account", "line")
    visible = {bucket.id: bucket for bucket in buckets}
    path = lines[0].path if lines else None
    entries = Entry.objects.within(scope).filter(
        enterprise_id=usage.enterprise_id, charge_sequence=usage.charge_sequence, bucket_id__in=bucket_ids
    )
    return Explanation(
        usage,
        [Stretch(line, _draws(line, visible, path)) for line in lines],
        _path(scope, path),
        list(entries.select_related("bucket__account", "bucket__line").order_by("id")),
    )


def _draws(line: ChargeLine, visible: dict[int, Bucket], path: AccountPath | None) -> list[Draw]:
    draws = []
    for bucket_id, units in zip(line.bucket_ids, line.bucket_units, strict=True):
        bucket = visible.get(bucket_id)
        step = None
        if bucket and path and bucket.account_id in path.account_ids:
            step = path.account_ids.index(bucket.account_id)
        draws.append(Draw(bucket, units, step))
    return draws


def _path(scope: Scope, path: AccountPath | None) -> list[Account | None]:
    if path is None:
        return []
    ids: Sequence[int] = path.account_ids
    visible = {account.id: account for account in Account.objects.within(scope).filter(id__in=ids)}
    return [visible.get(account_id) for account_id in ids]
