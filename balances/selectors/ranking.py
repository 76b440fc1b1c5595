"""Who uses most, and what needs attention, below one account in the cycle under way."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum

from balances.models import Account, Counter, Crossing, Line, SuspendedUsage
from balances.models.accounts import LineStatus
from balances.models.counters import Grain, OwnerKind, Payer
from balances.models.usage import SuspenseState
from balances.scope import Scope, Verb
from balances.selectors import tree
from balances.selectors.overview import cycle_counters
from balances.selectors.terms import Terms

MOST_RANKED = 6
MOST_CROSSINGS = 4


@dataclass(frozen=True, slots=True)
class Rank:
    """An owner with what it used; `percent` of the most that any in the list used, for the bar."""

    owner: Account | Line
    used_units: int
    amount_micros: int
    percent: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """The heaviest users of one service."""

    service: int
    accounts: list[Rank]
    lines: list[Rank]


def ranking_of(scope: Scope, account: Account, terms: Terms, service: int) -> Ranking:
    """The heaviest lines of the subtree and the heaviest accounts directly below; five queries at most."""
    if terms.cycle is None:
        return Ranking(service, [], [])
    children = Account.objects.within(scope).filter(parent=account)
    of_children = cycle_counters(scope, account.enterprise_id, OwnerKind.ACCOUNT, terms).filter(
        owner_id__in=list(children.order_by().values_list("id", flat=True))
    )
    lines = Line.objects.within(scope).filter(tree.below(account, "account__"))
    of_lines = cycle_counters(scope, account.enterprise_id, OwnerKind.LINE, terms)
    if account.parent_id is not None:  # the top has all lines: nothing to compare them with
        of_lines = of_lines.of_lines(lines)
    return Ranking(
        service,
        _ranked(of_children, service, children),
        _ranked(of_lines, service, lines.select_related("person", "account")),
    )


def _ranked(counters: QuerySet[Counter], service: int, owners: QuerySet) -> list[Rank]:
    rows = list(
        counters.filter(service=service)
        .values("owner_id")
        .annotate(used=Sum("used_units"), amount=Sum("amount_micros"))
        .filter(used__gt=0)
        .order_by("-used", "owner_id")[:MOST_RANKED]
    )
    found = {owner.id: owner for owner in owners.filter(id__in=[row["owner_id"] for row in rows])} if rows else {}
    most = int(rows[0]["used"]) if rows else 1
    return [
        Rank(found[row["owner_id"]], int(row["used"]), int(row["amount"]), int(row["used"]) * 100 // most)
        for row in rows
        if row["owner_id"] in found
    ]


@dataclass(frozen=True, slots=True)
class Attention:
    """What a manager should look at. `open_suspense` is None where the principal may not see it."""

    crossings: list[Crossing]
    crossing_count: int
    overage_lines: int
    overage_micros: int
    roaming_micros: int
    roaming_lines: int
    idle_lines: int
    active_lines: int
    open_suspense: int | None


NO_ATTENTION = Attention([], 0, 0, 0, 0, 0, 0, 0, None)


def attention_of(scope: Scope, account: Account, terms: Terms) -> Attention:
    """Crossings, money beyond allowances, roaming, idle lines, and suspense for whoever sees the whole enterprise."""
    if terms.cycle is None:
        return NO_ATTENTION
    crossings = list(_crossings(scope, account, terms)[: MOST_CROSSINGS + 1])
    crossing_count = len(crossings)
    if crossing_count > MOST_CROSSINGS:
        crossing_count = _crossings(scope, account, terms).count()
    lines = Line.objects.within(scope).filter(tree.below(account, "account__"))
    counters = cycle_counters(scope, account.enterprise_id, OwnerKind.LINE, terms)
    if account.parent_id is not None:
        counters = counters.of_lines(lines)
    charged, abroad = Q(amount_micros__gt=0), Q(zone__is_home=False, amount_micros__gt=0)
    spent = counters.aggregate(
        overage_lines=Count("owner_id", distinct=True, filter=charged),
        overage=Sum("amount_micros", default=0),
        roaming_lines=Count("owner_id", distinct=True, filter=abroad),
        roaming=Sum("amount_micros", filter=abroad, default=0),
    )
    active = lines.filter(status=LineStatus.ACTIVE)
    idle = Count("id", filter=~Q(Exists(counters_of_line(terms))))
    counted = active.aggregate(all=Count("id"), idle=idle)
    return Attention(
        crossings=crossings[:MOST_CROSSINGS],
        crossing_count=crossing_count,
        overage_lines=spent["overage_lines"],
        overage_micros=int(spent["overage"]),
        roaming_micros=int(spent["roaming"]),
        roaming_lines=spent["roaming_lines"],
        idle_lines=counted["idle"],
        active_lines=counted["all"],
        open_suspense=_open_suspense(scope, account),
    )


def counters_of_line(terms: Terms) -> QuerySet[Counter]:
    """For `Exists` on lines: what the outer line has used in the cycle under way."""
    return Counter.objects.filter(
        enterprise_id=OuterRef("enterprise_id"),
        owner_kind=OwnerKind.LINE,
        owner_id=OuterRef("id"),
        grain=Grain.CYCLE,
        period_start=terms.cycle.starts_at if terms.cycle else None,
        payer=Payer.CORPORATE,
    )


def _crossings(scope: Scope, account: Account, terms: Terms) -> QuerySet[Crossing]:
    crossings = Crossing.objects.within(scope).filter(
        enterprise_id=account.enterprise_id, period_start=terms.cycle.starts_at if terms.cycle else None
    )
    if account.parent_id is not None:
        crossings = crossings.filter(tree.below(account, "account__") | tree.below(account, "line__account__"))
    return crossings.select_related("account", "line__person", "threshold").order_by(F("recorded_at").desc(), "-id")


def _open_suspense(scope: Scope, account: Account) -> int | None:
    """Records that wait belong to the enterprise as a whole, not to an account: their line is often what is unknown."""
    if account.parent_id is not None or not scope.allows(Verb.VIEW, enterprise_id=account.enterprise_id):
        return None
    waiting = SuspendedUsage.objects.within(scope).filter(enterprise_id=account.enterprise_id, state=SuspenseState.OPEN)
    return waiting.count()
