"""The limits of an enterprise in memory: which watch a usage event, what was used of each, and what is reached.

Owns: loading limits with consents, exemptions and tags (configuration), and use and crossings (balances, forgotten with
them); finding the limits along a chain, once a (chain, facts of a line, service, zone). Lives under the charging lock
like `portal.charging.state`, whose instants it shares. What is granted is `policies.decision`'s matter, who asks it
`portal.charging.guarding`'s.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from balances.models import LineTag, Zone
from policies import marks, windows
from policies.decision import Action
from policies.models import Consent, Exemption, Limit, LimitCrossing, Measure, Window
from policies.resolution import Along, LimitFacts, RuleBook
from portal.charging.records import BEGINNING, END, canonical_time, parse_canonical

if TYPE_CHECKING:
    from portal.charging.state import Chain
    from portal.charging.terms import Stretch

NEVER = 2**63  # more than any use
#: Use of periods that began this long ago is loaded with the first look; older ones when late usage asks for them.
RECENT, RECENT_SLOTS = timedelta(days=45), timedelta(days=3)
#: Slots of a sliding limit kept in memory: ten days.
MOST_SLOTS = 960
TOLD_ONLY = frozenset({Action.NOTIFY, Action.OVERAGE})


class Span:
    """A limit's use in one period, against its bound and its marks.

    `bound`: an event that would take use beyond it is decided on. `trip`: use at or above it has reached something.
    """

    __slots__ = (
        "approved", "bound", "consents", "ends", "key", "levels", "refused", "restricted", "starts", "total", "trip",
        "used", "written_refused", "written_used",
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
        self.account_id, self.line_id, self.tag = row.account_id, row.line_id, row.tag
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
        if len(self.slots) > MOST_SLOTS:
            self.forget()  # loaded again, as far as it is needed, by the next event
        return found


@dataclass(slots=True)
class Watched:
    """The limits that an event of one kind counts towards: by measure, and how far from the line each owner is.

    The spans are those that the limits stand at, good from `starts` to `ends` as long as no limit has turned (`turns`).
    From `quiet_starts` to `quiet_ends` no rule applies that stands by itself.
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


