"""The demo, small: it builds, twice is once, killed half-way it goes on, and its ledger is clean."""

from __future__ import annotations

import io
import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.test import RequestFactory
from django.utils import timezone

from balances import hierarchy, proof
from balances.models import (
    Account,
    AuditEvent,
    Bucket,
    Counter,
    Crossing,
    Device,
    DrawCap,
    Enterprise,
    Entry,
    Exchange,
    Line,
    Offer,
    Operator,
    PersonalAccount,
    StandingTransfer,
    SuspendedUsage,
    Trade,
    TradingTerms,
    UsageBatch,
    UsageIdentity,
    UsageRecord,
)
from balances.models.counters import Grain, OwnerKind
from clients.traffic import config as traffic_configuration
from clients.traffic.model import Line as TrafficLine
from clients.traffic.model import Traffic
from clients.traffic.profiles import KEEN
from policies.models import (
    Consent,
    Exemption,
    Limit,
    NumberList,
    PolicyVersion,
    Restriction,
    SteeringVersion,
    Trip,
)
from portal import access, tokens
from portal.charging import pipeline
from portal.demo import ahead, cast
from portal.demo.past import Past
from portal.demo.plan import LARGEST_LINES, SIZES, enterprise_plan
from portal.demo.story import Story
from portal.models import Contest, Job, PersonClaim, User

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 18, 9, 30, tzinfo=UTC)


@pytest.fixture
def data_dir(tmp_path, settings):
    settings.DATA_DIR = tmp_path
    pipeline.forget_everything()
    yield tmp_path
    pipeline.forget_everything()


def demo(*options: str) -> str:
    said = io.StringIO()
    call_command("demo", "--lines", "60", "--days", "20", *options, stdout=said)
    return said.getvalue()


def fingerprint() -> tuple:
    """Everything that a second build must not change."""
    buckets = Bucket.objects.order_by("key").values_list("granted_units", "remaining_units", "used_units")
    counts = [model.objects.count() for model in (Account, Line, UsageRecord, UsageBatch, Entry, Crossing, User)]
    return list(buckets), counts


def faults() -> list[str]:
    return [f"{finding.check.name}: {finding.faults}" for finding in proof.prove() if not finding.holds]


def test_a_small_demo_builds_charges_everything_and_proves_clean(data_dir):
    said = demo()
    assert "100%" in said
    assert set(Enterprise.objects.values_list("name", flat=True)) == {size.name for size in SIZES.values()}
    accounted = proof.accounted()
    assert accounted["waiting"] == accounted["parked"] == 0
    assert accounted["charged"] > 500
    whole = UsageRecord.objects.filter(counterpart_id=None)  # one of two payers counts once
    assert whole.count() == accounted["charged"]
    assert faults() == []


def test_a_second_call_changes_nothing(data_dir):
    demo()
    before, files = fingerprint(), {path.name: path.read_text() for path in data_dir.glob("*.json")}
    assert "already" in demo()
    assert "already" in demo("--if-empty")
    assert fingerprint() == before
    assert {path.name: path.read_text() for path in data_dir.glob("*.json")} == files


def test_a_build_that_was_killed_goes_on_and_ends_like_one_that_was_not(data_dir, monkeypatch):
    live_through = Past.live_through

    def killed(self):
        for n, step in enumerate(live_through(self)):
            if n == 2:
                raise KeyboardInterrupt
            yield step

    monkeypatch.setattr(Past, "live_through", killed)
    with pytest.raises(KeyboardInterrupt):
        demo()
    monkeypatch.undo()
    assert UsageRecord.objects.exists()
    assert "goes on" in demo("--if-empty")
    assert proof.accounted()["waiting"] == 0
    assert faults() == []
    whole = UsageRecord.objects.filter(counterpart_id=None)
    identities = list(whole.values_list("source_record_id", flat=True))
    story = _story_of_the_build("meridian")
    wanted = {
        u.source_record_id
        for span in story.spans(story.history_from)
        for u in story.history.usages(*span)
        if not u.fault
    }
    mine = {identity for identity in identities if identity.startswith("past2026-10-")}
    suspended = set(SuspendedUsage.objects.values_list("source_record_id", flat=True))
    assert mine | suspended >= wanted
    assert len(identities) == len(set(identities))


def _story_of_the_build(key: str) -> Story:
    parameters = AuditEvent.objects.get(action="demo.started").detail
    return Story(key=key, **parameters | {"now": datetime.fromisoformat(parameters["now"])})


def test_nothing_is_built_beside_enterprises_that_are_there(data_dir):
    operator = Operator.objects.create(name="Somebody")
    hierarchy.create_enterprise(operator=operator, name="Theirs", number="1", actor="test", at=timezone.now())
    assert "not built" in demo("--if-empty")
    assert Enterprise.objects.count() == 1


def test_something_needs_attention(data_dir):
    demo()
    story = _story_of_the_build("meridian")
    squeezed = Account.objects.get(enterprise__number="NN-10001", code=story.squeezed.code)
    bucket = Bucket.objects.get(account=squeezed, kind="allocation", closed_at=None)
    assert bucket.remaining_units == 0
    counted = Counter.objects.filter(owner_kind=OwnerKind.ACCOUNT, owner_id=squeezed.id, grain=Grain.CYCLE)
    assert sum(counter.overage_units for counter in counted) > 0
    assert Crossing.objects.filter(account=squeezed).exists()
    assert Bucket.objects.filter(closed_at__isnull=False).exists() or story.began_at > story.now - timedelta(days=31)


