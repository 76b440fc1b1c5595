"""Limits and what people do about them: the only writer of Limit, Consent and Exemption; lifts Restrictions.

Owns: making, changing (a successor), retiring limits; consents and extensions; exemptions; lifting and approving of
restrictions. What is used and reached while charging is charging's matter; here use and crossings are written only
where an act makes them true at once: a limit made amid a period, or lowered below what was used.

Each function opens its own transaction under the enterprise's lock. Charging reads limits, consents and exemptions as
configuration: a trigger raises its version. `docs/limits.md` has the algorithm with a worked example.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Q

from balances import audit, fields, ledger, locks, tags
from balances.errors import Refused
from balances.models import Account, ChargingState, Contract, Line, Zone
from balances.models.accounts import LineStatus
from balances.scope import Scope, Verb
from policies import counting, marks, windows
from policies.decision import Action
from policies.models import (
    Consent,
    Exemption,
    Limit,
    LimitCrossing,
    LimitUse,
    Measure,
    Restriction,
    RestrictionState,
    Window,
)

#: Limits that stand in one enterprise, and marks of one limit, at most.
LIMITS_MOST, MARKS_MOST = 5_000, 10
PERCENT_MOST = 1000
DEFAULT_PERCENTS = (50, 80, 100)


class LimitRefused(Refused):
    """A limit that cannot be, or that does not stand any more."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Civil time and cycles of an enterprise: those of its contract at a moment."""

    zone: ZoneInfo
    anchor_day: int

    def period(self, limit: Limit, instant: datetime):
        """The period of a limit that holds an instant."""
        return windows.period_of(limit.window, instant, self.zone, self.anchor_day, limit.counts_from)


def clock_of(enterprise_id: int, at: datetime) -> Clock:
    """The clock of the contract in force, or of the next or last one. Raises LimitRefused where there is none."""
    contracts = Contract.objects.filter(enterprise_id=enterprise_id)
    running = contracts.filter(starts_at__lte=at).filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at))
    contract = running.first() or contracts.order_by("-starts_at").first()
    if contract is None:
        raise LimitRefused("This enterprise has no contract yet: a limit follows its cycles and its time zone.")
    return Clock(ZoneInfo(contract.time_zone), contract.cycle_anchor_day)


def draft(
    *,
    account: Account | None = None,
    line: Line | None = None,
    tag: str = "",
    enterprise_id: int | None = None,
    service: int | None = None,
    zone: Zone | None = None,
    is_abroad: bool = False,
    measure: str,
    window: str,
    amount: int,
    percents: Sequence[int] = DEFAULT_PERCENTS,
    marks_at: Sequence[int] = (),
    action: str = Action.NOTIFY.value,
    grace_units: int = 0,
    needs_approval: bool = False,
    counts_from: datetime | None = None,
    ends_at: datetime | None = None,
    name: str = "",
    at: datetime,
) -> Limit:
    """A limit as it would be made, checked and not saved; `enterprise_id` is needed with a tag only.

    Raises LimitRefused, Unreadable.
    """
    owner = account or line
    if sum((account is not None, line is not None, bool(tag))) != 1:
        raise LimitRefused("A limit is on an account, a line or a tag.", field="account")
    if measure not in Measure.values or window not in Window.values or action not in list(Action):
        wrong = "measure" if measure not in Measure.values else "window" if window not in Window.values else "action"
        raise LimitRefused(f"This is no {wrong} of a limit.", field=wrong)
    if service is not None:
        fields.service(service)
    elif measure == Measure.UNITS:
        raise LimitRefused(
            "A limit in units is on one service; only money is counted across services.", field="service"
        )
    if zone is not None and is_abroad:
        raise LimitRefused("Choose a zone, or all abroad.", field="zone")
    if needs_approval and window == Window.SLIDING_24H:
        raise LimitRefused("A sliding window moves on before anyone could approve.", field="needs_approval")
    if counts_from is not None and (window != Window.LIFETIME or counts_from > at):
        raise LimitRefused("Only a limit once and for all may count from a chosen, past time.", field="counts_from")
    if ends_at is not None and ends_at <= at:
        raise LimitRefused("This end lies in the past.", field="ends_at")
    number = owner.enterprise_id if owner else enterprise_id
    if number is None:
        raise LimitRefused("The enterprise is missing.", field="enterprise")
    limit = Limit(
        enterprise_id=number, account=account, line=line, tag=tags.read(tag) if tag else "", service=service, zone=zone,
        is_abroad=is_abroad, measure=measure, window=window, needs_approval=needs_approval, made_at=at,
        name=fields.text(name, field="name", label="The name", most=80, required=False), ends_at=ends_at,
        counts_from=counts_from or at,
    )  # fmt: skip
    _set_terms(limit, amount, percents, marks_at, action, grace_units)
    period = clock_of(number, at).period(limit, at)
    if window == Window.SLIDING_24H:
        limit.counts_from = period.starts_at - windows.SLOT * (windows.SLOTS - 1)
    elif counts_from is None and window != Window.LIFETIME:
        limit.counts_from = period.starts_at
    return limit


