"""Which of many rules an event may meet, by one look at each field that they read, instead of asking every rule.

A rule can match only if each part of its condition does. Of each rule one part that reads a single field is taken, and
rules are gathered by field in *sieves*, one set for all chains and times, so that it is soon warm. Which of them a
value lets through (whose part it does not make false; unknown is let through, for the reasons) is found out once and
kept, as a set of bits. So the cost of a decision grows with the number of fields that are read, not with the number
of rules: see `steering_decide` in docs/scaling.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from policies.conditions import AllOf, Node, NumberSet, Surroundings, Test, compile_known, fields_read, tests_of
from policies.conditions.catalogue import PREFIX
from policies.conditions.fields import Numbers
from policies.conditions.radio import ATTRIBUTES as RADIO_ATTRIBUTES
from policies.conditions.times import edges_of
from policies.decision import Context

#: Values of which a sieve knows what they let through, at most.
VALUES_KEPT = 20_000
#: Times between which a value may be let through or not, at most; one with more of them is always let through.
EDGES_MOST = 20
_BEFORE = datetime.min.replace(tzinfo=UTC)

Knows = Callable[[Any], bool | None]
#: Gives all that a field reads of a usage record and its line, as one hashable value.
KeyReader = Callable[[Any, int], Any]

_OF_USAGE: dict[str, str] = {
    "network": "visited_network", "country": "visited_network", "other_party": "other_party", "list": "other_party",
    "directory": "other_party", "device.imei": "imei", "device.ownership": "imei", "device.model": "imei",
    "device.type": "imei",
}  # fmt: skip
#: Attributes of the network's message that a field reads.
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "apn": ("apn", "dnn"),
    "application": ("application", "app", "app_category"),
    "radio": RADIO_ATTRIBUTES,
    "rating_group": ("rating_group", "ratingGroup"),
}


class Sieve:
    """The rules of which a part reads one field; see the module's paragraph. A set of rules is the bits of a number."""

    __slots__ = ("_compiled", "_parts", "all", "key_of", "passing", "unknown")

    def __init__(self, key_of: KeyReader):
        self.key_of = key_of
        self.all = 0
        #: By value: the rules that it lets through, and those of them that it leaves unknown, which cannot match.
        self.passing: dict[Any, int] = {}
        self.unknown: dict[Any, int] = {}
        #: By part the rules that have it: most rules of a version stood in the one before, and in those before that.
        self._parts: dict[Node, tuple[int, Surroundings]] = {}
        self._compiled: list[tuple[int, Knows]] = []

    def add(self, bit: int, part: Node, around: Surroundings) -> None:
        """Take in a rule."""
        self.all |= bit
        self._parts[part] = (self._parts.get(part, (0, around))[0] | bit, around)

    def look(self, usage: Any, line_id: int, context: Context) -> tuple[int, int]:
        """Which rules an event's value lets through, and which of them it leaves unknown; kept once found out."""
        key = self.key_of(usage, line_id)
        passing = self.passing.get(key)
        if passing is not None:
            return passing, self.unknown[key]
        if len(self.passing) >= VALUES_KEPT:
            self.passing.clear()
            self.unknown.clear()
        self.passing[key], self.unknown[key] = found = self._find(usage, line_id, context)
        return found

    def _find(self, usage: Any, line_id: int, context: Context) -> tuple[int, int]:
        if not self._compiled:
            self._compiled = [(bits, compile_known(part, around)) for part, (bits, around) in self._parts.items()]
        passing = unknown = 0
        for bits, knows in self._compiled:
            held = knows(context)
            if held is not False:
                passing |= bits
            if held is None:
                unknown |= bits
        return passing, unknown


class _TimedSieve(Sieve):
    """One of a field that asks what holds for a time: a value lets through what it lets through at any time."""

    __slots__ = ("_tests",)

    def __init__(self, key_of: KeyReader):
        super().__init__(key_of)
        self._tests: dict[Test, Surroundings] = {}

    def add(self, bit: int, part: Node, around: Surroundings) -> None:
        """Take in a rule."""
        super().add(bit, part, around)
        self._tests |= dict.fromkeys(tests_of(part), around)

    def _find(self, usage: Any, line_id: int, context: Context) -> tuple[int, int]:
        edges = set[datetime]().union(*(edges_of(test, around, context) for test, around in self._tests.items()))
        if len(edges) > EDGES_MOST:
            return self.all, 0
        passing, unknown = 0, self.all
        for at in (_BEFORE, *edges):
            found = super()._find(usage, line_id, replace(context, at=at))
            passing |= found[0]
            unknown &= found[1]
        return passing, unknown


