"""The Market screen: an offer and its acceptance are shown with their effect first, then it is one click."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from balances import allocation, cycles
from balances.allocation_plan import Wish
from balances.models import Bucket, Offer, Trade
from balances.units import GIB, Service
from portal.models import Membership, Role
from tests.cast import ACTOR, Cast
from tests.web.test_operating import Browser

pytestmark = pytest.mark.django_db
PAGE = "account-market"


@pytest.fixture
def north(cast: Cast) -> Bucket:
    """What North holds: 10 GiB; Dora manages South."""
    now, accounts = datetime.now(UTC), cast.aurora.accounts
    cycles.open_cycles(enterprise_id=cast.aurora.enterprise.id, until=now, actor=ACTOR)
    root = Bucket.objects.filter(account=cast.aurora.root, service=Service.DATA, closed_at=None).latest("valid_until")
    wishes = [Wish(1, ("account", accounts["NORTH"].id), units=10 * GIB)]
    allocation.apply(bucket_id=root.id, wishes=wishes, actor=ACTOR, at=now)
    Membership.objects.create(
        user=cast.dora, role=Role.MANAGER, enterprise=cast.aurora.enterprise, account=accounts["SOUTH"]
    )
    return Bucket.objects.get(account=accounts["NORTH"], source=root)


def pressed(browser: Browser, account_id: int, page: str) -> str:
    """Press the one button of a preview."""
    form = page[page.index('name="key"') - 40 :]
    hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form))
    return browser.post(PAGE, account_id, **hidden)


def test_two_managers_trade_without_seeing_each_others_accounts(cast: Cast, north: Bucket):
    carla, dora = Browser(cast.carla), Browser(cast.dora)
    giver, taker = north.account_id, cast.aurora.accounts["SOUTH"].id
    typed = {
        "action": "offer", "offer-bucket": str(north.id), "offer-gives": "4 GiB", "offer-price": "0.002",
    }  # fmt: skip
    shown = carla.post(PAGE, giver, **typed)
    assert "Before it is offered" in shown
    assert "10\u202fGiB" in shown
    assert "6\u202fGiB" in shown
    assert not Offer.objects.exists()
    done = pressed(carla, giver, shown)
    assert "The offer stands until" in done
    assert "1 by it" in done
    offer = Offer.objects.get()
    assert (offer.held_units, offer.price_micros) == (4 * GIB, 2000)

    market = dora.get(PAGE, taker)
    assert "North" in market
    assert "4\u202fGiB" in market
    assert "10\u202fGiB" not in market  # what North has is not South's business
    effect = dora.post(PAGE, taker, action="accept", offer=offer.id, amount="1 GiB")
    assert "Before it is accepted" in effect
    assert "holds nothing of its own" in effect
    assert "€2.05 is owed for it" in effect  # 1,024 MiB at 0.002
    assert "have changed hands" in pressed(dora, taker, effect)
    assert Trade.objects.get().gave_units == GIB
    assert "The offer is withdrawn" in carla.post(PAGE, giver, action="withdraw", offer=offer.id)
    north.refresh_from_db()
    assert (north.remaining_units, north.reserved_units, north.given_units) == (9 * GIB, 0, GIB)


def test_what_cannot_be_is_said_at_its_field(cast: Cast, north: Bucket):
    carla, giver = Browser(cast.carla), north.account_id
    for field, value, words in (
        ("offer-price", "0.005", "overage rate"),
        ("offer-gives", "11 GiB", "free units"),
        ("offer-to", "NOWHERE", "no open account with this code"),
    ):
        typed = {"offer-bucket": str(north.id), "offer-gives": "1 GiB", "action": "offer", field: value}
        assert words in carla.post(PAGE, giver, **typed)
    assert "Choose what you give" in carla.post(PAGE, giver, action="offer")
    assert not Offer.objects.exists()


def test_only_who_manages_acts_and_empty_pages_say_what_to_do(cast: Cast, north: Bucket):
    page = Browser(cast.carla).get(PAGE, north.account_id)
    assert "The market is empty" in page
    assert "0 to €0.004 per 1\u202fMiB" in page
    Membership.objects.filter(user=cast.dora, role=Role.MANAGER).delete()
    south = cast.aurora.accounts["SOUTH"].id
    assert "Make an offer" not in Browser(cast.dora).get(PAGE, south)
