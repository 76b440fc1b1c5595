"""Replay of who pays: decided again with what each charge knew, every stored charge line comes out as it was."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from balances import contracts, inventory, personal, personal_tariffs, profiles, tags
from balances.models import ContractVersion, Line, PersonalAccount, UsagePart, UsageRecord
from balances.models.accounts import LineStatus, NumberKind
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import Service
from policies.models import NumberListEntry, PolicyState, Steering, Trip
from policies.steering import declared, homes, number_lists, publishing, replaying, trips
from policies.steering.replay import Expected, Report, StoredEvent, StoredLine, StoredRecord, difference
from portal.charging import ingest, pipeline, steering_replaying
from portal.charging.records import decode_payload, read_mapping
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World
from tests.charging.steered import event, person_on, split_of, steer
from tests.charging.test_limits import limit

#: Two days before the clocks go forward, the second version of the contract begins, and the month turns.
BEGINS = datetime.fromisoformat("2026-03-27T06:00:00+00:00")
HOUR = timedelta(hours=1)
NEW_NUMBER = "4917010000009"
CALLED = ["4930123", "4930999", NUMBERS["b"], "112", ""]

CONDITIONS = [
    "time within 08:00-18:00", "time within 22:00-06:00 at there", "weekday in (sat, sun)", "holiday is no",
    "roaming is yes", "country is FR", "service is data and apn is corporate", "application in (Teams, Outlook)",
    "other_party starts 4930", "tag in (board, field)", "used at_least 60", "spent at_least 400000",
    "rating_group is 7", "device.imei starts 35", "units below 6", "not application is Teams",
    "zone is eu and not on_trip is yes", "line is 4917010000001", "",
]  # fmt: skip
#: What somebody changes about people, lines and devices in a life.
OF_FACTS = [
    "list is clients", "directory is yes", "tag is board", "on_trip is yes", "profile.grade is senior",
    "device.ownership is personal",
]  # fmt: skip
PARTS: list[Any] = [
    "corporate", "personal", "personal",
    [{"payer": "corporate", "percent": 60}, {"payer": "personal"}],
    [{"payer": "personal", "percent": 30}, {"payer": "corporate", "percent": 50}, {"payer": "personal"}],
    [{"payer": "corporate", "units": 25, "every": "cycle", "of": "person"}, {"payer": "personal"}],
    [{"payer": "corporate", "units": 9, "every": "day", "of": "line"}, {"payer": "personal"}],
    [{"payer": "personal", "units": 7, "every": "week", "of": "person"}, {"payer": "corporate"}],
    [{"payer": "corporate", "micros": 90_000, "every": "lifetime", "of": "account"}, {"payer": "personal"}],
    [{"payer": "corporate", "units": 8, "every": "day", "of": "account"}, {"payer": "personal", "percent": 50},
     {"payer": "corporate"}],
]  # fmt: skip


@pytest.fixture
def world(db) -> World:
    return World()


def replayed(world: World, since: datetime = BOUNDARIES[0] - timedelta(days=90)) -> Report:
    until = BOUNDARIES[-1]
    return steering_replaying.run_what_was_live(enterprise_id=world.enterprise.id, since=since, until=until)


class Life:
    """An enterprise whose people change their minds about everything that rules read, while usage comes."""

    def __init__(self, world: World):
        self.world, self.now, self.names = world, BEGINS, 0
        self.people = [person_on(world, line, f"Person {line}") for line in "abc"]
        self.clients = number_lists.create(
            account=world.accounts["R"], code="clients", name="Clients", actor=ACTOR, at=START
        )
        self.phone = inventory.add_device(enterprise=world.enterprise, imei="350000000000014", actor=ACTOR, at=BEGINS)
        limit(world, "N", 150, "steer_personal", at=BEGINS)
        limit(world, "S1", 90, "stop_now", at=BEGINS)
        self.tariff = personal_tariffs.create_tariff(
            operator=world.operator, name="Own", currency="EUR", actor=ACTOR, at=BEGINS
        )
        personal_tariffs.add_version(
            tariff=self.tariff, effective_at=BEGINS, rates=[RateRow(Service.DATA, 10), RateRow(Service.VOICE, 20)],
            allowances=[AllowanceRow("Own", Service.DATA, 20)], actor=ACTOR, at=BEGINS - HOUR,
        )  # fmt: skip

    @property
    def doing(self) -> dict[str, Any]:
        return {"actor": ACTOR, "at": self.now}

    def act(self, chance: random.Random) -> None:
        """Time passes, and somebody does something."""
        self.now += timedelta(minutes=chance.randrange(20, 240))
        acts: list[Callable[[random.Random], None]] = [
            self.publish, self.publish, self.publish, self.retire, self.undo, self.hand_on, self.account, self.contract,
        ]  # fmt: skip
        facts = [self.tag, self.profile, self.trip, self.number, self.colleague, self.device]
        chance.choice(chance.choice([acts, facts]))(chance)

    def use(self, chance: random.Random, most: int = 8) -> None:
        """Usage comes, some of it of the last days, some of it in sessions of hours."""
        self.now += timedelta(seconds=chance.randrange(1, 900))
        usages = [read_mapping(self._sent(chance)) for _ in range(chance.randrange(1, most))]
        delivery = ingest.Delivery(self.world.operator.id, self.world.enterprise.id, self.world.sources["one"], "test")
        ingest.accept(delivery=delivery, usages=usages, at=self.now)
        if chance.random() < 0.3:
            pipeline.forget_everything()
        pipeline.drain(self.world.enterprise.id, clock=lambda: self.now)

    def _sent(self, chance: random.Random) -> dict[str, Any]:
        self.names += 1
        at = self.now - timedelta(seconds=chance.randrange(-200, chance.choice([2_000, 20_000, 300_000])))
        session = timedelta(seconds=chance.choice([0, 600, 20_000, 100_000]) + chance.randrange(0, 3_600))
        ended = min(at + session, self.now + timedelta(minutes=4)) if chance.random() < 0.6 else None
        sent: dict[str, Any] = {
            "source_record_id": f"u{self.names}", "msisdn": NUMBERS[chance.choice("aaabcd")],
            "service": chance.choice(["data", "data", "voice"]), "units": chance.randrange(0, 20), "started_at": at,
            "visited_network": chance.choice(["", "262", "20801", "310"]),
            "imei": chance.choice(["", self.phone.imei]),
        }  # fmt: skip
        if ended is not None and ended >= at:
            sent["ended_at"] = ended
        if sent["service"] == "voice":
            sent["other_party"] = chance.choice(CALLED)
        elif chance.random() < 0.7:
            sent["attributes"] = {
                "apn": chance.choice(["corporate", "internet"]), "application": chance.choice(["Teams", "Game", ""]),
                "rating_group": chance.choice([7, 8]),
            }  # fmt: skip
        return sent

    def publish(self, chance: random.Random) -> None:
        rules = [
            {
                "name": f"Rule {chance.randrange(4)}{place}",
                "when": chance.choice(chance.choice([CONDITIONS, OF_FACTS])) or None,
                "pays": chance.choice(PARTS), "fixed": chance.random() < 0.2,
            }
            for place in range(chance.randrange(1, 5))
        ]  # fmt: skip
        draft = publishing.save_draft(
            account=self.world.accounts[chance.choice(["R", "R", "N", "N1", "S"])], rules=rules,
            default=chance.choice([None, "personal", "corporate"]),
            missing=chance.choice([None, {"action": "interim", "micros": 500_000}]), **self.doing,
        )  # fmt: skip
        later = chance.choice([None, None, self.now + timedelta(minutes=chance.randrange(1, 900))])
        publishing.publish(version=draft, reason="test", effective_at=later, **self.doing)

    def _standing(self, chance: random.Random) -> Steering | None:
        found = list(Steering.objects.filter(versions__state=PolicyState.PUBLISHED).order_by("id"))
        return chance.choice(found) if found else None

    def retire(self, chance: random.Random) -> None:
        if (steering := self._standing(chance)) and chance.random() < 0.4:
            publishing.retire(steering=steering, reason="test", **self.doing)

    def undo(self, chance: random.Random) -> None:
        if steering := self._standing(chance):
            publishing.undo_publication(steering=steering, **self.doing)

    def tag(self, chance: random.Random) -> None:
        borne = chance.choice([[], ["board"], ["board", "field"]])
        tags.set_tags(line=self.world.lines[chance.choice("abcd")], tags=borne, **self.doing)

    def profile(self, chance: random.Random) -> None:
        said = chance.choice([{}, {"grade": "senior"}, {"grade": "junior"}])
        profiles.set_profile(line=self.world.lines[chance.choice("abc")], attributes=said, **self.doing)

    def trip(self, chance: random.Random) -> None:
        found = list(Trip.objects.filter(removed_at__isnull=True).order_by("id"))
        if found and chance.random() < 0.4:
            trips.remove(trip=chance.choice(found), **self.doing)
        begins = self.now - timedelta(hours=chance.randrange(0, 60))
        trips.declare(
            person=chance.choice(self.people), starts_at=begins,
            ends_at=begins + timedelta(hours=chance.randrange(3, 70)),
            countries=chance.choice([[], ["FR"], ["US", "DE"]]), **self.doing,
        )  # fmt: skip

    def number(self, chance: random.Random) -> None:
        standing = NumberListEntry.objects.filter(removed_at__isnull=True).order_by("id")
        ids = list(standing.values_list("id", flat=True))
        if ids and chance.random() < 0.5:
            number_lists.take_out(numbers=self.clients, entries=ids[:1], **self.doing)
        row = number_lists.EntryRow(
            1, chance.choice(["+4930123", "+4930*", "+49170*"]),
            valid_from=chance.choice([None, self.now - timedelta(hours=5)]), valid_until=self.now + timedelta(hours=30),
        )  # fmt: skip
        number_lists.add(numbers=self.clients, rows=[row], **self.doing)

    def hand_on(self, chance: random.Random) -> None:
        line = self.world.lines[chance.choice("abc")]
        line.refresh_from_db()
        inventory.change_person(line=line, person=chance.choice([*self.people, None]), **self.doing)

    def colleague(self, chance: random.Random) -> None:
        """Who is called is hired, also backdated; or leaves."""
        hired = Line.objects.filter(msisdn="4930123").exclude(status=LineStatus.RETIRED).first()
        if hired is not None:
            inventory.set_line_status(line=hired, status="retired", **self.doing)
            return
        began = self.now - timedelta(minutes=chance.randrange(0, 900))
        with contextlib.suppress(inventory.AlreadyUsed):
            inventory.add_line(
                enterprise=self.world.enterprise, account=self.world.accounts["S"], msisdn="4930123",
                assigned_from=began, **self.doing,
            )  # fmt: skip

    def device(self, chance: random.Random) -> None:
        owner = chance.choice(["corporate", "personal"])
        inventory.update_device(device=self.phone, model="", ownership=owner, device_type="phone", **self.doing)

    def account(self, chance: random.Random) -> None:
        person = chance.choice(self.people)
        account = PersonalAccount.objects.filter(person=person, closed_at__isnull=True).first()
        if account is not None:
            owed = max(-account.balance_micros, 0)
            personal.close(account=account, owed_micros=owed, **self.doing)
            return
        account = personal.open_account(
            person=person, tariff=self.tariff, kind="postpaid", credit_limit_micros=10_000, **self.doing
        )
        personal.accept(account=account, text="Prices", **self.doing)

    def contract(self, chance: random.Random) -> None:
        """Rates change, now and then also for what is over: what was charged stays."""
        effective = self.now - timedelta(minutes=chance.randrange(-600, 600))
        if ContractVersion.objects.count() > 4 or effective < BEGINS:
            return
        source = ContractVersion.objects.order_by("effective_at").last()
        draft = contracts.draft_version(
            contract=self.world.contract, effective_at=effective, copy_from=source, **self.doing
        )
        contracts.publish_version(version=draft, **self.doing)


def sound(world: World, report: Report) -> None:
    assert (report.differing_events, report.differing_reasons) == (0, 0), report.named[:5]


class AnyLife(RuleBasedStateMachine):
    """Acts and usage in any order."""

    world: World

    @initialize()
    def begin(self) -> None:
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        pipeline.forget_everything()
        self.life = Life(self.world)

    @rule(seed=st.integers(0, 2**32))
    def somebody_acts(self, seed: int) -> None:
        self.life.act(random.Random(seed))

    @rule(seed=st.integers(0, 2**32))
    def usage_comes(self, seed: int) -> None:
        self.life.use(random.Random(seed))

    def teardown(self) -> None:
        try:
            sound(self.world, replayed(self.world))
            sound(self.world, replayed(self.world, self.life.now - timedelta(hours=20)))
        finally:
            transaction.set_rollback(True)
            self._transaction.__exit__(None, None, None)
            pipeline.forget_everything()


@pytest.mark.timeout(300)
def test_whatever_was_changed_meanwhile_every_charge_line_is_decided_again_as_it_was(world: World):
    machine = type("ItsLife", (AnyLife,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=6, stateful_step_count=40, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],
        ),
    )  # fmt: skip


def lived(world: World, seed: int, turns: int = 30) -> Life:
    chance, life = random.Random(seed), Life(world)
    for _ in range(turns):
        life.act(chance)
        life.use(chance)
    return life


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_long_life_is_decided_again_as_it_was(world: World, seed: int):
    lived(world, seed)
    report = replayed(world)
    sound(world, report)
    assert report.personal_lines > 20 < report.lines - report.personal_lines
    assert UsageRecord.objects.filter(counterpart_id__isnull=False).exists()


def test_with_what_stands_now_it_would_be_seen_that_then_was_otherwise(world: World, monkeypatch: pytest.MonkeyPatch):
    """The control: the same history, with rules and facts of its end."""
    lived(world, 2)
    as_at_the_end(monkeypatch)
    assert replayed(world).differing_events > 2


def as_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replays know of everything that was ever changed from the beginning on."""
    know = steering_replaying.LiveReplay._know
    monkeypatch.setattr(steering_replaying.LiveReplay, "_know", lambda self, _: know(self, 2**40))


