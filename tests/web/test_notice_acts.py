"""A notice's page acts: more for a limit's period, more units out of a pool above, both filled in as far as can be."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.test import Client

from balances import contracts
from balances.models import Bucket
from balances.units import GIB, MIB
from policies import limits
from policies.models import Consent
from portal.models import Notice
from portal.notices import outbox
from tests.cast import ACTOR, Cast
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db


def browser(user) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def form_of(page: str, action: str) -> tuple[str, dict[str, str]]:
    """Where the form of an action is sent, and what it sends untouched."""
    form = next(form for form in re.findall(r"<form.*?</form>", page, re.S) if f'value="{action}"' in form)
    sent = dict(re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', form))
    sent.pop("csrfmiddlewaretoken", None)
    address = re.search(r'action="([^"]+)"', form)
    return address[1] if address else "", sent | {"action": action}


@pytest.fixture
def reached(cast: Cast) -> Cast:
    """Emil's phone has a limit of 1 GiB of data and a threshold at half of that, and has used all of it."""
    line, now = cast.aurora.lines["emil phone"], datetime.now(UTC)
    limits.make(
        line=line, service=1, measure="units", amount=GIB, window="cycle", action="consent", percents=[100],
        actor=ACTOR, at=now,
    )  # fmt: skip
    contracts.set_threshold(line=line, service=1, units=GIB // 2, actor=ACTOR, at=now)
    charge(cast.aurora, used(line, "data", GIB))
    outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=datetime.now(UTC))
    return cast


def test_a_limit_is_extended_from_its_notice_by_who_may_and_consented_to_by_who_may_not(reached: Cast) -> None:
    notice = Notice.objects.get(kind="limit")
    emil = browser(reached.emil).get(f"/notices/{notice.id}/").content.decode()
    assert "Extend by so much" not in emil
    page = browser(reached.alice).get(f"/notices/{notice.id}/").content.decode()
    assert "Now 1\u202fGiB of 1\u202fGiB are used. Then it is 1\u202fGiB of 1.2\u202fGiB: 205\u202fMiB are left" in page
    address, sent = form_of(page, "extend")
    assert browser(reached.alice).post(address, sent).status_code == 302
    given = Consent.objects.get()
    assert (given.kind, given.amount) == ("extension", 205 * MIB)


def test_units_are_given_from_a_notice_and_shown_first(reached: Cast) -> None:
    alice, notice = browser(reached.alice), Notice.objects.get(kind="threshold")
    address, sent = form_of(alice.get(f"/notices/{notice.id}/").content.decode(), "preview")
    shown = alice.post(address, sent).content.decode()
    assert "Before it is done" in shown
    address, sent = form_of(shown, "apply")
    moves = re.search(r'name="moves" value="([^"]*)"', shown)
    assert alice.post(f"/accounts/{reached.aurora.root.id}/allowances/", sent).status_code == 302
    assert moves
    assert Bucket.objects.filter(line=reached.aurora.lines["emil phone"]).exists()


def test_who_only_looks_is_offered_no_act(reached: Cast) -> None:
    notice = Notice.objects.get(kind="threshold")
    page = browser(reached.emil).get(f"/notices/{notice.id}/").content.decode()
    assert "Show what it comes to" not in page


def test_what_waits_for_consent_stands_first_on_the_home_page(reached: Cast) -> None:
    page = browser(reached.alice).get(f"/accounts/{reached.aurora.root.id}/").content.decode()
    assert "stopped until somebody consents" in page
    assert re.search(r'href="/limits/\d+/">Data, each billing cycle</a>', page)
