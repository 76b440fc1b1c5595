"""Who pays: rules on accounts and their versions, what budgets have taken up, what rules refer to. docs/byod.md

Written by `policies.steering` (publishing, trips, number_lists); use of budgets by charging.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from balances.scope import scoped
from policies.models.policies import PolicyState


class Steering(models.Model):
    """Who pays for an account and all below it; one an account. What it says is said by its versions."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="steerings")
    account = models.OneToOneField("balances.Account", on_delete=models.PROTECT, related_name="steering")
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)

    objects = scoped()

    def __str__(self) -> str:
        return f"Who pays in {self.account.name}"


class SteeringVersion(models.Model):
    """Rules from `effective_at` to `ends_at`, by the time of use. A published one changes only in its end (trigger).

    `rules`, `default` (null: none), `missing`: see `policies.steering.rules`. `restores`: the version it brings back.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    steering = models.ForeignKey(Steering, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=PolicyState, default=PolicyState.DRAFT)
    rules = models.JSONField(default=list)
    default = models.JSONField(null=True)
    missing = models.JSONField(default=dict, help_text="What happens where a person cannot pay.")
    note = models.CharField(max_length=200, blank=True)
    effective_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=160, blank=True)
    published_sequence = models.BigIntegerField(null=True, help_text="Charges after this charge sequence know of it.")
    reason = models.CharField(max_length=200, blank=True, help_text="Why it was published.")
    retired_at = models.DateTimeField(null=True, help_text="When its end was decided.")
    retired_by = models.CharField(max_length=160, blank=True)
    retired_sequence = models.BigIntegerField(null=True, help_text="Charges after it know of its end.")
    restores = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")

    objects = scoped(account="steering__account_id")

    class Meta:
        ordering = ["steering_id", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["steering", "number"], name="steering_version_number_once"),
            models.UniqueConstraint(
                fields=["steering"], condition=Q(state="published"), name="steering_one_published_version"
            ),
            models.UniqueConstraint(fields=["steering"], condition=Q(state="draft"), name="steering_one_draft"),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(effective_at__isnull=False, published_at__isnull=False),
                name="steering_version_published_from_some_time",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("effective_at")),
                name="steering_version_ends_after_it_begins",
            ),
            models.CheckConstraint(
                condition=~Q(state="retired") | Q(ends_at__isnull=False), name="steering_version_retired_at_some_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.steering} v{self.number}"


class BudgetOwner(models.IntegerChoices):
    ACCOUNT = 1, "Account"
    LINE = 2, "Line"
    PERSON = 3, "Person"


class BudgetMeasure(models.IntegerChoices):
    UNITS = 1, "Units"
    MICROS = 2, "Money at the contract's rate"
    SHARED = 3, "Units that were shared by percent"


class SteeringUse(models.Model):
    """What was charged to a part of a rule with an amount: of a line, a person or an account, in a period.

    `budget`: what stays the same from version to version, "first 5 gb#1 corporate cycle" (rule, part, payer,
    period). Of parts by percent ("first 5 gb#1 percent") it is all that was shared among them so far, refused or not
    and whoever paid, so that small events are shared fairly in the long run. Written by charging in its transaction.
    """

    pk = models.CompositePrimaryKey("steering_id", "budget", "measure", "owner_kind", "owner_id", "period_start")
    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    steering = models.ForeignKey(Steering, on_delete=models.CASCADE, related_name="uses")
    budget = models.CharField(max_length=280)
    measure = models.SmallIntegerField(choices=BudgetMeasure)
    owner_kind = models.SmallIntegerField(choices=BudgetOwner)
    owner_id = models.BigIntegerField()
    period_start = models.DateTimeField()
    used = models.BigIntegerField()

    objects = scoped(account=None)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(used__gte=0), name="steering_use_not_negative")]


class Trip(models.Model):
    """A person travels on business: which countries, and when. What "on a trip" reads; as it was known at a charge."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey("balances.Person", on_delete=models.CASCADE, related_name="trips")
    countries = ArrayField(models.CharField(max_length=2), help_text="ISO 3166 codes; empty: anywhere.", default=list)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)
    added_sequence = models.BigIntegerField()
    added_at = models.DateTimeField()
    added_by = models.CharField(max_length=160)
    removed_sequence = models.BigIntegerField(null=True)
    removed_at = models.DateTimeField(null=True)
    removed_by = models.CharField(max_length=160, blank=True)

    objects = scoped(account="person__account_id")

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="trip_ends_after_it_begins")
        ]
        indexes = [models.Index(fields=["enterprise", "person"], name="trip_of_person")]


class AccountHome(models.Model):
    """Where the lines of an account and of those below are at home from a time of use on; as it was known at a charge.

    `time_zone` "": no more a home of its own, so that it is at home where the account above is.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="homes")
    time_zone = models.CharField(max_length=40, blank=True)
    holiday_calendar = models.CharField(max_length=8, blank=True, help_text="DE, DE-BY; empty: of the zone's country.")
    effective_at = models.DateTimeField()
    added_sequence = models.BigIntegerField()
    added_at = models.DateTimeField()
    added_by = models.CharField(max_length=160)
    removed_sequence = models.BigIntegerField(null=True)
    removed_at = models.DateTimeField(null=True)
    removed_by = models.CharField(max_length=160, blank=True)

    objects = scoped()

    class Meta:
        ordering = ["account_id", "-effective_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "effective_at"],
                condition=Q(removed_at__isnull=True),
                name="account_home_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(time_zone="") | Q(holiday_calendar=""), name="account_home_has_a_zone_if_holidays"
            ),
        ]
        indexes = [models.Index(fields=["enterprise"], name="account_home_of_enterprise")]


class NumberList(models.Model):
    """Numbers and prefixes that rules of an account and those below speak of by its code."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="number_lists")
    code = models.SlugField(max_length=40)
    name = models.CharField(max_length=80)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)

    objects = scoped()

    class Meta:
        ordering = ["code", "id"]
        constraints = [models.UniqueConstraint(fields=["enterprise", "code"], name="number_list_code_once")]

    def __str__(self) -> str:
        return self.name


class NumberListEntry(models.Model):
    """A number, or how numbers begin, in a list for usage of a time; as it was known at a charge."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    list = models.ForeignKey(NumberList, on_delete=models.CASCADE, related_name="entries")
    digits = models.CharField(max_length=20)
    is_prefix = models.BooleanField(default=False)
    label = models.CharField(max_length=80, blank=True)
    valid_from = models.DateTimeField(null=True)
    valid_until = models.DateTimeField(null=True)
    added_sequence = models.BigIntegerField()
    added_at = models.DateTimeField()
    removed_sequence = models.BigIntegerField(null=True)
    removed_at = models.DateTimeField(null=True)

    objects = scoped(account="list__account_id")

    class Meta:
        ordering = ["digits", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["list", "digits", "is_prefix"],
                condition=Q(removed_at__isnull=True),
                name="number_list_entry_once",
            ),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True) | Q(valid_until__isnull=True) | Q(valid_until__gt=F("valid_from")),
                name="number_list_entry_valid_interval",
            ),
        ]
        indexes = [models.Index(fields=["enterprise", "list"], name="number_list_entry_of_list")]
