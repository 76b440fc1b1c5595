"""Usage: what came in, what became of it, and what it was charged as.

`UsageBatch` and `UsagePart` are the durable inbox; `UsageIdentity` makes the effect exactly-once; `UsageRecord` and
`ChargeLine` are partitioned by month of use (the database keys are (id, used_at) and (usage_id, number, used_at));
`SuspendedUsage` holds what could not be charged yet. Written only by `portal.charging`.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from balances.models.contracts import SERVICE_CHOICES
from balances.models.counters import Payer
from balances.scope import Scope, ScopedQuerySet, Verb, scoped


class UsageSource(models.Model):
    """Who reports usage. A record's identity is unique within its source and enterprise."""

    operator = models.ForeignKey("balances.Operator", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["operator", "name"], name="usage_source_name_once")]

    def __str__(self) -> str:
        return self.name


class UsageBatch(models.Model):
    """One delivery, as its sender sees it. It is a row before anyone is told "accepted"."""

    id = models.UUIDField(primary_key=True, editable=False)
    operator = models.ForeignKey("balances.Operator", on_delete=models.PROTECT, related_name="+")
    enterprise = models.ForeignKey(
        "balances.Enterprise",
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="Null: several.",
    )
    source = models.ForeignKey(UsageSource, on_delete=models.PROTECT, related_name="+")
    accepted_by = models.CharField(max_length=160)
    accepted_at = models.DateTimeField()
    accepted_records = models.IntegerField()

    objects = scoped(account=None)

    class Meta:
        verbose_name_plural = "usage batches"
        indexes = [models.Index(fields=["enterprise", "-accepted_at"], name="usage_batch_latest")]


class PartState(models.TextChoices):
    QUEUED = "queued", "Queued"
    DONE = "done", "Done"
    PARKED = "parked", "Parked"


class UsagePart(models.Model):
    """The records of a batch that concern one enterprise: the unit of work that charging claims.

    `payload` is the msgpack encoding of the normalised records (`portal.charging.records`); `positions` maps them to
    the batch where that is not simply 0..n-1; `outcomes` has one letter a record once done: c charged, d duplicate,
    s suspended.
    """

    id = models.BigAutoField(primary_key=True)
    batch = models.ForeignKey(UsageBatch, on_delete=models.CASCADE, related_name="parts")
    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, null=True, related_name="+")
    source = models.ForeignKey(UsageSource, on_delete=models.PROTECT, related_name="+")
    payload = models.BinaryField()
    positions = ArrayField(models.IntegerField(), null=True)
    record_count = models.IntegerField()
    state = models.CharField(max_length=8, choices=PartState, default=PartState.QUEUED)
    attempts = models.SmallIntegerField(default=0)
    outcomes = models.TextField(default="")
    charged_count = models.IntegerField(default=0)
    duplicate_count = models.IntegerField(default=0)
    suspended_count = models.IntegerField(default=0)
    accepted_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    objects = scoped(account=None)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="done")
                | Q(record_count=models.F("charged_count") + models.F("duplicate_count") + models.F("suspended_count")),
                name="usage_part_accounts_for_every_record",
            ),
        ]
        indexes = [
            models.Index(fields=["enterprise", "id"], condition=~Q(state="done"), name="usage_part_waiting"),
        ]


