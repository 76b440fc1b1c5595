"""Who can hold and use: operators, enterprises, the account tree, lines, devices, people, and who belonged where when.

Written only by `balances.hierarchy` (the tree) and `balances.inventory` (lines, devices, people).
"""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Func, Q
from mptt.managers import TreeManager
from mptt.models import MPTTModel, TreeForeignKey

from balances.scope import ScopedQuerySet, scoped


class Operator(models.Model):
    """A mobile operator: sells contracts, owns zones, employs account managers."""

    name = models.CharField(max_length=120, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Enterprise(models.Model):  # type: ignore[django-manager-missing]  # the plugin cannot follow a manager made of two
    """A tenant. Its account tree hangs below one root account."""

    operator = models.ForeignKey(Operator, on_delete=models.PROTECT, related_name="enterprises")
    name = models.CharField(max_length=120)
    number = models.CharField(max_length=32, help_text="The operator's customer number.")
    holiday_calendar = models.CharField(
        max_length=8, blank=True, default="", help_text="Whose public holidays: DE, DE-BY; empty: the contract's."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = scoped(enterprise="id", account=None)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["operator", "number"], name="enterprise_number_once_per_operator"),
        ]

    def __str__(self) -> str:
        return self.name


class ChargingState(models.Model):
    """The row that is locked to charge an enterprise: one writer at a time.

    `configuration_version` rises with every change that charging depends on (triggers see to it), `charge_sequence`
    with every change of a balance; a worker whose memory shows other numbers reloads.
    """

    enterprise = models.OneToOneField(
        Enterprise, on_delete=models.CASCADE, primary_key=True, related_name="charging_state"
    )
    configuration_version = models.BigIntegerField(default=1)
    charge_sequence = models.BigIntegerField(default=0)
    charged_at = models.DateTimeField(null=True, help_text="When the last charge was committed.")

    objects = scoped(account=None)


class AccountKind(models.TextChoices):
    ENTERPRISE = "enterprise", "Enterprise"
    DIVISION = "division", "Division"
    COST_CENTRE = "cost_centre", "Cost centre"
    GROUP = "group", "Group"


class DrawAbove(models.TextChoices):
    """Whether usage below an account may draw on buckets above it."""

    ALWAYS = "always", "Always"
    NEVER = "never", "Never"


class _AccountQuerySet(ScopedQuerySet):
    account_field = "id"


class Account(MPTTModel):
    """A node of the enterprise tree that can hold buckets and pay. Lines hang from it but are no nodes."""

    enterprise = models.ForeignKey(Enterprise, on_delete=models.PROTECT, related_name="accounts")
    parent = TreeForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    code = models.CharField(max_length=40, help_text="Short code, unique in the enterprise; files refer to it.")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=AccountKind, default=AccountKind.COST_CENTRE)
    draw_above = models.CharField(max_length=8, choices=DrawAbove, default=DrawAbove.ALWAYS)
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = TreeManager.from_queryset(_AccountQuerySet)()

    class MPTTMeta:
        order_insertion_by = ["name"]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["enterprise", "code"], name="account_code_once_per_enterprise"),
            models.UniqueConstraint(
                fields=["enterprise"],
                condition=Q(parent__isnull=True),
                name="account_one_root_per_enterprise",
            ),
            # Concurrent roots once gave two enterprises the same tree_id (SCENARIOS, facts about the parts).
            models.UniqueConstraint(
                fields=["tree_id"], condition=Q(parent__isnull=True), name="account_one_root_per_tree"
            ),
            models.CheckConstraint(condition=~Q(parent=models.F("id")), name="account_not_its_own_parent"),
        ]
        indexes = [models.Index(fields=["enterprise", "tree_id", "lft"], name="account_in_tree_order")]

    def __str__(self) -> str:
        return self.name


