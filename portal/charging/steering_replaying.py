"""Decides again who pays for stored usage, with the code that decides while charging, and budgets in memory.

Owns: what was known at each charge (rules, tags, trips, lists, profiles, numbers, devices, users, contract), and
running replays over the stream of stored events. Reads only. What differs is `policies.steering.replay`'s matter.
Neither limits nor policies are asked: what they refused or left to people is taken as it was stored.
"""

from __future__ import annotations

import copy
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from balances.models import Contract, UsageSource
from policies.steering import loading, replaying
from policies.steering.book import SteeringBook
from policies.steering.outcomes import Budget
from policies.steering.replay import (
    COMPANY,
    PERSON,
    Expected,
    Report,
    StoredEvent,
    StoredLine,
    StoredRecord,
    granted_of,
)
from policies.steering.rules import CORPORATE
from portal.charging.budgets import Budgets
from portal.charging.personal import PersonalBook
from portal.charging.records import BEGINNING, END, Usage, canonical_time, decode_payload, parse_canonical
from portal.charging.state import CORRECTIONS, Chain
from portal.charging.steering import Leg, Piece, Steering, Use, share_out
from portal.charging.terms import Cycle, Stretch, Terms

Progress = Callable[[int], None]

#: Sessions that began so long before a period reach into it; what is longer counts from where it is read.
SESSION_MOST = timedelta(days=7)
WEEK = timedelta(days=8)
EVER = datetime(2000, 1, 1, tzinfo=UTC)


class _BudgetsInMemory(Budgets):
    """Budgets that begin unused, and of which nothing is written."""

    def add(self, cursor, place, amount: int) -> None:
        period, owner_id = place
        used = self._of(cursor, period)
        used[owner_id] = used.get(owner_id, 0) + amount

    def _of(self, cursor, period) -> dict[int, int]:
        return self._used.setdefault(period, {})


class SteeringInMemory(Steering):
    """Who pays, decided without balances: budgets and use are what the replay itself has seen.

    `known`: the time of the charge; whose line it was is as it was known then.
    """

    known: str = END

    def __init__(self, enterprise_id: int, book: SteeringBook | None):
        super().__init__(enterprise_id, book)
        self.budgets = _BudgetsInMemory(enterprise_id)

    def tag(self, turn: replaying.TagTurn) -> None:
        """A line bears another tag, or one less, from now on."""
        borne = self._tags.get(turn.line_id, frozenset())
        self._tags[turn.line_id] = borne | {turn.tag} if turn.is_added else borne - {turn.tag}

    def user_of(self, line_id: int, at: str) -> int | None:
        return super().user_of(line_id, min(at, self.known))

    def _handed_on(self, line_id: int) -> list[str]:
        return [edge for edge in super()._handed_on(line_id) if edge <= self.known]

    def _so_far(self, cursor, stretch: Stretch) -> Use:
        return self._use.setdefault(stretch.cycle.starts, Use())

    def count_lines(self, event: StoredEvent, lines: Iterable[StoredLine]) -> None:
        """Count what the company was charged: rules that ask for it may be yet to come."""
        for line in lines:
            if line.payer == COMPANY:
                use = self._use.setdefault(canonical_time(line.cycle_start), Use())
                use.add(event.line_id, event.service, line.units, line.amount_micros)


class Contracts:
    """The stretches of an enterprise's contracts, with the versions that were published at a time."""

    def __init__(self, enterprise_id: int):
        self._terms = [Terms(contract) for contract in Contract.objects.filter(enterprise_id=enterprise_id)]
        self._published = sorted(_published(version) for terms in self._terms for version in terms.versions)
        self._stretches: dict[int, tuple[str, list[Stretch]]] = {}
        self._cycles: dict[tuple[int, datetime], Cycle] = {}

    def between(self, starts: str, ends: str, known: str) -> list[Stretch]:
        """The stretches that a session touches, in order; none outside every contract."""
        stretches = self._known(ends, known)
        place = bisect_right(stretches, starts, key=lambda stretch: stretch.starts) - 1
        if place < 0 or starts >= stretches[place].ends:
            return []
        if ends <= stretches[place].ends:
            return [stretches[place]]
        return [stretch for stretch in stretches[place:] if stretch.starts < ends]

    def _known(self, ends: str, known: str) -> list[Stretch]:
        era = bisect_right(self._published, known)
        until, stretches = self._stretches.get(era, ("", []))
        if ends >= until:
            horizon = parse_canonical(ends) + timedelta(days=40)
            found = [stretch for terms in self._terms for stretch in self._of(terms, known, horizon)]
            stretches = sorted(found, key=lambda stretch: stretch.starts)
            self._stretches[era] = (canonical_time(horizon - timedelta(days=1)), stretches)
        return stretches

    def _of(self, terms: Terms, known: str, horizon: datetime) -> list[Stretch]:
        then = copy.copy(terms)
        then.versions = [version for version in terms.versions if _published(version) <= known]
        found = then.stretches(self._cycle, horizon) if then.versions else []
        return [stretch for stretch in found if stretch.starts < stretch.ends]

    def _cycle(self, contract_id: int, starts_at: datetime, ends_at: datetime) -> Cycle:
        key = (contract_id, starts_at)
        return self._cycles.setdefault(key, Cycle(contract_id, starts_at, ends_at))


