"""The limits of an enterprise in memory: which watch a usage event, and how much of them it may use without asking.

Owns: loading limits with consents, exemptions and tags (configuration), and use and crossings (balances, forgotten with
them); finding the limits along a chain, once a (chain, facts of a line, service, zone); lending room. Lives under the
charging lock like `portal.charging.state`, whose instants it shares. What is granted is `policies.decision`'s matter,
who asks it `portal.charging.guarding`'s.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from balances.models import LineTag, Zone
from policies.decision import Action
from policies.models import Consent, Exemption, Limit, LimitCrossing, Window
from policies.resolution import LimitFacts, RuleBook
from portal.charging.records import BEGINNING, END, canonical_time
from portal.charging.watches import NEVER, Exempted, Owner, SlidingWatch, Span, Watch, Watched

if TYPE_CHECKING:
    from portal.charging.state import Chain
    from portal.charging.terms import Stretch

#: Use of periods that began this long ago is loaded with the first look; older ones when late usage asks for them.
RECENT, RECENT_SLOTS = timedelta(days=45), timedelta(days=3)
#: A kind of event is lent this part of the room that is left before anything of its limits is reached.
SHARES = 64


class Limits:
    """All standing limits of an enterprise; see the module's paragraph."""

    def __init__(self, enterprise_id: int, rows: list[Limit], book: RuleBook | None = None):
        self.enterprise_id, self.book = enterprise_id, book
        watches = [(SlidingWatch if row.window == Window.SLIDING_24H else Watch)(row) for row in rows]
        self.by_id = {watch.id: watch for watch in watches}
        self._by_owner: dict[Owner, list[Watch]] = defaultdict(list)
        for watch in watches:
            self._by_owner[watch.owner].append(watch)
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
        self._takers: dict[int, Watched] = {}

    @classmethod
    def load(cls, enterprise_id: int) -> Limits | None:
        """The limits of an enterprise; None where it has none, which costs charging nothing."""
        rows = list(Limit.objects.filter(enterprise_id=enterprise_id, retired_at__isnull=True).order_by("id"))
        book = RuleBook.load(enterprise_id)
        return cls(enterprise_id, rows, book) if rows or book else None

    @property
    def may_steer(self) -> bool:
        """Whether a limit or a rule of a policy may leave usage to people."""
        rules = self.book.rules if self.book is not None else []
        return any(watch.action is Action.STEER_PERSONAL for watch in self.by_id.values()) or any(
            standing.rule.action is Action.STEER_PERSONAL for standing in rules
        )

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
        for watched in self._takers.values():
            watched.unit_left = watched.money_left = -1
        self._takers.clear()
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
        if watched.unit_left >= 0:
            self.settle(watched)
        for watch in (*watched.units, *watched.money):
            if not watch.now.starts <= starts < watch.now.ends:
                self._settle_at(watch.now)
                watch.turn(cursor, stretch, starts)
                self.turns += 1
        watched.unit_spans = [watch.now for watch in watched.units]
        watched.money_spans = [watch.now for watch in watched.money]
        spans = watched.unit_spans + watched.money_spans
        watched.starts = max([span.starts for span in spans], default=BEGINNING)
        watched.ends = min([span.ends for span in spans], default=END)
        watched.turns = self.turns

    # --- lending -------------------------------------------------------------------------------------------------
    #
    # Most events are far from every bound and mark. A kind of event is lent some of the room before the nearest one:
    # its events then count there alone, until it is used up or somebody has to know exactly. A group that ends has them
    # say what they used, and keep the rest.

    def lend(self, watched: Watched, units: int, micros: int) -> bool:
        """Let a kind of event use room without asking; False where a share of it would not hold this event."""
        unit_lent = min([span.trip - span.used - span.lent for span in watched.unit_spans], default=NEVER) - 1
        money_lent = min([span.trip - span.used - span.lent for span in watched.money_spans], default=NEVER) - 1
        unit_lent, money_lent = unit_lent // SHARES, money_lent // SHARES
        if unit_lent < units or money_lent < micros:
            return False
        taker = id(watched)
        for spans, lent in ((watched.unit_spans, unit_lent), (watched.money_spans, money_lent)):
            for span in spans:
                span.lent += lent
                span.takers[taker] = watched
        watched.unit_lent = watched.unit_left = unit_lent
        watched.money_lent = watched.money_left = money_lent
        self._takers[taker] = watched
        return True

    @staticmethod
    def say(watched: Watched) -> None:
        """Count with the limits what a kind of event has used of what it was lent; it keeps the rest."""
        for spans, used in (
            (watched.unit_spans, watched.unit_lent - watched.unit_left),
            (watched.money_spans, watched.money_lent - watched.money_left),
        ):
            if used:
                for span in spans:
                    span.used += used
                    span.lent -= used
        watched.unit_lent, watched.money_lent = watched.unit_left, watched.money_left

    def settle(self, watched: Watched) -> None:
        """Count with the limits what a kind of event has used of what it was lent, and give back the rest."""
        self.say(watched)
        taker = id(watched)
        for spans, lent in ((watched.unit_spans, watched.unit_lent), (watched.money_spans, watched.money_lent)):
            for span in spans:
                span.lent -= lent
                del span.takers[taker]
        watched.unit_left = watched.money_left = -1
        del self._takers[taker]

    def settle_all_of(self, watched: Watched) -> None:
        """Let the limits of an event be exact: whoever was lent of them says what they used."""
        for span in (*watched.unit_spans, *watched.money_spans):
            self._settle_at(span)

    def _settle_at(self, span: Span) -> None:
        for taker in list(span.takers.values()):
            self.settle(taker)

    # --- what applies to whom ------------------------------------------------------------------------------------

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
        owners: list[Owner] = [(line_id, None, ""), *((None, None, tag) for tag in sorted(tags))]
        owners += [(None, account_id, "") for account_id in chain.account_ids]
        distances = [0, *(1 for _ in tags), *range(2, 2 + len(chain.account_ids))]
        for owner, distance in zip(owners, distances, strict=True):
            for watch in self._by_owner.get(owner, ()):
                if watch.covers(service, zone_id, self.home_ids):
                    (found.money if watch.counts_money else found.units).append(watch)
                    found.distances[watch.id] = distance
        if self.book is not None:
            found.rules = self.book.along(chain.account_ids, tags, service, zone_id)
        if found.rules is None or not found.rules.free:
            found.quiet_starts, found.quiet_ends = BEGINNING, END
        return found if found.distances or found.rules else None

    def changes(self) -> list[tuple[int, str, int, int]]:
        """What a group added to use: (limit, start of period, used, refused); it counts as written from then on."""
        for watched in self._takers.values():
            self.say(watched)
        found = [change for watch in self.by_id.values() for change in watch.changes()]
        for watch in self.by_id.values():
            if watch.is_overfull:  # loaded again, as far as it is needed, by the next event
                self._settle_at(watch.now)
                watch.forget()
                self.turns += 1
        return found