def _set_terms(
    limit: Limit, amount: int, percents: Sequence[int], marks_at: Sequence[int], action: str, grace_units: int
) -> None:
    """What may differ within a succession, checked."""
    fields.whole_number(amount, 0, fields.UNITS_MOST, field="amount")
    fields.whole_number(grace_units, 0, fields.UNITS_MOST, field="grace_units")
    for percent in percents:
        fields.whole_number(percent, 1, PERCENT_MOST, field="percents")
    for mark in marks_at:
        fields.whole_number(mark, 1, fields.UNITS_MOST, field="marks")
    if len(set(percents)) + len(set(marks_at)) > MARKS_MOST:
        raise LimitRefused(f"At most {MARKS_MOST} marks fit on a limit.", field="percents")
    if action not in list(Action):
        raise LimitRefused("This is no action of a limit.", field="action")
    limit.amount, limit.action, limit.grace_units = amount, Action(action).value, grace_units
    limit.percents, limit.marks = sorted(set(percents)), sorted(set(marks_at))


def make(*, actor: str, at: datetime, **terms) -> Limit:
    """Let a limit stand from now on; takes the arguments of `draft`. What was used in the period under way counts, and
    marks that it has passed are crossed at once. Raises LimitRefused, Unreadable, Busy.
    """
    limit = draft(at=at, **terms)
    with locks.enterprise(limit.enterprise_id):
        _check_owner(limit)
        if Limit.objects.filter(enterprise_id=limit.enterprise_id, retired_at__isnull=True).count() >= LIMITS_MOST:
            raise LimitRefused(f"At most {LIMITS_MOST:,} limits stand in one enterprise.")
        _save(limit, actor, at)
        LimitUse.objects.bulk_create(
            LimitUse(limit=limit, enterprise_id=limit.enterprise_id, period_start=start, used=used)
            for start, used in counting.used_so_far(limit).items()
        )
        cross(limit, at)
        _record(limit, "limit.made", actor, at)
    return limit


def change(
    *,
    limit: Limit,
    amount: int | None = None,
    percents: Sequence[int] | None = None,
    marks_at: Sequence[int] | None = None,
    action: str | None = None,
    grace_units: int | None = None,
    actor: str,
    at: datetime,
) -> Limit:
    """Retire a limit and let its successor stand with what is given; the rest stays, and use goes on counting.

    Lowered below what was used, its marks are crossed at once. Returns the successor, or the limit itself where nothing
    differs. Raises LimitRefused, Unreadable, Busy.
    """
    with locks.enterprise(limit.enterprise_id):
        before = _standing(limit)
        successor = Limit.objects.get(id=before.id)
        _set_terms(
            successor,
            before.amount if amount is None else amount,
            before.percents if percents is None else percents,
            before.marks if marks_at is None else marks_at,
            before.action if action is None else action,
            before.grace_units if grace_units is None else grace_units,
        )
        if all(getattr(successor, name) == getattr(before, name) for name in _TERMS):
            return before
        _retire(before, actor, at)
        successor.pk, successor.first_id, successor.succeeds_id = None, before.first_number, before.id
        successor._state.adding = True
        _save(successor, actor, at)
        cross(successor, at)
        if successor.amount > before.amount or successor.action != before.action:
            _lift(Restriction.objects.filter(limit__in=_succession(before)), actor, at)
        _record(successor, "limit.changed", actor, at, before={name: getattr(before, name) for name in _TERMS})
    return successor


