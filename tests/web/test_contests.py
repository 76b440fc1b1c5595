"""Objections on screen: filed by whose charge it is, decided by who manages, neither seeing more than they should."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse

from balances.models import UsageRecord
from portal import contests
from portal.charging import pipeline
from portal.models import Contest
from tests.cast import Cast
from tests.employee import Employee, employee
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text_of(response) -> str:
    html = response.content.decode().partition("<main")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\u202f", " ").split())


@pytest.fixture
def emil(cast: Cast) -> Employee:
    made = employee(cast)
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "voice", 300, other_party="498912345"))
    return made


def object_to(emil: Employee, shown: tuple[str, ...] = ("service", "day", "units")) -> Contest:
    record = UsageRecord.objects.get(payer=2)
    sent = {"action": "contest", "contest-reason": "A customer called.", "contest-shown": list(shown)}
    signed_in(emil.cast.emil).post(reverse("me-charge", args=[record.id]), sent)
    return Contest.objects.get()


def decide(emil: Employee, user, contest: Contest, verdict: str, answer: str = ""):
    sent = {
        "action": "decide", "decide-contest": contest.id, "verdict": verdict, "decide-answer": answer,
    }  # fmt: skip
    return signed_in(user).post(reverse("account-contests", args=[emil.cast.aurora.accounts["NORTH"].id]), sent)


def test_an_objection_is_filed_upheld_and_the_money_is_back(emil: Employee):
    contest = object_to(emil)
    decide(emil, emil.cast.carla, contest, "uphold")
    pipeline.drain(emil.cast.aurora.enterprise.id)
    contests.complete_due(at=datetime.now(UTC))
    page = text_of(signed_in(emil.cast.emil).get(reverse("me-charge", args=[contest.usage_id])))
    assert "Upheld and given back" in page
    assert "€0.50 came back" in page
    home = text_of(signed_in(emil.cast.emil).get(reverse("me")))
    assert "€20.00 left" in home
    assert "Given back −€0.50 Together €0.00" in home
    assert "My objections" in home


def test_managers_read_what_was_ticked_and_never_money_or_number(emil: Employee):
    contest = object_to(emil)
    north = reverse("account-contests", args=[emil.cast.aurora.accounts["NORTH"].id])
    for verdict in ("", "uphold"):
        if verdict:
            decide(emil, emil.cast.carla, contest, verdict)
            pipeline.drain(emil.cast.aurora.enterprise.id)
            contests.complete_due(at=datetime.now(UTC))
        page = text_of(signed_in(emil.cast.carla).get(north))
        assert "A customer called." in page
        assert "5:00 min" in page
        assert "€" not in page
        assert "498912345" not in page


def test_declining_takes_an_answer_which_the_person_reads(emil: Employee):
    contest = object_to(emil)
    decide(emil, emil.cast.carla, contest, "decline")
    contest.refresh_from_db()
    assert contest.state == "open"
    decide(emil, emil.cast.carla, contest, "decline", "It was a Sunday.")
    page = text_of(signed_in(emil.cast.emil).get(reverse("me-charge", args=[contest.usage_id])))
    assert "Carla Castell answered: “It was a Sunday.”" in page


def test_who_does_not_manage_the_account_finds_no_contest(emil: Employee):
    contest = object_to(emil)
    for user in (emil.cast.emil, emil.cast.dora, emil.cast.bruno):
        assert decide(emil, user, contest, "uphold").status_code == 404
    south = reverse("account-contests", args=[emil.cast.aurora.accounts["SOUTH"].id])
    assert "A customer called." not in text_of(signed_in(emil.cast.alice).get(south))
    contest.refresh_from_db()
    assert contest.state == "open"


def test_nobody_objects_to_somebody_elses_charge(emil: Employee):
    record = UsageRecord.objects.get(payer=2)
    sent = {"action": "contest", "contest-reason": "Mine!"}
    for user in (emil.cast.alice, emil.cast.mallory):
        assert signed_in(user).post(reverse("me-charge", args=[record.id]), sent).status_code == 404
    assert not Contest.objects.exists()
