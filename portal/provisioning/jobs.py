"""Long pieces of work that somebody watches: made, run in turns, resumed after a killed worker. The only writer of Job.

Owns: a job's life and its file. A turn lasts seconds, then other tasks of the worker have theirs. What a turn does and
how far it has come are one transaction, so that a worker killed anywhere leaves nothing half done or done twice.
Never decides what a kind of job does: `portal.provisioning.work` maps kinds to functions.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection, transaction

from balances.errors import Refused
from balances.loading import RowError
from balances.models import Enterprise, Operator
from portal.models import Job, JobState, User

log = structlog.get_logger(__name__)

#: Rows that went wrong and are kept; more of the same help nobody.
ERRORS_KEPT = 100
FILE_MOST_BYTES = 2 * 1024**3
#: A job without progress for so many turns kills its workers, or never gets its lock: it is given up.
ATTEMPTS_MOST = 8
_LOCKS = 0x4A4F4253  # the first of the two keys of this module's advisory locks


class FileTooLarge(Refused):
    """The file is larger than a job takes."""


def create(
    *,
    operator: Operator,
    enterprise: Enterprise | None,
    kind: str,
    title: str,
    file: File,
    parameters: Mapping[str, Any],
    created_by: User,
) -> Job:
    """A queued job with its file, started once the transaction commits. Raises FileTooLarge."""
    if file.size > FILE_MOST_BYTES:
        raise FileTooLarge(f"The file has {file.size:,} bytes; at most {FILE_MOST_BYTES:,} are taken.", field="file")
    stored = default_storage.save(f"{uuid.uuid4().hex}.csv", file)
    with transaction.atomic():
        job = Job.objects.create(
            operator=operator,
            enterprise=enterprise,
            kind=kind,
            title=title[:160],
            parameters={**parameters, "file": stored},
            total=file.size,
            created_by=created_by,
        )
        transaction.on_commit(lambda: start(job.id))
    return job


def create_without_file(
    *, enterprise: Enterprise, kind: str, title: str, parameters: Mapping[str, Any], created_by: User | None
) -> Job:
    """A queued job on what is stored already, started once the transaction commits."""
    with transaction.atomic():
        job = Job.objects.create(
            operator=enterprise.operator,
            enterprise=enterprise,
            kind=kind,
            title=title[:160],
            parameters=dict(parameters),
            created_by=created_by,
        )
        transaction.on_commit(lambda: start(job.id))
    return job


def start(job_id: int) -> None:
    """Wake a worker. Losing this loses nothing: the sweep finds waiting jobs by themselves."""
    from portal.provisioning.tasks import run_job

    try:
        run_job.apply_async(kwargs={"job_id": job_id}, retry=False)
    except Exception as error:
        log.warning("job.not_started", job_id=job_id, error=str(error))


@contextmanager
def alone(job_id: int) -> Iterator[bool]:
    """Whether this worker is the only one on the job: a session's advisory lock, gone with the connection if we die."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCKS, job_id & 0x7FFFFFFF])
        is_mine = cursor.fetchone()[0]
    try:
        yield is_mine
    finally:
        if is_mine:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCKS, job_id & 0x7FFFFFFF])
            except DatabaseError:
                connection.close()  # the session ends, and the lock with it


def claim(job_id: int) -> Job | None:
    """The job if it is still to be done, now running, the attempt counted; None where nothing is left to do."""
    job = Job.objects.select_related("enterprise", "operator", "created_by").filter(id=job_id).first()
    if job is None or job.state not in (JobState.QUEUED, JobState.RUNNING):
        return None
    job.state = JobState.RUNNING
    job.parameters["attempts"] = job.parameters.get("attempts", 0) + 1
    job.save(update_fields=["state", "parameters", "touched_at"])
    if job.parameters["attempts"] > ATTEMPTS_MOST:
        fail(job, f"Given up after {ATTEMPTS_MOST} attempts without progress; the fault is logged.", at=job.touched_at)
        return None
    return job


def path_of(job: Job) -> Path:
    """Where the job's file lies. Raises Refused where it is gone."""
    path = Path(default_storage.path(job.parameters["file"]))
    if not path.exists():
        raise Refused("The uploaded file is no longer there. Upload it again.", field="file")
    return path


def advance(job: Job, *, cursor: int, counts: Mapping[str, Any], errors: Iterable[RowError] = ()) -> None:
    """Note how far the job has come; belongs in the transaction of what was done."""
    job.cursor = cursor
    job.counts = {**job.counts, **counts}
    job.parameters["attempts"] = 0
    _add_errors(job, errors)
    job.save(update_fields=["cursor", "counts", "parameters", "errors", "touched_at"])


def finish(job: Job, *, counts: Mapping[str, Any], errors: Iterable[RowError] = (), at: datetime) -> None:
    """The job is done; belongs in the transaction of what was done last. Its file goes once that commits."""
    job.state, job.finished_at, job.cursor = JobState.DONE, at, job.total
    job.counts = {**job.counts, **counts}
    _add_errors(job, errors)
    job.save(update_fields=["state", "finished_at", "cursor", "counts", "errors", "touched_at"])
    transaction.on_commit(lambda: _forget_file(job))


def fail(job: Job, message: str, *, at: datetime) -> None:
    """The job ends without being done; what was done before stays."""
    job.refresh_from_db()
    job.state, job.finished_at = JobState.FAILED, at
    job.counts["message"] = message
    job.save(update_fields=["state", "finished_at", "counts", "touched_at"])
    transaction.on_commit(lambda: _forget_file(job))


def unfinished(touched_before: datetime) -> list[int]:
    """Jobs that wait or run, and have not been heard of since; a running one's worker keeps `alone`."""
    waiting = Job.objects.filter(state__in=[JobState.QUEUED, JobState.RUNNING], touched_at__lt=touched_before)
    return list(waiting.order_by("id").values_list("id", flat=True)[:100])


def _add_errors(job: Job, errors: Iterable[RowError]) -> None:
    added = [{"row": e.row, "column": e.column, "message": e.message} for e in errors]
    job.counts["errors"] = job.counts.get("errors", 0) + len(added)
    job.errors = (job.errors + added)[:ERRORS_KEPT]


def _forget_file(job: Job) -> None:
    if name := job.parameters.get("file"):
        default_storage.delete(name)
