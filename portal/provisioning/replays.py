"""Replays of a policy's version over stored usage, as jobs: started from screens and REST, watched while they run.

A replay is one turn, however long: it only reads, so a killed worker's replay begins again and nothing is done twice.
Its result stays in the job's counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from balances.errors import Refused
from balances.models import Account, Line
from policies import replaying
from policies.models import Limit, PolicyVersion
from policies.resolution import NUMBERS
from portal.models import Job, JobState, User
from portal.provisioning import jobs

KIND = "policy-replay"
DAYS, DAYS_MOST = 90, 400
#: Replays of one enterprise that wait or run.
AT_ONCE = 2


class ReplayRefused(Refused):
    """A replay that cannot be started now."""


def start(*, version: PolicyVersion, days: int = DAYS, created_by: User | None, at: datetime) -> Job:
    """A job that replays a version over the last days of usage, as if it had always held. Raises ReplayRefused."""
    if not 1 <= days <= DAYS_MOST:
        raise ReplayRefused(f"A replay goes over 1 to {DAYS_MOST} days.", field="days")
    if not version.rules:
        raise ReplayRefused("There is no rule in it: add one first.", field="rules")
    waiting = Job.objects.filter(
        enterprise_id=version.enterprise_id, kind=KIND, state__in=[JobState.QUEUED, JobState.RUNNING]
    )
    if waiting.count() >= AT_ONCE:
        raise ReplayRefused("Other replays of this enterprise are still running. Try again when they are done.")
    return jobs.create_without_file(
        enterprise=version.policy.enterprise,
        kind=KIND,
        title=f"Replay of {version}",
        parameters={
            "policy": version.policy_id,
            "version": version.id,
            "rules": version.rules,
            "since": (at - timedelta(days=days)).isoformat(),
            "until": at.isoformat(),
            "days": days,
        },
        created_by=created_by,
    )


def of_version(version: PolicyVersion) -> QuerySet[Job]:
    """The replays of a version, latest first."""
    return Job.objects.filter(enterprise_id=version.enterprise_id, kind=KIND, parameters__version=version.id).order_by(
        "-id"
    )


def run(job: Job, *, stop_at: float) -> bool:
    """Replay; notes its progress after each batch. Raises Refused where the version is gone."""
    version = PolicyVersion.objects.select_related("policy").filter(id=job.parameters["version"]).first()
    if version is None:
        raise ReplayRefused("This version was thrown away.")
    version.rules = job.parameters["rules"]  # a draft may have changed since; what was asked for is replayed
    since, until = (datetime.fromisoformat(job.parameters[key]) for key in ("since", "until"))
    enterprise_id = version.enterprise_id
    job.total = replaying.count(enterprise_id=enterprise_id, since=since, until=until)
    job.save(update_fields=["total", "touched_at"])
    plan = replaying.plan_for(enterprise_id=enterprise_id, draft=version, at=until)

    def tell(done: int) -> None:
        jobs.advance(job, cursor=done, counts={})

    report = replaying.run(plan, enterprise_id=enterprise_id, since=since, until=until, progress=tell)
    jobs.finish(job, counts={"replay": _named(replaying.summary(report))}, at=datetime.now(UTC))
    return False


def _named(found: dict) -> dict:
    """The summary with names of lines and accounts as they are now."""
    lines = Line.objects.in_bulk([row["line"] for row in found["lines"]])
    ids = {row["account"] for row in (*found["lines"], *found["accounts"])}
    accounts = Account.objects.in_bulk(ids)
    names = _rule_names({key for key in found["by"] if key.startswith("rule:")})
    limits = Limit.objects.in_bulk([int(key[6:]) for key in found["by"] if key.startswith("limit:")])
    names |= {f"limit:{limit.id}": str(limit) for limit in limits.values()}
    for row in found["lines"]:
        row["by_name"] = names.get(row["by"], row["by"])
        row["line_name"] = str(lines[row["line"]]) if row["line"] in lines else str(row["line"])
    for row in (*found["lines"], *found["accounts"]):
        row["account_name"] = accounts[row["account"]].name if row["account"] in accounts else str(row["account"])
    return found


def _rule_names(keys: set[str]) -> dict[str, str]:
    """Rules as replays name them, in words: "Home only (Abroad v3)"."""
    placed = {key: divmod(int(key.removeprefix("rule:")), NUMBERS) for key in keys}
    versions = PolicyVersion.objects.select_related("policy").in_bulk([version_id for version_id, _ in placed.values()])
    names = {}
    for key, (version_id, number) in placed.items():
        version = versions.get(version_id)
        if version is not None and number <= len(version.rules):
            names[key] = f"{version.rules[number - 1]['name']} ({version})"
    return names
