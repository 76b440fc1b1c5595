"""Suspense: records that could not be charged yet, why, and the two ways out: recycled, or written off.

Owns: the texts that people read for each reason, and the end of a suspended record's life. Rows are made by charging
(`portal.charging.writing`). Never charges: a recycled record goes the way of every delivery, through the inbox, and
takes over the identity that its suspense row held.

One claim is one conditional change under row locks: whoever comes second finds the row resolved and leaves it alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from balances import audit, fields, masking
from balances.errors import Refused
from balances.models import SuspendedUsage, UsagePart
from balances.models.usage import SuspenseReason, SuspenseState
from balances.scope import Scope, Verb
from portal.charging import concealing, ingest, records
from portal.charging.records import Usage

#: Rows resolved in one transaction.
CHUNK = 5_000
#: Rows that one call resolves at most; whoever has more calls again.
MOST_AT_ONCE = 50_000
NOTE_LENGTH = 200

#: Fields of a record that a correction may set; an empty value takes the field away.
CORRECTABLE = (
    "source_record_id",
    "service",
    "msisdn",
    "imsi",
    "units",
    "started_at",
    "ended_at",
    "visited_network",
    "other_party",
    "imei",
)


class NotCorrectable(Refused):
    """A correction of something that a record does not have, or that cannot be one and the same for many."""


class NeedsNewId(Refused):
    """A conflict keeps the id of another record; it needs one of its own."""


class TooMany(Refused):
    """More rows than one call resolves."""


@dataclass(frozen=True, slots=True)
class ReasonText:
    """What a person reads about a reason: its name, what happened, how to mend it."""

    title: str
    happened: str
    mend: str


REASON_TEXTS: dict[str, ReasonText] = {
    SuspenseReason.MALFORMED: ReasonText(
        "Malformed",
        "A value is not of its kind: a number with letters, a time that is no time.",
        "Correct the value. Mend the sender or the column profile too, so that the next one is right by itself.",
    ),
    SuspenseReason.UNKNOWN_SERVICE: ReasonText(
        "Unknown service",
        "The record names a service that is not sold here.",
        "Set the service to data, voice, messaging or video_conferencing; translate the file's own code in the column "
        "profile, so that the next file is right by itself.",
    ),
    SuspenseReason.UNKNOWN_LINE: ReasonText(
        "Unknown line",
        "No line has the number of this record.",
        "Add the line with a start before the time of use and recycle, or correct the number.",
    ),
    SuspenseReason.UNASSIGNED_LINE: ReasonText(
        "Line not assigned at that time",
        "The number is known, but belonged to no account when it was used.",
        "Let the line begin earlier, or correct the number or the time, and recycle.",
    ),
    SuspenseReason.NEGATIVE_UNITS: ReasonText(
        "Negative units",
        "The record reports less than nothing. Usage is never negative; refunds are no usage.",
        "Correct the units, or write the record off.",
    ),
    SuspenseReason.ABSURD_UNITS: ReasonText(
        "Absurd units",
        "The record reports more than any session can use (over 1 PiB, or as many seconds).",
        "Usually a wrong unit in the file: correct the units, and mend the column profile for the next file.",
    ),
    SuspenseReason.FRACTIONAL_UNITS: ReasonText(
        "Fractional units",
        "Units are whole octets, seconds or messages; this record has a fraction of one.",
        "Correct the units. For the next file, let the column profile round, or name the unit that it counts in.",
    ),
    SuspenseReason.AMBIGUOUS_TIME: ReasonText(
        "Time without offset",
        "The time could mean two instants, or none: it has no offset, or lies in the hour when clocks change.",
        "Write the time with its offset, like 2026-03-29T02:30:00+02:00.",
    ),
    SuspenseReason.ENDS_BEFORE_START: ReasonText(
        "Ends before it starts",
        "The end of use lies before its start.",
        "Correct one of the two times, or leave the end empty.",
    ),
    SuspenseReason.FUTURE: ReasonText(
        "In the future",
        "The time of use has not come yet.",
        "Check the sender's clock and the time zone of the column profile. Recycle when the time has come.",
    ),
    SuspenseReason.BEFORE_CONTRACT: ReasonText(
        "Before the contract",
        "The record was used before the contract began.",
        "Correct the time, publish a contract that covers it, or write the record off.",
    ),
    SuspenseReason.AFTER_CONTRACT: ReasonText(
        "After the contract",
        "No contract was in force when the record was used.",
        "Publish or extend a contract and recycle, or write the record off.",
    ),
    SuspenseReason.TOO_OLD: ReasonText(
        "Too old",
        "The record is older than the contract allows for late usage.",
        "Agree with the operator what shall be: write it off, or charge it with a later time of use.",
    ),
    SuspenseReason.NO_RATE: ReasonText(
        "No rate",
        "The contract has no rate for this service where it was used.",
        "Publish a version with a rate for the zone and recycle, or correct the visited network.",
    ),
    SuspenseReason.CONFLICT: ReasonText(
        "Same id, other content",
        "An earlier record of this source has the same id and other content. The first one stands; nothing of this "
        "one was charged.",
        "If this is another event, give it an id of its own. If it is a repair of the first, write it off.",
    ),
    SuspenseReason.INTERNAL: ReasonText(
        "Could not be processed",
        "The record made charging fail; its neighbours were charged. The fault is logged.",
        "Recycle once the fault is mended.",
    ),
}


def within(scope: Scope, verb: Verb = Verb.MANAGE) -> QuerySet[SuspendedUsage]:
    """The suspended records in reach; those of nobody's line are the operator's own staff's."""
    reach = SuspendedUsage.objects.within(scope, verb)
    if scope.operator_ids:
        reach |= SuspendedUsage.objects.filter(enterprise__isnull=True, operator_id__in=scope.operator_ids)
    return reach