def _published(version) -> str:
    return canonical_time(version.published_at) if version.published_at is not None else BEGINNING


class Facts:
    """What all ways to decide have in common: contracts, chains of accounts, terms of personal accounts."""

    def __init__(self, enterprise_id: int):
        self.contracts = Contracts(enterprise_id)
        self.personal = PersonalBook(enterprise_id)
        sources = UsageSource.objects.filter(operator__enterprises=enterprise_id, name=CORRECTIONS)
        self.corrections_id = sources.values_list("id", flat=True).first()
        self.chains = {path: Chain(path, ids, ()) for path, ids in replaying.paths(enterprise_id).items()}


class Deciding:
    """One way to decide: rules with budgets of their own, over events in the order of charging.

    `as_then`: whose line it was, personal accounts and contracts are those that the charge knew, else those of now.
    """

    def __init__(self, facts: Facts, steering: SteeringInMemory, *, as_then: bool):
        self.facts, self.steering, self._as_then = facts, steering, as_then

    def is_settled(self, event: StoredEvent, usage: Usage) -> bool:
        """Whether it is the company's, whatever rules say: an emergency, or a decision of a person."""
        return event.source_id == self.facts.corrections_id or self.steering.is_emergency(event.service, usage)

    def cut(self, event: StoredEvent, usage: Usage, units: int) -> list[tuple[Piece, int]]:
        """The pieces of an event with their units; none where no contract and no rate covers it."""
        steering = self.steering
        steering.known = known = canonical_time(event.charged_at) if self._as_then else END
        stretches = self.facts.contracts.between(usage.used_at, usage.ended_at or usage.used_at, known)
        kind = (event.service, event.zone_id)
        if not stretches or any(kind not in stretch.rates for stretch in stretches):
            return []
        rules = None
        if not self.is_settled(event, usage):
            rules = steering.rules(self.facts.chains[event.path_id], event.line_id, *kind)
        pieces = steering.cut(None, rules, usage, event.line_id, *kind, units, stretches, self._personal_turns)
        return share_out(units, pieces)

    def company_units(self, event: StoredEvent, usage: Usage, units: int) -> int:
        """How many of the units would be the company's; takes up budgets as if all of them were granted."""
        if self.steering.book is None:
            return units
        taken = self.cut(event, usage, units)
        if not taken:
            return units
        total = 0
        for piece, share in taken:
            rate = piece.stretch.rates[event.service, event.zone_id]
            legs, _ = self.steering.legs(None, piece, event.line_id, share, rate)
            total += sum([leg.share.units for leg in legs if leg.share.payer == CORPORATE])
        return total

    def _personal_turns(self, person_id: int | None, starts: str, ends: str) -> list[str]:
        return self.facts.personal.turns_between(person_id, starts, ends, self.steering.known)


