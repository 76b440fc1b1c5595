"""Contests: the only writer of Contest. A person says that the company should have paid a usage record of theirs.

Owns: filing with what the person lets managers see, deciding, and carrying a decision out: upheld, the same units come
in as records of the source *Corrections*, one for each stretch that was the person's, which charging gives to the
company whatever rules and limits say; once all are charged, what it cost the person comes back in one transaction with
the contest's last state. So it happens once, however often it is tried and wherever it is killed. Whoever filed a
contest does not decide it, nor does a token of theirs. docs/byod.md
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Q

from balances import audit, fields, locks, personal_corrections
from balances.errors import Refused
from balances.models import (
    ChargeLine,
    Contract,
    NumberAssignment,
    Person,
    SuspendedUsage,
    UsageIdentity,
    UsagePart,
    UsageRecord,
    UsageSource,
)
from balances.models.accounts import NumberKind
from balances.models.counters import Payer
from balances.selectors.terms import terms_at
from balances.units import SERVICE_NAMES
from policies.conditions.places import country_of
from portal.charging import ingest, records
from portal.charging.state import CORRECTIONS
from portal.models import ApiToken, Contest, ContestAct, ContestActKind, ContestState

log = structlog.get_logger(__name__)

#: What of a record a person may show; what is shown unless they say otherwise.
DISCLOSABLE = ("service", "day", "units", "time", "country", "amount", "number")
SHOWN_BY_DEFAULT = ("service", "day", "units")
TEXT_LENGTH = 400
#: Records that are contested at once; contests that one turn completes.
MOST_AT_ONCE, A_TURN = 50, 200


class NotContestable(Refused):
    """A record that cannot be contested: not personal, not theirs, nothing was paid of it, or it is too old."""


class AlreadyContested(Refused):
    """The record was contested before; `contest` is that one."""

    def __init__(self, contest: Contest):
        super().__init__("You have objected to this charge before.", field="usage")
        self.contest = contest


class AlreadyDecided(Refused):
    """Somebody has decided it."""


class OwnContest(Refused):
    """Nobody decides what they have filed themselves."""


def source_record_ids(contest: Contest) -> list[str]:
    """The identities of a contest's corrections within their source: one a stretch of its record."""
    if contest.correction_part_id is None:
        return []
    parts = UsagePart.objects.filter(id=contest.correction_part_id)  # without what was sent, which may be much
    return _identities(contest, parts.values_list("record_count", flat=True).get())


def file(
    *,
    usages: Sequence[UsageRecord],
    person: Person,
    reason: str,
    shown: Collection[str] = SHOWN_BY_DEFAULT,
    actor: str,
    at: datetime,
) -> list[Contest]:
    """Contest records of a person's own, all or none. `shown`: which of `DISCLOSABLE` managers see of them.

    Raises NotContestable, AlreadyContested, Unreadable, Busy.
    """
    reason = fields.text(reason, field="reason", label="The reason", most=TEXT_LENGTH)
    if not usages or len(usages) > MOST_AT_ONCE:
        raise NotContestable(f"Choose 1 to {MOST_AT_ONCE} charges.", field="usage")
    if unknown := sorted(set(shown) - set(DISCLOSABLE)):
        raise NotContestable(f"“{unknown[0]}” is nothing that could be shown.", field="shown")
    with locks.enterprise(person.enterprise_id):
        made = []
        for usage in usages:
            _refuse(usage, person, at)
            if known := Contest.objects.filter(usage_id=usage.id).first():
                raise AlreadyContested(known)
            contest = Contest.objects.create(
                enterprise_id=usage.enterprise_id, account_id=usage.account_id, usage_id=usage.id,
                used_at=usage.used_at, line_id=usage.line_id, person=person, reason=reason,
                disclosed=_disclosed(usage, shown), filed_at=at, filed_by=actor,
            )  # fmt: skip
            _record(contest, ContestActKind.FILED, actor.partition(" ")[0], at)
            made.append(contest)
        return made