def _tagged(life: Life) -> None:
    tags.set_tags(line=life.world.lines["a"], tags=["board"], **life.doing)


def _graded(life: Life) -> None:
    profiles.set_profile(line=life.world.lines["a"], attributes={"grade": "senior"}, **life.doing)


def _travels(life: Life) -> None:
    begins = START - timedelta(days=3)
    trips.declare(person=life.people[0], starts_at=begins, ends_at=begins + timedelta(days=9), **life.doing)


def _listed(life: Life) -> None:
    number_lists.add(numbers=life.clients, rows=[number_lists.EntryRow(1, "+4930123")], **life.doing)


def _hired(life: Life) -> None:
    since = {"assigned_from": START - timedelta(days=3), "actor": ACTOR, "at": START}
    world = life.world
    inventory.add_line(enterprise=world.enterprise, account=world.accounts["S"], msisdn="4930123", **since)


def _renumbered(life: Life) -> None:
    inventory.change_number(
        line=life.world.lines["a"], kind=NumberKind.MSISDN, number=NEW_NUMBER, from_at=START - timedelta(hours=2),
        **life.doing,
    )  # fmt: skip


def _bought(life: Life) -> None:
    inventory.update_device(device=life.phone, model="", ownership="personal", device_type="phone", **life.doing)