class Limits:
    """All standing limits of an enterprise; see the module's paragraph."""

    def __init__(self, enterprise_id: int, rows: list[Limit], book: RuleBook | None = None):
        self.enterprise_id, self.book = enterprise_id, book
        watches = [(SlidingWatch if row.window == Window.SLIDING_24H else Watch)(row) for row in rows]
        self.by_id = {watch.id: watch for watch in watches}
        self.home_ids = frozenset(
            Zone.objects.filter(operator__enterprises=enterprise_id, is_home=True).values_list("id", flat=True)
        )
        self._load_tags()
        self._load_terms()
        if book is not None:
            self._load_rules(book, rows)
        self._along: dict[tuple[int, int, int, int], Watched | None] = {}
        self._loaded = False
        self.turns = 0  # rises whenever a limit stands at another span

    @classmethod
    def load(cls, enterprise_id: int) -> Limits | None:
        """The limits of an enterprise; None where it has none, which costs charging nothing."""
        rows = list(Limit.objects.filter(enterprise_id=enterprise_id, retired_at__isnull=True).order_by("id"))
        book = RuleBook.load(enterprise_id)
        return cls(enterprise_id, rows, book) if rows or book else None

    def _load_rules(self, book: RuleBook, rows: list[Limit]) -> None:
        """Let limits know which of them rules of policies speak of."""
        codes = {zone_id: code for code, zone_id in book.around.zone_ids.items()}
        for row in rows:
            watch = self.by_id[row.first_number]
            watch.facts = LimitFacts.of(row, codes)
            watch.is_ruled = book.has_rules_about(watch.facts)

    def _load_tags(self) -> None:
        """Facts of lines: 0 for those with neither tags nor limits of their own, so that they share what is found."""
        tags: dict[int, set[str]] = defaultdict(set)
        borne = LineTag.objects.filter(enterprise_id=self.enterprise_id, removed_at__isnull=True)
        for line_id, tag in borne.values_list("line_id", "tag"):
            tags[line_id].add(tag)
        self.tags_of: dict[int, frozenset[str]] = {line_id: frozenset(found) for line_id, found in tags.items()}
        own = {watch.line_id for watch in self.by_id.values() if watch.line_id}
        kinds: dict[tuple[int | None, frozenset[str]], int] = {}
        self._facts_of: dict[int, int] = {}
        for line_id in own | tags.keys():
            kind = (line_id if line_id in own else None, self.tags_of.get(line_id, frozenset()))
            self._facts_of[line_id] = kinds.setdefault(kind, len(kinds) + 1)

    def _load_terms(self) -> None:
        consents = Consent.objects.filter(enterprise_id=self.enterprise_id, revoked_at__isnull=True)
        for limit_id, start, amount in consents.order_by("id").values_list("limit_id", "period_start", "amount"):
            if limit_id in self.by_id:
                self.by_id[limit_id].consents[canonical_time(start)].append(amount)
        for row in Exemption.objects.filter(enterprise_id=self.enterprise_id, ended_at__isnull=True).order_by("id"):
            if row.limit_id in self.by_id:
                self.by_id[row.limit_id].exempted.append(
                    Exempted(
                        row.id, row.account_id, row.line_id, canonical_time(row.starts_at), canonical_time(row.until)
                    )
                )

    def forget(self) -> None:
        """Drop use and crossings; they are loaded again when next needed."""
        self._loaded = False
        self.turns += 1
        for watch in self.by_id.values():
            watch.forget()

    def ready(self, cursor, at: datetime) -> None:
        """Have recent use and crossings in memory: two queries, whatever the number of limits."""
        if self._loaded:
            return
        since, since_slots = at - RECENT, at - RECENT_SLOTS
        lasting = [watch.id for watch in self.by_id.values() if watch.window == Window.LIFETIME]
        place = [
            self.enterprise_id,
            [watch.id for watch in self.by_id.values() if not watch.is_sliding], since,
            [watch.id for watch in self.by_id.values() if watch.is_sliding], since_slots,
            lasting,
        ]  # fmt: skip
        cursor.execute(
            "SELECT limit_id, period_start, used, refused, approved_at IS NOT NULL FROM policies_limituse "
            "WHERE enterprise_id = %s AND (limit_id = ANY(%s) AND period_start >= %s "
            "OR limit_id = ANY(%s) AND period_start >= %s OR limit_id = ANY(%s))",
            place,
        )
        for limit_id, period_start, used, refused, approved in cursor.fetchall():
            self.by_id[limit_id].load_use(canonical_time(period_start), used, refused, approved=approved)
        crossings = LimitCrossing.objects.filter(
            enterprise_id=self.enterprise_id, first_id__in=list(self.by_id), period_start__gte=since
        ) | LimitCrossing.objects.filter(enterprise_id=self.enterprise_id, first_id__in=lasting)
        for limit_id, period_start, level in crossings.values_list("first_id", "period_start", "level"):
            self.by_id[limit_id].crossed[canonical_time(period_start)].add(level)
        for watch in self.by_id.values():
            if watch.window == Window.LIFETIME:
                watch.loaded_from = BEGINNING
            else:
                watch.loaded_from = canonical_time(since_slots if watch.is_sliding else since)
        self._loaded = True

    def stand(self, cursor, watched: Watched, stretch: Stretch, starts: str) -> None:
        """Let all limits of an event stand at the periods that hold an instant of a stretch."""
        for watch in (*watched.units, *watched.money):
            if not watch.now.starts <= starts < watch.now.ends:
                watch.turn(cursor, stretch, starts)
                self.turns += 1
        watched.unit_spans = [watch.now for watch in watched.units]
        watched.money_spans = [watch.now for watch in watched.money]
        spans = watched.unit_spans + watched.money_spans
        watched.starts = max([span.starts for span in spans], default=BEGINNING)
        watched.ends = min([span.ends for span in spans], default=END)
        watched.turns = self.turns

    def along(self, chain: Chain, line_id: int, service: int, zone_id: int) -> Watched | None:
        """The limits that usage of a line counts towards, None where there are none."""
        key = (chain.path_id, self._facts_of.get(line_id, 0), service, zone_id)
        try:
            return self._along[key]
        except KeyError:
            found = self._along[key] = self._find(chain, line_id, service, zone_id)
            return found

    def _find(self, chain: Chain, line_id: int, service: int, zone_id: int) -> Watched | None:
        found = Watched()
        tags = self.tags_of.get(line_id, frozenset())
        for watch in self.by_id.values():
            if not watch.covers(service, zone_id, self.home_ids):
                continue
            if watch.line_id is not None:
                distance = 0 if watch.line_id == line_id else -1
            elif watch.tag:
                distance = 1 if watch.tag in tags else -1
            else:
                distance = (
                    2 + chain.account_ids.index(watch.account_id) if watch.account_id in chain.account_ids else -1
                )
            if distance >= 0:
                (found.money if watch.counts_money else found.units).append(watch)
                found.distances[watch.id] = distance
        if self.book is not None:
            found.rules = self.book.along(chain.account_ids, tags, service, zone_id)
        return found if found.distances or found.rules else None

    def changes(self) -> list[tuple[int, str, int, int]]:
        """What a group added to use: (limit, start of period, used, refused); it counts as written from then on."""
        self.turns += 1
        return [change for watch in self.by_id.values() for change in watch.changes()]


@lru_cache(maxsize=10_000)
def _slot_key(number: int) -> str:
    return canonical_time(windows.slot_start(number))


def _bound(instant: str) -> str:
    return "infinity" if instant == END else instant
