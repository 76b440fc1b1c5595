"""From stored facts to notices: exactly one a fact, whoever looks how often, killed wherever.

Owns: Notice, OutboxMark, and the planning of deliveries. `collect` takes an enterprise's facts beyond its marks, in one
transaction with the marks themselves; the marks are locked, so a second worker waits and then finds nothing. `sweep`
finds enterprises whose nudge got lost. The unique key of a notice would stop a double even without the marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.db import IntegrityError, connection, transaction
from django.db.models import Max, Q

from portal.models import Notice, OutboxMark
from portal.notices import planning
from portal.notices.found import Found, Source
from portal.notices.sources import SOURCES
from portal.notices.turns import turn

log = structlog.get_logger(__name__)

BATCH = 200
#: A sweep begins where things stood this long ago: longer than any writing transaction lives.
SWEEP_OVERLAP = timedelta(minutes=10)


@dataclass
class Told:
    """What a turn of `collect` did: notices made, users whose inbox changed, whether more waits."""

    notices: list[int] = field(default_factory=list)
    user_ids: set[int] = field(default_factory=set)
    more: bool = False


def collect(*, enterprise_id: int, at: datetime) -> Told:
    """Turn an enterprise's facts that are not told yet into notices with their deliveries. One transaction."""
    told = Told()
    with transaction.atomic(), turn():
        marks = _locked_marks(list(SOURCES), enterprise_id)
        for source, mark in zip(SOURCES.values(), marks, strict=True):
            rows = list(source.rows().filter(enterprise_id=enterprise_id, id__gt=mark.told_id).order_by("id")[:BATCH])
            if not rows:
                continue
            _keep(told, (found for row in rows for found in source.tell(row, at)), at)
            mark.told_id = rows[-1].id
            mark.save(update_fields=["told_id"])
            told.more = told.more or len(rows) == BATCH
    return told


def post(*, found: Iterable[Found], at: datetime, is_test: bool = False) -> Told:
    """Make notices of facts that are worked out instead of stored; those whose key is known are told already."""
    told = Told()
    with transaction.atomic(), turn():
        _keep(told, found, at, is_test=is_test)
    return told


def _keep(told: Told, found: Iterable[Found], at: datetime, *, is_test: bool = False) -> None:
    facts: dict[str, Found] = {}
    for fact in found:
        facts.setdefault(fact.key[:120], fact)
    for fact_key in Notice.objects.filter(key__in=facts).values_list("key", flat=True):
        del facts[fact_key]
    for notice in _made([_notice(key, fact, at, is_test=is_test) for key, fact in facts.items()]):
        fact = facts[notice.key]
        told.notices.append(notice.id)
        told.user_ids |= planning.plan(notice, at, recorded_at=fact.recorded_at or fact.happened_at)
    if settled := [fact.resolves for fact in facts.values() if fact.resolves]:
        Notice.objects.filter(key__in=settled, resolved_at__isnull=True).update(resolved_at=at)


def _notice(key: str, fact: Found, at: datetime, *, is_test: bool) -> Notice:
    return Notice(
        key=key, enterprise_id=fact.enterprise_id, account=fact.account, line=fact.line,
        person_id=fact.person_id, kind=fact.kind,
        service=fact.service, severity=fact.severity, facts=fact.facts, is_test=is_test, happened_at=fact.happened_at,
        created_at=at,
    )  # fmt: skip


def _made(notices: Sequence[Notice]) -> list[Notice]:
    """Those that are new: all with one statement, or one by one where somebody else has told one meanwhile."""
    try:
        with transaction.atomic():
            return Notice.objects.bulk_create(notices)
    except IntegrityError:
        made = []
        for notice in notices:
            with suppress(IntegrityError), transaction.atomic():
                notice.pk = None
                notice.save(force_insert=True)
                made.append(notice)
        return made


def _locked_marks(sources: Sequence[str], enterprise_id: int | None) -> list[OutboxMark]:
    """The marks of these sources, locked in this order until the transaction ends."""
    OutboxMark.objects.bulk_create(
        [OutboxMark(source=source, enterprise_id=enterprise_id) for source in sources], ignore_conflicts=True
    )
    place = Q(enterprise_id=enterprise_id) if enterprise_id else Q(enterprise__isnull=True)
    held = OutboxMark.objects.select_for_update().filter(place, source__in=sources).order_by("source")
    by_source = {mark.source: mark for mark in held}
    return [by_source[source] for source in sources]


def waiting(*, at: datetime) -> set[int]:
    """Enterprises with facts that are not told: what a sweep nudges. Looks only at facts of the last minutes."""
    found: set[int] = set()
    for source in SOURCES.values():
        with transaction.atomic():
            (floor,) = _locked_marks([source.name], None)
            found |= _beyond(source, floor.told_id)
            _move_floor(source, floor, at)
    return found


def _beyond(source: Source, floor_id: int) -> set[int]:
    table = connection.ops.quote_name(source.rows().model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT f.enterprise_id FROM {table} f LEFT JOIN portal_outboxmark m "  # noqa: S608 - a table of ours
            "ON m.source = %s AND m.enterprise_id = f.enterprise_id "
            "WHERE f.id > %s AND f.id > coalesce(m.told_id, 0)",
            [source.name, floor_id],
        )
        return {row[0] for row in cursor.fetchall()}


def _move_floor(source: Source, floor: OutboxMark, at: datetime) -> None:
    """Ids of different enterprises are not committed in order, so the floor follows ten minutes behind.

    It rests while anything below its next place is untold: a broken enterprise must not be forgotten.
    """
    if floor.next_at is not None and at < floor.next_at:
        return
    if floor.next_at is not None and not _untold_up_to(source, floor):
        floor.told_id = floor.next_id
    floor.next_id = source.rows().model._default_manager.aggregate(last=Max("id"))["last"] or 0
    floor.next_at = at + SWEEP_OVERLAP
    floor.save(update_fields=["told_id", "next_id", "next_at"])


def _untold_up_to(source: Source, floor: OutboxMark) -> bool:
    table = connection.ops.quote_name(source.rows().model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {table} f LEFT JOIN portal_outboxmark m "  # noqa: S608 - a table of ours
            "ON m.source = %s AND m.enterprise_id = f.enterprise_id "
            "WHERE f.id > %s AND f.id <= %s AND f.id > coalesce(m.told_id, 0))",
            [source.name, floor.told_id, floor.next_id],
        )
        return cursor.fetchone()[0]
