"""Who pays, in plain Python: docs/byod.md as a model to compare with, naive wherever naive is simpler.

It looks at every minute of a session (and at every instant that somebody named), asks the rules one after the other in
the order of the chain, counts budgets in a dict, and finds what fits by trying. It knows conditions only as JSON, and
neither the database nor anything of `policies.steering` or `portal.charging`. Of accounts it knows one kind: that never
is used up. Limits, corrections, emergencies and what a leg costs are not its matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.charging.small_world import BOUNDARIES, NETWORKS, VERSIONS

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, MILLISECOND = timedelta(minutes=1), timedelta(milliseconds=1)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Network -> country, and the clock of its capital; 90101 is nowhere.
COUNTRIES = {"": "DE", "20801": "FR", "310260": "US"}
CLOCKS = {"DE": BERLIN, "FR": ZoneInfo("Europe/Paris"), "US": ZoneInfo("America/New_York")}
HOLIDAYS = {date(2026, 4, 3), date(2026, 4, 6)}
CHAINS = {"a": ("N2", "N1", "N", "R"), "b": ("N", "R"), "c": ("S1", "S", "R"), "d": ("R",)}
Part = dict[str, Any]


class Rule(NamedTuple):
    """A rule: its name, condition as JSON, and parts; one payer alone is a list of one."""

    name: str
    when: dict[str, Any]
    pays: list[Part]
    is_fixed: bool


class Version(NamedTuple):
    """What an account says from an instant until another; `credit` None: refuse, -1: nothing is said."""

    account: str
    number: int
    starts: datetime
    ends: datetime
    rules: list[Rule]
    default: list[Part] | None
    credit: int | None


class Event(NamedTuple):
    """A record; of data or voice."""

    name: str
    line: str
    service: str
    units: int
    starts: datetime
    ends: datetime
    network: str
    other_party: str
    attributes: dict[str, Any]


class Leg(NamedTuple):
    """`rule`: account, number of the version and of the rule, 0 the default; "" where nobody says anything."""

    event: str
    payer: str
    starts: datetime
    granted: int
    refused: int
    rule: str
    part: int


class Decided(NamedTuple):
    """Who pays at an instant."""

    rule: str
    budget: str  # account and name of the rule
    pays: list[Part]
    credit: int | None


COMPANY: list[Part] = [{"payer": "corporate"}]


@dataclass
class Model:
    """The enterprise; `users` and `accepted`: instants from which on a person has a line, or an account."""

    versions: list[Version]
    users: dict[str, list[tuple[datetime, str]]]
    accepted: dict[str, datetime]
    tags: dict[str, str]
    trip: tuple[str, str, datetime, datetime]  # person, country, from, until
    listed: tuple[str, datetime, datetime]  # prefix, from, until
    used: dict[tuple[str, str, datetime], int] = field(default_factory=lambda: defaultdict(int))
    budgets: dict[tuple, int] = field(default_factory=lambda: defaultdict(int))
    on_credit: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    # --- the decision ------------------------------------------------------------------------------------------------

    def decide(self, event: Event, units: int, at: datetime) -> Decided:
        """First what is fixed, from the root down, then the others from the line's account up; then the defaults."""
        chain = CHAINS[event.line]
        held = {v.account: v for v in self.versions if v.starts <= at < v.ends}
        near = [held[account] for account in chain if account in held]
        credit = next((v.credit for v in near if v.credit != -1), None)
        asked = [(v, n, r) for v in reversed(near) for n, r in enumerate(v.rules, start=1) if r.is_fixed]
        asked += [(v, n, r) for v in near for n, r in enumerate(v.rules, start=1) if not r.is_fixed]
        for version, number, rule in asked:
            if self.holds(rule.when, event, units, at) is True:
                code = f"{version.account}/{version.number}.{number}"
                return Decided(code, f"{version.account} {rule.name}", rule.pays, credit)
        for version in near:
            if version.default is not None:
                return Decided(f"{version.account}/{version.number}.0", version.account, version.default, credit)
        return Decided("", "", COMPANY, credit)

    def holds(self, node: dict[str, Any], event: Event, units: int, at: datetime) -> bool | None:
        """Kleene's logic over the tests of a condition; None: the event does not have it."""
        if "not" in node:
            inner = self.holds(node["not"], event, units, at)
            return None if inner is None else not inner
        for kind, decides in (("all", False), ("any", True)):
            if kind in node:
                found = [self.holds(part, event, units, at) for part in node[kind]]
                return decides if decides in found else None if None in found else not decides
        has = self._has(node["field"], node.get("clock", ""), event, units, at)
        values = node["value"] if isinstance(node["value"], list) else [node["value"]]
        return None if has is None else _compared(node["op"], has, values)

    def _has(self, name: str, clock: str, event: Event, units: int, at: datetime) -> Any:
        country = COUNTRIES.get(event.network)
        person = self.user(event.line, at)
        if name in ("time", "weekday", "date", "holiday"):
            zone = CLOCKS.get(country or "") if clock == "there" else BERLIN
            zone = zone if clock in ("", "there", "enterprise") else ZoneInfo(clock)
            local = at.astimezone(zone) if zone is not None else None
            if local is None:
                return None
            if name == "holiday":
                return local.date() in HOLIDAYS
            return {"time": f"{local:%H:%M}", "weekday": WEEKDAYS[local.weekday()], "date": f"{local:%Y-%m-%d}"}[name]
        if name == "on_trip":
            who, where, starts, ends = self.trip
            if not person:
                return None
            if who != person or not starts <= at < ends:
                return False
            return country == where if country else None
        if name == "list":
            prefix, starts, ends = self.listed
            called = event.other_party
            return None if not called else "friends" if called.startswith(prefix) and starts <= at < ends else ""
        zone = zone_of(event.network)
        return {
            "service": event.service, "zone": zone, "roaming": zone != "home", "country": country,
            "tag": self.tags.get(event.line, ""), "units": units, "other_party": event.other_party or None,
            "used": self.used[event.line, event.service, cycle_of(at)],
            "apn": event.attributes.get("apn"), "application": event.attributes.get("application"),
        }[name]  # fmt: skip

    def user(self, line: str, at: datetime) -> str:
        """Whose line it was; "" nobody's that is known."""
        return next((person for since, person in reversed(self.users.get(line, [])) if since <= at), "")

    # --- charging ----------------------------------------------------------------------------------------------------

    def charge(self, event: Event) -> list[Leg]:
        """The legs of an event, by time and part."""
        zone = zone_of(event.network)
        units = rounded(event.units, rate_of(event.service, zone, event.starts))
        pieces = list(self._pieces(event, units))
        weights = [(ends - starts) // MILLISECOND for starts, ends in pieces]
        shares = shared_by(units, weights)
        decided = [self.decide(event, units, starts) for starts, _ in pieces]
        found, added = [], []
        for (starts, _), share, how in zip(pieces, shares, decided, strict=True):
            if not share and units:
                continue
            for part, payer, taken in self._split(event, share, how, starts):
                leg = self._leg(event, how, part, payer, taken, starts)
                if payer == "corporate":
                    added.append((cycle_of(starts), leg.granted))
                found.append(leg)
            if not units:
                break
        for cycle, granted in added:
            self.used[event.line, event.service, cycle] += granted
        return found

    def _pieces(self, event: Event, units: int) -> Iterator[tuple[datetime, datetime]]:
        """Look at every minute, and cut where anything is otherwise than it was."""
        looked = [event.starts]
        at = event.starts.replace(second=0, microsecond=0) + MINUTE
        while at < event.ends:
            looked.append(at)
            at += MINUTE
        looked = sorted({*looked, *(edge for edge in self._named() if event.starts < edge < event.ends)})
        states = [self._state(event, units, at) for at in looked]
        cuts = [looked[0]]
        cuts += [at for at, (before, now) in zip(looked[1:], pairwise(states), strict=True) if before != now]
        yield from pairwise([*cuts, event.ends])

    def _named(self) -> set[datetime]:
        edges = {edge for version in self.versions for edge in (version.starts, version.ends)}
        edges |= {since for users in self.users.values() for since, _ in users} | set(self.accepted.values())
        return edges | {*self.trip[2:], *self.listed[1:]}

    def _state(self, event: Event, units: int, at: datetime) -> tuple:
        """All by which two instants of a session are charged differently."""
        how = self.decide(event, units, at)
        person = self.user(event.line, at) if how.pays != COMPANY else ""
        terms: Any = None
        if any(part["payer"] == "personal" for part in how.pays) and person in self.accepted:
            terms = self.accepted[person] <= at
        periods = [period_of(part["every"], at) for part in how.pays if "every" in part]
        contract = (cycle_of(at), contract_of(at))
        return how, person, terms, periods, contract

    def _split(self, event: Event, units: int, how: Decided, at: datetime) -> Iterator[tuple[int, str, int]]:
        """What each part takes: number, payer, units. Of no units: the first part that would take one."""
        wanted, asked = max(units, 1), units > 0
        rate = rate_of(event.service, zone_of(event.network), at)
        percents = now = before = 0
        for number, part in enumerate(how.pays, start=1):
            if "percent" in part:
                if not percents:
                    key = (how.budget, number, "percent", event.line, cycle_of(at))
                    now, before = self.budgets[key] + wanted, self.budgets[key]
                    if asked:
                        self.budgets[key] = now
                mine, mine_before = (portion(of, part["percent"], 100 - percents) for of in (now, before))
                taken, now, before = mine - mine_before, now - mine, before - mine_before
                percents += part["percent"]
            else:
                percents = 0
                taken = wanted
                if "every" in part:
                    left = part.get("units", part.get("micros")) - self.budgets[self._budget(event, how, number, at)]
                    taken = min(wanted, max(left, 0)) if "units" in part else most(wanted, left, rate)
            if taken:
                yield number, part["payer"], taken if asked else 0
            wanted -= taken
            if not wanted:
                return

    def _budget(self, event: Event, how: Decided, number: int, at: datetime) -> tuple:
        part = how.pays[number - 1]
        owner = event.line
        if part["of"] == "account":
            owner = how.budget.split()[0]
        elif part["of"] == "person":
            owner = self.user(event.line, at) or event.line
        measure = "units" if "units" in part else "micros"
        place = (how.budget, number, part["payer"])
        return *place, measure, part["of"], owner, part["every"], period_of(part["every"], at)

    def _leg(self, event: Event, how: Decided, number: int, payer: str, units: int, at: datetime) -> Leg:
        rate = rate_of(event.service, zone_of(event.network), at)
        granted, who = units, "company"
        if payer == "personal":
            who = self.user(event.line, at) or "nobody"
            if not (who in self.accepted and self.accepted[who] <= at):
                granted = 0
                if who != "nobody" and how.credit is not None:
                    granted = most(units, how.credit - self.on_credit[who], rate)
                    self.on_credit[who] += price(granted, rate)
        if "every" in how.pays[number - 1]:
            taken = granted if "units" in how.pays[number - 1] else price(granted, rate)
            self.budgets[self._budget(event, how, number, at)] += taken
        return Leg(event.name, who, at, granted, units - granted, how.rule, number if how.rule else 0)


# --- arithmetic -----------------------------------------------------------------------------------------------------


def _compared(op: str, has: Any, values: list[Any]) -> bool:
    if op == "within":
        return any(_within(has, *_span(value)) for value in values)
    if op in ("at_least", "below"):
        return (has >= values[0]) is (op == "at_least")
    if isinstance(has, str):
        has, values = has.casefold(), [value.casefold() for value in values]
        if op == "starts":
            return any(has.startswith(value) for value in values)
    return has in values


def _span(value: str) -> tuple[str, str]:
    """From and until of a time of day; of days, both inclusive."""
    if value[2] == ":":
        return value[:5], value[6:]
    first, _, last = value.partition("..")
    return first, (last or first) + "~"


def _within(has: str, starts: str, ends: str) -> bool:
    return starts <= has < ends if starts < ends else has >= starts or has < ends


def zone_of(network: str) -> str:
    """The zone of a network, by the longest prefix."""
    if not network:
        return "home"
    return next((NETWORKS[network[:n]] for n in range(6, 0, -1) if network[:n] in NETWORKS), "world")


def contract_of(at: datetime) -> datetime:
    """When the version of the contract took effect that holds."""
    return max(version.effective_at for version in VERSIONS if version.effective_at <= at)


def rate_of(service: str, zone: str, at: datetime) -> Any:
    """Increment, minimum, price and block."""
    return next(version for version in VERSIONS if version.effective_at == contract_of(at)).rates[service, zone]


def cycle_of(at: datetime) -> datetime:
    return max(boundary for boundary in BOUNDARIES if boundary <= at)


def period_of(every: str, at: datetime) -> datetime | str:
    """When the period began that holds an instant."""
    if every in ("cycle", "lifetime"):
        return cycle_of(at) if every == "cycle" else every
    day = at.astimezone(BERLIN).date()
    first = day - timedelta(days=day.weekday()) if every == "week" else day
    return datetime(first.year, first.month, first.day, tzinfo=BERLIN).astimezone(UTC)


def rounded(units: int, rate: Any) -> int:
    while units and (units < rate.minimum or units % rate.increment):
        units += 1
    return units


def price(units: int, rate: Any) -> int:
    """Half up to a micro."""
    return int(Fraction(units * rate.price, rate.block) + Fraction(1, 2))


def most(units: int, micros: int, rate: Any) -> int:
    """The most units that cost no more."""
    while units and price(units, rate) > micros:
        units -= 1
    return units


def portion(units: int, percent: int, of: int) -> int:
    """Half up to a unit."""
    return int(Fraction(units * percent, of) + Fraction(1, 2))


def shared_by(units: int, weights: list[int]) -> list[int]:
    """In proportion, by the largest remainder, the earlier first."""
    if not sum(weights):
        return [units, *[0] * (len(weights) - 1)]
    exact = [Fraction(units * weight, sum(weights)) for weight in weights]
    found = [int(one) for one in exact]
    for place in sorted(range(len(exact)), key=lambda n: (found[n] - exact[n], n))[: units - sum(found)]:
        found[place] += 1
    return found