def _moves_home(life: Life) -> None:
    """Backdated: what had been used by then was at noon in Berlin, and would have been at eleven in Lisbon."""
    homes.set_home(
        account=life.world.accounts["N"], time_zone="Europe/Lisbon", effective_at=BOUNDARIES[0], **life.doing
    )


@pytest.mark.parametrize(
    ("condition", "change"),
    [
        ("tag is board", _tagged), ("profile.grade is senior", _graded), ("on_trip is yes", _travels),
        ("list is clients", _listed), ("directory is yes", _hired), (f"line is {NEW_NUMBER}", _renumbered),
        ("device.ownership is personal", _bought), ("time within 10:00-12:00", _moves_home),
    ],
)  # fmt: skip
def test_what_was_changed_after_a_charge_is_not_known_to_it(
    world: World, monkeypatch: pytest.MonkeyPatch, condition: str, change: Callable[[Life], None]
):
    life = Life(world)
    steer(world, "R", {"name": "One", "when": condition, "pays": "personal"}, effective_at=BOUNDARIES[0])
    for name in ("before", "after"):
        number = NEW_NUMBER if (name, change) == ("after", _renumbered) else NUMBERS["a"]
        event(world, name, number, 5, START - HOUR, service="voice", other_party="4930123", imei=life.phone.imei)
        if name == "before":
            change(life)
    assert [split_of(name) for name in ("before", "after")] == [[("corporate", 5)], [("personal", 5)]]
    sound(world, replayed(world))
    as_at_the_end(monkeypatch)
    assert replayed(world).differing_events == 1


