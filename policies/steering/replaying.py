"""Reads stored usage for replays of who pays: events in the order of charging, in constant memory. Reads only.

Owns: the query (a cursor on the server's side), grouping charge lines into events as they were sent, and when people
changed what rules read. Payloads are decoded by a function that is passed in. Deciding again is charging's matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from balances.models import AccountPath, ChargeLine, KnownDevice, KnownNumber, LineProfile, LineTag, UsagePart
from balances.models.counters import Payer
from policies.conditions.catalogue import PROFILE
from policies.models import AccountHome, NumberListEntry, SteeringVersion, Trip
from policies.steering.loading import OF_DEVICES, OF_NUMBERS, OFF_CLOCKS
from policies.steering.replay import StoredEvent, StoredLine, StoredRecord

BATCH = 10_000
#: Parts whose records are in memory at once.
PARTS_AT_ONCE = 16

#: What was sent, of a part's payload; records by position.
Decode = Callable[[bytes], Sequence[Any]]

#: Within a charge usage ids rise in the order of charging, and the records of an event stand side by side.
_ROWS = """
    SELECT u.part_id, u.position, u.source_id, u.line_id, c.path_id, u.service, u.zone_id, c.charge_sequence,
        u.charged_at, u.id, u.payer, u.charged_units, u.used_at, u.ended_at, u.visited_network, u.other_party, u.imei,
        u.attributes::text, u.person_id, c.payer, c.starts_at, c.units, c.refused_units, c.overage_units,
        c.amount_micros, c.rule_id, c.part, c.reasons, c.rate_id, c.version_id, c.cycle_start
    FROM balances_chargeline c
    JOIN balances_usagerecord u ON u.id = c.usage_id AND u.used_at = c.used_at
    WHERE c.enterprise_id = %s AND c.used_at >= %s AND c.used_at < %s
        AND u.enterprise_id = %s AND u.used_at >= %s AND u.used_at < %s{below}
    ORDER BY c.charge_sequence, c.usage_id, c.number
"""
_OF_EVENT, _OF_RECORD = 9, 19  # columns: of the event, of the record up to here, of the charge line from here


class TagTurn(NamedTuple):
    """Charges after this sequence know that a line bears a tag, or bears it no more."""

    sequence: int
    line_id: int
    tag: str
    is_added: bool


def events(
    *, enterprise_id: int, since: datetime, until: datetime, decode: Decode, path_ids: Sequence[int] | None = None
) -> Iterator[list[StoredEvent]]:
    """Usage of a time in the order in which it was charged, some thousand events at a time.

    `path_ids`: only what was charged along these chains of accounts.
    """
    place: list[Any] = [enterprise_id, since, until]
    query = _ROWS.format(below=" AND c.path_id = ANY(%s)" if path_ids is not None else "")
    begun: StoredEvent | None = None
    # Not in a transaction, whose progress nobody else would see before its end: the server keeps the whole result.
    with connection.chunked_cursor() as cursor:
        cursor.execute(query, place + place + ([list(path_ids)] if path_ids is not None else []))
        while rows := cursor.fetchmany(BATCH):
            found = list(_grouped(rows, begun))
            begun = found.pop()  # its other charge lines may come with the next batch
            if found:
                yield _with_what_was_sent(found, decode)
    if begun is not None:
        yield _with_what_was_sent([begun], decode)


def _grouped(rows: Iterable[tuple], begun: StoredEvent | None) -> Iterator[StoredEvent]:
    event = begun
    for row in rows:
        # Of the usage that has no part (there is none), each record is an event of its own.
        if event is None or row[1] != event.position or row[0] != event.part_id or row[7] != event.sequence:
            if event is not None:
                yield event
            event = StoredEvent(*row[:_OF_EVENT])
        records = event.records
        if not records or records[-1].usage_id != row[_OF_EVENT]:
            records.append(StoredRecord._make((*row[_OF_EVENT:_OF_RECORD], [])))
        records[-1].lines.append(StoredLine(*row[_OF_RECORD:]))
    if event is not None:
        yield event


def _with_what_was_sent(found: list[StoredEvent], decode: Decode) -> list[StoredEvent]:
    by_part: dict[int, list[StoredEvent]] = defaultdict(list)
    for event in found:
        by_part[event.part_id].append(event)
    part_ids = list(by_part)
    for start in range(0, len(part_ids), PARTS_AT_ONCE):
        here = part_ids[start : start + PARTS_AT_ONCE]
        for part_id, payload in UsagePart.objects.filter(id__in=here).values_list("id", "payload"):
            sent = decode(bytes(payload))
            for event in by_part[part_id]:
                event.sent = sent[event.position]
    return found


def count(*, enterprise_id: int, since: datetime, until: datetime, path_ids: Sequence[int] | None = None) -> int:
    """How many charge lines of the company a replay will read: the measure of its progress. Nobody learns from it how
    much people used for themselves."""
    lines = ChargeLine.objects.filter(
        enterprise_id=enterprise_id, payer=Payer.CORPORATE, used_at__gte=since, used_at__lt=until
    )
    return (lines if path_ids is None else lines.filter(path_id__in=path_ids)).count()


def paths(enterprise_id: int) -> dict[int, tuple[int, ...]]:
    """Chains of accounts, from the line's own up to the root, by the id that charge lines name."""
    rows = AccountPath.objects.filter(enterprise_id=enterprise_id).values_list("id", "account_ids")
    return {path_id: tuple(account_ids) for path_id, account_ids in rows}


def book_turns(enterprise_id: int, fields: frozenset[str]) -> list[int]:
    """The charge sequences after which charges knew other rules, or other facts of the fields that any of them read."""
    found: set[int | None] = set()
    versions = SteeringVersion.objects.filter(enterprise_id=enterprise_id)
    for pair in versions.values_list("published_sequence", "retired_sequence"):
        found.update(pair)
    facts: list[tuple[Any, bool]] = [
        (Trip, "on_trip" in fields),
        (NumberListEntry, "list" in fields),
        (LineProfile, any(name.startswith(PROFILE) for name in fields)),
        (KnownNumber, bool(fields & OF_NUMBERS)),
        (KnownDevice, bool(fields & OF_DEVICES)),
        (AccountHome, bool(fields & OFF_CLOCKS)),
    ]
    for model in [model for model, is_read in facts if is_read]:
        rows = model.objects.filter(enterprise_id=enterprise_id)
        for pair in rows.values_list("added_sequence", "removed_sequence").iterator():
            found.update(pair)
    return sorted(sequence for sequence in found if sequence is not None)


def tag_turns(enterprise_id: int) -> list[TagTurn]:
    """When lines came to bear tags, and no longer did, in order."""
    found = []
    rows = LineTag.objects.filter(enterprise_id=enterprise_id).order_by("id")
    for line_id, tag, added, removed in rows.values_list("line_id", "tag", "added_sequence", "removed_sequence"):
        found.append(TagTurn(added, line_id, tag, True))
        if removed is not None:
            found.append(TagTurn(removed, line_id, tag, False))
    return sorted(found, key=lambda turn: turn.sequence)