_TERMS = ("amount", "percents", "marks", "action", "grace_units")


def retire(*, limit: Limit, actor: str, at: datetime) -> None:
    """Take a limit out of force; what it restricted is lifted. Raises LimitRefused, Busy."""
    with locks.enterprise(limit.enterprise_id):
        standing = _standing(limit)
        _retire(standing, actor, at)
        _lift(Restriction.objects.filter(limit__in=_succession(standing)), actor, at)
        _record(standing, "limit.retired", actor, at)


def exempt(
    *,
    limit: Limit,
    account: Account | None = None,
    line: Line | None = None,
    until: datetime,
    reason: str,
    actor: str,
    at: datetime,
) -> Exemption:
    """Let a limit not stop a line, or an account with all below it, until then; what they use still counts.

    Raises LimitRefused, Unreadable, Busy.
    """
    owner = account or line
    if owner is None or (account and line):
        raise LimitRefused("An exemption is for an account or for a line.", field="line")
    reason = fields.text(reason, field="reason", label="The reason", most=200)
    if until <= at:
        raise LimitRefused("An exemption ends in the future.", field="until")
    with locks.enterprise(limit.enterprise_id):
        standing = _standing(limit)
        if owner.enterprise_id != standing.enterprise_id:
            raise LimitRefused("This account or line does not exist.", field="line")
        exemption = Exemption.objects.create(
            enterprise_id=standing.enterprise_id, limit_id=standing.first_number, account=account, line=line,
            starts_at=at, until=until, reason=reason, made_by=actor,
            made_sequence=sequence_of(standing.enterprise_id),
        )  # fmt: skip
        restricted = Restriction.objects.filter(limit__in=_succession(standing))
        if line is not None:
            restricted = restricted.filter(line=line)
        else:
            below = Account.objects.get(id=account.id).get_descendants(include_self=True)  # type: ignore[union-attr]
            restricted = restricted.filter(line__account__in=below)
        _lift(restricted, actor, at)
        _record(standing, "limit.exempted", actor, at, whom=str(owner), until=until.isoformat(), reason=reason)
    return exemption


def end_exemption(*, exemption: Exemption, actor: str, at: datetime) -> None:
    """End an exemption before its time. Raises LimitRefused where it has ended, Busy."""
    with locks.enterprise(exemption.enterprise_id):
        if not Exemption.objects.filter(id=exemption.id, ended_at__isnull=True).update(
            ended_at=at, ended_by=actor, ended_sequence=sequence_of(exemption.enterprise_id)
        ):
            raise LimitRefused("This exemption was ended already.")
        _record(exemption.limit, "limit.exemption_ended", actor, at, whom=str(exemption.account or exemption.line))


def lift(*, restriction: Restriction, actor: str, at: datetime) -> Restriction:
    """Lift a restriction by hand; the limit itself still stands, and restricts the line anew with the next usage that
    it refuses. Raises LimitRefused where it is lifted already, Busy."""
    with locks.enterprise(restriction.enterprise_id):
        if not _lift(Restriction.objects.filter(id=restriction.id), actor, at):
            raise LimitRefused("This restriction was lifted already: its period ended, or somebody did it.")
        with connection.cursor() as cursor:  # workers forget that the line is restricted
            ledger.advance(cursor, restriction.enterprise_id)
        _record_restriction(restriction, "restriction.lifted", actor, at)
    restriction.refresh_from_db()
    return restriction


