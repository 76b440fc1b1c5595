"""Limits on screen: a cap in three clicks with its effect seen first, and every act on a limit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from policies import limits, selectors
from policies.models import Limit, LimitCrossing
from portal import limit_words
from portal.models import Notice
from tests.cast import Cast

ACTING = {"actor": "user:0 Test", "at": datetime.now(UTC)}


@pytest.fixture
def browser(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    return client


def fields(page: str, action: str) -> dict[str, str]:
    """What the form of an action would send, untouched."""
    form = next(
        form for form in re.findall(r"<form.*?</form>", page, re.S) if f'name="action" value="{action}"' in form
    )
    found = {"action": action}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and name[1] != "csrfmiddlewaretoken" and name[1] != "action":
            found[name[1]] = (value[1] if value else "").replace("&#x27;", "'").replace("&quot;", '"')
    for name, options in re.findall(r'<select name="([^"]*)".*?>(.*?)</select>', form, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options)
        found[name] = chosen[1] if chosen else ""
    return found


def test_a_line_is_capped_with_one_click_on_its_page_whose_effect_is_shown(cast: Cast, browser: Client) -> None:
    address = f"/lines/{cast.aurora.lines['emil phone'].id}/limits/"
    page = browser.get(address).content.decode()
    assert "What it would do" in page
    assert "are left" in page
    sent = browser.post(address, fields(page, "make"))
    assert sent.status_code == 302
    assert Limit.objects.get().action == "stop_now"
    assert "OK" in browser.get(address).content.decode()


def test_a_form_that_was_changed_shows_its_effect_again_before_it_is_done(cast: Cast, browser: Client) -> None:
    address = f"/accounts/{cast.aurora.root.id}/limits/"
    wanted = fields(browser.get(address).content.decode(), "make") | {"make-amount": "0 GiB", "make-beyond": "suspend"}
    shown = browser.post(address, wanted)
    assert shown.status_code == 200
    assert "It is used up" in shown.content.decode()
    assert not Limit.objects.exists()
    assert browser.post(address, fields(shown.content.decode(), "make")).status_code == 302
    assert Limit.objects.get().amount == 0


def test_an_account_sees_the_limits_below_it(cast: Cast, browser: Client) -> None:
    top = cast.aurora.root
    terms = {"service": 1, "measure": "units", "window": "cycle", "amount": 1024**3, "action": "notify"}
    limits.make(line=cast.aurora.lines["emil phone"], name="Emil's", **terms, **ACTING)
    assert (
        "Below Aurora"
        not in browser.get(f"/accounts/{cast.aurora.lines['emil phone'].account_id}/limits/").content.decode()
    )
    page = browser.get(f"/accounts/{top.id}/limits/").content.decode()
    own, _, below = page.partition("Below Aurora")
    assert "No limits here" in own
    assert "Emil&#x27;s" in below


def test_a_ready_made_limit_fills_the_form(cast: Cast, browser: Client) -> None:
    page = browser.get(f"/accounts/{cast.aurora.root.id}/limits/?preset=eu-roaming").content.decode()
    wanted = fields(page, "make")
    assert (wanted["make-counted"], wanted["make-amount"], wanted["make-where"]) == ("money", "50", "abroad")
    assert wanted["make-beyond"] == "consent"
    assert browser.get("/", follow=True).status_code == 200


def plain(page: str) -> str:
    """The page with ordinary spaces between figures and units."""
    return page.replace("\u202f", " ").replace("\u00a0", " ")


def test_every_act_on_a_limit_is_there(cast: Cast, browser: Client) -> None:
    line = cast.aurora.lines["emil phone"]
    held = limits.make(
        line=line, service=1, measure="units", window="cycle", amount=1024**3, action="consent", **ACTING
    )
    address = f"/limits/{held.id}/"
    page = browser.get(address).content.decode()
    assert "costs at most" in page
    assert "Then it is 0 B of 1.2 GiB: 1.2 GiB are left until" in plain(page)
    other = browser.post(address, fields(page, "consent") | {"consent-amount": "1 GiB"}).content.decode()
    assert "Then it is 0 B of 2 GiB" in plain(other)
    assert not held.consents.exists()
    assert browser.post(address, fields(page, "consent")).status_code == 302
    given = held.consents.get()
    assert given.text_shown.startswith("Data, each billing cycle")
    assert (given.used_shown, given.bound_shown) == (0, 1024**3)
    too_late = browser.post(address, fields(page, "consent") | {"consent-amount": "", "consent-seen": ""})
    assert "has agreed to 205 MiB more" in plain(too_late.content.decode())
    assert "Consent 1" in browser.get(address).content.decode()
    exempt = {
        "action": "exempt",
        "exempt-whom": line.msisdn,
        "exempt-until": "2099-01-01T00:00",
        "exempt-reason": "Fair",
    }
    assert browser.post(address, exempt).status_code == 302
    page = browser.get(address).content.decode()
    shown = browser.post(address, fields(page, "change") | {"change-amount": "2 GiB"}).content.decode()
    assert "What the change would do" in shown
    assert browser.post(address, fields(shown, "change")).status_code == 302
    successor = Limit.objects.get(retired_at=None)
    assert successor.amount == 2 * 1024**3
    assert browser.post(f"/limits/{successor.id}/", {"action": "retire"}).status_code == 302
    assert "retired" in browser.get(address).content.decode()


def test_amounts_approval_grace_and_an_end_are_typed_and_come_back_into_the_form(cast: Cast, browser: Client) -> None:
    address = f"/accounts/{cast.aurora.root.id}/limits/"
    wanted = fields(browser.get(address).content.decode(), "make") | {
        "make-amount": "5 GiB", "make-amounts": "3 GiB; 4.5 GiB", "make-restricts": "approved", "make-grace": "1 GiB",
        "make-ends_at": "2099-01-01T00:00", "make-beyond": "stop_now",
    }  # fmt: skip
    shown = browser.post(address, wanted).content.decode()
    assert "What it would do" in shown
    assert browser.post(address, fields(shown, "make")).status_code == 302
    made = Limit.objects.get()
    assert made.marks == [3 * 1024**3, 9 * 1024**3 // 2]
    assert (made.needs_approval, made.grace_units, made.ends_at.year) == (True, 1024**3, 2098)
    page = browser.get(f"/limits/{made.id}/").content.decode()
    assert "once somebody has approved it" in page
    change = fields(page, "change") | {"change-amounts": "4 GiB", "change-grace": ""}
    shown = browser.post(f"/limits/{made.id}/", change).content.decode()
    assert "What the change would do" in shown
    assert browser.post(f"/limits/{made.id}/", fields(shown, "change")).status_code == 302
    successor = Limit.objects.get(retired_at=None)
    assert (successor.marks, successor.grace_units, successor.needs_approval) == ([4 * 1024**3], 0, True)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"make-amounts": "much"}, "is no quantity"),
        ({"make-counted": "money", "make-amount": "50", "make-grace": "1"}, "this limit counts money"),
        ({"make-window": "sliding_24h", "make-restricts": "approved"}, "before anyone could approve"),
        ({"make-counts_from": "2026-01-01T00:00"}, "Only a limit once and for all"),
    ],
)
def test_what_cannot_be_of_the_rarer_terms_is_said(
    cast: Cast, browser: Client, typed: dict[str, str], said: str
) -> None:
    address = f"/accounts/{cast.aurora.root.id}/limits/"
    wanted = fields(browser.get(address).content.decode(), "make") | typed
    assert said in browser.post(address, wanted).content.decode()
    assert not Limit.objects.exists()


def test_an_account_with_all_below_it_is_exempted(cast: Cast, browser: Client) -> None:
    held = limits.make(account=cast.aurora.root, service=1, measure="units", window="cycle", amount=0, **ACTING)
    exempt = {"action": "exempt", "exempt-until": "2099-01-01T00:00", "exempt-reason": "Fair", "exempt-whom": "NORTH"}
    assert browser.post(f"/limits/{held.id}/", exempt).status_code == 302
    assert held.exemptions.get().account == cast.aurora.accounts["NORTH"]
    nobody = browser.post(f"/limits/{held.id}/", exempt | {"exempt-whom": "BOREALIS"}).content.decode()
    assert "no such line or account" in nobody


def test_a_limit_is_fired_as_a_test_for_who_asks_alone(cast: Cast, browser: Client) -> None:
    held = limits.make(
        account=cast.aurora.root, service=1, measure="units", window="cycle", amount=1024**3, percents=[50, 80],
        name="Big", **ACTING,
    )  # fmt: skip
    page = browser.post(f"/limits/{held.id}/", {"action": "fire"}, follow=True).content.decode()
    assert "Test: Aurora AG: 80" in page
    assert "of Big reached" in page
    assert "819 MiB of 1 GiB" in plain(page)
    notice = Notice.objects.get()
    assert (notice.is_test, [delivery.user for delivery in notice.deliveries.filter(channel="portal")]) == (
        True,
        [cast.alice],
    )
    assert not LimitCrossing.objects.exists()


def test_a_limit_says_when_it_is_reached_at_the_pace_of_its_period(cast: Cast, browser: Client) -> None:
    address = f"/accounts/{cast.aurora.root.id}/limits/"
    held = limits.make(account=cast.aurora.root, service=1, measure="units", window="day", amount=1024**3, **ACTING)
    zone = ZoneInfo("Europe/Berlin")
    midnight = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    state = selectors.state_of(held, midnight + timedelta(hours=18))
    state.used = 900 * 1024**2
    said = limit_words.outlook(state.outlook(midnight + timedelta(hours=18)), zone)
    assert said.startswith("It is reached ")
    assert said.endswith("20:00.")  # 124 of 1024 MiB are left after 18 hours at 50 MiB an hour
    state.used = 0
    assert "it lasts" in limit_words.outlook(state.outlook(midnight + timedelta(hours=18)), zone)
    assert "Too early" in limit_words.outlook(state.outlook(midnight + timedelta(hours=2)), zone)
    assert "At this pace" in browser.get(f"/limits/{held.id}/").content.decode()
    assert browser.get(address).status_code == 200
