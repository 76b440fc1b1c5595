"""What a trade does to how long units last: of the account of the page, and of the other side where it is seen."""

from __future__ import annotations

from dataclasses import dataclass

from balances.models import Account
from balances.scope import Scope
from balances.selectors import market
from balances.selectors.market import MarketPage, Position
from portal import figures


@dataclass(frozen=True, slots=True)
class Effect:
    """How long an account's own units of a service last before and after."""

    account: Account
    service: int
    change_units: int
    free_before: int
    free_after: int
    lasts_before: str
    lasts_after: str


def effect(page: MarketPage, service: int, change: int) -> Effect:
    """Of the account whose page it is."""
    return _of(page, page.account, page.positions[service], change)


def effects_seen(scope: Scope, page: MarketPage, account_id: int, changes: dict[int, int]) -> list[Effect]:
    """Of another account, by service; nothing where the reader does not see it."""
    now = next(iter(page.positions.values())).now
    seen = market.positions_seen(scope, account_id, page.terms, now)
    if seen is None:
        return []
    account, positions = seen
    return [_of(page, account, positions[service], change) for service, change in changes.items()]


def _of(page: MarketPage, account: Account, position: Position, change: int) -> Effect:
    return Effect(
        account,
        position.service,
        change,
        position.free_units,
        position.free_units + change,
        _lasts(page, position, 0),
        _lasts(page, position, change),
    )


def _lasts(page: MarketPage, position: Position, change: int) -> str:
    if position.free_units + change <= 0 and not position.free_units:
        return "holds nothing of its own"
    return figures.outlook(position.lasts(change), position.ends_at, page.terms.zone, position.now)
