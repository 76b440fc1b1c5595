"""When e-mails are due: digests, mute times; what is given up, and one turn of a kind at a time."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import psycopg
import pytest
from django.core import mail
from django.db import connection
from django.test import Client

from balances import contracts
from balances.units import GIB
from portal.models import Delivery, Notice, NoticeSettings
from portal.notices import deliver, planning, preferences
from portal.notices import mail as mailing
from tests.cast import ACTOR, NOW, Cast
from tests.notices.test_outbox import collect, cross

DOING = {"actor": ACTOR, "at": NOW}


def berlin(hour: int, minute: int = 0, day: int = 15) -> datetime:
    """A clock in Berlin in March 2026, before the clocks change."""
    return datetime(2026, 3, day, hour - 1, minute, tzinfo=UTC)


def clock(start: int | None = None, end: int | None = None, **chosen) -> NoticeSettings:
    mute = {"mute_from": time(start), "mute_until": time(end)} if start is not None and end is not None else {}
    return NoticeSettings(**({"time_zone": "Europe/Berlin"} | mute | chosen))


@pytest.mark.parametrize(
    ("digest", "settings", "at", "due"),
    [
        ("now", clock(), berlin(13, 5), berlin(13, 5)),
        ("hourly", clock(), berlin(13, 5), berlin(14)),
        ("hourly", clock(), berlin(13), berlin(14)),
        ("daily", clock(), berlin(7, 59), berlin(8)),
        ("daily", clock(), berlin(8), berlin(8, day=16)),
        ("now", clock(22, 7), berlin(21, 59), berlin(21, 59)),
        ("now", clock(22, 7), berlin(22), berlin(7, day=16)),
        ("now", clock(22, 7), berlin(6, 59), berlin(7)),
        ("now", clock(22, 7), berlin(7), berlin(7)),
        ("now", clock(12, 13), berlin(12, 30), berlin(13)),
        ("hourly", clock(14, 16), berlin(13, 30), berlin(16)),  # the digest is due in the mute time
        ("daily", clock(7, 9), berlin(6), berlin(9)),
        ("daily", clock(daily_at=time(17, 30)), berlin(8), berlin(17, 30)),
        ("daily", clock(daily_at=time(8), time_zone="America/New_York"), berlin(8), berlin(13)),  # 8:00 at their desk
        ("weekly", clock(), berlin(8), berlin(8, day=16)),  # the 15th is a Sunday
        ("weekly", clock(weekly_on=6), berlin(7, 59), berlin(8)),
        ("weekly", clock(weekly_on=6), berlin(8), berlin(8, day=22)),
    ],
)
def test_when_an_email_is_due(digest: str, settings: NoticeSettings, at: datetime, due: datetime) -> None:
    assert planning.due_at(digest, settings, at) == due


def test_eight_in_the_morning_is_eight_also_when_the_clocks_change() -> None:
    saturday = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert planning.due_at("daily", clock(), saturday) == datetime(2026, 3, 29, 6, tzinfo=UTC)


@pytest.mark.django_db
def test_a_digest_is_one_mail_of_all_that_was_collected(cast: Cast) -> None:
    preferences.prefer(user=cast.alice, kind="threshold", channel="email", digest="hourly")
    contracts.set_threshold(account=cast.aurora.root, service=1, units=GIB, **DOING)
    contracts.set_threshold(account=cast.aurora.accounts["NORTH"], service=1, units=GIB, **DOING)
    cross(cast)
    collect(cast)
    deliver.send_due(at=NOW + timedelta(minutes=59))
    assert "alice@example.org" not in {message.to[0] for message in mail.outbox}
    deliver.send_due(at=NOW + timedelta(hours=1))
    (digest,) = [message for message in mail.outbox if message.to == ["alice@example.org"]]
    assert digest.subject.startswith("3 notices: ")
    assert digest.body.count("What happens next") == 3
    assert "3 in all: " in digest.body


@pytest.mark.django_db
def test_a_daily_digest_is_one_mail_at_the_hour_that_was_chosen_however_much_it_collects(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "BATCH", 2)
    monkeypatch.setattr(mailing, "IN_FULL", 1)
    preferences.set_clock(
        user=cast.alice, language="en", time_zone="Europe/London", daily_at=time(17), mute_from=None, mute_until=None
    )
    preferences.prefer(user=cast.alice, kind="threshold", channel="email", digest="daily")
    contracts.set_threshold(account=cast.aurora.root, service=1, units=GIB, **DOING)
    contracts.set_threshold(account=cast.aurora.accounts["NORTH"], service=1, units=GIB, **DOING)
    cross(cast)
    collect(cast)
    due = datetime(2026, 3, 15, 17, tzinfo=UTC)  # winter time in London
    deliver.send_due(at=due - timedelta(seconds=1))
    assert "alice@example.org" not in {message.to[0] for message in mail.outbox}
    for _ in range(4):  # others' turns come first, two people a turn
        deliver.send_due(at=due)
    (digest,) = [message for message in mail.outbox if message.to == ["alice@example.org"]]
    assert digest.body.count("What happens next") == 1
    assert digest.body.count("/notices/") == 3 + 1  # one in full, two by their titles, and where to choose


@pytest.mark.django_db
def test_a_mute_time_holds_mails_back_and_the_portal_not(cast: Cast) -> None:
    at = NOW.astimezone()
    preferences.set_clock(
        user=cast.alice, language="de", time_zone="UTC", mute_from=time(NOW.hour), mute_until=time(NOW.hour + 2)
    )
    cross(cast)
    collect(cast, at)
    assert Delivery.objects.get(user=cast.alice, channel="portal").state == "sent"
    deliver.send_due(at=NOW + timedelta(minutes=119))
    assert "alice@example.org" not in {message.to[0] for message in mail.outbox}
    deliver.send_due(at=NOW + timedelta(minutes=120))
    (german,) = [message for message in mail.outbox if message.to == ["alice@example.org"]]
    assert "Außerdem informiert: " in german.body
    assert "Carla Castell" in german.body


@pytest.mark.django_db
def test_fired_now_it_reaches_its_maker_by_both_channels_and_counts_nowhere(cast: Cast) -> None:
    mark = contracts.set_threshold(account=cast.aurora.root, service=1, percent=80, **DOING)
    browser = Client()
    browser.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    sent = browser.post("/notices/preferences/", {"action": "fire", "fire-threshold": mark.id}, follow=True)
    assert "a test: it counts nowhere" in sent.content.decode()
    deliver.send_due(at=datetime.now(UTC) + timedelta(seconds=1))
    assert [message.to for message in mail.outbox] == [["alice@example.org"]]
    assert mail.outbox[0].subject.startswith("Test: ")
    assert not Delivery.objects.exclude(user=cast.alice).exists()
    assert Notice.objects.get().is_test


@pytest.mark.django_db
def test_what_is_given_up_is_seen_and_sent_again_by_a_button(cast: Cast) -> None:
    cross(cast)
    collect(cast)
    failed = Delivery.objects.get(user=cast.carla, channel="email")
    Delivery.objects.filter(id=failed.id).update(state="failed", problem="No such mailbox", attempts=30, next_at=None)
    browser = Client()
    browser.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    page = browser.get("/notices/webhooks/").content.decode()
    assert "No such mailbox" in page
    browser.post("/notices/webhooks/", {"action": "send-again", "delivery": failed.id})
    deliver.send_due(at=datetime.now(UTC) + timedelta(seconds=1))
    failed.refresh_from_db()
    assert failed.state == "sent"
    stranger = Client()
    stranger.force_login(cast.bruno, backend="django.contrib.auth.backends.ModelBackend")
    assert stranger.post("/notices/webhooks/", {"action": "send-again", "delivery": failed.id}).status_code == 404


@pytest.mark.django_db
def test_while_one_turn_of_mails_lasts_another_begins_none(cast: Cast) -> None:
    cross(cast)
    collect(cast)
    parameters = connection.get_connection_params()
    wanted = {name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if parameters.get(name)}
    with psycopg.connect(**wanted) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [deliver._MAILS])
        assert deliver.send_mails(at=NOW) == 0
        other.execute("SELECT pg_advisory_unlock(%s)", [deliver._MAILS])  # a closed connection's goes a little later
    assert deliver.send_mails(at=NOW) == 3
