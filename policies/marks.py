"""A limit's amount with consents, its marks, and the words for how far it is used. Pure: no Django, no clock.

A mark is a level in the limit's own measure. One in percent is of the amount with consents, rounded up, at least one;
so it stands higher after an extension, and is reached anew there. Reached at exactly the level.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

#: As for allowances (`balances.selectors.overview`).
WATCH_PERCENT, NEAR_PERCENT = 75, 90


class Standing(StrEnum):
    """How far a limit is used, in words; from the least to the most."""

    OK = "OK"
    WATCH = "Watch"
    NEAR = "Near limit"
    USED_UP = "Used up"
    OVER = "Over"
    RESTRICTED = "Restricted"


def total(amount: int, consents: Iterable[int | None]) -> int | None:
    """The amount with what was consented to; None: without bound."""
    for extra in consents:
        if extra is None:
            return None
        amount += extra
    return amount


def levels(bound: int | None, percents: Iterable[int], absolute: Iterable[int]) -> list[tuple[int, int | None]]:
    """The marks as (level, percent or None), each level once, highest first. `bound`: the amount with consents."""
    found: dict[int, int | None] = dict.fromkeys(absolute)
    if bound is not None:
        found |= {max(-(-bound * percent // 100), 1): percent for percent in sorted(percents, reverse=True)}
    return sorted(found.items(), reverse=True)


def percent_used(used: int, bound: int | None) -> int | None:
    """Whole percent, rounded down; of nothing: 0 as long as nothing is used, else 100. None: without bound."""
    if bound is None:
        return None
    return used * 100 // bound if bound else min(used, 1) * 100


def standing(used: int, bound: int | None, *, is_restricted: bool = False) -> Standing:
    """The word for a limit of which so much is used; exactly the amount is used up, not over.

    A limit of nothing of which nothing is used is used up, too: there is nothing left of it.
    """
    if is_restricted:
        return Standing.RESTRICTED
    percent = percent_used(used, bound)
    if bound is None or percent is None:
        return Standing.OK
    if used >= bound:
        return Standing.USED_UP if used == bound else Standing.OVER
    if percent >= NEAR_PERCENT:
        return Standing.NEAR
    return Standing.WATCH if percent >= WATCH_PERCENT else Standing.OK
