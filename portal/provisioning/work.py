"""What each kind of job does, and one turn of any."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from django.db import OperationalError

from balances import locks
from balances.errors import Refused
from portal.provisioning import imports, jobs, replays, steering_replays, uploads

log = structlog.get_logger(__name__)

TURN_SECONDS = 3.0

_KINDS: dict[str, Callable[..., bool]] = {
    uploads.KIND: uploads.take,
    replays.KIND: replays.run,
    steering_replays.KIND: steering_replays.run,
    **dict.fromkeys(imports.IMPORTS, imports.load),
}


def turn(job_id: int, *, seconds: float = TURN_SECONDS) -> bool:
    """Work on a job for some seconds; returns whether it wants another turn. Harmless where another worker has it."""
    with jobs.alone(job_id) as is_mine:
        job = jobs.claim(job_id) if is_mine else None
        if job is None:
            return False
        try:
            return _KINDS[job.kind](job, stop_at=time.monotonic() + seconds)
        except locks.Busy as busy:
            log.info("job.busy", job_id=job_id, why=busy.message)  # the sweep tries again
        except Refused as refusal:
            jobs.fail(job, refusal.message, at=datetime.now(UTC))
        except OperationalError:
            raise  # the database went away: the sweep resumes the job when it is back
        except Exception:
            log.exception("job.failed", job_id=job_id, kind=job.kind)
            jobs.fail(
                job, "This could not be done; the fault is logged. What was taken before stays.", at=datetime.now(UTC)
            )
        return False
