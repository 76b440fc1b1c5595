"""Conditions as functions of an event: compiled once, called for every event. Pure; nothing is evaluated as code.

An event is anything with the attributes of `policies.decision.Context`. There are two such functions, which differ in
what an event does not have. To policies (`compile_condition`) a comparison with it is false, so `not` of it is true.
To the question of who pays (`compile_known`) it is unknown, also beneath `not`: "not in the app list" does not turn
an unknown application into one of the company's. Where known parts decide, unknown ones do not matter (Kleene's logic).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from policies.conditions.catalogue import ENTERPRISE, FIELDS, OF_THE_MESSAGE, PREFIX, THERE
from policies.conditions.fields import Knows, Matches, Surroundings, maker_of, reading_of
from policies.conditions.times import clock_of, holds_of, is_civil, maker_of_time, reading_of_time
from policies.conditions.tree import ALWAYS, AllOf, AnyOf, Node, Not, Test, tests_of


def ALWAYS_TRUE(event: Any) -> bool:  # noqa: N802  # a constant that is called
    """The function of a condition that always holds."""
    return True


def compile_condition(node: Node, around: Surroundings) -> Matches:
    """One function of an event; never raises, whatever the event's attributes hold. What is unknown does not match."""
    if node == ALWAYS:
        return ALWAYS_TRUE
    if isinstance(node, Test):
        return _matches(node, around)
    if isinstance(node, Not):
        inner = compile_condition(node.part, around)
        return lambda event: not inner(event)
    parts = tuple(compile_condition(part, around) for part in node.parts)
    if len(parts) == 2:
        first, second = parts
        if isinstance(node, AllOf):
            return lambda event: first(event) and second(event)
        return lambda event: first(event) or second(event)
    return partial(_all if isinstance(node, AllOf) else _any, parts)


def compile_known(node: Node, around: Surroundings) -> Knows:
    """One function of an event: True, False, or None where what the event does not have would decide. Never raises."""
    if all(always_known(test, around) for test in tests_of(node)):
        return compile_condition(node, around)
    if isinstance(node, Test):
        return _knows(node, around)
    if isinstance(node, Not):
        inner = compile_known(node.part, around)
        return lambda event: None if (held := inner(event)) is None else not held
    parts = tuple(compile_known(part, around) for part in node.parts)
    return partial(_known, parts, isinstance(node, AnyOf))


def settle(node: Node, around: Surroundings, event: Any) -> Node | bool:
    """What is left of a condition once the static facts of an event (service, zone, tags, role) are known: True or
    False where they decide it alone. Means the same to both functions, as those facts are never unknown."""

    def settled(test: Test) -> bool | None:
        known = FIELDS.get(test.field)
        return _matches(test, around)(event) if known and known.is_static else None

    return _left(node, settled)


def settle_time(
    node: Node, around: Surroundings, at: datetime, zone: ZoneInfo, there: ZoneInfo | None = None
) -> Node | bool:
    """What is left of a condition in a stretch of time in which no test of time turns over: those tests are replaced
    by their truth at the instant `at`. One whose clock or calendar is not known stays.

    `zone`: the contract's; `there`: that of the country where the person is. For `compile_known`, and for
    `compile_condition` alike.
    """

    def settled(test: Test) -> bool | None:
        if not is_civil(test):
            return None
        clock = clock_of(test, zone, around, there, at)
        return None if clock is None else holds_of(test, around)(at.astimezone(clock))

    return _left(node, settled)


def is_of_time(node: Node) -> bool:
    """Whether a condition asks for nothing but time, weekday and date of clocks that do not depend on the event."""
    return all(
        is_civil(test) and test.field != "holiday" and test.clock not in (ENTERPRISE, THERE) for test in tests_of(node)
    )


def fields_read(node: Node) -> frozenset[str]:
    """Names of all fields that a condition asks for: what has to be loaded for it."""
    return frozenset(test.field for test in tests_of(node))


def reads_message(node: Node) -> bool:
    """Whether a condition asks for attributes of the network's message."""
    return any(name in OF_THE_MESSAGE or name.startswith(PREFIX) for name in fields_read(node))


def _left(node: Node, settled: Callable[[Test], bool | None]) -> Node | bool:
    if isinstance(node, Test):
        found = settled(node)
        return node if found is None else found
    if isinstance(node, Not):
        inner = _left(node.part, settled)
        return (not inner) if isinstance(inner, bool) else Not(inner)
    decides = isinstance(node, AnyOf)
    left: list[Node] = []
    for part in node.parts:
        what = _left(part, settled)
        if isinstance(what, bool):
            if what is decides:
                return decides
        else:
            left.append(what)
    if not left:
        return not decides
    return left[0] if len(left) == 1 else type(node)(tuple(left))


def _all(parts: tuple[Matches, ...], event: Any) -> bool:
    for part in parts:  # noqa: SIM110  # a loop is faster than all() with a generator
        if not part(event):
            return False
    return True


def _any(parts: tuple[Matches, ...], event: Any) -> bool:
    for part in parts:  # noqa: SIM110
        if part(event):
            return True
    return False


def _known(parts: tuple[Knows, ...], decides: bool, event: Any) -> bool | None:
    """Any or all of the parts: the first that decides does; else unknown if any is."""
    found: bool | None = not decides
    for part in parts:
        held = part(event)
        if held is decides:
            return decides
        if held is None:
            found = None
    return found


def always_known(test: Test, around: Surroundings) -> bool:
    """Whether every event has what a comparison asks for."""
    return (maker_of_time(test, around) if is_civil(test) else maker_of(test, around)) is not None


def _matches(test: Test, around: Surroundings) -> Matches:
    made = maker_of_time(test, around) if is_civil(test) else maker_of(test, around)
    if made is not None:
        return made
    read, compare = reading_of_time(test, around) if is_civil(test) else reading_of(test, around)
    return lambda event: (value := read(event)) is not None and compare(value) is True


def _knows(test: Test, around: Surroundings) -> Knows:
    made = maker_of_time(test, around) if is_civil(test) else maker_of(test, around)
    if made is not None:
        return made
    read, compare = reading_of_time(test, around) if is_civil(test) else reading_of(test, around)
    return lambda event: None if (value := read(event)) is None else compare(value)
