"""Contests: the company pays after all, the person gets everything back, once, whatever is repeated or killed."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from balances import locks, personal_corrections
from balances.models import (
    ChargeLine,
    NumberAssignment,
    OpenPersonalUsage,
    PersonalBucket,
    PersonalEntry,
    SuspendedUsage,
    UsageRecord,
)
from balances.models.accounts import NumberKind
from balances.units import MIB
from policies.models import SteeringVersion
from portal import contests
from portal.access import scope_of
from portal.charging import ingest, pipeline, suspense
from portal.models import Contest
from tests.cast import Cast
from tests.employee import Employee, employee, open_account, steer
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")
FILED = "user:77 Emil Engel"
MANAGER = "user:78 Alice Arden"


@pytest.fixture
def emil(cast: Cast) -> Employee:
    """A private call of five minutes, and 100 MiB abroad of which 40 are his."""
    made = employee(cast)
    phone = cast.aurora.lines["emil phone"]
    charge(
        cast.aurora,
        used(phone, "voice", 300, other_party="498912345"),
        used(phone, "data", 100 * MIB, visited_network="208"),
    )
    return made


def now() -> datetime:
    return datetime.now(UTC)


def mine(service: int) -> UsageRecord:
    return UsageRecord.objects.get(payer=2, service=service)


def filed(emil: Employee, service: int = 1, **said) -> Contest:
    usage = mine(service)
    return contests.file(
        usages=[usage], person=emil.person, reason="That was for work.", actor=FILED, at=now(), **said
    )[0]


def upheld(emil: Employee, service: int = 1) -> Contest:
    contest = filed(emil, service)
    return contests.decide(contest=contest, uphold=True, answer="", actor=MANAGER, at=now())


def charged(emil: Employee) -> None:
    pipeline.drain(emil.cast.aurora.enterprise.id)


def balance(emil: Employee) -> int:
    emil.account.refresh_from_db()
    return emil.account.balance_micros


def test_upheld_the_company_is_charged_what_the_person_had_and_the_money_is_back(emil: Employee):
    contest = upheld(emil)
    charged(emil)
    record = UsageRecord.objects.get(source__name=ingest.CORRECTIONS)
    assert (record.payer, record.charged_units, record.used_at) == (1, 40 * MIB, mine(1).used_at)
    line = ChargeLine.objects.get(usage=record.id)
    assert (line.units, line.refused_units) == (40 * MIB, 0)
    assert f"correction:{contest.id}" in line.reasons.split()
    assert contests.complete_due(at=now()) == 1
    contest.refresh_from_db()
    assert (contest.state, contest.refunded_micros) == ("corrected", 3_000_000)
    assert balance(emil) == 19_500_000
    bucket = PersonalBucket.objects.get()
    assert bucket.granted_units - bucket.used_units == 10 * MIB, "what was drawn can be drawn again"


def test_nothing_comes_back_before_the_company_is_charged(emil: Employee):
    contest = upheld(emil)
    assert contests.complete_due(at=now()) == 0
    contest.refresh_from_db()
    assert contest.state == "upheld"
    assert balance(emil) == 16_500_000


def test_it_comes_back_once_however_often_it_is_tried(emil: Employee):
    contest = upheld(emil)
    for _ in range(3):
        charged(emil)
        contests.complete_due(at=now())
        contests.complete(contest_id=contest.id, actor="beat", at=now())
    again = contests.decide(contest=contest, uphold=True, answer="", actor=MANAGER, at=now())
    assert again.id == contest.id
    assert UsageRecord.objects.filter(source__name=ingest.CORRECTIONS).count() == 1
    assert PersonalEntry.objects.filter(kind="correction").count() == 1
    assert balance(emil) == 19_500_000


def test_killed_between_money_and_state_neither_has_happened_and_the_next_turn_does_both(
    emil: Employee, monkeypatch: pytest.MonkeyPatch
):
    upheld(emil)
    charged(emil)

    class Killed(Exception):
        pass

    def die(*arguments, **options):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(contests, "_record", die)
        with pytest.raises(Killed):
            contests.complete_due(at=now())
    assert balance(emil) == 16_500_000
    assert not PersonalEntry.objects.filter(kind="correction").exists()
    assert contests.complete_due(at=now()) == 1
    assert balance(emil) == 19_500_000


def test_killed_while_deciding_the_contest_is_open_and_nothing_is_on_its_way(
    emil: Employee, monkeypatch: pytest.MonkeyPatch
):
    contest = filed(emil)

    def die(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(contests, "_record", die)
        with pytest.raises(KeyboardInterrupt):
            contests.decide(contest=contest, uphold=True, answer="", actor=MANAGER, at=now())
    contest.refresh_from_db()
    assert contest.state == "open"
    charged(emil)
    assert not UsageRecord.objects.filter(source__name=ingest.CORRECTIONS).exists()


def test_a_worker_that_was_at_work_before_the_first_correction_gives_it_to_the_company(emil: Employee):
    charge(emil.cast.aurora, used(emil.cast.aurora.lines["emil phone"], "voice", 60, other_party="498912345"))
    usage = UsageRecord.objects.filter(payer=2, service=2).latest("id")
    contest = contests.file(usages=[usage], person=emil.person, reason="Work.", actor=FILED, at=now())[0]
    contests.decide(contest=contest, uphold=True, answer="", actor=MANAGER, at=now())
    charged(emil)
    assert UsageRecord.objects.get(source__name=ingest.CORRECTIONS).payer == 1


def test_the_company_pays_a_correction_when_no_rule_is_left(emil: Employee):
    contest = filed(emil)
    SteeringVersion.objects.all().update(state="retired", ends_at=now() - timedelta(days=100))
    contests.decide(contest=contest, uphold=True, answer="", actor=MANAGER, at=now())
    pipeline.forget_everything()
    charged(emil)
    record = UsageRecord.objects.get(source__name=ingest.CORRECTIONS)
    assert record.charged_units == 40 * MIB


def test_usage_on_credit_is_closed_and_not_charged_with_the_money_that_comes_back(cast: Cast):
    made = employee(cast, paid_in=0, missing={"action": "interim", "micros": 50_000_000})
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "voice", 300, other_party="498912345"))
    assert OpenPersonalUsage.objects.get().state == "open"
    contest = upheld(made, service=2)
    charged(made)
    contests.complete_due(at=now())
    contest.refresh_from_db()
    assert (contest.state, contest.refunded_micros) == ("corrected", 0)
    assert OpenPersonalUsage.objects.get().state == "written_off"
    assert balance(made) == 0


def test_what_waits_in_suspense_says_so_and_completes_once_it_is_recycled(emil: Employee, settings):
    contest = filed(emil)
    phone = emil.cast.aurora.lines["emil phone"]
    numbers = list(phone.numbers.all())
    contests.decide(contest=contest, uphold=True, answer="", actor=MANAGER, at=now())
    phone.numbers.all().delete()
    pipeline.forget_everything()
    charged(emil)
    contest.refresh_from_db()
    row = contests.suspended(contest)
    assert row is not None
    assert row.reason == "unknown_line"
    assert contests.complete_due(at=now()) == 0
    for number in numbers:
        number.save(force_insert=True)
    pipeline.forget_everything()
    scope = scope_of(emil.cast.alice)
    doing = {"scope": scope, "actor": MANAGER, "at": now()}
    with pytest.raises(suspense.NotCorrectable):
        suspense.recycle(ids=[row.id], corrections={"units": 1}, **doing)
    suspense.recycle(ids=[row.id], **doing)
    charged(emil)
    assert contests.complete_due(at=now()) == 1
    assert not SuspendedUsage.objects.filter(state="open").exists()
    assert balance(emil) == 19_500_000


@pytest.fixture
def night(cast: Cast) -> Employee:
    """A session of a day and more, of which the nights are Emil's."""
    account = open_account(cast, cast.aurora.people["P-1"])
    evening = {"name": "Evening", "when": "not time within 08:00-18:00", "pays": "personal"}
    made = Employee(cast, account, steer(cast.aurora, evening))
    day = (datetime.now(BERLIN) - timedelta(days=4)).date()
    begins, ends = (
        datetime.combine(day + timedelta(days=days), time(hour), BERLIN) for days, hour in ((0, 17), (1, 19))
    )
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "voice", 2_600, begins, ended_at=ends.isoformat()))
    return made


