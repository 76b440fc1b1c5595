"""A market that is alive: one offer to all, and one loan between divisions."""

from __future__ import annotations

from datetime import timedelta

from balances import trading, trading_moves
from balances.models import Account, Bucket, Enterprise, Offer
from balances.units import GIB, Service
from portal.demo.story import Story

ACTOR = "demo"


def open_market(story: Story, enterprise: Enterprise) -> None:
    """Let two divisions that have units left lend and offer a tenth of them; done once."""
    if Offer.objects.filter(enterprise=enterprise).exists():
        return
    at, holders = story.now, _holders(story, enterprise)
    if len(holders) < 2:
        return
    (giver, source), (borrower, _) = holders[0], holders[-1]
    units = source.remaining_units // 10 // GIB * GIB
    if not units or source.valid_until - at < timedelta(hours=1):
        return
    doing = {"actor": ACTOR, "at": at}
    lending = trading.offer(
        account=giver, to_account=borrower, bucket=source, gives_units=units,
        returns_at=min(source.valid_until, at + timedelta(days=3)), **doing,
    )  # fmt: skip
    trading.accept(offer=lending, account=borrower, **doing)
    trading.offer(account=giver, bucket=source, gives_units=units, **doing)


def _holders(story: Story, enterprise: Enterprise) -> list[tuple[Account, Bucket]]:
    """Divisions with data of their own, those with most left first."""
    found = []
    for division in story.plan.children(""):
        account = Account.objects.get(enterprise=enterprise, code=division.code)
        bucket = trading_moves.own_buckets(account.id, Service.DATA, story.now).first()
        if bucket is not None and bucket.remaining_units:
            found.append((account, bucket))
    return sorted(found, key=lambda holder: (-holder[1].remaining_units, holder[0].id))
