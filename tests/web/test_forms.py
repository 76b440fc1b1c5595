"""Civil times in forms: hours that clocks show twice are asked about, those that they never show are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.test import RequestFactory

from balances.errors import Refused
from portal.web.as_of import AsOfForm
from portal.web.forms import CivilTimeField, PortalForm, civil_time

BERLIN = ZoneInfo("Europe/Berlin")
TWICE = "2026-10-25T02:30"


class When(PortalForm):
    """A form with a time."""

    action = "ask"
    at = CivilTimeField()


def sent(text: str, which: str = "") -> When:
    return When({"ask-at": text} | ({"ask-at-which": which} if which else {}), zone=BERLIN)


@pytest.mark.parametrize(("which", "utc_hour"), [("0", 0), ("1", 1)])
def test_of_an_hour_that_came_twice_either_can_be_meant(which: str, utc_hour: int) -> None:
    asked = sent(TWICE)
    assert asked.errors["at"] == ["Clocks showed this time twice, an hour apart: say which of the two."]
    assert 'value="2026-10-25T02:30"' in str(asked["at"])
    assert "the first time (CEST)" in str(asked["at"])
    assert "an hour later (CET)" in str(asked["at"])
    said = sent(TWICE, which)
    assert said.is_valid()
    assert said.cleaned_data["at"].astimezone(UTC) == datetime(2026, 10, 25, utc_hour, 30, tzinfo=UTC)
    assert f'<option value="{which}"{" selected" if which == "1" else ""}>' in str(said["at"])


@pytest.mark.parametrize("hour", [0, 1])
def test_an_instant_of_that_hour_comes_back_as_it_was(hour: int) -> None:
    begun = datetime(2026, 10, 25, hour, 30, tzinfo=UTC)
    shown = str(When(zone=BERLIN, initial={"at": begun})["at"])
    again = sent(TWICE, "1" if '<option value="1" selected>' in shown else "0")
    assert again.is_valid()
    assert again.cleaned_data["at"] == begun


def test_of_other_times_nothing_is_asked() -> None:
    said = sent("2026-10-25T03:30", "1")
    assert said.is_valid()
    assert "select" not in str(said["at"])
    assert sent("2026-03-29T02:30").errors["at"] == ["Clocks never showed this time: choose another one."]
    assert "Write the time like" in sent("soon").errors["at"][0]


@pytest.mark.parametrize(("text", "zone"), [
    ("0001-01-01T00:00", "Europe/Berlin"), ("9999-12-31T23:59", "America/New_York"), ("1999-12-31T23:59", "UTC"),
])  # fmt: skip
def test_a_year_that_is_far_is_refused_and_shown_as_it_was_typed(text: str, zone: str) -> None:
    far = When({"ask-at": text}, zone=ZoneInfo(zone))
    assert far.errors["at"] == ["The time must lie in the years 2000 to 2199."]
    assert f'value="{text}"' in str(far["at"])


def test_a_page_as_it_was_asks_which_of_the_two_and_its_links_keep_the_answer() -> None:
    def page(**address: str) -> AsOfForm:
        return AsOfForm.of(RequestFactory().get("/", address), BERLIN, datetime(2026, 11, 1, tzinfo=UTC))

    asked = page(as_of=TWICE)
    assert asked.moment is None
    assert 'name="as_of-which"' in str(asked["as_of"])
    said = page(**{"as_of": TWICE, "as_of-which": "1"})
    linked = page(as_of=said["as_of"].value())
    assert said.moment == linked.moment == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert f'value="{TWICE}"' in str(linked["as_of"])


def test_where_nothing_is_asked_the_first_is_meant_and_a_refusal_says_why() -> None:
    assert civil_time("", BERLIN, field="from") is None
    assert civil_time(TWICE, BERLIN, field="from") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    with pytest.raises(Refused, match="Clocks never showed this time"):
        civil_time("2026-03-29T02:30", BERLIN, field="from")
