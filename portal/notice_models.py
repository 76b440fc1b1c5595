"""Tables of notices: what happened, who is told by which channel, and how they want it. Algorithm: docs/notices.md.

Written by `portal.notices` alone. Beside `portal.models`, because tables belong to the app and not to the room.
"""

from __future__ import annotations

from datetime import time

from django.conf import settings
from django.db import models
from django.db.models import Q

from balances.models.contracts import SERVICE_CHOICES
from balances.scope import Scope, ScopedQuerySet, Verb, scoped


class NoticeKind(models.TextChoices):
    THRESHOLD = "threshold", "Threshold reached"
    LIMIT = "limit", "Mark of a limit reached"
    RESTRICTION = "restriction", "Line restricted"
    CONSENT = "consent", "Limit exceeded by consent"
    TRADE = "trade", "Offer or trade"
    FORECAST = "forecast", "Runs out before the cycle ends"
    ANOMALY = "anomaly", "Unusual usage"
    DEVICE = "device", "SIM in a new device"
    CONTEST = "contest", "Objection to be decided"
    PERSONAL = "personal", "My personal account and objections"


class Severity(models.TextChoices):
    INFO = "info", "For information"
    WARNING = "warning", "Watch"
    CRITICAL = "critical", "Act now"


class _NoticeQuerySet(ScopedQuerySet):
    """What is personal is the person's alone, whatever else the reader runs."""

    account_field = ("account_id", "line__account_id")
    line_field = "line_id"
    line_at_field = "happened_at"

    def within(self, scope: Scope, verb: Verb = Verb.VIEW):
        """Notices of places in reach that are nobody's own, and those of people whom the holder of `scope` is."""
        common = super().within(scope, verb).filter(person__isnull=True)
        if not (person_ids := scope.person_ids(verb)):
            return common
        return common | self.filter(person__in=person_ids, enterprise__in=scope.enterprise_ids(verb))


class Notice(models.Model):
    """A fact that people are told: one row a fact, whatever finds it how often (`key`).

    `facts` is what was known when it was found, as plain JSON: its texts in any language are made of it, so that a
    notice says the same for ever. `resolved_at`: what it asks or warns of is over. `person`: it is personal, told to
    and seen by nobody but who proved to be that person, and posted nowhere (a trigger refuses it).
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.CASCADE, related_name="notices")
    account = models.ForeignKey("balances.Account", on_delete=models.CASCADE, null=True, related_name="notices")
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, null=True, related_name="notices")
    person = models.ForeignKey("balances.Person", on_delete=models.CASCADE, null=True, related_name="notices")
    kind = models.CharField(max_length=12, choices=NoticeKind)
    key = models.CharField(max_length=120, unique=True)
    service = models.SmallIntegerField(choices=SERVICE_CHOICES, null=True)
    severity = models.CharField(max_length=8, choices=Severity)
    facts = models.JSONField()
    is_test = models.BooleanField(default=False, help_text="Fired by hand to see what it looks like; counts nowhere.")
    happened_at = models.DateTimeField()
    created_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    objects = models.Manager.from_queryset(_NoticeQuerySet)()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(person__isnull=False, account__isnull=True, line__isnull=True, kind="personal")
                | (Q(person__isnull=True) & ~Q(kind="personal")),
                name="notice_personal_or_of_a_place",
            )
        ]
        indexes = [
            models.Index(fields=["person", "-id"], condition=Q(person__isnull=False), name="notice_of_person"),
            models.Index(fields=["enterprise", "-id"], name="notice_latest"),
            models.Index(fields=["account", "-id"], name="notice_of_account"),
            models.Index(fields=["line", "-id"], condition=Q(line__isnull=False), name="notice_of_line"),
        ]


class WebhookEndpoint(models.Model):
    """Where an enterprise wants its notices posted. `secret` signs them: `whsec_` and 32 random bytes in base64."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.CASCADE, related_name="webhook_endpoints")
    url = models.URLField(max_length=400)
    secret = models.CharField(max_length=80)
    kinds = models.JSONField(default=list, help_text="Kinds that are posted; none named: all.")
    created_by = models.CharField(max_length=160)
    created_at = models.DateTimeField()
    disabled_at = models.DateTimeField(null=True)

    objects = scoped(account=None)

    def __str__(self) -> str:
        return self.url


class Channel(models.TextChoices):
    PORTAL = "portal", "Portal"
    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"


class DeliveryState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    FAILED = "failed", "Given up"
    DROPPED = "dropped", "Not sent"


