"""What budgets of steering rules have taken up, in memory, while a group is charged. Lives under the charging lock.

Owns: loading use, one query a budget and period whatever the number of its owners, and the upsert that writes what a
group added. Which budget a part has is `policies.steering.book`'s matter.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import NamedTuple

from balances.periods import day_of
from policies.models import BudgetOwner
from policies.steering.outcomes import Budget
from portal.charging.records import canonical_time, parse_canonical
from portal.charging.terms import Stretch

#: The one period of a budget for a lifetime.
LIFETIME = "1970-01-01 00:00:00.000000+00"


class _Period(NamedTuple):
    steering_id: int
    name: str
    measure: int
    owner_kind: int
    starts: str


#: Use of one owner of a budget in a period.
Place = tuple[_Period, int]


class Budgets:
    """Use of budgets; see the module's paragraph."""

    def __init__(self, enterprise_id: int):
        self.enterprise_id = enterprise_id
        self._used: dict[_Period, dict[int, int]] = {}
        self._added: dict[_Period, dict[int, int]] = defaultdict(lambda: defaultdict(int))

    def forget(self) -> None:
        """Drop use; it is loaded again when next needed."""
        self._used.clear()
        self._added.clear()

    @staticmethod
    def place(budget: Budget, *, line_id: int, person_id: int | None, stretch: Stretch, starts: str) -> Place:
        """Where the use of a budget by an event is kept: whose, and in which period."""
        if budget.of == "account":
            kind, owner_id = BudgetOwner.ACCOUNT, budget.account_id
        elif budget.of == "person" and person_id is not None:
            kind, owner_id = BudgetOwner.PERSON, person_id
        else:
            kind, owner_id = BudgetOwner.LINE, line_id
        starts = period_start(budget.every, stretch, starts)
        return _Period(budget.steering_id, budget.name, budget.measure, int(kind), starts), owner_id

    def used(self, cursor, place: Place) -> int:
        """What has been taken up."""
        period, owner_id = place
        return self._of(cursor, period).get(owner_id, 0)

    def add(self, cursor, place: Place, amount: int) -> None:
        """Take up some, or give back what was refused (below zero)."""
        period, owner_id = place
        used = self._of(cursor, period)
        used[owner_id] = used.get(owner_id, 0) + amount
        self._added[period][owner_id] += amount

    def _of(self, cursor, period: _Period) -> dict[int, int]:
        found = self._used.get(period)
        if found is None:
            cursor.execute(
                "SELECT owner_id, used FROM policies_steeringuse WHERE steering_id = %s AND budget = %s "
                "AND measure = %s AND owner_kind = %s AND period_start = %s",
                list(period),
            )
            found = self._used[period] = dict(cursor.fetchall())
        return found

    def write(self, cursor) -> None:
        """Write what a group added, one upsert a budget and period."""
        for period, added in self._added.items():
            owners = sorted(owner_id for owner_id, amount in added.items() if amount)
            if not owners:
                continue
            cursor.execute(
                """
                INSERT INTO policies_steeringuse AS u (enterprise_id, steering_id, budget, measure, owner_kind,
                    period_start, owner_id, used)
                SELECT %s, %s, %s, %s, %s, %s, t.owner, t.used
                FROM unnest(%s::bigint[], %s::bigint[]) AS t (owner, used)
                ON CONFLICT (steering_id, budget, measure, owner_kind, owner_id, period_start)
                    DO UPDATE SET used = u.used + excluded.used
                """,
                [self.enterprise_id, *period, owners, [added[owner_id] for owner_id in owners]],
            )
        self._added.clear()


def period_start(every: str, stretch: Stretch, starts: str) -> str:
    """The start of a budget's period that holds an instant, by the contract's clock."""
    if every == "cycle":
        return stretch.cycle.starts
    if every == "day":
        return stretch.day_of(starts)[0]
    if every == "week":
        return _week(stretch, starts)[0]
    return LIFETIME


def period_end(every: str, stretch: Stretch, starts: str) -> str | None:
    """Where the period ends, for cutting sessions; None where a stretch of the contract never goes beyond it."""
    if every == "day":
        return stretch.day_of(starts)[1]
    return _week(stretch, starts)[1] if every == "week" else None


def _week(stretch: Stretch, starts: str) -> tuple[str, str]:
    """Weeks are from Monday, midnight to midnight."""
    zone = stretch.zone
    today = day_of(parse_canonical(starts), zone)
    monday = (today.starts_at.astimezone(zone).date()).weekday()
    noon = today.starts_at + timedelta(hours=12)  # whole days off noon stay on their day, whatever the clocks do
    first = day_of(noon - timedelta(days=monday), zone)
    last = day_of(noon + timedelta(days=6 - monday), zone)
    return canonical_time(first.starts_at), canonical_time(last.ends_at)
