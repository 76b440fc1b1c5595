"""Loans on the market screen: lent, shown to both sides, given back with its effect shown first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from balances.models import Bucket, Loan, StandingTransfer
from balances.units import GIB
from portal.web.forms import LOCAL
from tests.cast import Cast
from tests.web.test_market import PAGE, north, pressed
from tests.web.test_operating import Browser

pytestmark = pytest.mark.django_db
__all__ = ["north"]


def test_a_loan_is_made_shown_and_given_back(cast: Cast, north: Bucket):
    carla, dora = Browser(cast.carla), Browser(cast.dora)
    giver, taker = north.account_id, cast.aurora.accounts["SOUTH"].id
    back = (north.valid_until - timedelta(hours=6)).strftime(LOCAL)
    typed = {"offer-bucket": str(north.id), "offer-gives": "4 GiB", "offer-to": "SOUTH", "offer-returns_at": back}
    until = (north.valid_until - timedelta(hours=8)).strftime(LOCAL)
    shown = carla.post(PAGE, giver, action="offer", **typed, **{"offer-expires_at": until})
    assert "A loan: what is unused comes back on" in shown
    pressed(carla, giver, shown)
    offer_page = dora.get(PAGE, taker)
    assert "loan until" in offer_page
    pressed(dora, taker, dora.post(PAGE, taker, action="accept", offer=north.offers.get().id))
    loan = Loan.objects.get()
    assert (loan.units, loan.bucket.account_id) == (4 * GIB, taker)
    assert "Lent to South" in carla.get(PAGE, giver)
    assert "Borrowed from North" in dora.get(PAGE, taker)
    effect = dora.post(PAGE, taker, action="repay", loan=loan.id, amount="1 GiB")
    assert "Before it goes back" in effect
    assert "after: 3\u202fGiB" in effect
    assert "are still owed" in pressed(dora, taker, effect)
    north.refresh_from_db()
    assert north.remaining_units == 7 * GIB
    assert "not due yet" in carla.post(PAGE, giver, action="forgive", loan=loan.id)
    loan.refresh_from_db()
    assert (loan.state, loan.owed_units) == ("lent", 3 * GIB)


def test_a_standing_transfer_is_shown_before_it_is_made_and_can_be_paused_and_ended(cast: Cast, north: Bucket):
    carla, giver = Browser(cast.carla), north.account_id
    typed = {"standing-to": "SOUTH", "standing-service": "1", "standing-amount": "2 GiB", "standing-day": "28"}
    shown = carla.post(PAGE, giver, action="standing", **typed, **{"standing-on_shortage": "part"})
    assert "Before it is given each cycle" in shown
    assert "8\u202fGiB" in shown  # North's ten, were it run now
    assert not StandingTransfer.objects.exists()
    assert "The first run is due on" in pressed(carla, giver, shown)
    row = StandingTransfer.objects.get()
    assert (row.units, row.on_shortage) == (2 * GIB, "part")
    for act, state in (("pause", "paused"), ("resume", "active"), ("end", "ended")):
        carla.post(PAGE, giver, action=act, standing=row.id)
        row.refresh_from_db()
        assert row.state == state