def approve(*, restriction: Restriction, actor: str, at: datetime) -> Restriction:
    """Let a limit that wants approval restrict in this period: all its lines that wait. Raises LimitRefused, Busy."""
    with locks.enterprise(restriction.enterprise_id):
        held = Restriction.objects.select_related("limit").get(id=restriction.id)
        if held.state != RestrictionState.PENDING or held.limit is None:
            raise LimitRefused("This restriction does not wait for approval.")
        first = held.limit.first_number
        LimitUse.objects.filter(limit_id=first, period_start=held.period_start).update(
            approved_at=at, approved_by=actor, approved_sequence=sequence_of(held.enterprise_id)
        )
        Restriction.objects.filter(
            limit__in=_succession(held.limit), period_start=held.period_start, state=RestrictionState.PENDING
        ).update(state=RestrictionState.ACTIVE)
        with connection.cursor() as cursor:  # workers look again at what was used and approved
            ledger.advance(cursor, held.enterprise_id)
        _record_restriction(held, "restriction.approved", actor, at)
    restriction.refresh_from_db()
    return restriction


def lift_due(*, at: datetime, actor: str = "beat") -> int:
    """Lift what ended with its period; returns how many."""
    due = Restriction.objects.filter(until__lte=at).exclude(state=RestrictionState.LIFTED)
    return due.update(state=RestrictionState.LIFTED, lifted_at=at, lifted_by=actor)


def may_change(limit: Limit, scope: Scope, actor: str) -> bool:
    """Whether somebody may change, extend or retire a limit: who set it, or who manages the place above its owner.

    So nobody widens what was set for them from above; to consent is another matter.
    """
    if limit.made_by == actor:
        return True
    place = limit.line.account_id if limit.line else limit.account.parent_id if limit.account else None
    return scope.allows(Verb.MANAGE, enterprise_id=limit.enterprise_id, account_id=place)


# --- shared ----------------------------------------------------------------------------------------------------------


def sequence_of(enterprise_id: int) -> int:
    """The charge sequence: all that is charged later knows what is done now. Needs the enterprise's lock."""
    return ChargingState.objects.values_list("charge_sequence", flat=True).get(enterprise_id=enterprise_id)


def standing_row(limit: Limit) -> Limit:
    """The row of a limit's succession that stands now. Raises LimitRefused where none does."""
    rows = Limit.objects.filter(Q(id=limit.first_number) | Q(first_id=limit.first_number), retired_at__isnull=True)
    row = rows.first()
    if row is None:
        raise LimitRefused("This limit does not stand any more.", field="limit")
    return row


_standing = standing_row


def _succession(limit: Limit):
    return Limit.objects.filter(Q(id=limit.first_number) | Q(first_id=limit.first_number))


def _check_owner(limit: Limit) -> None:
    accounts = Account.objects.filter(enterprise_id=limit.enterprise_id, closed_at__isnull=True)
    if limit.account_id and not accounts.filter(id=limit.account_id).exists():
        raise LimitRefused("This account does not exist, or is closed.", field="account")
    lines = Line.objects.filter(enterprise_id=limit.enterprise_id).exclude(status=LineStatus.RETIRED)
    if limit.line_id and not lines.filter(id=limit.line_id).exists():
        raise LimitRefused("This line does not exist, or is retired.", field="line")
    zones = Zone.objects.filter(operator__enterprises=limit.enterprise_id)
    if limit.zone_id and not zones.filter(id=limit.zone_id).exists():
        raise LimitRefused("This zone does not exist.", field="zone")


def _save(limit: Limit, actor: str, at: datetime) -> None:
    limit.made_sequence, limit.made_at, limit.made_by = sequence_of(limit.enterprise_id), at, actor
    limit.retired_at, limit.retired_by, limit.retired_sequence = None, "", None
    limit.save(force_insert=True)


