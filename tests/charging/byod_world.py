"""The worked cases of docs/byod_cases.csv on the small world: their rules, facts and events done, their legs read.

Times are Berlin's civil time in 2026; where the clock shows an hour twice, the offset says which ("10-25 02:30+01").
What stands in every case: Paula uses line a and has a postpaid account that is never used up; Otto uses line b and has
none; nobody is known to use lines c and d. Their tariff *Plain* costs, in micros a unit: data 10 (in the world 70),
voice 20, messaging 30; *Flat* costs the same, and has 20 of data and 20 of voice included each month. The contract's
rates and allowances are those of `small_world`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from balances import contracts, inventory, personal, personal_tariffs, profiles, tags
from balances.models import Contract, Device, Person, PersonalTariff, UsageRecord
from balances.models.accounts import NumberKind
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import SERVICES_BY_NAME, Service
from policies.models import Limit, SteeringVersion
from policies.steering import declared, holidays, homes, number_lists, trips
from portal import contests
from portal.charging import ingest
from portal.charging.records import read_mapping
from portal.models import Contest
from tests.cast import ACTOR
from tests.charging.byod_cases import Case, statements
from tests.charging.small_world import BOUNDARIES, NUMBERS, START, World
from tests.charging.steered import person_on, steer
from tests.charging.test_limits import limit
from tests.charging.test_pipeline import drain

BEGAN = BOUNDARIES[0]
BERLIN = ZoneInfo("Europe/Berlin")
#: When an event is of which no time is said: a Friday, and no holiday.
FRIDAY = "03-13 12:00"
NEVER_USED_UP = 10**9


class Leg(NamedTuple):
    """What a payer has of an event: "company", a person's name, or "nobody". Reasons without regard to their order."""

    event: str
    payer: str
    units: int
    refused: int
    micros: int
    starts: datetime
    reasons: tuple[str, ...]


def instant(text: str, day: str = "") -> datetime:
    """ "03-14 17:00", "03-14 17:59:59", "10-25 02:30+01", or "17:00" of a `day`."""
    if not re.match(r"\d\d-\d\d ", text):
        text = f"{day[:5]} {text}"
    text, plus, offset = text.partition("+")
    written = "%m-%d %H:%M:%S" if text.count(":") == 2 else "%m-%d %H:%M"
    if text.endswith("24:00"):
        return instant(text.replace("24:00", "00:00")) + timedelta(hours=24)
    local = datetime.strptime(text, written).replace(year=2026, tzinfo=BERLIN)
    if not plus:
        assert local.utcoffset() == local.replace(fold=1).utcoffset(), f"{text} comes twice or never: say the offset"
        return local.astimezone(UTC)
    found = local.replace(tzinfo=UTC) - timedelta(hours=int(offset))
    assert found.astimezone(BERLIN).replace(tzinfo=None) == local.replace(tzinfo=None), f"{text} is never {offset}"
    return found


# --- rules ----------------------------------------------------------------------------------------------------------

_RULE = re.compile(
    r"(?P<account>\w+)(?P<fixed> fixed)?"
    r"(?: from (?P<since>\d\d-\d\d [\d:+]+?))?(?: until (?P<until>\d\d-\d\d [\d:+]+?))?"
    r"(?:: (?P<when>.+)| (?P<other>default|missing)) => (?P<then>.+)"
)
_AMOUNT = re.compile(
    r"(?P<payer>company|person)(?: (?P<amount>\d+) (?P<bound>%|units|micros)(?: (?P<every>.+?) of (?P<of>.+))?)?"
)
_PAYERS = {"company": "corporate", "person": "personal"}
_EVERY = {"a day": "day", "a week": "week", "a cycle": "cycle", "altogether": "lifetime"}
_OF = {"each line": "line", "each person": "person", "all together": "account"}


def publish(world: World, text: str) -> list[SteeringVersion]:
    """Publish the versions that a case says, each with its rules in order."""
    versions: dict[tuple[str, str, str], dict[str, Any]] = {}
    for statement in statements(text):
        said = _RULE.fullmatch(statement)
        assert said, f"no rule: {statement}"
        terms = versions.setdefault((said["account"], said["since"] or "", said["until"] or ""), {"rules": []})
        if said["other"] == "missing":
            terms["missing"] = _missing(said["then"])
        elif said["other"] == "default":
            terms["default"] = parts(said["then"])
        else:
            terms["rules"].append({"when": said["when"], "pays": parts(said["then"]), "fixed": bool(said["fixed"])})
    return [
        steer(
            world, account, *terms.pop("rules"), effective_at=instant(since) if since else BEGAN,
            ends_at=instant(until) if until else None, **terms,
        )
        for (account, since, until), terms in versions.items()
    ]  # fmt: skip


