"""Conditions as text, for those who would rather type: `read_text(write_text(node)) == node`. Pure.

    service is data and zone in (eu, row) and weekday in (mon, tue) and not time within 08:00-18:00 at Europe/Berlin
    roaming is yes and (tag is sales or other_party starts (+49, +33)) and holiday is no at enterprise        always

`not` binds closest, then `and`, then `or`. What is not letters, digits and . : / + - _ stands in double quotes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from policies.conditions.catalogue import BUILT_IN, Catalogue
from policies.conditions.tree import (
    ALWAYS,
    DEPTH_MOST,
    TESTS_MOST,
    AllOf,
    AnyOf,
    ConditionFault,
    Node,
    Not,
    Test,
    joined,
    made_test,
)

TEXT_LENGTH = 20_000
_RESERVED = frozenset({"and", "or", "not", "always", "at"})
_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([A-Za-z0-9_.:/+\-]+)|([(),]))')
_BARE = re.compile(r"[A-Za-z0-9_.:/+\-]+")


class _Token(NamedTuple):
    text: str
    is_quoted: bool
    at: int


def write_text(node: Node) -> str:
    """The condition as text that reads back as the same."""
    if node == ALWAYS:
        return "always"
    return _written(node)


def _written(node: Node) -> str:
    if isinstance(node, AllOf):
        return " and ".join(_grouped(part, AllOf | AnyOf) for part in node.parts)
    if isinstance(node, AnyOf):
        return " or ".join(_grouped(part, AnyOf) for part in node.parts)
    if isinstance(node, Not):
        return f"not {_grouped(node.part, AllOf | AnyOf)}"
    values = [_value(value) for value in node.values]
    value = values[0] if len(values) == 1 and node.op != "in" else f"({', '.join(values)})"
    return f"{node.field} {node.op} {value}" + (f" at {node.clock}" if node.clock else "")


def _grouped(node: Node, kinds) -> str:
    return f"({_written(node)})" if isinstance(node, kinds) else _written(node)


def _value(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    if _BARE.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


def read_text(text: str, catalogue: Catalogue = BUILT_IN) -> Node:
    """The condition that a text says. Raises ConditionFault with line and column."""
    if len(text) > TEXT_LENGTH:
        raise ConditionFault(f"the text has {len(text)} characters; at most {TEXT_LENGTH} fit.")
    return _Parser(text, catalogue).whole()


class _Parser:
    def __init__(self, text: str, catalogue: Catalogue):
        self.source, self.catalogue, self.tests = text, catalogue, 0
        self.tokens: list[_Token] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if not found:
                at += len(text[at:]) - len(text[at:].lstrip())
                message = f"“{text[at]}” cannot be read: put values with such characters in double quotes."
                raise ConditionFault(message, self._place(at))
            quoted, bare, mark = found.groups()
            inner = re.sub(r"\\(.)", r"\1", quoted[1:-1]) if quoted else ""
            start = found.start(1 if quoted else 2 if bare else 3)
            self.tokens.append(_Token(inner if quoted else bare or mark, bool(quoted), start))
            at = found.end()
        self.next = 0

    def whole(self) -> Node:
        if not self.tokens:
            raise ConditionFault("nothing is written: write “always” for a rule that always holds.")
        if len(self.tokens) == 1 and self._peek("always"):
            return ALWAYS
        node = self._any(1)
        if self.next < len(self.tokens):
            raise self._fault(f"“{self.tokens[self.next].text}” is not expected: write and or or before it.")
        return node

    def _any(self, depth: int) -> Node:
        parts = [self._all(depth)]
        while self._take("or"):
            parts.append(self._all(depth))
        return joined(AnyOf, parts)

    def _all(self, depth: int) -> Node:
        parts = [self._one(depth)]
        while self._take("and"):
            parts.append(self._one(depth))
        return joined(AllOf, parts)

    def _one(self, depth: int) -> Node:
        if depth > DEPTH_MOST:
            raise self._fault(f"groups lie deeper than {DEPTH_MOST}: take inner ones out.")
        if self._take("not"):
            return Not(self._one(depth + 1))
        if self._take("("):
            node = self._any(depth + 1)
            if not self._take(")"):
                raise self._fault("a closing bracket is missing.")
            return node
        return self._test()

    def _test(self) -> Test:
        self.tests += 1
        if self.tests > TESTS_MOST:
            raise self._fault(f"more than {TESTS_MOST} comparisons: make two rules of it.")
        start = self.next
        field = self._word("a field is missing here.")
        op = self._word(f"after {field} a comparison is missing, such as is or in.")
        if self._take("("):
            values = [self._word("a value is missing.")]
            while self._take(","):
                values.append(self._word("a value is missing after the comma."))
            if not self._take(")"):
                raise self._fault("a closing bracket is missing after the values.")
        else:
            values = [self._word(f"after {op} a value is missing.")]
        known = self.catalogue.field_named(field)
        clock = ""
        if known and known.is_civil and self._take("at"):
            clock = self._word("after at a clock is missing, such as home, there or Europe/Berlin.")
        return made_test(field, op, values, clock, self._place(self.tokens[start].at), self.catalogue)

    def _peek(self, word: str) -> bool:
        if self.next >= len(self.tokens):
            return False
        token = self.tokens[self.next]
        return not token.is_quoted and token.text.lower() == word

    def _take(self, word: str) -> bool:
        if self._peek(word):
            self.next += 1
            return True
        return False

    def _word(self, message: str) -> str:
        if self.next >= len(self.tokens):
            raise self._fault(message)
        token = self.tokens[self.next]
        if not token.is_quoted and (token.text in "()," or token.text.lower() in _RESERVED):
            raise self._fault(message)
        self.next += 1
        return token.text

    def _fault(self, message: str) -> ConditionFault:
        at = self.tokens[self.next].at if self.next < len(self.tokens) else len(self.source.rstrip())
        return ConditionFault(message, self._place(at))

    def _place(self, at: int) -> str:
        line = self.source.count("\n", 0, at) + 1
        return f"line {line}, column {at - (self.source.rfind(chr(10), 0, at) + 1) + 1}"
