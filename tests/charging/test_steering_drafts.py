"""Replay of a draft of who pays: what would change side; and nothing of it says what one person did for themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from balances import inventory, personal, personal_tariffs, profiles
from balances.models import Person, UsageRecord
from balances.personal_tariffs import RateRow
from balances.units import Service
from policies.models import SteeringVersion
from policies.steering import declared, number_lists, publishing
from policies.steering.moves import Sum
from policies.steering.templates import TEMPLATES
from portal.charging import steering_drafts
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, START, World
from tests.charging.steered import event, person_on, split_of, steer
from tests.charging.test_pipeline import charge, used

HOUR = timedelta(hours=1)
DAYS = 40


@pytest.fixture
def world(db) -> World:
    return World()


def drafted(world: World, *rules: dict[str, Any], account: str = "R", default: Any = None) -> SteeringVersion:
    named = [{"name": f"Rule {place}", **rule} for place, rule in enumerate(rules, start=1)]
    return publishing.save_draft(
        account=world.accounts[account], rules=named, default=default, actor=ACTOR, at=START + HOUR
    )


def planned(draft: SteeringVersion) -> steering_drafts.DraftReplay:
    return steering_drafts.DraftReplay(draft, since=START - timedelta(days=DAYS), until=START + HOUR)


def leaving(draft: SteeringVersion) -> Sum:
    """What would leave the company, as it is counted: more than is told."""
    return steering_drafts.run(planned(draft)).leaving


def replayed(draft: SteeringVersion) -> dict[str, Any]:
    replay = planned(draft)
    plan = replay.plan
    return steering_drafts.run(replay).as_data(days=DAYS, asks_numbers=plan.asks_numbers, names_one=plan.names_one)


def test_what_would_leave_the_company_is_told_by_account_person_and_event(world: World):
    person = person_on(world, "a")
    charge(world, used("x", "a", 190, START - 2 * HOUR), used("y", "b", 10), used("z", "c", 5))
    found = replayed(drafted(world, {"when": "service is data", "pays": "personal"}, account="N1"))
    assert (found["events"], found["leaving"]["events"], found["leaving"]["units"]) == (1, 1, {"data": 190})
    # The allowances held 140 of them; the rest had cost the contract's rate.
    assert found["leaving"]["returned_units"] == {"data": 140}
    assert found["leaving"]["saved_micros"] == round(50 * 1_000 / 3)
    assert [(row["person"], row["line"]) for row in found["people"]] == [(person.id, world.lines["a"].id)]
    assert [row["account"] for row in found["accounts"]] == [world.accounts["N2"].id]
    assert [row["usage"] for row in found["listed"]] == [UsageRecord.objects.get(source_record_id="x").id]
    assert found["tariff"] == {"events": 0, "unpriced_events": 1, "micros": None}


def test_a_budget_of_the_draft_lets_the_company_have_what_fits(world: World):
    person_on(world, "a")
    charge(world, used("x", "a", 20, START - 3 * HOUR), used("y", "a", 20, START - 2 * HOUR), used("z", "a", 20))
    parts = [{"payer": "corporate", "units": 25, "every": "cycle", "of": "person"}, {"payer": "personal"}]
    found = replayed(drafted(world, {"pays": parts}))
    assert (found["leaving"]["events"], found["leaving"]["units"]) == (2, {"data": 35})


PUBLISHED: list[list[dict[str, Any]]] = [
    [{"when": "time within 08:00-11:00", "pays": "personal"}, {"when": "service is voice", "pays": "personal"}],
    [{"pays": [{"payer": "corporate", "percent": 60}, {"payer": "personal"}]}],
    [{"pays": [{"payer": "corporate", "units": 25, "every": "day", "of": "line"}, {"payer": "personal"}]}],
]


@pytest.mark.parametrize("rules", PUBLISHED)
def test_a_draft_that_says_what_is_published_moves_nothing(world: World, rules: list[dict[str, Any]]):
    person_on(world, "a")
    steer(world, "R", *rules)
    for number in range(8):
        begins = START - (number + 2) * HOUR
        charge(world, used(f"d{number}", "a", number, begins, until=begins + HOUR))
        charge(world, used(f"v{number}", "a", 1, begins, service="voice"))
    assert {record.payer for record in UsageRecord.objects.all()} == {1, 2}
    found = replayed(drafted(world, *rules))
    assert found["leaving"]["events"] == 0
    assert not any(row["records"] for row in found["coming"])


def let_pay(world: World, *people: Person) -> None:
    """They have an account that is never used up."""
    doing: dict[str, Any] = {"actor": ACTOR, "at": BOUNDARIES[0]}
    tariff = personal_tariffs.create_tariff(operator=world.operator, name="Plain", currency="EUR", **doing)
    rates = [RateRow(service, 10) for service in (Service.DATA, Service.VOICE, Service.MESSAGING)]
    personal_tariffs.add_version(tariff=tariff, effective_at=BOUNDARIES[0], rates=rates, **doing)
    for person in people:
        account = personal.open_account(
            person=person, tariff=tariff, kind="postpaid", credit_limit_micros=10**9, **doing
        )
        personal.accept(account=account, text="Prices", **doing)


def many_people(world: World, count: int) -> list[Person]:
    """People on lines of their own."""
    people = []
    for number in range(count):
        msisdn = f"49170200{number:05}"
        line = inventory.add_line(
            enterprise=world.enterprise, account=world.accounts["N"], msisdn=msisdn,
            assigned_from=START - timedelta(days=50), actor=ACTOR, at=START - timedelta(days=50),
        )  # fmt: skip
        world.lines[msisdn] = line
        people.append(person_on(world, msisdn, f"Person {number}"))
    return people


def use_something(world: World, count: int) -> None:
    """Data of each of many people."""
    charge(world, *(used(f"p{number}", f"49170200{number:05}", 100 + number) for number in range(count)))


def test_what_would_come_to_the_company_is_told_in_rounded_sums(world: World):
    steer(world, "R", {"pays": "personal"})
    let_pay(world, *many_people(world, 6))
    use_something(world, 6)
    found = replayed(drafted(world, {"pays": "corporate"}))
    assert (found["events"], found["leaving"]["events"], found["listed"]) == (0, 0, [])
    assert found["coming"][0] == {"service": "data", "records": 5, "units": 620, "value_micros": 210_000}


@pytest.mark.parametrize("missing", [{}, {"action": "interim", "micros": 10**9}])
def test_people_who_are_made_up_are_no_crowd(world: World, missing: dict[str, Any]):
    """Whoever has no account was refused, or had it on credit: neither takes anybody but the employer to be there."""
    steer(world, "R", {"pays": "personal"}, missing=missing)
    let_pay(world, *many_people(world, 9)[:4])
    use_something(world, 9)
    assert replayed(drafted(world, {"pays": "corporate"}))["coming"][0]["records"] is None


SPARE = ", ".join(f"49170200{number:05}" for number in range(7))


@pytest.mark.parametrize(
    "asked",
    [
        "other_party is 4930123",
        f"line in (4917010000001, {SPARE})",
        "list is clients",
        "not directory is yes",
        "attributes.called is 4930123",
        f"attributes.msisdn in (4917010000001, {SPARE})",
        "profile.watched is yes",
    ],
)
def test_decoys_around_one_person_tell_nothing(world: World, asked: str):
    """The oracle: seven messages of one's own to a number, and then what one more makes of the sums."""
    paula = person_on(world, "a")
    assert world.lines["a"].msisdn == "4917010000001"
    numbers = number_lists.create(
        account=world.accounts["R"], code="clients", name="Clients", actor=ACTOR, at=START - 30 * HOUR
    )
    number_lists.add(numbers=numbers, rows=[number_lists.EntryRow(1, "+4930123")], actor=ACTOR, at=START - 30 * HOUR)
    steer(world, "R", {"when": "service is messaging", "pays": "personal"})
    let_pay(world, paula, *many_people(world, 7))
    for line in (world.lines["a"], *(world.lines[msisdn] for msisdn in SPARE.split(", "))):
        profiles.set_profile(line=line, attributes={"watched": "yes"}, actor=ACTOR, at=START - 30 * HOUR)

    def said(msisdn: str) -> dict[str, Any]:
        attributes = {"called": "4930123", "msisdn": msisdn}
        return {"service": "messaging", "other_party": "4930123", "attributes": attributes}

    for msisdn in SPARE.split(", "):
        event(world, f"decoy {msisdn}", msisdn, 1, START - 2 * HOUR, **said(msisdn))
    draft = drafted(world, {"when": asked, "pays": "corporate"})
    before = replayed(draft)
    event(world, "secret", "a", 1, START - HOUR, **said("4917010000001"))
    assert split_of("secret") == [("personal", 1)]
    assert replayed(draft) == before
    everything = replayed(drafted(world, {"when": "service is messaging", "pays": "corporate"}))["coming"]
    assert [row["records"] for row in everything if row["service"] == "messaging"] == [10], "the crowd is one"