class AccountPlacement(models.Model):
    """Where an account hung in the tree, and when: late usage follows the tree of its own time."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="placements")
    parent = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, related_name="+")
    enterprise = models.ForeignKey(Enterprise, on_delete=models.PROTECT, related_name="+")
    during = DateTimeRangeField()

    objects = scoped()

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="account_placement_no_overlap",
                expressions=[
                    (Func("account_id", "account_id", models.Value("[]"), function="int8range"), "&&"),
                    ("during", RangeOperators.OVERLAPS),
                ],
            ),
        ]


class AccountPath(models.Model):
    """A chain of accounts, nearest first, root last, as charging used it. Charge lines refer to it."""

    enterprise = models.ForeignKey(Enterprise, on_delete=models.CASCADE, related_name="+")
    account_ids = ArrayField(models.BigIntegerField())

    objects = scoped(account=None)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["enterprise", "account_ids"], name="account_path_once"),
        ]


class Person(models.Model):
    """Somebody who uses lines. A portal user is tied to a person by a membership."""

    enterprise = models.ForeignKey(Enterprise, on_delete=models.PROTECT, related_name="people")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="people")
    number = models.CharField(max_length=40, help_text="Personnel number, unique in the enterprise.")
    name = models.CharField(max_length=120)
    email = models.EmailField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = scoped()

    class Meta:
        verbose_name_plural = "people"
        constraints = [models.UniqueConstraint(fields=["enterprise", "number"], name="person_number_once")]

    def __str__(self) -> str:
        return self.name


class DeviceOwnership(models.TextChoices):
    CORPORATE = "corporate", "Corporate"
    PERSONAL = "personal", "Personal (BYOD)"


class DeviceType(models.TextChoices):
    UNKNOWN = "unknown", "Not known"
    PHONE = "phone", "Phone"
    TABLET = "tablet", "Tablet"
    ROUTER = "router", "Router"
    MACHINE = "machine", "Machine"


class Device(models.Model):
    """A handset, tablet, router or machine, known by its IMEI."""

    enterprise = models.ForeignKey(Enterprise, on_delete=models.PROTECT, related_name="devices")
    imei = models.CharField(max_length=15)
    model = models.CharField(max_length=80, blank=True)
    ownership = models.CharField(max_length=12, choices=DeviceOwnership, default=DeviceOwnership.CORPORATE)
    device_type = models.CharField(max_length=8, choices=DeviceType, default=DeviceType.UNKNOWN)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = scoped(account=None)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["enterprise", "imei"], name="device_imei_once_per_enterprise")]

    def __str__(self) -> str:
        return f"{self.model or 'Device'} {self.imei}"


class LineStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    RETIRED = "retired", "Retired"


class Line(models.Model):
    """A subscription. `account`, `msisdn` and `imsi` are today's; the intervals below say what held when."""

    enterprise = models.ForeignKey(Enterprise, on_delete=models.PROTECT, related_name="lines")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="lines")
    msisdn = models.CharField(max_length=15, help_text="E.164 digits, without the plus sign.")
    imsi = models.CharField(max_length=15, blank=True)
    label = models.CharField(max_length=80, blank=True)
    status = models.CharField(max_length=12, choices=LineStatus, default=LineStatus.ACTIVE)
    person = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, blank=True, related_name="lines")
    device = models.ForeignKey(Device, on_delete=models.SET_NULL, null=True, blank=True, related_name="lines")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = scoped(line="id")

    class Meta:
        indexes = [
            models.Index(fields=["enterprise", "msisdn"], name="line_by_msisdn"),
            models.Index(fields=["account", "msisdn"], name="line_by_account"),
        ]

    def __str__(self) -> str:
        return f"+{self.msisdn}"

    @property
    def full_name(self) -> str:
        """As people know it: its number, and whose it is."""
        return f"{self} {self.person.name if self.person else self.label}".strip()


class LineAssignment(models.Model):
    """To which account a line belonged, and when. Usage follows the assignment of its own time (SCENARIOS 16)."""

    enterprise = models.ForeignKey(Enterprise, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="assignments")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="line_assignments")
    during = DateTimeRangeField()

    objects = scoped(line="line_id")

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="line_assignment_no_overlap",
                expressions=[
                    (Func("line_id", "line_id", models.Value("[]"), function="int8range"), "&&"),
                    ("during", RangeOperators.OVERLAPS),
                ],
            ),
        ]


class PersonAssignment(models.Model):
    """Whose line it was, and when: personal usage is theirs who used it, whoever has the line now (SCENARIOS 16)."""

    enterprise = models.ForeignKey(Enterprise, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="person_assignments")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="line_assignments")
    during = DateTimeRangeField()

    objects = scoped(account="line__account_id", line="line_id")

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="person_assignment_no_overlap",
                expressions=[
                    (Func("line_id", "line_id", models.Value("[]"), function="int8range"), "&&"),
                    ("during", RangeOperators.OVERLAPS),
                ],
            ),
        ]
        indexes = [models.Index(fields=["person"], name="person_assignment_lines")]


class NumberKind(models.IntegerChoices):
    MSISDN = 1, "MSISDN"
    IMSI = 2, "IMSI"


class NumberAssignment(models.Model):
    """Which line a number belonged to, and when; one number never means two lines at once, in any enterprise.

    `number` is the digits as an integer (E.164 and IMSI have at most 15): a plain GiST range can exclude overlaps.
    """

    enterprise = models.ForeignKey(Enterprise, on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey(Line, on_delete=models.CASCADE, related_name="numbers")
    kind = models.SmallIntegerField(choices=NumberKind)
    number = models.BigIntegerField()
    during = DateTimeRangeField()

    objects = scoped(account="line__account_id", line="line_id")

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="number_assignment_no_overlap",
                expressions=[
                    (Func("number", "number", models.Value("[]"), function="int8range"), "&&"),
                    (Func("kind", "kind", models.Value("[]"), function="int4range"), "&&"),
                    ("during", RangeOperators.OVERLAPS),
                ],
            ),
        ]
        indexes = [
            models.Index(fields=["number", "kind"], name="number_lookup"),
            models.Index(fields=["line"], name="number_by_line"),
        ]
