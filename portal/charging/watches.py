"""Limits in memory: use in each period, bounds and marks, whom they have restricted; and which watch a kind of event.

Owns: turning to the period of an event, with use that is loaded where it is not in memory. A sliding limit counts in
slots of a quarter of an hour. `portal.charging.limits` finds the limits of an event and lets them turn.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from policies import marks, windows
from policies.decision import Action
from policies.models import Limit, Measure, Window
from policies.resolution import Along, LimitFacts
from portal.charging.records import BEGINNING, END, canonical_time, parse_canonical

if TYPE_CHECKING:
    from portal.charging.terms import Stretch

NEVER = 2**63  # more than any use
#: Slots of a sliding limit kept in memory: ten days.
MOST_SLOTS = 960
TOLD_ONLY = frozenset({Action.NOTIFY, Action.OVERAGE})


#: Whose a limit is: a line's, an account's (and all below it) or a tag's; the others are None or empty.
Owner = tuple[int | None, int | None, str]


class Span:
    """A limit's use in one period, against its bound and its marks.

    `bound`: an event that would take use beyond it is decided on. `trip`: use at or above it has reached something.
    `lent`: room that kinds of events, the `takers` by identity, may use before they say what they used.
    """

    __slots__ = (
        "approved", "bound", "consents", "ends", "key", "lent", "levels", "refused", "restricted", "starts", "takers",
        "total", "trip", "used", "written_refused", "written_used",
    )  # fmt: skip

    def __init__(self, key: str, starts: str, ends: str, used: int = 0, refused: int = 0, *, approved: bool = False):
        self.key, self.starts, self.ends = key, starts, ends  # key: start of the period
        self.used = self.written_used = used
        self.refused = self.written_refused = refused
        self.approved = approved
        self.total: int | None = None
        self.consents = 0
        self.levels: list[tuple[int, int | None]] = []
        self.restricted: set[tuple[int, int]] = set()
        self.bound = self.trip = NEVER
        self.lent = 0
        self.takers: dict[int, Watched] = {}


class Exempted(NamedTuple):
    """A valid exemption: whom it takes out of a limit, and when."""

    id: int
    account_id: int | None
    line_id: int | None
    starts: str
    until: str


class Watch:
    """A limit in memory, standing at the period of the last event it saw."""

    def __init__(self, row: Limit):
        self.row_id, self.id = row.id, row.first_number
        self.line_id = row.line_id
        self.owner: Owner = (row.line_id, row.account_id, row.tag)
        self.service, self.zone_id, self.is_abroad = row.service, row.zone_id, row.is_abroad
        self.counts_money = row.measure == Measure.MONEY
        self.window, self.amount = row.window, row.amount
        self.percents, self.marks = row.percents, row.marks
        self.action, self.grace_units = Action(row.action), row.grace_units
        self.needs_approval = row.needs_approval
        self.facts: LimitFacts | None = None  # where rules of policies may speak of it
        self.is_ruled = False
        self.counts_from_at = row.counts_from
        self.counts_from = canonical_time(row.counts_from)
        self.ends = canonical_time(row.ends_at) if row.ends_at else END
        self.consents: dict[str, list[int | None]] = defaultdict(list)
        self.exempted: list[Exempted] = []
        self.forget()

    def forget(self) -> None:
        """Drop what depends on balances."""
        self.spans: dict[str, Span] = {}
        self.crossed: dict[str, set[int]] = defaultdict(set)
        self.now = Span("", END, END)
        self.loaded_from = END

    @property
    def is_sliding(self) -> bool:
        return self.window == Window.SLIDING_24H

    @property
    def is_overfull(self) -> bool:
        """Whether it keeps more in memory than it should."""
        return False

    def covers(self, service: int, zone_id: int, home_ids: frozenset[int]) -> bool:
        """Whether usage of a service in a zone counts."""
        if self.service is not None and self.service != service:
            return False
        if self.is_abroad:
            return zone_id not in home_ids
        return self.zone_id is None or self.zone_id == zone_id

    # --- use of it -----------------------------------------------------------------------------------------------

    def turn(self, cursor, stretch: Stretch, starts: str) -> Span:
        """Stand at the period that holds an instant of a stretch; its use is loaded if it is not in memory."""
        if starts < self.counts_from:
            self.now = Span("", BEGINNING, self.counts_from)  # before the limit began to count: counted nowhere
            return self.now
        key, ends = self._period(stretch, starts)
        if key < self.loaded_from:
            self._load_older(cursor, key)
        span = self.spans.get(key)
        if span is None:
            span = self.spans[key] = Span(key, key, ends)
        if span.ends != ends:
            span.starts, span.ends = key, ends
        if span.total is None and span.bound == NEVER and span.trip == NEVER:
            self.arm(span)
        self.now = span
        return span

    def _period(self, stretch: Stretch, starts: str) -> tuple[str, str]:
        window = self.window
        if window == Window.CYCLE:
            return stretch.cycle.starts, stretch.cycle.ends
        if window == Window.DAY:
            return stretch.day_of(starts)
        if window == Window.LIFETIME:
            return self.counts_from, END
        week = windows.week_of(parse_canonical(starts), stretch.zone)
        return canonical_time(week.starts_at), canonical_time(week.ends_at)

    def arm(self, span: Span) -> None:
        """Work out bound and marks of a period: amount with consents, less what was crossed already."""
        consents = self.consents.get(span.key, [])
        self._arm(span, span.key, consents, self.crossed.get(span.key, set()))

    def _arm(self, span: Span, key: str, consents: list[int | None], crossed: set[int]) -> None:
        span.consents, span.total = len(consents), marks.total(self.amount, consents)
        levels = marks.levels(span.total, self.percents, self.marks)
        span.levels = [level for level in levels if level[0] not in crossed]
        told_only = self.action in TOLD_ONLY and not self.is_ruled
        span.bound = NEVER if span.total is None or told_only else span.total
        self.rearm(span)

    def rearm(self, span: Span) -> None:
        """The next use that reaches something: the next mark, or the bound, at which lines are restricted."""
        span.trip = min(span.levels[-1][0] if span.levels else NEVER, span.bound)

    def mark_crossed(self, span: Span, level: int) -> None:
        """A mark was reached; not again in this period."""
        self.crossed[span.key].add(level)

    def restriction_until(self, span: Span) -> str:
        """When what it restricts ends by itself; END for a lifetime."""
        return span.ends

    def restrict(self, span: Span, line_id: int, service: int) -> bool:
        """Note that a line is restricted; False where it is already."""
        if (line_id, service) in span.restricted:
            return False
        span.restricted.add((line_id, service))
        return True

    def load_use(self, key: str, used: int, refused: int, *, approved: bool) -> None:
        """Use of a period as it stands in the database."""
        self.spans[key] = Span(key, key, "", used, refused, approved=approved)

    def _load_older(self, cursor, key: str) -> None:
        """Usage is later than what was loaded: load from its period on."""
        cursor.execute(
            "SELECT period_start, used, refused, approved_at IS NOT NULL FROM policies_limituse "
            "WHERE limit_id = %s AND period_start >= %s AND period_start < %s",
            [self.id, key, _bound(self.loaded_from)],
        )
        for period_start, used, refused, approved in cursor.fetchall():
            self.load_use(canonical_time(period_start), used, refused, approved=approved)
        cursor.execute(
            "SELECT period_start, level FROM policies_limitcrossing "
            "WHERE first_id = %s AND period_start >= %s AND period_start < %s",
            [self.id, key, _bound(self.loaded_from)],
        )
        for period_start, level in cursor.fetchall():
            self.crossed[canonical_time(period_start)].add(level)
        self.loaded_from = key

    def changes(self) -> list[tuple[int, str, int, int]]:
        """(limit, start of period, used, refused) to add in the database; from then on they are written."""
        found = []
        for span in self.spans.values():
            if span.used != span.written_used or span.refused != span.written_refused:
                found.append((self.id, span.key, span.used - span.written_used, span.refused - span.written_refused))
                span.written_used, span.written_refused = span.used, span.refused
        return found


class SlidingWatch(Watch):
    """A limit on any 24 hours. A span is one slot of a quarter of an hour; its `used` is that of the fullest window
    that holds it, so that late usage takes no window beyond the bound."""

    def forget(self) -> None:
        super().forget()
        self.slots: dict[int, int] = {}  # number of the slot -> used
        self.added: dict[int, list[int]] = {}  # used and refused, not written yet
        self.restricted_until: dict[tuple[int, int], str] = {}

    @property
    def is_overfull(self) -> bool:
        return len(self.slots) > MOST_SLOTS

    def turn(self, cursor, stretch: Stretch, starts: str) -> Span:
        self._settle()
        if starts < self.counts_from:
            self.now = Span("", BEGINNING, self.counts_from)
            return self.now
        number = windows.slot_number(parse_canonical(starts))
        key, oldest = _slot_key(number), _slot_key(number - windows.SLOTS + 1)
        if oldest < self.loaded_from:
            self._load_older(cursor, oldest)
        span = Span(key, key, _slot_key(number + 1), windows.fullest(self.slots, number), approved=True)
        consents, crossed = [], set()
        for start, extra in self.consents.items():
            if oldest <= start <= key:
                consents += extra
        if self.crossed:
            latest = _slot_key(number + windows.SLOTS - 1)
            for start, levels in self.crossed.items():
                if oldest <= start <= latest:
                    crossed |= levels
        self._arm(span, key, consents, crossed)
        self.now = span
        return span

    def _settle(self) -> None:
        """Put what was added to the window at hand into its slot."""
        span = self.now
        used, refused = span.used - span.written_used, span.refused - span.written_refused
        if span.key and (used or refused):
            number = windows.slot_number(parse_canonical(span.key))
            self.slots[number] = self.slots.get(number, 0) + used
            added = self.added.setdefault(number, [0, 0])
            added[0] += used
            added[1] += refused
            span.written_used, span.written_refused = span.used, span.refused

    def restriction_until(self, span: Span) -> str:
        return _slot_key(windows.slot_number(parse_canonical(span.key)) + windows.SLOTS)

    def restrict(self, span: Span, line_id: int, service: int) -> bool:
        if self.restricted_until.get((line_id, service), BEGINNING) > span.key:
            return False
        self.restricted_until[line_id, service] = self.restriction_until(span)
        return True

    def load_use(self, key: str, used: int, refused: int, *, approved: bool) -> None:
        self.slots[windows.slot_number(parse_canonical(key))] = used

    def changes(self) -> list[tuple[int, str, int, int]]:
        self._settle()
        found = [(self.id, _slot_key(number), used, refused) for number, (used, refused) in self.added.items()]
        self.added = {}
        return found


@dataclass(slots=True)
class Watched:
    """The limits that an event of one kind counts towards: by measure, and how far from the line each owner is.

    The spans are those that the limits stand at, good from `starts` to `ends` as long as no limit has turned: either
    `turns` is still theirs, or something is lent, which ends when one of them turns.
    From `quiet_starts` to `quiet_ends` no rule applies that stands by itself. Of what was lent to it `unit_left` and
    `money_left` are unused; -1: nothing is lent.
    """

    units: list[Watch] = field(default_factory=list)
    money: list[Watch] = field(default_factory=list)
    distances: dict[int, int] = field(default_factory=dict)
    rules: Along | None = None
    unit_spans: list[Span] = field(default_factory=list)
    money_spans: list[Span] = field(default_factory=list)
    starts: str = END
    ends: str = BEGINNING
    turns: int = -1
    quiet_starts: str = END
    quiet_ends: str = BEGINNING
    unit_lent: int = 0
    money_lent: int = 0
    unit_left: int = -1
    money_left: int = -1


@lru_cache(maxsize=10_000)
def _slot_key(number: int) -> str:
    return canonical_time(windows.slot_start(number))


def _bound(instant: str) -> str:
    return "infinity" if instant == END else instant