def test_no_draft_tells_whether_one_person_did_something(world: World):
    """The oracle: rules about a line and whom it called, with budgets that company usage shares with it."""
    for line in "ab":
        person_on(world, line)
    steer(world, "R", {"when": "service is voice", "pays": "personal"})
    parts = [{"payer": "corporate", "units": 5, "every": "lifetime", "of": "account"}, {"payer": "personal"}]
    asked = [
        [{"when": "other_party is 4930123", "pays": "corporate"}],
        [{"when": "line is 4917010000001 and other_party is 4930123", "pays": parts},
         {"when": "service is data", "pays": parts}],
        [{"when": "other_party is 4930123 or service is data", "pays": parts}],
        [{"when": "service is data and used at_least 1", "pays": "personal"}],
    ]  # fmt: skip
    charge(world, used("before", "b", 3, START - 2 * HOUR))
    told = [[replayed(drafted(world, *rules)) for rules in asked]]
    event(world, "secret", "a", 5, START - HOUR, service="voice", other_party="4930123")
    assert split_of("secret") == [("personal", 5)]
    told.append([replayed(drafted(world, *rules)) for rules in asked])
    charge(world, used("after", "b", 3, START - HOUR / 2))
    with_secret = [leaving(drafted(world, *rules)) for rules in asked]
    assert told[0] == told[1]
    units = [one.units for one in with_secret]
    assert units == [{}, {1: 1}, {1: 1}, {1: 3}], "the secret took nothing of these budgets"