def test_of_a_session_with_gaps_each_stretch_is_corrected_in_its_own_time(night: Employee):
    upheld(night, service=2)
    charged(night)
    paid = [(line.starts_at, line.units) for line in ChargeLine.objects.filter(payer=2).order_by("starts_at")]
    records = UsageRecord.objects.filter(source__name=ingest.CORRECTIONS).order_by("used_at")
    assert [(record.used_at, record.charged_units) for record in records] == paid
    hours = [tuple(f"{at.astimezone(BERLIN):%H}" for at in (record.used_at, record.ended_at)) for record in records]
    assert hours == [("18", "08"), ("18", "19")]
    assert contests.complete_due(at=now()) == 1
    assert balance(night) == 20_000_000


def test_nothing_comes_back_before_every_stretch_is_charged(night: Employee):
    contest = filed(night, service=2)
    phone = night.cast.aurora.lines["emil phone"]
    [number] = phone.numbers.filter(kind=NumberKind.MSISDN)
    held = number.during
    begun = ChargeLine.objects.filter(payer=2).latest("starts_at").starts_at
    contests.decide(contest=contest, uphold=True, answer="", actor=MANAGER, at=now())
    NumberAssignment.objects.filter(pk=number.pk).update(during=DateTimeTZRange(begun, None))
    pipeline.forget_everything()
    charged(night)
    assert UsageRecord.objects.filter(source__name=ingest.CORRECTIONS).count() == 1
    contest.refresh_from_db()
    row = contests.suspended(contest)
    assert row is not None
    assert contests.complete_due(at=now()) == 0
    assert balance(night) < 20_000_000
    NumberAssignment.objects.filter(pk=number.pk).update(during=held)
    pipeline.forget_everything()
    suspense.recycle(ids=[row.id], scope=scope_of(night.cast.alice), actor=MANAGER, at=now())
    charged(night)
    assert [contests.complete_due(at=now()) for _ in range(2)] == [1, 0]
    assert balance(night) == 20_000_000


