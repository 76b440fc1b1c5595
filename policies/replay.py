"""What limits and rules would have done to usage that is stored: a pure core over an iterator of stretches.

Owns: counting use against limits in the order of charging, asking `policies.decision` where a limit or a rule may
speak, and adding up what would have been refused and saved, by line. Pure: no Django, no clock. Memory grows
with lines and periods, never with usage. docs/policies.md says what it takes for granted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from balances.units import Service, price_micros
from policies import marks, windows
from policies.decision import Action, Context, Decision, Guard, decide, is_of_decision, stored_reasons

NEVER = 2**63
ALWAYS, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_CODES_KEPT = 10_000
_SLOT, _REACH = 900, 96
_SPOKEN = (Service.VOICE, Service.MESSAGING)
_TOLD = (Action.NOTIFY, Action.OVERAGE)
#: The reason code of what somebody decided that the company pays: it is granted whatever stands, as charging did.
_CORRECTION = "correction:"


class Stretch(NamedTuple):
    """One stored charge line: what was asked is `units` + `refused_units`."""

    starts_at: datetime
    line_id: int
    path_id: int
    service: int
    zone_id: int
    units: int
    refused_units: int
    overage_units: int
    amount_micros: int
    rate_id: int
    other_party: str
    visited_network: str = ""
    imei: str = ""
    charge_sequence: int = 0
    reasons: str = ""
    attributes: Mapping[str, Any] | None = None


_SEQUENCE, _REASONS = Stretch._fields.index("charge_sequence"), Stretch._fields.index("reasons")


@dataclass(frozen=True, slots=True)
class Exempted:
    """Whom an exemption takes out of a limit, and when."""

    id: int
    account_id: int | None
    line_id: int | None
    starts: datetime
    until: datetime


class Terms(NamedTuple):
    """What may differ within a limit's succession. `needs_approval`: only tells until somebody approved a period."""

    amount: int
    action: Action
    grace_units: int
    ends_at: datetime | None
    needs_approval: bool = False


class Turn(NamedTuple):
    """Something that people changed after the charge with number `sequence`: the next one was decided with it.

    `what` and `value`: `terms` of limit `id` (None: it stands no more); `consent` to it (start of the period, amount,
    whether given or revoked); `exempted` from it (`Exempted`, whether made or ended); `approved` it (start of the
    period); `tag` of line `id` (the tag, whether put on or taken off).
    """

    sequence: int
    what: str
    id: int
    value: Any


@dataclass(slots=True)
class Held:
    """A limit that is replayed. `facts`: what rules say of limits; `covers`: service and zone.

    `terms` None: it does not stand before a turn lets it.
    """

    id: int
    name: str
    account_id: int | None
    line_id: int | None
    tag: str
    covers: Callable[[int, int], bool]
    counts_money: bool
    window: str
    terms: Terms | None
    counts_from: datetime
    facts: Any
    consents: Mapping[datetime, Sequence[int | None]] = field(default_factory=dict)
    exempted: Sequence[Exempted] = ()


@dataclass(slots=True)
class Plan:
    """What is replayed. `book`: `policies.resolution.RuleBook`, or None. `rates`: id -> price in micros, block.

    `account_id`: only what was used below it is told, though all usage counts; None: the whole enterprise.
    `turns`: what people changed meanwhile, in order. `since`: what was used before is counted as it was granted, and
    not decided on. `is_live`: what was live is replayed, so that the reasons, too, must be those that are stored.
    """

    zone: ZoneInfo
    anchor_day: int
    limits: Sequence[Held]
    book: Any
    paths: Mapping[int, tuple[int, ...]]
    rates: Mapping[int, tuple[int, int]]
    tags: Mapping[int, frozenset[str]] = field(default_factory=dict)
    emergency_numbers: frozenset[str] = frozenset()
    account_id: int | None = None
    turns: Sequence[Turn] = ()
    since: datetime = ALWAYS
    is_live: bool = False


@dataclass(slots=True)
class Cut:
    """What would have been refused to a line. `by`: source and id of what refused first."""

    line_id: int
    account_id: int
    first_at: datetime
    by: str
    events: int = 0
    units: dict[int, int] = field(default_factory=dict)
    saved_micros: int = 0


@dataclass(slots=True)
class Report:
    """The sum of a replay. `live_...`: what really was refused and saved in the same time."""

    events: int = 0
    refused_events: int = 0
    refused_units: dict[int, int] = field(default_factory=dict)
    saved_micros: int = 0
    live_refused_events: int = 0
    live_refused_units: dict[int, int] = field(default_factory=dict)
    live_saved_micros: int = 0
    differing_events: int = 0
    differing_reasons: int = 0
    cuts: dict[int, Cut] = field(default_factory=dict)
    by: dict[str, int] = field(default_factory=dict)