def decide(*, contest: Contest, uphold: bool, answer: str, actor: str, at: datetime) -> Contest:
    """Say whether the company pays after all. Upheld, the correction is on its way with the decision, or neither is.

    The same again by the same actor gives the first answer. Raises AlreadyDecided, OwnContest, Unreadable, Busy.
    """
    answer = fields.text(answer, field="answer", label="The answer", most=TEXT_LENGTH, required=not uphold)
    with locks.enterprise(contest.enterprise_id):
        contest = Contest.objects.select_for_update().get(id=contest.id)
        if acts_for(contest.filed_by) == acts_for(actor):
            raise OwnContest("You have filed this yourself: somebody else has to decide it.")
        if contest.state != ContestState.OPEN:
            if contest.decided_by == actor and (contest.state == ContestState.DECLINED) is not uphold:
                return contest
            raise AlreadyDecided("This was decided before: look at it again.")
        contest.state = ContestState.UPHELD if uphold else ContestState.DECLINED
        contest.decided_at, contest.decided_by, contest.answer = at, actor, answer
        if uphold:
            contest.correction_part_id = _send(contest, actor, at)
        contest.save()
        _record(contest, ContestActKind(contest.state), actor, at)
        return contest


def complete_due(*, at: datetime) -> int:
    """Carry out upheld contests whose corrections are charged; returns how many. The next turn does what is missed."""
    waiting = Contest.objects.filter(state=ContestState.UPHELD).order_by("id").values_list("id", flat=True)
    done = 0
    for contest_id in waiting[:A_TURN]:
        try:
            done += complete(contest_id=contest_id, actor="beat", at=at)
        except Refused as refused:  # busy, as a rule; the others have theirs now
            log.warning("contest.not_completed", contest=contest_id, why=refused.message)
    return done


def complete(*, contest_id: int, actor: str, at: datetime) -> bool:
    """Give back what a record cost, once all its corrections are charged; whether that happened now. Safe to repeat.

    Raises Busy.
    """
    enterprise_id = Contest.objects.values_list("enterprise_id", flat=True).get(id=contest_id)
    with locks.enterprise(enterprise_id):
        contest = Contest.objects.select_for_update().get(id=contest_id)
        if contest.state != ContestState.UPHELD or min(_charged_as(contest), default=0) <= 0:
            return False
        record = UsageRecord.objects.get(id=contest.usage_id, used_at=contest.used_at)
        note = f"Objection {contest.id} was upheld"
        back = personal_corrections.take_back(record=record, key=f"contest:{contest.id}", note=note, actor=actor, at=at)
        contest.state, contest.refunded_micros = ContestState.CORRECTED, back.micros
        contest.save(update_fields=["state", "refunded_micros"])
        _record(contest, ContestActKind.CORRECTED, actor, at)
        return True


def suspended(contest: Contest) -> SuspendedUsage | None:
    """The first record of a correction that could not be charged; None where all were, or are on their way."""
    usage_ids = _charged_as(contest) if contest.state == ContestState.UPHELD else []
    waiting = [-usage_id for usage_id in usage_ids if usage_id < 0]
    return SuspendedUsage.objects.filter(id__in=waiting).order_by("id").first()


# --- inside ----------------------------------------------------------------------------------------------------------


def acts_for(actor: str) -> str:
    """Whom an actor's act is: a token acts for the user who made it."""
    who = actor.partition(" ")[0]
    kind, _, number = who.partition(":")
    maker = ApiToken.objects.filter(id=number).values_list("created_by", flat=True).first() if kind == "token" else None
    return f"user:{maker}" if maker else who


def _refuse(usage: UsageRecord, person: Person, at: datetime) -> None:
    """Raises NotContestable."""
    if usage.payer != Payer.PERSONAL or usage.person_id != person.id or usage.enterprise_id != person.enterprise_id:
        raise NotContestable("This is no charge that you pay.", field="usage")
    if not personal_corrections.personal_units(usage):
        raise NotContestable("Nothing was granted of this: nobody pays it.", field="usage")
    contract = (
        Contract.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=usage.used_at))
        .filter(enterprise=usage.enterprise_id, starts_at__lte=usage.used_at)
        .order_by("-starts_at")
        .first()
    )
    days = contract.late_usage_days if contract else 0
    if usage.used_at < at - timedelta(days=days):
        raise NotContestable(f"This is older than {days} days: it cannot be corrected any more.", field="usage")