def parts(text: str) -> Any:
    """Who pays, as rules store it: "company 25 units a cycle of each person, then person"."""
    found = []
    for one in text.split(", then "):
        said = _AMOUNT.fullmatch(one)
        assert said, f"no part: {one}"
        part: dict[str, Any] = {"payer": _PAYERS[said["payer"]]}
        if said["bound"]:
            part["percent" if said["bound"] == "%" else said["bound"]] = int(said["amount"])
        if said["every"]:
            part |= {"every": _EVERY[said["every"]], "of": _OF[said["of"]]}
        found.append(part)
    return found[0]["payer"] if len(found) == 1 and len(found[0]) == 1 else found


def _missing(text: str) -> dict[str, Any]:
    if text == "refuse":
        return {"action": "refuse"}
    return {"action": "interim", "micros": int(text.removeprefix("credit up to "))}


# --- facts ----------------------------------------------------------------------------------------------------------


@dataclass
class People:
    """The small world with people on its lines, and what facts of a case add."""

    world: World
    persons: dict[str, Person]
    tariffs: dict[str, PersonalTariff]

    def __init__(self, world: World):
        self.world, self.tariffs = world, {}
        for name, included in (("Plain", 0), ("Flat", 20)):
            self.tariffs[name] = personal_tariffs.create_tariff(
                operator=world.operator, name=name, currency="EUR", actor=ACTOR, at=BEGAN
            )
            allowances = [AllowanceRow(f"{service.name}", service, included) for service in _INCLUDED if included]
            self.price(name, BEGAN, {}, allowances)
        self.persons = {"Paula": person_on(world, "a", "Paula"), "Otto": person_on(world, "b", "Otto")}
        self.open("Paula", f"postpaid {NEVER_USED_UP}")

    def price(
        self, tariff: str, since: datetime, prices: dict[str, int], allowances: list[AllowanceRow] | None = None
    ) -> None:
        """A version of a tariff, with other prices than the usual ones."""
        usual = {"data": 10, "voice": 20, "messaging": 30} | prices
        rates = [RateRow(SERVICES_BY_NAME[service], micros) for service, micros in usual.items()]
        rates.append(RateRow(Service.DATA, 70, 1, self.world.zones["world"]))
        personal_tariffs.add_version(
            tariff=self.tariffs[tariff], effective_at=since, rates=rates, allowances=allowances or [], actor=ACTOR,
            at=BEGAN,
        )  # fmt: skip

    def open(self, name: str, text: str, accepted: datetime = BEGAN) -> None:
        """An account: "prepaid 300", "postpaid 300" (what it may owe), then what is not as usual."""
        terms, *special = text.split(", ")
        kind, micros = terms.split()
        said = dict(one.split(" ", 1) for one in special)
        account = personal.open_account(
            person=self.persons[name], tariff=self.tariffs[said.get("tariff", "Plain")], kind=kind,
            credit_limit_micros=int(micros) if kind == "postpaid" else 0,
            time_zone=said.get("in", "Europe/Berlin"), actor=ACTOR, at=BEGAN,
        )  # fmt: skip
        if "not" not in said:
            accepted = instant(said["accepted"]) if "accepted" in said else accepted
            account = personal.accept(account=account, text="Prices", actor=ACTOR, at=accepted)
        if kind == "prepaid" and int(micros):
            personal.top_up(account=account, micros=int(micros), key=f"of {name}", actor=ACTOR, at=BEGAN)
        if "closed" in said:
            personal.close(account=account, actor=ACTOR, at=instant(said["closed"]))

    def uses(self, name: str, line: str, since: str | datetime = BEGAN) -> None:
        """Hand a line over; nobody: it is nobody's from then on."""
        held = self.world.lines[line]
        held.refresh_from_db()
        at = since if isinstance(since, datetime) else instant(since)
        inventory.change_person(line=held, person=self.persons.get(name), actor=ACTOR, at=at)

    def list_numbers(self, code: str, text: str) -> None:
        """ "4930* from 03-01 00:00 until 03-14 00:00, 49171"."""
        numbers = number_lists.create(account=self.world.accounts["R"], code=code, name=code, actor=ACTOR, at=BEGAN)
        rows = []
        for row, one in enumerate(text.split(", ")):
            digits, since, until = re.fullmatch(r"(\d+\*?)(?: from (.+?))?(?: until (.+))?", one).groups()  # type: ignore[union-attr]
            times = {"valid_from": since and instant(since), "valid_until": until and instant(until)}
            rows.append(number_lists.EntryRow(row, f"+{digits}", **times))
        assert not number_lists.add(numbers=numbers, rows=rows, actor=ACTOR, at=BEGAN).errors

    def next_contract(self, since: str, zone: str) -> None:
        """The contract ends, and one by another clock follows."""
        starts = instant(since)
        Contract.objects.filter(enterprise=self.world.enterprise).update(ends_at=starts)
        contracts.create_contract(
            enterprise=self.world.enterprise, number="C-2", starts_at=starts, time_zone=zone, currency="EUR",
            cycle_anchor_day=1, actor=ACTOR, at=START,
        )  # fmt: skip

    def holidays(self, calendar: str) -> None:
        holidays.set_calendar(enterprise=self.world.enterprise, calendar=calendar, actor=ACTOR, at=BEGAN)

    def at_home(self, account: str, zone: str, *special: str) -> None:
        """Whose lines are at home where: holidays of a calendar, and from a time on, where either is said."""
        calendar = next((one for one in special if ":" not in one), "")
        since = next((instant(one) for one in special if ":" in one), BEGAN)
        homes.set_home(
            account=self.world.accounts[account], time_zone="" if zone == "above" else zone, holiday_calendar=calendar,
            effective_at=since, actor=ACTOR, at=BEGAN,
        )  # fmt: skip

    def profile(self, line: str, key: str, value: str) -> None:
        profiles.set_profile(line=self.world.lines[line], attributes={key: read_value(value)}, actor=ACTOR, at=BEGAN)

    def travel(self, name: str, countries: str, since: str, until: str) -> None:
        trips.declare(
            person=self.persons[name], countries=countries, starts_at=instant(since), ends_at=instant(until),
            actor=ACTOR, at=BEGAN,
        )  # fmt: skip

    def tag(self, line: str, tag: str) -> None:
        tags.set_tags(line=self.world.lines[line], tags=[tag], actor=ACTOR, at=BEGAN)

    def device(self, imei: str, ownership: str, model: str, device_type: str = "unknown") -> None:
        facts = {"model": model, "ownership": ownership, "device_type": device_type, "actor": ACTOR, "at": BEGAN}
        if known := Device.objects.filter(enterprise=self.world.enterprise, imei=imei).first():
            inventory.update_device(device=known, **facts)
        else:
            inventory.add_device(enterprise=self.world.enterprise, imei=imei, **facts)

    def hire(self, account: str, number: str, since: str) -> None:
        """Put one more line into service."""
        inventory.add_line(
            enterprise=self.world.enterprise, account=self.world.accounts[account], msisdn=number,
            assigned_from=instant(since), actor=ACTOR, at=START,
        )  # fmt: skip

    def renumber(self, line: str, number: str, since: str) -> None:
        inventory.change_number(
            line=self.world.lines[line], kind=NumberKind.MSISDN, number=number, from_at=instant(since), actor=ACTOR,
            at=START,
        )  # fmt: skip

    def retire(self, line: str, since: str) -> None:
        inventory.set_line_status(line=self.world.lines[line], status="retired", actor=ACTOR, at=instant(since))

    def declare(self, name: str, kind: str) -> None:
        declared.declare(operator=self.world.operator, name=name, kind=kind, label=name, actor=ACTOR, at=BEGAN)

    def limit(self, owner: str, amount: str, action: str) -> None:
        limit(self.world, owner, int(amount), action)

    def reprice(self, tariff: str, since: str, service: str, micros: str) -> None:
        self.price(tariff, instant(since), {service: int(micros)})

    def hold(self, text: str) -> None:
        """Let the facts of a case be."""
        for statement in statements(text):
            said = next(((tell, found) for words, tell in _FACTS if (found := re.fullmatch(words, statement))), None)
            assert said, f"no fact: {statement}"
            tell, found = said
            tell(self, *[group for group in found.groups() if group is not None])


