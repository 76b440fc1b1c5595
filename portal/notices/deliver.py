"""Sends what is due: escalations into the portal, e-mails, webhooks. At least once; told apart by a stable id.

Whoever sends takes deliveries first, in a transaction of its own: the attempt is counted and the next one set. Killed
while sending, or with a mail server that is down, they are due again then; a mail that went out just before a kill goes
out again with the same Message-ID, a webhook with the same webhook-id, so that receivers know it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from portal.live import publish
from portal.models import Channel, Delivery, DeliveryState, Notice
from portal.notices import mail, webhooks

log = structlog.get_logger(__name__)

LONGEST_PAUSE = timedelta(hours=1)
#: Pauses double to an hour: so many attempts take a day.
MOST_ATTEMPTS = 30
BATCH = 100
#: E-mail deliveries of one turn: those of up to BATCH people.
MAILED_MOST = 5_000
#: Webhooks are posted side by side: a slow one must not keep the others, or the worker, waiting.
AT_ONCE = 8
_MAILS, _WEBHOOKS = 4_811_010, 4_811_011  # any numbers: the advisory locks of turns


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts: 30 s, a minute, two, ... an hour."""
    first = timedelta(seconds=settings.SENDING_FIRST_PAUSE_SECONDS)
    return min(first * 2 ** min(max(attempts - 1, 0), 20), LONGEST_PAUSE)


def send_due(*, at: datetime) -> int:
    """All of it in turn; returns how many deliveries were tried. Never raises for a recipient's trouble."""
    publish.noticed(escalate(at=at))
    return send_mails(at=at) + post_webhooks(at=at)


@contextmanager
def _alone(turn: int) -> Iterator[bool]:
    """Whether this is the only turn of its kind: a slow mail server must not take every thread of the sender.

    The lock is the connection's, so it goes with whoever is killed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [turn])
        has_it = cursor.fetchone()[0]
    try:
        yield has_it
    finally:
        if has_it:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [turn])


def send_mails(*, at: datetime) -> int:
    """Send the e-mails that are due, a user's together; returns how many deliveries were tried."""
    with _alone(_MAILS) as is_alone:
        return _send_mails(at) if is_alone else 0


def _send_mails(at: datetime) -> int:
    tried = 0
    mails: dict[int, list[Delivery]] = defaultdict(list)
    for delivery in _take(Channel.EMAIL, at):
        mails[delivery.user_id or 0].append(delivery)
    post = mail.Post()
    for deliveries in mails.values():
        tried += len(deliveries)
        problem = post.send([d for d in deliveries if not _needless(d)])
        _settle(deliveries, problem, at)
    post.close()
    return tried


def post_webhooks(*, at: datetime) -> int:
    """Post the webhooks that are due, side by side; returns how many were tried."""
    with _alone(_WEBHOOKS) as is_alone:
        return _post_webhooks(at) if is_alone else 0


def _post_webhooks(at: datetime) -> int:
    posts = _take(Channel.WEBHOOK, at)
    if posts:
        bodies = [webhooks.request_of(delivery, at) for delivery in posts]  # the database is this thread's alone
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            for delivery, problem in zip(posts, pool.map(webhooks.post, bodies), strict=True):
                _settle([delivery], problem, at)
    return len(posts)


def escalate(*, at: datetime) -> set[int]:
    """Let what nobody has read rise to the next ones; returns whose inbox has changed."""
    told: set[int] = set()
    with transaction.atomic():
        due = (
            Delivery.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(channel=Channel.PORTAL, state=DeliveryState.WAITING, next_at__lte=at)
            .order_by("id")[:BATCH]
        )
        for delivery in due:
            if reason := _needless(delivery):
                delivery.state, delivery.problem = DeliveryState.DROPPED, reason
            else:
                delivery.state, delivery.sent_at = DeliveryState.SENT, at
                told.add(delivery.user_id or 0)
            delivery.next_at = None
            delivery.save(update_fields=["state", "problem", "sent_at", "next_at"])
    return told


def _needless(delivery: Delivery) -> str:
    """Why escalation may stop before this delivery: what the notice asks for is done, or somebody of an earlier step
    has opened it; "" where it goes on."""
    if not delivery.step:
        return ""
    if Notice.objects.filter(id=delivery.notice_id, resolved_at__isnull=False).exists():
        return "What it asks for is done."
    earlier = Delivery.objects.filter(notice_id=delivery.notice_id, step__lt=delivery.step, channel=Channel.PORTAL)
    is_read = earlier.filter(Q(seen_at__isnull=False) | Q(acknowledged_at__isnull=False)).exists()
    return "Somebody nearer has read it." if is_read else ""


def _take(channel: Channel, at: datetime) -> list[Delivery]:
    """Due deliveries of a channel, the attempt counted and the next one set; nobody else gets them till then.

    Of e-mails all that are due to a person are taken together, so that a digest is one mail however much it collects.
    """
    due = Delivery.objects.filter(channel=channel, state=DeliveryState.WAITING, next_at__lte=at)
    first = due.order_by("next_at", "id")[:BATCH]
    most = BATCH
    if channel == Channel.EMAIL:
        users = {user_id for (user_id,) in first.values_list("user_id")}
        due, most = due.filter(user_id__in=users), MAILED_MOST
    with transaction.atomic():
        taken = list(
            due.select_for_update(skip_locked=True, of=("self",))
            .select_related("notice__enterprise", "user", "endpoint")
            .order_by("next_at", "id")[:most]
        )
        for delivery in taken:
            delivery.attempts += 1
            delivery.next_at = at + pause_after(delivery.attempts)
        Delivery.objects.bulk_update(taken, ["attempts", "next_at"])
    return taken


def _settle(deliveries: Sequence[Delivery], problem: str, at: datetime) -> None:
    """Write down what became of deliveries that were tried."""
    for delivery in deliveries:
        if not problem:
            delivery.state, delivery.sent_at, delivery.next_at, delivery.problem = DeliveryState.SENT, at, None, ""
            if reason := _needless(delivery):
                delivery.state, delivery.problem = DeliveryState.DROPPED, reason
        else:
            delivery.problem = problem[:300]
            if delivery.attempts >= MOST_ATTEMPTS:
                delivery.state, delivery.next_at = DeliveryState.FAILED, None
                log.error("notices.given_up", delivery=delivery.id, problem=problem)
        delivery.save(update_fields=["state", "sent_at", "next_at", "problem"])


def given_up(enterprise_ids: Sequence[int]) -> QuerySet[Delivery]:
    """E-mails and webhooks of these enterprises that nobody tries any more, latest first; none that is personal."""
    found = Delivery.objects.filter(
        notice__enterprise_id__in=enterprise_ids, notice__person__isnull=True, state=DeliveryState.FAILED
    )
    return found.exclude(channel=Channel.PORTAL).select_related("notice", "user", "endpoint").order_by("-id")


def replay(*, delivery: Delivery, at: datetime) -> Delivery:
    """Send an e-mail or webhook again, whatever became of it: attempts begin anew, its id stays."""
    with transaction.atomic():
        sendable = Delivery.objects.select_for_update(of=("self",)).exclude(channel=Channel.PORTAL)
        again = sendable.get(id=delivery.id)
        again.state, again.attempts, again.next_at = DeliveryState.WAITING, 0, at
        again.save(update_fields=["state", "attempts", "next_at"])
    return again
