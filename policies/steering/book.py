"""The published rules of who pays along a chain of accounts, and what is left of them for a kind of event at a time.

Owns: reading versions, the order in which rules are asked, and *segments*: stretches of time in which no test of time
turns over and no version begins or ends. Within a segment a rule's tests of time are settled, as are service, zone and
tags for a kind of event, and rules that can no longer decide are gone; what the rest decided is remembered by the
values that they read. Who pays what is `policies.steering.decision`'s matter.

A version holds by the time of use, so a `SteeringBook` keeps those that have ended, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from policies.conditions import (
    AllOf,
    Node,
    Surroundings,
    Test,
    changes_between,
    compile_known,
    fields_read,
    settle,
    settle_time,
    tests_of,
    unknown_fields,
)
from policies.conditions.catalogue import PREFIX, THERE
from policies.conditions.radio import ATTRIBUTES as RADIO_ATTRIBUTES
from policies.decision import Context
from policies.models import BudgetMeasure
from policies.steering.rules import COMPANY_PAYS, PERSONAL, REFUSE, Missing, Parts, SteeringRule, Terms

#: A rule's number in reasons and on charge lines: its version's id, and its place in it, from 1; 0 is the default.
NUMBERS = 1_000
#: How far a segment is looked for to each side of an instant.
AHEAD = timedelta(hours=36)
#: What is kept at hand at most: kinds of events, segments of one, decisions of a segment.
KINDS_KEPT, SEGMENTS_KEPT, DECISIONS_KEPT = 20_000, 256, 20_000

BEGINNING, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount of a part, as its use is kept; `amount` 0 for what is shared by percent."""

    steering_id: int
    name: str
    measure: int
    every: str
    of: str
    amount: int
    account_id: int


@dataclass(slots=True, eq=False)
class Outcome:
    """Who pays by one rule or default. `id`: as reasons and charge lines name it; 0: nobody says, so the company pays.

    `budgets`: by part, from 1; of percents in a row the first has the one of all.
    """

    id: int
    version_id: int
    number: int
    account_id: int
    name: str
    parts: Parts
    budgets: Mapping[int, Budget]

    @property
    def is_company(self) -> bool:
        """Whether the company pays all of it."""
        return self.parts == COMPANY_PAYS

    @property
    def has_personal(self) -> bool:
        """Whether the person pays any of it."""
        return any(part.payer == PERSONAL for part in self.parts)

    @property
    def code(self) -> str:
        """The reason code of its charge lines."""
        return f"steer_default:{self.id}" if not self.number else f"steer:{self.id}"


NOBODY_SAYS = Outcome(0, 0, 0, 0, "", COMPANY_PAYS, {})


@dataclass(slots=True, eq=False)
class StandingVersion:
    """A version as it holds for usage of a time; its rules as outcomes."""

    id: int
    steering_id: int
    account_id: int
    terms: Terms
    starts: datetime
    ends: datetime
    _default: Outcome | None = None

    @property
    def default_outcome(self) -> Outcome:
        """The outcome of its default; always the same one, so that no session is cut where it goes on deciding."""
        if self._default is None:
            self._default = self.outcome_of(0, None)
        return self._default

    def outcome_of(self, number: int, rule: SteeringRule | None) -> Outcome:
        """The outcome of its rule of that number, from 1; without a rule its default."""
        parts = rule.pays if rule is not None else self.terms.default or COMPANY_PAYS
        name = rule.name if rule is not None else ""
        id_ = self.id * NUMBERS + number
        return Outcome(id_, self.id, number, self.account_id, name, parts, self._budgets(name, parts))

    def _budgets(self, name: str, parts: Parts) -> dict[int, Budget]:
        found: dict[int, Budget] = {}
        for place, part in enumerate(parts, start=1):
            budget_of = f"{name.casefold()}#{place}"  # of a default "": no rule is called so
            if part.percent and not (place > 1 and parts[place - 2].percent):
                found[place] = Budget(
                    self.steering_id, f"{budget_of} percent", int(BudgetMeasure.SHARED), "cycle", "line", 0,
                    self.account_id,
                )  # fmt: skip
            elif part.has_amount:
                measure = BudgetMeasure.UNITS if part.units is not None else BudgetMeasure.MICROS
                amount = part.units if part.units is not None else part.micros
                found[place] = Budget(
                    self.steering_id, f"{budget_of} {part.every}", int(measure), part.every, part.of, amount or 0,
                    self.account_id,
                )  # fmt: skip
        return found


