"""A fact is told once, to whom it concerns, whatever happens in between (SCENARIOS 22)."""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.core import mail
from django.db import connection
from django.test import Client

from balances import contracts
from balances.models import Crossing
from balances.units import GIB
from portal.access import scope_of
from portal.models import Delivery, Notice
from portal.notices import deliver, inbox, outbox, preferences, words
from tests.api.client import charge, used
from tests.cast import ACTOR, NOW, Cast, build

DOING = {"actor": ACTOR, "at": NOW}


def cross(cast: Cast, number: int = 1, units: int = GIB) -> None:
    """Emil's phone reaches 1 GiB, and 1 % of the enterprise's data."""
    contracts.set_threshold(line=cast.aurora.lines["emil phone"], service=1, units=GIB, **DOING)
    charge(cast.aurora, used(number, units=units, started_at="2026-03-15T12:00:00+01:00"))


def collect(cast: Cast, at=NOW) -> outbox.Told:
    return outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=at)


def told(channel: str = "portal") -> set[str]:
    return set(Delivery.objects.filter(channel=channel, user__isnull=False).values_list("user__name", flat=True))


@pytest.mark.django_db
def test_those_are_told_whose_role_holds_the_line(cast: Cast) -> None:
    cross(cast)
    collect(cast)
    assert told() == told("email") == {"Alice Arden", "Carla Castell", "Emil Engel"}


@pytest.mark.django_db
def test_nothing_is_told_twice(cast: Cast) -> None:
    cross(cast)
    first = collect(cast)
    charge(cast.aurora, used(2, units=5, started_at="2026-03-15T12:01:00+01:00"))
    assert (len(first.notices), collect(cast).notices) == (1, [])
    assert Notice.objects.count() == Crossing.objects.count() == 1


@pytest.mark.django_db
def test_a_lost_nudge_is_found(cast: Cast) -> None:
    cross(cast)
    assert outbox.waiting(at=NOW) == {cast.aurora.enterprise.id}
    collect(cast)
    assert outbox.waiting(at=NOW) == set()
    later = NOW + timedelta(minutes=11)
    outbox.waiting(at=later)
    contracts.set_threshold(line=cast.aurora.lines["emil phone"], service=1, units=2 * GIB, **DOING)
    charge(cast.aurora, used(3, units=GIB, started_at="2026-03-15T12:02:00+01:00"))
    assert outbox.waiting(at=later) == {cast.aurora.enterprise.id}


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_tell_it_once() -> None:
    cast = build()
    cross(cast)
    barrier, found = Barrier(4), []

    def work() -> None:
        barrier.wait()
        found.append(len(collect(cast).notices))
        connection.close()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 0, 0, 1]
    assert Notice.objects.count() == 1


