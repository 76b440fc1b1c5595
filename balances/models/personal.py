"""Personal payers: tariffs that an operator sells to people, their accounts, allowances and money. docs/byod.md

Behind the wall: people reach their own, the operator's staff run accounts, managers of enterprises reach none of it.
Written by `balances.personal_tariffs`, `balances.personal`, and by charging.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from balances.models.contracts import SERVICE_CHOICES
from balances.scope import personal


class PersonalTariff(models.Model):
    """What an operator offers to people for their own usage. Its prices are those of its versions."""

    operator = models.ForeignKey("balances.Operator", on_delete=models.PROTECT, related_name="personal_tariffs")
    name = models.CharField(max_length=80)
    currency = models.CharField(max_length=3, default="EUR")
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)
    retired_at = models.DateTimeField(null=True, help_text="From then on no account is opened with it.")

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["operator", "name"], name="personal_tariff_name_once")]

    def __str__(self) -> str:
        return self.name


class PersonalTariffVersion(models.Model):
    """Prices and allowances of a tariff for usage from `effective_at` on. Once begun it never changes (trigger)."""

    tariff = models.ForeignKey(PersonalTariff, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    effective_at = models.DateTimeField()
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)

    class Meta:
        ordering = ["tariff_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["tariff", "number"], name="personal_version_number_once"),
            models.UniqueConstraint(fields=["tariff", "effective_at"], name="personal_version_one_begin"),
        ]

    def __str__(self) -> str:
        return f"{self.tariff.name} v{self.number}"


class PersonalRate(models.Model):
    """The price of a service; `zone` null: in every zone that has no rate of its own."""

    version = models.ForeignKey(PersonalTariffVersion, on_delete=models.CASCADE, related_name="rates")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    zone = models.ForeignKey("balances.Zone", on_delete=models.PROTECT, null=True, related_name="+")
    price_micros = models.BigIntegerField(help_text="Of one block.")
    block_units = models.BigIntegerField(default=1)

    class Meta:
        ordering = ["version_id", "service", "zone_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "service", "zone"], nulls_distinct=False, name="personal_rate_once"
            ),
            models.CheckConstraint(
                condition=Q(price_micros__gte=0, block_units__gte=1), name="personal_rate_not_negative"
            ),
        ]


class PersonalAllowance(models.Model):
    """Units that each account with the tariff has in each of its cycles; `zone_ids` empty: everywhere."""

    version = models.ForeignKey(PersonalTariffVersion, on_delete=models.CASCADE, related_name="allowances")
    name = models.CharField(max_length=80)
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    zone_ids = ArrayField(models.IntegerField(), default=list)
    units = models.BigIntegerField()

    class Meta:
        ordering = ["version_id", "id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "name"], name="personal_allowance_name_once"),
            models.CheckConstraint(condition=Q(units__gt=0), name="personal_allowance_of_something"),
        ]


class PersonalAccountKind(models.TextChoices):
    PREPAID = "prepaid", "Prepaid"
    POSTPAID = "postpaid", "Postpaid"


class PersonalAccount(models.Model):
    """A person's own payer. The time of use decides which account pays: the one that was accepted and open then.

    Nobody is charged before having accepted tariff and prices (`accepted_text`: as they were shown). `balance_micros`
    is the sum of its entries: what is left of prepaid money, below zero what is owed.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey("balances.Person", on_delete=models.PROTECT, related_name="personal_accounts")
    tariff = models.ForeignKey(PersonalTariff, on_delete=models.PROTECT, related_name="accounts")
    kind = models.CharField(max_length=8, choices=PersonalAccountKind)
    credit_limit_micros = models.BigIntegerField(default=0, help_text="How far a postpaid account may owe.")
    balance_micros = models.BigIntegerField(default=0)
    armings = models.IntegerField(default=0, help_text="How often money came in or the credit limit changed.")
    armed_micros = models.BigIntegerField(default=0, help_text="What it had when money came in last; marks are of it.")
    time_zone = models.CharField(max_length=40, default="Europe/Berlin", help_text="Its cycles are civil months of it.")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    opened_by = models.CharField(max_length=160)
    accepted_at = models.DateTimeField(null=True)
    accepted_by = models.CharField(max_length=160, blank=True)
    accepted_text = models.TextField(blank=True)
    closed_by = models.CharField(max_length=160, blank=True)

    objects = personal(operator="enterprise__operator_id")

    class Meta:
        ordering = ["-opened_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["person"], condition=Q(closed_at__isnull=True), name="personal_account_one_open"
            ),
            models.CheckConstraint(condition=Q(credit_limit_micros__gte=0), name="personal_credit_not_negative"),
            models.CheckConstraint(
                condition=~Q(kind="prepaid") | Q(credit_limit_micros=0), name="personal_prepaid_has_no_credit"
            ),
            models.CheckConstraint(
                condition=Q(balance_micros__gte=-1 * F("credit_limit_micros")), name="personal_balance_within_credit"
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True) | Q(closed_at__gte=F("opened_at")),
                name="personal_account_closed_after_opened",
            ),
        ]
        indexes = [models.Index(fields=["enterprise", "person"], name="personal_account_of_person")]

    def __str__(self) -> str:
        return f"Personal account {self.id}"