class LiveReplay:
    """Decides again on stored usage with what was known at each charge, and compares."""

    def __init__(self, enterprise_id: int, *, since: datetime, counts_use: bool):
        self._counts_use = counts_use
        self.report, self._since, self._enterprise_id = Report(), since, enterprise_id
        self._book_turns = replaying.book_turns(enterprise_id, loading.fields_ever_read(enterprise_id))
        self._tag_turns = replaying.tag_turns(enterprise_id)
        self._era, self._tagged = -1, 0
        self.steering = SteeringInMemory(enterprise_id, None)
        self._deciding = Deciding(Facts(enterprise_id), self.steering, as_then=True)

    def take(self, events: list[StoredEvent]) -> None:
        """Decide on events, in the order in which they were charged."""
        for event in events:
            self._know(event.sequence)
            self._decide(event)

    def _know(self, sequence: int) -> None:
        """Take what had been changed before the charge with this sequence."""
        era = bisect_left(self._book_turns, sequence)
        if era != self._era:
            self._era = era
            self.steering.take_book(loading.load(self._enterprise_id, as_of=sequence), as_of=sequence)
        turns = self._tag_turns
        while self._tagged < len(turns) and turns[self._tagged].sequence < sequence:
            self.steering.tag(turns[self._tagged])
            self._tagged += 1

    def _decide(self, event: StoredEvent) -> None:
        usage, stored = usage_of(event), event.lines
        is_told = event.used_at >= self._since
        taken = self._deciding.cut(event, usage, sum([line.asked_units for line in stored]))
        if not taken:
            if is_told:
                self.report.compare(event, [])
            return
        expected: list[Expected] = []
        for piece, units in taken:
            rate = piece.stretch.rates[event.service, event.zone_id]
            legs, over = self.steering.legs(None, piece, event.line_id, units, rate)
            codes = tuple((piece.steered.reasons + over).split())
            for leg in legs:
                expected.append(expectation(piece, leg, codes))
                if leg.budget is not None:
                    granted = granted_of(stored, expected[-1], parse_canonical(piece.ends))
                    self.steering.give_back(None, leg, leg.share.units - granted, rate)
        if self._counts_use:
            self.steering.count_lines(event, stored)
        if is_told:
            self.report.compare(event, expected)


def expectation(piece: Piece, leg: Leg, codes: tuple[str, ...]) -> Expected:
    """A leg as its charge line should say it."""
    rule = piece.steered.outcome.id
    payer = COMPANY if leg.share.payer == CORPORATE else PERSON
    starts = parse_canonical(piece.starts)
    return Expected(payer, starts, leg.share.units, rule or None, leg.share.number if rule else None, codes)


def usage_of(event: StoredEvent) -> Usage:
    """The event as it was sent; where that is not kept, as its records say: exact where only one payer has a part."""
    if event.sent is not None:
        return event.sent
    return usage_of_record(event, max(event.records, key=lambda record: record.payer))


def usage_of_record(event: StoredEvent, record: StoredRecord) -> Usage:
    """A record as if it was all that there was."""
    ended_at = canonical_time(record.ended_at) if record.ended_at is not None else ""
    return Usage(
        "", event.service, 0, 0, record.units, canonical_time(record.used_at), ended_at, record.visited_network,
        record.other_party, record.imei, record.attributes, 0,
    )  # fmt: skip


def read_from(enterprise_id: int, since: datetime, budgets: list[Budget], *, reads_use: bool) -> datetime:
    """From when on usage has to be read, so that periods under way at `since` have what was used before."""
    every = {budget.every for budget in budgets}
    if "lifetime" in every:
        return EVER
    if not every and not reads_use:
        return since
    begun = [since - WEEK]
    for contract in Contract.objects.filter(enterprise_id=enterprise_id):
        terms = Terms(contract)
        begun.append(terms.cycle_at(since).starts_at)
    return min(begun) - SESSION_MOST


def budgets_of(book: SteeringBook | None) -> list[Budget]:
    """All budgets that any rule or default of a book has."""
    if book is None:
        return []
    found: list[Budget] = []
    for version in book.versions:
        for number, rule in enumerate(version.terms.rules, start=1):
            found += version.outcome_of(number, rule).budgets.values()
        found += version.outcome_of(0, None).budgets.values()
    return found


def run_what_was_live(
    *, enterprise_id: int, since: datetime, until: datetime, progress: Progress | None = None
) -> Report:
    """Decide again on all usage of a time as it was decided then: no difference is expected. What can make one is said
    in docs/byod.md."""
    book = loading.load(enterprise_id)
    reads_use = book is not None and bool(book.fields & {"used", "spent"})
    first = read_from(enterprise_id, since, budgets_of(book), reads_use=reads_use)
    replay, done = LiveReplay(enterprise_id, since=since, counts_use=reads_use), 0
    for events in replaying.events(enterprise_id=enterprise_id, since=first, until=until, decode=decode_payload):
        replay.take(events)
        done += len(events)
        if progress is not None:
            progress(done)
    return replay.report
