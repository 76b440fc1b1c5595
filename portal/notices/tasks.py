"""Celery tasks of notices: all are nudges. Losing one, running one twice or late, changes nothing but the delay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from celery import shared_task
from django.conf import settings
from django.db import Error

from balances.models import Enterprise
from portal.live import publish
from portal.notices import deliver, forecast, loans, outbox, watch

log = structlog.get_logger(__name__)


@shared_task
def collect(*, enterprise_id: int) -> None:
    """Tell what an enterprise's facts say; sent by charging after a commit that wrote some."""
    try:
        more = True
        while more:
            told = outbox.collect(enterprise_id=enterprise_id, at=datetime.now(UTC))
            publish.noticed(told.user_ids)
            more = told.more
    except Error as error:  # the transaction has not happened, or its answer was lost: the marks say which
        log.warning("notices.interrupted", enterprise_id=enterprise_id, error=str(error))


@shared_task
def sweep() -> None:
    """Every few seconds: facts whose nudge got lost."""
    for enterprise_id in outbox.waiting(at=datetime.now(UTC)):
        collect.apply_async(
            kwargs={"enterprise_id": enterprise_id}, queue=settings.NOTICES_QUEUE, retry=False, expires=60
        )


@shared_task
def escalate() -> None:
    """Every few seconds: what nobody has read rises to the next ones."""
    _guarded(lambda at: publish.noticed(deliver.escalate(at=at)))


@shared_task
def send_mails() -> None:
    """Every few seconds, by a worker that does nothing else: e-mails that are due."""
    _guarded(lambda at: deliver.send_mails(at=at))


@shared_task
def post_webhooks() -> None:
    """Every few seconds, by a worker that does nothing else: webhooks that are due."""
    _guarded(lambda at: deliver.post_webhooks(at=at))


def _guarded(turn: Callable[[datetime], object]) -> None:
    try:
        turn(datetime.now(UTC))
    except Error as error:
        log.warning("notices.interrupted", error=str(error))


@shared_task
def foresee() -> None:
    """Every quarter of an hour: one task an enterprise, so that a large one does not keep the others waiting."""
    enterprises = Enterprise.objects.filter(contracts__isnull=False).distinct().values_list("id", flat=True)
    for enterprise_id in enterprises:
        foresee_enterprise.apply_async(kwargs={"enterprise_id": enterprise_id}, retry=False, expires=600)


@shared_task
def foresee_enterprise(*, enterprise_id: int) -> None:
    """Tell what will run out, and which loans go back within a day."""
    try:
        now = datetime.now(UTC)
        publish.noticed(forecast.tell(enterprise_id=enterprise_id, at=now).user_ids)
        publish.noticed(outbox.post(found=loans.due_soon(enterprise_id=enterprise_id, at=now), at=now).user_ids)
    except Error as error:
        log.warning("notices.interrupted", enterprise_id=enterprise_id, error=str(error))


@shared_task
def watch_usage() -> None:
    """Every minute: lines that leave their pattern, SIMs in new devices."""
    try:
        publish.noticed(watch.turn(at=datetime.now(UTC)).user_ids)
    except Error as error:
        log.warning("notices.interrupted", error=str(error))


@shared_task
def forget_days() -> None:
    """Every day: days that no pattern is taken of any more."""
    watch.forget(at=datetime.now(UTC))