class PersonalBucket(models.Model):
    """An allowance of an account in one of its cycles; made by the first draw on it."""

    account = models.ForeignKey(PersonalAccount, on_delete=models.PROTECT, related_name="buckets")
    allowance = models.ForeignKey(PersonalAllowance, on_delete=models.PROTECT, related_name="+")
    period_start = models.DateTimeField()
    granted_units = models.BigIntegerField()
    used_units = models.BigIntegerField(default=0)

    objects = personal(
        person="account__person_id", enterprise="account__enterprise_id", operator="account__enterprise__operator_id"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "allowance", "period_start"], name="personal_bucket_once_per_cycle"
            ),
            models.CheckConstraint(
                condition=Q(used_units__gte=0, used_units__lte=F("granted_units")), name="personal_bucket_within_grant"
            ),
        ]


class PersonalEntryKind(models.TextChoices):
    TOP_UP = "top_up", "Money paid in"
    CHARGE = "charge", "Usage"
    SETTLEMENT = "settlement", "Usage that was open"
    CORRECTION = "correction", "Correction"
    PAYOUT = "payout", "Paid out"


class PersonalEntry(models.Model):
    """One change of the money of a personal account; append-only. `micros` is signed: what comes in is positive."""

    # Its index is the one below: charging writes an entry for each account of a group, and pays for each index of it.
    account = models.ForeignKey(PersonalAccount, on_delete=models.PROTECT, related_name="entries", db_index=False)
    kind = models.CharField(max_length=10, choices=PersonalEntryKind)
    micros = models.BigIntegerField()
    balance_after_micros = models.BigIntegerField()
    charge_sequence = models.BigIntegerField(help_text="The enterprise's charge sequence of the transaction.")
    at = models.DateTimeField(help_text="When it counts.")
    recorded_at = models.DateTimeField()
    actor = models.CharField(max_length=160)
    key = models.CharField(  # noqa: DJ001 - null, not '': most entries have none, and it is unique
        max_length=160, null=True, help_text="Idempotency key of the act, where it has one."
    )
    note = models.CharField(max_length=200, blank=True)

    objects = personal(
        person="account__person_id", enterprise="account__enterprise_id", operator="account__enterprise__operator_id"
    )

    class Meta:
        verbose_name_plural = "personal entries"
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=models.Q(key__isnull=False), name="personal_entry_once_per_key"
            )
        ]
        indexes = [models.Index(fields=["account", "-id"], name="personal_entry_by_account")]


class PersonalNewsKind(models.TextChoices):
    ALLOWANCE = "allowance", "An allowance is used up to a mark"
    MONEY = "money", "Money or credit is used up to a mark"
    PAID_OUT = "paid_out", "Money was paid out"


