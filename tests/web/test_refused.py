"""What a limit refused is seen: how much, whose, and by which limit, as far as the reader may know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.test import Client

from balances.models import UsageRecord
from balances.units import GIB
from policies import limits
from tests.cast import Cast
from tests.web.test_limits import plain
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db


def page(user: AbstractBaseUser, address: str) -> str:
    client = Client()
    client.force_login(user)
    return plain(client.get(address).content.decode())


@pytest.fixture
def refused(cast: Cast) -> Cast:
    """Emil's phone may use 1 GiB, and used 3 in two records; another line used what it liked."""
    line = cast.aurora.lines["emil phone"]
    limits.make(
        line=line, service=1, measure="units", window="cycle", amount=GIB, action="stop_now", name="Cap of Emil",
        actor="user:0 Test", at=datetime.now(UTC),
    )  # fmt: skip
    earlier = datetime.now(UTC) - timedelta(minutes=2)
    charge(
        cast.aurora,
        used(line, "data", 2 * GIB, at=earlier),
        used(line, "data", GIB),
        used(cast.aurora.lines["press 7"], "data", GIB),
    )
    return cast


def test_an_account_sees_what_was_refused_below_it_and_by_what(refused: Cast) -> None:
    line = refused.aurora.lines["emil phone"]
    seen = page(refused.alice, f"/accounts/{refused.aurora.root.id}/refused/")
    assert "<strong>2 GiB</strong> of data in 2 records" in seen
    assert "Cap of Emil: usage stops at once" in seen
    granted = [text.split("<")[0] for text in seen.split('data-label="Granted" class="number">')[1:]]
    assert granted == ["0 B", "1 GiB"]
    assert "Cap of Emil" in page(refused.emil, f"/lines/{line.id}/refused/")
    assert "Nothing was refused" in page(refused.alice, f"/lines/{refused.aurora.lines['press 7'].id}/refused/")


def test_a_charge_names_the_limit_that_refused_it_and_a_list_says_refused(refused: Cast) -> None:
    line = refused.aurora.lines["emil phone"]
    record = UsageRecord.objects.filter(line=line).latest("used_at")
    assert "Limit “Cap of Emil” grants nothing beyond its amount" in page(refused.alice, f"/usage/{record.id}/")
    charges = page(refused.alice, f"/lines/{line.id}/charges/")
    assert charges.count("1 GiB refused") == 2
    assert charges.count(">allowance<") == 1  # of the record that was granted in part


def test_what_is_proposed_leaves_something_after_a_limit_that_usage_is_far_beyond(cast: Cast) -> None:
    line = cast.aurora.lines["emil phone"]
    charge(cast.aurora, used(line, "data", 5 * GIB))
    late = limits.make(
        line=line, service=1, measure="units", window="cycle", amount=GIB, action="consent",
        actor="user:0 Test", at=datetime.now(UTC),
    )  # fmt: skip
    assert "Then it is 5 GiB of 5.2 GiB: 209 MiB are left" in page(cast.alice, f"/limits/{late.id}/")


def test_a_limit_outside_the_readers_view_is_not_named(refused: Cast) -> None:
    root = refused.aurora.root
    limits.make(
        account=root, service=2, measure="units", window="cycle", amount=60, action="stop_now", name="Board's secret",
        actor="user:0 Test", at=datetime.now(UTC),
    )  # fmt: skip
    line = refused.aurora.lines["emil phone"]
    charge(refused.aurora, used(line, "voice", 600))
    seen = page(refused.emil, f"/lines/{line.id}/refused/")
    assert "A limit or policy outside your view" in seen
    assert "secret" not in seen
