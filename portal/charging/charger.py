"""Charging in memory: from a usage record to charge lines, draws, counters and crossings, in the order of arrival.

Owns: the decision on each record of a group, and the rows that it becomes, kept as COPY text until written. Touches
the database only to look things up (identities, lines, a cycle's balances). The hot loop of the product: a record
that one bucket covers on one stretch costs some ten microseconds here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, tzinfo
from functools import partial
from typing import NamedTuple

import msgspec
from django.conf import settings

from balances import units as arithmetic
from balances.ledger import Change
from balances.models.counters import OwnerKind
from balances.models.ledger import EntryKind
from balances.models.usage import SuspenseReason
from portal.charging import suspense_texts
from portal.charging.forking import NO_RULE, Forking, Located
from portal.charging.group import CHARGED, DUPLICATE, SUSPENDED, CannotCharge, Counts, Crossed, Part, Seen, Suspended
from portal.charging.guarding import Event, Guarding
from portal.charging.heads import BucketHead, Corrections, Gate, Meter, Tiers, drawable_through
from portal.charging.rating import split_by_time
from portal.charging.records import Usage, canonical_time, escaped, public
from portal.charging.state import Chain, EnterpriseState, Plan
from portal.charging.tally import Tally
from portal.charging.terms import Cycle, RateTerms, Stretch

_json = msgspec.json.Encoder()


def _text_array(texts: list[str]) -> str | list[str]:
    """Texts as an array literal, much cheaper to pass than a list; the list where one of them needs escaping."""
    joined = '","'.join(texts)
    if not texts or "\\" in joined or joined.count('"') != 2 * (len(texts) - 1):
        return texts
    return '{"' + joined + '"}'


def _listed(draws: list[tuple[int, int]]) -> tuple[str, str]:
    """Buckets and units as the insides of two array literals; nearly always there is just one draw."""
    if len(draws) == 1:
        return str(draws[0][0]), str(draws[0][1])
    return ",".join([str(bucket_id) for bucket_id, _ in draws]), ",".join([str(units) for _, units in draws])


class Granted(NamedTuple):
    """What became of the company's part of a stretch. `steered_units`: left to the person, and `why`."""

    units: int
    refused_units: int
    steered_units: int
    amount_micros: int
    why: str

    @property
    def is_nothing(self) -> bool:
        """Whether all of it was left to the person, so that the company has no charge line."""
        return bool(self.steered_units) and not self.units and not self.refused_units


