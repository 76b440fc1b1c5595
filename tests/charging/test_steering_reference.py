"""Random rules over random usage: the pipeline and the plain model of `steering_reference` agree on every leg.

Each example is charged twice, once in batches by workers that forget, once in one group: the charge lines are the same,
with their reasons and what they cost, and all identities hold. STEERING_EXAMPLES makes it a longer walk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from balances import proof
from balances.models import Person, UsageRecord
from policies.conditions import read_text, to_json
from policies.models import SteeringVersion
from policies.steering import number_lists, segments, trips
from policies.steering.sieves import Sieve
from portal.charging import ingest, pipeline
from portal.charging.records import read_mapping
from portal.charging.steering import Steering
from portal.management.commands.check_ledger import CHECKS
from tests.cast import ACTOR
from tests.charging.byod_world import People
from tests.charging.small_world import BOUNDARIES, NUMBERS, World, rolled_back
from tests.charging.steered import steer
from tests.charging.steering_reference import Event, Leg, Model, Rule, Version
from tests.charging.test_pipeline import drain

EXAMPLES = int(os.environ.get("STEERING_EXAMPLES", "20"))
#: Six days with the lost hour of spring, new rates, a Monday, the turn of the month and a holiday in them.
FIRST, LAST = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 4, 3, 12, tzinfo=UTC)
CHARGED = LAST + timedelta(days=3)
BEGAN, NEVER = BOUNDARIES[0], datetime.max.replace(tzinfo=UTC)
ACCOUNTS = ("R", "N", "N2", "S")
TESTS = (
    "time within 08:00-18:00", "time within 22:00-06:00", "time within 02:30-03:30",
    "time within 08:00-18:00 at there", "time within (06:00-07:00, 12:00-13:00) at America/New_York",
    "weekday in (sat, sun)", "weekday is mon at enterprise", "date within 2026-03-29..2026-03-31", "holiday is yes",
    "service is voice", "zone is eu", "roaming is yes", "country is FR", "tag is board", "units at_least 20",
    "units below 5", "used at_least 30", "other_party starts (4930, 33)", "list is friends", "on_trip is yes",
    "apn is corp", "application in (teams, mail)", "always",
)  # fmt: skip

FORMS = (
    "not {0}", "{0} and {1}", "{0} or {1}", "not ({0} or {1})", "not ({0} and {1})", "({0} or not {1}) and {2}",
    "{0} and not {1} or {2}", "not ({0} and not ({1} or {2}))",
)  # fmt: skip


def instants() -> st.SearchStrategy[datetime]:
    """Whole minutes of the days, and the minutes about which something turns."""
    minutes = st.integers(0, int((LAST - FIRST).total_seconds()) // 60)
    turning = st.sampled_from(
        [datetime(2026, 3, 29, 1, tzinfo=UTC), BOUNDARIES[2], datetime(2026, 3, 29, 22, tzinfo=UTC)]
    )
    near = st.builds(lambda edge, by: edge + timedelta(minutes=by), turning, st.integers(-90, 90))
    return near | minutes.map(lambda by: FIRST + timedelta(minutes=by))


def conditions() -> st.SearchStrategy[str]:
    """One to three comparisons, nested."""
    some = st.tuples(*[st.sampled_from(TESTS[:-1])] * 3)
    return st.sampled_from(TESTS) | st.builds(lambda form, of: form.format(*of), st.sampled_from(FORMS), some)


def amounts() -> st.SearchStrategy[dict[str, Any]]:
    bound = st.fixed_dictionaries({"units": st.integers(1, 40)}) | st.fixed_dictionaries(
        {"micros": st.integers(1, 60).map(lambda thousands: thousands * 700)}
    )
    place = st.fixed_dictionaries(
        {
            "every": st.sampled_from(["day", "week", "cycle", "lifetime"]),
            "of": st.sampled_from(["line", "person", "account"]),
        }
    )
    return st.builds(lambda one, other: one | other, bound, place)


@st.composite
def payments(draw: st.DrawFn) -> Any:
    """Who pays, as rules store it: one, or up to four parts of both."""
    if draw(st.booleans()):
        return draw(st.sampled_from(["corporate", "personal"]))
    count = draw(st.integers(1, 3))
    bounded = [draw(amounts() | st.builds(lambda by: {"percent": by}, st.integers(1, 33))) for _ in range(count)]
    payers = draw(
        st.lists(st.sampled_from(["corporate", "personal"]), min_size=count + 1, max_size=count + 1).filter(
            lambda found: len(set(found)) == 2
        )
    )
    return [{"payer": payer, **bound} for payer, bound in zip(payers, [*bounded, {}], strict=True)]


class Said(NamedTuple):
    """A version as it is published: rules as (condition, who pays, fixed)."""

    account: str
    starts: datetime
    ends: datetime | None
    rules: list[tuple[str, Any, bool]]
    default: Any
    missing: dict[str, Any]


@st.composite
def versions(draw: st.DrawFn) -> list[Said]:
    """One version of an account, or two of which one follows the other."""
    found = []
    for account in draw(st.lists(st.sampled_from(ACCOUNTS), min_size=1, max_size=3, unique=True)):
        edge = draw(st.none() | instants())
        for starts, ends in [(BEGAN, None)] if edge is None else [(BEGAN, edge), (edge, None)]:
            rules = draw(st.lists(st.tuples(conditions(), payments(), st.booleans()), max_size=3))
            missing = draw(
                st.sampled_from([{}, {"action": "refuse"}])
                | st.builds(lambda micros: {"action": "interim", "micros": micros}, st.integers(1, 90_000))
            )
            found.append(Said(account, starts, ends, rules, draw(st.none() | payments()), missing))
    return found


@st.composite
def usages(draw: st.DrawFn) -> list[Event]:
    found = []
    for number in range(draw(st.integers(1, 6))):
        starts = draw(instants()) + timedelta(seconds=draw(st.sampled_from([0, 0, 1, 59])))
        lasts = draw(st.sampled_from([0, 1, 59, 60, 3_600]) | st.integers(0, 3 * 3_600) | st.integers(0, 30 * 3_600))
        said = draw(
            st.fixed_dictionaries(
                {},
                optional={"apn": st.sampled_from(["corp", "internet"]), "application": st.sampled_from(["teams", "x"])},
            )
        )
        found.append(
            Event(
                f"e{number}", draw(st.sampled_from("aaabbc")), draw(st.sampled_from(["data", "voice"])),
                draw(st.integers(0, 60)), starts, starts + timedelta(seconds=lasts),
                draw(st.sampled_from(["", "", "20801", "310260", "90101"])),
                draw(st.sampled_from(["", "49301", "33222", "4917"])), said,
            )
        )  # fmt: skip
    return found


class Example(NamedTuple):
    """All that is random: what is said, what happens, how it is delivered, and what is known of people and numbers."""

    versions: list[Said]
    events: list[Event]
    batches: list[int]
    passes_on: datetime | None
    accepted: datetime | None
    trip: tuple[datetime, datetime]
    listed: tuple[datetime, datetime]


def spans() -> st.SearchStrategy[tuple[datetime, datetime]]:
    return st.tuples(instants(), st.integers(1, 4_000)).map(lambda of: (of[0], of[0] + timedelta(minutes=of[1])))


examples = st.builds(
    Example, versions(), usages(), st.lists(st.integers(0, 2), min_size=6, max_size=6), st.none() | instants(),
    st.none() | instants(), spans(), spans(),
)  # fmt: skip


# --- both sides -----------------------------------------------------------------------------------------------------


def modelled(example: Example) -> list[Leg]:
    """What the plain model says."""
    said: list[Version] = []
    for one in example.versions:
        rules = [
            Rule(f"rule {place}", to_json(read_text(when)), _parts(pays), fixed)
            for place, (when, pays, fixed) in enumerate(one.rules, start=1)
        ]
        credit = one.missing.get("micros") if one.missing else -1
        number = 1 + sum(other.account == one.account for other in said)
        default = None if one.default is None else _parts(one.default)
        said.append(Version(one.account, number, one.starts, one.ends or NEVER, rules, default, credit))
    users = {"a": [(BEGAN, "Paula")], "b": [(BEGAN, "Otto")]}
    if example.passes_on:
        users["a"].append((example.passes_on, "Otto"))
    accepted = {"Paula": BEGAN} | ({"Otto": example.accepted} if example.accepted else {})
    model = Model(said, users, accepted, {"a": "board"}, ("Paula", "FR", *example.trip), ("4930", *example.listed))
    return [leg for event in example.events for leg in model.charge(event)]


def _parts(pays: Any) -> list[dict[str, Any]]:
    return [{"payer": pays}] if isinstance(pays, str) else pays


def prepare(people: People, example: Example) -> None:
    """Let rules and facts be in the database."""
    world = people.world
    people.tag("a", "board")
    if example.passes_on:
        people.uses("Otto", "a", example.passes_on)
    if example.accepted:
        people.open("Otto", "postpaid 1000000000", accepted=example.accepted)
    trips.declare(
        person=people.persons["Paula"], countries="FR", starts_at=example.trip[0], ends_at=example.trip[1],
        actor=ACTOR, at=BEGAN,
    )  # fmt: skip
    numbers = number_lists.create(account=world.accounts["R"], code="friends", name="Friends", actor=ACTOR, at=BEGAN)
    row = number_lists.EntryRow(1, "+4930*", "", *example.listed)
    assert not number_lists.add(numbers=numbers, rows=[row], actor=ACTOR, at=BEGAN).errors
    for one in example.versions:
        rules = [{"when": when, "pays": pays, "fixed": fixed} for when, pays, fixed in one.rules]
        steer(
            world, one.account, *rules, default=one.default, missing=one.missing, effective_at=one.starts,
            ends_at=one.ends,
        )  # fmt: skip


def sent(event: Event) -> dict[str, Any]:
    found = {
        "source_record_id": event.name, "msisdn": NUMBERS[event.line], "service": event.service, "units": event.units,
        "started_at": event.starts, "visited_network": event.network, "other_party": event.other_party,
        "attributes": event.attributes or None,
    }  # fmt: skip
    return found if event.ends == event.starts else {**found, "ended_at": event.ends}


def deliver(world: World, events: list[Event]) -> None:
    delivery = ingest.Delivery(world.operator.id, world.enterprise.id, world.sources["one"], "test")
    ingest.accept(delivery=delivery, usages=[read_mapping(sent(event)) for event in events], at=CHARGED)


def charge_in_batches(world: World, example: Example) -> None:
    """Deliver a few events at a time; 2: the worker has forgotten all before it charges them."""
    batch: list[Event] = []
    for event, act in zip(example.events, example.batches, strict=False):
        batch.append(event)
        if act:
            deliver(world, batch)
            batch = []
            if act == 2:
                pipeline.forget_everything()
                drain(world, CHARGED)
    if batch:
        deliver(world, batch)
    drain(world, CHARGED)


def charge_at_once(world: World, example: Example) -> None:
    deliver(world, example.events)
    drain(world, CHARGED)


def lines(world: World) -> list[tuple[Leg, str, int, int]]:
    """The legs as they are stored, with their reasons and what they cost the company and the person."""
    people = dict(Person.objects.filter(enterprise=world.enterprise).values_list("id", "name"))
    codes = {
        v.id: f"{v.steering.account.code}/{v.number}"
        for v in SteeringVersion.objects.select_related("steering__account")
    }
    found = []
    for record in UsageRecord.objects.filter(enterprise=world.enterprise):
        for line in record.charge_lines.all():
            who = "company" if record.payer == 1 else people.get(record.person_id, "nobody")
            rule = "" if line.rule_id is None else f"{codes[line.rule_id // 1_000]}.{line.rule_id % 1_000}"
            leg = Leg(
                record.source_record_id, who, line.starts_at, line.units, line.refused_units, rule, line.part or 0
            )
            reasons = re.sub(r"(steer|steer_default):\d+", r"\1", line.reasons)  # the leg names the rule
            found.append((leg, reasons, line.amount_micros, line.personal_micros))
    return sorted(found)


def check(people: People, example: Example) -> None:
    world, stored = people.world, []
    wanted = sorted(modelled(example))
    for charge in (charge_in_batches, charge_at_once):
        with rolled_back():
            prepare(people, example)
            charge(world, example)
            stored.append(lines(world))
            assert [leg for leg, *_ in stored[-1]] == wanted
            findings = proof.prove(enterprise_id=world.enterprise.id, checks=CHECKS)
            assert [fault for finding in findings for fault in finding.faults] == []
    assert stored[0] == stored[1]


@pytest.fixture(scope="module")
def people(_module_world: World, django_db_blocker) -> Iterator[People]:
    with django_db_blocker.unblock():
        yield People(_module_world)


@pytest.mark.timeout(0 if "STEERING_EXAMPLES" in os.environ else 240)
def test_the_pipeline_and_the_model_agree_however_usage_is_delivered(people: People, django_db_blocker):
    # Shrinking takes minutes: a long walk does it, the usual one names what it found as it is.
    phases = [Phase.explicit, Phase.generate, *([Phase.shrink] if EXAMPLES > 20 else [])]

    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES == 20,
        database=None, phases=phases,
    )  # fmt: skip
    @given(examples)
    def walk(example: Example) -> None:
        check(people, example)

    with django_db_blocker.unblock():
        walk()


#: Two events of a kind in one stretch of time, and a session in which a rule turns that does not apply.
PLAIN = Example(
    versions=[
        Said("R", BEGAN, None, [("apn is corp and time within 08:00-18:00", "corporate", False)], "personal", {})
    ],
    events=[
        Event("e0", "a", "data", 9, FIRST, FIRST, "", "", {"apn": "corp"}),
        Event("e1", "a", "data", 9, FIRST, FIRST, "", "", {"apn": "internet"}),
        Event("e2", "a", "voice", 9, FIRST, FIRST + timedelta(hours=9), "", "", {"apn": "internet"}),
    ],
    batches=[0] * 6,
    passes_on=None,
    accepted=None,
    trip=(FIRST, LAST),
    listed=(FIRST, LAST),
)


def test_a_plain_example_agrees(people: People, django_db_blocker):
    with django_db_blocker.unblock():
        check(people, PLAIN)


ALL_DAY = Event("e3", "a", "voice", 48, FIRST, FIRST + timedelta(hours=24), "", "", {"apn": "corp"})


@pytest.mark.parametrize(
    ("of", "name", "wrong", "example"),
    [
        (Sieve, "_find", lambda *_: (0, 0), PLAIN),
        (segments, "changes_between", lambda *_, **__: [], PLAIN._replace(events=[ALL_DAY])),
        (Steering, "_so_far", lambda *_: {},
         PLAIN._replace(versions=[Said("R", BEGAN, None, [("used at_least 9", "personal", False)], None, {})])),
    ],
    ids=["rules that no value meets", "time that does not turn", "no use"],
)  # fmt: skip
def test_what_decides_otherwise_is_found(people: People, django_db_blocker, monkeypatch, of, name, wrong, example):
    """The controls: that they agree says something only if the model finds what is wrong."""
    with django_db_blocker.unblock():
        check(people, example)
        monkeypatch.setattr(of, name, wrong)
        with pytest.raises(AssertionError):
            check(people, example)
