"""Trading: units in escrow while an offer is open, exactly one end of each offer, nothing lost on the way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from balances import cycles, hierarchy, proof, trading, trading_terms
from balances.ledger import KeyConflict, NotEnough
from balances.models import Account, Bucket, Offer, OfferAct, Trade
from balances.models.trading import OfferState, TradeState
from balances.trading import NotAllowed, OfferEnded
from balances.trading_moves import WentBefore
from portal.charging import pipeline
from tests.balances.test_ledger import give
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World

VOICE = "grant:Voice:1"
DATA_NO, VOICE_NO = 1, 2
DOING = {"actor": ACTOR, "at": START}
pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None) -> World:
    """N has 40 data of its own, S 30 voice."""
    world = World()
    give(world, 40, "N")
    give(world, 30, "S", VOICE)
    return world


def held(world: World, code: str, service: int = DATA_NO) -> tuple[int, int]:
    """(remaining, reserved) of all that an account holds itself of a service in March."""
    buckets = Bucket.objects.filter(account=world.accounts[code], service=service, cycle_start=BOUNDARIES[1])
    return sum(b.remaining_units for b in buckets), sum(b.reserved_units for b in buckets)


def own(world: World, code: str, service: int = DATA_NO) -> Bucket:
    return Bucket.objects.filter(account=world.accounts[code], service=service, cycle_start=BOUNDARIES[1]).latest(
        "remaining_units"
    )


def offered(world: World, units: int = 10, to: str | None = "S", by: str = "N", **changes) -> Offer:
    values = {
        "account": world.accounts[by],
        "to_account": world.accounts[to] if to else None,
        "bucket": own(world, by) if units else None,
        "gives_units": units,
        **DOING,
    }
    return trading.offer(**{**values, **changes})


def accepted(world: World, offer: Offer, by: str = "S", **changes) -> Trade:
    return trading.accept(**{"offer": offer, "account": world.accounts[by], **DOING, **changes})


def proven(world: World) -> bool:
    return not [f.faults for f in proof.prove(enterprise_id=world.enterprise.id) if not f.holds]


def test_offered_units_can_neither_be_used_nor_offered_twice(world: World):
    offered(world, 30)
    assert held(world, "N") == (10, 30)
    with pytest.raises(NotEnough):
        offered(world, 11)
    # Line b of N uses 25: 10 are N's own, the others come from the root's pool, none from escrow.
    world.accept([Record("one", "b", "data", NUMBERS["b"], 25, START - timedelta(hours=1))])
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    assert held(world, "N") == (0, 30)
    assert proven(world)


def test_a_gift_arrives_as_a_bucket_of_the_receiver(world: World):
    source = own(world, "N")
    trade = accepted(world, offered(world, 10))
    assert trade.state == TradeState.SETTLED
    assert (held(world, "N"), held(world, "S")) == ((30, 0), (10, 0))
    got = own(world, "S")
    assert (got.kind, got.source_id) == ("trade", source.id)
    for name in ("service", "zone_ids", "priority", "valid_from", "valid_until", "allowance_id", "cycle_start"):
        assert getattr(got, name) == getattr(source, name)
    world.accept([Record("one", "c", "data", NUMBERS["c"], 4, START - timedelta(hours=1))])
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    assert held(world, "S") == (6, 0)
    assert proven(world)


def test_parts_of_a_swap_sum_to_the_whole_to_the_last_unit(world: World):
    offer = offered(world, 9, None, wants_service=VOICE_NO, wants_units=20)
    parts = [accepted(world, offer, units=units) for units in (2, 3, 4)]
    assert [trade.got_units for trade in parts] == [5, 7, 8]
    assert sum(trade.got_units for trade in parts) == 20
    offer.refresh_from_db()
    assert (offer.state, offer.held_units) == (OfferState.TAKEN, 0)
    assert (held(world, "N", VOICE_NO), held(world, "S", VOICE_NO)) == ((20, 0), (10, 0))
    assert proven(world)


def test_prices_stay_within_the_band_and_are_kept_for_the_bill(world: World):
    band = trading_terms.band(world.enterprise.id, DATA_NO, own(world, "N").zone_ids, START)
    assert (band.most_micros, band.block_units) == (1000, 3)  # home is cheaper than the rest of Europe
    with pytest.raises(trading.Refused, match="overage"):
        offered(world, 9, price_micros=1001)
    trade = accepted(world, offered(world, 9, price_micros=500), units=4)
    assert (trade.amount_micros, trade.payer) == (667, world.accounts["S"])


def test_a_request_is_paid_by_who_asks(world: World):
    asked = offered(world, 0, None, wants_service=VOICE_NO, wants_units=12, price_micros=50_000)
    trade = accepted(world, asked, units=6)
    assert (trade.got_units, trade.payer, trade.amount_micros) == (6, world.accounts["N"], 5_000)
    assert (held(world, "N", VOICE_NO), held(world, "S", VOICE_NO)) == ((6, 0), (24, 0))
    assert proven(world)


def test_floor_lot_and_minimum_hold(world: World):
    trading_terms.set_terms(account=world.accounts["R"], service=DATA_NO, floor_units=15, lot_units=5, **DOING)
    terms = trading_terms.terms_of(world.accounts["N"], DATA_NO)
    assert (terms.floor_units, terms.said_by["floor_units"].code, terms.said_by["may_trade"]) == (15, "R", None)
    for units in (7, 30):
        with pytest.raises(trading.Refused):
            offered(world, units)
    offer = offered(world, 25, minimum_units=10)
    for units in (5, 12, 26):
        with pytest.raises(trading.Refused):
            accepted(world, offer, units=units)
    assert accepted(world, offer, units=15).units == 15
    assert accepted(world, offer).units == 10
    trading_terms.set_terms(account=world.accounts["N"], service=DATA_NO, may_trade=False, **DOING)
    with pytest.raises(NotAllowed):
        offered(world, 5)


def test_no_trade_with_oneself_nor_in_a_circle_nor_onwards_where_forbidden(world: World):
    with pytest.raises(NotAllowed):
        offered(world, 5, "N")
    with pytest.raises(NotAllowed):
        accepted(world, offered(world, 5, None), "N")
    with pytest.raises(WentBefore):
        offered(world, 5, "R")  # they were allocated by the root
    accepted(world, offered(world, 5))
    with pytest.raises(WentBefore):
        offered(world, 5, "N", "S")
    assert offered(world, 2, "N1", "S").held_units == 2
    trading_terms.set_terms(account=world.accounts["R"], service=DATA_NO, may_regift=False, **DOING)
    with pytest.raises(WentBefore):
        offered(world, 2, "N1", "S")
    with pytest.raises(NotAllowed):
        offered(world, 5, wants_service=DATA_NO, wants_units=1)


def test_above_a_size_the_manager_above_both_decides_once(world: World):
    trading_terms.set_terms(account=world.accounts["N"], service=DATA_NO, approval_above_units=5, **DOING)
    offer = offered(world, 12, None, wants_service=VOICE_NO, wants_units=12)
    assert accepted(world, offer, units=5).state == TradeState.SETTLED
    first = accepted(world, offer)
    assert (first.state, first.approver_account) == (TradeState.WAITING, world.accounts["R"])
    assert (held(world, "N"), held(world, "S", VOICE_NO)) == ((28, 7), (18, 7))
    assert proven(world)
    trading.refuse(trade=first, **DOING)
    second = accepted(world, offer)
    done = trading.approve(trade=second, **DOING)
    assert trading.approve(trade=second, actor="user:2 Other", at=START) == done
    assert trading.approve(trade=second, **DOING).decided_by == ACTOR
    with pytest.raises(OfferEnded):
        trading.refuse(trade=second, **DOING)
    assert (held(world, "N"), held(world, "S", VOICE_NO)) == ((28, 0), (18, 0))
    assert list(OfferAct.objects.filter(offer=offer).order_by("id").values_list("kind", flat=True)) == [
        "offered", "accepted", "accepted", "refused", "accepted", "approved",
    ]  # fmt: skip
    assert proven(world)


def test_a_trade_refused_after_its_offer_would_have_expired_ends_the_offer_too(world: World):
    """Taken whole, so the sweep leaves the offer to the trade that waits."""
    trading_terms.set_terms(account=world.accounts["N"], service=DATA_NO, approval_above_units=5, **DOING)
    offer = offered(world, 12, None, expires_at=START + timedelta(hours=1))
    waiting = accepted(world, offer)
    later = START + timedelta(hours=2)
    assert trading.sweep(actor=ACTOR, at=later) == 0
    trading.refuse(trade=waiting, actor=ACTOR, at=later)
    offer.refresh_from_db()
    assert (offer.state, offer.held_units, held(world, "N")[1]) == ("expired", 0, 0)
    acts = OfferAct.objects.filter(offer=offer).order_by("id")
    assert [act.kind for act in acts] == ["offered", "accepted", "refused", "expired"]
    assert proven(world)


def test_a_counter_offer_takes_the_place_of_the_offer_that_it_answers(world: World):
    first = offered(world, 40, wants_service=VOICE_NO, wants_units=30)
    answer = trading.offer(
        account=world.accounts["S"], to_account=world.accounts["N"], bucket=own(world, "S", VOICE_NO), gives_units=20,
        wants_service=DATA_NO, wants_units=40, counters=first, **DOING,
    )  # fmt: skip
    accepted(world, answer, "N")
    first.refresh_from_db()
    assert first.state == OfferState.WITHDRAWN
    assert (held(world, "N"), held(world, "S"), held(world, "N", VOICE_NO)) == ((0, 0), (40, 0), (20, 0))
    assert proven(world)


def test_a_key_gives_the_first_answer(world: World):
    offer = offered(world, 10, None, key="o")
    assert offered(world, 10, None, key="o", bucket=offer.bucket) == offer
    trade = accepted(world, offer, units=4, key="t")
    assert accepted(world, offer, units=4, key="t") == trade
    with pytest.raises(KeyConflict):
        accepted(world, offer, units=5, key="t")
    assert held(world, "S") == (4, 0)


def test_an_offer_ends_in_one_way_only(world: World):
    gone = offered(world, 5)
    trading.withdraw(offer=gone, **DOING)
    assert trading.withdraw(offer=gone, **DOING).state == OfferState.WITHDRAWN
    for late in (lambda: accepted(world, gone), lambda: trading.decline(offer=gone, **DOING)):
        with pytest.raises(OfferEnded):
            late()
    refused = offered(world, 5)
    assert trading.decline(offer=refused, **DOING).state == OfferState.REFUSED
    due = offered(world, 5, expires_at=START + timedelta(hours=1))
    late_time = START + timedelta(hours=1)
    with pytest.raises(OfferEnded):
        accepted(world, due, at=late_time)
    assert trading.sweep(actor="beat", at=late_time) == 1
    assert trading.sweep(actor="beat", at=late_time) == 0
    assert held(world, "N") == (40, 0)
    assert proven(world)


def test_the_end_of_a_cycle_finds_nothing_held_by_offers(world: World):
    trading_terms.set_terms(account=world.accounts["N"], service=DATA_NO, approval_above_units=5, **DOING)
    end = own(world, "N").valid_until
    with pytest.raises(trading.Refused):
        offered(world, 5, expires_at=end + timedelta(seconds=1))
    offered(world, 5, expires_at=end)
    waiting = accepted(world, offered(world, 10, None, expires_at=end), units=10)
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=end + timedelta(minutes=1), actor="beat")
    closed = Bucket.objects.filter(account=world.accounts["N"], cycle_start=BOUNDARIES[1])
    assert {(b.remaining_units, b.reserved_units) for b in closed} == {(0, 0)}
    waiting.refresh_from_db()
    assert waiting.state == TradeState.EXPIRED
    assert set(Offer.objects.values_list("state", flat=True)) == {OfferState.EXPIRED}
    assert proven(world)


def test_traded_units_are_carried_over_with_their_allowance(world: World):
    accepted(world, offered(world, 20))
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=BOUNDARIES[2] + timedelta(minutes=1), actor="beat")
    assert Bucket.objects.filter(account=world.accounts["S"], kind="rollover").exists()
    assert proven(world)


def test_accounts_of_another_enterprise_do_not_trade(world: World):
    other = hierarchy.create_enterprise(operator=world.operator, name="Other", number="O", **DOING)
    stranger = Account.objects.get(enterprise=other)
    with pytest.raises(NotAllowed):
        offered(world, 5, to_account=stranger)
    with pytest.raises(NotAllowed):
        accepted(world, offered(world, 5, None), account=stranger)


@pytest.mark.parametrize("damage", ["UPDATE balances_offer SET held_units = held_units - 1"])
def test_a_damaged_escrow_is_named(world: World, damage: str):
    from django.db import connection

    offered(world, 5)
    assert proven(world)
    with connection.cursor() as cursor:
        cursor.execute(damage)
    faulty = {finding.check.name for finding in proof.prove(enterprise_id=world.enterprise.id) if not finding.holds}
    assert faulty == {"reservations-are-reserved", "offers-are-their-escrow", "offers-are-their-trades"}
