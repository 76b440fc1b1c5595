"""Carrying out proposals for rebalancing: gifts between accounts, by who manages the account above both sides.

Owns: that a proposal is done as it was shown, or refused as stale; decided anew under the enterprise's lock. Units move
through `balances.trading`, so offers, trades, acts and the audit trail are those of any trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from balances import locks, rebalancing, trading
from balances.errors import Refused
from balances.ledger import KeyConflict
from balances.models import Account, Bucket, Trade
from balances.models.trading import TradeState
from balances.rebalancing import Stale, Wanted
from balances.selectors.rebalancing import parties_below
from balances.selectors.terms import terms_at

#: Transfers carried out at once.
MOST_TRANSFERS = 200


def carry_out(
    *, account: Account, service: int, transfers: Sequence[Wanted], key: str | None = None, actor: str, at: datetime
) -> list[Trade]:
    """Do these transfers between accounts below `account`, all of them or none; returns the settled trades.

    Whoever manages `account` is above both sides, so what is above the size for approval is approved by this act.
    `key` makes repeating harmless. One transaction under the enterprise's lock. Raises Stale, NotEnough, NotAllowed,
    WentBefore, KeyConflict, Refused, Busy.
    """
    if not 1 <= len(transfers) <= MOST_TRANSFERS:
        raise Refused(f"Name 1 to {MOST_TRANSFERS} transfers.", field="transfers")
    key = f"rebalance:{key}" if key else None
    with locks.enterprise(account.enterprise_id):
        if key and (first := _done_before(account, transfers, key)):
            return first
        terms = terms_at(account.enterprise_id, at)
        if terms.cycle is None:
            raise Stale("No contract is in force: there is nothing to rebalance.")
        parties = parties_below(account, service, terms, at)
        moves = rebalancing.recheck(transfers, parties, now=at, ends_at=terms.cycle.ends_at)
        trades = []
        for place, move in enumerate(moves):
            own_key = f"{key}:{place}" if key else None
            giver, receiver = Account.objects.get(id=move.from_id), Account.objects.get(id=move.to_id)
            bucket = Bucket.objects.get(id=move.bucket_id)
            offer = trading.offer(
                account=giver,
                to_account=receiver,
                bucket=bucket,
                gives_units=move.units,
                key=own_key,
                actor=actor,
                at=at,
            )
            trade = trading.accept(offer=offer, account=receiver, key=own_key, actor=actor, at=at)
            if trade.state == TradeState.WAITING:
                trade = trading.approve(trade=trade, actor=actor, at=at)
            trades.append(trade)
        return trades


def _done_before(account: Account, transfers: Sequence[Wanted], key: str) -> list[Trade]:
    """The trades that a key led to before; none the first time. Raises KeyConflict."""
    rows = Trade.objects.filter(
        enterprise_id=account.enterprise_id,
        key__in=[f"trade:{account.enterprise_id}:{key}:{place}" for place in range(MOST_TRANSFERS)],
    )
    done = list(rows.select_related("offer").order_by("id"))
    if done and [Wanted(t.offer.bucket_id or 0, t.account_id, t.units) for t in done] != list(transfers):
        raise KeyConflict("This idempotency key was used before for something else.", field="key")
    return done
