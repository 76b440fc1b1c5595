"""Acts of trading as notices: the other side is told of what one side has done, both of what neither did.

An offer to all tells nobody: it stands in the market. What is said is the trade's own content; of the account that is
told it also says how long its own units last, now and with the trade. Nothing of the other side's balance is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum

from balances import trading
from balances.models import Account, Bucket, Offer, OfferAct, Trade
from balances.models.buckets import BucketKind
from balances.models.trading import ActKind, OfferState, TradeState
from balances.pace import DayUsage, estimate
from balances.selectors.overview import daily_usage
from balances.selectors.terms import Terms, terms_at
from balances.units import SERVICE_NAMES
from portal.models import NoticeKind, Severity
from portal.notices.facts import Facts, whole
from portal.notices.found import Found

#: What is said to whom: keys of the catalogue's sentences. These want an answer; the others are for information.
ASKING = frozenset({"offered", "asked", "countered", "approval"})


_SETTLING = frozenset({ActKind.OFFERED, ActKind.ACCEPTED, ActKind.APPROVED})


@dataclass(frozen=True, slots=True)
class _Told:
    """One account that is told of an act: what is said, who the other one is, and whether its units still change."""

    account: Account
    said: str
    other: Account
    is_pending: bool = False


def tell(act: OfferAct, at: datetime) -> list[Found]:
    """What becomes of an act: a notice for each side that did not do it, none for an offer to all."""
    return [_found(act, told, at) for told in _sides_told(act)]


def _is_given_at_once(act: OfferAct) -> bool:
    """Whether one act offered and accepted, as a standing transfer's run and rebalancing do: nobody is asked."""
    offer, trade = act.offer, act.trade or act.offer.trades.order_by("id").first()
    return trade is not None and (trade.actor, trade.created_at) == (offer.actor, offer.created_at)


def _sides_told(act: OfferAct) -> list[_Told]:
    offer, trade = act.offer, act.trade
    giver, taker = offer.from_account, trade.account if trade else offer.to_account
    if taker is None:
        return [_Told(giver, "expired", giver)] if act.kind == ActKind.EXPIRED else []
    if act.kind in _SETTLING and _is_given_at_once(act):
        return _gift_told(act, taker)
    match act.kind:
        case ActKind.OFFERED:
            said = "countered" if offer.counters_id else "asked" if offer.is_request else "offered"
            return [_Told(taker, said, giver, is_pending=True)]
        case ActKind.ACCEPTED:
            if trade is None or trade.approver_account is None:
                return [_Told(giver, "accepted", taker)]
            return [_Told(giver, "waits", taker, is_pending=True), _Told(trade.approver_account, "approval", giver)]
        case ActKind.APPROVED:
            return [_Told(giver, "approved", taker), _Told(taker, "approved", giver)]
        case ActKind.REFUSED if trade is None:
            return [_Told(giver, "refused", taker)]
        case ActKind.REFUSED:
            return [_Told(giver, "not_approved", taker), _Told(taker, "not_approved", giver)]
        case ActKind.WITHDRAWN:
            return [_Told(taker, "withdrawn", giver)]
        case ActKind.EXPIRED:
            said = "expired" if trade is None else "not_decided"
            return [_Told(giver, said, taker), _Told(taker, said, giver)]
    return []  # countered: the counter-offer is told itself


def _gift_told(act: OfferAct, taker: Account) -> list[_Told]:
    """What was offered and accepted in one act, told once it has come to something: to both sides as what it is."""
    giver, trade = act.offer.from_account, act.trade
    if trade is None:
        return []
    if act.kind == ActKind.ACCEPTED and trade.approver_account is not None:
        if trade.decided_at == trade.created_at:
            return []  # approved in the same act, which is told
        return [_Told(giver, "waits", taker), _Told(trade.approver_account, "approval", giver)]
    if act.kind == ActKind.APPROVED and trade.decided_at != trade.created_at:
        return [_Told(giver, "approved", taker), _Told(taker, "approved", giver)]
    return [_Told(giver, "given", taker), _Told(taker, "received", giver)]