_INCLUDED = (Service.DATA, Service.VOICE)
_FACTS: list[tuple[str, Callable[..., None]]] = [
    (r"(\w+) uses (\w)(?: from (.+))?", People.uses),
    (r"(\w+)'s account: (.+)", People.open),
    (r"tariff (\w+) from (.+): (\w+) (\d+)", People.reprice),
    (r"tag of (\w): (\w+)", People.tag),
    (r"profile of (\w): (\w+)=(.+)", People.profile),
    (r"line on (\w+): (\d+) from (.+)", People.hire),
    (r"number of (\w): (\d+) from (.+)", People.renumber),
    (r"line (\w) is retired from (.+)", People.retire),
    (r"device (\d+): (\w+) (.+?)(?:, a (\w+))?", People.device),
    (r"trip of (\w+): ([A-Z, ]+) from (.+) until (.+)", People.travel),
    (r"list (\w+): (.+)", People.list_numbers),
    (r"(\S+) is declared a (\w+)", People.declare),
    (r"limit (\w): (\d+), (\w+)", People.limit),
    (r"contract from (.+) in (.+)", People.next_contract),
    (r"holidays of (\S+)", People.holidays),
    (r"home of (\w+) is (\S+?)(?: with holidays of (\S+))?(?: from (.+))?", People.at_home),
]