class Delivery(models.Model):
    """One notice on its way to one recipient by one channel.

    Whoever sends it counts the attempt and moves `next_at` ahead first: killed while sending, it is tried again then.
    In the portal it is there with its notice; `seen_at` and `acknowledged_at` are that user's.
    """

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="deliveries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="deliveries")
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, null=True, related_name="deliveries")
    channel = models.CharField(max_length=8, choices=Channel)
    state = models.CharField(max_length=8, choices=DeliveryState, default=DeliveryState.WAITING)
    why = models.CharField(max_length=200, blank=True, help_text="Why this recipient gets it.")
    step = models.PositiveSmallIntegerField(default=0, help_text="0: told first; n: after n steps of escalation.")
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, blank=True)
    sent_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["notice", "user", "endpoint", "channel"], nulls_distinct=False, name="delivery_once"
            ),
            models.CheckConstraint(
                condition=Q(channel="webhook", endpoint__isnull=False, user__isnull=True)
                | (~Q(channel="webhook") & Q(endpoint__isnull=True, user__isnull=False)),
                name="delivery_one_recipient",
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(state="waiting"), name="delivery_due"),
            models.Index(
                fields=["user"],
                condition=Q(channel="portal", state="sent", seen_at__isnull=True),
                name="delivery_unread",
            ),
            models.Index(fields=["user", "-notice"], condition=Q(channel="portal"), name="delivery_inbox"),
        ]


class OutboxMark(models.Model):
    """How far a source's facts have been told: of an enterprise, up to `told_id`; without one, where a sweep begins.

    Facts are written under their enterprise's lock, so in one enterprise ids come in the order of commits.
    """

    source = models.CharField(max_length=20)
    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.CASCADE, null=True, related_name="+")
    told_id = models.BigIntegerField(default=0)
    next_id = models.BigIntegerField(default=0, help_text="Of a sweep: where it begins once this is old enough.")
    next_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "enterprise"], nulls_distinct=False, name="outbox_mark_once")
        ]


class Digest(models.TextChoices):
    NOW = "now", "At once"
    HOURLY = "hourly", "Collected, every hour"
    DAILY = "daily", "Collected, every day"
    WEEKLY = "weekly", "Collected, every week"
    OFF = "off", "Not at all"


class NoticePreference(models.Model):
    """How a user wants a kind of notice by a channel; without a row: at once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notice_preferences")
    kind = models.CharField(max_length=12, choices=NoticeKind)
    channel = models.CharField(max_length=8, choices=Channel)
    digest = models.CharField(max_length=6, choices=Digest, default=Digest.NOW)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "kind", "channel"], name="notice_preference_once")]


WEEKDAYS = list(enumerate(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")))


class NoticeSettings(models.Model):
    """A user's language, clock, and the times at which e-mails wait."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="notice_settings"
    )
    language = models.CharField(max_length=2, choices=[("en", "English"), ("de", "Deutsch")], default="en")
    time_zone = models.CharField(max_length=60, default="Europe/Berlin")
    daily_at = models.TimeField(default=time(8), help_text="When collected e-mails of a day or a week are sent.")
    weekly_on = models.PositiveSmallIntegerField(
        default=0, choices=WEEKDAYS, help_text="Day of the weekly e-mail; 0: Monday."
    )
    mute_from = models.TimeField(null=True)
    mute_until = models.TimeField(null=True)


class Silence(models.Model):
    """A user hears nothing of an account with all below it, or of a line, for a while; notices stay in the history."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="silences")
    account = models.ForeignKey("balances.Account", on_delete=models.CASCADE, null=True, related_name="+")
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, null=True, related_name="+")
    kind = models.CharField(max_length=12, choices=NoticeKind, blank=True, help_text="Empty: every kind.")
    until = models.DateTimeField()
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True)


class Escalation(models.Model):
    """Below this account the nearest managers are told first; those above after so many minutes without a reader."""

    account = models.OneToOneField(
        "balances.Account", on_delete=models.CASCADE, primary_key=True, related_name="escalation"
    )
    after_minutes = models.PositiveIntegerField()
    set_by = models.CharField(max_length=160)
    set_at = models.DateTimeField()

    objects = scoped(enterprise="account__enterprise_id")


class WatchMark(models.Model):
    """How far an enterprise's usage has been read for patterns and devices, and when: `portal.notices.watch`."""

    enterprise = models.OneToOneField(
        "balances.Enterprise", on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    sequence = models.BigIntegerField(default=0, help_text="Charges up to this one have been read.")
    read_at = models.DateTimeField(null=True, help_text="None: nothing has been read yet.")


class LineDay(models.Model):
    """What a line used of a service on a civil day of its contract's zone; kept for ten weeks."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.CASCADE, related_name="+", db_index=False)
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, related_name="+", db_index=False)
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    day = models.DateField()
    units = models.BigIntegerField()
    records = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["line", "service", "day"], name="line_day_once")]
        indexes = [
            models.Index(fields=["enterprise", "day"], name="line_day_first"),
            models.Index(fields=["day"], name="line_day_old"),
        ]


class LineDevice(models.Model):
    """A device that a line's SIM was used in, by the first 14 digits of its IMEI."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.CASCADE, related_name="+", db_index=False)
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, related_name="+", db_index=False)
    imei = models.CharField(max_length=14)
    first_used_at = models.DateTimeField()
    last_used_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["line", "imei"], name="line_device_once")]
