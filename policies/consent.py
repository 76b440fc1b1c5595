"""Consenting to more than a limit: the only writer of Consent. Part of `policies.limits`, under the same lock.

A consent is for one period of one limit and has a number in it. Who consents hands over what they were shown: the
limit's row, its period, and the number that would be next. Where the period has turned, the limit has other terms, or
somebody else has consented meanwhile, nothing happens and they are told so. The same person sending the same again gets
the first answer, so that a page sent twice has one effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max, QuerySet

from balances import fields, locks
from balances.units import MICROS_PER_MAJOR
from policies import windows
from policies.decision import LENIENT, Action
from policies.limits import LimitRefused, clock_of, cross, lift_all_of, record_act, sequence_of, standing_row
from policies.models import Consent, ConsentKind, Limit, Measure, Window

CONSENTS_MOST = 50
#: A sliding window moves on all the time: what was shown of it holds for so long.
SLIDING_SHOWN = timedelta(hours=1)


class Outdated(LimitRefused):
    """What was shown is no longer so."""


class AlreadyConsented(LimitRefused):
    """Somebody else has consented to the same excess, or the same person to another amount; `first` is what holds."""

    def __init__(self, first: Consent):
        is_money = first.limit.measure == Measure.MONEY
        much = (
            "without bound"
            if first.amount is None
            else "to {} more".format(
                f"{first.amount / MICROS_PER_MAJOR:,.2f}" if is_money else f"{first.amount:,} units"
            )
        )
        super().__init__(
            f"{first.consented_by.partition(' ')[2] or first.consented_by} has consented {much} at "
            f"{first.consented_at:%Y-%m-%d %H:%M} UTC (number {first.number}). Nothing was added to it: look at the "
            "limit again, and consent with the next number if that is not enough.",
            field="number",
        )
        self.first = first


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody had before them when they agreed: `limit_id` is the row, another one stands once its terms change.

    `used`, `bound`: in units or micros, where they are known; bound None: without bound.
    """

    limit_id: int
    period_start: datetime
    number: int
    used: int | None = None
    bound: int | None = None


def given_in(limit: Limit, period_start: datetime) -> QuerySet[Consent]:
    """The consents that count in a period of a limit, revoked ones too; of a sliding window those within its reach."""
    given = Consent.objects.filter(limit_id=limit.first_number)
    if limit.window == Window.SLIDING_24H:
        reach = windows.SLOT * (windows.SLOTS - 1)
        return given.filter(period_start__gte=period_start - reach, period_start__lte=period_start)
    return given.filter(period_start=period_start)


def shown_now(limit: Limit, at: datetime) -> Shown:
    """What a limit would show at an instant, without its figures."""
    start = clock_of(limit.enterprise_id, at).period(limit, at).starts_at
    return Shown(limit.id, start, _next(given_in(limit, start)))


def _next(given: QuerySet[Consent]) -> int:
    return (given.aggregate(latest=Max("number"))["latest"] or 0) + 1


def asks_for_consent(limit: Limit) -> bool:
    """Whether people may agree to exceed it: not where it was set to stop or block usage whatever they say.

    One that by itself only tells may be given a rule by a policy that asks for consent.
    """
    return limit.action == Action.CONSENT or limit.action in LENIENT


def consent(
    *,
    limit: Limit,
    shown: Shown,
    amount: int | None,
    channel: str,
    text_shown: str,
    price_shown: str = "",
    kind: str = ConsentKind.CONSENT.value,
    actor: str,
    at: datetime,
) -> Consent:
    """Agree that a limit is exceeded by `amount` (None: without bound) in the period that was shown.

    Stores what was shown. What the limit restricts is lifted. The same again by the same actor gives the first answer.
    Raises Outdated, AlreadyConsented, LimitRefused where a number is left out, Unreadable, Busy.
    """
    if amount is not None:
        fields.whole_number(amount, 1, fields.UNITS_MOST, field="amount")
    fields.whole_number(shown.number, 1, CONSENTS_MOST, field="number")
    if kind == ConsentKind.CONSENT and not text_shown.strip():
        raise LimitRefused("A consent keeps the text that was shown.", field="text_shown")
    with locks.enterprise(limit.enterprise_id):
        standing = standing_row(limit)
        if kind == ConsentKind.CONSENT and not asks_for_consent(standing):
            raise LimitRefused("This limit does not ask for consent: whoever set it can extend it.", field="limit")
        if first := given_in(standing, shown.period_start).filter(number=shown.number).first():
            if (first.consented_by, first.amount, first.kind) == (actor, amount, kind):
                return first
            raise AlreadyConsented(first)
        start = _still(standing, shown, at)
        if shown.number != (expected := _next(given_in(standing, start))):
            raise LimitRefused(f"The next consent of this period is number {expected}.", field="number")
        made = Consent.objects.create(
            enterprise_id=standing.enterprise_id, limit_id=standing.first_number, period_start=start,
            number=shown.number, kind=kind, amount=amount, consented_by=actor, consented_at=at, channel=channel[:20],
            text_shown=text_shown.strip(), price_shown=price_shown.strip(), used_shown=shown.used,
            bound_shown=shown.bound, made_sequence=sequence_of(standing.enterprise_id),
        )  # fmt: skip
        lift_all_of(standing, actor, at)
        cross(standing, at)
        record_act(standing, f"limit.{'extended' if kind == ConsentKind.EXTENSION else 'consented'}", actor, at,
                   [("by", amount), ("number", shown.number), ("channel", channel)])  # fmt: skip
    return made


def _still(standing: Limit, shown: Shown, at: datetime) -> datetime:
    """The start of the period under way, where it and the limit are those that were shown. Raises Outdated."""
    start = clock_of(standing.enterprise_id, at).period(standing, at).starts_at
    if standing.window == Window.SLIDING_24H:
        is_same = timedelta() <= start - shown.period_start <= SLIDING_SHOWN
    else:
        is_same = start == shown.period_start
    if not is_same:
        raise Outdated("A new period has begun since this was shown: look at the limit again.", field="period_start")
    if shown.limit_id != standing.id:
        raise Outdated("The limit was changed since this was shown: look at it again.", field="limit")
    return start


def extend(*, limit: Limit, shown: Shown, amount: int | None, reason: str = "", channel: str = "portal", actor: str,
           at: datetime) -> Consent:  # fmt: skip
    """Give a limit more for the period that was shown: a consent of the one who manages it."""
    return consent(
        limit=limit, shown=shown, amount=amount, channel=channel, text_shown=reason,
        kind=ConsentKind.EXTENSION.value, actor=actor, at=at,
    )  # fmt: skip


def revoke(*, consent: Consent, actor: str, at: datetime) -> Consent:
    """Take a consent back: what was granted with it stays granted, nothing more is. Raises LimitRefused, Busy."""
    with locks.enterprise(consent.enterprise_id):
        consent.refresh_from_db()
        if consent.revoked_at is not None:
            by = consent.revoked_by.partition(" ")[2] or consent.revoked_by
            raise LimitRefused(f"This consent was revoked already, by {by} at {consent.revoked_at:%Y-%m-%d %H:%M} UTC.")
        consent.revoked_at, consent.revoked_by = at, actor
        consent.revoked_sequence = sequence_of(consent.enterprise_id)
        consent.save(update_fields=["revoked_at", "revoked_by", "revoked_sequence"])
        standing = standing_row(consent.limit)
        cross(standing, at, since=consent.period_start)
        record_act(standing, "limit.consent_revoked", actor, at, [("number", consent.number)])
    return consent