CALLED = "other_party is 4930123"
WITHHELD = {"events": None, "units": None, "returned_units": None, "saved_micros": None}


@pytest.mark.parametrize(
    ("standing", "asked"),
    [
        ("", CALLED),
        ("R", CALLED),
        ("N", CALLED),
        ("", "attributes.called starts 4930123"),
        ("R", "attributes.other starts 49"),
    ],
)
def test_whom_somebody_called_is_told_neither_event_by_event_nor_by_person(world: World, standing: str, asked: str):
    """Digits of the company's calls are masked: no draft tells them, nor one beside a rule that stands on its way."""
    declared.declare(
        enterprise=world.enterprise, name="attributes.called", kind="digits", label="Called", actor=ACTOR, at=START
    )
    person_on(world, "a")
    said: dict[str, Any] = {"other_party": "4930123", "attributes": {"called": "4930123"}}
    event(world, "x", "a", 5, START - HOUR, service="voice", **said)
    asking = {"when": asked, "pays": "personal"}
    if standing:
        steer(world, standing, asking, effective_at=START + HOUR)
    draft = drafted(world, {"when": "service is voice", "pays": "personal"} if standing else asking, account="N")
    assert leaving(draft).events == 1
    found = replayed(draft)
    assert (found["leaving"], found["accounts"], found["people"], found["listed"]) == (WITHHELD, [], None, None)


def test_a_rule_beside_the_draft_that_asks_whom_somebody_called_withholds_nothing(world: World):
    person_on(world, "a")
    event(world, "x", "a", 5, START - HOUR, service="voice", other_party="4930123")
    steer(world, "S", {"when": "other_party is 4930123", "pays": "personal"})
    found = replayed(drafted(world, {"when": "service is voice", "pays": "personal"}, account="N"))
    assert (found["leaving"]["events"], len(found["people"]), len(found["listed"])) == (1, 1, 1)


@pytest.mark.parametrize("standing", ["", "N", "R"])
def test_a_profile_withholds_what_people_pay_where_the_draft_asks_for_it_and_no_event(world: World, standing: str):
    """On call, as its template says it: what would leave the company is listed all the same."""
    person_on(world, "a")
    event(world, "x", "a", 5, START - HOUR, service="voice")
    on_call = dict(TEMPLATES["on-call"].rules[0])
    if standing:
        steer(world, standing, on_call, effective_at=START + HOUR)
    rest = {"when": "service is voice", "pays": "personal"}
    found = replayed(drafted(world, *([] if standing else [on_call]), rest, account="N"))
    assert (found["leaving"]["events"], len(found["people"]), len(found["listed"])) == (1, 1, 1)
    assert found["coming_is_withheld"] == (standing != "R"), "a rule above it is none that the draft chose"


def test_a_budget_above_is_used_up_by_others_too(world: World):
    person_on(world, "a")
    parts = [{"payer": "corporate", "units": 25, "every": "cycle", "of": "account"}, {"payer": "personal"}]
    steer(world, "R", {"pays": parts})
    charge(world, used("c", "c", 20, START - 2 * HOUR), used("a", "a", 5))
    assert replayed(drafted(world, {"when": "service is voice", "pays": "personal"}, account="N"))["leaving"][
        "events"
    ] == 0  # fmt: skip