def test_no_screen_of_a_tour_is_empty(data_dir):
    demo()
    mine = {"enterprise__number": SIZES["meridian"].number}
    for model in (DrawCap, Exchange, Limit, Consent, Exemption, Restriction, Offer, TradingTerms, StandingTransfer):
        assert model.objects.filter(**mine).exists(), model.__name__
    assert Bucket.objects.filter(kind="contingency", **mine).exists()
    assert {"phone", "tablet", "machine"} <= set(Device.objects.filter(**mine).values_list("device_type", flat=True))
    assert not Device.objects.filter(device_type="unknown").exists()
    assert set(Trade.objects.filter(**mine).values_list("state", flat=True)) == {"settled", "waiting"}
    for model in (PersonalAccount, Trip, NumberList):
        assert model.objects.filter(**mine).exists(), model.__name__
    assert set(UsageRecord.objects.values_list("payer", flat=True)) == {1, 2}
    assert UsageRecord.objects.exclude(counterpart_id=None).exists(), "a call of which both pay a part"
    rules = SteeringVersion.objects.filter(**mine)
    assert set(rules.values_list("state", flat=True)) == {"published", "draft"}
    assert rules.filter(state="published").values("steering").distinct().count() == 3, "at the top, below, and a team's"
    states = PolicyVersion.objects.filter(policy__enterprise__number=SIZES["meridian"].number)
    assert set(states.values_list("state", flat=True)) == {"published", "draft"}


def test_the_employee_proved_who_they_are_and_objected_and_got_something_back(data_dir):
    demo()
    claim = PersonClaim.objects.get()
    assert claim.user.memberships.get().person == claim.person
    contests = Contest.objects.filter(person=claim.person)
    assert set(contests.values_list("state", flat=True)) == {"open", "corrected", "declined"}
    corrected = contests.get(state="corrected")
    assert corrected.refunded_micros > 0
    correction = UsageIdentity.objects.get(source_record_id=f"contest-{corrected.id}")
    assert UsageRecord.objects.get(id=correction.usage_id).payer == 1
    job = Job.objects.get(kind="steering-replay")
    assert SteeringVersion.objects.get(id=job.parameters["version"]).state == "draft"


def test_the_employees_phone_is_never_quiet_and_uses_what_each_payer_pays(data_dir):
    demo()
    config = traffic_configuration.read(data_dir / "traffic.json")
    (phone,) = [line for line in config.lines if line.profile == KEEN]
    assert Line.objects.get(msisdn=phone.msisdn).person == PersonClaim.objects.get().person
    at_night = datetime(2026, 3, 15, 3, tzinfo=UTC).timestamp()
    traffic = Traffic([TrafficLine(phone.msisdn, phone.profile)], seed=config.seed, prefix="x", rate=config.speed)
    used = {
        record.attributes["application"] for record in traffic.between(at_night, at_night + 600) if record.attributes
    }
    assert used & {"outlook", "teams", "sap"}
    assert used & {"video", "social"}


def test_the_cast_can_sign_in_and_sees_its_own(data_dir):
    demo()
    members = json.loads((data_dir / "cast.json").read_text())
    assert len(members) == 8
    seen = {}
    for member in members:
        request = RequestFactory().post("/sign-in")
        assert authenticate(request, username=member["email"], password=member["password"]), member
        scope = access.scope_of(User.objects.get(email=member["email"]))
        seen[member["role"].split(",")[0]] = Enterprise.objects.within(scope).count(), len(scope.line_ids())
    assert seen["Account manager of the operator Nordnetz"] == (3, 0)
    assert seen["Telecoms manager"] == (1, 0)
    assert seen["Employee with two lines"] == (0, 2)


def test_the_traffic_file_is_private_and_its_token_may_only_report(data_dir):
    demo()
    path = data_dir / "traffic.json"
    assert os.stat(path).st_mode & 0o777 == 0o600
    config = traffic_configuration.read(path)
    assert {line.msisdn for line in config.lines} == set(Line.objects.values_list("msisdn", flat=True))
    scope = access.scope_of_token(tokens.find(config.token))
    assert len(scope.enterprise_ids(access.Verb.INGEST)) == 3
    assert not scope.enterprise_ids(access.Verb.VIEW)
    assert config.speed == cast.SPEED


def test_the_largest_enterprise_has_300_accounts_on_five_levels_and_5000_lines():
    plan = enterprise_plan("meridian", lines=LARGEST_LINES, seed=2026)
    levels = {"": 1}
    for account in plan.accounts:
        levels[account.code] = levels[account.parent_code] + 1
    assert len(plan.accounts) + 1 == 300
    assert max(levels.values()) == 5
    assert len(plan.lines) == 5_000
    assert len({line.msisdn for line in plan.lines}) == len({line.imei for line in plan.lines}) == 5_000
    assert [line.profile for line in plan.lines].count("runaway") == 1


@pytest.mark.parametrize("day", range(1, 32))
def test_whatever_the_day_a_cycle_is_well_under_way_with_days_to_go(day):
    now = datetime(2026, 1, day, 12, tzinfo=UTC)
    for key in SIZES:
        story = Story(key=key, lines=60, days=90, seed=1, now=now)
        cycles = list(story.cycles())
        assert len(cycles) >= 3
        assert timedelta(days=1) < cycles[-1].ends_at - now < timedelta(days=14)
        assert story.began_at <= story.history_from


def test_a_second_process_makes_the_very_same_records():
    story = Story(key="brandt", lines=500, days=9, seed=5, now=NOW)
    spans = list(story.spans(story.history_from))
    here = [story.history.usages(*span) for span in spans]
    assert list(ahead.deliveries(story, story.history_from, len(spans))) == here
    assert any(here)


def test_a_second_process_that_ends_early_is_an_error_and_no_endless_wait():
    story = Story(key="brandt", lines=500, days=2, seed=5, now=NOW)
    with pytest.raises(ahead.MakerEnded):
        list(ahead.deliveries(story, story.history_from, 99))
