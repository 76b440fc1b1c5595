"""Which rules can meet on one event with different actions, which of them wins, and why. Pure.

Two conditions can meet unless it is shown that they cannot: both are written as alternatives of plain comparisons, and
an alternative is impossible where two comparisons of one field exclude each other. So no conflict is missed; one that
only a rare attribute could bring about may be named all the same. Several windows of time are compared to the minute
where they follow the same clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any

from policies.conditions import FIELDS, AllOf, AnyOf, Kind, Node, Not, Test
from policies.conditions.tree import days_of, ends_of, minutes_of
from policies.decision import Action
from policies.rules import ACTION_WORDS, Rule

#: Alternatives looked at; a condition with more counts as one that can meet everything.
ALTERNATIVES_MOST = 256
#: What a comparison costs to look at, besides its values.
_COMPARISON = 10
_DAY = (1 << 1440) - 1
_Literal = tuple[Test, bool]


class TooMuch(Exception):
    """An effort is used up."""


class Effort:
    """How much may be looked at before an answer is given up: comparisons and their values, each time they are."""

    def __init__(self, most: int):
        self.left = most

    def spend(self, amount: int) -> None:
        """Take note of work to be done. Raises TooMuch."""
        self.left -= amount
        if self.left < 0:
            raise TooMuch


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule where it stands. `depth`: of the policy's account, 0 for the root."""

    policy_id: int
    policy: str
    account_id: int
    account: str
    depth: int
    version: int
    number: int
    rule: Rule

    @property
    def label(self) -> str:
        return f"“{self.rule.name}” of “{self.policy}”"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two rules that can match one event, the one that wins, and why."""

    winner: Placed
    loser: Placed
    why: str

    @property
    def words(self) -> str:
        """The conflict as a sentence."""
        return (
            f"{self.winner.label} ({ACTION_WORDS[self.winner.rule.action]}) wins over {self.loser.label} "
            f"({ACTION_WORDS[self.loser.rule.action]}): {self.why}."
        )

    def as_data(self) -> dict[str, Any]:
        """For storage and REST."""
        return {
            side: {
                "policy": placed.policy_id,
                "policy_name": placed.policy,
                "account": placed.account_id,
                "rule": placed.number,
                "rule_name": placed.rule.name,
                "action": placed.rule.action.value,
            }
            for side, placed in (("winner", self.winner), ("loser", self.loser))
        } | {"why": self.why, "words": self.words}


def conflicts_of(mine: Sequence[Placed], others: Sequence[Placed]) -> list[Conflict]:
    """Conflicts among `mine`, and of `mine` with `others`, whose accounts all lie on one path or below with mine."""
    return [
        _settled(one, other)
        for place, one in enumerate(mine)
        for other in (*mine[place + 1 :], *others)
        if one.rule.action != other.rule.action and can_meet(one.rule, other.rule)
    ]


def excepts(one: Placed, other: Placed) -> bool:
    """Whether `one` is an exception that takes `other` out: its account is the other's, or lies above it.

    Who runs a part of the tree can so make exceptions to what holds there, never to what holds from above.
    """
    reaches = one.rule.beyond is None or other.rule.beyond is not None
    return one.rule.is_exception and not other.rule.is_exception and one.depth <= other.depth and reaches


def _settled(one: Placed, other: Placed) -> Conflict:
    for first, second in ((one, other), (other, one)):
        if excepts(first, second):
            return Conflict(first, second, "it is an explicit exception, made at or above the other's account")
    if one.rule.is_exception != other.rule.is_exception:
        exception, rule = (one, other) if one.rule.is_exception else (other, one)
        if exception.depth > rule.depth:
            return Conflict(rule, exception, "an exception made further down does not reach what holds from above")
    winner, loser = (one, other) if one.rule.strictness > other.rule.strictness else (other, one)
    why = "the stricter action wins on the path"
    actions = {winner.rule.action, loser.rule.action}
    if Action.BLOCK_NEW in actions and actions & {Action.STEER_PERSONAL, Action.CONSENT, Action.STOP_NOW}:
        why += "; while a limit still has room, whichever grants less"
    return Conflict(winner, loser, why)


def can_meet(one: Rule, other: Rule) -> bool:
    """Whether one event can be judged by both."""
    if one.beyond is not None and other.beyond is not None and not one.beyond.overlaps(other.beyond):
        # Different limits may be exceeded by one event; the stricter of them wins then, which is how limits work.
        return False
    return satisfiable(AllOf((one.when, other.when)))


def satisfiable(node: Node, effort: Effort | None = None) -> bool:
    """Whether some event matches; True where it is not shown that none does. Raises TooMuch, of an effort."""
    found = alternatives(node, holds=True, effort=effort)
    return found is None or any(_possible(literals, effort) for literals in found)


def alternatives(node: Node, *, holds: bool, effort: Effort | None = None) -> list[tuple[_Literal, ...]] | None:
    """The condition as alternatives of comparisons that hold or do not; None where there are too many.

    Raises TooMuch, of an effort.
    """
    if isinstance(node, Test):
        return [((node, holds),)]
    if isinstance(node, Not):
        return alternatives(node.part, holds=not holds, effort=effort)
    parts = [alternatives(part, holds=holds, effort=effort) for part in node.parts]
    if isinstance(node, AnyOf) == holds:  # alternatives
        found: list[tuple[_Literal, ...]] = []
        for part in parts:
            if part is None:
                return None
            found += part
        return found if len(found) <= ALTERNATIVES_MOST else None
    size = 1
    for part in parts:
        size *= len(part) if part is not None else 1
        if size > ALTERNATIVES_MOST:
            return None
    if effort is not None:
        effort.spend(size * len(parts))
    return [sum(choice, ()) for choice in product(*[part if part is not None else [()] for part in parts])]


def _possible(literals: Sequence[_Literal], effort: Effort | None) -> bool:
    if effort is not None:
        effort.spend(sum(_COMPARISON + len(test.values) for test, _ in literals))
    by_field: dict[tuple[str, str], list[_Literal]] = {}
    for literal in literals:
        by_field.setdefault((literal[0].field, literal[0].clock), []).append(literal)
    return all(_possible_field(field, found) for (field, _), found in by_field.items())


def _possible_field(field: str, literals: list[_Literal]) -> bool:
    known = FIELDS.get(field)
    kind = known.kind if known else Kind.ATTRIBUTE
    if known and known.has_several:  # of a line or an event: only the same one with and without excludes itself
        if kind is Kind.TEXT:
            return True
        without = {value for test, holds in literals if not holds for value in test.values}
        return all(set(test.values) - without for test, holds in literals if holds)
    if kind is Kind.TIME:
        return _possible_minutes(literals)
    if kind is Kind.WEEKDAY:
        return _free(literals, known.choices if known else (), lambda test: set(test.values))
    if kind is Kind.DATE:
        return _possible_dates(literals)
    if kind is Kind.FLAG:
        return len({test.values[0] is holds for test, holds in literals}) == 1
    if kind is Kind.CHOICE and known and field == "service":
        return _free(literals, known.choices, lambda test: set(test.values))
    if kind is Kind.NUMBER:
        return _possible_numbers(literals)
    return _possible_texts(literals)


def _free(literals: list[_Literal], everything: Iterable, values: Any) -> bool:
    left = set(everything)
    for test, holds in literals:
        left = left & values(test) if holds else left - values(test)
    return bool(left)


def _possible_minutes(literals: list[_Literal]) -> bool:
    """Minutes of the day are bits of one number: a rule may have many windows."""
    left = _DAY
    for test, holds in literals:
        found = 0
        for value in test.values:
            starts, ends = minutes_of(str(value))
            window = (1 << max(starts, ends)) - (1 << min(starts, ends))
            found |= window if starts < ends else _DAY ^ window
        left &= found if holds else ~found
    return left != 0


def _possible_dates(literals: list[_Literal]) -> bool:
    spans = [sorted(days_of(str(value)) for value in test.values) for test, holds in literals if holds]
    return all(_overlap(one, other) for place, one in enumerate(spans) for other in spans[place + 1 :])


def _overlap(one: list[tuple[date, date]], other: list[tuple[date, date]]) -> bool:
    """Whether some day is in both of two lists of spans, each in order of their first days."""
    here = there = 0
    while here < len(one) and there < len(other):
        if max(one[here][0], other[there][0]) <= min(one[here][1], other[there][1]):
            return True
        if one[here][1] < other[there][1]:
            here += 1
        else:
            there += 1
    return False


def _possible_numbers(literals: list[_Literal]) -> bool:
    least, most = 0, 2**63
    for test, holds in literals:
        value = int(test.values[0])
        if test.op in ("is", "in"):
            if holds:
                values = [int(one) for one in test.values]
                least, most = max(least, min(values)), min(most, max(values))
        elif (test.op == "at_least") is holds:
            least = max(least, value)
        else:
            most = min(most, value - 1)
    return least <= most


def _possible_texts(literals: list[_Literal]) -> bool:
    """Comparisons of one text: an exact value must pass all the others; beginnings must fit one another."""
    exact = [{str(value).casefold() for value in t.values} for t, holds in literals if holds and t.op in ("is", "in")]
    if exact:
        left = set.intersection(*exact)
        for literal in literals:
            left = _passing(left, literal)
        return bool(left)
    starts = [tuple(str(value).casefold() for value in t.values) for t, holds in literals if holds and t.op == "starts"]
    return all(
        any(a.startswith(other) for a in one) or any(b.startswith(one) for b in other)
        for place, one in enumerate(starts)
        for other in starts[place + 1 :]
    )


def _passing(texts: set[str], literal: _Literal) -> set[str]:
    """Those of some texts of which a comparison holds, or does not."""
    test, holds = literal
    values = tuple(str(one).casefold() for one in test.values)
    if test.op in ("is", "in"):
        return texts & set(values) if holds else texts - set(values)
    if test.op == "starts":
        return {text for text in texts if text.startswith(values) is holds}
    if test.op == "contains":
        return {text for text in texts if (values[0] in text) is holds}
    if test.op == "within":
        return {
            text
            for text in texts
            if any(one <= text[: len(one)] <= other for one, other in map(ends_of, values)) is holds
        }
    return texts
