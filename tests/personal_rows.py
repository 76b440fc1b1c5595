"""Personal usage as rows, for tests of who reads them: a record paid by a person, or the personal half of a fork.

Each looks like the company's record that it is made after, but for what is asked; its charge line, identity, part and
counters are there too, so that all identities hold.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from itertools import count
from typing import Any

from django.db import connection

from balances.models import ChargeLine, Person, UsageBatch, UsageIdentity, UsagePart, UsageRecord
from balances.models.counters import Grain, OwnerKind, Payer
from balances.selectors.terms import terms_at

_ids = count(9_000_000_001)
_SHARED = ("enterprise_id", "line_id", "account_id", "part_id", "position", "source_id", "source_record_id", "service",
           "zone_id", "used_at", "ended_at", "visited_network", "other_party", "imei", "attributes", "charge_sequence",
           "charged_at")  # fmt: skip


def half_of(record: UsageRecord, person: Person | None, units: int, **content: Any) -> UsageRecord:
    """The personal half of a fork of which `record` is the company's."""
    return _insert(record, person, units, counterpart_id=record.id, **content)


def whole(like: UsageRecord, person: Person | None, units: int, **content: Any) -> UsageRecord:
    """A record that a person pays alone, in a part of its own."""
    source_record_id = content.setdefault("source_record_id", f"personal-{uuid.uuid4()}")
    whose = {"enterprise_id": like.enterprise_id, "source_id": like.source_id, "accepted_at": like.charged_at}
    batch = UsageBatch.objects.create(
        id=uuid.uuid4(), operator_id=like.enterprise.operator_id, accepted_by="token:1 Mediation", accepted_records=1,
        **whose,
    )  # fmt: skip
    part = UsagePart.objects.create(
        batch=batch, payload=bytes(like.part.payload), record_count=1, state="done", outcomes="c", charged_count=1,
        done_at=like.charged_at, **whose,
    )  # fmt: skip
    made = _insert(like, person, units, part_id=part.id, position=0, **content)
    UsageIdentity.objects.create(
        enterprise_id=like.enterprise_id, source_id=like.source_id, source_record_id=source_record_id, content_hash=1,
        usage_id=made.id,
    )  # fmt: skip
    return made


def _insert(like: UsageRecord, person: Person | None, units: int, **content: Any) -> UsageRecord:
    values = {name: getattr(like, name) for name in _SHARED} | {"units": units, "charged_units": units} | content
    made = UsageRecord.objects.create(id=next(_ids), payer=Payer.PERSONAL, person=person, **values)
    line = ChargeLine.objects.filter(usage_id=like.id, used_at=like.used_at).earliest("number")
    terms = terms_at(like.enterprise_id, made.used_at)
    assert terms.cycle is not None
    ChargeLine.objects.create(
        enterprise_id=like.enterprise_id, usage_id=made.id, number=0, used_at=made.used_at, starts_at=made.used_at,
        cycle_start=terms.cycle.starts_at, payer=Payer.PERSONAL, path_id=line.path_id, version_id=line.version_id,
        rate_id=line.rate_id, units=units, overage_units=0, amount_micros=0, reasons="personal_tariff",
        charge_sequence=made.charge_sequence, personal_micros=7 * units,
    )  # fmt: skip
    _count(made, line.path.account_ids, terms.cycle.starts_at)
    return made


def _count(made: UsageRecord, account_ids: list[int], cycle: datetime) -> None:
    owners = [(OwnerKind.LINE, made.line_id), *((OwnerKind.ACCOUNT, account_id) for account_id in account_ids)]
    with connection.cursor() as cursor:
        for kind, owner_id in owners:
            cursor.execute(
                """
                INSERT INTO balances_counter AS c (enterprise_id, owner_kind, owner_id, grain, period_start, service,
                    zone_id, payer, used_units, overage_units, amount_micros, records)
                VALUES (%s, %s, %s, %s, %s, %s, %s, 2, %s, 0, 0, 1)
                ON CONFLICT (enterprise_id, owner_kind, owner_id, grain, period_start, service, zone_id, payer)
                DO UPDATE SET used_units = c.used_units + excluded.used_units, records = c.records + 1
                """,
                [
                    made.enterprise_id, int(kind), owner_id, int(Grain.CYCLE), cycle, made.service, made.zone_id,
                    made.charged_units,
                ],
            )  # fmt: skip
