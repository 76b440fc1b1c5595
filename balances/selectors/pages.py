"""All that one page shows, read in one snapshot: what a screen is rendered from and what its socket pushes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from balances.models import Account, Line
from balances.scope import Scope
from balances.selectors import charges, lines, overview, ranking, tree
from balances.selectors.ranking import Attention, Ranking
from balances.selectors.terms import Progress, Terms, progress_of, snapshot, terms_at
from balances.units import Service

LATEST = 10


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AccountPage:
    """An account's page; `service` is the one that users are ranked by."""

    account: Account
    terms: Terms
    progress: Progress
    services: list[overview.ServiceOverview]
    ranking: Ranking
    attention: Attention
    latest: list[charges.Charge]

    @property
    def overage_micros(self) -> int:
        """Money beyond allowances in this cycle, over all services."""
        return sum(service.usage.amount_micros for service in self.services)


def account_page(
    scope: Scope, account_id: int, *, service: int | None = None, clock: Callable[[], datetime] = _now
) -> AccountPage:
    """Read an account's page; raises Account.DoesNotExist outside the reader's reach."""
    with snapshot():
        account = tree.account(scope, account_id)
        progress = progress_of(account.enterprise_id)
        now = clock()
        terms = terms_at(account.enterprise_id, now)
        services = overview.services_of(scope, account, terms, now)
        if service is None:
            service = services[0].service if services else int(Service.DATA)
        return AccountPage(
            account,
            terms,
            progress,
            services,
            ranking.ranking_of(scope, account, terms, service),
            ranking.attention_of(scope, account, terms),
            charges.latest_below(scope, account, now, LATEST),
        )


@dataclass(frozen=True, slots=True)
class LinePage:
    """A line's page; `service` is the one that its days are shown for."""

    line: Line
    terms: Terms
    progress: Progress
    service: int
    usage: dict[int, overview.Usage]
    zones: list[lines.ZoneUsage]
    days: list[lines.DayOfLine]
    serving: lines.Serving
    history: list
    latest: list[charges.Charge]


def line_page(
    scope: Scope, line_id: int, *, service: int | None = None, clock: Callable[[], datetime] = _now
) -> LinePage:
    """Read a line's page; raises Line.DoesNotExist outside the reader's reach."""
    with snapshot():
        line = lines.line(scope, line_id)
        progress = progress_of(line.enterprise_id)
        now = clock()
        terms = terms_at(line.enterprise_id, now)
        zones = lines.usage_by_zone(scope, line, terms)
        usage = lines.usage_of(zones)
        if service is None:
            service = min(usage, default=int(Service.DATA))
        return LinePage(
            line,
            terms,
            progress,
            service,
            usage,
            zones,
            lines.days_of(scope, line, terms, service, now),
            lines.serving(scope, line, terms, now),
            lines.history(scope, line),
            charges.of_line(scope, line.id, now, limit=LATEST),
        )
