"""What to look at before a version of who pays is published: rules that never decide, facts that nobody has, budgets.

Reads only. A caution refuses nothing. That a rule never decides is shown, not guessed: whatever it matches, rules
before it match, and know so. What is counted of people and their accounts are numbers of many, never who.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import chain, islice

from django.db.models import F

from balances.models import Account, Device, Line, LineProfile, PersonalAccount
from balances.models.accounts import LineStatus
from balances.selectors.tree import below
from balances.units import SERVICE_NAMES
from policies.conditions import FIELDS, AllOf, Catalogue, Node, Not, Surroundings, Test, tests_of
from policies.conditions.calendars import is_calendar
from policies.conditions.compiled import always_known
from policies.conflicts import Effort, TooMuch, alternatives, satisfiable
from policies.models import AccountHome, NumberListEntry, PolicyState, SteeringVersion, Trip
from policies.steering import standing
from policies.steering.loading import catalogue_of, surroundings, terms_of
from policies.steering.rules import PERSONAL, Part, Parts, SteeringRule, Terms
from policies.steering.standing import Held

#: Rules before one that are looked at together; fewer people than this are not counted.
TOGETHER_MOST, PEOPLE_LEAST = 24, 5
#: Versions further down, and former ones, that are looked at.
LOWER_MOST, FORMER_MOST = 100, 20
#: What is compared for one version, as `conflicts.Effort` counts it: about two seconds.
EFFORT_MOST = 2_000_000
_NOWHERE = Surroundings()
#: Services whose usage can have a field at all.
_SERVICES_WITH = {
    "other_party": ("voice", "messaging", "video_conferencing"),
    "directory": ("voice", "messaging", "video_conferencing"),
    "list": ("voice", "messaging", "video_conferencing"),
    "apn": ("data",),
    "application": ("data",),
    "rating_group": ("data",),
}


class About(StrEnum):
    """What a caution is about."""

    NEVER = "never"  # a rule that can never decide
    UNSEEN = "unseen"  # there is too much to look at, so that more may be to say
    OVERRULES = "overrules"  # a fixed rule that lets one further down never decide
    UNKNOWN = "unknown"  # a rule asks for what nobody knows
    EMPTY = "empty"  # a rule asks for a list or for trips, and there are none
    BUDGET = "budget"  # a budget goes on, or begins anew
    NOBODY = "nobody"  # lines without a person where a person pays
    ACCOUNT = "account"  # people without an account of their own where a person pays


@dataclass(frozen=True, slots=True)
class Caution:
    """Something to look at. `rule`: its number in the version, 0: the version as a whole."""

    about: About
    rule: int
    words: str


def cautions(version: SteeringVersion, at: datetime, *, effort_most: int = EFFORT_MOST) -> list[Caution]:
    """What to look at before a version is published, or of one that is. Reads only.

    Beyond `effort_most` conditions are no longer compared, which one of the cautions then says.
    """
    account = version.steering.account
    catalogue = catalogue_of(version.enterprise_id)
    terms = terms_of(version, catalogue)
    asked = standing.inherited(account, at, instead=version, catalogue=catalogue).rules
    effort = Effort(effort_most)
    found = [*_budgets(version, terms, catalogue), *_payers(account, terms)]
    looking = chain(
        _never(version, asked, effort),
        _facts(account, terms, at, effort),
        _overruled(version, terms, at, catalogue, effort),
    )
    try:
        while (one := next(looking, None)) is not None:  # what was found before there was too much is said
            found.append(one)
    except TooMuch:
        words = "There are too many rules and values to look at them all: some that never decide may go unsaid."
        found.append(Caution(About.UNSEEN, 0, words))
    return sorted(found, key=lambda one: one.rule or 10**6)


# --- rules that never decide ----------------------------------------------------------------------------------------


def shadowed_by(rule: SteeringRule, before: Sequence[SteeringRule], effort: Effort | None = None) -> list[int] | None:
    """The rules (by place) that between them match whatever a rule matches, so that it never decides; None: not shown.

    Pure. What a rule before asks for must be known wherever the rule matches: an unknown one does not match.
    Raises TooMuch, of an effort.
    """
    found = alternatives(rule.when, holds=True, effort=effort)
    if found is None:
        return None
    places: set[int] = set()
    for literals in found:
        here = AllOf(tuple(test if holds else Not(test) for test, holds in literals))
        if not satisfiable(here, effort):
            continue
        known = {test.field for test, _ in literals}
        places_here = _covering(here, known, before, effort)
        if places_here is None:
            return None
        places.update(places_here)
    return sorted(places)


def _covering(here: Node, known: set[str], before: Sequence[SteeringRule], effort: Effort | None) -> list[int] | None:
    if effort is not None:
        effort.spend(len(before))
    able = [place for place, rule in enumerate(before) if _is_known(rule.when, known)]
    for place in able:
        if not satisfiable(AllOf((here, Not(before[place].when))), effort):
            return [place]
    meeting = (place for place in able if satisfiable(AllOf((here, before[place].when)), effort))
    together = list(islice(meeting, TOGETHER_MOST))
    others = (Not(before[place].when) for place in together)
    if len(together) < 2 or satisfiable(AllOf((here, *others)), effort):
        return None
    return together


def _is_known(node: Node, known: set[str]) -> bool:
    """Whether all that a condition asks for is known: of every event, or as one of the fields `known`."""
    return all(test.field in known or always_known(test, _NOWHERE) for test in tests_of(node))


def _never(version: SteeringVersion, asked: Sequence[Held], effort: Effort) -> Iterator[Caution]:
    """Rules of the version that never decide."""
    for place, held in enumerate(asked):
        if held.version is not version:
            continue
        by = shadowed_by(held.rule, [one.rule for one in asked[:place]], effort)
        if by is None:
            continue
        if not by:
            words = f"“{held.rule.name}” can never decide: its condition contradicts itself."
        else:
            names = " and ".join(_named(asked[number], version) for number in by[:3])
            words = f"“{held.rule.name}” can never decide: all that it matches is decided before, by {names}."
        yield Caution(About.NEVER, held.number, words)


def _named(held: Held, version: SteeringVersion) -> str:
    return f"“{held.rule.name}”" if held.version is version else f"“{held.rule.name}” of {held.account.name}"


def _overruled(
    version: SteeringVersion, terms: Terms, at: datetime, catalogue: Catalogue, effort: Effort
) -> Iterator[Caution]:
    """Rules further down that never decide any more once fixed rules of the version hold."""
    fixed = [(number, rule) for number, rule in enumerate(terms.rules, start=1) if rule.is_fixed]
    if not fixed:
        return
    account = version.steering.account
    in_force = standing.in_force(version.enterprise_id, at)
    lower = [other for other in in_force.values() if other.steering.account_id != account.id]
    lower = [other for other in lower if other.steering.account.is_descendant_of(account)][:LOWER_MOST]
    for other in lower:
        for rule in terms_of(other, catalogue).rules:
            by = shadowed_by(rule, [one for _, one in fixed], effort)
            if by:
                number, name = fixed[by[0]][0], fixed[by[0]][1].name
                words = f"“{name}” is fixed: “{rule.name}” of {other.steering.account.name} can never decide any more."
                yield Caution(About.OVERRULES, number, words)


# --- facts that nobody has ------------------------------------------------------------------------------------------


class _Facts:
    """What is known below an account, asked for once each."""

    def __init__(self, account: Account, at: datetime):
        self.account, self.at = account, at
        self._lines = Line.objects.filter(below(account, "account__")).exclude(status=LineStatus.RETIRED)

    def lacks(self, test: Test, *, holds: bool) -> tuple[About, str] | None:
        """Why no event can have what a comparison asks for; None where some may."""
        field = test.field
        if field == "on_trip":
            trips = Trip.objects.filter(below(self.account, "person__account__"), removed_at=None, ends_at__gt=self.at)
            if test.values[0] is holds and not trips.exists():
                return About.EMPTY, "no trip is declared below, so nobody is on one"
        elif field == "list":
            codes = {str(value) for value in test.values}
            entries = NumberListEntry.objects.filter(enterprise_id=self.account.enterprise_id, removed_at=None)
            if holds and not entries.filter(list__code__in=codes).exists():
                return About.EMPTY, f"the list “{sorted(codes)[0]}” has no number"
        elif field == "holiday":
            around = surroundings(self.account.enterprise_id, frozenset({"holiday"}))
            at_home = AccountHome.objects.filter(enterprise_id=self.account.enterprise_id, removed_at=None)
            if not is_calendar(around.holidays_of(self.at)) and (test.clock or not at_home.exists()):
                return About.UNKNOWN, "the public holidays of the enterprise are not known"
        elif field.startswith("profile."):
            key = field.partition(".")[2]
            known = LineProfile.objects.filter(line__in=self._lines, removed_at=None, attributes__has_key=key)
            if not known.exists():
                return About.UNKNOWN, f"no line below has “{key}” in its profile"
        elif (
            field in ("device.ownership", "device.model", "device.type")
            and not Device.objects.filter(enterprise_id=self.account.enterprise_id).exists()
        ):
            return About.UNKNOWN, "no device is in the inventory"
        return None


def _facts(account: Account, terms: Terms, at: datetime, effort: Effort) -> Iterator[Caution]:
    facts = _Facts(account, at)
    for number, rule in enumerate(terms.rules, start=1):
        found = alternatives(rule.when, holds=True, effort=effort) or []
        ways = [literals for literals in found if satisfiable(_node(literals), effort)]
        lacking = [
            [lack for test, holds in literals if (lack := _lacking(test, holds, literals, facts, effort))]
            for literals in ways
        ]
        if not any(lacking):
            continue
        about, why = next(reasons[0] for reasons in lacking if reasons)
        effect = "it never matches" if all(lacking) else "in part it never matches"
        yield Caution(about, number, f"“{rule.name}”: {why}; {effect}.")


_Literals = tuple[tuple[Test, bool], ...]


def _node(literals: _Literals) -> Node:
    return AllOf(tuple(test if holds else Not(test) for test, holds in literals))


def _lacking(test: Test, holds: bool, literals: _Literals, facts: _Facts, effort: Effort) -> tuple[About, str] | None:
    """Why a comparison in these surroundings holds of no event."""
    having = _SERVICES_WITH.get(test.field)
    if having is not None:
        possible = [
            name for name in SERVICE_NAMES.values()
            if satisfiable(AllOf((_node(literals), Test("service", "is", (name,)))), effort)
        ]  # fmt: skip
        if not set(possible) & set(having):
            label = FIELDS[test.field].label.lower()
            said = " and ".join(name.replace("_", " ") for name in possible)
            return About.UNKNOWN, f"{said} never says the {label}"
    return facts.lacks(test, holds=holds)


# --- budgets --------------------------------------------------------------------------------------------------------

_Key = tuple[str, int, str, str, str, str]


def _budgets(version: SteeringVersion, terms: Terms, catalogue: Catalogue) -> list[Caution]:
    """Which budgets go on with what was taken up, and which begin anew, against the versions before."""
    former = version.steering.versions.exclude(state=PolicyState.DRAFT).exclude(id=version.id).order_by("-number")
    former = former.exclude(effective_at=F("ends_at"))[:FORMER_MOST]
    before: dict[_Key, tuple[SteeringVersion, Part]] = {}
    had: set[str] = set()
    for place, other in enumerate(former):
        for rule in terms_of(other, catalogue).rules:
            for key, part in budgets_of(rule).items():
                before.setdefault(key, (other, part))
                if not place:
                    had.add(rule.name.casefold())
    found = []
    for number, rule in enumerate(terms.rules, start=1):
        for key, part in budgets_of(rule).items():
            if key in before:
                other, earlier = before[key]
                change = "" if _amount(earlier) == _amount(part) else ", against another amount"
                words = f"“{rule.name}”: its budget goes on with what version {other.number} took up{change}."
            elif rule.name.casefold() in had:
                words = f"“{rule.name}”: its budget begins anew, as it is counted otherwise than before."
            else:
                continue
            found.append(Caution(About.BUDGET, number, words))
    return found


def budgets_of(rule: SteeringRule) -> dict[_Key, Part]:
    """The budgets of a rule by what stays the same between versions: name, part, payer, period, owner, measure."""
    return {
        (
            rule.name.casefold(), number, part.payer, part.every, part.of,
            "units" if part.units is not None else "micros",
        ): part
        for number, part in enumerate(rule.pays, start=1)
        if part.has_amount
    }  # fmt: skip


def _amount(part: Part) -> int | None:
    return part.units if part.units is not None else part.micros


# --- who is to pay --------------------------------------------------------------------------------------------------


def _payers(account: Account, terms: Terms) -> list[Caution]:
    if not any(part.payer == PERSONAL for pays in _outcomes(terms) for part in pays):
        return []
    found = []
    lines = Line.objects.filter(below(account, "account__")).exclude(status=LineStatus.RETIRED)
    nobodys = lines.filter(person__isnull=True).count()
    if nobodys:
        plural = "lines belong" if nobodys > 1 else "line belongs"
        words = f"{nobodys:,} {plural} to nobody: what a person is to pay is refused there."
        found.append(Caution(About.NOBODY, 0, words))
    people = set(lines.filter(person__isnull=False).values_list("person_id", flat=True))
    if len(people) >= PEOPLE_LEAST:
        able = PersonalAccount.objects.filter(person_id__in=people, closed_at=None, accepted_at__isnull=False).count()
        if able < len(people):
            who = "None" if not able else "Not all"
            words = f"{who} of the {len(people):,} people below can pay: see what happens where a person cannot."
            found.append(Caution(About.ACCOUNT, 0, words))
    return found


def _outcomes(terms: Terms) -> Iterable[Parts]:
    yield from (rule.pays for rule in terms.rules)
    if terms.default:
        yield terms.default