def show(rows: Iterable[SuspendedUsage], scope: Scope) -> frozenset[int]:
    """Conceal, in memory, what the reader of these rows may not see of them; returns the ids of those concealed whole.

    Of the others, numbers of other parties are cut as those of usage are. The operator's staff, who mend them, see all.
    """
    rows = list(rows)
    theirs = _enterprises(rows) - scope.whole_enterprise_ids(Verb.ADMINISTER)
    if not theirs:
        return frozenset()
    where, masks = concealing.concealed(scope, theirs), masking.Masks(theirs)
    hidden = [row for row in rows if row.enterprise_id in where]
    for row in hidden:
        concealing.conceal(row, REASON_TEXTS[row.reason].happened)
    for row in rows:
        if row.enterprise_id in theirs - where:
            row.record = masking.show_sent(row.record, row.enterprise_id, masks, row.suspended_at)
    return frozenset(row.pk for row in hidden)


def matching(rows: QuerySet[SuspendedUsage], scope: Scope, condition: Q) -> QuerySet[SuspendedUsage]:
    """Those rows whose content fits; of records that the reader may not see nothing is found by what they say."""
    where = concealing.concealed(scope, scope.enterprise_ids(Verb.VIEW))
    return rows.filter(condition).exclude(enterprise_id__in=where) if where else rows.filter(condition)


def since(rows: QuerySet[SuspendedUsage], scope: Scope, at: datetime) -> QuerySet[SuspendedUsage]:
    """Those suspended at or after an instant; of those of which the reader sees the day alone, from its day on."""
    where = concealing.concealed(scope, scope.enterprise_ids(Verb.VIEW))
    midnight = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return rows.filter(Q(suspended_at__gte=at) | Q(suspended_at__gte=midnight, enterprise_id__in=where))


def corrected(record: Mapping[str, Any], corrections: Mapping[str, Any]) -> Usage:
    """A record as it would be sent again with corrections. Raises `records.Unidentifiable`."""
    merged = {**record, **corrections}
    kept = {key: value for key, value in merged.items() if value not in ("", None)}
    # What people and files write is text: numbers and times are read from it.
    return records.read_mapping(kept, lax=True)


def recycle(
    *,
    ids: Iterable[int],
    corrections: Mapping[str, Any] | None = None,
    scope: Scope,
    actor: str,
    at: datetime,
) -> int:
    """Send suspended records again, with corrections if given; returns how many were still open and now are not.

    Each chunk is a transaction of its own: rows are claimed, a new delivery is made of them, and they point to it.
    Conflicts are left alone unless they get a new id, which only a single record can. Raises NotCorrectable,
    NeedsNewId, TooMany, `records.Unidentifiable`.
    """
    changes = _read_corrections(corrections or {})
    chosen = _chosen(ids)
    new_id = changes.get("source_record_id")
    if new_id is not None and len(chosen) > 1:
        raise NotCorrectable("Each record needs an id of its own: correct it one by one.", field="source_record_id")
    return sum(
        _recycle_chunk(chunk, changes, is_single=len(chosen) == 1, scope=scope, actor=actor, at=at)
        for chunk in _chunks(chosen)
    )


def write_off(*, ids: Iterable[int], note: str, scope: Scope, actor: str, at: datetime) -> int:
    """Decide that suspended records will not be charged, and say why; returns how many were still open.

    Their ids stay taken: the same record sent again is a duplicate. Raises Unreadable (no note), TooMany.
    """
    note = fields.text(note, field="note", label="The note", most=NOTE_LENGTH)
    written = 0
    for chunk in _chunks(_chosen(ids)):
        with transaction.atomic():
            rows = _claim(scope, chunk)
            _resolve(rows, SuspenseState.WRITTEN_OFF, actor, at, note=note)
            _record(rows, "suspense.written_off", {"note": note}, actor, at)
            written += len(rows)
    return written


# --- inside --------------------------------------------------------------------------------------------------------


def _chosen(ids: Iterable[int]) -> list[int]:
    chosen = sorted(set(ids))
    if len(chosen) > MOST_AT_ONCE:
        raise TooMany(f"{len(chosen):,} records were chosen; at most {MOST_AT_ONCE:,} are resolved at once.")
    return chosen


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]


