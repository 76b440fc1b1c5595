"""Terms of trading on the market screen: what then holds is shown before it does."""

from __future__ import annotations

import pytest

from balances.models import Bucket, TradingTerms
from balances.units import GIB
from tests.cast import Cast
from tests.web.test_market import PAGE, north, pressed
from tests.web.test_operating import Browser

pytestmark = pytest.mark.django_db
__all__ = ["north"]


def test_terms_are_shown_then_hold_and_come_back_into_the_form(cast: Cast, north: Bucket):
    carla, account = Browser(cast.carla), north.account_id
    typed = {"terms-service": "data", "terms-floor_units": "3 GiB", "terms-may_trade": "no", "terms-lot_units": "1 GiB"}
    shown = carla.post(PAGE, account, action="terms", **typed)
    assert "3\u202fGiB, says North" in shown
    assert "yes, nobody says otherwise" in shown
    assert not TradingTerms.objects.exists()
    assert "The terms hold" in pressed(carla, account, shown)
    terms = TradingTerms.objects.get()
    assert (terms.may_trade, terms.may_regift, terms.floor_units, terms.lot_units) == (False, None, 3 * GIB, GIB)
    assert 'value="3 GiB"' in carla.get(PAGE, account)
    assert "no quantity" in carla.post(PAGE, account, action="terms", **{**typed, "terms-floor_units": "much"})


def test_both_sides_of_an_offer_are_shown_to_who_sees_both(cast: Cast, north: Bucket):
    typed = {"offer-bucket": str(north.id), "offer-gives": "4 GiB", "offer-to": "SOUTH", "action": "offer"}
    assert "Data of South" in Browser(cast.alice).post(PAGE, north.account_id, **typed)
    assert "Data of South" not in Browser(cast.carla).post(PAGE, north.account_id, **typed)
