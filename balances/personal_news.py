"""News of personal accounts: the only writer of PersonalNews. What came to a mark is told once until it is armed anew.

Owns: which mark a change has reached, and writing it in the transaction of the change, under the enterprise's lock.
Charging and settling share it, so that usage is told of the same whenever it is charged. Who reads it is the matter of
`portal.notices`. docs/personal.md
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from balances.models import PersonalNewsKind

#: Percent of an allowance, of the credit limit, or of the money that came in.
MARKS = (100, 80)


class News(NamedTuple):
    """A row to be written."""

    account_id: int
    kind: PersonalNewsKind
    bucket_id: int | None
    arming: int
    level: int
    used: int
    total: int


def reached(before: int, after: int, total: int) -> int | None:
    """The highest mark that use has come to, from one figure to another; None: no new one."""
    if total <= 0 or after <= before:
        return None
    return next((mark for mark in MARKS if before * 100 < mark * total <= after * 100), None)


def of_allowance(*, account_id: int, bucket_id: int, granted: int, used: int, drawn: int) -> News | None:
    """What drawing on an allowance has reached; units that come back (`granted` rises) arm its marks."""
    level = reached(used - drawn, used, granted)
    if level is None:
        return None
    return News(account_id, PersonalNewsKind.ALLOWANCE, bucket_id, granted, level, used, granted)


def of_money(
    *, account_id: int, balance: int, spent: int, credit: int, armed: int, arming: int, is_short: bool = False
) -> News | None:
    """What a charge has reached of the credit limit, or of the money that came in last; `balance` is after it.

    `is_short`: something was not paid for want of money, which is the end of it, whatever is left.
    """
    total = credit or armed
    used = total - credit - balance
    level = MARKS[0] if is_short else reached(used - spent, used, total)
    return None if level is None else News(account_id, PersonalNewsKind.MONEY, None, arming, level, used, total)


def write(cursor, *, enterprise_id: int, news: Collection[News], at: datetime) -> None:
    """Write what is not written yet, in one statement. Needs the enterprise's lock."""
    if news:
        columns = [list(column) for column in zip(*sorted(news, key=_in_order), strict=True)]
        cursor.execute(_NEWS, [enterprise_id, at, *columns])


def _in_order(one: News) -> tuple[int, int]:
    return one.account_id, one.bucket_id or 0


_NEWS = """
    INSERT INTO balances_personalnews
        (enterprise_id, recorded_at, account_id, kind, bucket_id, arming, level, used, total)
    SELECT %s, %s, t.* FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[], %s::smallint[], %s::bigint[],
        %s::bigint[]) AS t
    ON CONFLICT DO NOTHING
"""