class Charger:
    """Charges one group of parts; `writing.write` then makes its results rows."""

    def __init__(self, cursor, enterprise_id: int | None, state: EnterpriseState, at: datetime):
        self.cursor, self.enterprise_id, self.state, self.at = cursor, enterprise_id, state, at
        self.charged_at = canonical_time(at)
        self.latest = canonical_time(at + settings.USAGE_FUTURE_TOLERANCE)
        self.counts = Counts()
        self.outcomes: list[tuple[int, str]] = []
        # Rows as COPY text, by month of use where the table is partitioned; the charge sequence is appended later.
        self.usage_rows: dict[str, list[str]] = defaultdict(list)
        self.charge_rows: dict[str, list[str]] = defaultdict(list)
        self.personal_rows: dict[str, list[str]] = defaultdict(list)
        self.identity_rows: list[str] = []
        self.taken_over: list[tuple[int, str, int, int]] = []
        self.suspended: list[Suspended] = []
        self.crossed: list[Crossed] = []
        self.drawn_heads: dict[int, BucketHead] = {}
        self.recovered: Corrections = defaultdict(int)
        self._has_recovered = False  # for the stretch being charged
        self.guarding = Guarding(cursor, state.limits, at) if state.limits is not None else None
        self.passed_gates: dict[tuple[tuple[int, int, int], datetime], Gate] = {}
        self._capped_by: tuple[int, int, int] | None = None  # the owner whose cap stops the stretch being charged
        self.tally = Tally()
        self.personal_tally = Tally()
        #: What became of each leg, for a look ahead; None: nobody looks.
        self.seen: list[Seen] | None = None
        self.forking = Forking(self) if state.steering is not None else None
        self._known_by_source: dict[int, dict[str, tuple[int, int]]] = {}
        self._held_by_suspended: set[int] = set()  # sources with such identities among the known ones
        self._conflicts: set[tuple[int, str, int]] = set()
        #: The stretch of the last record, and how old usage may be there: records come nearly in order of time.
        self._stretch: Stretch | None = None
        self._oldest = ""
        self._day: tuple[tzinfo | None, str, str] = (None, "", "")

    @property
    def wrote_facts(self) -> bool:
        """Whether there is something to tell people: marks that were reached, lines that were restricted."""
        guarding = self.guarding
        return bool(self.crossed or (guarding is not None and (guarding.reached or guarding.restricted)))

    # --- a part ----------------------------------------------------------------------------------------------------

    def charge_part(self, part: Part, *, poisoned: frozenset[int], skipped: frozenset[int]) -> None:
        """Charge the records of a part; every one of them gets an outcome."""
        usages = part.usages
        known = self._identities(part)
        recycled = self._recycled(part) if part.source_id in self._held_by_suspended else frozenset()
        state = self.state
        if self.enterprise_id is not None:
            numbers = {(usage.number_kind, usage.number) for usage in usages}
            state.load_lines(self.cursor, numbers)
            if self.forking is not None:
                self.forking.ready(numbers)
        outcomes: list[str] = []
        for position, usage in enumerate(usages):
            if position in skipped:
                outcomes.append(SUSPENDED)
                continue
            identity = known.get(usage.source_record_id)
            if identity is not None and not (identity[1] < 0 and -identity[1] in recycled):
                outcomes.append(self._repeated(part, position, usage, identity))
                continue
            try:
                if position in poisoned:
                    raise CannotCharge(SuspenseReason.INTERNAL, suspense_texts.internal())
                usage_id = self._charge(part, position, usage)
            except CannotCharge as cannot:
                self._suspend(part, position, usage, cannot.reason, cannot.detail, takes_identity=True)
                known[usage.source_record_id] = (usage.content_hash, 0)
                outcomes.append(SUSPENDED)
                continue
            if identity is None:
                self.identity_rows.append(
                    f"{self.enterprise_id}\t{part.source_id}\t{escaped(usage.source_record_id)}"
                    f"\t{usage.content_hash}\t{usage_id}\n"
                )
            else:
                self.taken_over.append((part.source_id, usage.source_record_id, usage.content_hash, usage_id))
            known[usage.source_record_id] = (usage.content_hash, usage_id)
            outcomes.append(CHARGED)
        text = "".join(outcomes)
        self.outcomes.append((part.id, text))
        counts = self.counts
        counts.parts += 1
        counts.charged += text.count(CHARGED)
        counts.duplicate += text.count(DUPLICATE)
        counts.suspended += text.count(SUSPENDED)

    def _identities(self, part: Part) -> dict[str, tuple[int, int]]:
        """Identities of the part's records that are taken: source record id -> (content hash, usage id)."""
        known = self._known_by_source.setdefault(part.source_id, {})
        asked = [usage.source_record_id for usage in part.usages if usage.source_record_id not in known]
        if self.enterprise_id is not None:
            self.cursor.execute(
                "SELECT source_record_id, content_hash, usage_id FROM balances_usageidentity "
                "WHERE enterprise_id = %s AND source_id = %s AND source_record_id = ANY(%s)",
                [self.enterprise_id, part.source_id, _text_array(asked)],
            )
        else:
            # Nobody's records have no identity row (it is an enterprise's); their suspense rows tell them apart. The
            # last one holds the identity: earlier ones were recycled into it; conflicts never hold one.
            self.cursor.execute(
                "SELECT source_record_id, content_hash, -id FROM balances_suspendedusage WHERE enterprise_id IS NULL "
                "AND source_id = %s AND source_record_id = ANY(%s) AND reason <> %s ORDER BY id",
                [part.source_id, _text_array(asked), str(SuspenseReason.CONFLICT)],
            )
        for source_record_id, content_hash, usage_id in self.cursor.fetchall():
            known[source_record_id] = (content_hash, usage_id)
            if usage_id < 0:
                self._held_by_suspended.add(part.source_id)
        return known

    def _recycled(self, part: Part) -> frozenset[int]:
        """Suspense ids that this part recycles: their identities pass to its records."""
        self.cursor.execute("SELECT id FROM balances_suspendedusage WHERE recycled_as_id = %s", [part.id])
        return frozenset(row[0] for row in self.cursor.fetchall())

    def _repeated(self, part: Part, position: int, usage: Usage, identity: tuple[int, int]) -> str:
        """The same content again has no effect; the same id with other content is a conflict for a person to see."""
        if identity[0] == usage.content_hash or self._was_suspended(part, usage):
            return DUPLICATE
        self._conflicts.add((part.source_id, usage.source_record_id, usage.content_hash))
        detail = suspense_texts.conflict(identity[1])
        self._suspend(part, position, usage, SuspenseReason.CONFLICT, detail, takes_identity=False)
        return SUSPENDED

    def _was_suspended(self, part: Part, usage: Usage) -> bool:
        """Whether this very content stands in suspense: as a conflict, or as what a correction has replaced."""
        if (part.source_id, usage.source_record_id, usage.content_hash) in self._conflicts:
            return True
        self.cursor.execute(
            "SELECT EXISTS (SELECT FROM balances_suspendedusage WHERE source_id = %s AND source_record_id = %s "
            "AND content_hash = %s AND enterprise_id IS NOT DISTINCT FROM %s)",
            [part.source_id, usage.source_record_id, usage.content_hash, self.enterprise_id],
        )
        return self.cursor.fetchone()[0]

    def _suspend(
        self, part: Part, position: int, usage: Usage, reason: str, detail: str, *, takes_identity: bool
    ) -> None:
        takes_identity = takes_identity and self.enterprise_id is not None
        self.suspended.append(
            Suspended(
                part.id, position, part.source_id, usage.source_record_id, public(usage), str(reason), detail,
                usage.content_hash, takes_identity,
            )
        )  # fmt: skip

    # --- a record --------------------------------------------------------------------------------------------------

    def _charge(self, part: Part, position: int, usage: Usage) -> int:
        """Charge one record; returns its usage id. Raises `CannotCharge` before anything of it has had an effect."""
        if usage.fault:
            raise CannotCharge(usage.fault, usage.raw["detail"] if usage.raw else "")
        used_at = usage.used_at
        line_id, account_id = self.locate(usage)
        stretch = self._stretch
        if stretch is None or not stretch.starts <= used_at < stretch.ends:
            stretch = self.find_stretch(used_at)
        if used_at < self._oldest:
            days = stretch.oldest_chargeable.days
            raise CannotCharge(SuspenseReason.TOO_OLD, suspense_texts.too_old(used_at, days))
        service = usage.service
        state = self.state
        zone_id = state.zone_by_network.get(usage.visited_network) or state.zone_of(usage.visited_network)
        rate = stretch.rates.get((service, zone_id))
        if rate is None:
            raise CannotCharge(SuspenseReason.NO_RATE, suspense_texts.no_rate(service, usage.visited_network))
        charged_units = arithmetic.round_up(usage.units, rate.increment_units, rate.minimum_units)
        chain = state.chain_of(self.cursor, account_id, used_at)
        ended_at = usage.ended_at
        rounded = f" rounded:{rate.increment_units}" if charged_units != usage.units else ""
        rule = NO_RULE
        if self.forking is not None:
            steered = self.forking.whole(
                part.source_id, usage, line_id, chain, service, zone_id, charged_units, stretch, rate
            )
            if steered is None:
                return self.forking.charge(
                    Located(
                        part, position, usage, line_id, account_id, chain, service, zone_id, stretch, charged_units,
                        rounded,
                    )
                )  # fmt: skip
            why, rule = steered
            rounded += why
        usage_id = self.next_usage_id()
        if ended_at and ended_at > stretch.ends and len(stretches := state.stretches_between(used_at, ended_at)) > 1:
            shares = split_by_time(charged_units, used_at, ended_at, stretches)
            if any((service, zone_id) not in part_stretch.rates for part_stretch, _, _ in shares):
                raise CannotCharge(SuspenseReason.NO_RATE, suspense_texts.no_rate(service, usage.visited_network))
            for number, (part_stretch, starts, share) in enumerate(shares):
                part_rate = part_stretch.rates[service, zone_id]
                self.charge_stretch(
                    usage, usage_id, number, used_at, starts, part_stretch, part_rate, chain, line_id, service, zone_id,
                    share, rounded + " split", 1 if number == 0 else 0, rule,
                )  # fmt: skip
        else:
            self.charge_stretch(
                usage, usage_id, 0, used_at, used_at, stretch, rate, chain, line_id, service, zone_id, charged_units,
                rounded, 1, rule,
            )  # fmt: skip
        ended = ended_at or "\\N"
        attributes = escaped(_json.encode(usage.attributes).decode()) if usage.attributes else "\\N"
        self.usage_rows[used_at[:7]].append(
            f"{usage_id}\t{self.enterprise_id}\t{line_id}\t{account_id}\t{part.id}\t{position}\t{part.source_id}\t"
            f"{escaped(usage.source_record_id)}\t{service}\t{zone_id}\t{usage.units}\t{charged_units}\t{used_at}\t{ended}\t"
            f"{usage.visited_network}\t{escaped(usage.other_party)}\t{usage.imei}\t{attributes}\t{self.charged_at}\t"
            f"1\t\\N\t\\N\t"
        )
        return usage_id

    def next_usage_id(self) -> int:
        """A usage id that nobody else has."""
        return next(_usage_ids, None) or _fetch_usage_ids(self.cursor)

    def locate(self, usage: Usage) -> tuple[int, int]:
        """Line and account of the record, by whose number it was when it was used."""
        used_at = usage.used_at
        if (last := usage.ended_at or used_at) > self.latest:
            raise CannotCharge(SuspenseReason.FUTURE, suspense_texts.future(last, self.charged_at))
        residences = self.state.lines.get((usage.number_kind, usage.number))
        if residences is None:
            raise CannotCharge(
                SuspenseReason.UNKNOWN_LINE, suspense_texts.unknown_line(usage.number_kind, usage.number)
            )
        for starts, ends, line_id, account_id in residences:
            if starts <= used_at < ends:
                return line_id, account_id
        raise CannotCharge(
            SuspenseReason.UNASSIGNED_LINE, suspense_texts.unassigned_line(usage.number, used_at, residences)
        )

    def find_stretch(self, used_at: str) -> Stretch:
        """The stretch of the contract that holds the time of use, its balances loaded."""
        stretch = self.state.stretch_of(used_at)
        if stretch is None:
            first = self.state.first_start()
            if used_at < first:
                raise CannotCharge(SuspenseReason.BEFORE_CONTRACT, suspense_texts.before_contract(used_at, first))
            raise CannotCharge(SuspenseReason.AFTER_CONTRACT, suspense_texts.after_contract(used_at))
        self.state.load_cycle(self.cursor, stretch.cycle)
        self._oldest = canonical_time(self.at - stretch.oldest_chargeable)
        self._stretch = stretch
        return stretch

    def charge_stretch(
        self, usage: Usage, usage_id: int, number: int, used_at: str, starts: str, stretch: Stretch, rate: RateTerms,
        chain: Chain, line_id: int, service: int, zone_id: int, charged_units: int, reasons: str, records: int,
        rule: str, *, is_forced: bool = False,
    ) -> Granted:  # fmt: skip
        """Decide on what the company has of one stretch of a record; draw, price, count and mark what is granted; emit
        its charge line. `rule`: the columns of the steering rule and its part. `is_forced`: limits only count it.
        """
        cycle = stretch.cycle
        if not cycle.loaded:
            self.state.load_cycle(self.cursor, cycle)
        plan = cycle.plans.get((chain.path_id, service, zone_id)) or self.state.plan_of(cycle, chain, service, zone_id)
        own = cycle.heads_by_owner.get((OwnerKind.LINE, line_id))
        heads = plan.heads
        is_covered = plan.is_covered
        if own and (own := [head for head in own if head.service == service and head.covers(zone_id)]):
            heads, is_covered = own + heads, True
        tiers = self._tiers(cycle, plan, line_id, service, own) if cycle.gates else None
        refused_units = steered_units = 0
        why = ""
        guarding, watched, event = self.guarding, None, None
        if guarding is not None and charged_units:
            watched = guarding.limits.along(chain, line_id, service, zone_id)
            if watched is not None and not guarding.passes(watched, charged_units, starts, rate):
                event = Event(
                    usage, usage_id, starts, stretch, rate, chain, line_id, service, zone_id, charged_units, is_forced
                )  # fmt: skip
                granted, why = guarding.grant(watched, event, partial(drawable_through, heads, tiers))
                steered_units = guarding.steered_units
                refused_units = charged_units - granted - steered_units
                charged_units, reasons = granted, reasons + why
                if steered_units and not granted and not refused_units:  # nothing of it is the company's
                    guarding.count(watched, event, 0, 0)
                    return Granted(0, 0, steered_units, 0, why)
        draws, left = self._draw(heads, charged_units) if tiers is None else self._draw_through(tiers, charged_units)
        amount = arithmetic.price_micros(left, rate.price_micros, rate.block_units) if left else 0
        if guarding is not None and watched is not None:
            guarding.count(watched, event, charged_units, amount)
        zone, day_start, day_end = self._day
        if zone is not stretch.zone or not day_start <= starts < day_end:
            _, day_start, _ = self._day = (stretch.zone, *stretch.day_of(starts))
        self.tally.add(chain, line_id, service, zone_id, cycle.starts, day_start, charged_units, left, amount, records)
        self._mark(plan, cycle, line_id, service, charged_units, usage_id, starts)
        if left:
            code = "partly" if draws else "overage" if is_covered else "uncovered"
            reasons += self._stopper(chain)
        else:
            code = "allowance" if charged_units else "refused" if refused_units else "nothing"
        if cycle.ends <= self.charged_at:
            reasons += " late"
        if self._has_recovered:
            reasons += " recovered"
            self._has_recovered = False
        ids, drawn = _listed(draws)
        self.charge_rows[used_at[:7]].append(
            f"{self.enterprise_id}\t{usage_id}\t{number}\t{used_at}\t{starts}\t{cycle.starts}\t1\t{chain.path_id}\t"
            f"{stretch.version_id}\t{rate.id}\t{charged_units}\t{left}\t{amount}\t{{{ids}}}\t{{{drawn}}}\t{refused_units}\t"
            f"{code}{reasons}\t{rule}\t"
        )
        if self.seen is not None:
            covered = charged_units - left
            told = code + reasons
            self.seen.append(Seen(False, starts, charged_units, refused_units, covered, amount, rate, rule, told))
        return Granted(charged_units, refused_units, steered_units, amount, why)

    def _draw(self, heads: list[BucketHead], wanted: int) -> tuple[list[tuple[int, int]], int]:
        """Draw on buckets in their order; returns (bucket, units) of each draw, and what no bucket had.

        Of a closed bucket also what expired or was carried over is taken, by undoing it.
        """
        draws = []
        for head in heads:
            if not wanted:
                break
            if head.remaining < wanted and head.closed:
                self._bring_back(head, wanted - head.remaining)
            taken = head.remaining if head.remaining < wanted else wanted
            if taken:
                head.remaining -= taken
                head.drawn += taken
                self.drawn_heads[head.id] = head
                draws.append((head.id, taken))
                wanted -= taken
        return draws, wanted

    @staticmethod
    def _tiers(cycle: Cycle, plan: Plan, line_id: int, service: int, own: list[BucketHead] | None) -> Tiers | None:
        """The way up from the line where caps stand on it; None where there are none."""
        gate = cycle.gates.get((OwnerKind.LINE, line_id, service))
        if gate is None and plan.tiers is None:
            return None
        return [(own or [], gate), *(plan.tiers or [(plan.heads, None)])]

    def _draw_through(self, tiers: Tiers, wanted: int) -> tuple[list[tuple[int, int]], int]:
        """The same with caps on the way: units from above pass the gates of all tiers below."""
        draws: list[tuple[int, int]] = []
        left, gates = wanted, list[Gate]()
        for heads, gate in tiers:
            tightest = min(gates, key=lambda passed: passed.room, default=None)
            possible = left if tightest is None else min(left, max(tightest.room, 0))
            more, missing = self._draw(heads, possible)
            draws += more
            taken = possible - missing
            left -= taken
            for passed in gates:
                passed.room -= taken
                passed.drawn += taken
                self.passed_gates[passed.owner, passed.cycle_start] = passed
            if left and not missing and tightest is not None and any(head.remaining for head in heads):
                self._capped_by = self._capped_by or tightest.owner
            if gate is not None:
                gates.append(gate)
        return draws, left

    def _stopper(self, chain: Chain) -> str:
        """The reason why there was no more, where a cap or an account that does not draw above is it."""
        if self._capped_by is not None:
            kind, owner_id, _ = self._capped_by
            self._capped_by = None
            return f" capped:{owner_id}" if kind == OwnerKind.ACCOUNT else " capped_line"
        if len(chain.drawing_ids) < len(chain.account_ids):
            return f" stopped:{chain.drawing_ids[-1]}"
        return ""

    def _bring_back(self, head: BucketHead, wanted: int) -> None:
        before = head.remaining
        for bucket, units in head.bring_back(wanted, self.recovered):
            self.state.lower_base(bucket, units)
        self._has_recovered |= head.remaining > before

    def _mark(self, plan: Plan, cycle, line_id: int, service: int, used: int, usage_id: int, starts: str) -> None:
        """Advance the meters along the chain and of the line; note each mark reached and the record that reached it."""
        for meter in plan.meters:
            meter.used += used
            if meter.next_level is not None and meter.used >= meter.next_level:
                self._cross(meter, cycle.starts, service, usage_id, starts)
        meter = cycle.meters.get((OwnerKind.LINE, line_id, service))
        if meter is not None:
            meter.used += used
            if meter.next_level is not None and meter.used >= meter.next_level:
                self._cross(meter, cycle.starts, service, usage_id, starts)

    def _cross(self, meter: Meter, period_start: str, service: int, usage_id: int, crossed_at: str) -> None:
        for level, threshold_id, base in meter.reached():
            self.crossed.append(
                Crossed(
                    threshold_id, meter.account_id, meter.line_id, service, period_start, level, meter.used, base,
                    usage_id, crossed_at,
                )
            )  # fmt: skip

    # --- results ---------------------------------------------------------------------------------------------------

    def changes(self) -> list[Change]:
        """What the group did to buckets: one consumption entry a bucket, and the corrections of late usage."""
        changes = [
            Change(bucket_id, kind, units, self.at)
            for (bucket_id, kind), units in sorted(self.recovered.items())
            if units
        ]
        # A bucket gives back what was carried over only after the carrying has been undone on its own side.
        changes.sort(key=lambda change: change.kind)
        for head in sorted(self.drawn_heads.values(), key=lambda head: head.id):
            changes.append(Change(head.id, EntryKind.CONSUME, head.drawn, self.at))
            head.drawn = 0
        return changes


_usage_ids: Iterator[int] = iter(())


def _fetch_usage_ids(cursor) -> int:
    """Take the next block of usage ids, one round trip for ten thousand; returns its first."""
    global _usage_ids
    cursor.execute("SELECT nextval('balances_usage_id_seq')")
    first = cursor.fetchone()[0]
    _usage_ids = iter(range(first + 1, first + 10_000))
    return first
