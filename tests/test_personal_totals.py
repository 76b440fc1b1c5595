"""Totals of what people pay themselves: what managers may know, so coarse that nobody is in it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from balances.selectors import personal
from portal.api.endpoints import Endpoint
from tests import walled
from tests.api.client import Api, charge, read, refusal, used
from tests.cast import APRIL, FEBRUARY, MARCH, Cast

OWNERS = st.dictionaries(st.tuples(st.sampled_from([1, 2]), st.integers(1, 30)), st.integers(0, 12), max_size=12)
EVENING = timedelta(days=5, hours=22)  # after midnight of the first in Berlin: 22:00 on the 6th


@given(OWNERS)
def test_no_part_is_what_the_whole_and_the_others_leave(records: dict[tuple[int, int], int]) -> None:
    shown = personal.shown_parts(records)
    withheld = [owner for owner, count in records.items() if count and owner not in shown]
    assert all(records[owner] >= personal.LEAST_RECORDS for owner in shown)
    assert len(withheld) != 1 or not shown, "one alone could be worked out"
    assert personal.shown_parts(records) == shown


@given(st.integers(1, 10**18), st.integers(5, 10**6))
def test_figures_are_coarse_and_near(units: int, records: int) -> None:
    shown, about = personal.rounded(units, records)
    assert len(str(shown).rstrip("0")) <= personal.DIGITS
    assert abs(shown - units) * 20 <= units
    assert about % 5 == 0
    assert about >= personal.LEAST_RECORDS
    assert abs(about - records) <= 2


def evenings(cast: Cast, line: str, count: int, month=FEBRUARY) -> None:
    """Personal records of a line, each of 1,234,567 octets, in the evenings of a month."""
    number = cast.aurora.lines[line].msisdn
    times = [(month + EVENING + timedelta(minutes=n)).isoformat() for n in range(count)]
    charge(cast.aurora, *(used(f"{line} {at}", msisdn=number, units=1_234_567, started_at=at) for at in times))


@pytest.fixture
def aurora(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Cast:
    """Three lines of North in February, one of them with too few records and nobody's; and March under way."""
    monkeypatch.setattr(Endpoint, "clock", staticmethod(lambda: APRIL - timedelta(days=1)))
    walled.steer(cast.aurora)
    walled.account_of(cast)
    for line, count in (("emil phone", 7), ("emil tablet", 9), ("service van", 3)):
        evenings(cast, line, count)
    evenings(cast, "emil phone", 8, MARCH)
    return cast


def totals(cast: Cast, name: str, **query: object) -> list[dict]:
    return read(Api.of(cast, name).get("/personal-totals", **query))["results"]


def test_managers_see_an_account_about_and_lines_that_give_nobody_away(aurora: Cast) -> None:
    (february,) = totals(aurora, "carla", account=aurora.aurora.accounts["N-FIELD"].id)
    assert february["cycle_start"] == FEBRUARY.isoformat().replace("+00:00", "Z")
    # Field sales beside one account with three records: it would give those away, and is withheld with all below it.
    assert (february["totals"], february["lines"]) == ([], [])
    (root,) = totals(aurora, "alice", account=aurora.aurora.root.id)
    assert root["totals"] == [{"service": "data", "unit": "octets", "units": 20_000_000, "records": 20}]


def test_lines_are_shown_where_enough_is_withheld_beside_them_or_nothing(aurora: Cast) -> None:
    evenings(aurora, "service van", 5, FEBRUARY + timedelta(days=1))
    (field,) = totals(aurora, "carla", account=aurora.aurora.accounts["N-FIELD"].id)
    phone, tablet = (aurora.aurora.lines[label].id for label in ("emil phone", "emil tablet"))
    assert {row["line"]: row["totals"][0]["records"] for row in field["lines"]} == {phone: 5, tablet: 10}
    (one,) = totals(aurora, "carla", line=phone)
    assert one["totals"][0]["units"] == 8_600_000


def test_the_cycle_under_way_is_nobodys_to_know(aurora: Cast) -> None:
    alice = Api.of(aurora, "alice")
    at = {"account": aurora.aurora.root.id, "cycle_start": MARCH.isoformat()}
    assert refusal(alice.get("/personal-totals", **at), 400)["pointer"].endswith("cycle_start")


def test_who_uses_a_line_and_who_runs_another_account_get_no_totals(aurora: Cast) -> None:
    line = aurora.aurora.lines["emil phone"].id
    refusal(Api.of(aurora, "emil").get("/personal-totals", line=line), 404)
    refusal(Api.of(aurora, "dora").get("/personal-totals", line=line), 404)
    refusal(Api.of(aurora, "bruno").get("/personal-totals", account=aurora.aurora.root.id), 404)


def test_pages_say_why_and_only_where_people_pay(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice)
    address = reverse("account-personal-totals", args=[cast.aurora.root.id])
    assert not client.get(address).content.strip()
    walled.steer(cast.aurora)
    assert "nothing of fewer than five records" in client.get(address).content.decode()
    assert address in client.get(reverse("account", args=[cast.aurora.root.id])).content.decode()
