"""What asking who pays costs: decisions a second alone, the pipeline's throughput with 200 rules, and replays.

`steering_decide`: 10, 100 and 1,000 rules on eight levels, nine of ten of which no event of the mix meets first.
*First* is with rules just loaded, all that is compiled and looked up for the first time; *usual* what comes after.
`steering`: 200 rules on every level of a 12-level tree (40 on the root) against the same enterprise without any, in
rounds that take turns; `ratio.without` is the median of rounds that each measure both. About one event in twelve is
people's, who have accounts. Then the usage that it charged is replayed: decided again as it was, and with a draft.
"""

from __future__ import annotations

import random
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from balances import personal_tariffs, tags
from balances.models import Account, Line, Person, PersonalAccount, PersonAssignment
from balances.personal_tariffs import RateRow
from balances.units import Service
from benchmarks import enterprises, programs
from benchmarks.enterprises import ACTOR, Subject
from benchmarks.reported_usage import _charge
from policies.conditions import Entry, NumberSet, Surroundings
from policies.decision import Context
from policies.models import NumberList, NumberListEntry, Trip
from policies.steering import publishing
from policies.steering.book import SteeringBook
from policies.steering.outcomes import BEGINNING, NEVER, StandingVersion
from policies.steering.rules import terms_from_json
from portal.charging import steering_drafts, steering_replaying
from portal.charging.records import Usage, parse_canonical, seal

LINES, LEVELS, RULES, ON_ROOT = 5_000, 12, 200, 40
QUICK_LINES, QUICK_RULES, QUICK_ON_ROOT = 1_000, 40, 10
DECISIONS, QUICK_DECISIONS = 20_000, 2_000
APNS, APPLICATIONS, GROUPS, CALLED = ("internet", "corporate", "iot"), 20, 6, 200
TARIFF_MICROS = 3_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
PARTS = [{"payer": "corporate", "units": 1_000_000, "every": "cycle", "of": "person"}, {"payer": "personal"}]


def rule_of(number: int) -> dict[str, Any]:
    """A rule of a realistic mix, of which few events are: time, weekday, holidays, country, lists, APN, application,
    tags, trips, budgets, rating group, other attributes of the message."""
    hour = number % 24
    kinds: list[tuple[str, Any]] = [
        (f"service is voice and weekday is sun and time within {hour:02}:00-{hour:02}:30", "personal"),
        (f"service is video_conferencing and holiday is yes and time within {hour:02}:00-{hour + 1:02}:00", "personal"),
        ("service is data and roaming is yes and country in (US, CA, MX)", "corporate"),
        (f"service is voice and list is l{number % 5}", "personal"),
        (f"service is data and apn is apn{number}", "personal"),
        (f"service is data and application in (app{number % 400}, game{number})", "personal"),
        (f"service is data and tag is t{number}", "corporate"),
        ("roaming is yes and on_trip is yes", "corporate"),
        (f"service is messaging and other_party starts 4915{number}", PARTS),
        (f"service is data and rating_group is {number + 3} and not apn is corporate", "personal"),
        (f"service is data and attributes.slice is s{number}", "personal"),
    ]
    when, pays = kinds[number % len(kinds)]
    return {"name": f"Rule {number}", "when": when, "pays": pays, "fixed": number % 7 == 0}


def mixed(subject: Subject, count: int, *, tag: str) -> list[Usage]:
    """A day of mixed usage whose messages say what rules ask for."""
    chance = random.Random(f"{subject.id}{tag}")
    made = []
    for one in enterprises.usage(subject, count, tag=tag):
        said = None
        if one.service == Service.DATA:
            said = {
                "apn": APNS[min(int(chance.random() * 20), 2)],
                "application": f"app{int(chance.random() * APPLICATIONS)}",
                "rating_group": int(chance.random() * GROUPS), "slice": "s", "rat": "NR",
            }  # fmt: skip
        made.append(
            seal(
                source_record_id=one.source_record_id, service=one.service, number_kind=1, number=one.number,
                units=one.units, used_at=one.used_at, visited_network=one.visited_network,
                other_party=f"49301{int(chance.random() * CALLED):06}" if one.service == Service.VOICE else "",
                attributes=said,
            )
        )  # fmt: skip
    return made


# --- decisions alone --------------------------------------------------------------------------------------------