def _read_corrections(corrections: Mapping[str, Any]) -> dict[str, Any]:
    """The corrections without space around them. Raises NotCorrectable."""
    for field in corrections:
        if field not in CORRECTABLE:
            raise NotCorrectable(f"A record has no field “{field}” that could be corrected.", field=field)
    return {key: value.strip() if isinstance(value, str) else value for key, value in corrections.items()}


def _recycle_chunk(
    ids: Sequence[int], changes: Mapping[str, Any], *, is_single: bool, scope: Scope, actor: str, at: datetime
) -> int:
    with transaction.atomic():
        rows = _claim(scope, ids)
        if changes.keys() - concealing.CORRECTABLE_BLIND and concealing.concealed(scope, _enterprises(rows)):
            raise NotCorrectable(f"{concealing.NOT_SHOWN} So only they correct it.", field=next(iter(changes)))
        if changes and any(row.source.name == ingest.CORRECTIONS for row in rows):
            message = "This record corrects who paid for another one: recycle it as it is, or write it off."
            raise NotCorrectable(message, field=next(iter(changes)))
        if "source_record_id" not in changes:
            conflicts = [row for row in rows if row.reason == SuspenseReason.CONFLICT]
            if conflicts and is_single:
                raise _needs_new_id()
            rows = [row for row in rows if row.reason != SuspenseReason.CONFLICT]
        groups: dict[tuple[int, int | None, int], list[SuspendedUsage]] = defaultdict(list)
        for row in rows:
            if row.reason == SuspenseReason.CONFLICT and changes["source_record_id"] == row.source_record_id:
                raise _needs_new_id()
            groups[row.operator_id, row.enterprise_id, row.source_id].append(row)
        for place, group in groups.items():
            _deliver(*place, group, changes, scope, actor, at)
        _record(rows, "suspense.recycled", {"corrections": dict(changes)}, actor, at)
        return len(rows)


def _needs_new_id() -> NeedsNewId:
    return NeedsNewId(
        "An earlier record has this id. Give this one an id of its own, or write it off.",
        field="source_record_id",
    )


def _claim(scope: Scope, ids: Sequence[int]) -> list[SuspendedUsage]:
    """Lock those that are in reach and still open, in one order for everybody; the others are left out."""
    still_open = within(scope).filter(id__in=ids, state=SuspenseState.OPEN)
    return list(still_open.select_related("source").order_by("id").select_for_update(of=["self"]))


def _deliver(
    operator_id: int,
    enterprise_id: int | None,
    source_id: int,
    rows: list[SuspendedUsage],
    changes: Mapping[str, Any],
    scope: Scope,
    actor: str,
    at: datetime,
) -> None:
    """A delivery of corrected records, and the rows' way to the parts that carry them."""
    delivery = ingest.Delivery(
        operator_id=operator_id,
        enterprise_id=enterprise_id,
        source_id=source_id,
        accepted_by=actor,
        # Nobody's records find their enterprise now, among those that the actor may manage; no other.
        among=tuple(sorted(scope.whole_enterprise_ids(Verb.MANAGE))) or (0,),
    )
    usages = [corrected(row.record, changes) for row in rows]
    batch_id, parts = ingest.record(delivery=delivery, usages=usages, at=at)
    for part_id, positions in UsagePart.objects.filter(batch_id=batch_id).values_list("id", "positions"):
        carried = rows if positions is None else [rows[position] for position in positions]
        _resolve(carried, SuspenseState.RECYCLED, actor, at, recycled_as_id=part_id)
    enterprise_ids = [enterprise_id for _, enterprise_id in parts]
    transaction.on_commit(lambda: ingest.nudge(enterprise_ids))


def _resolve(rows: Sequence[SuspendedUsage], state: SuspenseState, actor: str, at: datetime, **values: Any) -> None:
    SuspendedUsage.objects.filter(id__in=[row.id for row in rows]).update(
        state=state, resolved_at=at, resolved_by=actor[:160], **values
    )


def _record(rows: Sequence[SuspendedUsage], action: str, detail: dict[str, Any], actor: str, at: datetime) -> None:
    """One act an enterprise, with the first of the records by name; by number, and without what was put into them,
    where their managers do not see what they say."""
    by_enterprise: dict[int | None, list[SuspendedUsage]] = defaultdict(list)
    for row in rows:
        by_enterprise[row.enterprise_id].append(row)
    walled = concealing.steered(_enterprises(rows))
    for enterprise_id, own in by_enterprise.items():
        said = dict(detail)
        names = [row.source_record_id for row in own[:20]]
        if enterprise_id in walled:
            names = [concealing.name(row) for row in own[:20]]
            if "corrections" in said:
                said["corrections"] = sorted(said["corrections"])
        audit.record(
            enterprise_id=enterprise_id,
            actor=actor,
            action=action,
            subject=names[0] if len(own) == 1 else f"{len(own)} records",
            detail={**said, "records": len(own), "first": names},
            at=at,
        )


def _enterprises(rows: Iterable[SuspendedUsage]) -> set[int]:
    return {row.enterprise_id for row in rows if row.enterprise_id is not None}
