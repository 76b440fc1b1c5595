"""Usage files that somebody uploads: read by a column profile and accepted chunk by chunk, in turns."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from django.core.files.base import File
from django.db import transaction

from balances import fields
from balances.errors import Refused
from balances.models import Enterprise, Operator
from balances.scope import Scope, Verb
from portal.charging import concealing, files, ingest, outcomes, profiles
from portal.models import Job, User
from portal.provisioning import jobs

KIND = "usage-file"


class NotAllowed(Refused):
    """Usage for an enterprise that the sender may not send for."""


def upload(
    *,
    file: File,
    source: str,
    profile: str,
    operator: Operator,
    enterprise: Enterprise | None,
    scope: Scope,
    created_by: User,
) -> Job:
    """A job that takes the file in; `enterprise` None: each record goes to the enterprise of its line's number.

    Raises NotAllowed, UnknownProfile, Unreadable, FileTooLarge, `ingest.ReservedSource`.
    """
    source = fields.text(source, field="source", label="The source", most=60)
    ingest.refuse_reserved(source)
    profiles.named(operator.id, profile)
    reach = scope.whole_enterprise_ids(Verb.INGEST)
    if (enterprise is not None and enterprise.id not in reach) or not reach:
        raise NotAllowed("You may not send usage for this enterprise.", field="enterprise")
    return jobs.create(
        operator=operator,
        enterprise=enterprise,
        kind=KIND,
        title=file.name or "usage.csv",
        file=file,
        parameters={"source": source, "profile": profile, "among": sorted(reach), "batches": []},
        created_by=created_by,
    )


def take(job: Job, *, stop_at: float) -> bool:
    """Accept the next chunks of the job's file until `stop_at` (monotonic clock); returns whether more is left."""
    columns = profiles.named(job.operator_id, job.parameters["profile"])
    delivery = ingest.Delivery(
        operator_id=job.operator_id,
        enterprise_id=job.enterprise_id,
        source_id=ingest.source(operator_id=job.operator_id, name=job.parameters["source"]),
        accepted_by=f"user:{job.created_by_id} {job.created_by}"[:160],
        among=tuple(job.parameters["among"]),
    )
    offset, row = job.counts.get("offset", 0), job.counts.get("row", 0)
    with jobs.path_of(job).open("rb") as file:
        for chunk in files.read(file, columns, offset=offset, row=row):
            _accept(job, delivery, chunk)
            if time.monotonic() > stop_at:
                return True
    jobs.finish(job, counts={}, at=datetime.now(UTC))
    return False


def outcome(job: Job) -> outcomes.Outcomes:
    """What has become of the records of an upload so far."""
    return outcomes.of_batches(job.parameters.get("batches", ()))


def errors_for(job: Job, scope: Scope, user_id: int | None) -> list[dict[str, Any]]:
    """The rows that went wrong, for a reader: what rows of usage say is the sender's to know where people pay some."""
    if job.kind != KIND or user_id == job.created_by_id or job.enterprise_id is None:
        return job.errors
    if concealing.concealed(scope, {job.enterprise_id}):
        return [{**error, "message": concealing.NOT_SHOWN} for error in job.errors]
    return job.errors


def _accept(job: Job, delivery: ingest.Delivery, chunk: files.Chunk) -> None:
    """A chunk and the note that it was accepted, in one transaction."""
    with transaction.atomic():
        if chunk.usages:
            batch_id = ingest.accept(delivery=delivery, usages=chunk.usages, at=datetime.now(UTC))
            job.parameters["batches"].append(str(batch_id))
        accepted = job.counts.get("accepted", 0) + len(chunk.usages)
        counts = {"accepted": accepted, "offset": chunk.offset, "row": chunk.row}
        jobs.advance(job, cursor=chunk.done_bytes, counts=counts, errors=chunk.errors)