def test_a_correction_that_was_sent_as_one_record_completes(night: Employee, monkeypatch: pytest.MonkeyPatch):
    """So were all, also of sessions with gaps."""
    record = mine(2)
    whole = personal_corrections.PersonalStretch(record.used_at, record.ended_at, record.charged_units)
    with monkeypatch.context() as patched:
        patched.setattr(personal_corrections, "personal_stretches", lambda _: [whole])
        contest = upheld(night, service=2)
    charged(night)
    assert UsageRecord.objects.get(source__name=ingest.CORRECTIONS).source_record_id == f"contest-{contest.id}"
    assert contests.complete_due(at=now()) == 1
    assert balance(night) == 20_000_000


def test_declined_everything_stays_as_it_is(emil: Employee):
    contest = filed(emil)
    contests.decide(contest=contest, uphold=False, answer="It was a Sunday.", actor=MANAGER, at=now())
    charged(emil)
    assert contests.complete_due(at=now()) == 0
    assert balance(emil) == 16_500_000
    with pytest.raises(contests.AlreadyDecided):
        contests.decide(contest=contest, uphold=True, answer="", actor=MANAGER, at=now())


def test_managers_are_shown_what_the_person_chose_and_no_more(emil: Employee):
    assert set(filed(emil).disclosed) == {"service", "day", "units"}
    assert set(filed(emil, 2, shown=["service", "number"]).disclosed) == {"service", "number"}


def test_only_what_one_pays_oneself_is_contested_and_once(emil: Employee):
    company = UsageRecord.objects.get(payer=1)
    other = emil.cast.aurora.people["P-2"]
    for usage, person in ((company, emil.person), (mine(1), other)):
        with pytest.raises(contests.NotContestable):
            contests.file(usages=[usage], person=person, reason="x", actor=FILED, at=now())
    filed(emil)
    with pytest.raises(contests.AlreadyContested):
        filed(emil)
    late = now() + timedelta(days=200)
    with pytest.raises(contests.NotContestable):
        contests.file(usages=[mine(2)], person=emil.person, reason="x", actor=FILED, at=late)


def test_nobody_decides_what_they_have_filed(emil: Employee):
    contest = filed(emil)
    with pytest.raises(contests.OwnContest):
        contests.decide(contest=contest, uphold=True, answer="", actor=FILED, at=now())


def test_no_door_takes_the_name_of_the_portals_own_source(emil: Employee):
    for name in ("Corrections", " corrections ", "CORRECTIONS"):
        with pytest.raises(ingest.ReservedSource):
            ingest.source(operator_id=emil.cast.operator.id, name=name)


def test_what_comes_back_needs_the_decisions_transaction(emil: Employee):
    with locks.enterprise(emil.cast.aurora.enterprise.id):
        back = personal_corrections.take_back(record=mine(2), key="x", note="", actor="beat", at=now())
    assert (back.micros, back.units, back.closed_units) == (500_000, 0, 0)
