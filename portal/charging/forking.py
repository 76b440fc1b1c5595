"""Records of which a person pays something: cut where who pays changes, split among payers, one usage record a payer.

Owns: the way of a record on which rules of who pays, or limits that leave something to people, have a say. The usual
one is the company's as a whole (`whole`) and goes on as if there were no rules. Uses the charger for what the company
pays, and the personal book for what people do. docs/byod.md
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from balances import units as arithmetic
from balances.models.usage import SuspenseReason
from balances.units import split_in_proportion
from policies.steering.rules import CORPORATE
from portal.charging import suspense_texts
from portal.charging.group import CannotCharge, Part, Seen
from portal.charging.rating import share_by_time
from portal.charging.records import Usage, escaped
from portal.charging.steering import Leg, Piece, Steered, Steering, share_out
from portal.charging.terms import RateTerms, Stretch

if TYPE_CHECKING:
    from portal.charging.charger import Charger, Granted
    from portal.charging.state import Chain

_json = msgspec.json.Encoder()
#: Columns of rule and part of a charge line on which no rule decided.
NO_RULE = "\\N\t\\N"
#: What of the network's message stays with the company's part of a record that forked: nothing that measures the rest.
_SHOWN_ATTRIBUTES = ("apn", "dnn", "radio", "rat", "rat_type", "ratType", "application", "app", "app_category")


class Located(NamedTuple):
    """A record on its way, its line, chain and contract found, its units rounded."""

    part: Part
    position: int
    usage: Usage
    line_id: int
    account_id: int
    chain: Chain
    service: int
    zone_id: int
    stretch: Stretch
    charged_units: int
    reasons: str


class _Record:
    """A usage record in the making: what one payer has of the event."""

    __slots__ = ("ends", "id", "lines", "person_id", "units", "used_at")

    def __init__(self, usage_id: int, used_at: str, person_id: int | None):
        self.id, self.used_at, self.person_id = usage_id, used_at, person_id
        self.ends = used_at
        self.lines = self.units = 0

    def take(self, units: int, ends: str) -> int:
        """Note one more charge line; returns its number."""
        self.lines += 1
        self.units += units
        self.ends = ends
        return self.lines - 1


class Forking:
    """Charges records of a group that may have two payers; see the module's paragraph."""

    def __init__(self, charger: Charger):
        self._charger = charger
        state = charger.state
        assert state.steering is not None
        assert state.personal is not None
        self._steering: Steering = state.steering
        self._personal = state.personal
        self._corrections_id = state.corrections_id
        #: Who pays the event that `whole` was asked for last, where it is an instant and not the company's alone.
        self._instant: Steered | None = None

    def ready(self, numbers: set[tuple[int, int]]) -> None:
        """Have in memory what the people of these numbers may need: some queries a part, instead of some a person."""
        fresh = numbers - self._personal.ready_for
        if not fresh:
            return
        lines = self._charger.state.lines
        line_ids = {residence[2] for number in fresh for residence in lines.get(number, ())}
        self._personal.ready(self._charger.cursor, self._steering.users_of(line_ids))
        self._personal.ready_for |= fresh

    def whole(
        self, source_id: int, usage: Usage, line_id: int, chain: Chain, service: int, zone_id: int, units: int,
        stretch: Stretch, rate: RateTerms,
    ) -> tuple[str, str] | None:  # fmt: skip
        """Reasons and rule of an event that the company pays as a whole; None for any other, or where it takes a closer
        look to tell."""
        steering, self._instant = self._steering, None
        if source_id == self._corrections_id or steering.reads_use:  # all that is charged has to be counted
            return None
        if usage.other_party and steering.is_emergency(service, usage):
            return "", NO_RULE
        used_at, ended_at = usage.used_at, usage.ended_at
        guarding = self._charger.guarding
        if steering.limits_steer and guarding is not None:
            if ended_at > stretch.ends:
                return None
            watched = guarding.limits.along(chain, line_id, service, zone_id)
            if watched is not None and not guarding.passes(watched, units, used_at, rate):
                return None
        rules = steering.rules(chain, line_id, service, zone_id)
        if rules is None:
            return "", NO_RULE
        decided, segment = steering.decide(
            self._charger.cursor, rules, usage, line_id, service, zone_id, units, stretch, used_at
        )
        if not decided.outcome.is_company:
            if not ended_at:
                self._instant = steering.steered(decided, segment, line_id, used_at)
            return None
        if ended_at:
            if ended_at > segment.ends_text or ended_at > stretch.ends:
                return None
            if segment.has_moving and steering.turns_over(segment, line_id, used_at, ended_at):
                return None
        return decided.reasons, _rule(decided.outcome.id, 1)

    def charge(self, event: Located) -> int:
        """Charge an event, cut and split; returns the usage id that holds its identity. Raises CannotCharge first."""
        if self._is_correction(event):  # it was rounded when it was charged to the person
            event = event._replace(charged_units=event.usage.units, reasons="")
        pieces = self._pieces(event)
        for piece in pieces:
            if (event.service, event.zone_id) not in piece.stretch.rates:
                detail = suspense_texts.no_rate(event.service, event.usage.visited_network)
                raise CannotCharge(SuspenseReason.NO_RATE, detail)
        records: dict[int | None, _Record] = {}
        outcome = pieces[0].steered.outcome
        if len(pieces) == 1 and outcome.is_personal:  # the usual one: no budget, nothing for the company
            reasons, rule = event.reasons + pieces[0].steered.reasons, _rule(outcome.id, 1)
            rate = pieces[0].stretch.rates[event.service, event.zone_id]
            self._charge_person(event, records, pieces[0], rate, event.charged_units, reasons, rule)
            return self._write(event, records)
        taken = share_out(event.charged_units, pieces)
        is_cut = " split" if len(taken) > 1 else ""
        for piece, units in taken:
            rate = piece.stretch.rates[event.service, event.zone_id]
            legs, over = self._steering.legs(self._charger.cursor, piece, event.line_id, units, rate)
            for leg in legs:
                self._charge_leg(
                    event, records, piece, rate, leg, event.reasons + piece.steered.reasons + over + is_cut
                )
        return self._write(event, records)

    def _is_correction(self, event: Located) -> bool:
        """Whether a person decided that the company pays it, whatever rules and limits say."""
        return event.part.source_id == self._corrections_id

    def _pieces(self, event: Located) -> list[Piece]:
        """The event, cut at the contract's stretches and within them where who pays changes."""
        charger, usage, steering = self._charger, event.usage, self._steering
        if self._instant is not None:
            return [Piece(event.stretch, usage.used_at, usage.used_at, self._instant)]
        ends = usage.ended_at or usage.used_at
        stretches = [event.stretch]
        if ends > event.stretch.ends:
            stretches = charger.state.stretches_between(usage.used_at, ends)
        rules = None
        if not self._is_correction(event) and not steering.is_emergency(event.service, usage):
            rules = steering.rules(event.chain, event.line_id, event.service, event.zone_id)
        return steering.cut(
            charger.cursor, rules, usage, event.line_id, event.service, event.zone_id, event.charged_units, stretches,
            self._personal.turns_between,
        )  # fmt: skip

    def _charge_leg(
        self, event: Located, records: dict[int | None, _Record], piece: Piece, rate: RateTerms, leg: Leg, reasons: str
    ) -> None:
        rule = _rule(piece.steered.outcome.id, leg.share.number)
        if leg.share.payer != CORPORATE:
            refused = self._charge_person(event, records, piece, rate, leg.share.units, reasons, rule)
            self._steering.give_back(self._charger.cursor, leg, refused, rate)
            return
        is_correction = self._is_correction(event)
        if is_correction:
            reasons += f" correction:{(event.usage.attributes or {}).get('contest', 0)}"
        record = self._record(records, None, piece)
        number = record.lines
        granted = self._charger.charge_stretch(
            event.usage, record.id, number, record.used_at, piece.starts, piece.stretch, rate, event.chain,
            event.line_id, event.service, event.zone_id, leg.share.units, reasons, 0 if number else 1, rule,
            is_forced=is_correction,
        )  # fmt: skip
        if not granted.is_nothing:
            record.take(leg.share.units - granted.steered_units, piece.ends)
        self._steering.give_back(self._charger.cursor, leg, granted.refused_units + granted.steered_units, rate)
        self._steering.count(
            self._charger.cursor, piece.stretch, event.line_id, event.service, granted.units, granted.amount_micros
        )
        if granted.steered_units:
            self._charge_left(event, records, piece, rate, leg.share.units, granted, reasons + granted.why)

    def _charge_left(
        self, event: Located, records: dict[int | None, _Record], piece: Piece, rate: RateTerms, units: int,
        granted: Granted, reasons: str,
    ) -> None:  # fmt: skip
        """What a limit left to the person of the `units` of a piece: what came after what it granted, cut where the
        line passes to somebody else and where the terms of the person's account turn."""
        turns = self._personal.turns_between
        spans = self._steering.personal_spans(event.line_id, piece.starts, piece.ends, turns)
        if len(spans) == 1:
            self._charge_person(event, records, piece, rate, granted.steered_units, reasons, NO_RULE)
            return
        before, left, parts = granted.units, granted.steered_units, []
        for (starts, ends), share in zip(spans, share_by_time(units, spans), strict=True):
            here = min(max(share - before, 0), left)
            before, left = max(before - share, 0), left - here
            if here:
                parts.append((piece._replace(starts=starts, ends=ends), here))
        is_cut = " split" if len(parts) > 1 and " split" not in reasons else ""
        for part, here in parts:
            self._charge_person(event, records, part, rate, here, reasons + is_cut, NO_RULE)

    def _charge_person(
        self, event: Located, records: dict[int | None, _Record], piece: Piece, rate: RateTerms, units: int,
        reasons: str, rule: str,
    ) -> int:  # fmt: skip
        """What a person has of a piece, by the terms of the personal account; what it cannot pay is on credit or
        refused. Returns the units that are refused."""
        charger, steered = self._charger, piece.steered
        person_id = steered.person_id
        if person_id is None:
            person_id = self._steering.user_of(event.line_id, piece.starts)
        record = self._record(records, person_id or 0, piece)
        number = record.take(units, piece.ends)
        leg = self._personal.charge(
            charger.cursor, person_id=person_id, service=event.service, zone_id=event.zone_id, units=units,
            starts=piece.starts, missing=steered.missing, value=partial(_value, rate),
        )  # fmt: skip
        if leg.open:
            self._personal.note_open(
                leg, usage_id=record.id, number=number, used_at=record.used_at, starts=piece.starts,
                line_id=event.line_id, person_id=person_id, service=event.service, zone_id=event.zone_id,
            )  # fmt: skip
        cycle = piece.stretch.cycle
        charger.personal_tally.add(
            event.chain, event.line_id, event.service, event.zone_id, cycle.starts, "", leg.units, 0, 0,
            0 if number else 1,
        )  # fmt: skip
        if charger.seen is not None:
            covered = sum([taken for _, taken in leg.draws])
            why = (leg.reasons + reasons).strip()
            charger.seen.append(
                Seen(True, piece.starts, leg.units, leg.refused_units, covered, leg.micros, rate, rule, why)
            )
        ids = ",".join([str(bucket_id) for bucket_id, _ in leg.draws])
        drawn = ",".join([str(taken) for _, taken in leg.draws])
        charger.personal_rows[record.used_at[:7]].append(
            f"{charger.enterprise_id}\t{record.id}\t{number}\t{record.used_at}\t{piece.starts}\t{cycle.starts}\t2\t"
            f"{event.chain.path_id}\t{piece.stretch.version_id}\t{rate.id}\t{leg.units}\t0\t0\t{leg.refused_units}\t"
            f"{(leg.reasons + reasons).strip()}\t{rule}\t{_or_null(leg.account_id)}\t{_or_null(leg.rate_id)}\t"
            f"{{{ids}}}\t{{{drawn}}}\t{leg.micros}\t"
        )
        return leg.refused_units

    def _record(self, records: dict[int | None, _Record], whose: int | None, piece: Piece) -> _Record:
        """The record of a payer: None the company, else a person (0: nobody known)."""
        record = records.get(whose)
        if record is None or not record.lines:
            record = records[whose] = _Record(self._charger.next_usage_id(), piece.starts, whose or None)
        return record

    def _write(self, event: Located, records: dict[int | None, _Record]) -> int:
        """Emit the usage records; the company's holds the identity, else the first one."""
        charger, usage, part = self._charger, event.usage, event.part
        if None in records and not records[None].lines:
            del records[None]
        holder = records.get(None) or next(iter(records.values()))
        is_forked = len(records) > 1
        reported = [usage.units]
        if is_forked:
            reported = split_in_proportion(usage.units, [record.units for record in records.values()])
        for (whose, record), units in zip(records.items(), reported, strict=True):
            attributes: Mapping[str, Any] | None = usage.attributes
            if is_forked and whose is None and attributes:
                attributes = {name: attributes[name] for name in _SHOWN_ATTRIBUTES if name in attributes}
            ended = "\\N" if not usage.ended_at else record.ends
            counterpart = holder.id if record is not holder else None
            charger.usage_rows[record.used_at[:7]].append(
                f"{record.id}\t{charger.enterprise_id}\t{event.line_id}\t{event.account_id}\t{part.id}\t"
                f"{event.position}\t{part.source_id}\t{escaped(usage.source_record_id)}\t{event.service}\t"
                f"{event.zone_id}\t{units}\t{record.units}\t{record.used_at}\t{ended}\t{usage.visited_network}\t"
                f"{escaped(usage.other_party)}\t{usage.imei}\t{_text(attributes)}\t{charger.charged_at}\t"
                f"{1 if whose is None else 2}\t{_or_null(counterpart)}\t{_or_null(record.person_id)}\t"
            )
        return holder.id


@lru_cache(maxsize=10_000)
def _rule(outcome_id: int, number: int) -> str:
    """The columns of rule and part."""
    return f"{outcome_id}\t{number}" if outcome_id else NO_RULE


def _value(rate: RateTerms, units: int) -> int:
    """What units would cost at the contract's rate."""
    return arithmetic.price_micros(units, rate.price_micros, rate.block_units)


def _or_null(value: int | None) -> str:
    return "\\N" if value is None else str(value)


def _text(attributes: Mapping[str, Any] | None) -> str:
    return escaped(_json.encode(attributes).decode()) if attributes else "\\N"
