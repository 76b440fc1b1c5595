"""What an allocation comes to: wishes become moves, with what each side has before and after, or say why not.

Owns: the arithmetic of amounts, percentages and shares, kept exact to the last unit, and what may be taken back. Pure:
imports no Django, reads no clock; `balances.allocation` reads the balances and posts the moves.

All moves of a plan are between one source bucket and the buckets that were allocated from it. What somebody was
allocated is what they have received of the source, less what was taken back; it never falls below what they have used,
reserved and passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from balances.errors import RefusedRows, RowProblem
from balances.units import split_in_proportion

#: Percentages are counted in hundredths of a percent.
WHOLE = 10_000

#: ("account", id) or ("line", id).
Receiver = tuple[str, int]


class PlanRefused(RefusedRows):
    """Wishes that cannot all be met; none of them is."""


class Act(StrEnum):
    """What is wished for a receiver."""

    GIVE = "give"
    TAKE_BACK = "take_back"
    SET = "set"  # allocate or take back the difference to what was allocated


@dataclass(frozen=True, slots=True)
class Holding:
    """What a receiver holds of the source's units. `allocated` = remaining + reserved + used + given on."""

    receiver: Receiver
    name: str
    allocated_units: int = 0
    remaining_units: int = 0
    reserved_units: int = 0
    used_units: int = 0
    given_units: int = 0
    bucket_id: int | None = None
    is_open: bool = True  # may receive: an account that is not closed, a line that is not retired

    @property
    def committed_units(self) -> int:
        """What cannot be taken back: used, reserved and passed on."""
        return self.allocated_units - self.remaining_units

    def with_more(self, units: int) -> Holding:
        """The same after a move of `units` (negative: taken back)."""
        return replace(
            self,
            allocated_units=self.allocated_units + units,
            remaining_units=self.remaining_units + units,
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The bucket that is shared out. `held` is what it was granted and has received: percentages are of that."""

    bucket_id: int
    name: str
    held_units: int
    remaining_units: int
    reserved_units: int = 0
    used_units: int = 0
    given_units: int = 0

    def with_given(self, units: int) -> Source:
        """The same after `units` were given away (negative: came back)."""
        return replace(self, remaining_units=self.remaining_units - units, given_units=self.given_units + units)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wished for one receiver: exactly one of units, hundredths of a percent of what the source held, and a
    weight in what is shared. `row` is the sender's own number; `expects_units` what they believe is allocated now.
    """

    row: int
    receiver: Receiver
    act: Act = Act.SET
    units: int | None = None
    percent_hundredths: int | None = None
    weight: int | None = None
    expects_units: int | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """What one wish comes to; `units` above zero are given, below zero taken back, zero leaves all as it is."""

    row: int
    units: int
    before: Holding
    after: Holding

    @property
    def receiver(self) -> Receiver:
        return self.before.receiver


@dataclass(frozen=True, slots=True)
class Plan:
    """All rows of an allocation, and the source on both sides of it."""

    before: Source
    after: Source
    rows: tuple[Move, ...]

    @property
    def moves(self) -> tuple[Move, ...]:
        """The rows that change something."""
        return tuple(row for row in self.rows if row.units)

    @property
    def given_units(self) -> int:
        return sum(row.units for row in self.rows if row.units > 0)

    @property
    def taken_back_units(self) -> int:
        return -sum(row.units for row in self.rows if row.units < 0)


def plan(
    source: Source,
    holdings: Mapping[Receiver, Holding],
    wishes: Sequence[Wish],
    *,
    shared_units: int | None = None,
) -> Plan:
    """What the wishes come to on these balances. `shared_units` is what wishes by weight share.

    `holdings` has every receiver that may receive, also those that hold nothing yet. Raises PlanRefused, with a problem
    a row that cannot be met.
    """
    problems: list[RowProblem] = []
    _refuse_twice(wishes, problems)
    amounts = _amounts(source, wishes, shared_units, problems)
    rows = []
    for wish, units in zip(wishes, amounts, strict=True):
        holding = holdings.get(wish.receiver)
        if holding is None:
            text = "This is neither an account nor a line below the bucket's owner."
            problems.append(RowProblem(wish.row, wish.receiver[0], "not_below", text))
            continue
        change = {Act.GIVE: units, Act.TAKE_BACK: -units, Act.SET: units - holding.allocated_units}[wish.act]
        if problem := _obstacle(wish, holding, change):
            problems.append(problem)
        rows.append(Move(wish.row, change, holding, holding.with_more(change)))
    if not problems:
        problems += _more_than_there_is(source, rows)
    if problems:
        raise PlanRefused(problems)
    return Plan(source, source.with_given(sum(row.units for row in rows)), tuple(rows))


def _refuse_twice(wishes: Sequence[Wish], problems: list[RowProblem]) -> None:
    first: dict[Receiver, int] = {}
    for wish in wishes:
        row = first.setdefault(wish.receiver, wish.row)
        if row != wish.row:
            problems.append(RowProblem(wish.row, wish.receiver[0], "twice", f"This stands in row {row} already."))


def _amounts(source: Source, wishes: Sequence[Wish], shared_units: int | None, problems: list[RowProblem]) -> list[int]:
    """Units of each wish. Percentages are rounded together, so that they sum to what they say; so are shares."""
    amounts = [wish.units or 0 for wish in wishes]
    percents = [(place, w.percent_hundredths) for place, w in enumerate(wishes) if w.percent_hundredths is not None]
    total = 0
    for place, hundredths in percents:
        total += hundredths
        if total > WHOLE:
            text = f"The percentages come to {total / 100:g} % here: there is no more than 100 %."
            problems.append(RowProblem(wishes[place].row, "percent", "over_100_percent", text))
            return amounts
    if percents:
        weights = [hundredths for _, hundredths in percents]
        parts = split_in_proportion(source.held_units, [*weights, WHOLE - total])
        for (place, _), units in zip(percents, parts, strict=False):
            amounts[place] = units
    shares = [(place, wish.weight) for place, wish in enumerate(wishes) if wish.weight is not None]
    if shares and not sum(weight for _, weight in shares):
        text = "None of these has used anything to share by: share in equal parts instead."
        problems.append(RowProblem(wishes[shares[0][0]].row, "weight", "no_history", text))
    elif shares:
        parts = split_in_proportion(shared_units or 0, [weight for _, weight in shares])
        for (place, _), units in zip(shares, parts, strict=True):
            amounts[place] = units
    return amounts


def _obstacle(wish: Wish, holding: Holding, change: int) -> RowProblem | None:
    """Why this wish alone cannot be met."""
    if wish.expects_units is not None and wish.expects_units != holding.allocated_units:
        text = (
            f"“{holding.name}” was changed meanwhile: {holding.allocated_units} units are allocated to it, "
            f"not {wish.expects_units}. Look again."
        )
        return RowProblem(wish.row, "expects", "changed", text)
    if change < 0 and -change > holding.remaining_units:
        text = (
            f"“{holding.name}” has used, reserved or passed on {holding.committed_units} of its "
            f"{holding.allocated_units} units: at most {holding.remaining_units} can be taken back."
        )
        return RowProblem(wish.row, "units", "in_use", text, -change, holding.remaining_units)
    if change > 0 and not holding.is_open:
        return RowProblem(wish.row, wish.receiver[0], "closed", f"“{holding.name}” is closed.")
    return None


def _more_than_there_is(source: Source, rows: Iterable[Move]) -> Iterable[RowProblem]:
    """The row with which the source runs out, if one does: what is taken back is there to be given."""
    rows = list(rows)
    there = source.remaining_units - sum(row.units for row in rows if row.units < 0)
    left = there
    for row in rows:
        if row.units > left:
            text = (
                f"“{source.name}” has {there} free units; with the {row.units} more for “{row.before.name}” "
                f"{there - left + row.units} would be given."
            )
            return [RowProblem(row.row, "units", "not_enough", text, row.units, max(left, 0))]
        left -= max(row.units, 0)
    return []


def undoing(moves: Sequence[tuple[Receiver, int]], source: Source, holdings: Mapping[Receiver, Holding]) -> list[Wish]:
    """Wishes that undo moves as far as that is possible: unused units come back, and what was taken back is given
    again while the source has any. `moves`: receivers with the units that were given (below zero: taken back).
    """
    wishes, free = [], source.remaining_units
    for row, (receiver, units) in enumerate(moves, start=1):
        holding = holdings.get(receiver)
        if units > 0 and holding is not None:
            back = min(units, holding.remaining_units)
            free += back
            wishes.append(Wish(row, receiver, Act.TAKE_BACK, back))
    for row, (receiver, units) in enumerate(moves, start=1):
        holding = holdings.get(receiver)
        if units < 0 and holding is not None and holding.is_open:
            again = min(-units, free)
            free -= again
            wishes.append(Wish(row, receiver, Act.GIVE, again))
    return [wish for wish in wishes if wish.units]
