"""Buckets and reservations. Written only by `balances.ledger`."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from balances.models.contracts import SERVICE_CHOICES
from balances.scope import scoped


class BucketKind(models.TextChoices):
    GRANT = "grant", "Granted by contract"
    ALLOCATION = "allocation", "Allocated from above"
    ROLLOVER = "rollover", "Carried over"
    EXCHANGE = "exchange", "Received in exchange"
    CONTINGENCY = "contingency", "Set aside"
    TRADE = "trade", "Received in trade"
    LOAN = "loan", "Borrowed"


class ReleaseRule(models.TextChoices):
    """What opens a slice that was set aside."""

    BY_HAND = "by_hand", "By hand"
    ON_EXHAUSTION = "on_exhaustion", "When all else is used up"
    ON_DATE = "on_date", "On a date"


class Bucket(models.Model):
    """A quantity of one unit with validity and priority, owned by an account or a line.

    granted + received = remaining + reserved + used + given + expired, always (DESIGN section 6, no. 1).
    `zone_ids` empty: usable everywhere. `source`: the bucket whose units it received, of the same allowance.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="buckets")
    account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, null=True, related_name="buckets")
    line = models.ForeignKey("balances.Line", on_delete=models.PROTECT, null=True, related_name="buckets")
    allowance = models.ForeignKey("balances.Allowance", on_delete=models.PROTECT, null=True, related_name="buckets")
    source = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="derived")
    kind = models.CharField(max_length=12, choices=BucketKind)
    name = models.CharField(max_length=80)
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    zone_ids = ArrayField(models.IntegerField(), default=list)
    priority = models.SmallIntegerField(default=100)
    cycle_start = models.DateTimeField()
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()
    granted_units = models.BigIntegerField(default=0)
    received_units = models.BigIntegerField(default=0)
    remaining_units = models.BigIntegerField(default=0)
    reserved_units = models.BigIntegerField(default=0)
    used_units = models.BigIntegerField(default=0)
    given_units = models.BigIntegerField(default=0)
    expired_units = models.BigIntegerField(default=0)
    release = models.CharField(max_length=14, choices=ReleaseRule, blank=True, help_text="Of a slice set aside.")
    release_at = models.DateTimeField(null=True, help_text="When a slice opens by itself.")
    closed_at = models.DateTimeField(null=True, help_text="When its rest expired or was carried over.")
    key = models.CharField(
        max_length=120, unique=True, help_text="Names the act that made it, so that it is made once."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = scoped(account=("account_id", "line__account_id"), line="line_id")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    remaining_units=F("granted_units")
                    + F("received_units")
                    - F("reserved_units")
                    - F("used_units")
                    - F("given_units")
                    - F("expired_units")
                ),
                name="bucket_balances",
            ),
            models.CheckConstraint(
                condition=Q(
                    granted_units__gte=0,
                    received_units__gte=0,
                    remaining_units__gte=0,
                    reserved_units__gte=0,
                    used_units__gte=0,
                    given_units__gte=0,
                    expired_units__gte=0,
                ),
                name="bucket_never_negative",
            ),
            models.CheckConstraint(
                condition=Q(account__isnull=True, line__isnull=False) | Q(account__isnull=False, line__isnull=True),
                name="bucket_one_owner",
            ),
            models.CheckConstraint(condition=Q(valid_until__gt=F("valid_from")), name="bucket_valid_interval"),
            models.UniqueConstraint(
                fields=["allowance", "cycle_start"],
                condition=Q(kind="grant"),
                name="bucket_one_grant_per_cycle",
            ),
        ]
        indexes = [
            models.Index(fields=["enterprise", "cycle_start"], name="bucket_by_cycle"),
            models.Index(fields=["account", "service", "valid_until"], name="bucket_by_account"),
            models.Index(fields=["line"], condition=Q(line__isnull=False), name="bucket_by_line"),
            models.Index(fields=["valid_until"], condition=Q(closed_at__isnull=True), name="bucket_to_close"),
        ]

    def __str__(self) -> str:
        return self.name


class ReservationState(models.TextChoices):
    OPEN = "open", "Open"
    CLOSED = "closed", "Closed"


class Reservation(models.Model):
    """Units set aside for a session that is under way; released by its end or, at `expires_at`, by a sweep."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    bucket = models.ForeignKey(Bucket, on_delete=models.PROTECT, related_name="reservations")
    key = models.CharField(
        max_length=160, unique=True, help_text="The session's own identity; repeating it does nothing."
    )
    requested_units = models.BigIntegerField()
    granted_units = models.BigIntegerField()
    used_units = models.BigIntegerField(default=0)
    state = models.CharField(max_length=8, choices=ReservationState, default=ReservationState.OPEN)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    objects = scoped(account=("bucket__account_id", "bucket__line__account_id"), line="bucket__line_id")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(granted_units__gte=0, used_units__gte=0, granted_units__lte=F("requested_units")),
                name="reservation_within_request",
            ),
            models.CheckConstraint(
                condition=Q(used_units__lte=F("granted_units")), name="reservation_used_within_grant"
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], condition=Q(state="open"), name="reservation_to_sweep")]
