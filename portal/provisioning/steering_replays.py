"""Replays of who pays over stored usage, as jobs: started from screens and REST, watched while they run.

A replay is one turn, however long: it only reads, so a killed worker's replay begins again and nothing is done twice.
Its result stays in the job's counts, behind the wall already. Who asked what is audited, with the rules that were
asked: a draft changes, and a replay could be meant as a question about people.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from balances import audit, locks
from balances.errors import Refused
from balances.models import Account, Line, Person
from policies.models import SteeringVersion
from policies.steering import publishing
from portal.charging import steering_drafts
from portal.models import Job, JobState, User
from portal.provisioning import jobs

KIND = "steering-replay"
DAYS, DAYS_MOST = 90, 400
#: Replays of one enterprise that wait or run.
AT_ONCE = 2
#: What of a version is replayed; another one of these, and the replay is of something else.
SAID = ("rules", "default", "missing")


class SteeringReplayRefused(Refused):
    """A replay that cannot be started now."""


def start(*, version: SteeringVersion, days: int = DAYS, created_by: User | None, actor: str, at: datetime) -> Job:
    """A job that replays a version over the last days of usage, in place of what its account says.

    Raises SteeringReplayRefused, SteeringFault, Busy.
    """
    if not 1 <= days <= DAYS_MOST:
        raise SteeringReplayRefused(f"A replay goes over 1 to {DAYS_MOST} days.", field="days")
    if not version.rules and version.default is None:
        raise SteeringReplayRefused("It says nothing: add a rule, or who pays where no rule matches.", field="rules")
    account = version.steering.account
    publishing.checked(account, version.rules, version.default, version.missing)
    with locks.enterprise(version.enterprise_id):
        waiting = Job.objects.filter(
            enterprise_id=version.enterprise_id, kind=KIND, state__in=[JobState.QUEUED, JobState.RUNNING]
        )
        if waiting.count() >= AT_ONCE:
            raise SteeringReplayRefused(
                "Other replays of this enterprise are still running. Try again when they are done."
            )
        said = {key: getattr(version, key) for key in SAID}
        audit.record(
            enterprise_id=version.enterprise_id, account_id=account.id, actor=actor, action="steering.replayed",
            subject=str(version), detail={"version": version.number, "days": days, **said}, at=at,
        )  # fmt: skip
        return jobs.create_without_file(
            enterprise=account.enterprise,
            kind=KIND,
            title=f"Replay of {version}",
            parameters={
                "version": version.id,
                "since": (at - timedelta(days=days)).isoformat(),
                "until": at.isoformat(),
                "days": days,
                **said,
            },
            created_by=created_by,
        )


def of_version(version: SteeringVersion) -> QuerySet[Job]:
    """The replays of a version, latest first."""
    found = Job.objects.filter(enterprise_id=version.enterprise_id, kind=KIND, parameters__version=version.id)
    return found.order_by("-id")


def is_stale(job: Job, version: SteeringVersion) -> bool:
    """Whether the version says something else than what was replayed."""
    return any(job.parameters.get(key) != getattr(version, key) for key in SAID)


def run(job: Job, *, stop_at: float) -> bool:
    """Replay; notes its progress after each batch. Raises Refused where the version is gone."""
    version = SteeringVersion.objects.select_related("steering__account").filter(id=job.parameters["version"]).first()
    if version is None:
        raise SteeringReplayRefused("This version was thrown away.")
    for key in SAID:  # a draft may have changed since; what was asked for is replayed
        setattr(version, key, job.parameters[key])
    since, until = (datetime.fromisoformat(job.parameters[key]) for key in ("since", "until"))
    replay = steering_drafts.DraftReplay(version, since=since, until=until)
    job.total = replay.plan.count()
    job.save(update_fields=["total", "touched_at"])
    moves = steering_drafts.run(replay, progress=lambda done: jobs.advance(job, cursor=done, counts={}))
    plan = replay.plan
    told = moves.as_data(days=job.parameters["days"], asks_numbers=plan.asks_numbers, names_one=plan.names_one)
    jobs.finish(job, counts={"replay": _named(told)}, at=datetime.now(UTC))
    return False


def _named(told: dict) -> dict:
    """The result with names of lines, people and accounts as they are now."""
    rows = [*told["accounts"], *(told["people"] or []), *(told["listed"] or [])]
    accounts = Account.objects.in_bulk({row["account"] for row in rows if "account" in row})
    lines = Line.objects.in_bulk({row["line"] for row in rows if "line" in row})
    people = Person.objects.in_bulk({row["person"] for row in rows if row.get("person")})
    for row in rows:
        if "account" in row:
            row["account_name"] = accounts[row["account"]].name if row["account"] in accounts else ""
        if "line" in row:
            row["line_name"] = str(lines[row["line"]]) if row["line"] in lines else ""
        if row.get("person"):
            row["person_name"] = people[row["person"]].name if row["person"] in people else ""
    return told
