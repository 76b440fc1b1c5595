"""What a usage record cost a person comes back: money as an entry, units as a larger grant, and what is open is closed.

Part of `balances.personal`'s business, for whoever decided that the record was not the person's to pay
(`portal.contests`). Charge lines and draws stay as they are: what was used was used. Needs the enterprise's lock and
its caller's transaction, in which the decision is marked as carried out: that is what keeps it from happening twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import connection

from balances import ledger, personal
from balances.models import ChargeLine, OpenPersonalUsage, OpenState, PersonalAccount, PersonalBucket, UsageRecord
from balances.models.counters import Payer
from balances.periods import cycle_of
from balances.selectors.mine import LONGEST_SESSION


@dataclass(frozen=True, slots=True)
class CameBack:
    """What came back to a person; `closed_units`: nobody has to pay any more."""

    micros: int = 0
    units: int = 0
    closed_units: int = 0


@dataclass(frozen=True, slots=True)
class PersonalStretch:
    """A time of a personal record for which its person was granted units; `ends_at` None: it is no session."""

    starts_at: datetime
    ends_at: datetime | None
    units: int


def personal_stretches(record: UsageRecord) -> list[PersonalStretch]:
    """The stretches of a personal record, in order of time: each until the next of the event begins, whoever pays that,
    as a session may be the person's, the company's and the person's again."""
    around = (record.used_at - LONGEST_SESSION, (record.ended_at or record.used_at) + LONGEST_SESSION)
    # All records of an event are of one place of one part; the line and the time lead to them by index.
    event = UsageRecord.objects.filter(
        part=record.part_id, position=record.position, line=record.line_id, used_at__range=around
    )
    lines = list(ChargeLine.objects.filter(usage__in=event.values("id"), used_at__range=around))
    units: dict[datetime, int] = defaultdict(int)
    for line in lines:
        if line.usage_id == record.id:
            units[line.starts_at] += line.units
    begins = sorted({line.starts_at for line in lines})

    def end_of(starts_at: datetime) -> datetime | None:
        """Where the next one begins, or the record ends."""
        if record.ended_at is None:
            return None
        return min((later for later in begins if later > starts_at), default=record.ended_at)

    return [PersonalStretch(starts, end_of(starts), granted) for starts, granted in sorted(units.items()) if granted]


def personal_units(record: UsageRecord) -> int:
    """The units of a personal record that were granted, paid or on credit."""
    lines = ChargeLine.objects.filter(usage=record.id, used_at=record.used_at, payer=Payer.PERSONAL)
    return sum(lines.values_list("units", flat=True))


def take_back(*, record: UsageRecord, key: str, note: str, actor: str, at: datetime) -> CameBack:
    """Give back all that a personal record cost. Needs the enterprise's lock, in a transaction of the caller's.

    `key` names the decision: money comes back once by it. Raises what `personal.correct` does.
    """
    lines = list(ChargeLine.objects.filter(usage=record.id, used_at=record.used_at, payer=Payer.PERSONAL))
    opened = list(
        OpenPersonalUsage.objects.filter(enterprise=record.enterprise_id, usage_id=record.id).select_related("entry")
    )
    with connection.cursor() as cursor:
        ledger.advance(cursor, record.enterprise_id)  # whoever charges reads buckets and credit anew
    # What is open is closed before money comes in: it would be charged with it.
    open_ids = [row.id for row in opened if row.state == OpenState.OPEN]
    OpenPersonalUsage.objects.filter(id__in=open_ids).update(state=OpenState.WRITTEN_OFF, resolved_at=at)
    charged = [row for row in opened if row.state == OpenState.CHARGED]
    units = _grant_again(lines, charged, at)
    money: dict[int, int] = defaultdict(int)
    for line in lines:
        if line.personal_account_id is not None:
            money[line.personal_account_id] += line.personal_micros
    for row in charged:
        if row.entry is not None:
            money[row.entry.account_id] += row.amount_micros or 0
    accounts = PersonalAccount.objects.filter(enterprise=record.enterprise_id).in_bulk(sorted(money))
    for account_id, micros in sorted(money.items()):
        if micros:
            account = accounts[account_id]
            personal.correct(account=account, micros=micros, key=f"{key}:{account_id}", note=note, actor=actor, at=at)
    return CameBack(sum(money.values()), units, sum(row.units for row in opened if row.id in open_ids))


def _grant_again(lines: Iterable[ChargeLine], charged: Iterable[OpenPersonalUsage], at: datetime) -> int:
    """Grant anew what was drawn on allowances of months that are not over."""
    drawn: dict[int, int] = defaultdict(int)
    for line in lines:
        for bucket_id, units in zip(line.personal_bucket_ids, line.personal_bucket_units, strict=True):
            drawn[bucket_id] += units
    for row in charged:
        for bucket_id, units in zip(row.bucket_ids, row.bucket_units, strict=True):
            drawn[bucket_id] += units
    granted = 0
    buckets = PersonalBucket.objects.filter(id__in=drawn, account__closed_at__isnull=True).select_related("account")
    for bucket in buckets.order_by("id"):
        if at in cycle_of(bucket.period_start, ZoneInfo(bucket.account.time_zone), 1):
            bucket.granted_units += drawn[bucket.id]
            bucket.save(update_fields=["granted_units"])
            granted += drawn[bucket.id]
    return granted
