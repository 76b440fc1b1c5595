"""The base of every refusal that a person is told: what, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class Refused(Exception):
    """A write that was asked for and not done; nothing has changed. `field` names the input it is about, if one."""

    def __init__(self, message: str, *, field: str | None = None):
        super().__init__(message)
        self.message = message
        self.field = field


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with one row of many; `row` is the sender's own number, counted from 1.

    `asked_units` and `possible_units` are set where it is a matter of quantity.
    """

    row: int
    field: str
    code: str
    message: str
    asked_units: int | None = None
    possible_units: int | None = None


class RefusedRows(Refused):
    """Rows that were asked for together, of which some cannot be done: none of them is."""

    def __init__(self, problems: Sequence[RowProblem]):
        first = problems[0]
        super().__init__(f"Row {first.row}: {first.message}", field=first.field)
        self.problems = tuple(sorted(problems, key=lambda problem: problem.row))
