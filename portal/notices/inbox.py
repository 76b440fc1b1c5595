"""A user's notices: what they may see, what is unread, and what they do with it.

Owns: seeing, acknowledging and silencing. A notice is in reach where its owner is: somebody who lost a role sees
nothing of it any more, though it was once delivered to them.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet

from balances import audit, fields
from balances.errors import Refused
from balances.models import Account, Line
from balances.scope import Scope
from portal.live import publish
from portal.models import Channel, Delivery, DeliveryState, Notice, NoticeKind, Silence, User
from portal.notices import planning

SILENCE_MOST = timedelta(days=366)
ARRIVED = (DeliveryState.SENT, DeliveryState.DROPPED)


class NotYours(Refused):
    """The notice was not sent to this user."""


class SilenceRefused(Refused):
    """A silence that cannot be."""


def notices(scope: Scope, user: User) -> QuerySet[Notice]:
    """All notices in reach, newest first, with the user's own `seen_at`, `acknowledged_at`, `why` and `is_mine`."""
    mine = FilteredRelation(
        "deliveries",
        condition=Q(deliveries__user=user.pk, deliveries__channel=Channel.PORTAL, deliveries__state__in=list(ARRIVED)),
    )
    found: QuerySet[Notice] = Notice.objects.within(scope).annotate(
        mine=mine,
        delivery_id=F("mine__id"),
        delivery_state=F("mine__state"),
        seen_at=F("mine__seen_at"),
        acknowledged_at=F("mine__acknowledged_at"),
        why=F("mine__why"),
    )
    others = Delivery.objects.filter(notice=OuterRef("pk"), channel=Channel.PORTAL).exclude(user=user.pk)
    # A test is its maker's alone.
    found = found.filter(Q(is_test=False) | Q(delivery_id__isnull=False) & ~Exists(others))
    return found.select_related("account", "line__person", "line__account").order_by("-id")


def own(scope: Scope, user: User) -> QuerySet[Notice]:
    """What a person is told: what is personal to them, and what was sent to them of lines that are theirs now."""
    lines = Q(line__in=scope.line_ids(), delivery_id__isnull=False)
    return notices(scope, user).filter(Q(person__in=scope.person_ids()) | lines)


def unread(scope: Scope, user: User) -> QuerySet[Notice]:
    """Those that were sent to the user, are in reach still, and have not been opened."""
    return Notice.objects.within(scope).filter(
        Exists(
            Delivery.objects.filter(
                notice=OuterRef("pk"),
                user=user.pk,
                channel=Channel.PORTAL,
                state=DeliveryState.SENT,
                seen_at__isnull=True,
            )
        )
    )


def kept_back(scope: Scope, user: User, at: datetime) -> int:
    """How many unusual lines of the last 24 hours the user was not called for, having heard of enough."""
    mine = Delivery.objects.filter(
        notice=OuterRef("pk"), user=user.pk, channel=Channel.PORTAL, problem=planning.CROWDED
    )
    since = at - planning.UNUSUAL_SPAN
    return Notice.objects.within(scope).filter(Exists(mine), kind=NoticeKind.ANOMALY, created_at__gt=since).count()


def also_told(notice: Notice, user: User) -> list[str]:
    """Names of the others who have been told by now, in the order of telling; a test was told to nobody else."""
    others = Delivery.objects.filter(notice=notice, channel=Channel.PORTAL, state=DeliveryState.SENT)
    return list(others.exclude(user=user.pk).order_by("step", "id").values_list("user__name", flat=True))


def see(*, notice: Notice, user: User, at: datetime) -> None:
    """The user has opened a notice; nothing where it was not sent to them."""
    _mine(user).filter(notice=notice, seen_at__isnull=True).update(seen_at=at)


def acknowledge(*, notice: Notice, user: User, actor: str, at: datetime) -> None:
    """The user takes care of it: escalation ends. Again: nothing changes. Raises NotYours."""
    with transaction.atomic():
        delivery = _mine(user).select_for_update().filter(notice=notice).first()
        if delivery is None:
            raise NotYours("This notice was not sent to you: only those who were told can acknowledge it.")
        if delivery.acknowledged_at is None:
            delivery.acknowledged_at, delivery.seen_at = at, delivery.seen_at or at
            delivery.save(update_fields=["acknowledged_at", "seen_at"])
            if notice.person_id is None:  # managers read the audit: that somebody has news of their own is not in it
                audit.record(
                    enterprise_id=notice.enterprise_id,
                    account_id=notice.account_id or (notice.line.account_id if notice.line else None),
                    actor=actor,
                    action="notice.acknowledged",
                    subject=f"notice {notice.id}",
                    detail={"kind": notice.kind, "key": notice.key},
                    at=at,
                )
    publish.noticed([user.pk])


def see_all(*, scope: Scope, user: User, at: datetime) -> int:
    """Everything unread in reach counts as opened; returns how many."""
    count = _mine(user).filter(notice__in=unread(scope, user).values("id"), seen_at__isnull=True).update(seen_at=at)
    publish.noticed([user.pk])
    return count


def silence(
    *,
    user: User,
    account: Account | None = None,
    line: Line | None = None,
    kind: str = "",
    until: datetime,
    reason: str,
    actor: str,
    at: datetime,
) -> Silence:
    """The user hears nothing of a place till then; what happens meanwhile is in the history. Raises SilenceRefused."""
    if (account is None) == (line is None):
        raise SilenceRefused("A silence is about an account or about a line.", field="account")
    if kind and kind not in NoticeKind.values:
        raise SilenceRefused("There is no such kind of notice.", field="kind")
    if not at < until <= at + SILENCE_MOST:
        raise SilenceRefused("A silence ends in the future, within a year.", field="until")
    reason = fields.text(reason, field="reason", label="The reason", most=200)
    owner = account or line
    with transaction.atomic():
        made = Silence.objects.create(
            user=user, account=account, line=line, kind=kind, until=until, reason=reason, created_at=at
        )
        audit.record(
            enterprise_id=owner.enterprise_id if owner else None,
            account_id=account.id if account else line.account_id if line else None,
            actor=actor,
            action="notice.silenced",
            subject=str(owner),
            detail={"kind": kind or "all", "until": until.isoformat(), "reason": reason},
            at=at,
        )
    return made


def lift(*, silence: Silence, at: datetime) -> None:
    """End a silence before its time."""
    Silence.objects.filter(id=silence.id, lifted_at__isnull=True).update(lifted_at=at)


def _mine(user: User) -> QuerySet[Delivery]:
    return Delivery.objects.filter(user=user, channel=Channel.PORTAL, state__in=ARRIVED)
