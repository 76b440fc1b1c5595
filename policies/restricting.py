"""What limits restrict below an account right now: what a manager is to look at first. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Count, IntegerField, Max, Q, Value, When

from balances.models import Account, Line
from balances.scope import Scope
from balances.selectors import tree
from policies.models import Limit, Restriction, RestrictionState
from policies.models.limits import RestrictionAction


@dataclass(frozen=True, slots=True)
class Restricting:
    """A limit and what it does to how many lines; `line` is one of them. `limit` is None outside the reader's reach."""

    limit: Limit | None
    line: Line
    lines: int
    action: RestrictionAction
    is_pending: bool

    @property
    def is_consent_wanted(self) -> bool:
        """Whether usage waits for somebody to agree."""
        return self.action == RestrictionAction.REDIRECTED


def restricted_below(scope: Scope, account: Account, at: datetime, *, most: int = 5) -> list[Restricting]:
    """The limits that restrict lines at or below an account: those that wait for somebody first, then the widest.

    One query where nothing is restricted, else three.
    """
    standing = Restriction.objects.within(scope).filter(
        tree.below(account, "line__account__"),
        Q(until__isnull=True) | Q(until__gt=at),
        state__in=(RestrictionState.PENDING, RestrictionState.ACTIVE),
    )
    waits = Q(state=RestrictionState.PENDING) | Q(action=RestrictionAction.REDIRECTED)
    urgency = Case(When(waits, then=Value(0)), default=Value(1), output_field=IntegerField())
    rows = standing.values("limit_id", "action", "state", urgency=urgency).annotate(
        lines=Count("line_id", distinct=True), one=Max("line_id")
    )
    rows = list(rows.order_by("urgency", "-lines", "limit_id")[:most])
    if not rows:
        return []
    limits = Limit.objects.within(scope).select_related("zone").in_bulk({row["limit_id"] for row in rows} - {None})
    lines = Line.objects.within(scope).in_bulk({row["one"] for row in rows})
    return [
        Restricting(
            limits.get(row["limit_id"]),
            lines[row["one"]],
            row["lines"],
            RestrictionAction(row["action"]),
            row["state"] == RestrictionState.PENDING,
        )
        for row in rows
    ]
