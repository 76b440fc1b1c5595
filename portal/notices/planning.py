"""Which deliveries a notice gets: recipients times channels, when each is due, and what silence or mute makes of it.

Owns: making Delivery rows, in the transaction of their notice. Sending them is `portal.notices.deliver`'s.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count

from portal.models import (
    Channel,
    Delivery,
    DeliveryState,
    Digest,
    Notice,
    NoticeKind,
    NoticePreference,
    NoticeSettings,
    Silence,
    WebhookEndpoint,
)
from portal.notices.recipients import Recipient, chain_of, recipients_of
from portal.notices.turns import once

#: Of unusual lines a person is told of so many in 24 hours; the others are kept for whoever looks.
UNUSUAL_MOST, UNUSUAL_SPAN = 10, timedelta(hours=24)
CROWDED = f"More than {UNUSUAL_MOST} unusual lines in 24 hours"
#: What is older than this when it is found is history: it is shown, and nobody is called.
FRESH = timedelta(hours=24)


def plan(notice: Notice, at: datetime, *, recorded_at: datetime) -> set[int]:
    """Make a notice's deliveries, of a fact known since `recorded_at`; returns whose inbox has changed."""
    people = recipients_of(notice, at)
    ids = tuple(person.user_id for person in people)
    wishes, clocks = _wishes(ids, notice.kind), _clocks(ids)
    silenced = _crowded(notice, ids, at) | _silenced(notice, ids, at)
    is_fresh = at - recorded_at < FRESH
    made: list[Delivery] = []
    for person in people:
        wish = {channel: wishes.get((person.user_id, channel), Digest.NOW) for channel in Channel}
        if wish[Channel.PORTAL] != Digest.OFF:
            made.append(_in_portal(notice, person, silenced.get(person.user_id, ""), at))
        if wish[Channel.EMAIL] != Digest.OFF and is_fresh and person.user_id not in silenced:
            due = due_at(wish[Channel.EMAIL], clocks.get(person.user_id), person.at)
            made.append(_delivery(notice, person, Channel.EMAIL, next_at=due))
    if is_fresh and not notice.is_test and notice.person_id is None:
        made += _to_endpoints(notice, at)
    Delivery.objects.bulk_create(made, ignore_conflicts=True)
    return {d.user_id for d in made if d.user_id and d.channel == Channel.PORTAL and d.state == DeliveryState.SENT}


def _in_portal(notice: Notice, person: Recipient, silence: str, at: datetime) -> Delivery:
    if silence:
        return _delivery(notice, person, Channel.PORTAL, state=DeliveryState.DROPPED, problem=silence)
    if person.step:
        return _delivery(notice, person, Channel.PORTAL, next_at=person.at)
    return _delivery(notice, person, Channel.PORTAL, state=DeliveryState.SENT, sent_at=at)


def _delivery(notice: Notice, person: Recipient, channel: Channel, **fields) -> Delivery:
    return Delivery(notice=notice, user_id=person.user_id, channel=channel, why=person.why, step=person.step, **fields)


@once
def _wishes(user_ids: tuple[int, ...], kind: str) -> dict[tuple[int, str], str]:
    chosen = NoticePreference.objects.filter(user_id__in=user_ids, kind=kind)
    return {
        (user_id, channel): digest for user_id, channel, digest in chosen.values_list("user_id", "channel", "digest")
    }


@once
def _clocks(user_ids: tuple[int, ...]) -> dict[int, NoticeSettings]:
    return NoticeSettings.objects.in_bulk(user_ids)


@once
def _endpoints(enterprise_id: int) -> list[WebhookEndpoint]:
    return list(WebhookEndpoint.objects.filter(enterprise_id=enterprise_id, disabled_at__isnull=True))


@once
def _silences(user_ids: tuple[int, ...], at: datetime) -> list[Silence]:
    return list(Silence.objects.filter(user_id__in=user_ids, until__gt=at, lifted_at__isnull=True))


def _to_endpoints(notice: Notice, at: datetime) -> list[Delivery]:
    return [
        Delivery(notice=notice, endpoint=endpoint, channel=Channel.WEBHOOK, next_at=at)
        for endpoint in _endpoints(notice.enterprise_id)
        if not endpoint.kinds or notice.kind in endpoint.kinds
    ]


def _silenced(notice: Notice, user_ids: tuple[int, ...], at: datetime) -> dict[int, str]:
    """Users who do not want to hear of it now, and what they said why."""
    chain = chain_of(notice.account_id or (notice.line.account_id if notice.line else None))
    return {
        silence.user_id: f"Silenced: {silence.reason}"[:300]
        for silence in _silences(user_ids, at)
        if silence.kind in ("", notice.kind)
        and (silence.account_id in chain or (silence.line_id is not None and silence.line_id == notice.line_id))
    }


def _crowded(notice: Notice, user_ids: tuple[int, ...], at: datetime) -> dict[int, str]:
    """Users who have heard of enough unusual lines."""
    if notice.kind != NoticeKind.ANOMALY or notice.is_test:
        return {}
    heard = (
        Delivery.objects.filter(
            user_id__in=user_ids, channel=Channel.PORTAL,
            state__in=[DeliveryState.SENT, DeliveryState.WAITING], notice__kind=NoticeKind.ANOMALY,
            notice__created_at__gt=at - UNUSUAL_SPAN,
        )
        .values("user_id").annotate(times=Count("id")).filter(times__gte=UNUSUAL_MOST)
    )  # fmt: skip
    return {row["user_id"]: CROWDED for row in heard}


def due_at(digest: str, settings: NoticeSettings | None, at: datetime) -> datetime:
    """When an e-mail is due: at once, at the next full hour, or at the user's hour of the day or week; and not before a
    mute time ends."""
    known = settings or NoticeSettings()
    zone = ZoneInfo(known.time_zone)
    due = at
    if digest == Digest.HOURLY:
        due = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    elif digest == Digest.DAILY:
        due = _next(at, known.daily_at, zone)
    elif digest == Digest.WEEKLY:
        due = _next(at, known.daily_at, zone, known.weekly_on)
    return muted_until(due, settings, zone)


def muted_until(at: datetime, settings: NoticeSettings | None, zone: ZoneInfo) -> datetime:
    """`at`, or the end of the mute time that it falls into; [from, until) on the user's clock, also over midnight."""
    if settings is None or settings.mute_from is None or settings.mute_until is None:
        return at
    clock, start, end = at.astimezone(zone).time(), settings.mute_from, settings.mute_until
    is_muted = start <= clock < end if start <= end else clock >= start or clock < end
    return _next(at, end, zone) if is_muted else at


def _next(at: datetime, clock: time, zone: ZoneInfo, weekday: int | None = None) -> datetime:
    """The next instant after `at` at which the zone's clocks show `clock`; on that day of the week, Monday being 0."""
    local = at.astimezone(zone)
    for days in range(9):
        day = local.date() + timedelta(days=days)
        moment = datetime.combine(day, clock, zone).astimezone(at.tzinfo)
        if moment > at and weekday in (None, day.weekday()):
            return moment
    return at
