"""A line far outside its own pattern and a SIM in a new device are told once, from what charging has stored."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from balances.units import GIB, MIB, Service
from portal.access import scope_of
from portal.models import Delivery, LineDay, Notice
from portal.notices import inbox, patterns, planning, watch, words
from tests.api.client import charge, used
from tests.cast import NOW, Cast, imei

PAGE = Path(__file__).parents[2] / "docs" / "notices.md"
NEW = imei(900_001)


#: days before | today | usual | bound | told
ROWS = re.findall(r"^\| ([\d ]+) \| (\d+) \| (\d+) \| (\d+) \| (yes|no) \|$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("days", "today", "usual", "bound", "told"), ROWS)
def test_the_pages_example(days: str, today: str, usual: str, bound: str, told: str) -> None:
    before = [int(units) for units in days.split()]
    verdict = patterns.judge(today_units=int(today), days=before, least_units=500)
    assert verdict == patterns.Verdict(told == "yes", int(usual), int(bound))


def test_the_page_has_an_example() -> None:
    assert len(ROWS) == 6


def test_a_few_days_are_no_pattern() -> None:
    assert patterns.judge(today_units=10**12, days=[1] * 7, least_units=500) is None


def days(cast: Cast, *mib: int) -> None:
    """Emil's phone on so many days up to Friday, 13 March, the last one last."""
    last = datetime(2026, 3, 13, 12, tzinfo=UTC)
    moments = [last - timedelta(days=len(mib) - 1 - n) for n in range(len(mib))]
    records = [
        used(n, units=units * MIB, started_at=moment.isoformat(), imei=imei(1))
        for n, (units, moment) in enumerate(zip(mib, moments, strict=True), start=1)
    ]
    charge(cast.aurora, *records)


def turn(at: datetime = NOW) -> list[Notice]:
    return list(Notice.objects.filter(id__in=watch.turn(at=at).notices))


@pytest.mark.django_db
def test_a_line_outside_its_pattern_is_told_once_a_day(cast: Cast) -> None:
    days(cast, *[200, 220, 180, 210, 190] * 8)
    assert turn() == []
    sunday = {"started_at": "2026-03-15T09:00:00+01:00", "imei": imei(1)}
    charge(cast.aurora, used(90, units=3 * GIB, **sunday))
    (notice,) = turn()
    message = words.message(notice, why="employee:")
    said = dict(message.lines)
    assert message.title == "Emil Engel: unusually much Data"
    assert said["What"].startswith("3\u202fGiB on Sunday, 15 Mar. At weekends usually 200\u202fMiB; up to ")
    assert {"Who", "As of", "What happens next", "Price beyond", "Why you get this"} <= said.keys()
    assert re.fullmatch(r"\S+\sGiB of 100\sGiB \(\d+\s%\) of what serves it: Data of Aurora AG", said["Used"])
    assert said["What happens next"].count("Nothing is stopped") == 1
    assert len(words.message(notice, "de", why="employee:").lines) == len(message.lines)
    charge(cast.aurora, used(91, units=3 * GIB, **sunday))
    assert turn() == []


@pytest.mark.django_db
def test_of_many_unusual_lines_a_person_is_told_of_the_most_unusual(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "UNUSUAL_MOST", 1)
    phone, press = cast.aurora.lines["emil phone"].msisdn, cast.aurora.lines["press 7"].msisdn
    days(cast, *[200, 220, 180, 210, 190] * 8)
    charge(cast.aurora, used(80, msisdn=press, started_at="2026-02-02T12:00:00+01:00"))
    turn()
    sunday = {"service": "voice", "started_at": "2026-03-15T09:00:00+01:00"}
    charge(cast.aurora, used(90, units=7200, msisdn=press, **sunday), used(91, units=32_400, msisdn=phone, **sunday))
    loud, quiet = sorted(turn(), key=lambda notice: notice.id)
    assert (loud.line, quiet.line) == (cast.aurora.lines["emil phone"], cast.aurora.lines["press 7"])
    told = Delivery.objects.filter(user=cast.alice, channel="portal").order_by("notice")
    assert list(told.values_list("notice", "state")) == [(loud.id, "sent"), (quiet.id, "dropped")]
    assert not Delivery.objects.filter(notice=quiet, user=cast.alice, channel="email").exists()
    scope = scope_of(cast.alice)
    assert inbox.kept_back(scope, cast.alice, NOW) == 1
    assert quiet in inbox.notices(scope, cast.alice)


@pytest.mark.django_db
def test_every_record_is_counted_once(cast: Cast) -> None:
    days(cast, 200, 210)
    turn()
    charge(cast.aurora, used(90, units=5 * MIB, started_at="2026-03-13T18:00:00+01:00"))
    turn()
    turn(NOW + timedelta(minutes=1))
    rows = LineDay.objects.filter(service=Service.DATA).order_by("day")
    assert list(rows.values_list("units", "records")) == [(200 * MIB, 1), (215 * MIB, 2)]


@pytest.mark.django_db
def test_a_sim_in_a_new_device_is_told_once(cast: Cast) -> None:
    morning = {"units": MIB, "started_at": "2026-03-15T09:00:00+01:00"}
    charge(cast.aurora, used(1, **morning, imei=imei(1)))  # the assigned one
    assert turn() == []
    charge(cast.aurora, used(2, **morning, imei=NEW))
    (notice,) = turn()
    message = words.message(notice, why="employee:")
    said = dict(message.lines)
    assert message.title == "Emil Engel: SIM in a new device"
    assert said["Used"].endswith("of what serves it: Data of Aurora AG")
    assert f"IMEI {NEW[:14]} since 15 Mar 2026" in said["What"]
    assert said["What"].endswith(f"Assigned is Fairphone 6 IMEI {imei(1)[:14]}.")
    assert len(words.message(notice, "de", why="employee:").lines) == len(message.lines)
    charge(cast.aurora, used(3, **morning, imei=imei(1)), used(4, **morning, imei=NEW[:14] + "9"))
    assert turn() == []


@pytest.mark.django_db
def test_a_device_of_long_ago_is_no_news(cast: Cast) -> None:
    charge(cast.aurora, used(1, started_at="2026-03-05T09:00:00+01:00", imei=NEW))
    assert turn() == []


@pytest.mark.django_db
def test_days_that_no_pattern_is_taken_of_are_forgotten(cast: Cast) -> None:
    days(cast, 200)
    turn()
    assert watch.forget(at=NOW + timedelta(days=60)) == 0
    assert watch.forget(at=NOW + timedelta(days=80)) == 1