class UsageIdentity(models.Model):
    """(source, source_record_id) of every record that had an effect, with the hash of its content."""

    pk = models.CompositePrimaryKey("enterprise_id", "source_id", "source_record_id")
    enterprise = models.ForeignKey(
        "balances.Enterprise",
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    source = models.ForeignKey(
        UsageSource, on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    source_record_id = models.CharField(max_length=80)
    content_hash = models.BigIntegerField()
    usage_id = models.BigIntegerField(help_text="The usage record; of a suspended one, minus its suspense id.")

    objects = scoped(account=None)

    class Meta:
        verbose_name_plural = "usage identities"


class _WalledQuerySet(ScopedQuerySet):
    """Usage behind the wall: corporate rows by account and line, personal ones only for their own person."""

    person_field = "person_id"

    @staticmethod
    def users(scope: Scope, verb: Verb) -> frozenset[int]:
        """Also who somebody proved to be reads what they used, whatever roles an employer gives or takes."""
        return scope.employee_ids(verb) | scope.person_ids(verb)

    def within(self, scope: Scope, verb: Verb = Verb.VIEW):
        """Corporate rows in reach, and the personal rows of people whom the holder of `scope` is."""
        corporate = super().within(scope, verb).filter(payer=Payer.CORPORATE)
        person_ids = scope.person_ids(verb)
        if not person_ids:
            return corporate
        theirs = {f"{self.person_field}__in": person_ids, f"{self.enterprise_field}__in": scope.enterprise_ids(verb)}
        return corporate | self.filter(payer=Payer.PERSONAL, **theirs)


class _UsageQuerySet(_WalledQuerySet):
    line_field = "line_id"
    line_at_field = "used_at"


class _ChargeLineQuerySet(_WalledQuerySet):
    account_field = "usage__account_id"
    line_field = "usage__line_id"
    line_at_field = "used_at"
    person_field = "usage__person_id"


class UsageRecord(models.Model):
    """What one payer has of one CDR, as charged: what was used, by which line, for which account, when.

    Nearly always that is the whole CDR; one of which both payers have a part becomes two records, the corporate one
    with the identity; the personal one names it (docs/byod.md). Partitioned by month of `used_at`.
    """

    id = models.BigIntegerField(primary_key=True)
    enterprise = models.ForeignKey(
        "balances.Enterprise", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False
    )
    line = models.ForeignKey("balances.Line", on_delete=models.DO_NOTHING, related_name="usage", db_constraint=False)
    account = models.ForeignKey(
        "balances.Account",
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        help_text="The account of the line when it was used.",
    )
    part = models.ForeignKey(UsagePart, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    position = models.IntegerField(help_text="Place in the part.")
    source = models.ForeignKey(UsageSource, on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    source_record_id = models.CharField(max_length=80)
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    zone = models.ForeignKey("balances.Zone", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    units = models.BigIntegerField(help_text="As reported.")
    charged_units = models.BigIntegerField(help_text="Rounded to the contract's increment.")
    used_at = models.DateTimeField(help_text="Start of use.")
    ended_at = models.DateTimeField(null=True)
    visited_network = models.CharField(max_length=6, blank=True)
    other_party = models.CharField(max_length=32, blank=True)
    imei = models.CharField(max_length=15, blank=True)
    attributes = models.JSONField(null=True, help_text="Whatever else the network's message said.")
    charge_sequence = models.BigIntegerField()
    charged_at = models.DateTimeField()
    payer = models.SmallIntegerField(choices=Payer, default=Payer.CORPORATE)
    counterpart_id = models.BigIntegerField(
        null=True, help_text="Of a personal record: the company's record of the same CDR, where it has a part, too."
    )
    person = models.ForeignKey(
        "balances.Person",
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        help_text="Of a personal record: who used the line then.",
    )

    objects = models.Manager.from_queryset(_UsageQuerySet)()

    class Meta:
        managed = False
        db_table = "balances_usagerecord"


class ChargeLine(models.Model):
    """One payer's part of one stretch of a usage record: drawn from buckets, beyond them at the contract's rate.

    `bucket_ids` and `bucket_units` run in step; units = sum of draws + overage. `refused_units` were used and, by a
    limit or a policy, not granted: neither drawn nor priced nor counted. `path` is the chain of accounts at the time of
    use. A personal leg (`payer` 2) has nothing in the corporate columns: what it drew and cost is in the personal ones,
    so that no sum of the company's can hold any of it; what is refused or granted on credit stands as
    `OpenPersonalUsage`. Version and rate are the contract's, by which it was rounded. Stored to be explained: nothing
    in it depends on today's configuration.
    """

    pk = models.CompositePrimaryKey("usage_id", "number")
    enterprise = models.ForeignKey(
        "balances.Enterprise", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False
    )
    usage = models.ForeignKey(
        UsageRecord, on_delete=models.DO_NOTHING, related_name="charge_lines", db_constraint=False
    )
    number = models.SmallIntegerField()
    used_at = models.DateTimeField(help_text="Of the usage record: the partition key.")
    starts_at = models.DateTimeField(help_text="The stretch: where the session was split, later than used_at.")
    cycle_start = models.DateTimeField()
    payer = models.SmallIntegerField(choices=Payer)
    path = models.ForeignKey("balances.AccountPath", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    version = models.ForeignKey(
        "balances.ContractVersion", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False
    )
    rate = models.ForeignKey("balances.Rate", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False)
    units = models.BigIntegerField()
    overage_units = models.BigIntegerField()
    amount_micros = models.BigIntegerField()
    refused_units = models.BigIntegerField(default=0)
    bucket_ids = ArrayField(models.BigIntegerField(), default=list)
    bucket_units = ArrayField(models.BigIntegerField(), default=list)
    reasons = models.CharField(
        max_length=400, help_text="Codes, space-separated; `portal.charging.reasons` words them."
    )
    charge_sequence = models.BigIntegerField()
    rule_id = models.BigIntegerField(null=True, help_text="Steering rule: its version's id * 1000 + its place, or 0.")
    part = models.SmallIntegerField(null=True, help_text="Which part of the rule's outcome, from 1.")
    personal_account = models.ForeignKey(
        "balances.PersonalAccount", on_delete=models.DO_NOTHING, null=True, related_name="+", db_constraint=False
    )
    personal_rate = models.ForeignKey(
        "balances.PersonalRate", on_delete=models.DO_NOTHING, null=True, related_name="+", db_constraint=False
    )
    personal_bucket_ids = ArrayField(models.BigIntegerField(), default=list)
    personal_bucket_units = ArrayField(models.BigIntegerField(), default=list)
    personal_micros = models.BigIntegerField(default=0)

    objects = models.Manager.from_queryset(_ChargeLineQuerySet)()

    class Meta:
        managed = False
        db_table = "balances_chargeline"


class SuspenseReason(models.TextChoices):
    """Why a record waits; the texts that people read are in `portal.charging.suspense`."""

    MALFORMED = "malformed", "Malformed"
    UNKNOWN_SERVICE = "unknown_service", "Unknown service"
    UNKNOWN_LINE = "unknown_line", "Unknown line"
    UNASSIGNED_LINE = "unassigned_line", "Line not assigned at that time"
    NEGATIVE_UNITS = "negative_units", "Negative units"
    ABSURD_UNITS = "absurd_units", "Absurd units"
    FRACTIONAL_UNITS = "fractional_units", "Fractional units"
    AMBIGUOUS_TIME = "ambiguous_time", "Time without offset"
    ENDS_BEFORE_START = "ends_before_start", "Ends before it starts"
    FUTURE = "future", "In the future"
    BEFORE_CONTRACT = "before_contract", "Before the contract"
    AFTER_CONTRACT = "after_contract", "After the contract"
    TOO_OLD = "too_old", "Too old"
    NO_RATE = "no_rate", "No rate"
    CONFLICT = "conflict", "Same id, other content"
    INTERNAL = "internal", "Could not be processed"


class SuspenseState(models.TextChoices):
    OPEN = "open", "Open"
    RECYCLED = "recycled", "Recycled"
    WRITTEN_OFF = "written_off", "Written off"


class SuspendedUsage(models.Model):
    """A record that could not be charged yet, with the reason; corrected and recycled, or written off."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, null=True, related_name="+")
    operator = models.ForeignKey("balances.Operator", on_delete=models.PROTECT, related_name="+")
    part = models.ForeignKey(UsagePart, on_delete=models.PROTECT, related_name="suspended")
    position = models.IntegerField()
    source = models.ForeignKey(UsageSource, on_delete=models.PROTECT, related_name="+")
    source_record_id = models.CharField(max_length=80)
    content_hash = models.BigIntegerField()
    record = models.JSONField(help_text="The record as sent.")
    reason = models.CharField(max_length=24, choices=SuspenseReason)
    detail = models.CharField(max_length=300, help_text="What, where, and how to mend it.")
    suspended_at = models.DateTimeField()
    state = models.CharField(max_length=12, choices=SuspenseState, default=SuspenseState.OPEN)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=160, blank=True)
    note = models.CharField(max_length=200, blank=True)
    recycled_as = models.ForeignKey(UsagePart, on_delete=models.PROTECT, null=True, related_name="recycled_from")

    objects = scoped(account=None)

    class Meta:
        verbose_name_plural = "suspended usage"
        constraints = [models.UniqueConstraint(fields=["part", "position"], name="suspense_once_per_record")]
        indexes = [
            models.Index(fields=["enterprise", "state", "-suspended_at"], name="suspense_latest"),
            models.Index(fields=["source", "source_record_id"], name="suspense_by_record"),
        ]
