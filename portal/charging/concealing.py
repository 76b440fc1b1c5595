"""What managers see of records that nobody has charged yet, where some of the usage may be a person's: docs/byod.md

Owns: in which enterprises that is so, for whom, and what is left of a suspended record for them: reason, service and
day. Before it is charged nobody knows who pays, so that it is treated like what a person pays. The operator's staff,
who mend records, see them whole. What is concealed is concealed in memory; nothing is changed or saved.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef, Q

from balances.models import Enterprise, PersonalAccount, SuspendedUsage
from balances.scope import Scope, Verb
from balances.selectors.terms import terms_at
from balances.units import SERVICES_BY_NAME
from policies.models import Limit, PolicyState, PolicyVersion, SteeringVersion

#: What stands for the hash of a content that is not there any more.
CONCEALED = 0
STEERS = "steer_personal"
#: What a correction may set without knowing the record; the rest says whose it is, when it was used, or how much.
CORRECTABLE_BLIND = frozenset({"source_record_id", "service", "visited_network"})
NOT_SHOWN = "A person may have to pay this: only the operator's staff see what it says."


def steered(enterprise_ids: Collection[int]) -> frozenset[int]:
    """Those of the enterprises in which people pay, or ever paid, some of their usage. One query."""
    if not enterprise_ids:
        return frozenset()
    own = {"enterprise": OuterRef("pk")}
    versions = SteeringVersion.objects.filter(**own).exclude(state=PolicyState.DRAFT)
    policies = PolicyVersion.objects.filter(**own, rules__contains=[{"action": STEERS}])
    found = Enterprise.objects.filter(
        Q(Exists(versions))
        | Q(Exists(PersonalAccount.objects.filter(**own)))
        | Q(Exists(Limit.objects.filter(**own, action=STEERS)))
        | Q(Exists(policies.exclude(state=PolicyState.DRAFT))),
        id__in=enterprise_ids,
    )
    return frozenset(found.values_list("id", flat=True))


def concealed(scope: Scope, enterprise_ids: Collection[int]) -> frozenset[int]:
    """Those of the enterprises whose records in suspense the holder of `scope` does not see whole."""
    return steered(frozenset(enterprise_ids) - scope.whole_enterprise_ids(Verb.ADMINISTER))


def name(row: SuspendedUsage) -> str:
    """What a record is called where its own id is not shown."""
    return f"Record {row.pk}"


def conceal(row: SuspendedUsage, happened: str) -> None:
    """Leave reason, service and day of a suspended record, in memory; `happened`: the reason in words of its own."""
    zone = terms_at(row.enterprise_id, row.suspended_at).zone if row.enterprise_id else ZoneInfo("UTC")
    row.record = _left(row.record, zone)
    row.source_record_id = name(row)
    row.content_hash = CONCEALED
    row.detail = f"{happened} {NOT_SHOWN}"
    row.suspended_at = row.suspended_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def is_concealed(row: SuspendedUsage) -> bool:
    """Whether a row is one of which the rest was concealed."""
    return row.content_hash == CONCEALED and row.source_record_id == name(row)


def _left(record: dict, zone: ZoneInfo) -> dict[str, str]:
    left: dict[str, str] = {}
    if record.get("service") in SERVICES_BY_NAME:
        left["service"] = record["service"]
    try:
        at = datetime.fromisoformat(str(record.get("started_at", "")))
    except ValueError:
        return left
    if at.tzinfo is not None:
        left["day"] = at.astimezone(zone).date().isoformat()
    return left
