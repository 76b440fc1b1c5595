"""What was sold: contracts, their versions, allowances a cycle, rates beyond them, and the zones rates speak of."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from balances import units
from balances.scope import ScopedQuerySet, scoped

SERVICE_CHOICES = [
    (int(service), units.SERVICE_NAMES[service].replace("_", " ").capitalize()) for service in units.Service
]


class _ZoneQuerySet(ScopedQuerySet):
    """Zones belong to the operator: whoever sees one of its enterprises may read them."""

    def within(self, scope, verb=None):
        from balances.scope import Verb

        verb = verb or Verb.VIEW
        return self.filter(
            Q(operator__enterprises__in=scope.enterprise_ids(verb)) | Q(operator__in=scope.operator_ids)
        ).distinct()


class Zone(models.Model):
    """A group of visited networks with one price: home, a roaming group, the rest of the world."""

    operator = models.ForeignKey("balances.Operator", on_delete=models.PROTECT, related_name="zones")
    code = models.SlugField(max_length=24)
    name = models.CharField(max_length=60)
    networks = ArrayField(
        models.CharField(max_length=6),
        default=list,
        blank=True,
        help_text="Prefixes of visited networks (MCC or MCC and MNC, e.g. 262 or 26201); the longest match wins.",
    )
    is_home = models.BooleanField(default=False, help_text="Used where a record names no visited network.")
    is_default = models.BooleanField(default=False, help_text="Used where no prefix matches.")

    objects = models.Manager.from_queryset(_ZoneQuerySet)()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["operator", "code"], name="zone_code_once"),
            models.UniqueConstraint(fields=["operator"], condition=Q(is_home=True), name="zone_one_home"),
            models.UniqueConstraint(fields=["operator"], condition=Q(is_default=True), name="zone_one_default"),
        ]

    def __str__(self) -> str:
        return self.name


class Contract(models.Model):
    """An agreement with an enterprise. Cycle, zone of time and currency hold for its whole life."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="contracts")
    number = models.CharField(max_length=40)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=40, default="Europe/Berlin")
    currency = models.CharField(max_length=3, default="EUR")
    cycle_anchor_day = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(31)]
    )
    late_usage_days = models.PositiveSmallIntegerField(
        default=90, help_text="Usage older than this waits for a decision instead of being charged."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = scoped(account=None)

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["enterprise", "number"], name="contract_number_once"),
            models.CheckConstraint(condition=Q(cycle_anchor_day__range=(1, 31)), name="contract_anchor_is_a_day"),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=models.F("starts_at")),
                name="contract_ends_after_start",
            ),
        ]

    def __str__(self) -> str:
        return self.number


class VersionState(models.TextChoices):
    DRAFT = "draft", "Draft"
    PUBLISHED = "published", "Published"


class ContractVersion(models.Model):
    """What holds from `effective_at` on, until the next version. Published versions never change."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    effective_at = models.DateTimeField()
    state = models.CharField(max_length=12, choices=VersionState, default=VersionState.DRAFT)
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True)

    objects = scoped(account=None)

    class Meta:
        ordering = ["contract_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["contract", "number"], name="contract_version_number_once"),
            models.UniqueConstraint(
                fields=["contract", "effective_at"],
                condition=Q(state="published"),
                name="contract_version_one_per_instant",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contract.number} v{self.number}"


class Allowance(models.Model):
    """Units of a service granted to the enterprise's root account at the start of each cycle."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ContractVersion, on_delete=models.CASCADE, related_name="allowances")
    name = models.CharField(max_length=80)
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    granted_units = models.BigIntegerField()
    zones = models.ManyToManyField(Zone, blank=True, help_text="Where it may be used; none chosen: everywhere.")
    rollover_cap_units = models.BigIntegerField(default=0, help_text="At most so much is carried into the next cycle.")
    priority = models.SmallIntegerField(default=100, help_text="Lower is drawn first.")

    objects = scoped(account=None)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(granted_units__gte=0), name="allowance_not_negative"),
            models.CheckConstraint(condition=Q(rollover_cap_units__gte=0), name="allowance_rollover_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name


class Rate(models.Model):
    """Rounding and overage price of a service in a zone."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ContractVersion, on_delete=models.CASCADE, related_name="rates")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    zone = models.ForeignKey(Zone, on_delete=models.PROTECT, related_name="rates")
    increment_units = models.BigIntegerField(default=1, help_text="Usage is rounded up to whole increments.")
    minimum_units = models.BigIntegerField(default=0)
    overage_price_micros = models.BigIntegerField(help_text="Price of one block beyond the allowance, in micros.")
    overage_block_units = models.BigIntegerField(
        default=1, help_text="Units in the block that the price is quoted for."
    )

    objects = scoped(account=None)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "service", "zone"], name="rate_once_per_service_and_zone"),
            models.CheckConstraint(condition=Q(increment_units__gte=1), name="rate_increment_positive"),
            models.CheckConstraint(condition=Q(overage_block_units__gte=1), name="rate_block_positive"),
            models.CheckConstraint(
                condition=Q(overage_price_micros__gte=0, minimum_units__gte=0), name="rate_not_negative"
            ),
        ]


class ExchangeRate(models.Model):
    """So many units of one service for so many of another, as long as the version holds."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    version = models.ForeignKey(ContractVersion, on_delete=models.CASCADE, related_name="exchange_rates")
    from_service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    to_service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    from_units = models.BigIntegerField()
    to_units = models.BigIntegerField()

    objects = scoped(account=None)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "from_service", "to_service"], name="exchange_rate_once"),
            models.CheckConstraint(condition=Q(from_units__gte=1, to_units__gte=1), name="exchange_rate_positive"),
            models.CheckConstraint(
                condition=~Q(from_service=models.F("to_service")), name="exchange_rate_between_services"
            ),
        ]