class Decided(NamedTuple):
    """An outcome, and the fields that kept an earlier rule from deciding because the event does not have them."""

    outcome: Outcome
    unknown: tuple[str, ...] = ()


class _Candidate(NamedTuple):
    version: StandingVersion
    outcome: Outcome
    node: Node | None  # what is left of its condition; None: nothing, it matches


class _Asked(NamedTuple):
    outcome: Outcome
    node: Node | None
    knows: Callable[[Any], bool | None] | None  # None: it matches


class Segment:
    """What is left of the rules for a kind of event within a stretch of time."""

    def __init__(
        self, starts: datetime, ends: datetime, zone: ZoneInfo, asked: list[_Asked], missing: Missing,
        around: Surroundings,
    ):  # fmt: skip
        self.starts, self.ends, self.zone, self.missing = starts, ends, zone, missing
        self.starts_text = self.ends_text = ""  # for whoever compares texts
        self._around = around
        #: A rule that matches whatever the event is ends the list; the last one always does.
        self._asked, self._last = asked[:-1], Decided(asked[-1].outcome)
        self.fields = frozenset[str]().union(*(fields_read(one.node) for one in self._asked if one.node is not None))
        self._remembered: dict[Any, Decided] = {}
        self.key_of = _key_reader(self.fields) if not self.fields & _NOT_REMEMBERED else None
        self._moving = [one.node for one in self._asked if one.node is not None and fields_read(one.node) & _MOVING]

    @property
    def has_moving(self) -> bool:
        """Whether a rule asks for what may turn over within the segment for some events: trips, numbers in lists."""
        return bool(self._moving)

    @property
    def only(self) -> Decided | None:
        """What is decided whatever the event is, where no rule that reads one is left."""
        return None if self._asked else self._last

    def recall(self, key: Any) -> Decided | None:
        """What was decided for an event of the same values, if it was lately."""
        return self._remembered.get(key)

    def decide(self, context: Context, key: Any = None) -> Decided:
        """The first rule that matches, else the default; remembered by `key` where one is given."""
        unknown: tuple[str, ...] = ()
        found = self._last
        for outcome, node, knows in self._asked:
            held = knows(context) if knows is not None else True
            if held:
                found = Decided(outcome)
                break
            if held is None and not unknown and node is not None:
                unknown = unknown_fields(node, self._around, context)
        if unknown:
            found = found._replace(unknown=unknown)
        if key is not None:
            if len(self._remembered) >= DECISIONS_KEPT:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def turns_of(self, context: Context, starts: datetime, ends: datetime, zone: ZoneInfo) -> list[datetime]:
        """Where trips of the person or lists with the other party turn over within the segment."""
        found: set[datetime] = set()
        for node in self._moving:
            found.update(changes_between(node, starts, ends, zone, self._around, event=context))
        return sorted(found)


