"""Consenting to more than a limit: the only writer of Consent. Part of `policies.limits`, under the same lock.

A consent is for one period of one limit and has a number in it. Who consents says which number they were shown; where
that one is given already, the first answer stands and nothing more happens. So two people who consent at once have one
effect, and a page that is sent twice, too.
"""

from __future__ import annotations

from datetime import datetime

from balances import fields, locks
from balances.models import ChargingState
from policies.decision import LENIENT, Action
from policies.limits import LimitRefused, clock_of, cross, lift_all_of, record_act, standing_row
from policies.models import Consent, ConsentKind, Limit

CONSENTS_MOST = 50


def next_number(limit: Limit, at: datetime) -> int:
    """The number of the next consent in the period under way: what a form shows and sends back."""
    start = clock_of(limit.enterprise_id, at).period(limit, at).starts_at
    return Consent.objects.filter(limit_id=limit.first_number, period_start=start).count() + 1


def asks_for_consent(limit: Limit) -> bool:
    """Whether people may agree to exceed it: not where it was set to stop or block usage whatever they say.

    One that by itself only tells may be given a rule by a policy that asks for consent.
    """
    return limit.action == Action.CONSENT or limit.action in LENIENT


def consent(
    *,
    limit: Limit,
    number: int,
    amount: int | None,
    channel: str,
    text_shown: str,
    price_shown: str = "",
    kind: str = ConsentKind.CONSENT.value,
    actor: str,
    at: datetime,
) -> Consent:
    """Agree that a limit is exceeded by `amount` (None: without bound) in the period under way.

    Stores what was shown. What the limit restricts is lifted. Number `number` again gives the first answer. Raises
    LimitRefused where a number is left out, Unreadable, Busy.
    """
    if amount is not None:
        fields.whole_number(amount, 1, fields.UNITS_MOST, field="amount")
    fields.whole_number(number, 1, CONSENTS_MOST, field="number")
    if kind == ConsentKind.CONSENT and not text_shown.strip():
        raise LimitRefused("A consent keeps the text that was shown.", field="text_shown")
    with locks.enterprise(limit.enterprise_id):
        standing = standing_row(limit)
        if kind == ConsentKind.CONSENT and not asks_for_consent(standing):
            raise LimitRefused("This limit does not ask for consent: whoever set it can extend it.", field="limit")
        start = clock_of(standing.enterprise_id, at).period(standing, at).starts_at
        given = Consent.objects.filter(limit_id=standing.first_number, period_start=start)
        if first := given.filter(number=number).first():
            return first
        if number != given.count() + 1:
            raise LimitRefused(f"The next consent of this period is number {given.count() + 1}.", field="number")
        made = Consent.objects.create(
            enterprise_id=standing.enterprise_id, limit_id=standing.first_number, period_start=start, number=number,
            kind=kind, amount=amount, consented_by=actor, consented_at=at, channel=channel[:20],
            text_shown=text_shown.strip(), price_shown=price_shown.strip(),
        )  # fmt: skip
        lift_all_of(standing, actor, at)
        cross(standing, at)
        record_act(standing, f"limit.{'extended' if kind == ConsentKind.EXTENSION else 'consented'}", actor, at,
                   [("by", amount), ("number", number), ("channel", channel)])  # fmt: skip
    return made


def extend(*, limit: Limit, number: int, amount: int | None, reason: str = "", channel: str = "portal", actor: str,
           at: datetime) -> Consent:  # fmt: skip
    """Give a limit more for the period under way: a consent of the one who manages it."""
    return consent(
        limit=limit, number=number, amount=amount, channel=channel, text_shown=reason,
        kind=ConsentKind.EXTENSION.value, actor=actor, at=at,
    )  # fmt: skip


def revoke(*, consent: Consent, actor: str, at: datetime) -> Consent:
    """Take a consent back: what was granted with it stays granted, nothing more is. Twice changes nothing."""
    with locks.enterprise(consent.enterprise_id):
        sequence = ChargingState.objects.get(enterprise_id=consent.enterprise_id).charge_sequence
        if Consent.objects.filter(id=consent.id, revoked_at__isnull=True).update(
            revoked_at=at, revoked_by=actor, revoked_sequence=sequence
        ):
            standing = standing_row(consent.limit)
            cross(standing, at, since=consent.period_start)
            record_act(standing, "limit.consent_revoked", actor, at, [("number", consent.number)])
    consent.refresh_from_db()
    return consent
