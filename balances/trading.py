"""Trading between accounts of one enterprise: the only writer of Offer and Trade.

Owns: what becomes of an offer, from making it to its end: taken, withdrawn, refused or expired, exactly one of them,
because each happens under the enterprise's lock and looks at the state first. Units move through
`balances.trading_moves`, by entries. While an offer is open its units lie in escrow, so that neither usage nor a second
offer can have them. Worked example: docs/trading.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from balances import audit, fields, ledger, loans, locks, trading_moves
from balances.errors import Refused
from balances.models import Account, Bucket, Offer, Trade
from balances.models.trading import ActKind, OfferState, TradeState
from balances.trading_acts import first_answer, note, own_key_of
from balances.trading_terms import Band, TermsInForce, band, path_of, terms_of
from balances.units import SERVICE_NAMES, price_micros

#: How long an offer stands unless it says otherwise, and at most until its bucket ends.
USUAL_DAYS = timedelta(days=7)
#: Open offers of one account.
OFFERS_MOST = 200


class OfferEnded(Refused):
    """The offer or trade was taken, withdrawn, refused or has expired."""


class NotAllowed(Refused):
    """The terms of trading, or who the offer is for, do not let this account do it."""


def offer(
    *,
    account: Account,
    to_account: Account | None = None,
    bucket: Bucket | None = None,
    gives_units: int = 0,
    wants_service: int | None = None,
    wants_units: int = 0,
    price_micros: int = 0,
    minimum_units: int | None = None,
    expires_at: datetime | None = None,
    returns_at: datetime | None = None,
    counters: Offer | None = None,
    key: str | None = None,
    actor: str,
    at: datetime,
) -> Offer:
    """Offer units of a bucket for units of another service, for an internal price, or for nothing; or ask for units.

    What is given goes into escrow at once. `price_micros` is for one block of the band; of a request (nothing given) it
    is what the account would pay. `returns_at` makes it a loan: what is unused then goes back by itself. `counters`:
    the offer that this one answers. One transaction under the enterprise's
    lock; `key` makes repeating harmless. Raises NotEnough, NotAllowed, OfferEnded, WentBefore, KeyConflict, Refused,
    Unreadable, Busy.
    """
    enterprise_id = account.enterprise_id
    asked: dict[str, Any] = {
        "account": account.id, "to": to_account.id if to_account else None, "bucket": bucket.id if bucket else None,
        "gives": gives_units, "service": wants_service, "wants": wants_units, "price": price_micros,
        "minimum": minimum_units, "expires": expires_at.isoformat() if expires_at else None,
        "counters": counters.id if counters else None,
        **({"returns": returns_at.isoformat()} if returns_at else {}),
    }  # fmt: skip
    with locks.enterprise(enterprise_id), connection.cursor() as cursor:
        own_key = own_key_of("offer", enterprise_id, key)
        if first := first_answer(Offer, own_key, asked):
            return first
        _refuse_nonsense(gives_units, wants_service, wants_units, price_micros, bucket)
        account, to_account = _sides(account, to_account, counters, at)
        zones: list[int] = []
        if gives_units:
            bucket = Bucket.objects.get(id=bucket.id)  # type: ignore[union-attr]  # as it is under the lock
            if bucket.account_id != account.id:
                raise Refused(f"This bucket does not belong to “{account.name}”.", field="bucket")
            zones = bucket.zone_ids
        service = bucket.service if gives_units and bucket else wants_service
        assert service is not None
        if gives_units and wants_service == service:
            raise NotAllowed("Units are not traded for units of the same service.", field="wants_service")
        terms = _allowing(account, service)
        units = gives_units or wants_units
        least = terms.lot_units if minimum_units is None else minimum_units
        _refuse_lots(units, least, terms.lot_units)
        prices = _prices(enterprise_id, service, zones, price_micros, at)
        ends_at = _ends_at(expires_at, returns_at, bucket, at)
        if returns_at is not None and gives_units and wants_units:
            raise Refused("A loan is for an internal price or for nothing.", field="returns_at")
        if bucket is not None and gives_units:
            trading_moves.refuse_unless_giveable(
                bucket, gives_units, keep_units=terms.floor_units, may_regift=terms.may_regift, at=at
            )
            if to_account is not None:
                trading_moves.refuse_circle(bucket, to_account)
        made = Offer.objects.create(
            enterprise_id=enterprise_id, from_account=account, to_account=to_account, bucket=bucket,
            gives_service=service if gives_units else None, gives_units=gives_units,
            wants_service=wants_service if wants_units else None, wants_units=wants_units,
            price_micros=price_micros, price_block_units=prices.block_units, price_most_micros=prices.most_micros,
            currency=prices.currency, lot_units=terms.lot_units, minimum_units=least, open_units=units,
            open_wants_units=wants_units if gives_units else 0, held_units=gives_units, counters=counters,
            key=own_key, asked=asked, actor=actor[: audit.ACTOR_LENGTH], created_at=at, expires_at=ends_at,
            returns_at=returns_at,
        )  # fmt: skip
        if bucket is not None and gives_units:
            trading_moves.hold(cursor, bucket, gives_units, actor, at)
        note(made, ActKind.OFFERED, units, actor, at)
        if counters is not None:
            note(counters, ActKind.COUNTERED, units, actor, at, answer=made)
        return made


def accept(
    *,
    offer: Offer,
    account: Account,
    units: int | None = None,
    bucket: Bucket | None = None,
    key: str | None = None,
    actor: str,
    at: datetime,
) -> Trade:
    """Take all that is open of an offer, or `units` of its measure; `bucket`: what the taker's own units come from.

    Settled at once, or, above the size in the terms of either side, once the manager of the nearest account above both
    has approved; until then both sides' units lie in escrow. Accepting a counter-offer withdraws the offer that it
    answers, in the same act. `key` makes repeating harmless. Raises NotEnough, NotAllowed, OfferEnded, WentBefore,
    KeyConflict, Refused, Busy.
    """
    asked = {"offer": offer.id, "account": account.id, "units": units, "bucket": bucket.id if bucket else None}
    with locks.enterprise(offer.enterprise_id), connection.cursor() as cursor:
        own_key = own_key_of("trade", offer.enterprise_id, key)
        if first := first_answer(Trade, own_key, asked):
            return first
        offer = Offer.objects.select_related("from_account").get(id=offer.id)
        _refuse_ended(offer, at)
        account = _trader(account, field="account")
        if account.enterprise_id != offer.enterprise_id or account.id == offer.from_account_id:
            raise NotAllowed("An account trades with another account of its enterprise.", field="account")
        if offer.to_account_id not in (None, account.id):
            raise NotAllowed("This offer is for another account.", field="account")
        taken = offer.open_units if units is None else units
        _refuse_portion(offer, taken)
        theirs, mine = _allowing(offer.from_account, offer.service), _allowing(account, offer.service)
        gave, got = portion(offer, taken)
        if gave:
            trading_moves.refuse_circle(offer.bucket, account)
        if offer.counters_id is not None:
            _make_room(cursor, offer, account, actor, at)
        source = _paying(offer, account, got, bucket, at)
        sizes = [terms.approval_above_units for terms in (theirs, mine) if terms.approval_above_units is not None]
        waits = bool(sizes) and taken > min(sizes)
        owed = amount(offer, taken)
        payer = (offer.from_account if offer.is_request else account) if owed else None
        trade = Trade(
            enterprise_id=offer.enterprise_id, offer=offer, account=account, bucket=source, units=taken,
            gave_units=gave, got_units=got, payer=payer, amount_micros=owed, currency=offer.currency,
            state=TradeState.WAITING if waits else TradeState.SETTLED,
            approver_account=common_ancestor(offer.from_account, account) if waits else None,
            expires_at=_decided_by(offer, source),
            key=own_key, asked=asked, actor=actor[: audit.ACTOR_LENGTH], created_at=at,
        )  # fmt: skip
        offer.open_units -= taken
        if not offer.is_request:
            offer.open_wants_units -= got
        if waits:
            if source is not None:
                trading_moves.hold(cursor, source, got, actor, at)
        else:
            trade.decided_by, trade.decided_at = trade.actor, at
            trading_moves.settle(cursor, offer, trade, was_waiting=False, actor=actor, at=at)
        if not offer.open_units:
            offer.state, offer.closed_at = OfferState.TAKEN, at
        trade.save(force_insert=True)
        if trade.state == TradeState.SETTLED:
            loans.begin_locked(offer=offer, trade=trade, at=at)
        _keep(offer)
        note(offer, ActKind.ACCEPTED, taken, actor, at, trade)
        return trade


def portion(offer: Offer, taken: int) -> tuple[int, int]:
    """(units given, units got) by the offering account for so many of the open units; parts sum to the whole."""
    if offer.is_request:
        return 0, taken
    return taken, -(-offer.open_wants_units * taken // offer.open_units)


def amount(offer: Offer, taken: int) -> int:
    """What is owed for so many units of the measure, in micros, rounded half up."""
    return price_micros(taken, offer.price_micros, offer.price_block_units)


def check(*, at: datetime, **wish: Any) -> None:
    """Refuses what `offer` would refuse now; makes nothing. Takes the lock for a moment."""
    with transaction.atomic():
        offer(**wish, actor="nobody", at=at)
        transaction.set_rollback(True)


def approve(*, trade: Trade, actor: str, at: datetime) -> Trade:
    """Let a trade that waits happen; approving again gives the first answer. Raises OfferEnded, Refused, Busy."""
    with locks.enterprise(trade.enterprise_id), connection.cursor() as cursor:
        trade = Trade.objects.get(id=trade.id)
        if trade.state == TradeState.SETTLED:
            return trade
        offer = Offer.objects.get(id=trade.offer_id)
        if trade.state != TradeState.WAITING or trade.expires_at <= at:
            raise OfferEnded("This trade was refused before, or has expired.", field="trade")
        trading_moves.settle(cursor, offer, trade, was_waiting=True, actor=actor, at=at)
        _decide(trade, TradeState.SETTLED, actor, at)
        loans.begin_locked(offer=offer, trade=trade, at=at)
        _keep(offer)
        note(offer, ActKind.APPROVED, trade.units, actor, at, trade)
        return trade


def refuse(*, trade: Trade, actor: str, at: datetime) -> Trade:
    """Let a trade that waits not happen: its units are open again, or go back if the offer has ended meanwhile.

    Refusing again gives the first answer. Raises OfferEnded, Busy.
    """
    with locks.enterprise(trade.enterprise_id), connection.cursor() as cursor:
        trade = Trade.objects.get(id=trade.id)
        if trade.state == TradeState.REFUSED:
            return trade
        if trade.state != TradeState.WAITING:
            raise OfferEnded("This trade was settled before, or has expired.", field="trade")
        _undo_waiting(cursor, trade, TradeState.REFUSED, ActKind.REFUSED, actor, at, at)
        return trade


def withdraw(*, offer: Offer, actor: str, at: datetime) -> Offer:
    """Take an offer back: what is open comes out of escrow; trades that wait for approval go on waiting.

    Withdrawing again gives the first answer. Raises OfferEnded, Busy.
    """
    return _ended_by(offer, OfferState.WITHDRAWN, ActKind.WITHDRAWN, actor, at)


def decline(*, offer: Offer, actor: str, at: datetime) -> Offer:
    """Say no to an offer, as the account that it is for; declining again gives the first answer.

    Raises NotAllowed, OfferEnded, Busy.
    """
    if offer.to_account_id is None:
        raise NotAllowed("An offer to all is not refused by one: leave it alone.", field="offer")
    return _ended_by(offer, OfferState.REFUSED, ActKind.REFUSED, actor, at)


def _ended_by(offer: Offer, state: str, kind: str, actor: str, at: datetime) -> Offer:
    with locks.enterprise(offer.enterprise_id), connection.cursor() as cursor:
        offer = Offer.objects.get(id=offer.id)
        if offer.state == state:
            return offer
        _refuse_ended(offer, at)
        _end(cursor, offer, state, kind, actor, at, at)
        return offer


# --- expiry ------------------------------------------------------------------------------------------------------


def sweep(*, actor: str, at: datetime) -> int:
    """Expire what is due in all enterprises, one transaction each; returns how many. Repeating it does nothing."""
    due = set(
        Offer.objects.filter(state=OfferState.OPEN, expires_at__lte=at).values_list("enterprise_id", flat=True)
    ) | set(Trade.objects.filter(state=TradeState.WAITING, expires_at__lte=at).values_list("enterprise_id", flat=True))
    ended = 0
    for enterprise_id in sorted(due):
        with locks.enterprise(enterprise_id), connection.cursor() as cursor:
            ended += expire_due_locked(cursor, enterprise_id=enterprise_id, actor=actor, at=at)
    return ended


def expire_due_locked(cursor, *, enterprise_id: int, actor: str, at: datetime) -> int:
    """The same for one enterprise whose lock is held. Dated when each was due, so before its cycle closes."""
    trades = Trade.objects.filter(enterprise_id=enterprise_id, state=TradeState.WAITING, expires_at__lte=at)
    offers = Offer.objects.filter(enterprise_id=enterprise_id, state=OfferState.OPEN, expires_at__lte=at)
    due_offers, due_trades = list(offers.order_by("id")), list(trades.order_by("id"))
    for due in due_offers:
        _end(cursor, due, OfferState.EXPIRED, ActKind.EXPIRED, actor, due.expires_at, at)
    for waiting in due_trades:
        _undo_waiting(cursor, waiting, TradeState.EXPIRED, ActKind.EXPIRED, actor, waiting.expires_at, at)
    return len(due_offers) + len(due_trades)


def _end(cursor, offer: Offer, state: str, kind: str, actor: str, at: datetime, recorded_at: datetime) -> None:
    """End an open offer: what is open comes out of escrow."""
    freed = 0 if offer.is_request else offer.open_units
    changes = trading_moves.back(offer.bucket_id, freed, at)
    trading_moves.post(cursor, offer.enterprise_id, changes, actor, recorded_at)
    units, offer.held_units = offer.open_units, offer.held_units - freed
    offer.state, offer.closed_at = state, at
    _keep(offer)
    note(offer, kind, units, actor, at, recorded_at=recorded_at)


def _undo_waiting(cursor, trade: Trade, state: str, kind: str, actor: str, at: datetime, recorded_at: datetime) -> None:
    """A trade that waited does not happen: units of an offer that still stands are open again, all others go back."""
    offer = Offer.objects.get(id=trade.offer_id)
    changes = trading_moves.back(trade.bucket_id, trade.got_units, at)
    lapsed = False
    if offer.state in (OfferState.OPEN, OfferState.TAKEN) and offer.expires_at > at:
        offer.open_units += trade.units
        if not offer.is_request:
            offer.open_wants_units += trade.got_units
        offer.state, offer.closed_at = OfferState.OPEN, None
    else:
        changes += trading_moves.back(offer.bucket_id, trade.gave_units, at)
        offer.held_units -= trade.gave_units
        lapsed = offer.state == OfferState.TAKEN  # nobody can take it again: its time passed while the trade waited
        if lapsed:
            offer.state = OfferState.EXPIRED
    trading_moves.post(cursor, offer.enterprise_id, changes, actor, recorded_at)
    _decide(trade, state, actor, at)
    _keep(offer)
    note(offer, kind, trade.units, actor, at, trade, recorded_at=recorded_at)
    if lapsed and kind != ActKind.EXPIRED:
        note(offer, ActKind.EXPIRED, trade.units, actor, at, recorded_at=recorded_at)


# --- what may be -------------------------------------------------------------------------------------------------


def common_ancestor(one: Account, other: Account) -> Account:
    """The nearest account that is above both, or is one of them and above the other."""
    above = {account.id for account in path_of(one)}
    return next(account for account in path_of(other) if account.id in above)


def _sides(
    account: Account, to_account: Account | None, counters: Offer | None, at: datetime
) -> tuple[Account, Account | None]:
    """Both sides of a new offer as they are under the lock."""
    account = _trader(account, field="account")
    if to_account is not None:
        to_account = _trader(to_account, field="to_account")
        if to_account.enterprise_id != account.enterprise_id or to_account.id == account.id:
            raise NotAllowed("An account trades with another account of its enterprise.", field="to_account")
    if counters is not None:
        _refuse_counter(counters, account, to_account, at)
    if Offer.objects.filter(from_account=account, state=OfferState.OPEN).count() >= OFFERS_MOST:
        raise Refused(f"An account has at most {OFFERS_MOST} open offers: withdraw some first.")
    return account, to_account


def _prices(enterprise_id: int, service: int, zones: list[int], price: int, at: datetime) -> Band:
    """The band, with the price in it."""
    prices = band(enterprise_id, service, zones, at)
    if not 0 <= price <= prices.most_micros:
        raise Refused(
            f"The price of {prices.block_units} units goes from 0 to the overage rate, {prices.most_micros} micros.",
            field="price_micros",
        )
    return prices


def _trader(account: Account, *, field: str) -> Account:
    present = Account.objects.filter(id=account.id).first()
    if present is None or present.closed_at is not None:
        raise NotAllowed(f"“{account.name}” is closed.", field=field)
    return present


def _allowing(account: Account, service: int) -> TermsInForce:
    terms = terms_of(account, service)
    if not terms.may_trade:
        place = terms.said_by["may_trade"]
        where = f", says “{place.name}”" if place is not None and place.id != account.id else ""
        raise NotAllowed(f"“{account.name}” may not trade {SERVICE_NAMES[service]}{where}.", field="account")
    return terms


def _refuse_nonsense(
    gives_units: int, wants_service: int | None, wants_units: int, price: int, bucket: Bucket | None
) -> None:
    fields.whole_number(gives_units, 0, fields.UNITS_MOST, field="gives_units")
    fields.whole_number(wants_units, 0, fields.UNITS_MOST, field="wants_units")
    fields.whole_number(price, 0, fields.UNITS_MOST, field="price_micros")
    if not gives_units and not wants_units:
        raise Refused("Offer some units, or ask for some.", field="gives_units")
    if bool(gives_units) != (bucket is not None):
        raise Refused("What is given comes out of a bucket: name it with the units.", field="bucket")
    if bool(wants_units) != (wants_service is not None):
        raise Refused("Name the service of the units that are wanted.", field="wants_service")
    if wants_service is not None:
        fields.service(wants_service)
    if gives_units and wants_units and price:
        raise Refused("Ask either for units or for a price.", field="price_micros")


def _refuse_lots(units: int, least: int, lot: int) -> None:
    if units % lot:
        raise Refused(f"Trade whole lots of {lot} units.", field="units")
    if not 1 <= least <= units or least % lot:
        raise Refused(f"The least to be taken is whole lots of {lot}, at most all.", field="minimum_units")


def _refuse_portion(offer: Offer, taken: int) -> None:
    if not 1 <= taken <= offer.open_units:
        raise ledger.NotEnough(f"Of this offer {offer.open_units} units are open.", field="units")
    if taken != offer.open_units and (taken % offer.lot_units or taken < offer.minimum_units):
        raise Refused(
            f"Take at least {offer.minimum_units} units in lots of {offer.lot_units}, or all that is open.",
            field="units",
        )


def _refuse_counter(counters: Offer, account: Account, to_account: Account | None, at: datetime) -> None:
    counters.refresh_from_db()
    _refuse_ended(counters, at)
    if counters.to_account_id not in (None, account.id) or counters.from_account_id == account.id:
        raise NotAllowed("Only who an offer is for can answer it with another.", field="account")
    if to_account is None or to_account.id != counters.from_account_id:
        raise NotAllowed("A counter-offer goes to who made the offer.", field="to_account")


def _refuse_ended(offer: Offer, at: datetime) -> None:
    if offer.state != OfferState.OPEN:
        raise OfferEnded(f"This offer is not open: it was {OfferState(offer.state).label.lower()}.", field="offer")
    if offer.expires_at <= at:
        raise OfferEnded(f"This offer expired on {offer.expires_at:%Y-%m-%d %H:%M} UTC.", field="offer")


def _decided_by(offer: Offer, source: Bucket | None) -> datetime:
    """When a trade that waits expires: with the cycle of its buckets, and before a loan would return."""
    ends = [bucket.valid_until for bucket in (offer.bucket, source) if bucket is not None]
    if offer.returns_at is not None:
        if source is not None and offer.returns_at > source.valid_until:
            raise Refused(f"“{source.name}” ends before the loan returns.", field="bucket")
        ends.append(offer.returns_at)
    return min(ends)


def _ends_at(wished: datetime | None, returns_at: datetime | None, bucket: Bucket | None, at: datetime) -> datetime:
    """When an offer expires: as wished, within the cycle of what is given, and before a loan returns."""
    last = bucket.valid_until if bucket is not None else at + USUAL_DAYS
    if returns_at is not None:
        if returns_at <= at:
            raise Refused("A loan returns after now.", field="returns_at")
        if bucket is not None and returns_at > last:
            raise Refused(
                f"“{bucket.name}” ends on {last:%Y-%m-%d %H:%M} UTC: by then a loan is back.", field="returns_at"
            )
        if wished is not None and wished > returns_at:
            raise Refused("An offer of a loan ends before the loan returns.", field="expires_at")
        last = min(last, returns_at)
    ends_at = wished or min(at + USUAL_DAYS, last)
    if ends_at <= at:
        raise Refused("An offer ends after now.", field="expires_at")
    if bucket is not None and ends_at > last:
        raise Refused(f"“{bucket.name}” ends on {last:%Y-%m-%d %H:%M} UTC: so does the offer.", field="expires_at")
    return ends_at


def _paying(offer: Offer, account: Account, units: int, wished: Bucket | None, at: datetime) -> Bucket | None:
    """The taker's bucket that units for the offering account come from: as wished, or the fullest."""
    if not units:
        return None
    service = offer.wants_service
    assert service is not None
    own = trading_moves.own_buckets(account.id, service, at)
    source = own.filter(id=wished.id).first() if wished is not None else own.first()
    if source is None:
        raise ledger.NotEnough(
            f"“{account.name}” has no units of its own of {SERVICE_NAMES[service]} to give.", field="bucket"
        )
    terms = _allowing(account, service)
    trading_moves.refuse_unless_giveable(
        source, units, keep_units=terms.floor_units, may_regift=terms.may_regift, at=at
    )
    trading_moves.refuse_circle(source, offer.from_account)
    return source


def _make_room(cursor, answer: Offer, account: Account, actor: str, at: datetime) -> None:
    """Who accepts a counter-offer does so instead of their own offer: that is withdrawn, its units are free for it."""
    first = Offer.objects.filter(countered_by=answer).get()
    if first.state == OfferState.OPEN and first.from_account_id == account.id:
        _end(cursor, first, OfferState.WITHDRAWN, ActKind.WITHDRAWN, actor, at, at)


# --- writing -----------------------------------------------------------------------------------------------------


def _keep(offer: Offer) -> None:
    offer.save(update_fields=["open_units", "open_wants_units", "held_units", "state", "closed_at"])


def _decide(trade: Trade, state: str, actor: str, at: datetime) -> None:
    trade.state, trade.decided_by, trade.decided_at = state, actor[: audit.ACTOR_LENGTH], at
    trade.save(update_fields=["state", "decided_by", "decided_at", "gave_transfer", "got_transfer"])
