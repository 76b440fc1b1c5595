"""Charges for the tests of screens: usage accepted and drained through the real doors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from django.db import connection

from balances import cycles
from balances.models import Line
from portal.charging import ingest, pipeline, records
from tests.cast import ACTOR, House

_numbers = count(1)


def used(line: Line, service: str, units: int, at: datetime | None = None, **fields: Any) -> dict[str, Any]:
    """A usage record as a network would report it; a minute ago unless `at` says when."""
    return {
        "source_record_id": f"web-{next(_numbers)}",
        "service": service,
        "units": units,
        "msisdn": line.msisdn,
        "started_at": (at or datetime.now(UTC) - timedelta(minutes=1)).isoformat(),
        **fields,
    }


def charge(house: House, *usages: Mapping[str, Any]) -> None:
    """Accept the usage and charge it."""
    accept(house, *usages)
    pipeline.drain(house.enterprise.id)


def accept(house: House, *usages: Mapping[str, Any]) -> None:
    """Accept the usage, with all cycles up to now open: charging it is a worker's, or `charge`'s."""
    now = datetime.now(UTC)
    enterprise = house.enterprise
    _prepare_months(now)
    cycles.open_cycles(enterprise_id=enterprise.id, until=now, actor=ACTOR)
    source_id = ingest.source(operator_id=enterprise.operator_id, name="Mediation")
    delivery = ingest.Delivery(enterprise.operator_id, enterprise.id, source_id, "token:1 Mediation")
    ingest.accept(delivery=delivery, usages=records.read_mappings(usages), at=now)


def _prepare_months(now: datetime) -> None:
    """The partitions around now: charging makes a month's once a process, and a rolled-back test takes them along."""
    with connection.cursor() as cursor:
        for days in (-62, -31, 0):
            cursor.execute("SELECT balances_prepare_usage_month(%s)", [(now + timedelta(days=days)).date()])
