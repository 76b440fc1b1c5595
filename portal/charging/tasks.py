"""Celery tasks of charging: all are nudges. Losing one, running one twice or late, changes nothing but the delay."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import structlog
from celery import shared_task
from django.db import connection

from balances import contingency, cycles, inventory, loans, reservations, standing, trading
from balances.errors import Refused
from balances.models import Enterprise
from policies import limits
from portal.charging import ingest, pipeline

log = structlog.get_logger(__name__)

#: A task goes on charging one enterprise for so long, then lets others of its queue have a turn.
TURN_SECONDS = 2.0


@shared_task
def charge_enterprise(*, enterprise_id: int) -> None:
    """Charge what waits for an enterprise (0: for records of nobody's line)."""
    _forget_nudge(enterprise_id)
    try:
        counts = pipeline.drain(enterprise_id or None, seconds=TURN_SECONDS)
    except pipeline.Busy:
        return
    except pipeline.UNAVAILABLE as error:
        # The transaction has not happened, or its answer was lost: the parts themselves say which.
        log.warning("charging.interrupted", enterprise_id=enterprise_id, error=str(error))
        return
    if counts.records:
        log.debug("charged", enterprise_id=enterprise_id, records=counts.records)
        if _waits(enterprise_id):
            ingest.nudge([enterprise_id])


def _forget_nudge(enterprise_id: int) -> None:
    """Before looking for work, so that whoever adds some from now on nudges again."""
    try:
        ingest.inbox().delete(ingest.nudge_key(enterprise_id))
    except Exception as error:
        log.warning("nudge.not_forgotten", error=str(error))


def _waits(enterprise_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM balances_usagepart WHERE state = 'queued' "
            "AND enterprise_id IS NOT DISTINCT FROM %s)",
            [enterprise_id or None],
        )
        return cursor.fetchone()[0]


@shared_task
def sweep_inbox() -> None:
    """Nudge every enterprise with parts that have waited for seconds: nudges that got lost heal here."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT enterprise_id FROM balances_usagepart WHERE state = 'queued' AND accepted_at < %s",
            [datetime.now(UTC) - timedelta(seconds=2)],
        )
        enterprise_ids = [row[0] for row in cursor.fetchall()]
    ingest.nudge(enterprise_ids)


@shared_task
def turn_cycles() -> None:
    """Close the cycles that have ended and open those that have begun, also ones that were missed; let planned moves
    of lines show once their time has come."""
    now = datetime.now(UTC)
    for enterprise_id in Enterprise.objects.filter(contracts__isnull=False).distinct().values_list("id", flat=True):
        try:
            cycles.close_cycles(enterprise_id=enterprise_id, at=now, actor="beat")
            inventory.catch_up(enterprise_id=enterprise_id, at=now)
        except Refused as refused:  # busy, as a rule: the next turn makes up for it; the others have theirs now
            log.warning("cycles.not_turned", enterprise_id=enterprise_id, why=refused.message)


@shared_task
def sweep_reservations() -> None:
    """Release reservations whose session never ended, and what was set aside until a date that has come."""
    now = datetime.now(UTC)
    reservations.sweep(actor="beat", at=now)
    contingency.release_due(actor="beat", at=now)


@shared_task
def lift_restrictions() -> None:
    """Lift what limits restricted in periods that have ended."""
    limits.lift_due(at=datetime.now(UTC))


@shared_task
def expire_offers() -> None:
    """End offers whose time has passed: their units come out of escrow."""
    try:
        trading.sweep(actor="beat", at=datetime.now(UTC))
    except Refused as refused:  # busy: the next turn makes up for it, and nobody can accept meanwhile
        log.warning("offers.not_expired", why=refused.message)


@shared_task
def return_loans() -> None:
    """Bring back what is unused of loans whose time has come; a missed turn is made up for by the next."""
    loans.return_due(actor="beat", at=datetime.now(UTC))


@shared_task
def run_standing_transfers() -> None:
    """Give what standing transfers are due, once a cycle; a missed turn is made up for within its cycle."""
    standing.run_due(actor="beat", at=datetime.now(UTC))


@shared_task
def prepare_partitions() -> None:
    """Have this and the next two months' partitions ready."""
    month = datetime.now(UTC).date().replace(day=1)
    for _ in range(3):
        pipeline.prepare_month(month)
        month = (month + timedelta(days=32)).replace(day=1)


@shared_task(bind=True)
def heartbeat(self) -> None:
    """Show that beat sends and a worker works: /readyz reads it."""
    now = time.time()
    inbox = ingest.inbox()
    inbox.set("heartbeat:beat", now)
    inbox.hset("heartbeat:workers", self.request.hostname or "unknown", now)