def _disclosed(usage: UsageRecord, shown: Collection[str]) -> dict[str, Any]:
    """What managers are shown, as it stands now."""
    terms = terms_at(usage.enterprise_id, usage.used_at)
    lines = ChargeLine.objects.filter(usage=usage.id, used_at=usage.used_at)
    local = usage.used_at.astimezone(terms.zone)
    known: dict[str, Any] = {
        "service": SERVICE_NAMES[usage.service],
        "day": local.date().isoformat(),
        "units": usage.charged_units,
        "time": f"{local:%H:%M}",
        "country": country_of(usage.visited_network) if usage.visited_network else "home",
        "amount": {
            "micros": sum(lines.values_list("personal_micros", flat=True)), "currency": terms.currency,
        },
        "number": usage.other_party,
    }  # fmt: skip
    return {name: known[name] for name in DISCLOSABLE if name in shown and known[name] not in ("", None)}


def _send(contest: Contest, actor: str, at: datetime) -> int:
    """Make the corrections durable within the decision's transaction; returns their part."""
    record = UsageRecord.objects.select_related("enterprise").get(id=contest.usage_id, used_at=contest.used_at)
    held = NumberAssignment.objects.filter(line=record.line_id, during__contains=record.used_at)
    number = held.order_by("kind").first()
    stretches = personal_corrections.personal_stretches(record)
    usages = [
        records.seal(
            source_record_id=identity,
            service=record.service,
            number_kind=number.kind if number else NumberKind.MSISDN,
            number=number.number if number else int(contest.line.msisdn),
            units=stretch.units,
            used_at=records.canonical_time(stretch.starts_at),
            ended_at=records.canonical_time(stretch.ends_at) if stretch.ends_at else "",
            visited_network=record.visited_network,
            attributes={"contest": contest.id, "of": record.id},
        )
        for identity, stretch in zip(_identities(contest, len(stretches)), stretches, strict=True)
    ]
    operator_id = record.enterprise.operator_id
    source_id = ingest.own_source(operator_id=operator_id)
    if not Contest.objects.filter(enterprise=record.enterprise_id, correction_part__isnull=False).exists():
        _let_charging_know(record.enterprise_id)
    delivery = ingest.Delivery(operator_id, record.enterprise_id, source_id, actor)
    _, parts = ingest.record(delivery=delivery, usages=usages, at=at)
    transaction.on_commit(lambda: ingest.nudge([record.enterprise_id]))
    return parts[0][0]


def _let_charging_know(enterprise_id: int) -> None:
    """Workers that were at work before the enterprise's first correction load its source with their configuration."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE balances_chargingstate SET configuration_version = configuration_version + 1 "
            "WHERE enterprise_id = %s",
            [enterprise_id],
        )


def _identities(contest: Contest, count: int) -> list[str]:
    """Those of so many corrections; a single one goes without a number."""
    own = f"contest-{contest.id}"
    return [own] if count == 1 else [f"{own}-{place}" for place in range(1, count + 1)]


def _charged_as(contest: Contest) -> list[int]:
    """The usage records that corrections were charged as; minus the suspense id of one that was not; 0 on its way."""
    source = UsageSource.objects.filter(name=CORRECTIONS, operator__enterprises=contest.enterprise_id)
    identities = source_record_ids(contest)
    known = UsageIdentity.objects.filter(
        enterprise=contest.enterprise_id, source__in=source, source_record_id__in=identities
    )
    found = dict(known.values_list("source_record_id", "usage_id"))
    return [found.get(identity, 0) for identity in identities]


def _record(contest: Contest, act: ContestActKind, actor: str, at: datetime) -> None:
    """In the audit, which managers read, a contest is a number. Who is told of the act is the matter of notices."""
    ContestAct.objects.create(enterprise_id=contest.enterprise_id, contest=contest, kind=act, at=at)
    audit.record(
        enterprise_id=contest.enterprise_id, account_id=contest.account_id, actor=actor, action=f"contest.{act}",
        subject=f"Contest {contest.id}", at=at,
    )  # fmt: skip
