"""Limits on usage and money, what was used of them, and what was consented to. Algorithm: docs/limits.md.

`Limit`, `Consent` and `Exemption` are written by `policies.limits`; `LimitUse`, `LimitCrossing` and `Restriction` by
charging, in its transaction, and by `policies.limits` where an act of a person makes or ends them.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from balances.models.contracts import SERVICE_CHOICES
from balances.scope import scoped
from policies.decision import Action


class Measure(models.TextChoices):
    UNITS = "units", "Units of a service"
    MONEY = "money", "Money for overage"


class Window(models.TextChoices):
    """How often a limit begins anew; civil time of the contract's zone."""

    DAY = "day", "Each day"
    WEEK = "week", "Each week, from Monday"
    CYCLE = "cycle", "Each billing cycle"
    SLIDING_24H = "sliding_24h", "Any 24 hours"
    LIFETIME = "lifetime", "Once and for all"


ACTION_CHOICES = [
    (Action.NOTIFY.value, "Tell people, let it run"),
    (Action.OVERAGE.value, "Let it run at the overage rate"),
    (Action.THROTTLE.value, "Slow the line down"),
    (Action.BLOCK_NEW.value, "Block what is new"),
    (Action.STOP_NOW.value, "Stop at once"),
    (Action.CONSENT.value, "Stop until somebody consents"),
    (Action.SUSPEND.value, "Suspend the line"),
    (Action.STEER_PERSONAL.value, "Leave the rest to the person"),
]


