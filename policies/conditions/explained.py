"""Why a condition holds of an event, does not, or cannot be said: for reasons, and for the form that asks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
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
            words = describe(said, zone_names, catalogue)
            found.append(Traced(words, compile_known(said, around)(event)))
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
    if compile_known(node, around)(event) is not None:
        return ()
    if isinstance(node, Test):
        where_unknown = node.clock == THERE and zone_there(event, around) is None
        return ("country",) if where_unknown else (node.field,)
    if isinstance(node, Not):
        return unknown_fields(node.part, around, event)
    assert isinstance(node, AllOf | AnyOf)
    return tuple(dict.fromkeys(name for part in node.parts for name in unknown_fields(part, around, event)))