class Rules:
    """The rules along one chain for one kind of event, in the order in which they are asked (`SteeringBook.along`)."""

    def __init__(
        self, candidates: list[_Candidate], defaults: list[StandingVersion], missings: list[StandingVersion],
        around: Surroundings,
    ):  # fmt: skip
        self._candidates, self._defaults, self._missings, self.around = candidates, defaults, missings, around
        civil = {test for one in candidates if one.node is not None for test in tests_of(one.node)}
        self._clocked = [test for test in civil if _is_civil(test)]
        self.asks_there = any(test.clock == THERE for test in self._clocked)
        versions = {id(v): v for v in (*defaults, *missings, *(one.version for one in candidates))}.values()
        self._edges = sorted({edge for version in versions for edge in (version.starts, version.ends)})
        self._segments: dict[tuple[str, str], list[Segment]] = defaultdict(list)
        self.last: Segment | None = None  # the one that was asked for last: records come nearly in order of time

    def segment(self, at: datetime, zone: ZoneInfo, there: ZoneInfo | None) -> Segment:
        """The segment that holds an instant, by the contract's clock and that of the place where the person is."""
        key = (zone.key, there.key if there is not None and self.asks_there else "")
        kept = self._segments[key]
        for segment in kept:
            if segment.starts <= at < segment.ends:
                return segment
        if len(kept) >= SEGMENTS_KEPT:
            kept.clear()
        made = self._make(at.astimezone(UTC), zone, there)
        kept.append(made)
        return made

    def _make(self, at: datetime, zone: ZoneInfo, there: ZoneInfo | None) -> Segment:
        first, last = starts, ends = at - AHEAD, at + AHEAD
        turns = [edge for edge in self._edges if first < edge < last]
        if self._clocked:
            turns += changes_between(AllOf(tuple(self._clocked)), first, last, zone, self.around, there)
        starts = max([starts, *(turn for turn in turns if turn <= at)])
        ends = min([ends, *(turn for turn in turns if turn > at)])
        asked: list[_Asked] = []
        for version, outcome, node in self._candidates:
            if not version.starts <= at < version.ends:
                continue
            left = True if node is None else settle_time(node, self.around, at, zone, there)
            if left is True:
                asked.append(_Asked(outcome, None, None))
                break
            if left is not False:
                asked.append(_Asked(outcome, left, compile_known(left, self.around)))
        else:
            default = next((v.default_outcome for v in self._defaults if v.starts <= at < v.ends), NOBODY_SAYS)
            asked.append(_Asked(default, None, None))
        missing = next((v.terms.missing for v in self._missings if v.starts <= at < v.ends), None)
        return Segment(starts, ends, zone, asked, missing or REFUSE, self.around)


class SteeringBook:
    """All versions of an enterprise that were ever published, or a draft in place of its account's."""

    def __init__(self, versions: Iterable[StandingVersion], around: Surroundings):
        self.versions, self.around = list(versions), around
        self._by_account: dict[int, list[StandingVersion]] = defaultdict(list)
        for version in self.versions:
            self._by_account[version.account_id].append(version)
        self._outcomes: dict[tuple[int, int], Outcome] = {}
        self._rules: dict[tuple, Rules | None] = {}

    @property
    def may_be_personal(self) -> bool:
        """Whether any rule or default leaves something to a person."""
        return any(
            part.payer == PERSONAL
            for version in self.versions
            for parts in (*(rule.pays for rule in version.terms.rules), version.terms.default or ())
            for part in parts
        )

    @property
    def fields(self) -> frozenset[str]:
        """All fields that any rule reads: what has to be loaded for it."""
        return frozenset[str]().union(*(fields_read(rule.when) for v in self.versions for rule in v.terms.rules))

    def along(self, account_ids: Sequence[int], tags: frozenset[str], service: int, zone_id: int) -> Rules | None:
        """The rules along a chain (the line's account first) for a kind of event; None where nobody says anything.

        First what is fixed, from the root down; then the others, from the line's account up; in each in their order.
        """
        own = tuple(account_id for account_id in account_ids if account_id in self._by_account)
        if not own:
            return None
        key = (own, tags, service, zone_id)
        try:
            return self._rules[key]
        except KeyError:
            if len(self._rules) >= KINDS_KEPT:
                self._rules.clear()
            found = self._rules[key] = self._find(own, Context(service, zone_id, 0, NEVER, tags=tags))
            return found

    def listed(self, account_ids: Sequence[int], at: datetime) -> list[tuple[StandingVersion, int, SteeringRule]]:
        """All rules along a chain that hold at an instant, in the order in which they are asked; for explanations."""
        own = [account_id for account_id in account_ids if account_id in self._by_account]
        return [
            (version, number, rule)
            for is_fixed, accounts in ((True, own[::-1]), (False, own))
            for account_id in accounts
            for version in self._by_account[account_id]
            if version.starts <= at < version.ends
            for number, rule in enumerate(version.terms.rules, start=1)
            if rule.is_fixed is is_fixed
        ]

    def outcome(self, version: StandingVersion, number: int, rule: SteeringRule) -> Outcome:
        """The outcome of a rule; one and the same for all kinds of events."""
        found = self._outcomes.get((version.id, number))
        if found is None:
            found = self._outcomes[version.id, number] = version.outcome_of(number, rule)
        return found

    def _find(self, own: tuple[int, ...], kind: Context) -> Rules:
        candidates: list[_Candidate] = []
        for is_fixed, accounts in ((True, tuple(reversed(own))), (False, own)):
            for account_id in accounts:
                for version in self._by_account[account_id]:
                    for number, rule in enumerate(version.terms.rules, start=1):
                        if rule.is_fixed is not is_fixed:
                            continue
                        left = settle(rule.when, self.around, kind)
                        if left is not False:
                            outcome = self.outcome(version, number, rule)
                            candidates.append(_Candidate(version, outcome, None if left is True else left))
        versions = [version for account_id in own for version in self._by_account[account_id]]
        return Rules(
            candidates,
            [version for version in versions if version.terms.default is not None],
            [version for version in versions if version.terms.missing is not None],
            self.around,
        )