class Limit(models.Model):
    """The most that an account with all below it, a line, or all lines with a tag may use in a window.

    Never updated in place: a change retires the row and makes a successor (`succeeds`), so that what held at any past
    moment stays known; what was used goes on counting, because use and consents hang on the first of the succession
    (`first`). Owner, service, zone, measure and window are the same in all of a succession.

    `amount` and `marks`: units of the service, or micros of overage. `counts_from`: usage before it never counts; the
    start of the period in which the first was made, unless a lifetime's was chosen. `made_sequence`: the charge
    sequence of the enterprise when it was made; whatever was charged later was decided with it.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="limits")
    account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, null=True, related_name="limits")
    line = models.ForeignKey("balances.Line", on_delete=models.PROTECT, null=True, related_name="limits")
    tag = models.CharField(max_length=40, blank=True, help_text="All lines that bear it, together.")
    name = models.CharField(max_length=80, blank=True)
    service = models.SmallIntegerField(choices=SERVICE_CHOICES, null=True)
    zone = models.ForeignKey("balances.Zone", on_delete=models.PROTECT, null=True, related_name="limits")
    is_abroad = models.BooleanField(default=False, help_text="Every zone but home.")
    measure = models.CharField(max_length=8, choices=Measure)
    window = models.CharField(max_length=12, choices=Window)
    amount = models.BigIntegerField()
    percents = ArrayField(models.PositiveSmallIntegerField(), default=list)
    marks = ArrayField(models.BigIntegerField(), default=list)
    action = models.CharField(max_length=16, choices=ACTION_CHOICES, default=Action.NOTIFY.value)
    grace_units = models.BigIntegerField(default=0, help_text="For an executive's video conference in progress.")
    needs_approval = models.BooleanField(default=False, help_text="Nothing is restricted before somebody approves it.")
    counts_from = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, help_text="Usage from then on counts, and is neither told nor stopped.")
    made_sequence = models.BigIntegerField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)
    succeeds = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="successor")
    first = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="succession")
    retired_at = models.DateTimeField(null=True)
    retired_by = models.CharField(max_length=160, blank=True)
    retired_sequence = models.BigIntegerField(null=True, help_text="The charge sequence that still knew it.")

    objects = scoped(account=("account_id", "line__account_id"), line="line_id")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(account__isnull=False, line__isnull=True, tag="")
                | Q(account__isnull=True, line__isnull=False, tag="")
                | (Q(account__isnull=True, line__isnull=True) & ~Q(tag="")),
                name="limit_one_owner",
            ),
            models.CheckConstraint(
                condition=Q(measure="money") | Q(service__isnull=False), name="limit_units_are_of_a_service"
            ),
            models.CheckConstraint(condition=Q(amount__gte=0, grace_units__gte=0), name="limit_never_negative"),
            models.CheckConstraint(
                condition=Q(zone__isnull=True) | Q(is_abroad=False), name="limit_one_zone_or_abroad"
            ),
        ]
        indexes = [
            models.Index(fields=["enterprise"], condition=Q(retired_at__isnull=True), name="limit_standing"),
            models.Index(fields=["account"], name="limit_by_account"),
            models.Index(fields=["line"], condition=Q(line__isnull=False), name="limit_by_line"),
        ]

    def __str__(self) -> str:
        return self.name or f"Limit {self.first_number}"

    @property
    def first_number(self) -> int:
        """The id of the first of the succession: use, consents and exemptions hang on it, reasons name it."""
        return self.first_id or self.id


class LimitUse(models.Model):
    """What was used of a limit in a period, and refused; written by charging, one upsert a group.

    `limit` is the first of its succession. `used`: units or micros, `refused`: units. Sliding windows are kept in slots
    of a quarter of an hour. `approved_at`: where a limit wants approval before it restricts, when it was given.
    """

    pk = models.CompositePrimaryKey("limit_id", "period_start")
    limit = models.ForeignKey(Limit, on_delete=models.CASCADE, related_name="uses", db_index=False)
    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    period_start = models.DateTimeField()
    used = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.CharField(max_length=160, blank=True)
    approved_sequence = models.BigIntegerField(null=True)

    objects = scoped(account=("limit__account_id", "limit__line__account_id"), line="limit__line_id")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(used__gte=0, refused__gte=0), name="limit_use_never_negative")
        ]


class LimitCrossing(models.Model):
    """A mark of a limit was reached in a period: once a level and period, ever. Also an outbox of notices.

    `limit` is the row that stood, `first` that of its succession. Without `usage_id` it was crossed by an act: a limit
    that was made, or lowered below what was used already.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="limit_crossings")
    limit = models.ForeignKey(Limit, on_delete=models.CASCADE, related_name="crossings")
    first = models.ForeignKey(Limit, on_delete=models.CASCADE, related_name="all_crossings")
    period_start = models.DateTimeField()
    percent = models.PositiveSmallIntegerField(null=True)
    level = models.BigIntegerField(help_text="The mark in units or micros, as it stood when it was reached.")
    amount = models.BigIntegerField(help_text="The limit's amount with consents, as it stood.")
    used = models.BigIntegerField(help_text="Right after what reached it.")
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, null=True, related_name="+")
    usage_id = models.BigIntegerField(null=True)
    crossed_at = models.DateTimeField(help_text="Time of use, or of the act.")
    recorded_at = models.DateTimeField()

    objects = scoped(
        account=("limit__account_id", "limit__line__account_id"), line="limit__line_id", line_at="crossed_at"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["first", "period_start", "level"], name="limit_crossing_once"),
            models.CheckConstraint(condition=Q(used__gte=models.F("level")), name="limit_crossing_was_reached"),
        ]
        indexes = [models.Index(fields=["enterprise", "-recorded_at"], name="limit_crossing_latest")]


class ConsentKind(models.TextChoices):
    CONSENT = "consent", "Consent"
    EXTENSION = "extension", "Extension"


