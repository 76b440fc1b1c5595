"""Standing transfers: so many units from one account to another, once in each cycle, until a date or by hand.

The only writer of StandingTransfer and StandingRun. A run gives through `balances.trading`, so terms, floor, lots,
approval and acts are those of any gift. Each cycle has at most one run, held by the database; a turn that was missed is
made up for within its cycle, and noted as missed where the cycle is over: its units have expired. See docs/trading.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from balances import audit, fields, locks, trading, trading_moves
from balances.errors import Refused
from balances.models import Account, Bucket, Contract, StandingRun, StandingTransfer, Trade
from balances.models.trading import SHORT, RunOutcome, Shortage, StandingState
from balances.periods import Period, midnight, next_cycle
from balances.selectors.terms import terms_at
from balances.trading_acts import first_answer, own_key_of
from balances.trading_terms import terms_of
from balances.units import SERVICE_NAMES

#: Standing transfers of one account that have not ended.
STANDING_MOST = 100


def make(
    *,
    account: Account,
    to_account: Account,
    service: int,
    units: int,
    day: int = 1,
    on_shortage: str = Shortage.SKIP,
    until: datetime | None = None,
    key: str | None = None,
    actor: str,
    at: datetime,
) -> StandingTransfer:
    """Give so many units of a service in each cycle from the next due time on; `key` makes repeating harmless.

    Due at the beginning of a civil day of the cycle, 1 to 28. One transaction under the enterprise's lock. Raises
    NotAllowed, KeyConflict, Refused, Unreadable, Busy.
    """
    fields.service(service)
    fields.whole_number(units, 1, fields.UNITS_MOST, field="units")
    fields.whole_number(day, 1, 28, field="day")
    if on_shortage not in Shortage.values:
        raise Refused("Say what a run does where there is less: skip, or part.", field="on_shortage")
    asked: dict[str, Any] = {
        "account": account.id, "to": to_account.id, "service": service, "units": units, "day": day,
        "on_shortage": str(on_shortage), "until": until.isoformat() if until else None,
    }  # fmt: skip
    with locks.enterprise(account.enterprise_id):
        own_key = own_key_of("standing", account.enterprise_id, key)
        if first := first_answer(StandingTransfer, own_key, asked):
            return first
        for side, name in ((account, "account"), (to_account, "to_account")):
            if not Account.objects.filter(id=side.id, enterprise_id=account.enterprise_id, closed_at=None).exists():
                raise trading.NotAllowed("Both are open accounts of one enterprise.", field=name)
        if account.id == to_account.id:
            raise trading.NotAllowed("An account trades with another account.", field="to_account")
        terms = terms_of(account, service)
        if not terms.may_trade:
            raise trading.NotAllowed(f"“{account.name}” may not trade {SERVICE_NAMES[service]}.", field="account")
        if units % terms.lot_units:
            raise Refused(f"Trade whole lots of {terms.lot_units} units.", field="units")
        standing_now = StandingTransfer.objects.filter(from_account=account).exclude(state=StandingState.ENDED)
        if standing_now.count() >= STANDING_MOST:
            raise Refused(f"An account has at most {STANDING_MOST} standing transfers: end some first.")
        next_at = next_due(account.enterprise_id, day, at)
        if next_at is None:
            raise Refused("No contract is in force: there are no cycles to give in.", field="account")
        if until is not None and until <= next_at:
            raise Refused(f"Its first run is due on {next_at:%Y-%m-%d %H:%M} UTC: end after it.", field="until")
        made = StandingTransfer.objects.create(
            enterprise_id=account.enterprise_id, from_account=account, to_account=to_account, service=service,
            units=units, day=day, on_shortage=on_shortage, next_at=next_at, until=until, key=own_key, asked=asked,
            actor=actor[: audit.ACTOR_LENGTH], created_at=at,
        )  # fmt: skip
        _audit(made, "made", asked, actor, at)
        return made


def check(*, at: datetime, **wish: Any) -> StandingTransfer:
    """The standing transfer that `make` would make; makes nothing, refuses what it would."""
    with transaction.atomic():
        made = make(**wish, actor="nobody", at=at)
        transaction.set_rollback(True)
        return made


def pause(*, standing: StandingTransfer, actor: str, at: datetime) -> StandingTransfer:
    """Run no more until it is resumed; pausing again does nothing. Raises Refused, Busy."""
    return _turned(standing, StandingState.PAUSED, actor, at)


def resume(*, standing: StandingTransfer, actor: str, at: datetime) -> StandingTransfer:
    """Go on with the next due time from now; what fell into the pause is not made up for. Raises Refused, Busy."""
    return _turned(standing, StandingState.ACTIVE, actor, at)


def end(*, standing: StandingTransfer, actor: str, at: datetime) -> StandingTransfer:
    """End it for good; ending again does nothing. Raises Busy."""
    return _turned(standing, StandingState.ENDED, actor, at)


def _turned(standing: StandingTransfer, state: str, actor: str, at: datetime) -> StandingTransfer:
    with locks.enterprise(standing.enterprise_id):
        standing = StandingTransfer.objects.get(id=standing.id)
        if standing.state == state:
            return standing
        if standing.state == StandingState.ENDED:
            raise Refused("This standing transfer has ended: make another.", field="standing")
        if state == StandingState.ACTIVE and standing.next_at <= at:
            following = next_due(standing.enterprise_id, standing.day, at)
            standing.next_at = following or standing.next_at
        standing.state = state
        standing.ended_at = at if state == StandingState.ENDED else None
        standing.save(update_fields=["state", "next_at", "ended_at"])
        _audit(standing, str(state), {}, actor, at)
        return standing


# --- by themselves -----------------------------------------------------------------------------------------------


def run_due(*, actor: str, at: datetime) -> int:
    """Run what is due in all enterprises, one transaction a run; returns how many. Repeating it does nothing."""
    due = StandingTransfer.objects.filter(state=StandingState.ACTIVE, next_at__lte=at).order_by("next_at", "id")
    ran = 0
    for standing in list(due):
        try:
            while _run_next(standing.enterprise_id, standing.id, actor, at):
                ran += 1
        except locks.Busy:  # its turn comes again; the others have theirs now
            continue
    return ran


def _run_next(enterprise_id: int, standing_id: int, actor: str, at: datetime) -> bool:
    """The run that is due next of one standing transfer, if one is; says whether there was one."""
    with locks.enterprise(enterprise_id):
        standing = StandingTransfer.objects.select_related("from_account", "to_account").get(id=standing_id)
        if standing.state != StandingState.ACTIVE or standing.next_at > at:
            return False
        terms = terms_at(enterprise_id, standing.next_at)
        is_over = terms.cycle is None or (standing.until is not None and standing.until <= standing.next_at)
        if is_over:
            standing.state, standing.ended_at = StandingState.ENDED, at
            standing.save(update_fields=["state", "ended_at"])
            _audit(standing, "ended", {}, actor, at)
            return False
        assert terms.cycle is not None
        _run(standing, terms.cycle, actor, at)
        standing.next_at = next_due(enterprise_id, standing.day, standing.next_at) or terms.cycle.ends_at
        standing.save(update_fields=["next_at"])
        return True


def _run(standing: StandingTransfer, cycle: Period, actor: str, at: datetime) -> None:
    """Give once for a cycle, and note what came of it."""
    trades: list[Trade] = []
    why = ""
    if at >= cycle.ends_at:
        outcome, why = RunOutcome.MISSED, "Its cycle was over before it could run."
    else:
        try:
            with transaction.atomic():
                trades, why = _given(standing, cycle, actor, at)
        except Refused as refusal:
            trades, why = [], refusal.message
        outcome = RunOutcome.PART if trades and why else RunOutcome.MOVED if trades else RunOutcome.SKIPPED
    run = StandingRun.objects.create(
        enterprise_id=standing.enterprise_id, standing=standing, cycle_start=cycle.starts_at, outcome=outcome,
        units=sum(trade.units for trade in trades), why=why[:200], due_at=standing.next_at, at=at,
    )  # fmt: skip
    Trade.objects.filter(id__in=[trade.id for trade in trades]).update(run=run)
    _audit(standing, "run", {"outcome": str(outcome), "units": run.units, "why": run.why}, actor, at)


def _given(standing: StandingTransfer, cycle: Period, actor: str, at: datetime) -> tuple[list[Trade], str]:
    """The trades of a run, out of the fullest buckets first; and why it is not all. Raises Refused."""
    giver, receiver = standing.from_account, standing.to_account
    pieces, missing = pieces_of(standing, at)
    if missing and (standing.on_shortage == Shortage.SKIP or not pieces):
        return [], f"{missing} of {standing.units} {SHORT}"
    trades = []
    for bucket, units in pieces:
        key = f"standing:{standing.id}:{cycle.starts_at:%Y%m%dT%H%M}:{bucket.id}"
        offer = trading.offer(
            account=giver, to_account=receiver, bucket=bucket, gives_units=units, key=key, actor=actor, at=at
        )
        trades.append(trading.accept(offer=offer, account=receiver, key=key, actor=actor, at=at))
    return trades, f"{missing} of {standing.units} {SHORT}" if missing else ""


def pieces_of(standing: StandingTransfer, at: datetime) -> tuple[list[tuple[Bucket, int]], int]:
    """What a run at this time takes from which bucket, in whole lots and above the floor; and what is missing."""
    terms = terms_of(standing.from_account, standing.service)
    buckets = list(trading_moves.own_buckets(standing.from_account_id, standing.service, at))
    room = sum(bucket.remaining_units for bucket in buckets) - terms.floor_units
    wanted = standing.units // terms.lot_units * terms.lot_units
    left = min(wanted, max(room, 0) // terms.lot_units * terms.lot_units)
    pieces = []
    for bucket in buckets:
        units = min(left, bucket.remaining_units // terms.lot_units * terms.lot_units)
        if units and trading_moves.may_go(bucket, standing.to_account, may_regift=terms.may_regift):
            pieces.append((bucket, units))
            left -= units
    return pieces, standing.units - sum(units for _, units in pieces)


def next_due(enterprise_id: int, day: int, after: datetime) -> datetime | None:
    """The first time after `after` at which that day of a cycle begins; None without a contract."""
    terms = terms_at(enterprise_id, after)
    if terms.cycle is None or terms.contract_id is None:
        return None
    anchor = Contract.objects.values_list("cycle_anchor_day", flat=True).get(id=terms.contract_id)
    cycle = terms.cycle
    while True:
        first = cycle.starts_at.astimezone(terms.zone).date()
        due = midnight(first + timedelta(days=day - 1), terms.zone)
        if due > after:
            return due
        cycle = next_cycle(cycle, terms.zone, anchor)


def _audit(standing: StandingTransfer, act: str, detail: dict[str, Any], actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=standing.enterprise_id,
        account_id=standing.from_account_id,
        actor=actor,
        action=f"standing.{act}",
        subject=f"Standing transfer {standing.id}",
        detail=detail,
        at=at,
    )
