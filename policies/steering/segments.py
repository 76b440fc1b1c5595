"""What is left of the rules for a kind of event at a time, and the decision on an event.

Owns *segments*: stretches of time in which no test of time turns over and no version begins or ends. Within a segment a
rule's tests of time are settled, and rules that can no longer decide are gone. Of those that are left an event is asked
only for those that its values let through (`policies.steering.sieves`), in order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
    compile_unknown,
    fields_read,
    settle_time,
    tests_of,
)
from policies.conditions.catalogue import THERE
from policies.conditions.times import is_civil
from policies.decision import Context
from policies.steering.outcomes import NOBODY_SAYS, Outcome, StandingVersion
from policies.steering.rules import REFUSE, Missing
from policies.steering.sieves import Sieves

#: How far a segment is looked for to each side of an instant.
AHEAD = timedelta(hours=36)
#: Segments of a kind of event that are kept at hand at most, and answers of a segment.
SEGMENTS_KEPT, ANSWERS_KEPT = 256, 512


@dataclass(slots=True, eq=False)
class Decided:
    """An outcome, and the fields that kept an earlier rule from deciding because the event does not have them.

    `reasons`: codes of the charge lines, each after a space.
    """

    outcome: Outcome
    unknown: tuple[str, ...] = ()
    reasons: str = field(init=False)

    def __post_init__(self) -> None:
        said = f" {self.outcome.code}" if self.outcome.id else ""
        self.reasons = said + "".join([f" unknown:{name}" for name in self.unknown[:1]])


class Candidate(NamedTuple):
    """A rule that may decide; what is left of its condition for a kind of event, None where it matches any.

    `bit`: the rule's own in sets of rules of the book, which are the bits of a number.
    """

    bit: int
    version: StandingVersion
    outcome: Outcome
    node: Node | None


class _Asked:
    """A rule to be asked, compiled when it first is."""

    __slots__ = ("_around", "_knows", "_unknown", "decided", "node")

    def __init__(self, node: Node, decided: Decided, around: Surroundings):
        self.node, self.decided, self._around = node, decided, around
        self._knows: Callable[[Any], bool | None] | None = None
        self._unknown: Callable[[Any], tuple[str, ...]] | None = None

    def knows(self, context: Context) -> bool | None:
        """Whether its condition holds; None: the event does not have what it would take to tell."""
        if self._knows is None:
            self._knows = compile_known(self.node, self._around)
        return self._knows(context)

    def unknown(self, context: Context) -> tuple[str, ...]:
        """What the event would have to have."""
        if self._unknown is None:
            self._unknown = compile_unknown(self.node, self._around)
        return self._unknown(context)


class Segment:
    """What is left of the rules for a kind of event within a stretch of time.

    `sure`: those of which no more is left than what their sieve looks at, so that it tells whether they match.
    """

    def __init__(
        self, rules: Rules, starts: datetime, ends: datetime, zone: ZoneInfo, left: int, sure: int,
        settled: dict[int, _Asked], last: Decided, missing: Missing,
    ):  # fmt: skip
        self.starts, self.ends, self.zone, self.missing = starts, ends, zone, missing
        self.starts_text = self.ends_text = ""  # for whoever compares texts
        self._rules, self._left, self._settled, self._last = rules, left, settled, last
        self._free = left & rules.sieves.free
        self._sieves = rules.sieves.among(left)
        self._looks = [(sieve.key_of, sieve.passing) for sieve in self._sieves]
        self._sure = sure
        #: What is decided by sieves alone: by the rules that are let through, and those of them that are unknown.
        self._answers: dict[tuple[int, int], Decided] = {}
        #: Whether a rule asks for what may turn over within the segment for some events: numbers, trips.
        self.asks_lists, self.asks_trips = bool(left & rules.ask_lists), bool(left & rules.ask_trips)
        self.has_moving = self.asks_lists or self.asks_trips

    def settled(self, usage: Any, line_id: int) -> Decided | None:
        """What is decided of a usage record of a line where its sieves alone tell, as they do of most; None where a
        rule is to be asked, or a value has not been met before: `decide`. The hot loop of deciding."""
        if self._free:
            return None
        left = 0
        for key_of, passing in self._looks:
            found = passing.get(key_of(usage, line_id))
            if found is None:
                return None
            left |= found
        left &= self._left
        if not left:
            return self._last
        unknown = 0
        for sieve in self._sieves:
            unknown |= sieve.unknown[sieve.key_of(usage, line_id)]
        return self._answers.get((left, unknown & left))

    def decide(self, usage: Any, line_id: int, context: Context) -> Decided:
        """The first rule that matches an event, else the default. `context`: the same event, as conditions read it."""
        left, unknown = self._free, 0
        for sieve in self._sieves:
            found = sieve.look(usage, line_id, context)
            left |= found[0]
            unknown |= found[1]
        left &= self._left
        return self._ask(left, unknown & left, context) if left else self._last

    def _ask(self, left: int, unknown: int, context: Context) -> Decided:
        """Ask rules in order. Of those that the event leaves `unknown` only the first that another part does not make
        false is of interest: for the reasons. Where sieves alone told, the answer is kept."""
        without: tuple[str, ...] = ()
        found, is_sure = self._last, True
        for bit in self._in_order(left):
            if without and bit & unknown:
                continue
            asked = self._settled.get(bit) or self._rules.asked[bit]
            is_sure = is_sure and bool(bit & self._sure)
            held = asked.knows(context)
            if held:
                found = asked.decided
                break
            if held is None and not without:
                without = asked.unknown(context)
        if without:
            found = self._rules.but_for(found, without)
        if is_sure and len(self._answers) < ANSWERS_KEPT:
            self._answers[left, unknown] = found
        return found

    def _in_order(self, rules: int) -> list[int]:
        """Each rule of a set by its bit, in the order in which they are asked."""
        bits = []
        while rules:
            bits.append(rules & -rules)
            rules &= rules - 1
        if len(bits) > 1:
            bits.sort(key=self._rules.places.__getitem__)
        return bits

    def turns_of(self, context: Context, starts: datetime, ends: datetime, zone: ZoneInfo) -> list[datetime]:
        """Where trips of the person, or what numbers belong to, turn over within the segment."""
        rules = self._rules
        found: set[datetime] = set()
        for bit, asked in rules.asked.items():
            if bit & self._left & (rules.ask_lists | rules.ask_trips):
                node = self._settled.get(bit, asked).node
                found.update(changes_between(node, starts, ends, zone, rules.around, event=context))
        return sorted(found)


class Rules:
    """The rules along one chain for one kind of event, in the order in which they are asked (`SteeringBook.along`)."""

    def __init__(
        self, candidates: Sequence[Candidate], defaults: Sequence[StandingVersion],
        missings: Sequence[StandingVersion], sieves: Sieves, around: Surroundings,
    ):  # fmt: skip
        self.sieves, self.around = sieves, around
        self._defaults, self._missings = [(v, Decided(v.default_outcome)) for v in defaults], missings
        self._nobody = Decided(NOBODY_SAYS)
        self._but_for: dict[tuple[int, tuple[str, ...]], Decided] = {}
        self._candidates = [(one.bit, one, Decided(one.outcome)) for one in candidates]
        self.places = {one.bit: place for place, one in enumerate(candidates)}
        self.asked = dict[int, _Asked]()
        #: Sets of the rules that read numbers that come and go (in lists, in the directory, of lines), trips, and time.
        self.ask_lists = self.ask_trips = self._ask_time = 0
        clocked: set[Test] = set()
        for bit, one, decided in self._candidates:
            if one.node is None:
                continue
            self.asked[bit] = _Asked(one.node, decided, around)
            fields = fields_read(one.node)
            self.ask_lists |= bit if fields & sieves.moving else 0
            self.ask_trips |= bit if "on_trip" in fields else 0
            if tests := [test for test in tests_of(one.node) if is_civil(test)]:
                self._ask_time |= bit
                clocked.update(tests)
        self._clocked = tuple(clocked)
        self.asks_there = any(test.clock == THERE for test in clocked)
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

    def but_for(self, decided: Decided, without: tuple[str, ...]) -> Decided:
        """What was decided for an event that does not have what an earlier rule reads."""
        key = (id(decided), without)
        return self._but_for.get(key) or self._but_for.setdefault(key, Decided(decided.outcome, without))

    def _make(self, at: datetime, zone: ZoneInfo, there: ZoneInfo | None) -> Segment:
        first, last = starts, ends = at - AHEAD, at + AHEAD
        turns = [edge for edge in self._edges if first < edge < last]
        if self._clocked:
            turns += changes_between(AllOf(self._clocked), first, last, zone, self.around, there)
        starts = max([starts, *(turn for turn in turns if turn <= at)])
        ends = min([ends, *(turn for turn in turns if turn > at)])
        rules, sure, settled = 0, 0, dict[int, _Asked]()
        for bit, one, decided in self._candidates:
            if not one.version.starts <= at < one.version.ends:
                continue
            left: Node | bool = one.node if one.node is not None else True
            if bit & self._ask_time and one.node is not None:
                left = settle_time(one.node, self.around, at, zone, there)
            if left is True:  # it matches whatever the event is, so nothing after it is asked
                otherwise = decided
                break
            if not isinstance(left, bool):
                rules |= bit
                if left == self.sieves.parts.get(bit):
                    sure |= bit
                if left is not one.node:
                    settled[bit] = _Asked(left, decided, self.around)
        else:
            otherwise = next((of for v, of in self._defaults if v.starts <= at < v.ends), self._nobody)
        missing = next((v.terms.missing for v in self._missings if v.starts <= at < v.ends), None)
        return Segment(self, starts, ends, zone, rules, sure, settled, otherwise, missing or REFUSE)