class Consent(models.Model):
    """Somebody agreed that a limit is exceeded in one period: who, when, by how much, what they were shown.

    `limit` is the first of its succession. `number`: 1, 2, ... in the period; who consents names the number they were
    shown, so that of two at once only one counts. `amount` None: without bound. `used_shown`, `bound_shown`: how the
    limit stood in front of them, where it is known (bound None: without). Revoked, never deleted.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="consents")
    limit = models.ForeignKey(Limit, on_delete=models.PROTECT, related_name="consents")
    period_start = models.DateTimeField()
    number = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=12, choices=ConsentKind)
    amount = models.BigIntegerField(null=True)
    consented_by = models.CharField(max_length=160)
    consented_at = models.DateTimeField()
    channel = models.CharField(max_length=20, help_text="portal, api, sms, ...")
    text_shown = models.TextField()
    price_shown = models.TextField(blank=True)
    used_shown = models.BigIntegerField(null=True)
    bound_shown = models.BigIntegerField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=160, blank=True)
    made_sequence = models.BigIntegerField(null=True, help_text="Whatever was charged later was decided with it.")
    revoked_sequence = models.BigIntegerField(null=True)

    objects = scoped(account=("limit__account_id", "limit__line__account_id"), line="limit__line_id")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["limit", "period_start", "number"], name="consent_once"),
            models.CheckConstraint(condition=Q(amount__isnull=True) | Q(amount__gt=0), name="consent_to_something"),
        ]


class Exemption(models.Model):
    """A limit does not stop these lines until then; what they use still counts. `limit`: first of its succession."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="exemptions")
    limit = models.ForeignKey(Limit, on_delete=models.PROTECT, related_name="exemptions")
    account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, null=True, related_name="exemptions")
    line = models.ForeignKey("balances.Line", on_delete=models.PROTECT, null=True, related_name="exemptions")
    starts_at = models.DateTimeField()
    until = models.DateTimeField()
    reason = models.CharField(max_length=200)
    made_by = models.CharField(max_length=160)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=160, blank=True)
    made_sequence = models.BigIntegerField(null=True, help_text="Whatever was charged later was decided with it.")
    ended_sequence = models.BigIntegerField(null=True)

    objects = scoped(account=("account_id", "line__account_id"), line="line_id")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(account__isnull=True, line__isnull=False) | Q(account__isnull=False, line__isnull=True),
                name="exemption_one_owner",
            ),
            models.CheckConstraint(condition=Q(until__gt=models.F("starts_at")), name="exemption_valid_interval"),
        ]


class RestrictionAction(models.TextChoices):
    THROTTLE = "throttle", "Slowed down"
    BLOCKED = "blocked", "Blocked"
    REDIRECTED = "redirected", "Redirected to consent"
    SUSPENDED = "suspended", "Suspended"


class RestrictionState(models.TextChoices):
    PENDING = "pending", "Waits for approval"
    ACTIVE = "active", "Active"
    LIFTED = "lifted", "Lifted"


class Restriction(models.Model):
    """What the network is told of a line: one standing a line, service, limit and period.

    Written with the charge that used the limit up, and anew with the next one that is refused after it was lifted.
    `service` None: every service. Ends with the limit's period (`until`), with a consent or an extension, or by hand.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="restrictions")
    line = models.ForeignKey("balances.Line", on_delete=models.PROTECT, related_name="restrictions")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES, null=True)
    action = models.CharField(max_length=12, choices=RestrictionAction)
    limit = models.ForeignKey(Limit, on_delete=models.PROTECT, null=True, related_name="restrictions")
    period_start = models.DateTimeField()
    consents = models.PositiveSmallIntegerField(default=0, help_text="Consents that stood when it was written.")
    starts_at = models.DateTimeField()
    until = models.DateTimeField(null=True, help_text="End of the limit's period; none for a lifetime.")
    state = models.CharField(max_length=8, choices=RestrictionState)
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=160, blank=True)

    objects = scoped(account="line__account_id", line="line_id")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["limit", "period_start", "consents", "line", "service"],
                condition=~Q(state="lifted"),
                nulls_distinct=False,
                name="restriction_stands_once",
            ),
        ]
        indexes = [
            models.Index(fields=["enterprise", "state"], name="restriction_by_state"),
            models.Index(fields=["until"], condition=Q(state="active"), name="restriction_to_lift"),
        ]