def test_rules_are_those_that_were_published_and_not_retired_when_it_was_charged(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """A version that is to end in two minutes covers usage that is dated ahead, until that is said."""
    Life(world)
    doing = {"actor": ACTOR, "at": START - HOUR}
    draft = publishing.save_draft(account=world.accounts["R"], rules=[{"name": "All", "pays": "personal"}], **doing)
    publishing.publish(version=draft, reason="test", **doing)
    event(world, "before", "a", 5, START + timedelta(minutes=4))
    publishing.retire(steering=draft.steering, reason="test", actor=ACTOR, at=START + timedelta(minutes=2))
    event(world, "after", "a", 5, START + timedelta(minutes=4))
    assert [split_of(name) for name in ("before", "after")] == [[("personal", 5)], [("corporate", 5)]]
    sound(world, replayed(world))
    as_at_the_end(monkeypatch)
    assert replayed(world).differing_events == 1


def stored(payer: int, units: int, rule_id: int | None = 1001, part: int | None = 1, reasons: str = "") -> StoredLine:
    return StoredLine(payer, START, units, 0, 0, 0, rule_id, part, reasons, 1, 1, START)


@pytest.mark.parametrize(
    ("lines", "expected", "differs"),
    [
        ([stored(1, 5)], [Expected(1, START, 5, 1001, 1)], False),
        ([stored(1, 5)], [Expected(1, START, 6, 1001, 1)], True),
        ([stored(1, 5)], [Expected(2, START, 5, 1001, 1)], True),
        ([stored(1, 5)], [Expected(1, START, 5, 1002, 1)], True),
        ([stored(1, 5)], [Expected(1, START, 5, 1001, 2)], True),
        ([stored(1, 5)], [Expected(1, START + HOUR, 5, 1001, 1)], True),
        ([stored(1, 5)], [Expected(1, START, 5, 1001, 1), Expected(2, START, 0, 1001, 2)], True),
        ([stored(1, 5), stored(2, 3, part=2)], [Expected(1, START, 5, 1001, 1)], True),
        # What a limit left to the person, rules had given to the company: some of it, and all of it.
        ([stored(1, 5), stored(2, 3, None, None, " limit_steer_personal:4")], [Expected(1, START, 8, 1001, 1)], False),
        ([stored(2, 8, None, None, " limit_steer_personal:4")], [Expected(1, START, 8, 1001, 1)], False),
        ([stored(2, 8, None, None, " limit_steer_personal:4")], [Expected(1, START, 9, 1001, 1)], True),
        ([stored(2, 8, None, None, " limit_steer_personal:4")], [Expected(2, START, 8, 1001, 1)], True),
        ([stored(2, 8, None, None)], [Expected(1, START, 8, 1001, 1)], True),
    ],
)
def test_a_difference_is_seen_whatever_it_is_in(lines: list[StoredLine], expected: list[Expected], differs: bool):
    assert bool(difference(lines, expected)) is differs


def test_other_reasons_are_a_difference_of_their_own():
    report = Report()
    charged = StoredEvent(1, 0, 1, 1, 1, 1, 1, 1, START)
    charged.records.append(
        StoredRecord(1, 1, 5, START, None, "", "", "", None, None, [stored(1, 5, reasons="overage late")])
    )
    report.compare(charged, [Expected(1, START, 5, 1001, 1)])
    assert (report.events, report.differing_events, report.differing_reasons) == (1, 0, 0)
    report.compare(charged, [Expected(1, START, 5, 1001, 1, ("steer:1001",))])
    assert (report.events, report.differing_events, report.differing_reasons) == (2, 0, 1)


def test_without_the_part_that_it_came_in_an_event_of_one_payer_is_decided_by_its_record(world: World):
    person_on(world, "a")
    steer(world, "R", {"name": "Abroad", "when": "roaming is yes and apn is corporate", "pays": "personal"})
    event(world, "x", "a", 10, START, visited_network="20801", attributes={"apn": "corporate"})
    UsagePart.objects.all().delete()
    report = replayed(world)
    assert (report.events, report.personal_lines, report.differing_events) == (1, 1, 0)


#: What a message may hold under one name: numbers and flags as such, and as texts of them; and what is neither.
HELD: list[Any] = [
    None, 0, 1, 7, 2**53, 6.5, 1.5e300, -3, "7", " 7 ", "6.5", "", True, False, "yes", "No", "1", [7], {"a": 7},
]  # fmt: skip
TYPED = [
    "attributes.seats at_least 7", "attributes.seats below 7", "not attributes.seats is 7", "attributes.private is yes",
    "not attributes.private is no", "attributes.plain at_least 1", "attributes.plain is 7", "attributes.code starts 7",
    "profile.level at_least 3", "profile.onsite is yes", "not profile.onsite is yes",
]  # fmt: skip


@pytest.mark.parametrize("is_sent_kept", [True, False])
@pytest.mark.parametrize("condition", TYPED)
def test_numbers_and_flags_are_read_again_as_what_they_are(world: World, condition: str, is_sent_kept: bool):
    """Also by the records alone, as drafts read them: those hold JSON, in which 7, "7" and true are three values."""
    for name, kind in (
        ("attributes.seats", "number"), ("attributes.private", "flag"), ("attributes.code", "digits"),
        ("profile.level", "number"), ("profile.onsite", "flag"),
    ):  # fmt: skip
        declared.declare(operator=world.operator, name=name, kind=kind, label=name, actor=ACTOR, at=START)
    for line, said in (("a", {"level": 3, "onsite": True}), ("b", {"level": "2", "onsite": "no"})):
        person_on(world, line)
        profiles.set_profile(line=world.lines[line], attributes=said, actor=ACTOR, at=START - HOUR)
    steer(world, "R", {"when": condition, "pays": "personal"})
    sent = [
        read_mapping({
            "source_record_id": f"{line}{number}", "msisdn": NUMBERS[line], "service": "data", "units": 3,
            "started_at": START - HOUR, "attributes": dict.fromkeys(("seats", "private", "plain", "code"), value),
        })
        for line in "ab" for number, value in enumerate(HELD)
    ]  # fmt: skip
    delivery = ingest.Delivery(world.operator.id, world.enterprise.id, world.sources["one"], "test")
    ingest.accept(delivery=delivery, usages=sent, at=START)
    pipeline.drain(world.enterprise.id, clock=lambda: START)
    if not is_sent_kept:
        UsagePart.objects.all().delete()
    report = replayed(world)
    sound(world, report)
    assert report.events == 2 * len(HELD)
    assert 0 < report.personal_lines < report.events


def test_the_stream_gives_an_event_of_both_payers_once_as_it_was_sent(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replaying, "BATCH", 3)
    person_on(world, "a")
    steer(world, "R", {"name": "Half", "pays": [{"payer": "corporate", "percent": 50}, {"payer": "personal"}]})
    for number in range(4):
        event(world, f"x{number}", "a", 10, START - HOUR, attributes={"apn": "own", "flow": number})
    place = {"enterprise_id": world.enterprise.id, "since": BOUNDARIES[0], "until": BOUNDARIES[-1]}
    batches = list(replaying.events(**place, decode=decode_payload))
    found = [one for batch in batches for one in batch]
    assert len(batches) > 1
    assert [(one.sent.source_record_id, one.sent.units, one.sent.attributes["flow"]) for one in found] == [
        (f"x{number}", 10, number) for number in range(4)
    ]
    assert all([record.payer for record in one.records] == [1, 2] for one in found)
    assert replaying.count(**place) == 4, "progress tells nothing of how much people used"