def read_value(text: str) -> Any:
    """A value of the network's message or a profile: a number where it is digits, a text where it is quoted."""
    return int(text) if text.isdigit() else text.strip('"')


# --- events ---------------------------------------------------------------------------------------------------------

_EVENT = re.compile(
    r"(?P<name>\w+): (?P<line>\w) (?P<service>\w+) (?P<units>\d+)(?: (?P<at>\d\d-.+?)(?: to (?P<to>.+))?)?"
)


@dataclass(frozen=True)
class Event:
    """A record, as it is sent, and when it is charged; that a contest of another one is upheld; or a fact that only
    holds once the events before were charged."""

    name: str
    sent: dict[str, Any]
    at: datetime
    contest_of: str = ""
    fact: str = ""


def events(text: str) -> list[Event]:
    """ "x: a data 40 03-14 17:00 to 21:00, in 20801, other party 49, imei 35, as 49, apn=corp; then tag of a: board;
    c: contest of x is upheld"."""
    found: list[Event] = []
    for statement in statements(text):
        if statement.startswith("then "):
            found.append(Event("", {}, START, fact=statement.removeprefix("then ")))
            continue
        if contest := re.fullmatch(r"(\w+): contest of (\w+) is upheld", statement):
            of = next(event for event in found if event.name == contest[2])
            found.append(Event(contest[1], of.sent, of.at, contest[2]))
            continue
        head, *special = statement.split(", ")
        said = _EVENT.fullmatch(head)
        assert said, f"no event: {head}"
        starts = said["at"] or FRIDAY
        began = last = instant(starts)
        sent: dict[str, Any] = {
            "source_record_id": said["name"], "msisdn": NUMBERS[said["line"]], "service": said["service"],
            "units": int(said["units"]), "started_at": began,
        }  # fmt: skip
        if said["to"]:
            sent["ended_at"] = last = instant(said["to"], starts)
        for one in special:
            if "=" in one:
                key, _, value = one.partition("=")
                sent.setdefault("attributes", {})[key] = read_value(value)
            elif one.startswith("in "):
                sent["visited_network"] = one.removeprefix("in ")
            elif one.startswith("other party "):
                sent["other_party"] = one.removeprefix("other party ")
            elif one.startswith("as "):
                sent["msisdn"] = one.removeprefix("as ")
            else:
                assert one.startswith("imei "), f"no such thing of an event: {one}"
                sent["imei"] = one.removeprefix("imei ")
        found.append(Event(said["name"], sent, max(START, last)))
    return found


def deliver(people: People, event: Event) -> None:
    """Deliver and charge an event; a contest is filed and upheld, its correction charged, the money given back."""
    world = people.world
    if event.fact:
        people.hold(event.fact)
        return
    if event.contest_of:
        usage = UsageRecord.objects.get(source_record_id=event.contest_of, payer=2)
        (contest,) = contests.file(usages=[usage], person=usage.person, reason="Work", actor="user:1", at=event.at)
        contests.decide(contest=contest, uphold=True, answer="", actor=ACTOR, at=event.at)
        drain(world, event.at)
        assert contests.complete(contest_id=contest.id, actor=ACTOR, at=event.at)
        return
    delivery = ingest.Delivery(world.operator.id, world.enterprise.id, world.sources["one"], "test")
    ingest.accept(delivery=delivery, usages=[read_mapping(event.sent)], at=event.at)
    drain(world, event.at)


