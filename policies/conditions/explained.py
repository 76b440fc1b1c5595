"""Why a condition holds of an event, does not, or cannot be said: for reasons, and for the form that asks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from policies.conditions.catalogue import BUILT_IN, THERE, Catalogue
from policies.conditions.compiled import compile_known
from policies.conditions.fields import Surroundings
from policies.conditions.times import zone_there
from policies.conditions.tree import AllOf, AnyOf, Node, Not, Test
from policies.conditions.words import describe


class Traced(NamedTuple):
    """A comparison as it stands in its condition, in words ("outside 08:00-18:00" beneath a not), and its truth."""

    words: str
    holds: bool | None


def trace(
    node: Node, around: Surroundings, event: Any, zone_names: Mapping[str, str] | None = None,
    catalogue: Catalogue = BUILT_IN,
) -> list[Traced]:  # fmt: skip
    """Every comparison of a condition with its truth, in their order; None: the event does not have it."""
    found: list[Traced] = []

    def walk(part: Node, *, holds: bool) -> None:
        if isinstance(part, Test):
            said = part if holds else Not(part)
            found.append(Traced(describe(said, zone_names, catalogue), compile_known(said, around)(event)))
        elif isinstance(part, Not):
            walk(part.part, holds=not holds)
        else:
            for one in part.parts:
                walk(one, holds=holds)

    walk(node, holds=True)
    return found


def unknown_fields(node: Node, around: Surroundings, event: Any) -> tuple[str, ...]:
    """The fields that the event does not have and that leave the condition unknown, in order; none if it is known.

    Where a clock is unknown because the person's country is, that is the country.
    """
    return compile_unknown(node, around)(event)


def compile_unknown(node: Node, around: Surroundings) -> Callable[[Any], tuple[str, ...]]:
    """`unknown_fields` as one function of an event, where many are asked."""
    knows = compile_known(node, around)
    if isinstance(node, Test):
        field = node.field

        def of_test(event: Any) -> tuple[str, ...]:
            if knows(event) is not None:
                return ()
            return ("country",) if node.clock == THERE and zone_there(event, around) is None else (field,)

        return of_test
    if isinstance(node, Not):
        return compile_unknown(node.part, around)
    assert isinstance(node, AllOf | AnyOf)
    parts = tuple(compile_unknown(part, around) for part in node.parts)

    def of_parts(event: Any) -> tuple[str, ...]:
        if knows(event) is not None:
            return ()
        return tuple(dict.fromkeys(name for part in parts for name in part(event)))

    return of_parts