def _is_civil(test: Test) -> bool:
    return test.field in ("time", "weekday", "date", "holiday")


# --- remembering ----------------------------------------------------------------------------------------------------

#: What changes from event to event, or with time within a segment: decisions that read it are not remembered.
_MOVING = frozenset({"on_trip", "list"})
_NOT_REMEMBERED = frozenset({"units", "used", "spent", *_MOVING})
_OF_USAGE = {
    "network": "visited_network", "country": "visited_network", "other_party": "other_party",
    "directory": "other_party", "device.imei": "imei", "device.ownership": "imei", "device.model": "imei",
}  # fmt: skip
#: Attributes of the network's message that a field reads.
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "apn": ("apn", "dnn"),
    "application": ("application", "app", "app_category"),
    "radio": RADIO_ATTRIBUTES,
    "rating_group": ("rating_group", "ratingGroup"),
}


def _key_reader(fields: frozenset[str]) -> Callable[[Any, int], Any] | None:
    """A function of a usage record and its line that gives all that these fields read, as one hashable value."""
    names = tuple(sorted({_OF_USAGE[field] for field in fields if field in _OF_USAGE}))
    keys: set[str] = set()
    asks_line = False
    for field in fields:
        if field in _ATTRIBUTES:
            keys.update(_ATTRIBUTES[field])
        elif field.startswith(PREFIX):
            keys.add(field.removeprefix(PREFIX))
        elif field == "line" or field.startswith("profile."):
            asks_line = True
        elif field not in _OF_USAGE and field not in ("time", "weekday", "date", "holiday"):
            return None  # static fields are settled; whatever else there may be is not known here
    if any(field in fields for field in ("time", "weekday", "date", "holiday")):
        names = tuple(sorted({*names, "visited_network"}))  # a clock that is not known: that of the country
    attributes = tuple(sorted(keys))

    def read(usage: Any, line_id: int) -> Any:
        found = [getattr(usage, name) for name in names]
        if attributes:
            said = usage.attributes
            if said:
                found += [value if isinstance(value := said.get(key), str) else (repr(value),) for key in attributes]
            else:
                found.append(None)
        if asks_line:
            found.append(line_id)
        return tuple(found)

    return read