# --- legs -----------------------------------------------------------------------------------------------------------

_LEG = re.compile(
    r"(?P<payer>\w+) (?P<units>\d+)(?: for (?P<micros>\d+))?(?:, (?P<refused>\d+) refused)?"
    r"(?: from (?P<starts>[\d:+ -]+))? \[(?P<reasons>.*)\]"
)


def expected(case: Case) -> list[Leg]:
    """The legs that a case says."""
    began = {event.name: event.sent["started_at"] for event in events(case.events) if event.name}
    found = []
    for statement in statements(case.legs):
        name, _, text = statement.partition(": ")
        for one in text.split(" + "):
            said = _LEG.fullmatch(one)
            assert said, f"no leg: {one}"
            starts = began[name]
            if said["starts"]:
                starts = instant(said["starts"], f"{starts.astimezone(BERLIN):%m-%d}")
            found.append(
                Leg(
                    name, said["payer"], int(said["units"]), int(said["refused"] or 0), int(said["micros"] or 0),
                    starts, tuple(sorted(said["reasons"].split())),
                )
            )  # fmt: skip
    return found


def charged(world: World, case: Case) -> list[Leg]:
    """The charge lines of a case's events, in its own words: by event, time, and the company first."""
    persons = dict(Person.objects.filter(enterprise=world.enterprise).values_list("id", "name"))
    words = _Words(world)
    found = []
    for event in events(case.events):
        mine = []
        identities = words.identities.get(event.contest_of, [event.name])
        for record in UsageRecord.objects.filter(source_record_id__in=identities):
            for line in record.charge_lines.all():
                is_company = record.payer == 1
                payer = "company" if is_company else persons.get(record.person_id, "nobody")
                micros = line.amount_micros if is_company else line.personal_micros
                reasons = tuple(sorted(words.of(code, line.part) for code in line.reasons.split()))
                leg = Leg(event.name, payer, line.units, line.refused_units, micros, line.starts_at, reasons)
                mine.append((line.starts_at, record.payer, line.number, leg))
        found += [leg for *_, leg in sorted(mine)]
    return found


class _Words:
    """Reasons with names of accounts in place of ids: "steer:R.2" (rule 2), "steer:R/2.1" (of its second version),
    "steer:R.2#1" (its first part, of several)."""

    def __init__(self, world: World):
        versions = list(SteeringVersion.objects.filter(enterprise=world.enterprise).select_related("steering__account"))
        last = {version.steering_id: version.number for version in sorted(versions, key=lambda one: one.number)}
        self._versions = {
            v.id: v.steering.account.code + (f"/{v.number}" if last[v.steering_id] > 1 else "") for v in versions
        }
        self._rules = {v.id: [v.default, *(rule["pays"] for rule in v.rules)] for v in versions}
        filed = [(c.id, c.usage_id, contests.source_record_ids(c)) for c in Contest.objects.all()]
        names = dict(
            UsageRecord.objects.filter(id__in=[of for _, of, _ in filed]).values_list("id", "source_record_id")
        )
        self._contests = {number: names[of] for number, of, _ in filed}
        self.identities = {names[of]: identities for _, of, identities in filed}
        limits = Limit.objects.filter(enterprise=world.enterprise).select_related("account")
        self._limits = {held.id: held.account.code for held in limits if held.account}

    def of(self, code: str, part: int | None) -> str:
        name, _, argument = code.partition(":")
        if name in ("steer", "steer_default"):
            version, number = divmod(int(argument), 1_000)
            has_parts = isinstance(self._rules[version][number], list) and part is not None
            return (
                f"{name}:{self._versions[version]}"
                + (f".{number}" if number else "")
                + (f"#{part}" if has_parts else "")
            )
        if name == "correction":
            return f"{name}:{self._contests[int(argument)]}"
        if name.startswith("limit_"):
            return f"{name}:{self._limits[int(argument)]}"
        return code


def spelt(leg: Leg) -> str:
    """A leg as the file writes it."""
    money = f" for {leg.micros}" if leg.micros else ""
    refused = f", {leg.refused} refused" if leg.refused else ""
    starts = f" from {leg.starts.astimezone(BERLIN):%m-%d %H:%M:%S%z}"
    return f"{leg.event}: {leg.payer} {leg.units}{money}{refused}{starts[:-2]} [{' '.join(leg.reasons)}]"