class _Meter:
    """A limit's use in the period at hand."""

    __slots__ = (
        "approved", "bound", "consents", "ends", "exempted", "held", "is_ruled", "is_sliding", "key", "plan", "slots",
        "starts", "terms", "total", "used", "uses",
    )  # fmt: skip

    def __init__(self, held: Held, plan: Plan, *, is_ruled: bool):
        self.held, self.plan, self.is_ruled = held, plan, is_ruled
        self.is_sliding = held.window == "sliding_24h"
        self.terms = held.terms
        self.consents = {start: list(extras) for start, extras in held.consents.items()}
        self.exempted = list(held.exempted)
        self.approved: set[datetime] = set()
        self.uses: dict[datetime, int] = {}
        self.slots: dict[int, int] = {}
        self.key = self.starts = self.ends = ALWAYS
        self.used = 0
        self.total: int | None = None
        self.bound = NEVER

    def change(self, turn: Turn) -> None:
        """What people changed; the period is looked at anew with the next event."""
        if turn.what == "terms":
            self.terms = turn.value
        elif turn.what == "consent":
            start, amount, is_given = turn.value
            extras = self.consents.setdefault(start, [])
            extras.append(amount) if is_given else extras.remove(amount)
        elif turn.what == "exempted":
            exempted, is_made = turn.value
            self.exempted.append(exempted) if is_made else self.exempted.remove(exempted)
        else:
            self.approved.add(turn.value)
        self._put_away()
        self.starts = self.ends = ALWAYS

    def action(self) -> Action:
        """What is done beyond it: nothing but telling as long as its approval is waited for."""
        terms = self.terms
        assert terms is not None
        waits = terms.needs_approval and not self.is_sliding and self.key not in self.approved
        return Action.NOTIFY if waits else terms.action

    def turn(self, at: datetime) -> None:
        """Stand at the period that holds an instant."""
        self._put_away()
        held = self.held
        if at < held.counts_from:
            self.key = self.starts = ALWAYS
            self.ends, self.used, self.total = held.counts_from, -NEVER, None
            return
        period = windows.period_of(held.window, at, self.plan.zone, self.plan.anchor_day, held.counts_from)
        self.key, self.starts, self.ends = period.starts_at, period.starts_at, period.ends_at
        if self.is_sliding:
            number = int(self.key.timestamp()) // _SLOT
            self.used = _fullest(self.slots, number)
            near = [start for start in self.consents if 0 <= number - int(start.timestamp()) // _SLOT <= _REACH]
            consents = [extra for start in near for extra in self.consents[start]]
        else:
            self.used = self.uses.get(self.key, 0)
            consents = list(self.consents.get(self.key, ()))
        terms, self.bound = self.terms, NEVER
        if terms is None:
            self.total = None
            return
        self.total = marks.total(terms.amount, consents)
        if self.total is not None and (self.is_ruled or terms.action not in _TOLD):
            self.bound = self.total

    def add(self, used: int) -> None:
        """Count what was granted."""
        self.used += used
        if self.is_sliding and used and self.used > -NEVER // 2:
            number = int(self.key.timestamp()) // _SLOT
            self.slots[number] = self.slots.get(number, 0) + used

    def _put_away(self) -> None:
        if not self.is_sliding and self.used > 0:
            self.uses[self.key] = self.used


def _fullest(slots: Mapping[int, int], number: int) -> int:
    """Use of the fullest sliding window that holds a slot; as `policies.windows` has it."""
    near = [slot for slot in slots if number - _REACH <= slot <= number + _REACH]
    ends = {number, *(slot for slot in near if slot > number)}
    return max(sum(slots[slot] for slot in near if end - _REACH <= slot <= end) for end in ends)


@dataclass(slots=True)
class _Kind:
    """What concerns one chain, line facts, service and zone."""

    account_ids: tuple[int, ...]
    tags: frozenset[str]
    units: list[_Meter]
    money: list[_Meter]
    distances: dict[int, int]
    rules: Any
    quiet_starts: datetime = LAST
    quiet_ends: datetime = ALWAYS


class Replay:
    """A replay under way: `take` stretches, then read `report`."""

    def __init__(self, plan: Plan):
        self.plan, self.report = plan, Report()
        book = plan.book
        self.meters = [
            _Meter(held, plan, is_ruled=book is not None and book.has_rules_about(held.facts)) for held in plan.limits
        ]
        self._own = {held.line_id for held in plan.limits if held.line_id}
        self._kinds: dict[tuple, _Kind | None] = {}
        self._tags = dict(plan.tags)
        self._by_id = {meter.held.id: meter for meter in self.meters}
        self._turned = 0
        self._next_turn = plan.turns[0].sequence if plan.turns else NEVER
        self._codes: dict[str, tuple[str, ...]] = {}

    def take(self, stretches: Iterable[tuple]) -> None:
        """Decide on stretches, in the order in which they were charged; tuples in the order of `Stretch`."""
        kinds, tags, own, since = self._kinds, self._tags, self._own, self.plan.since
        events = 0
        for row in stretches:
            line_id = row[1]
            if row[_SEQUENCE] > self._next_turn:
                self._turn_to(row[_SEQUENCE])
            key = (row[2], line_id if line_id in own else 0, tags.get(line_id), row[3], row[4])
            try:
                kind = kinds[key]
            except KeyError:
                kind = kinds[key] = self._kind(row[2], line_id, row[3], row[4])
            if row[0] < since:
                if kind is not None:
                    self._count(row, kind)
                continue
            events += 1
            if kind is None:
                if row[6]:
                    self._compare(Stretch(*row), None, row[5] + row[6], 0, 0)
            else:
                self._decide(row, kind)
        self.report.events += events

    def _turn_to(self, sequence: int) -> None:
        """Apply what people had changed before the charge with this number."""
        turns = self.plan.turns
        while self._turned < len(turns) and (turn := turns[self._turned]).sequence < sequence:
            self._turned += 1
            if turn.what == "tag":
                tag, is_on = turn.value
                borne = self._tags.get(turn.id, frozenset())
                self._tags[turn.id] = borne | {tag} if is_on else borne - {tag}
            else:
                self._by_id[turn.id].change(turn)
        self._next_turn = turns[self._turned].sequence if self._turned < len(turns) else NEVER

    def _count(self, row: tuple, kind: _Kind) -> None:
        """Count what was granted before the time that is replayed, as it was granted."""
        _near(kind.units, row[0], 0)
        _near(kind.money, row[0], 0)
        for meter in kind.units:
            meter.add(row[5])
        for meter in kind.money:
            meter.add(row[8])

    def _kind(self, path_id: int, line_id: int, service: int, zone_id: int) -> _Kind | None:
        chain = self.plan.paths.get(path_id, ())
        tags = self._tags.get(line_id, frozenset())
        kind = _Kind(chain, tags, [], [], {}, None)
        for meter in self.meters:
            held = meter.held
            if not held.covers(service, zone_id):
                continue
            if held.line_id is not None:
                distance = 0 if held.line_id == line_id else -1
            elif held.tag:
                distance = 1 if held.tag in tags else -1
            else:
                distance = 2 + chain.index(held.account_id) if held.account_id in chain else -1
            if distance >= 0:
                (kind.money if held.counts_money else kind.units).append(meter)
                kind.distances[held.id] = distance
        if self.plan.book is not None:
            kind.rules = self.plan.book.along(chain, tags, service, zone_id)
        return kind if kind.distances or kind.rules else None

    def _decide(self, row: tuple, kind: _Kind) -> None:
        asked, amount = row[5] + row[6], row[8]
        if row[6] and kind.money:
            amount = self._price(row, asked)
        near = [*_near(kind.units, row[0], asked), *_near(kind.money, row[0], amount)]
        granted, decision = asked, None
        if asked and (
            near or (kind.rules is not None and kind.rules.free and not kind.quiet_starts <= row[0] < kind.quiet_ends)
        ):
            decision = self._ask(row, kind, near, asked)
            granted = asked if decision is None else decision.granted_units
            if granted != asked or row[6]:
                everything = self._price(row, asked)
                amount = self._price(row, granted)
                self._compare(Stretch(*row), decision, asked, granted, everything - amount)
        elif row[6]:
            self._compare(Stretch(*row), None, asked, asked, 0)
        if self.plan.is_live:
            self._compare_reasons(row, decision)
        for meter in kind.units:
            meter.add(granted)
        for meter in kind.money:
            meter.add(amount)

    def _price(self, row: tuple, granted: int) -> int:
        """What so many units would have cost: what allowances covered then is free, the rest has the rate's price."""
        rate = self.plan.rates[row[9]]
        return price_micros(max(granted - (row[5] - row[7]), 0), rate[0], rate[1])

    def _ask(self, row: tuple, kind: _Kind, near: list[_Meter], asked: int) -> Decision | None:
        """The decision; None where no rule matches and no limit is near: everything is granted."""
        stretch = Stretch(*row)
        at = stretch.starts_at.astimezone(self.plan.zone)
        context = Context(
            service=stretch.service, zone_id=stretch.zone_id, units=asked, at=at,
            is_emergency=_CORRECTION in stretch.reasons
            or (stretch.service in _SPOKEN and stretch.other_party in self.plan.emergency_numbers),
            line_id=stretch.line_id, account_ids=kind.account_ids, tags=kind.tags, device=stretch.imei,
            visited_network=stretch.visited_network, other_party=stretch.other_party, attributes=stretch.attributes,
            price=(lambda units: self._price(row, units)) if kind.money else None,
        )  # fmt: skip
        guards: list[Guard] = kind.rules.free_guards(context) if kind.rules is not None else []
        for meter in near:
            held, terms = meter.held, meter.terms
            if terms is None or (terms.ends_at is not None and stretch.starts_at >= terms.ends_at):
                continue
            exempt = _exempted_by(meter, stretch, kind)
            guards.append(
                Guard(
                    "limit", held.id, meter.action(), meter.used, meter.total, kind.distances[held.id],
                    held.counts_money, terms.grace_units, exempt,
                )
            )  # fmt: skip
            if kind.rules is not None and kind.rules.beyond:
                is_approved = not meter.is_sliding and (not self.plan.is_live or meter.key in meter.approved)
                guards += kind.rules.guards_beyond(
                    context, held.facts, used=meter.used, total=meter.total, counts_money=held.counts_money,
                    is_approved=is_approved, exempt_by=exempt,
                )  # fmt: skip
        if guards:
            return decide(context, guards)
        quiet = kind.rules.quiet_around(at) if kind.rules is not None else None
        if quiet is not None:
            kind.quiet_starts, kind.quiet_ends = quiet
        return None

    def _compare(self, stretch: Stretch, decision: Decision | None, asked: int, granted: int, saved: int) -> None:
        """Note what was refused: in the replay, and then."""
        report, service = self.report, stretch.service
        place = self.plan.account_id
        if place is not None and place not in self.plan.paths.get(stretch.path_id, ()):
            return
        if stretch.refused_units:
            report.live_refused_events += 1
            report.live_refused_units[service] = report.live_refused_units.get(service, 0) + stretch.refused_units
            report.live_saved_micros += self._price(stretch, asked) - stretch.amount_micros
        if decision is None:
            granted = asked
        report.differing_events += asked - granted != stretch.refused_units
        if granted == asked:
            return
        guard = decision.guard if decision is not None else None
        by = f"{guard.source}:{guard.id}" if guard is not None else ""
        refused = asked - granted
        report.refused_events += 1
        report.refused_units[service] = report.refused_units.get(service, 0) + refused
        report.saved_micros += saved
        report.by[by] = report.by.get(by, 0) + 1
        cut = report.cuts.get(stretch.line_id)
        if cut is None:
            chain = self.plan.paths.get(stretch.path_id, (0,))
            cut = report.cuts[stretch.line_id] = Cut(stretch.line_id, chain[0], stretch.starts_at, by)
        if stretch.starts_at < cut.first_at:
            cut.first_at, cut.by = stretch.starts_at, by
        cut.events += 1
        cut.units[service] = cut.units.get(service, 0) + refused
        cut.saved_micros += saved

    def _compare_reasons(self, row: tuple, decision: Decision | None) -> None:
        """Whether the charge line names what decides here, in the same order."""
        text = row[_REASONS]
        stored = self._codes.get(text)
        if stored is None:
            if len(self._codes) >= _CODES_KEPT:
                self._codes.clear()
            # What a limit left to the person is no part of the stretch any more, so nothing is beyond the limit now.
            stored = self._codes[text] = tuple(
                code for code in text.split() if is_of_decision(code) and "_steer_personal:" not in code
            )
        found = tuple(stored_reasons(decision)) if decision is not None and _CORRECTION not in text else ()
        self.report.differing_reasons += stored != found


def _near(meters: list[_Meter], at: datetime, more: int) -> list[_Meter]:
    """Meters that an event may take beyond their bound; all of them stand at its period then."""
    near = []
    for meter in meters:
        if not meter.starts <= at < meter.ends:
            meter.turn(at)
        if meter.used + more > meter.bound:
            near.append(meter)
    return near


def _exempted_by(meter: _Meter, stretch: Stretch, kind: _Kind) -> int | None:
    for one in meter.exempted:
        if one.starts <= stretch.starts_at < one.until and (
            one.line_id == stretch.line_id or one.account_id in kind.account_ids
        ):
            return one.id
    return None
