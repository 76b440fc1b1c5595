"""What became of deliveries: the counts of their parts, added up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import connection


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Records by outcome; accepted = charged + duplicate + suspended + waiting + parked."""

    accepted: int = 0
    charged: int = 0
    duplicate: int = 0
    suspended: int = 0
    waiting: int = 0
    parked: int = 0

    @property
    def is_final(self) -> bool:
        """Whether nothing waits any more."""
        return self.waiting == 0


def of_batches(batch_ids: Iterable[UUID | str]) -> Outcomes:
    """The outcomes of deliveries, together; one query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(sum(record_count), 0), coalesce(sum(charged_count), 0), coalesce(sum(duplicate_count), 0),
                coalesce(sum(suspended_count), 0), coalesce(sum(record_count) FILTER (WHERE state = 'queued'), 0),
                coalesce(sum(record_count) FILTER (WHERE state = 'parked'), 0)
            FROM balances_usagepart WHERE batch_id = ANY(%s::uuid[])
            """,
            [[str(batch_id) for batch_id in batch_ids]],
        )
        return Outcomes(*map(int, cursor.fetchone()))
