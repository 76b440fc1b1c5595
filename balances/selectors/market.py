"""What an account may trade, is offered, has offered and has traded; and how long its units last with and without."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Q

from balances.models import Account, Bucket, Loan, Offer, StandingRun, StandingTransfer, Trade
from balances.models.buckets import BucketKind
from balances.models.trading import LoanState, OfferState, StandingState, TradeState
from balances.pace import DayUsage, Estimate, estimate
from balances.scope import Scope
from balances.selectors import tree
from balances.selectors.overview import daily_usage
from balances.selectors.terms import Progress, Terms, progress_of, snapshot, terms_at
from balances.trading_terms import Band, TermsInForce, band, terms_of
from balances.units import Service

MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Position:
    """What an account holds itself of a service, free, and its usage by day."""

    service: int
    free_units: int
    days: list[DayUsage]
    now: datetime
    ends_at: datetime

    def lasts(self, change_units: int = 0) -> Estimate:
        """How long the account's own units last at its pace, with so many more or fewer."""
        return estimate(
            remaining_units=max(self.free_units + change_units, 0), days=self.days, now=self.now, ends_at=self.ends_at
        )


@dataclass(frozen=True, slots=True)
class Holding:
    """A bucket that can be offered from, the band of its price and the terms that hold for it."""

    bucket: Bucket
    band: Band
    terms: TermsInForce


@dataclass(frozen=True, slots=True)
class MarketPage:
    """An account's place in the market."""

    account: Account
    terms: Terms
    progress: Progress
    holdings: list[Holding]
    positions: dict[int, Position]
    to_me: list[Offer]
    by_me: list[Offer]
    market: list[Offer]
    waiting: list[Trade]
    history: list[Trade]
    loans: list[Loan]
    standing: list[tuple[StandingTransfer, StandingRun | None]]


def market_page(scope: Scope, account_id: int, *, now: datetime | None = None) -> MarketPage:
    """Read the page. Raises Account.DoesNotExist."""
    now = now or datetime.now(UTC)
    with snapshot():
        account = tree.account(scope, account_id)
        terms = terms_at(account.enterprise_id, now)
        buckets = _open_buckets(scope, account, now)
        given = [bucket for bucket in buckets if bucket.kind != BucketKind.LOAN]
        in_force = {service: terms_of(account, service) for service in {bucket.service for bucket in given}}
        holdings = [
            Holding(b, band(account.enterprise_id, b.service, b.zone_ids, now), in_force[b.service]) for b in given
        ]
        offers = Offer.objects.within(scope).select_related("from_account", "to_account")
        standing = offers.filter(state=OfferState.OPEN, expires_at__gt=now).order_by("expires_at", "id")
        open_market = standing.filter(enterprise_id=account.enterprise_id, to_account__isnull=True)
        sides = Q(account=account) | Q(offer__from_account=account)
        trades = Trade.objects.within(scope).select_related("offer__from_account", "account", "approver_account")
        return MarketPage(
            account,
            terms,
            progress_of(account.enterprise_id),
            holdings,
            positions_of(scope, account, buckets, terms, now),
            list(standing.filter(to_account=account)[:MOST_ROWS]),
            list(offers.filter(from_account=account, state=OfferState.OPEN).order_by("expires_at", "id")[:MOST_ROWS]),
            list(open_market.exclude(from_account=account)[:MOST_ROWS]),
            list(
                trades.filter(Q(approver_account=account) | sides, state=TradeState.WAITING).order_by("id")[:MOST_ROWS]
            ),
            list(trades.filter(sides).exclude(state=TradeState.WAITING).order_by("-id")[:MOST_ROWS]),
            loans_of(scope, account),
            standing_of(scope, account),
        )


def standing_of(scope: Scope, account: Account) -> list[tuple[StandingTransfer, StandingRun | None]]:
    """Standing transfers of the account, both ways, that have not ended; each with its last run."""
    rows = StandingTransfer.objects.within(scope).exclude(state=StandingState.ENDED)
    rows = rows.filter(Q(from_account=account) | Q(to_account=account)).select_related("from_account", "to_account")
    found = list(rows.order_by("next_at", "id")[:MOST_ROWS])
    runs = StandingRun.objects.filter(standing__in=found).order_by("standing_id", "-id").distinct("standing_id")
    last = {run.standing_id: run for run in runs}
    return [(row, last.get(row.id)) for row in found]


def loans_of(scope: Scope, account: Account) -> list[Loan]:
    """What the account lent and borrowed: what is still out first, then the latest that ended."""
    rows = Loan.objects.within(scope).filter(Q(lender=account) | Q(borrower=account))
    rows = rows.select_related("lender", "borrower", "bucket", "trade")
    out = Q(state__in=(LoanState.LENT, LoanState.OWED))
    return [*rows.filter(out).order_by("returns_at", "id")[:MOST_ROWS], *rows.exclude(out).order_by("-id")[:5]]


def _open_buckets(scope: Scope, account: Account, now: datetime) -> list[Bucket]:
    """What an account holds itself and may use now."""
    return list(
        Bucket.objects.within(scope)
        .filter(account=account, closed_at__isnull=True, valid_from__lte=now, valid_until__gt=now)
        .exclude(kind=BucketKind.CONTINGENCY)
        .order_by("service", "priority", "id")
    )


def positions_seen(
    scope: Scope, account_id: int, terms: Terms, now: datetime
) -> tuple[Account, dict[int, Position]] | None:
    """The other side of a trade before it is done; None where it is not the reader's to see."""
    try:
        account = tree.account(scope, account_id)
    except Account.DoesNotExist:
        return None
    return account, positions_of(scope, account, _open_buckets(scope, account, now), terms, now)


def positions_of(
    scope: Scope, account: Account, buckets: list[Bucket], terms: Terms, now: datetime
) -> dict[int, Position]:
    """The account's position in every service, also those of which it holds nothing; one query."""
    ends_at = terms.cycle.ends_at if terms.cycle else now
    daily = daily_usage(scope, {account.id}, account.enterprise_id, terms, now) if terms.cycle else {}
    return {
        service: Position(
            service,
            sum(bucket.remaining_units for bucket in buckets if bucket.service == service),
            daily.get((account.id, service), []),
            now,
            ends_at,
        )
        for service in map(int, Service)
    }
