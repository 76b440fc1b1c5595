"""Limits while charging: asking the decision for each stretch, counting what was granted, noting what it reached.

Owns: what a group adds to limits (use, refusals, crossings, restrictions), until written in the charging transaction.
The usual event is far from every bound: its kind was lent room (`portal.charging.limits`) and it passes unasked. Only
one that would pass a bound is decided on (`policies.decision`), and only one that reaches a mark does more than add.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from psycopg import Cursor

from balances import units as arithmetic
from balances.units import Service
from policies.decision import STRICTNESS, Action, Context, Decision, Guard, decide, stored_reasons
from policies.models import RestrictionAction, RestrictionState
from policies.resolution import Along
from portal.charging.limits import Limits
from portal.charging.records import END, Usage, canonical_time, parse_canonical
from portal.charging.watches import Span, Watch, Watched

if TYPE_CHECKING:
    from portal.charging.state import Chain
    from portal.charging.terms import RateTerms, Stretch

#: What the network is told of an action.
RESTRICTS: dict[Action, RestrictionAction] = {
    Action.THROTTLE: RestrictionAction.THROTTLE,
    Action.BLOCK_NEW: RestrictionAction.BLOCKED,
    Action.STOP_NOW: RestrictionAction.BLOCKED,
    Action.CONSENT: RestrictionAction.REDIRECTED,
    Action.SUSPEND: RestrictionAction.SUSPENDED,
}
_SPOKEN = (Service.VOICE, Service.MESSAGING)


class Event(NamedTuple):
    """A stretch of a record on its way through charging. `is_forced`: somebody decided that it is granted."""

    usage: Usage
    usage_id: int
    starts: str
    stretch: Stretch
    rate: RateTerms
    chain: Chain
    line_id: int
    service: int
    zone_id: int
    units: int
    is_forced: bool = False


class Reached(NamedTuple):
    """A mark that an event reached; becomes a LimitCrossing."""

    row_id: int
    first_id: int
    period_start: str
    percent: int | None
    level: int
    amount: int
    used: int
    line_id: int
    usage_id: int
    crossed_at: str


class Restricted(NamedTuple):
    """A line that a limit restricts from now on; becomes a Restriction."""

    line_id: int
    service: int | None
    action: str
    row_id: int
    period_start: str
    consents: int
    starts_at: str
    until: str | None
    state: str


class Guarding:
    """Limits for one group of records; `writing.write` makes what it collected rows."""

    def __init__(self, cursor: Cursor, limits: Limits, at: datetime):
        limits.ready(cursor, at)
        self.cursor, self.limits, self._at = cursor, limits, canonical_time(at)
        self.reached: list[Reached] = []
        self.restricted: list[Restricted] = []
        self._beyond: frozenset[int] = frozenset()  # limits whose room did not hold the event
        self._cut_by: Watch | None = None  # the limit that refused part of it
        self._rules: Along | None = None  # rules of policies that apply to its kind
        self.steered_units = 0  # of the event asked for last: what a limit or a rule leaves to the person

    def passes(self, watched: Watched, units: int, starts: str, rate: RateTerms) -> bool:
        """Whether all of an event is granted unasked: its kind was lent enough, and no rule applies at its time."""
        if units > watched.unit_left:
            return False
        if not watched.starts <= starts < watched.ends or not watched.quiet_starts <= starts < watched.quiet_ends:
            return False
        if not watched.money:
            return True
        return arithmetic.price_micros(units, rate.price_micros, rate.block_units) <= watched.money_left

    def grant(self, watched: Watched, event: Event, there: Callable[[], int]) -> tuple[int, str]:
        """How many units of an event are granted, and the reasons of the charge line, each after a space.

        Nothing is drawn yet: what money limits grant follows from what the buckets would give (`there`).
        """
        units, starts = event.units, event.starts
        self.steered_units = 0
        self._beyond, self._rules, self._cut_by = frozenset(), watched.rules, None
        if not watched.starts <= starts < watched.ends or (
            watched.unit_left < 0 and watched.turns != self.limits.turns
        ):
            self.limits.stand(self.cursor, watched, event.stretch, starts)
        rate = event.rate
        dearest = arithmetic.price_micros(units, rate.price_micros, rate.block_units) if watched.money else 0
        near: list[Watch] = []
        if units > watched.unit_left or dearest > watched.money_left:
            if watched.unit_left >= 0:
                self.limits.settle(watched)
            if not self.limits.lend(watched, units, dearest):
                self.limits.settle_all_of(watched)
                near = [watch for watch in watched.units if watch.now.used + units > watch.now.bound]
                near += [watch for watch in watched.money if watch.now.used + dearest > watch.now.bound]
        if not near and watched.quiet_starts <= starts < watched.quiet_ends:
            return units, ""
        return self._decide(near, watched, event, there)

    def _decide(self, near: list[Watch], watched: Watched, event: Event, there: Callable[[], int]) -> tuple[int, str]:
        context = self._context(event, watched, there)
        guards: list[Guard] = watched.rules.free_guards(context) if watched.rules else []
        watch_of: dict[int, Watch] = {}  # by identity: a rule guards several limits
        for watch in near:
            if event.starts < watch.ends:
                guarding = [self._guard(watch, watched, event), *self._ruled(watch, watched, event, context)]
                watch_of.update((id(guard), watch) for guard in guarding)
                guards += guarding
        if not guards:
            self._be_quiet(watched, event.stretch, context.at)
            return event.units, ""
        decision = decide(context, guards)
        self._beyond = frozenset(watch_of[id(guard)].id for guard in decision.beyond if id(guard) in watch_of)
        decider = watch_of.get(id(decision.guard))
        if decision.action is Action.STEER_PERSONAL:
            self.steered_units = decision.refused_units
        elif decision.refused_units and decider is not None:
            decider.now.refused += decision.refused_units
            self._cut_by = decider
        return decision.granted_units, _reasons(decision) if not event.is_forced else ""

    def _be_quiet(self, watched: Watched, stretch: Stretch, at: datetime) -> None:
        """No rule applies now: none has to be asked as long as that is known to be so, by this contract's clock."""
        if watched.rules is not None and watched.rules.free and (quiet := watched.rules.quiet_around(at)) is not None:
            watched.quiet_starts = max(canonical_time(quiet[0]), stretch.starts)
            watched.quiet_ends = min(canonical_time(quiet[1]), stretch.ends)

    def _guard(self, watch: Watch, watched: Watched, event: Event) -> Guard:
        span = watch.now
        action = watch.action if span.approved or not watch.needs_approval else Action.NOTIFY
        return Guard(
            "limit", watch.id, action, span.used, span.total, watched.distances[watch.id], watch.counts_money,
            watch.grace_units, self._exempted_by(watch, event),
        )  # fmt: skip

    def _ruled(self, watch: Watch, watched: Watched, event: Event, context: Context) -> list[Guard]:
        """What rules of policies say of a limit that the event may pass, as guards."""
        if not watched.rules or not watched.rules.beyond or watch.facts is None:
            return []
        span = watch.now
        return watched.rules.guards_beyond(
            context, watch.facts, used=span.used, total=span.total, counts_money=watch.counts_money,
            is_approved=span.approved and not watch.is_sliding, exempt_by=self._exempted_by(watch, event),
        )  # fmt: skip

    def _exempted_by(self, watch: Watch, event: Event) -> int | None:
        for exempted in watch.exempted:
            if exempted.starts <= event.starts < exempted.until and (
                exempted.line_id == event.line_id or exempted.account_id in event.chain.account_ids
            ):
                return exempted.id
        return None

    def _context(self, event: Event, watched: Watched, there: Callable[[], int]) -> Context:
        usage = event.usage
        return Context(
            service=event.service,
            zone_id=event.zone_id,
            units=event.units,
            at=parse_canonical(event.starts).astimezone(event.stretch.zone),
            is_emergency=event.is_forced
            or (event.service in _SPOKEN and usage.other_party in settings.EMERGENCY_NUMBERS),
            line_id=event.line_id,
            account_ids=event.chain.account_ids,
            tags=self.limits.tags_of.get(event.line_id, frozenset()),
            device=usage.imei,
            visited_network=usage.visited_network,
            other_party=usage.other_party,
            attributes=usage.attributes,
            price=_pricing(there(), event) if watched.money else None,
        )

    # --- after drawing ---------------------------------------------------------------------------------------------

    def count(self, watched: Watched, event: Event | None, granted: int, amount: int) -> None:
        """Count what was granted and what its overage came to; note the marks it reached.

        Without an event: it passed unasked.
        """
        if event is None or watched.unit_left >= 0:  # it was within what is lent, so it reaches nothing
            watched.unit_left -= granted
            watched.money_left -= amount
            return
        tripped = False
        for span in watched.unit_spans:
            span.used += granted
            if span.used >= span.trip:
                tripped = True
        for span in watched.money_spans:
            span.used += amount
            if span.used >= span.trip:
                tripped = True
        if tripped:
            for watch in (*watched.units, *watched.money):
                if watch.now.used >= watch.now.trip:
                    self._reach(watch, watch.now, event)
        # Money may refuse with some of it left, because the next block costs more: then, too, the line has run into it.
        if self._cut_by is not None and self._cut_by.now.used < self._cut_by.now.bound:
            self._restrict(self._cut_by, self._cut_by.now, event)

    def _reach(self, watch: Watch, span: Span, event: Event) -> None:
        if event.starts >= watch.ends:
            return
        while span.levels and span.used >= span.levels[-1][0]:
            level, percent = span.levels.pop()
            watch.mark_crossed(span, level)
            bound = span.total if span.total is not None else watch.amount
            self.reached.append(
                Reached(
                    watch.row_id, watch.id, span.key, percent, level, bound, span.used, event.line_id, event.usage_id,
                    event.starts,
                )
            )  # fmt: skip
        if span.used >= span.bound:
            self._restrict(watch, span, event)
        watch.rearm(span)

    def _restrict(self, watch: Watch, span: Span, event: Event) -> None:
        """Tell the network of a line that has run into a limit: once a line, service, period and consent.

        A money limit restricts only what it did not grant: what allowances cover may go on.
        """
        acting, needs_approval = self._strictest(watch, event)
        if acting not in RESTRICTS:
            return
        if watch.counts_money and watch.id not in self._beyond:
            return
        if self._exempted_by(watch, event) is not None:
            return
        until = watch.restriction_until(span)
        if until <= self._at:  # late usage of a period that is over restricts nobody now
            return
        if not watch.restrict(span, event.line_id, event.service):
            return
        action = RESTRICTS[acting]
        pending = needs_approval and not span.approved
        self.restricted.append(
            Restricted(
                event.line_id, None if action == RestrictionAction.SUSPENDED else event.service, action.value,
                watch.row_id, span.key, span.consents, event.starts, None if until == END else until,
                (RestrictionState.PENDING if pending else RestrictionState.ACTIVE).value,
            )
        )  # fmt: skip

    def _strictest(self, watch: Watch, event: Event) -> tuple[Action, bool]:
        """What restricts a line beyond a limit, and whether it wants approval: the limit's own action, or that of a
        rule that holds for the rest of the period. Rules for some hours or networks decide event by event."""
        found = [(watch.action, watch.needs_approval)]
        if self._rules and watch.facts is not None:
            rules = self._rules.lasting(watch.facts, parse_canonical(event.starts))
            asked = [(rule.action, rule.needs_approval) for rule in rules]
            found += [one for one in asked if not (one[1] and watch.is_sliding)]
        return max(found, key=lambda one: STRICTNESS[one[0]])


def _pricing(free: int, event: Event) -> Callable[[int], int]:
    """What so many granted units would cost: what the buckets hold is free, the rest has the rate's price."""
    rate = event.rate

    def price(units: int) -> int:
        return arithmetic.price_micros(max(units - free, 0), rate.price_micros, rate.block_units)

    return price


def _reasons(decision: Decision) -> str:
    """The reason codes that are stored, each after a space."""
    return "".join([f" {code}" for code in stored_reasons(decision)])
