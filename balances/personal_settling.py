"""Settling: what was granted to a person on credit is charged once an account can pay it.

Part of `balances.personal`, which is the door to it. Oldest first, whole rows only, each by the tariff version of its
own time and the allowances of its own month; the first that the money is not enough for ends it. What the tariff has no
price for stays open. Needs the enterprise's lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from balances import personal_news, personal_tariffs
from balances.models import OpenPersonalUsage, OpenState, PersonalAccount, PersonalBucket
from balances.periods import cycle_of
from balances.personal_news import News
from balances.personal_pricing import Price, Tariff, pay

#: Rows that are written at once.
BATCH = 500
#: More than anybody has: to say what all would come to.
_ANY_MONEY = 2**62


@dataclass(frozen=True, slots=True)
class Quote:
    """What open usage of a person would come to; `unpriced_rows`: those that the tariff has no price for."""

    rows: int = 0
    micros: int = 0
    unpriced_rows: int = 0


class Charged(NamedTuple):
    """A row that can be charged now."""

    row: OpenPersonalUsage
    draws: list[tuple[PersonalBucket, int]]
    price: Price | None
    micros: int


def open_usage_of(account: PersonalAccount) -> QuerySet[OpenPersonalUsage]:
    """What the person has on credit, oldest first."""
    mine = OpenPersonalUsage.objects.filter(enterprise_id=account.enterprise_id, person_id=account.person_id)
    return mine.filter(state=OpenState.OPEN).order_by("used_at", "id")


def quote(account: PersonalAccount, *, at: datetime) -> Quote:
    """What settling all that is open would come to, if the account was accepted at `at`; changes nothing."""
    rows = list(open_usage_of(account))
    charged = list(_Settling(account, account.accepted_at or at).plan(rows, _ANY_MONEY)) if rows else []
    return Quote(len(rows), sum(one.micros for one in charged), len(rows) - len(charged))


def chargeable(account: PersonalAccount) -> list[Charged]:
    """What an accepted account can pay now; nothing is written."""
    rows = list(open_usage_of(account))
    if not rows or account.accepted_at is None:
        return []
    money = account.balance_micros + account.credit_limit_micros
    return list(_Settling(account, account.accepted_at).plan(rows, money))


def write(charged: Iterable[Charged], *, entry_id: int, at: datetime) -> list[News]:
    """Draw what was planned, and close the rows with the entry that pays them; returns what allowances came to."""
    charged = list(charged)
    buckets = {id(bucket): bucket for one in charged for bucket, _ in one.draws}.values()
    PersonalBucket.objects.bulk_create([bucket for bucket in buckets if bucket._state.adding], batch_size=BATCH)
    PersonalBucket.objects.bulk_update(buckets, ["used_units"], batch_size=BATCH)
    for one in charged:
        row = one.row
        row.state, row.resolved_at, row.entry_id = OpenState.CHARGED, at, entry_id
        row.rate_id, row.amount_micros = one.price.id if one.price else None, one.micros
        row.bucket_ids = [bucket.id for bucket, _ in one.draws]
        row.bucket_units = [units for _, units in one.draws]
    OpenPersonalUsage.objects.bulk_update(
        [one.row for one in charged],
        ["state", "resolved_at", "entry", "rate", "amount_micros", "bucket_ids", "bucket_units"],
        batch_size=BATCH,
    )
    drawn: dict[int, int] = defaultdict(int)
    for one in charged:
        for bucket, units in one.draws:
            drawn[bucket.id] += units
    found = [
        personal_news.of_allowance(
            account_id=bucket.account_id, bucket_id=bucket.id, granted=bucket.granted_units, used=bucket.used_units,
            drawn=drawn[bucket.id],
        )
        for bucket in buckets
    ]  # fmt: skip
    return [one for one in found if one is not None]


class _Settling:
    """The tariff of an account and what is left of its allowances, while rows are gone through."""

    def __init__(self, account: PersonalAccount, accepted_at: datetime):
        self.account, self.accepted_at, self.zone = account, accepted_at, ZoneInfo(account.time_zone)
        self.tariff: Tariff[Any] = personal_tariffs.terms([account.tariff_id])[account.tariff_id]
        self.buckets = {(b.allowance_id, b.period_start): b for b in PersonalBucket.objects.filter(account=account)}

    def plan(self, rows: Iterable[OpenPersonalUsage], money: int) -> Iterator[Charged]:
        """The rows that can be paid, in order, with what each draws and costs."""
        for row in rows:
            version = self.tariff.at(row.starts_at)
            price = version.price(row.service, row.zone_id) if version else None
            buckets = self._covering(row)
            paid = pay(row.units, [b.granted_units - b.used_units for b in buckets], price, money)
            if paid.rest and price is not None:
                return
            if paid.rest:
                continue
            draws = [(bucket, units) for bucket, units in zip(buckets, paid.draws, strict=True) if units]
            for bucket, units in draws:
                bucket.used_units += units
            money -= paid.micros
            yield Charged(row, draws, price if paid.priced_units else None, paid.micros)

    def _covering(self, row: OpenPersonalUsage) -> list[PersonalBucket]:
        """The buckets of the row's month that it may draw on, made where there are none yet."""
        month = cycle_of(row.starts_at, self.zone, 1)
        version = self.tariff.of_month(month.starts_at, month.ends_at, self.accepted_at)
        buckets = []
        for included in version.covering(row.service, row.zone_id) if version else ():
            key = (included.id, month.starts_at)
            if key not in self.buckets:
                self.buckets[key] = PersonalBucket(
                    account=self.account,
                    allowance_id=included.id,
                    period_start=month.starts_at,
                    granted_units=included.units,
                )
            buckets.append(self.buckets[key])
        return buckets
