"""What people are told of their own account and objections, and managers of objections: once, and nobody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest
from django.core import mail
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from balances import personal
from balances.models import AuditEvent, PersonalNews, UsageRecord
from balances.personal_news import reached
from balances.units import MIB
from portal import contests
from portal.access import scope_of
from portal.charging import pipeline
from portal.models import Contest, Delivery, Escalation, Notice, WebhookEndpoint
from portal.notices import deliver, inbox, outbox, preferences, words
from tests.cast import ACTOR, Cast, build
from tests.employee import Employee, employee
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db
MANAGER = "user:78 Alice Arden"


def now() -> datetime:
    return datetime.now(UTC)


def use(emil: Employee, minutes: int = 0, mebibytes: int = 0) -> None:
    """Private calls at ten cents a minute, and data abroad of which 40 % are his."""
    phone, sent = emil.cast.aurora.lines["emil phone"], []
    if minutes:
        sent.append(used(phone, "voice", minutes * 60, other_party="498912345"))
    if mebibytes:
        sent.append(used(phone, "data", mebibytes * MIB, visited_network="208"))
    charge(emil.cast.aurora, *sent)


def collect(cast: Cast) -> list[Notice]:
    told = outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=now())
    return list(Notice.objects.filter(id__in=told.notices).order_by("id"))


def titles(cast: Cast) -> list[str]:
    """What is told now, in the order of its happening."""
    return [words.message(notice).title.replace("\u202f", " ") for notice in collect(cast)]


def told(notice: Notice, channel: str = "portal") -> set[str]:
    return set(notice.deliveries.filter(channel=channel, state="sent").values_list("user__name", flat=True))


@pytest.mark.parametrize(
    ("before", "after", "total", "mark"),
    [
        (0, 79, 100, None), (0, 80, 100, 80), (79, 99, 100, 80), (80, 99, 100, None), (80, 100, 100, 100),
        (0, 100, 100, 100), (100, 100, 100, None), (0, 4, 5, 80), (-50, 39, 50, None), (-50, 40, 50, 80),
        (0, 9, 0, None), (90, 80, 100, None), (0, 2, 3, None),
    ],
)  # fmt: skip
def test_a_mark_is_reached_at_its_figure_and_of_two_at_once_the_higher_is_told(before, after, total, mark):
    assert reached(before, after, total) == mark


def test_an_allowance_is_told_at_80_percent_and_at_its_end_once_a_month(cast: Cast):
    emil = employee(cast)
    use(emil, mebibytes=15)
    assert titles(cast) == []
    use(emil, mebibytes=5)
    assert titles(cast) == ["Private data: 80 % of this month are used"]
    use(emil, mebibytes=1)
    assert titles(cast) == []
    use(emil, mebibytes=20)
    use(emil, mebibytes=20)
    assert titles(cast) == ["Private data is used up for this month"]


def test_units_that_come_back_arm_an_allowance_anew(cast: Cast):
    emil = employee(cast)
    use(emil, mebibytes=25)
    assert titles(cast) == ["Private data is used up for this month"]
    correct(emil, 1)
    titles(cast)
    use(emil, mebibytes=25)
    assert titles(cast) == ["Private data is used up for this month"]


def test_prepaid_money_is_told_when_a_fifth_is_left_and_when_it_is_out_and_anew_once_some_came_in(cast: Cast):
    emil = employee(cast)
    use(emil, minutes=159)
    assert titles(cast) == []
    use(emil, minutes=1)
    assert titles(cast) == ["Your money runs low: €4.00 left"]
    use(emil, minutes=39)
    assert titles(cast) == []
    use(emil, minutes=30)
    use(emil, minutes=30)
    assert titles(cast) == ["Your money is used up"], "30 cents were left that paid three minutes more"
    personal.top_up(account=emil.account, micros=10_000_000, key="more", actor=ACTOR, at=now())
    use(emil, minutes=80)
    assert titles(cast) == ["Your money runs low: €2.00 left"]


def test_money_that_is_not_enough_for_a_unit_is_out_although_some_is_left(cast: Cast):
    emil = employee(cast, paid_in=1_000)
    use(emil, minutes=1)
    use(emil, minutes=1)
    assert titles(cast) == ["Your money is used up"]


def test_a_credit_limit_is_told_at_80_percent_and_at_its_end_and_anew_when_it_is_raised(cast: Cast):
    emil = employee(cast, kind="postpaid", credit_limit_micros=10_000_000)
    use(emil, minutes=80)
    assert titles(cast) == ["80 % of your credit limit are used"]
    use(emil, minutes=30)
    assert titles(cast) == ["Your credit limit is reached"]
    personal.set_credit_limit(account=emil.account, credit_limit_micros=20_000_000, actor=ACTOR, at=now())
    use(emil, minutes=60)
    assert titles(cast) == ["80 % of your credit limit are used"]


def test_what_is_settled_and_what_is_paid_out_is_told_too(cast: Cast):
    emil = employee(cast, paid_in=0, missing={"action": "interim", "micros": 50_000_000})
    use(emil, minutes=90)
    assert titles(cast) == ["Your money is used up"]
    personal.top_up(account=emil.account, micros=10_000_000, key="ten", actor=ACTOR, at=now())
    assert titles(cast) == ["Your money runs low: €1.00 left"]
    for _ in range(2):
        personal.pay_out(account=emil.account, micros=500_000, key="out", actor=ACTOR, at=now())
    assert titles(cast) == ["€0.50 was paid out to you"]


def test_nothing_is_written_while_nothing_comes_to_a_mark(cast: Cast):
    emil = employee(cast)
    use(emil, minutes=10, mebibytes=5)
    assert not PersonalNews.objects.exists()
    use(emil, minutes=300)
    use(emil, minutes=300)
    assert PersonalNews.objects.count() == 1
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        PersonalNews.objects.update(level=80)


# --- objections -----------------------------------------------------------------------------------------------------


def filed(emil: Employee, service: int = 1, actor: str = "") -> Contest:
    usage = UsageRecord.objects.filter(payer=2, service=service).latest("id")
    actor = actor or f"user:{emil.cast.emil.pk} Emil Engel"
    return contests.file(usages=[usage], person=emil.person, reason="Canary", actor=actor, at=now())[0]


def decided(emil: Employee, contest: Contest, *, uphold: bool, answer: str = "") -> None:
    contests.decide(contest=contest, uphold=uphold, answer=answer, actor=MANAGER, at=now())


def correct(emil: Employee, service: int) -> Contest:
    contest = filed(emil, service)
    decided(emil, contest, uphold=True)
    pipeline.drain(emil.cast.aurora.enterprise.id)
    contests.complete_due(at=now())
    return contest


def test_the_nearest_who_decides_is_told_that_an_objection_waits_and_nothing_of_it(cast: Cast):
    emil = employee(cast)
    use(emil, mebibytes=10)
    contest = filed(emil)
    [notice] = collect(cast)
    assert told(notice) == {"Carla Castell"}, "the owner is further up, and is not called without an escalation"
    said = words.message(notice)
    assert said.title == "Field sales: an objection waits for a decision"
    assert said.state == "wanted"
    assert set(notice.facts) == {
        "said", "contest", "as_of", "time_zone", "currency", "owner", "owner_id", "owner_name", "account_name",
    }  # fmt: skip
    client = Client()
    client.force_login(cast.carla)
    page = client.get(reverse("notice", args=[notice.id])).content.decode()
    assert reverse("account-contests", args=[contest.account_id]) in page
    assert "Canary" not in page


def test_unread_it_rises_and_stops_once_it_is_decided(cast: Cast):
    Escalation.objects.create(account=cast.aurora.root, after_minutes=30, set_by=ACTOR, set_at=now())
    emil = employee(cast)
    use(emil, mebibytes=10)
    use(emil, minutes=5)
    first, second = filed(emil, 1), filed(emil, 2)
    notices = {notice.facts["contest"]: notice for notice in collect(cast)}
    assert told(notices[first.id]) == told(notices[second.id]) == {"Carla Castell"}
    decided(emil, second, uphold=False, answer="Sunday")
    collect(cast)
    deliver.escalate(at=now() + timedelta(minutes=31))
    assert told(notices[first.id]) == {"Carla Castell", "Alice Arden"}
    assert told(notices[second.id]) == {"Carla Castell"}
    assert Notice.objects.get(id=notices[second.id].id).resolved_at is not None


def test_who_filed_it_is_not_asked_to_decide_it(cast: Cast):
    emil = employee(cast)
    use(emil, mebibytes=10)
    filed(emil, actor=f"user:{cast.carla.pk} Carla Castell")
    [notice] = collect(cast)
    assert told(notice) == {"Alice Arden"}


def test_the_person_is_told_what_becomes_of_it(cast: Cast):
    emil = employee(cast)
    use(emil, minutes=5, mebibytes=10)
    contest = filed(emil, 2)
    decided(emil, contest, uphold=False, answer="It was a Sunday.")
    correct(emil, 1)
    found = [notice for notice in collect(cast) if notice.person_id]
    assert [words.message(notice).title for notice in found] == [
        "Your objection was declined", "Your objection was upheld", "What you objected to is the company's now",
    ]  # fmt: skip
    assert "It was a Sunday." in str(words.message(found[0]).lines)
    assert all(told(notice) == {"Emil Engel"} for notice in found)


def test_money_that_comes_back_is_said(cast: Cast):
    emil = employee(cast)
    use(emil, minutes=5)
    correct(emil, 2)
    assert "What you objected to is the company's: €0.50 came back to you" in titles(cast)


# --- nobody else ----------------------------------------------------------------------------------------------------


@pytest.fixture
def empty(cast: Cast) -> Employee:
    """Emil has nothing left; Aurora posts all its notices somewhere."""
    WebhookEndpoint.objects.create(
        enterprise=cast.aurora.enterprise, url="https://example.org/hook", secret="whsec_AAAA", created_by=ACTOR,
        created_at=now(),
    )  # fmt: skip
    emil = employee(cast, paid_in=100_000)
    use(emil, minutes=5)
    return emil


def test_a_personal_notice_reaches_the_person_alone_and_is_posted_nowhere(empty: Employee):
    cast = empty.cast
    [notice] = collect(cast)
    assert list(notice.deliveries.values_list("user__name", "channel").order_by("channel")) == [
        ("Emil Engel", "email"), ("Emil Engel", "portal"),
    ]  # fmt: skip
    for user in cast.users.values():
        seen = inbox.notices(scope_of(user), user).filter(id=notice.id).exists()
        unread = inbox.unread(scope_of(user), user).filter(id=notice.id).exists()
        assert seen is unread is (user == cast.emil)
    endpoint = WebhookEndpoint.objects.get()
    with pytest.raises(DatabaseError, match="personal notice"), transaction.atomic():
        Delivery.objects.create(notice=notice, endpoint=endpoint, channel="webhook")
    Delivery.objects.update(state="failed")
    assert not deliver.given_up([cast.aurora.enterprise.id]).exists()


def test_its_mail_says_that_there_is_news_and_not_what(empty: Employee):
    collect(empty.cast)
    deliver.send_mails(at=now())
    [message] = mail.outbox
    assert message.to == [empty.cast.emil.email]
    assert message.subject == "There is news for you alone: open the portal to read it"
    body = str(message.message())
    assert not [word for word in ("money", "€", "used up", "Private", "account") if word in body]


def test_mail_can_be_switched_off_beside_ones_inbox(empty: Employee):
    client = Client()
    client.force_login(empty.cast.emil)
    client.post(reverse("me-notices"), {"action": "mail", "mail-digest": "off"})
    assert ("personal", "email") in {
        (kind, channel)
        for kind, _, chosen in preferences.table(empty.cast.emil)
        for channel, digest in chosen
        if digest == "off"
    }
    [notice] = collect(empty.cast)
    assert not notice.deliveries.filter(channel="email").exists()


def test_it_is_read_in_ones_own_inbox_and_leaves_no_trace_for_managers(empty: Employee):
    [notice] = collect(empty.cast)
    client = Client()
    client.force_login(empty.cast.emil)
    page = client.get(reverse("me-notices")).content.decode()
    assert "Your money is used up" in page
    assert "seen by you alone" in page
    shown = client.get(reverse("notice", args=[notice.id])).content.decode()
    assert "Your money is used up" in shown
    assert 'value="acknowledge"' not in shown
    inbox.acknowledge(notice=notice, user=empty.cast.emil, actor=ACTOR, at=now())
    assert not AuditEvent.objects.filter(action="notice.acknowledged").exists()


def test_without_proof_nobody_is_told_and_who_proves_it_later_finds_it(empty: Employee):
    claim = empty.cast.emil.claims.get()
    type(claim).objects.filter(id=claim.id).update(ended_at=now())
    [notice] = collect(empty.cast)
    assert not notice.deliveries.exists()
    assert not inbox.notices(scope_of(empty.cast.emil), empty.cast.emil).filter(id=notice.id).exists()
    type(claim).objects.filter(id=claim.id).update(ended_at=None)
    assert inbox.own(scope_of(empty.cast.emil), empty.cast.emil).filter(id=notice.id).exists()


@pytest.mark.django_db(transaction=True)
def test_four_workers_at_once_tell_it_once() -> None:
    emil = employee(build(), paid_in=100_000)
    use(emil, minutes=5)
    barrier = Barrier(4)

    def work() -> None:
        barrier.wait()
        outbox.collect(enterprise_id=emil.cast.aurora.enterprise.id, at=now())
        connection.close()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Notice.objects.filter(person__isnull=False).count() == 1
    assert Delivery.objects.count() == 2