@pytest.mark.django_db
def test_killed_between_notice_and_mark_it_is_told_the_next_time(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    cross(cast)
    with monkeypatch.context() as broken:
        broken.setattr(outbox.planning, "plan", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collect(cast)
    assert not Notice.objects.exists()
    assert len(collect(cast).notices) == 1


@pytest.mark.django_db
def test_a_notice_says_what_there_is_to_say(cast: Cast) -> None:
    cross(cast)
    collect(cast)
    notice = Notice.objects.get()
    english, german = words.message(notice, "en", why="employee:"), words.message(notice, "de", why="employee:")
    assert english.state_word == "Used up"
    assert german.state_word == "Aufgebraucht"
    said = dict(english.lines)
    assert said["Used"] == "1\u202fGiB of 1\u202fGiB (100\u202f%)"
    assert said["Price beyond"] == "€0.004 for 1\u202fMiB at home"
    assert "Why you get this" in said
    assert "As of" in said
    assert "1 Apr 2026" in said["What happens next"]
    assert len(english.lines) == len(german.lines)


@pytest.mark.django_db
def test_a_mail_server_that_is_down_loses_nothing(cast: Cast, settings) -> None:
    cross(cast)
    collect(cast)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    deliver.send_due(at=NOW)
    assert set(Delivery.objects.filter(channel="email").values_list("state", "attempts")) == {("waiting", 1)}
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    deliver.send_due(at=NOW + timedelta(seconds=10))
    assert mail.outbox == []  # its pause is not over
    deliver.send_due(at=NOW + timedelta(seconds=31))
    deliver.send_due(at=NOW + timedelta(hours=2))
    assert sorted(message.to[0] for message in mail.outbox) == [
        "alice@example.org",
        "carla@example.org",
        "emil@example.org",
    ]


@pytest.mark.django_db
def test_the_next_one_up_is_told_when_nobody_reads_it(cast: Cast) -> None:
    preferences.escalate(account=cast.aurora.root, after_minutes=15, **DOING)
    cross(cast)
    collect(cast)
    now = Delivery.objects.filter(channel="portal", state="sent")
    assert {d.user.name for d in now} == {"Carla Castell", "Emil Engel"}
    deliver.escalate(at=NOW + timedelta(minutes=14))
    assert now.all().count() == 2
    deliver.escalate(at=NOW + timedelta(minutes=15))
    assert now.all().count() == 3


@pytest.mark.django_db
def test_reading_it_ends_the_escalation(cast: Cast) -> None:
    preferences.escalate(account=cast.aurora.root, after_minutes=15, **DOING)
    cross(cast)
    collect(cast)
    inbox.acknowledge(notice=Notice.objects.get(), user=cast.carla, **DOING)
    deliver.escalate(at=NOW + timedelta(minutes=15))
    assert Delivery.objects.get(user=cast.alice, channel="portal").state == "dropped"


@pytest.mark.django_db
def test_a_silence_keeps_the_history(cast: Cast) -> None:
    inbox.silence(user=cast.alice, account=cast.aurora.root, until=NOW + timedelta(days=1), reason="Fair", **DOING)
    cross(cast)
    collect(cast)
    alices = inbox.notices(scope_of(cast.alice), cast.alice)
    assert [row.delivery_state for row in alices] == ["dropped"]
    assert not inbox.unread(scope_of(cast.alice), cast.alice).exists()
    assert inbox.unread(scope_of(cast.carla), cast.carla).count() == 1


@pytest.mark.django_db
def test_a_test_is_its_makers_alone(cast: Cast) -> None:
    mark = contracts.set_threshold(account=cast.aurora.root, service=1, percent=80, **DOING)
    fired = preferences.fire(threshold=mark, user=cast.alice, at=NOW)
    assert words.message(fired).title.startswith("Test: ")
    assert not inbox.notices(scope_of(cast.olga), cast.olga).exists()
    assert inbox.notices(scope_of(cast.alice), cast.alice).count() == 1
    assert not Crossing.objects.exists()


@pytest.mark.django_db
def test_the_screens_show_and_do_it(cast: Cast) -> None:
    cross(cast)
    collect(cast)
    browser, notice = Client(), Notice.objects.get()
    browser.force_login(cast.alice, backend="django.contrib.auth.backends.ModelBackend")
    assert b'data-unread="1"' in browser.get("/notices/").content
    page = browser.get(f"/notices/{notice.id}/").content.decode()
    assert "Price beyond" in page
    assert "I take care of it" in page
    assert b'data-unread="0"' in browser.get("/notices/preferences/").content
    browser.post(f"/notices/{notice.id}/", {"action": "acknowledge"})
    assert Delivery.objects.get(user=cast.alice, channel="portal").acknowledged_at
    sent = {"action": "silence", "silence-hours": "24", "silence-scope": "kind", "silence-reason": "Fair"}
    assert browser.post(f"/notices/{notice.id}/", sent).status_code == 302
    clock = {"clock-language": "de", "clock-time_zone": "Europe/Berlin", "action": "clock"}
    assert browser.post("/notices/preferences/", clock).status_code == 302
    assert cast.alice.notice_settings.language == "de"
