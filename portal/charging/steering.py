"""Who pays, while charging: the rules of an enterprise in memory, asked for each stretch of a record.

Owns: finding the rules of an event, the instants at which the outcome changes (for cutting sessions), the legs of a
stretch, and the budgets that they take up. Lives under the charging lock like `portal.charging.limits`. What a leg
costs is not decided here; nor is anything written but the use of budgets.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings

from balances import units as arithmetic
from balances.models import LineTag
from balances.models.counters import Grain, OwnerKind, Payer
from balances.units import Service
from policies.conditions import ALWAYS, Traced, compile_known, trace
from policies.conditions.places import country_of, zone_of
from policies.conditions.times import number_edges
from policies.decision import Context
from policies.models import BudgetMeasure, SteeringVersion
from policies.steering import loading
from policies.steering.book import SteeringBook
from policies.steering.decision import Price, Share, split
from policies.steering.outcomes import NOBODY_SAYS, Budget, Outcome, StandingVersion
from policies.steering.rules import REFUSE, Missing, SteeringRule
from policies.steering.segments import Decided, Rules, Segment
from portal.charging.budgets import Budgets, Place, period_end, period_start
from portal.charging.rating import share_by_time, spans_of
from portal.charging.records import Usage, canonical_time, parse_canonical
from portal.charging.terms import RateTerms, Stretch

if TYPE_CHECKING:
    from portal.charging.state import Chain

#: A session is cut into so many pieces at most within a stretch of the contract; the rest belongs to the last one.
PIECES_MOST = 500
#: Kinds of events whose rules are kept at hand.
KINDS_KEPT = 20_000

#: Where the terms of a person's account change between two instants, in order.
PersonalTurns = Callable[[int | None, str, str], list[str]]

_SPOKEN = (Service.VOICE, Service.MESSAGING)
_NO_TAGS = frozenset[str]()
_UNASKED: Any = object()


class Steered(NamedTuple):
    """What was decided for an instant of an event."""

    outcome: Outcome
    missing: Missing
    person_id: int | None
    reasons: str = ""  # codes of the charge lines, each after a space


class _Handed(NamedTuple):
    """Whose a line was: nobody's or somebody's, between the turns, before the first and after the last."""

    turns: list[str]
    people: list[int | None]


class Use:
    """What the company has paid for in a cycle: units of each line and service, overage of each line over all services.

    Not what people pay for: rules that asked for it would tell their employer (docs/byod.md, The wall).
    """

    __slots__ = ("micros", "units")

    def __init__(self) -> None:
        self.units: dict[tuple[int, int], int] = {}
        self.micros: dict[int, int] = {}

    def add(self, line_id: int, service: int, units: int, micros: int) -> None:
        """Count what was charged."""
        self.units[line_id, service] = self.units.get((line_id, service), 0) + units
        self.micros[line_id] = self.micros.get(line_id, 0) + micros


_NOBODY = Steered(NOBODY_SAYS, REFUSE, None)


class Piece(NamedTuple):
    """A part of an event for which one rule says who pays."""

    stretch: Stretch
    starts: str
    ends: str
    steered: Steered


class Leg(NamedTuple):
    """What a part has of a piece, and what it took up of its budget; None: it has none of its own."""

    share: Share
    budget: Budget | None
    taken: int
    place: Place | None = None


class Steering:
    """Who pays in one enterprise; see the module's paragraph."""

    def __init__(self, enterprise_id: int, book: SteeringBook | None, *, limits_steer: bool = False):
        self.enterprise_id = enterprise_id
        self.limits_steer = limits_steer  # a limit or a policy may leave something to people
        self.budgets = Budgets(enterprise_id)
        self._may_be_personal = limits_steer or (book is not None and book.may_be_personal)
        self._users = loading.users(enterprise_id)
        self._handed: dict[int, _Handed] = {}
        self._use: dict[str, Use] = {}
        self._tags: dict[int, frozenset[str]] = {}
        if book is not None:
            self._load_tags()
        self.take_book(book)

    def take_book(self, book: SteeringBook | None, *, as_of: int | None = None) -> None:
        """Decide by these rules from now on; loads what they read of lines."""
        self.book = book
        fields = book.fields if book is not None else frozenset()
        self._reads_profile = any(name.startswith("profile.") for name in fields)
        self._profiles: Mapping[int, Mapping[str, Any]] = {}
        if self._reads_profile:
            self._profiles = loading.profiles(self.enterprise_id, as_of=as_of)
        self.reads_use = bool(fields & {"used", "spent"})
        self._rules: dict[tuple[int, frozenset[str], int, int], Rules | None] = {}
        self._there: dict[str, ZoneInfo | None] = {}
        self._turns_of_lists = _texts(number_edges(book.around)) if book is not None else []

    @classmethod
    def load(
        cls, enterprise_id: int, *, limits_steer: bool = False, instead: SteeringVersion | None = None,
        corrects: bool = False,
    ) -> Steering | None:  # fmt: skip
        """Who pays in an enterprise; None where nobody says anything, which costs charging nothing.

        `instead`: a draft in place of its account's versions. `corrects`: people have decided that it pays for some.
        """
        book = loading.load(enterprise_id, instead=instead)
        if book is None and not limits_steer and not corrects:
            return None
        return cls(enterprise_id, book, limits_steer=limits_steer)

    def _load_tags(self) -> None:
        tags: dict[int, set[str]] = {}
        borne = LineTag.objects.filter(enterprise_id=self.enterprise_id, removed_at__isnull=True)
        for line_id, tag in borne.values_list("line_id", "tag"):
            tags.setdefault(line_id, set()).add(tag)
        self._tags = {line_id: frozenset(found) for line_id, found in tags.items()}

    def forget(self) -> None:
        """Drop what depends on balances."""
        self.budgets.forget()
        self._use.clear()

    # --- what is known of an event ---------------------------------------------------------------------------------

    def rules(self, chain: Chain, line_id: int, service: int, zone_id: int) -> Rules | None:
        """The rules that apply to a kind of event, None where nobody says anything."""
        if self.book is None:
            return None
        key = (chain.path_id, self._tags.get(line_id, _NO_TAGS), service, zone_id)
        try:
            return self._rules[key]
        except KeyError:
            if len(self._rules) >= KINDS_KEPT:
                self._rules.clear()
            found = self._rules[key] = self.book.along(chain.account_ids, key[1], service, zone_id)
            return found

    def user_of(self, line_id: int, at: str) -> int | None:
        """The person whose line it was."""
        handed = self._handed.get(line_id) or self._hand(line_id)
        return handed.people[bisect_right(handed.turns, at)]

    def _hand(self, line_id: int) -> _Handed:
        """Work out once from whom to whom a line passed."""
        turns, people = list[str](), list[int | None]([None])
        for starts, ends, person_id in self._users.get(line_id, ()):
            first, last = canonical_time(starts), canonical_time(ends)
            if turns and turns[-1] == first:
                people[-1] = person_id
            else:
                turns.append(first)
                people.append(person_id)
            turns.append(last)
            people.append(None)
        found = self._handed[line_id] = _Handed(turns, people)
        return found

    def users_of(self, line_ids: Iterable[int]) -> set[int]:
        """Everybody whose these lines were, where a person may pay at all."""
        if not self._may_be_personal:
            return set()
        return {person_id for line_id in line_ids for _, _, person_id in self._users.get(line_id, ())}

    def _there_of(self, network: str) -> ZoneInfo | None:
        found = self._there.get(network, _UNASKED)
        if found is _UNASKED:
            home = self.book.around.home_country if self.book is not None else ""
            found = self._there[network] = zone_of(country_of(network) if network else home)
        return found

    def _context(
        self, usage: Usage, at: datetime, line_id: int, person_id: int | None, service: int, zone_id: int, units: int,
        stretch: Stretch, cursor,
    ) -> Context:  # fmt: skip
        used = spent = None
        if self.reads_use:
            so_far = self._so_far(cursor, stretch)
            used, spent = so_far.units.get((line_id, service), 0), so_far.micros.get(line_id, 0)
        return Context(
            service=service, zone_id=zone_id, units=units, at=at.astimezone(stretch.zone), line_id=line_id,
            tags=self._tags.get(line_id, _NO_TAGS), device=usage.imei, visited_network=usage.visited_network,
            other_party=usage.other_party, attributes=usage.attributes, person_id=person_id or 0,
            used_so_far=used, spent_so_far=spent,
            profile=self._profiles.get(line_id) if self._reads_profile else None,
        )  # fmt: skip

    def _so_far(self, cursor, stretch: Stretch) -> Use:
        """The company's use in a cycle, loaded once and then kept in step."""
        starts = stretch.cycle.starts
        found = self._use.get(starts)
        if found is None:
            found = self._use[starts] = Use()
            cursor.execute(
                "SELECT owner_id, service, sum(used_units)::bigint, sum(amount_micros)::bigint FROM balances_counter "
                "WHERE enterprise_id = %s AND owner_kind = %s AND grain = %s AND period_start = %s AND payer = %s "
                "GROUP BY 1, 2",
                [self.enterprise_id, int(OwnerKind.LINE), int(Grain.CYCLE), starts, int(Payer.CORPORATE)],
            )
            for row in cursor.fetchall():
                found.add(*row)
        return found

    def count(self, cursor, stretch: Stretch, line_id: int, service: int, units: int, micros: int) -> None:
        """Keep in step with what the company was charged, where rules ask for it."""
        if self.reads_use:
            self._so_far(cursor, stretch).add(line_id, service, units, micros)

    @staticmethod
    def is_emergency(service: int, usage: Usage) -> bool:
        """Whether it is an emergency call or message, which is the company's whatever rules say."""
        return service in _SPOKEN and usage.other_party in settings.EMERGENCY_NUMBERS

    # --- deciding --------------------------------------------------------------------------------------------------

    def steer(
        self, cursor, rules: Rules, usage: Usage, line_id: int, service: int, zone_id: int, units: int,
        stretch: Stretch, starts: str,
    ) -> tuple[Steered, Segment]:  # fmt: skip
        """Who pays an event at an instant, with the person, and the segment of time that it lies in."""
        decided, segment = self.decide(cursor, rules, usage, line_id, service, zone_id, units, stretch, starts)
        return self.steered(decided, segment, line_id, starts), segment

    def steered(self, decided: Decided, segment: Segment, line_id: int, starts: str) -> Steered:
        """What was decided, with the person whose line it is."""
        person_id = None
        if not decided.outcome.is_company:  # else the person is asked for only where a limit leaves something to them
            person_id = self.user_of(line_id, starts)
        return Steered(decided.outcome, segment.missing, person_id, decided.reasons)

    def decide(
        self, cursor, rules: Rules, usage: Usage, line_id: int, service: int, zone_id: int, units: int,
        stretch: Stretch, starts: str,
    ) -> tuple[Decided, Segment]:  # fmt: skip
        """Which outcome an event has at an instant, and the segment of time that it lies in."""
        segment = rules.last
        if segment is None or not segment.starts_text <= starts < segment.ends_text or segment.zone is not stretch.zone:
            segment = self._segment(rules, usage, stretch, starts)
        decided = segment.settled(usage, line_id)
        if decided is None:
            context = self._context(
                usage, parse_canonical(starts), line_id, self.user_of(line_id, starts), service, zone_id, units,
                stretch, cursor,
            )  # fmt: skip
            decided = segment.decide(usage, line_id, context)
        return decided, segment

    def turns_over(self, segment: Segment, line_id: int, starts: str, ends: str) -> bool:
        """Whether anything that moves within a segment might turn over in a time."""
        if segment.asks_lists and _has_between(self._turns_of_lists, starts, ends):
            return True
        if not segment.asks_trips:
            return False
        person_id = self.user_of(line_id, starts)
        if _has_between(self._handed_on(line_id), starts, ends):
            return True
        return person_id is not None and _has_between(self._turns_of_trips(person_id), starts, ends)

    def asked(
        self, cursor, chain: Chain, usage: Usage, line_id: int, service: int, zone_id: int, units: int,
        stretch: Stretch,
    ) -> list[tuple[StandingVersion, int, SteeringRule, bool | None, list[Traced]]]:  # fmt: skip
        """What each rule in reach says to the beginning of an event, comparison by comparison; for explanations."""
        if self.book is None:
            return []
        at = parse_canonical(usage.used_at)
        person_id = self.user_of(line_id, usage.used_at)
        context = self._context(usage, at, line_id, person_id, service, zone_id, units, stretch, cursor)
        around, catalogue = self.book.around_of(chain.account_ids), loading.catalogue_of(self.enterprise_id)
        return [
            (
                version, number, rule, compile_known(rule.when, around)(context),
                trace(rule.when, around, context, catalogue=catalogue) if rule.when != ALWAYS else [],
            )
            for version, number, rule in self.book.listed(chain.account_ids, at)
        ]  # fmt: skip

    def _segment(self, rules: Rules, usage: Usage, stretch: Stretch, starts: str) -> Segment:
        there = self._there_of(usage.visited_network) if rules.asks_there else None
        segment = rules.segment(parse_canonical(starts), stretch.zone, there)
        if not segment.ends_text:
            segment.starts_text, segment.ends_text = canonical_time(segment.starts), canonical_time(segment.ends)
        if not rules.asks_there:
            rules.last = segment
        return segment

    def cut(
        self, cursor, rules: Rules | None, usage: Usage, line_id: int, service: int, zone_id: int, units: int,
        stretches: list[Stretch], personal_turns: PersonalTurns,
    ) -> list[Piece]:  # fmt: skip
        """A record, cut at the contract's stretches that it touches, and within them where who pays changes."""
        ends = usage.ended_at or usage.used_at
        pieces: list[Piece] = []
        spans = spans_of(usage.used_at, ends, stretches) if len(stretches) > 1 else [(usage.used_at, ends)]
        for stretch, (starts, until) in zip(stretches, spans, strict=True):
            if rules is None:
                pieces.append(Piece(stretch, starts, until, _NOBODY))
            else:
                pieces += self.pieces(
                    cursor, rules, usage, line_id, service, zone_id, units, stretch, starts, until, personal_turns
                )
        return pieces

    def pieces(
        self, cursor, rules: Rules, usage: Usage, line_id: int, service: int, zone_id: int, units: int,
        stretch: Stretch, starts: str, ends: str, personal_turns: PersonalTurns,
    ) -> list[Piece]:  # fmt: skip
        """A time within a stretch of the contract, cut where the deciding rule, the person, the period of a budget, or
        the terms of the person's account (`personal_turns`) change."""
        pieces: list[Piece] = []
        known: Any = None
        turns: dict[int | None, list[str]] = {}
        here = starts
        while here < ends and len(pieces) < PIECES_MOST:
            steered, segment = self.steer(cursor, rules, usage, line_id, service, zone_id, units, stretch, here)
            outcome, person_id = steered.outcome, steered.person_id
            edges = [ends, segment.ends_text]
            if segment.has_moving and self.turns_over(segment, line_id, here, min(edges)):
                at = parse_canonical(here)
                user_id = self.user_of(line_id, here)  # also where the company pays: a trip of theirs may end
                context = self._context(usage, at, line_id, user_id, service, zone_id, units, stretch, cursor)
                moves = segment.turns_of(context, at, parse_canonical(min(edges)), stretch.zone)
                edges += [canonical_time(move) for move in moves[:1]]
            budgets = outcome.budgets.values()
            edges += [end for budget in budgets if (end := period_end(budget.every, stretch, here)) is not None]
            terms = 0
            if outcome.has_personal or segment.has_moving:
                edges += [edge for edge in self._handed_on(line_id) if edge > here][:1]
            if outcome.has_personal:
                if person_id not in turns:
                    turns[person_id] = personal_turns(person_id, starts, ends)
                terms = bisect_right(turns[person_id], here)
                edges += turns[person_id][terms : terms + 1]
            periods = tuple([period_start(budget.every, stretch, here) for budget in budgets])
            key = (outcome, steered.missing, person_id, terms, periods)
            until = min(edges)
            if key == known:
                pieces[-1] = pieces[-1]._replace(ends=until)
            else:
                pieces.append(Piece(stretch, here, until, steered))
            known, here = key, until
        if not pieces:  # it took no time
            steered, _ = self.steer(cursor, rules, usage, line_id, service, zone_id, units, stretch, starts)
            pieces.append(Piece(stretch, starts, ends, steered))
        pieces[-1] = pieces[-1]._replace(ends=ends)
        return pieces

    def personal_spans(
        self, line_id: int, starts: str, ends: str, personal_turns: PersonalTurns
    ) -> list[tuple[str, str]]:
        """A time, cut where the line passes to somebody else, and where the terms of the person's account turn."""
        spans: list[tuple[str, str]] = []
        handed_on = [edge for edge in self._handed_on(line_id) if starts < edge < ends]
        for first, last in pairwise([starts, *handed_on, ends]):
            spans += pairwise([first, *personal_turns(self.user_of(line_id, first), first, last), last])
        return spans

    def _handed_on(self, line_id: int) -> list[str]:
        """When a line passed from one person to another, or began to be somebody's, or nobody's."""
        return (self._handed.get(line_id) or self._hand(line_id)).turns

    def _turns_of_trips(self, person_id: int) -> list[str]:
        """When trips of a person begin and end."""
        trips = (self.book.around.trips if self.book is not None else None) or {}
        return _texts(edge for trip in trips.get(person_id, ()) for edge in trip[:2])

    # --- splitting -------------------------------------------------------------------------------------------------

    def legs(self, cursor, piece: Piece, line_id: int, units: int, rate: RateTerms) -> tuple[list[Leg], str]:
        """The legs of a piece, in order, with the reason that a budget's edge fell into it; takes up the budgets."""
        steered = piece.steered
        outcome = steered.outcome
        if not outcome.budgets:
            part = outcome.parts[0]
            return [Leg(Share(1, part.payer, units), None, 0)], ""

        def place_of(number: int) -> Place:
            return self.budgets.place(
                outcome.budgets[number], line_id=line_id, person_id=steered.person_id, stretch=piece.stretch,
                starts=piece.starts,
            )  # fmt: skip

        shares = split(
            units,
            outcome.parts,
            left_of=lambda number: outcome.budgets[number].amount - self.budgets.used(cursor, place_of(number)),
            shared_at=lambda number: self.budgets.used(cursor, place_of(number)),
            price=Price(rate.price_micros, rate.block_units),
        )
        legs = []
        for share in shares:
            budget = outcome.budgets.get(share.number)
            if budget is None or budget.measure == BudgetMeasure.SHARED:
                legs.append(Leg(share, None, 0))
                continue
            place, taken = place_of(share.number), taken_up(budget, share.units, rate)
            self.budgets.add(cursor, place, taken)
            legs.append(Leg(share, budget, taken, place))
        for number, budget in outcome.budgets.items():
            if budget.measure == BudgetMeasure.SHARED:
                before = sum([share.units for share in shares if share.number < number])
                if units > before:
                    self.budgets.add(cursor, place_of(number), units - before)
        is_over = any(
            budget.measure != BudgetMeasure.SHARED and any(share.number > number for share in shares)
            for number, budget in outcome.budgets.items()
        )
        return legs, " budget_used" if is_over else ""

    def give_back(self, cursor, leg: Leg, refused_units: int, rate: RateTerms) -> None:
        """A budget counts what was granted: what a limit, or who cannot pay, refused of its leg is still there."""
        if leg.budget is not None and leg.place is not None and refused_units:
            kept = taken_up(leg.budget, leg.share.units - refused_units, rate)
            self.budgets.add(cursor, leg.place, kept - leg.taken)


def _texts(instants: Iterable[datetime]) -> list[str]:
    """Instants as canonical texts, in order."""
    return sorted({canonical_time(instant) for instant in instants})


def _has_between(turns: list[str], starts: str, ends: str) -> bool:
    """Whether any of the turns lies after one instant, up to another."""
    return bisect_right(turns, starts) != bisect_right(turns, ends)


def share_out(units: int, pieces: list[Piece]) -> list[tuple[Piece, int]]:
    """Units over the pieces of a record, in proportion to time; those without a unit have no part, unless none has."""
    if len(pieces) == 1:
        return [(pieces[0], units)]
    shares = share_by_time(units, [(piece.starts, piece.ends) for piece in pieces])
    return [(piece, share) for piece, share in zip(pieces, shares, strict=True) if share] or [(pieces[0], 0)]


def taken_up(budget: Budget, units: int, rate: RateTerms) -> int:
    """What units of a leg take up of its budget."""
    if budget.measure == BudgetMeasure.UNITS:
        return units
    return arithmetic.price_micros(units, rate.price_micros, rate.block_units)