class PersonalNews(models.Model):
    """What a person is told of their account; written in the transaction that it tells of, once; append-only.

    `level`: percent of `total` that `used` has reached. `arming`: after which of the account's armings; of an allowance
    the units that it granted then, of a payout its entry: by it nothing is told twice, and told anew when it is news.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(PersonalAccount, on_delete=models.PROTECT, related_name="news")
    kind = models.CharField(max_length=9, choices=PersonalNewsKind)
    bucket = models.ForeignKey(PersonalBucket, on_delete=models.PROTECT, null=True, related_name="+")
    arming = models.BigIntegerField()
    level = models.SmallIntegerField(default=0)
    used = models.BigIntegerField(help_text="Units of the allowance, or micros.")
    total = models.BigIntegerField()
    recorded_at = models.DateTimeField()

    objects = personal(person="account__person_id")

    class Meta:
        verbose_name_plural = "personal news"
        constraints = [
            models.UniqueConstraint(
                fields=["account", "kind", "bucket", "arming", "level"], nulls_distinct=False, name="personal_news_once"
            ),
            models.CheckConstraint(
                condition=Q(kind="allowance", bucket__isnull=False) | (~Q(kind="allowance") & Q(bucket__isnull=True)),
                name="personal_news_of_one_thing",
            ),
        ]
        indexes = [models.Index(fields=["enterprise", "id"], name="personal_news_in_order")]


class OpenReason(models.TextChoices):
    """Why nobody pays a personal leg yet; also the reason code of its charge line."""

    MISSING = "personal_missing", "No personal account"
    CLOSED = "personal_closed", "The personal account was closed"
    EMPTY = "personal_empty", "Not enough money"
    NOBODY = "personal_nobody", "Nobody was known to use the line"
    NO_RATE = "personal_no_rate", "The personal tariff has no price for it"


class OpenState(models.TextChoices):
    REFUSED = "refused", "Refused"
    OPEN = "open", "Open"
    CHARGED = "charged", "Charged"
    WRITTEN_OFF = "written_off", "Written off"


class OpenPersonalUsage(models.Model):
    """Units of a personal leg that no account paid: refused, which is the end of it, or granted on credit.

    What was granted on credit (open) is a debt that is charged by its own date's tariff and allowances when an account
    is accepted or money comes in, oldest first; never the company's. `value_micros`: at the contract's rate and in its
    currency, what counts against the bound of interim credit.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    usage_id = models.BigIntegerField()
    number = models.SmallIntegerField(help_text="Of the charge line.")
    used_at = models.DateTimeField(help_text="Of the usage record: the partition key.")
    starts_at = models.DateTimeField(help_text="Of the stretch.")
    line = models.ForeignKey("balances.Line", on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey("balances.Person", on_delete=models.PROTECT, null=True, related_name="+")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    zone = models.ForeignKey("balances.Zone", on_delete=models.PROTECT, related_name="+")
    units = models.BigIntegerField()
    value_micros = models.BigIntegerField()
    reason = models.CharField(max_length=20, choices=OpenReason)
    state = models.CharField(max_length=12, choices=OpenState)
    recorded_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    entry = models.ForeignKey(PersonalEntry, on_delete=models.PROTECT, null=True, related_name="settled")
    rate = models.ForeignKey(PersonalRate, on_delete=models.PROTECT, null=True, related_name="+")
    amount_micros = models.BigIntegerField(null=True, help_text="What it came to when it was charged.")
    bucket_ids = ArrayField(models.BigIntegerField(), default=list)
    bucket_units = ArrayField(models.BigIntegerField(), default=list)

    objects = personal(operator="enterprise__operator_id")

    class Meta:
        verbose_name_plural = "open personal usage"
        constraints = [
            # Of one leg a part may be granted on credit, and the rest refused.
            models.UniqueConstraint(
                fields=["usage_id", "number"], condition=Q(state="refused"), name="open_personal_refused_once"
            ),
            models.UniqueConstraint(
                fields=["usage_id", "number"], condition=~Q(state="refused"), name="open_personal_usage_once"
            ),
            models.CheckConstraint(
                condition=Q(units__gt=0, value_micros__gte=0), name="open_personal_usage_of_something"
            ),
            models.CheckConstraint(
                condition=~Q(state="charged") | Q(amount_micros__isnull=False, resolved_at__isnull=False),
                name="open_personal_usage_charged_at_a_price",
            ),
        ]
        indexes = [
            models.Index(
                fields=["enterprise", "person"], condition=Q(state="open"), name="open_personal_usage_of_person"
            ),
        ]