class _MessageSieve(Sieve):
    """Several fields of the network's message at once: messages that say the same take one look for all of them."""

    __slots__ = ("_sieves",)

    def __init__(self, sieves: list[Sieve], keys: tuple[str, ...]):
        super().__init__(_attributes(keys))
        self._sieves = sieves
        for sieve in sieves:
            self.all |= sieve.all

    def _find(self, usage: Any, line_id: int, context: Context) -> tuple[int, int]:
        passing = unknown = 0
        for sieve in self._sieves:
            found = sieve.look(usage, line_id, context)
            passing |= found[0]
            unknown |= found[1]
        return passing, unknown


class Sieves:
    """Those of all rules of a book, each with its bit; `free`: the rules that have no part for one.

    `parts`: by rule the part of its condition that its sieve looks at, where that tells for all times whether it holds.
    `moving`: fields that ask for numbers which come into lists or the directory, or to a line, at some time, or leave.
    """

    def __init__(self, rules: Iterable[tuple[int, Node]], around: Surroundings):
        self.free = 0
        self.parts: dict[int, Node] = {}
        self.moving = _moving(around)
        self._by_field: dict[str, Sieve] = {}
        for bit, node in rules:
            self._add(bit, node, around)
        of_message = {name: keys for name in self._by_field if (keys := _keys_of(name))}
        self._all = [sieve for name, sieve in self._by_field.items() if name not in of_message]
        if len(of_message) > 1:
            keys = tuple(sorted({key for keys in of_message.values() for key in keys}))
            self._all.append(_MessageSieve([self._by_field[name] for name in of_message], keys))
        else:
            self._all += [self._by_field[name] for name in of_message]

    def _add(self, bit: int, node: Node, around: Surroundings) -> None:
        for part in node.parts if isinstance(node, AllOf) else (node,):
            fields = fields_read(part)
            if len(fields) != 1:
                continue
            (name,) = fields
            sieve = self._by_field.get(name)
            if sieve is None and (key_of := _key_reader(name)) is not None:
                sieve = self._by_field[name] = (_TimedSieve if name in self.moving else Sieve)(key_of)
            if sieve is not None:
                sieve.add(bit, part, around)
                if name not in self.moving:
                    self.parts[bit] = part
                return
        self.free |= bit

    def among(self, rules: int) -> list[Sieve]:
        """The sieves that tell some of these rules apart."""
        return [sieve for sieve in self._all if sieve.all & rules]


def _moving(around: Surroundings) -> frozenset[str]:
    found = {
        "list": any(not _is_timeless(one) for one in around.number_lists.values()),
        "directory": around.directory is not None and not _is_timeless(around.directory),
        "line": any(one.starts or one.ends for held in around.line_numbers.values() for one in held),
    }
    return frozenset(name for name, moves in found.items() if moves)


def _is_timeless(numbers: Numbers) -> bool:
    return isinstance(numbers, NumberSet) and numbers.is_timeless


def _key_reader(name: str) -> KeyReader | None:
    """The reader of a field; None of those that depend on more than the record and its line."""
    if name in _OF_USAGE:
        of_usage = attrgetter(_OF_USAGE[name])
        return lambda usage, _: of_usage(usage)
    if name == "line" or name.startswith("profile."):
        return lambda _, line_id: line_id
    keys = _keys_of(name)
    if not keys:
        return None
    return _attribute(keys[0]) if len(keys) == 1 else _attributes(keys)


def _keys_of(name: str) -> tuple[str, ...]:
    """The attributes of the network's message that a field reads."""
    return (name.removeprefix(PREFIX),) if name.startswith(PREFIX) else _ATTRIBUTES.get(name, ())


def _attribute(key: str) -> KeyReader:
    def read(usage: Any, _: int) -> Any:
        if not (said := usage.attributes):
            return None
        value = said.get(key)
        return value if type(value) in _PLAIN else (repr(value),)

    return read


def _attributes(keys: tuple[str, ...]) -> KeyReader:
    def read(usage: Any, _: int) -> Any:
        if not (said := usage.attributes):
            return None
        values = tuple(map(said.get, keys))
        return values if _PLAIN.issuperset(map(type, values)) else repr(values)

    return read


#: What is its own key. Others go by how they are written: 1.0 and True are equal to 1, and lists have no hash.
_PLAIN = frozenset({str, int, type(None)})
