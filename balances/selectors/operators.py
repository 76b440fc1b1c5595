"""The enterprises of an operator's account manager, each at a glance; as many queries for one as for a hundred."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Sum

from balances.models import Account, Bucket, ChargingState, Contract, Counter, Enterprise, Line, SuspendedUsage
from balances.models.counters import Grain, OwnerKind
from balances.models.usage import SuspenseState
from balances.scope import Scope
from balances.selectors import tree
from balances.selectors.overview import Fill, fill_of
from balances.selectors.terms import NO_TERMS, Terms, in_force

MOST_ENTERPRISES = 500


@dataclass(frozen=True, slots=True)
class EnterpriseGlance:
    """One enterprise: its services' states, its money beyond allowances, what waits."""

    enterprise: Enterprise
    fills: dict[int, Fill]
    lines: int
    overage_micros: int
    currency: str
    open_suspense: int
    charged_at: datetime | None


def enterprises_at_a_glance(scope: Scope, now: datetime) -> list[EnterpriseGlance]:
    """The enterprises in reach, by name, at most MOST_ENTERPRISES; eight queries."""
    enterprises = list(tree.enterprises(scope)[:MOST_ENTERPRISES])
    ids = [enterprise.id for enterprise in enterprises]
    terms = {contract.enterprise_id: in_force(contract, now) for contract in _contracts(ids, now)}
    cycle_starts = {t.cycle.starts_at for t in terms.values() if t.cycle}
    usage = _usage(scope, ids, cycle_starts)
    held = _held(scope, ids, cycle_starts, now)
    line_counts = _counted(Line.objects.within(scope).filter(enterprise_id__in=ids))
    suspense = _counted(SuspendedUsage.objects.within(scope).filter(enterprise_id__in=ids, state=SuspenseState.OPEN))
    charged = dict(ChargingState.objects.filter(enterprise_id__in=ids).values_list("enterprise_id", "charged_at"))
    return [
        _glance(
            enterprise,
            terms.get(enterprise.id, NO_TERMS),
            usage,
            held,
            line_counts,
            suspense,
            charged.get(enterprise.id),
        )
        for enterprise in enterprises
    ]


def _glance(
    enterprise: Enterprise,
    terms: Terms,
    usage: dict[tuple[int, datetime], dict[int, tuple[int, int]]],
    held: dict[tuple[int, datetime], dict[int, tuple[int, int]]],
    line_counts: dict[int, int],
    suspense: dict[int, int],
    charged_at: datetime | None,
) -> EnterpriseGlance:
    key = enterprise.id, terms.cycle.starts_at if terms.cycle else None
    used = usage.get(key, {})
    fills = {
        service: fill_of(units, remaining, used.get(service, (0, 0))[0])
        for service, (units, remaining) in sorted(held.get(key, {}).items())
    }
    return EnterpriseGlance(
        enterprise,
        fills,
        line_counts.get(enterprise.id, 0),
        sum(amount for _, amount in used.values()),
        terms.currency,
        suspense.get(enterprise.id, 0),
        charged_at,
    )


def _contracts(ids: list[int], now: datetime) -> list[Contract]:
    """Contracts in force; the latest of an enterprise comes last."""
    started = Contract.objects.filter(enterprise_id__in=ids, starts_at__lte=now).order_by("starts_at")
    return [contract for contract in started if contract.ends_at is None or contract.ends_at > now]


def _usage(scope: Scope, ids: list[int], cycle_starts: set[datetime]):
    """Overage units and money of root accounts, by (enterprise, cycle) and service."""
    roots = Account.objects.within(scope).filter(enterprise_id__in=ids, parent__isnull=True).order_by().values("id")
    rows = (
        Counter.objects.within(scope)
        .filter(
            enterprise_id__in=ids,
            owner_kind=OwnerKind.ACCOUNT,
            owner_id__in=roots,
            grain=Grain.CYCLE,
            period_start__in=cycle_starts,
        )
        .values("enterprise_id", "period_start", "service")
        .annotate(overage=Sum("overage_units"), amount=Sum("amount_micros"))
    )
    usage: dict[tuple[int, datetime], dict[int, tuple[int, int]]] = defaultdict(dict)
    for row in rows:
        usage[row["enterprise_id"], row["period_start"]][row["service"]] = (int(row["overage"]), int(row["amount"]))
    return usage


def _held(scope: Scope, ids: list[int], cycle_starts: set[datetime], now: datetime):
    """Held and remaining units, by (enterprise, cycle) and service."""
    rows = (
        Bucket.objects.within(scope)
        .filter(enterprise_id__in=ids, cycle_start__in=cycle_starts, valid_from__lte=now, valid_until__gt=now)
        .values("enterprise_id", "cycle_start", "service")
        .annotate(remaining=Sum("remaining_units"), reserved=Sum("reserved_units"), used=Sum("used_units"))
    )
    held: dict[tuple[int, datetime], dict[int, tuple[int, int]]] = defaultdict(dict)
    for row in rows:
        units = int(row["remaining"] + row["reserved"] + row["used"])
        held[row["enterprise_id"], row["cycle_start"]][row["service"]] = (units, int(row["remaining"]))
    return held


def _counted(rows) -> dict[int, int]:
    return dict(rows.order_by().values_list("enterprise_id").annotate(Count("id")))
