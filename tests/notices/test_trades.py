"""Acts of trading reach the other side, and nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from balances import allocation, trading, trading_terms
from balances.allocation_plan import Wish
from balances.models import Bucket, Offer, Trade
from portal.models import Delivery, Membership, Notice, Role
from portal.notices import outbox, words
from tests.cast import ACTOR, MARCH, NOW, Cast

DOING = {"actor": ACTOR, "at": NOW}
pytestmark = pytest.mark.django_db


@pytest.fixture
def traders(cast: Cast) -> Cast:
    """North, Carla's, holds 6,000 s of voice; South is Dora's."""
    north, south = cast.aurora.accounts["NORTH"], cast.aurora.accounts["SOUTH"]
    bucket = Bucket.objects.get(account=cast.aurora.root, service=2, cycle_start=MARCH)
    allocation.apply(bucket_id=bucket.id, wishes=[Wish(1, ("account", north.id), units=6000)], **DOING)
    Membership.objects.create(user=cast.dora, role=Role.MANAGER, enterprise=cast.aurora.enterprise, account=south)
    return cast


def carlas(cast: Cast) -> dict:
    return {"actor": f"user:{cast.carla.pk} Carla Castell", "at": NOW}


def offered(cast: Cast, to: str | None = "SOUTH", **wish) -> Offer:
    accounts = cast.aurora.accounts
    north = accounts["NORTH"]
    give = {"bucket": Bucket.objects.get(account=north, service=2, cycle_start=MARCH), "gives_units": 1200}
    values = {"account": north, "to_account": accounts[to] if to else None, **give, "price_micros": 30_000}
    return trading.offer(**values, **wish, **carlas(cast))


def told(cast: Cast, at=NOW) -> list[tuple[str, str]]:
    """(who, title) of what is new, in the order of telling."""
    new = outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=at).notices
    deliveries = Delivery.objects.filter(notice__in=new, channel="portal").order_by("notice_id", "id")
    return [(each.user.name, words.message(each.notice).title) for each in deliveries]


def test_an_offer_is_told_to_the_other_sides_manager_alone(traders: Cast) -> None:
    offered(traders)
    assert told(traders) == [("Dora Dahl", "North offers South 20\u202fmin of Voice")]
    message = words.message(Notice.objects.get(), why="manager:South")
    said = dict(message.lines)
    assert message.state_word == "Answer wanted"
    assert said["What"] == "20\u202fmin of Voice for €0.60"
    assert said["Price"].startswith("€0.03 for 1:00\u202fmin, in the band from 0 to €0.06")
    assert "It stands until" in said["What happens next"]


def test_an_offer_to_all_stands_in_the_market_and_calls_nobody(traders: Cast) -> None:
    offered(traders, to=None)
    assert told(traders) == []


def test_accepting_tells_who_offered_and_approval_is_asked_of_who_is_above_both(traders: Cast) -> None:
    accounts = traders.aurora.accounts
    trading_terms.set_terms(account=traders.aurora.root, service=2, approval_above_units=600, **DOING)
    offer = offered(traders, to=None)
    told(traders)
    trading.accept(offer=offer, account=accounts["SOUTH"], units=600, actor=f"user:{traders.dora.pk} Dora", at=NOW)
    assert told(traders) == [("Carla Castell", "South has accepted 10\u202fmin of Voice of North")]
    trading.withdraw(offer=offer, **carlas(traders))
    offer = offered(traders, to=None)
    told(traders)
    trading.accept(offer=offer, account=accounts["SOUTH"], actor=f"user:{traders.dora.pk} Dora", at=NOW)
    assert told(traders) == [
        ("Carla Castell", "South has accepted 20\u202fmin of Voice of North; it waits for approval"),
        ("Alice Arden", "Approve 20\u202fmin of Voice between North and South?"),
    ]
    trading.approve(trade=Trade.objects.latest("id"), actor=f"user:{traders.alice.pk} Alice", at=NOW)
    assert told(traders) == [
        ("Carla Castell", "North and South: 20\u202fmin of Voice approved"),
        ("Dora Dahl", "South and North: 20\u202fmin of Voice approved"),
    ]


def test_refusing_countering_and_expiring_are_told(traders: Cast) -> None:
    accounts, dora = traders.aurora.accounts, {"actor": f"user:{traders.dora.pk} Dora", "at": NOW}
    offer = offered(traders)
    told(traders)
    counter = trading.offer(
        account=accounts["SOUTH"], to_account=accounts["NORTH"], wants_service=2, wants_units=600,
        price_micros=10_000, counters=offer, **dora,
    )  # fmt: skip
    assert told(traders) == [("Carla Castell", "South answers North with another offer: 10\u202fmin of Voice")]
    trading.decline(offer=offer, **dora)
    assert told(traders) == [("Carla Castell", "South has refused 20\u202fmin of Voice of North")]
    trading.withdraw(offer=counter, **dora)
    assert told(traders) == [("Carla Castell", "South has taken back what it offered North: 10\u202fmin of Voice")]
    late = NOW + timedelta(hours=2)
    offered(traders, expires_at=NOW + timedelta(hours=1))
    told(traders)
    trading.sweep(actor="system", at=late)
    assert {who for who, _ in told(traders, late)} == {"Carla Castell", "Dora Dahl"}


def test_the_notice_lets_its_reader_answer(traders: Cast) -> None:
    accounts, now = traders.aurora.accounts, datetime.now(UTC)
    trading.offer(
        account=accounts["NORTH"], to_account=accounts["SOUTH"], wants_service=2, wants_units=600, actor=ACTOR, at=now
    )
    told(traders, now)
    browser, address = Client(), f"/notices/{Notice.objects.get().id}/"
    browser.force_login(traders.dora, backend="django.contrib.auth.backends.ModelBackend")
    market = f"/accounts/{accounts['SOUTH'].id}/market/"
    assert f'action="{market}"' in browser.get(address).content.decode()
    shown = browser.post(market, {"action": "accept", "offer": Offer.objects.get().id})
    assert "Before it is accepted" in shown.content.decode()
    browser.post(market, {"action": "decline", "offer": Offer.objects.get().id})
    assert f'action="{market}"' not in browser.get(address).content.decode()


def test_both_languages_say_all_of_it(traders: Cast) -> None:
    offered(traders)
    told(traders)
    notice = Notice.objects.get()
    for said in ("offered", "asked", "countered", "accepted", "waits", "approval", "approved", "refused",
                 "not_approved", "withdrawn", "expired", "not_decided"):  # fmt: skip
        notice.facts["said"] = said
        english, german = (words.message(notice, language, why="manager:South") for language in ("en", "de"))
        assert len(english.lines) == len(german.lines)
        assert english.title != german.title
