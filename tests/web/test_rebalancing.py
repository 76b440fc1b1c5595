"""The screen of proposals: both sides before and after, one click for one or for all, stale ones refused."""

from __future__ import annotations

import re

import pytest

from balances import allocation
from balances.allocation_plan import Wish
from balances.models import Bucket, Trade
from balances.pace import DAY, DayUsage
from balances.selectors import rebalancing as read
from balances.units import GIB, Service
from portal.models import Membership, Role
from portal.web import forms, rebalancing
from tests.cast import ACTOR, NOW, Cast
from tests.web.test_operating import Browser

pytestmark = pytest.mark.django_db
PAGE = "account-rebalancing"


@pytest.fixture
def cast_at_odds(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Cast:
    """North holds 90 GiB and uses nothing, South holds 1 GiB and uses 1 GiB a day, as far as the page is told.

    It is the time of the cast, in the middle of a cycle: on the last day one GiB would last.
    """
    now, accounts = NOW, cast.aurora.accounts
    monkeypatch.setattr(rebalancing, "acting", lambda request: forms.acting(request) | {"at": now})
    root = Bucket.objects.filter(account=cast.aurora.root, service=Service.DATA, closed_at=None).latest("valid_until")
    wishes = [
        Wish(1, ("account", accounts["NORTH"].id), units=90 * GIB),
        Wish(2, ("account", accounts["SOUTH"].id), units=GIB),
    ]
    allocation.apply(bucket_id=root.id, wishes=wishes, actor=ACTOR, at=now)
    Membership.objects.create(
        user=cast.mallory, role=Role.OBSERVER, enterprise=cast.aurora.enterprise, account=cast.aurora.root
    )

    def demand(enterprise_id, account_ids, buckets, terms, at):
        daily = {accounts["SOUTH"].id: GIB}
        first = at - 5 * DAY
        return {
            number: [DayUsage(first + n * DAY, first + (n + 1) * DAY, daily.get(number, 0)) for n in range(5)]
            for number in account_ids
        }

    monkeypatch.setattr(read, "_demand", demand)
    return cast


def test_proposals_are_shown_with_both_sides_and_done_in_one_click(cast_at_odds: Cast):
    alice, root = Browser(cast_at_odds.alice), cast_at_odds.aurora.root.id
    page = alice.get(PAGE, root)
    assert "North to South" in page
    assert "runs out" in page
    assert "Do all 1" in page
    hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page))
    assert "1 transfer is done" in alice.post(PAGE, root, key=hidden["key"], transfer=hidden["transfer"])
    assert "1 transfer is done" in alice.post(PAGE, root, key=hidden["key"], transfer=hidden["transfer"])
    assert Trade.objects.count() == 1
    stale = alice.post(PAGE, root, key="another", transfer=hidden["transfer"])
    assert "Nothing was done" in stale
    assert "Look at the proposals again" in stale


def test_who_only_looks_gets_no_buttons(cast_at_odds: Cast):
    page = Browser(cast_at_odds.mallory).get(PAGE, cast_at_odds.aurora.root.id)
    assert "How everybody stands" in page
    assert "Do all" not in page