def _retire(limit: Limit, actor: str, at: datetime) -> None:
    limit.retired_at, limit.retired_by, limit.retired_sequence = at, actor, sequence_of(limit.enterprise_id)
    limit.save(update_fields=["retired_at", "retired_by", "retired_sequence"])


def cross(limit: Limit, at: datetime, since: datetime | None = None) -> None:
    """Cross the marks that use has passed already, in the periods from `since` (the one under way) on; each level once.

    Needs the enterprise's lock.
    """
    first = limit.first_number
    uses = dict(LimitUse.objects.filter(limit_id=first).values_list("period_start", "used"))
    period = clock_of(limit.enterprise_id, at).period(limit, at)
    crossed: set[int] = set()
    if limit.window == Window.SLIDING_24H:
        slots = {windows.slot_number(start): used for start, used in uses.items()}
        uses = {period.starts_at: windows.fullest(slots, windows.slot_number(period.starts_at))}
        since = period.starts_at - windows.SLOT * (windows.SLOTS - 1)
        known = LimitCrossing.objects.filter(first_id=first, period_start__gte=since)
        crossed = set(known.values_list("level", flat=True))
    crossings = []
    for start, used in uses.items():
        if start < (since or period.starts_at):
            continue
        bound = marks.total(limit.amount, consents_of(limit, start))
        crossings += [
            LimitCrossing(
                enterprise_id=limit.enterprise_id, limit=limit, first_id=first, period_start=start, percent=percent,
                level=level, amount=limit.amount if bound is None else bound, used=used, crossed_at=at, recorded_at=at,
            )
            for level, percent in marks.levels(bound, limit.percents, limit.marks)
            if used >= level and level not in crossed
        ]  # fmt: skip
    LimitCrossing.objects.bulk_create(crossings, ignore_conflicts=True)


def consents_of(limit: Limit, start: datetime) -> list[int | None]:
    """Amounts consented to that hold in the period that starts there; None: without bound."""
    held = Consent.objects.filter(limit_id=limit.first_number, revoked_at__isnull=True)
    if limit.window == Window.SLIDING_24H:
        held = held.filter(period_start__lte=start, period_start__gte=start - windows.SLOT * (windows.SLOTS - 1))
    else:
        held = held.filter(period_start=start)
    return list(held.order_by("id").values_list("amount", flat=True))


def _lift(restrictions, actor: str, at: datetime) -> int:
    standing = restrictions.exclude(state=RestrictionState.LIFTED)
    return standing.update(state=RestrictionState.LIFTED, lifted_at=at, lifted_by=actor)


def lift_all_of(limit: Limit, actor: str, at: datetime) -> int:
    """Lift what a limit restricts. Needs the enterprise's lock."""
    return _lift(Restriction.objects.filter(limit__in=_succession(limit)), actor, at)


def _record(limit: Limit, action: str, actor: str, at: datetime, **detail) -> None:
    owner: object = limit.account or limit.line or f"tag {limit.tag}"
    audit.record(
        enterprise_id=limit.enterprise_id,
        account_id=limit.account_id or (limit.line.account_id if limit.line else None),
        actor=actor,
        action=action,
        subject=f"{limit} on {owner}",
        detail={
            "limit": limit.first_number, "window": limit.window, "measure": limit.measure, "amount": limit.amount,
            "action": limit.action, "percents": list(limit.percents), "marks": list(limit.marks), **detail,
        },
        at=at,
    )  # fmt: skip


def record_act(limit: Limit, action: str, actor: str, at: datetime, detail: Iterable[tuple[str, object]]) -> None:
    """Write an audit event about a limit, in the transaction of the act."""
    _record(limit, action, actor, at, **dict(detail))


def _record_restriction(restriction: Restriction, action: str, actor: str, at: datetime) -> None:
    audit.record(
        enterprise_id=restriction.enterprise_id,
        account_id=restriction.line.account_id,
        actor=actor,
        action=action,
        subject=str(restriction.line),
        detail={"action": restriction.action, "limit": restriction.limit_id},
        at=at,
    )
