"""How the units of a stretch are split among payers. Worked cases: docs/byod_cases.csv.

Owns: the one split that charging, the look ahead and replay share. Pure: no Django, no clock, no I/O, no memory. What
budgets have taken up is handed in; the same parts, units and budgets give the same shares.

Parts are taken in their order; what one leaves is the next one's; the last takes the rest:

    units    up to what is left of the budget
    micros   the most whole units whose price at the contract's rate is within what is left of the budget
    percent  of what the parts before left. Percents in a row share it together. They are counted on from event to
             event: after every event each part has its percentage of all that was shared so far, rounded half up. So a
             thousand messages, shared 60 to 40, are 600 and 400, although none can be divided.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from balances.units import units_for
from policies.steering.rules import Parts


class Share(NamedTuple):
    """What a part has of a stretch. `number`: its place, from 1."""

    number: int
    payer: str
    units: int


class Price(NamedTuple):
    """The contract's rate: what so many units cost without an allowance."""

    micros: int
    block_units: int


#: What is left of the budget of a part (by place), in units or micros; what was shared so far by the percents that
#: begin at a part (by place).
Asked = Callable[[int], int]


def split(units: int, parts: Parts, *, left_of: Asked, shared_at: Asked, price: Price) -> list[Share]:
    """The shares of `units`, in the order of the parts, none of nothing; they sum to the whole.

    Of no units at all one share is given, to the first part that would take one.
    """
    if len(parts) == 1:
        return [Share(1, parts[0].payer, units)]
    if not units:
        first = split(1, parts, left_of=left_of, shared_at=shared_at, price=price)[0]
        return [first._replace(units=0)]
    shares: list[Share] = []
    left, place = units, 0
    while left and place < len(parts):
        part = parts[place]
        if part.percent:
            percents: list[int] = []
            while parts[place + len(percents)].percent:  # the last part of a rule has no percentage
                percents.append(parts[place + len(percents)].percent)
            taken = shared(left, shared_at(place + 1), percents)
        elif part.units is not None:
            taken = [min(left, max(left_of(place + 1), 0))]
        elif part.micros is not None:
            fitting = units_for(left_of(place + 1), *price)
            taken = [left if fitting is None else min(left, fitting)]
        else:
            taken = [left]
        for here in taken:
            if here:
                shares.append(Share(place + 1, parts[place].payer, here))
            left -= here
            place += 1
    return shares


def shared(units: int, before: int, percents: list[int]) -> list[int]:
    """What parts by percent have of `units`, after `before` units were shared among them: one number a part.

    Each takes its percentage of what those before it leave, over all that was shared so far: neither a part nor what
    is left for the next ever becomes less than it was, so no share is negative.
    """
    taken: list[int] = []
    now, then, rest = before + units, before, 100
    for percent in percents:
        mine, mine_then = _portion(now, percent, rest), _portion(then, percent, rest)
        taken.append(mine - mine_then)
        now, then, rest = now - mine, then - mine_then, rest - percent
    return taken


def _portion(units: int, percent: int, of: int) -> int:
    """`percent` of `of` of the units, rounded half up."""
    return (units * percent * 2 + of) // (2 * of)
