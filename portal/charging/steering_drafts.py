"""What a draft of who pays would have moved between company and people, over stored usage.

Owns: deciding on each event twice, with the published rules and with the draft in place of its account's; both with
tags, trips, lists, profiles and users of now. What the company would lose is decided on the company's own records
alone, with budgets that know nothing of personal usage: so what is told of single events and people says nothing of
it. What would come to the company is decided on whole events and told in sums only (`policies.steering.moves`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from balances.models import Rate
from balances.units import price_micros
from policies.conditions import fields_read
from policies.conditions.catalogue import PREFIX, PROFILE
from policies.models import SteeringVersion
from policies.steering import loading, replaying
from policies.steering.moves import Leaving, Moves, Rated, freed
from policies.steering.replay import COMPANY, PERSON, StoredEvent, StoredLine, StoredRecord
from portal.charging.records import Usage, canonical_time, decode_payload
from portal.charging.steering_replaying import (
    Deciding,
    Facts,
    Progress,
    SteeringInMemory,
    budgets_of,
    read_from,
    usage_of,
    usage_of_record,
)

#: Fields that read whom somebody called: with them single events and people would tell digits that are masked. Of the
#: network's message any may, whatever it is called or declared as.
_OF_NUMBERS, _MAY_BE_NUMBERS = frozenset({"other_party", "list", "directory"}), (PREFIX,)
#: Fields that name one line or device: of a draft or what it replaces, they would ask about one person among decoys.
#: The message may name it, too (an IMSI, a SUPI), and a profile says whatever a manager wrote into it.
_OF_ONE, _MAY_BE_ONE = frozenset({"line", "device.imei"}), (PREFIX, PROFILE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read for a replay, and what is told of it. `path_ids` None: all usage counts, as budgets are shared."""

    enterprise_id: int
    account_id: int
    told_paths: frozenset[int]
    path_ids: list[int] | None
    since: datetime
    read_from: datetime
    until: datetime
    asks_numbers: bool
    names_one: bool

    def count(self) -> int:
        """How many charge lines of the company are read."""
        return replaying.count(
            enterprise_id=self.enterprise_id, since=self.read_from, until=self.until, path_ids=self.path_ids
        )


