"""Who did what: the only writer of `AuditEvent`.

Owns: one row an act, written in the transaction of the act, so that neither stands without the other. Never
changes or deletes a row (a trigger refuses both), never decides whether an act is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from balances.models import AuditEvent

ACTOR_LENGTH = 160
SUBJECT_LENGTH = 200


def record(
    *,
    enterprise_id: int | None,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    account_id: int | None = None,
    at: datetime,
) -> AuditEvent:
    """Write one act. Needs the transaction of the act.

    `action` is dotted (`account.moved`), `subject` a name as text, `detail` plain JSON values: what changed.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An act is recorded in its own transaction: open it first.")
    made = event(
        enterprise_id=enterprise_id,
        account_id=account_id,
        actor=actor,
        action=action,
        subject=subject,
        detail=detail,
        at=at,
    )
    made.save(force_insert=True)
    return made


def event(
    *,
    enterprise_id: int | None,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
    account_id: int | None = None,
    at: datetime,
) -> AuditEvent:
    """An act that is not written yet, for `record_many`."""
    return AuditEvent(
        enterprise_id=enterprise_id,
        account_id=account_id,
        at=at,
        actor=actor[:ACTOR_LENGTH],
        action=action,
        subject=subject[:SUBJECT_LENGTH],
        detail=dict(detail or {}),
    )


def record_many(events: Iterable[AuditEvent]) -> None:
    """Write many acts at once, made by `event`. Needs their transaction."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("Acts are recorded in their own transaction: open it first.")
    AuditEvent.objects.bulk_create(events)