def decide(quick: bool) -> Iterator[dict]:
    """Events a second of deciding alone."""
    events = QUICK_DECISIONS if quick else DECISIONS
    for count in (10, 100) if quick else (10, 100, 1_000):
        book = _book(count)
        usages = mixed(Subject(1, 1, 49_150_000_000_000, 500), events, tag="decide")
        for name, events_of in (("first", usages[: events // 4]), ("usual", usages)):
            started = time.perf_counter()
            personal = _decide(book, events_of)
            seconds = time.perf_counter() - started
            yield {
                "case": {"rules": count, "levels": 8, "decisions": name},
                "value": round(len(events_of) / seconds),
                "unit": "events/s",
                "personal_percent": round(100 * personal / len(events_of), 1),
            }


def _book(count: int) -> SteeringBook:
    numbers = {f"l{one}": NumberSet([Entry(f"49301{one:03}", is_prefix=True)]) for one in range(5)}
    around = Surroundings(
        zone_ids={"home": 1}, home_ids=frozenset({1}), home_country="DE", number_lists=numbers, trips={},
        holiday_calendars=((LONG_AGO, "DE"),), enterprise_zones=((LONG_AGO, BERLIN),),
    )  # fmt: skip
    versions = []
    for account in range(1, 9):
        rules = [rule_of(number) for number in range(count) if number % 8 == account - 1]
        versions.append(StandingVersion(account, account, account, terms_from_json(rules), BEGINNING, NEVER))
    return SteeringBook(versions, around)


def _decide(book: SteeringBook, usages: list[Usage]) -> int:
    """How many have a personal part; as `portal.charging.steering` asks."""
    chain, no_tags, personal = tuple(range(8, 0, -1)), frozenset[str](), 0
    kinds = {service: book.along(chain, no_tags, service, 1) for service in (1, 2, 3, 4)}
    for usage in usages:
        rules = kinds[usage.service]
        if rules is None:
            continue
        at = parse_canonical(usage.used_at)
        segment = rules.segment(at, BERLIN, BERLIN)
        decided = segment.settled(usage, 1) or segment.decide(usage, 1, _context(usage, at))
        personal += decided.outcome.has_personal
    return personal


def _context(usage: Usage, at: datetime) -> Context:
    return Context(
        service=usage.service, zone_id=1, units=usage.units, at=at.astimezone(BERLIN), line_id=1,
        visited_network=usage.visited_network, other_party=usage.other_party, attributes=usage.attributes, person_id=1,
    )  # fmt: skip


# --- the pipeline -----------------------------------------------------------------------------------------------


def measure(quick: bool) -> Iterator[dict]:
    """Rounds with and without take turns, another one first each time, so that a slower moment is one for all."""
    events, rounds = (16_000, 2) if quick else (32_000, 16)
    lines, count, on_root = (QUICK_LINES, QUICK_RULES, QUICK_ON_ROOT) if quick else (LINES, RULES, ON_ROOT)
    steered = _steered(70, lines, count, on_root)
    free = enterprises.build(number=71, lines=lines, levels=LEVELS, hot=False)
    subjects = [steered, free]
    rates: dict[int, list[float]] = {subject.id: [] for subject in subjects}
    with programs.workers(1):
        for subject in subjects:
            _charge((subject,), max(events // 4, lines * 2), 1_000, mixed)
        for number in range(rounds):
            for subject in subjects if number % 2 else reversed(subjects):
                rates[subject.id].append(_charge((subject,), events, 1_000, mixed))
    ratios = [rate / without for rate, without in zip(rates[steered.id], rates[free.id], strict=True)]
    yield {
        "case": {"lines": lines, "levels": LEVELS, "rules": count, "batch": 1_000, "workers": 1},
        "value": round(statistics.median(rates[steered.id])),
        "unit": "events/s",
        "ratio": {"without": round(statistics.median(ratios), 3)},
    }
    yield from _replays(steered)


def _steered(number: int, lines: int, count: int, on_root: int) -> Subject:
    """A subject with rules on every level, people on its lines who have accounts, tags, lists and trips."""
    subject = enterprises.build(number=number, lines=lines, levels=LEVELS, hot=False)
    accounts = list(Account.objects.filter(enterprise_id=subject.id).order_by("level", "id"))
    now = datetime.now(UTC)
    doing: dict[str, Any] = {"actor": ACTOR, "at": now - timedelta(days=1)}
    _people(subject, now)
    root = accounts[0]
    for one in range(5):
        numbers = NumberList.objects.create(
            enterprise_id=subject.id, account=root, code=f"l{one}", name=f"List {one}", made_at=now, made_by=ACTOR
        )
        NumberListEntry.objects.create(
            enterprise_id=subject.id, list=numbers, digits=f"4930100{one:04}"[:10], is_prefix=True, added_sequence=-1,
            added_at=now,
        )  # fmt: skip
    for place, line in enumerate(Line.objects.filter(enterprise_id=subject.id).order_by("id")[:50]):
        tags.set_tags(line=line, tags=[f"t{place * 4}"], **doing)
    publishing_at: dict[int, list[dict[str, Any]]] = {root.id: [rule_of(number) for number in range(on_root)]}
    step = max((len(accounts) - 1) // (count - on_root), 1)
    for place, account in enumerate(accounts[1::step][: count - on_root]):
        publishing_at[account.id] = [rule_of(on_root + place)]
    for account in accounts:
        if rules := publishing_at.get(account.id):
            draft = publishing.save_draft(account=account, rules=rules, **doing)
            publishing.publish(version=draft, reason="Bench", **doing)
    return subject


def _people(subject: Subject, now: datetime) -> None:
    """Somebody on each line, with an account that pays; in one go, not through the door."""
    lines = list(Line.objects.filter(enterprise_id=subject.id).order_by("id"))
    people = Person.objects.bulk_create(
        Person(enterprise_id=subject.id, account_id=line.account_id, number=f"P{line.id}", name=f"Person {line.id}")
        for line in lines
    )
    since = now - timedelta(days=30)
    for line, person in zip(lines, people, strict=True):
        line.person = person
    Line.objects.bulk_update(lines, ["person"], batch_size=1_000)
    PersonAssignment.objects.filter(enterprise_id=subject.id).delete()
    PersonAssignment.objects.bulk_create(
        PersonAssignment(enterprise_id=subject.id, line=line, person=person, during=(since, None))
        for line, person in zip(lines, people, strict=True)
    )
    operator, _ = enterprises.operator()
    tariff = personal_tariffs.create_tariff(
        operator=operator, name=f"Own {subject.id}", currency="EUR", actor=ACTOR, at=since
    )
    rates = [RateRow(service, TARIFF_MICROS) for service in Service]
    personal_tariffs.add_version(tariff=tariff, effective_at=since, rates=rates, actor=ACTOR, at=since)
    PersonalAccount.objects.bulk_create(
        PersonalAccount(
            enterprise_id=subject.id, person=person, tariff=tariff, kind="postpaid", credit_limit_micros=2**60,
            time_zone="Europe/Berlin", opened_at=since, opened_by=ACTOR, accepted_at=since, accepted_by=ACTOR,
            accepted_text="Bench",
        )
        for person in people
    )  # fmt: skip
    Trip.objects.bulk_create(
        Trip(
            enterprise_id=subject.id, person=person, starts_at=since, ends_at=now, added_sequence=-1, added_at=since,
            added_by=ACTOR,
        )
        for person in people[::10]
    )  # fmt: skip


# --- replays ----------------------------------------------------------------------------------------------------


def _replays(subject: Subject) -> Iterator[dict]:
    """What the rounds have charged, decided again; a difference is a fault."""
    now = datetime.now(UTC) + timedelta(hours=1)
    since = now - timedelta(days=90)

    def live() -> int:
        report = steering_replaying.run_what_was_live(enterprise_id=subject.id, since=since, until=now)
        if report.differing_events or report.differing_reasons or not report.personal_lines:
            raise RuntimeError(f"Decided again, usage is charged otherwise: {report.named[:3]}")
        return report.events

    def drafted() -> int:
        root = Account.objects.get(enterprise_id=subject.id, parent__isnull=True)
        rules = [rule_of(number) for number in range(1, 60)]
        draft = publishing.save_draft(account=root, rules=rules, actor=ACTOR, at=datetime.now(UTC))
        return steering_drafts.run(steering_drafts.DraftReplay(draft, since=since, until=now)).events

    yield _replayed("what was live", live)
    yield _replayed("a draft", drafted)


def _replayed(name: str, run: Callable[[], int]) -> dict:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    events = run()
    seconds = time.perf_counter() - started
    return {
        "case": {"replay": name, "events": events},
        "value": round(events / seconds),
        "unit": "events/s",
        "grown_mib": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
    }