class DraftReplay:
    """Decides on events with the published rules and with a draft; see the module's paragraph."""

    def __init__(self, draft: SteeringVersion, *, since: datetime, until: datetime):
        enterprise_id = draft.enterprise_id
        self.moves = Moves()
        books = loading.load(enterprise_id), loading.load(enterprise_id, instead=draft)
        self._facts = facts = Facts(enterprise_id)

        def pair() -> tuple[Deciding, Deciding]:
            made = [Deciding(facts, SteeringInMemory(enterprise_id, book), as_then=False) for book in books]
            return made[0], made[1]

        budgets = [budget for book in books for budget in budgets_of(book)]
        reads_use = any(book is not None and book.fields & {"used", "spent"} for book in books)
        self._has_memory = bool(budgets) or reads_use
        self._visible = pair()
        self._whole = pair() if self._has_memory else self._visible
        rates = Rate.objects.filter(version__enterprise_id=enterprise_id)
        self._rates = {
            rate_id: (price, block)
            for rate_id, price, block in rates.values_list("id", "overage_price_micros", "overage_block_units")
        }
        self.plan = self._planned(draft, since, until)

    def _planned(self, draft: SteeringVersion, since: datetime, until: datetime) -> Plan:
        account_id = draft.steering.account_id
        told = {
            path: chain.account_ids for path, chain in self._facts.chains.items() if account_id in chain.account_ids
        }
        above = {above for ids in told.values() for above in ids[ids.index(account_id) + 1 :]}
        books = [deciding.steering.book for deciding in self._visible]
        budgets = [budget for book in books for budget in budgets_of(book)]
        is_shared = any(budget.account_id in above for budget in budgets)
        reads_use = any(deciding.steering.reads_use for deciding in self._visible)
        first = read_from(draft.enterprise_id, since, budgets, reads_use=reads_use)
        chained = {account_id, *above}.union(*told.values())
        read = [
            (version.account_id, fields_read(rule.when))
            for book in books
            if book is not None
            for version in book.versions
            if version.account_id in chained and version.ends > first
            for rule in version.terms.rules
        ]
        return Plan(
            draft.enterprise_id, account_id, frozenset(told), None if is_shared else sorted(told), since, first, until,
            any(_reads(fields, _OF_NUMBERS, _MAY_BE_NUMBERS) for _, fields in read),
            any(_reads(fields, _OF_ONE, _MAY_BE_ONE) for place, fields in read if place == account_id),
        )  # fmt: skip

    def take(self, events: list[StoredEvent]) -> int:
        """Decide on events, in the order in which they were charged; returns how many charge lines the company had."""
        lines = 0
        for event in events:
            is_below = event.path_id in self.plan.told_paths
            company = event.company
            if company is not None:
                lines += len(company.lines)
                self._take_company(event, company, is_told=is_below and company.used_at >= self.plan.since)
            if self._has_memory or len(event.records) > 1 or company is None:
                self._take_whole(event, is_told=is_below and event.used_at >= self.plan.since)
        return lines

    def _take_company(self, event: StoredEvent, record: StoredRecord, *, is_told: bool) -> None:
        usage = usage_of_record(event, record)
        asked = sum([line.asked_units for line in record.lines])
        before, after = (deciding.company_units(event, usage, asked) for deciding in self._visible)
        self._count(self._visible, event, record.lines)
        if not is_told:
            return
        self.moves.events += 1
        if after >= before:
            return
        # Of a part that rules share by percent, the company's record is what is shared once more by either.
        left = asked - (before - after) if before == asked else asked * after // before
        self.moves.leave(self._leaving(event, record, usage, asked, left))

    def _leaving(self, event: StoredEvent, record: StoredRecord, usage: Usage, asked: int, left: int) -> Leaving:
        lines = record.lines
        rated = Rated(
            sum([line.units for line in lines]),
            sum([line.overage_units for line in lines]),
            sum([line.amount_micros for line in lines]),
            *self._rates[lines[-1].rate_id],
        )
        person_id = self._visible[1].steering.user_of(event.line_id, canonical_time(record.used_at))
        price = self._facts.personal.price_at(person_id, event.service, event.zone_id, usage.used_at)
        moved = asked - left
        return Leaving(
            record.usage_id, record.used_at, event.line_id, self._facts.chains[event.path_id].account_ids[0], person_id,
            event.service, moved, asked, freed(rated, asked, left), None if price is None else price.of(moved),
        )  # fmt: skip

    def _take_whole(self, event: StoredEvent, *, is_told: bool) -> None:
        usage, lines = usage_of(event), event.lines
        asked = sum([line.asked_units for line in lines])
        before, after = (deciding.company_units(event, usage, asked) for deciding in self._whole)
        if self._has_memory:
            self._count(self._whole, event, lines)
        if not is_told or after <= before or all(record.payer == COMPANY for record in event.records):
            return
        person_id = next((one.person_id for one in event.records if self._is_paid(one)), None)
        if person_id is not None:
            units = after - before
            value = price_micros(units, *self._rates[lines[0].rate_id])
            self.moves.come(service=event.service, person_id=person_id, units=units, value_micros=value)

    def _is_paid(self, record: StoredRecord) -> bool:
        """Whether a person who had accepted an account by then was granted something: others are easily made up."""
        if record.payer != PERSON or not any(line.units for line in record.lines):
            return False
        return self._facts.personal.has_account(record.person_id, canonical_time(record.used_at))

    @staticmethod
    def _count(pair: tuple[Deciding, Deciding], event: StoredEvent, lines: list[StoredLine]) -> None:
        for deciding in pair:
            if deciding.steering.reads_use:
                deciding.steering.count_lines(event, lines)


def _reads(fields: frozenset[str], names: frozenset[str], prefixes: tuple[str, ...]) -> bool:
    """Whether any of the fields is one of the names, or begins with a prefix."""
    return not fields.isdisjoint(names) or any(name.startswith(prefixes) for name in fields)


def run(replay: DraftReplay, *, progress: Progress | None = None) -> Moves:
    """Replay a draft; `progress` hears how many charge lines of the company are done."""
    plan, done = replay.plan, 0
    for events in replaying.events(
        enterprise_id=plan.enterprise_id, since=plan.read_from, until=plan.until, decode=decode_payload,
        path_ids=plan.path_ids,
    ):  # fmt: skip
        done += replay.take(events)
        if progress is not None:
            progress(done)
    return replay.moves
