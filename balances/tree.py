"""The shape of an account tree as plain values: numbering, depth, and what is wrong with it.

Owns: one pass from parent pointers to the numbers that django-mptt reads (lft, rght, level). Pure: no Django,
no queries. Parent pointers are the truth; the numbers are an index over them, always derived, never repaired
in place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

#: Levels below the root account (DESIGN section 8).
LEVELS_MOST = 12


@dataclass(frozen=True, slots=True)
class Node:
    """An account's place: its parent, and the name by which siblings are ordered."""

    id: int
    parent_id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """django-mptt's numbers of a node: every descendant's lft lies between lft and rght."""

    lft: int
    rght: int
    level: int


def number(nodes: Iterable[Node]) -> dict[int, Numbers]:
    """Numbers of all nodes that a root reaches, siblings in order of (name, id); nodes on a cycle get none.

    The walk keeps its own stack: a damaged tree may be deeper than Python's.
    """
    children = _children(nodes)
    numbers: dict[int, Numbers] = {}
    for root in children[None]:
        counter = 1
        opened: list[tuple[int, int, Iterator[Node]]] = [(root.id, counter, iter(children[root.id]))]
        while opened:
            node_id, lft, rest = opened[-1]
            counter += 1
            if (child := next(rest, None)) is not None:
                opened.append((child.id, counter, iter(children[child.id])))
            else:
                opened.pop()
                numbers[node_id] = Numbers(lft, counter, len(opened))
    return numbers


def ancestors(parents: Mapping[Key, Key | None], node: Key) -> list[Key]:
    """The nodes above one, nearest first. Ends also where parent pointers run in a circle."""
    above: list[Key] = []
    seen = {node}
    current = parents.get(node)
    while current is not None and current not in seen:
        above.append(current)
        seen.add(current)
        current = parents.get(current)
    return above


def circles(parents: Mapping[Key, Key | None]) -> set[Key]:
    """The nodes that hang below themselves."""
    first_seen_from: dict[Key, Key] = {}
    found: set[Key] = set()
    for start in parents:
        trail: list[Key] = []
        current: Key | None = start
        while current is not None and current not in first_seen_from:
            first_seen_from[current] = start
            trail.append(current)
            current = parents.get(current)
        if current is not None and first_seen_from[current] == start:
            found.update(trail[trail.index(current) :])
    return found


def levels(parents: Mapping[Key, Key | None]) -> dict[Key, int | None]:
    """How far below its root each node hangs;

    None where no root is reached: on or below a circle or a gap.
    """
    known: dict[Key, int | None] = {}
    for start in parents:
        trail: list[Key] = []
        current: Key | None = start
        while current is not None and current in parents and current not in known:
            known[current] = None
            trail.append(current)
            current = parents[current]
        level = -1 if current is None else known.get(current)
        for node in reversed(trail):
            level = None if level is None else level + 1
            known[node] = level
    return known


def height(parents: Mapping[Key, Key | None], node: Key) -> int:
    """Levels below a node: 0 for a leaf."""
    chains = (ancestors(parents, child) for child in parents)
    return max((above.index(node) + 1 for above in chains if node in above), default=0)


def _children(nodes: Iterable[Node]) -> dict[int | None, list[Node]]:
    children: dict[int | None, list[Node]] = defaultdict(list)
    for node in nodes:
        children[node.parent_id].append(node)
    for siblings in children.values():
        siblings.sort(key=lambda node: (node.name, node.id))
    return children
