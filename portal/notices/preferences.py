"""How users want to be told, after how long the next one up is, and trying a notice out.

Owns: NoticePreference, NoticeSettings, Escalation.
"""

from __future__ import annotations

from datetime import datetime, time
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F, Sum

from balances import audit, fields
from balances.errors import Refused
from balances.models import Account, Bucket, Crossing, Threshold
from policies import limits, marks
from policies.models import Limit, LimitCrossing
from portal.live import publish
from portal.models import (
    Channel,
    Delivery,
    DeliveryState,
    Digest,
    Escalation,
    Notice,
    NoticeKind,
    NoticePreference,
    NoticeSettings,
    User,
)
from portal.notices import sources
from portal.notices.found import Found

#: Channels that a user chooses for; webhooks are the enterprise's.
CHANNELS = (Channel.PORTAL.value, Channel.EMAIL.value)
MINUTES_MOST = 10_080


class PreferenceRefused(Refused):
    """A wish that cannot be."""


def prefer(*, user: User, kind: str, channel: str, digest: str) -> NoticePreference:
    """How a user wants a kind by a channel. In the portal there is only at once, or not at all."""
    if kind not in NoticeKind.values:
        raise PreferenceRefused("There is no such kind of notice.", field="kind")
    if channel not in CHANNELS:
        raise PreferenceRefused("Choose portal or email.", field="channel")
    if digest not in Digest.values or (channel == Channel.PORTAL and digest not in (Digest.NOW, Digest.OFF)):
        raise PreferenceRefused("In the portal notices come at once or not at all.", field="digest")
    return NoticePreference.objects.update_or_create(
        user=user, kind=kind, channel=channel, defaults={"digest": digest}
    )[0]


def table(user: User) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Each kind with its label and what the user chose by channel."""
    chosen = {
        (kind, channel): digest
        for kind, channel, digest in NoticePreference.objects.filter(user=user).values_list("kind", "channel", "digest")
    }
    return [
        (kind, str(label), [(channel, chosen.get((kind, channel), Digest.NOW.value)) for channel in CHANNELS])
        for kind, label in NoticeKind.choices
    ]


def set_clock(
    *,
    user: User,
    language: str,
    time_zone: str,
    daily_at: time = time(8),
    weekly_on: int = 0,
    mute_from: time | None,
    mute_until: time | None,
) -> NoticeSettings:
    """A user's language, zone, hour and weekday of collected e-mails, and mute time, [from, until) on that zone's
    clocks. What waits already keeps its time. Raises PreferenceRefused."""
    if language not in ("en", "de"):
        raise PreferenceRefused("Choose English or German.", field="language")
    try:
        ZoneInfo(time_zone)
    except (ValueError, OSError, KeyError):
        raise PreferenceRefused("There is no such time zone.", field="time_zone") from None
    if weekly_on not in range(7):
        raise PreferenceRefused("A week's days are 0, Monday, to 6, Sunday.", field="weekly_on")
    if (mute_from is None) != (mute_until is None) or (mute_from is not None and mute_from == mute_until):
        raise PreferenceRefused("A mute time has a beginning and another end.", field="mute_until")
    values = {
        "language": language, "time_zone": time_zone, "daily_at": daily_at, "weekly_on": weekly_on,
        "mute_from": mute_from, "mute_until": mute_until,
    }  # fmt: skip
    return NoticeSettings.objects.update_or_create(user=user, defaults=values)[0]


def escalate(*, account: Account, after_minutes: int, actor: str, at: datetime) -> Escalation | None:
    """Below an account the nearest are told first, the others after so many minutes unread; 0: all at once."""
    fields.whole_number(after_minutes, 0, MINUTES_MOST, field="after_minutes")
    with transaction.atomic():
        made = None
        if after_minutes:
            values = {"after_minutes": after_minutes, "set_by": actor, "set_at": at}
            made = Escalation.objects.update_or_create(account=account, defaults=values)[0]
        else:
            Escalation.objects.filter(account=account).delete()
        audit.record(
            enterprise_id=account.enterprise_id, account_id=account.id, actor=actor, action="notice.escalation_set",
            subject=account.name, detail={"after_minutes": after_minutes}, at=at,
        )  # fmt: skip
    return made


def fire(*, threshold: Threshold, user: User, at: datetime) -> Notice:
    """The notice that a threshold would make, now, for its maker alone: marked as a test, counted nowhere."""
    total = threshold.units or _allowance_of(threshold)
    level = threshold.units or -(-total * (threshold.percent or 0) // 100)
    row = Crossing(
        enterprise_id=threshold.enterprise_id, threshold=threshold, account=threshold.account, line=threshold.line,
        service=threshold.service, period_start=at, level_units=level, used_units=level, base_units=total,
        usage_id=0, crossed_at=at, recorded_at=at,
    )  # fmt: skip
    (found,) = sources.SOURCES["crossing"].tell(row, at)
    return _as_test(found, f"test:{threshold.id}", user, at)


def fire_limit(*, limit: Limit, user: User, at: datetime) -> Notice:
    """The notice of a limit's highest mark, now, for its maker alone: marked as a test, counted nowhere."""
    period = limits.clock_of(limit.enterprise_id, at).period(limit, at)
    bound = marks.total(limit.amount, limits.consents_of(limit, period.starts_at))
    amount = limit.amount if bound is None else bound
    level, percent = next(iter(marks.levels(bound, limit.percents, limit.marks)), (amount, None))
    row = LimitCrossing(
        enterprise_id=limit.enterprise_id, limit=limit, first_id=limit.first_number, period_start=at, percent=percent,
        level=level, amount=amount, used=level, crossed_at=at, recorded_at=at,
    )  # fmt: skip
    (found,) = sources.SOURCES["limit_crossing"].tell(row, at)
    return _as_test(found, f"test:limit{limit.first_number}", user, at)


def _as_test(found: Found, name: str, user: User, at: datetime) -> Notice:
    facts = {key: value for key, value in found.facts.items() if key != "usage_id"}
    with transaction.atomic():
        notice = Notice.objects.create(
            enterprise_id=found.enterprise_id, account=found.account, line=found.line, kind=found.kind,
            key=f"{name}:{user.pk}:{uuid4().hex}", service=found.service,
            severity=found.severity, facts=facts, is_test=True, happened_at=at, created_at=at,
        )  # fmt: skip
        for channel in (Channel.PORTAL, Channel.EMAIL):
            in_portal = channel == Channel.PORTAL
            Delivery.objects.create(
                notice=notice, user=user, channel=channel, why="tested:",
                state=DeliveryState.SENT if in_portal else DeliveryState.WAITING,
                sent_at=at if in_portal else None, next_at=None if in_portal else at,
            )  # fmt: skip
    publish.noticed([user.pk])
    return notice


def _allowance_of(threshold: Threshold) -> int:
    """What percent are taken of: the last crossing's base, or what the owner's buckets hold and held."""
    known = Crossing.objects.filter(threshold=threshold, base_units__isnull=False).order_by("-id").first()
    if known is not None:
        return known.base_units or 0
    buckets = Bucket.objects.filter(account=threshold.account, line=threshold.line, service=threshold.service)
    latest = buckets.order_by("-cycle_start").values_list("cycle_start", flat=True).first()
    if latest is None:
        return 0
    held = buckets.filter(cycle_start=latest).aggregate(
        units=Sum(F("remaining_units") + F("used_units") + F("reserved_units"))
    )
    return held["units"] or 0