def _found(act: OfferAct, told: _Told, at: datetime) -> Found:
    offer, trade, account = act.offer, act.trade, told.account
    terms = terms_at(act.enterprise_id, at)
    facts: Facts = {
        "owner": "account", "owner_id": account.id, "owner_name": account.name, "account_name": account.name,
        "said": told.said, "act": act.kind, "by": act.actor, "other_name": told.other.name, "offer": offer.id,
        "trade": trade.id if trade else None, "service": SERVICE_NAMES[offer.service], "as_of": at.isoformat(),
        "time_zone": terms.zone.key, "currency": offer.currency,
        "until": (trade.expires_at if trade and trade.state == TradeState.WAITING else offer.expires_at).isoformat(),
    }  # fmt: skip
    if told.said == "approval" and trade is not None:
        facts["taker_name"] = trade.account.name
    if trade is not None and trade.approver_account is not None:
        facts["approver_name"] = trade.approver_account.name
    facts |= _content(act)
    if told.said != "approval" and terms.cycle is not None:
        facts |= {"cycle_ends_at": terms.cycle.ends_at.isoformat()} | _outlook(offer, told, facts, terms, at)
    return Found(
        key=f"offer:{act.id}:{told.said}:{account.id}",
        kind=NoticeKind.TRADE,
        enterprise_id=act.enterprise_id,
        account=account,
        line=None,
        service=offer.service,
        severity=Severity.WARNING if told.said in ASKING else Severity.INFO,
        happened_at=act.at,
        facts=facts,
    )


def _content(act: OfferAct) -> Facts:
    """Which units for what, seen by nobody's side: of a part, the part's own."""
    offer, trade = act.offer, act.trade
    if trade is not None:
        gave, got, owed = trade.gave_units, trade.got_units, trade.amount_micros
    elif act.kind == ActKind.OFFERED:
        gave, got, owed = offer.gives_units, offer.wants_units, trading.amount(offer, offer.units)
    else:  # what was left of it; `open_units` stays as it was at its end
        gave, got = trading.portion(offer, act.units) if offer.open_units else (0, 0)
        owed = trading.amount(offer, act.units)
    return {
        "is_request": offer.is_request,
        "gives_service": SERVICE_NAMES[offer.gives_service] if offer.gives_service is not None else None,
        "gives_units": gave,
        "wants_service": SERVICE_NAMES[offer.wants_service] if offer.wants_service is not None else None,
        "wants_units": got,
        "amount_micros": owed,
        "price_micros": offer.price_micros,
        "price_block_units": offer.price_block_units,
        "band_micros": offer.price_most_micros,
    }


def _outlook(offer: Offer, told: _Told, facts: Facts, terms: Terms, at: datetime) -> Facts:
    """How long the told account's own units of the measure last; while it is undecided, also with the trade."""
    change = None
    if told.is_pending and told.account.id != offer.from_account_id:
        change = -facts["wants_units"] if offer.is_request else facts["gives_units"]
    # What the giver gives has left its free units with the offer: nothing changes for it any more.
    return own_outlook(told.account, offer.service, change, terms, at, is_always=told.is_pending)


def own_outlook(
    account: Account, service: int, change: int | None, terms: Terms, at: datetime, *, is_always: bool = False
) -> Facts:
    """How long an account's own units last, and with `change` units of them more or less (`after_...`).

    Nothing is said of an account that holds none, unless `is_always` and it may come to hold some.
    """
    own = Bucket.objects.filter(
        account=account, service=service, closed_at__isnull=True, valid_from__lte=at, valid_until__gt=at
    ).exclude(kind=BucketKind.CONTINGENCY)
    free = own.aggregate(units=Sum("remaining_units"))["units"]
    if terms.cycle is None or (free is None and not is_always):
        return {}
    found = daily_usage(whole(account.enterprise_id), {account.id}, account.enterprise_id, terms, at)
    days = found.get((account.id, service), [])
    result = _lasts("", free or 0, days, at, terms) if free is not None else {}
    if change is not None:
        result |= _lasts("after_", max((free or 0) + change, 0), days, at, terms)
    return result


def _lasts(prefix: str, units: int, days: list[DayUsage], at: datetime, terms: Terms) -> Facts:
    assert terms.cycle is not None
    seen = estimate(remaining_units=units, days=days, now=at, ends_at=terms.cycle.ends_at)
    facts: Facts = {f"{prefix}outlook": seen.outlook.value}
    if seen.runs_out_at is not None:
        facts[f"{prefix}runs_out_at"] = seen.runs_out_at.isoformat()
    return facts


def still_open(facts: Facts, at: datetime) -> bool:
    """Whether what a notice asks for can still be answered."""
    if facts["said"] == "approval":
        return Trade.objects.filter(id=facts["trade"], state=TradeState.WAITING, expires_at__gt=at).exists()
    if facts["said"] not in ASKING:
        return False
    return Offer.objects.filter(id=facts["offer"], state=OfferState.OPEN, expires_at__gt=at).exists()
