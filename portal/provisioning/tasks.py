"""Celery tasks of jobs: nudges. Losing one, or running one twice, changes nothing but the delay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery import shared_task

from portal import contests
from portal.provisioning import jobs, work

#: A job that was not heard of for so long has lost its worker or its nudge.
SILENT = timedelta(seconds=20)


@shared_task
def run_job(*, job_id: int) -> None:
    """One turn of a job, and the nudge for the next."""
    if work.turn(job_id):
        jobs.start(job_id)


@shared_task
def resume_jobs() -> None:
    """Take up jobs whose worker was killed or whose nudge was lost."""
    for job_id in jobs.unfinished(datetime.now(UTC) - SILENT):
        jobs.start(job_id)


@shared_task
def complete_contests() -> None:
    """Give people back what upheld contests are about, once the company is charged; a missed turn is made up for."""
    contests.complete_due(at=datetime.now(UTC))
