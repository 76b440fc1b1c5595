"""Usage so far, and the marks on the way: counters, thresholds, crossings. Written only by charging."""

from datetime import timedelta

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q, QuerySet

from balances.models.accounts import Line, PersonAssignment
from balances.models.contracts import SERVICE_CHOICES
from balances.scope import Scope, ScopedQuerySet, Verb, assigned_to, scoped


class OwnerKind(models.IntegerChoices):
    ACCOUNT = 1, "Account"
    LINE = 2, "Line"


class Grain(models.IntegerChoices):
    """Lines are counted by cycle, accounts by cycle and by civil day (for the burn-down)."""

    CYCLE = 1, "Cycle"
    DAY = 2, "Day"


class Payer(models.IntegerChoices):
    CORPORATE = 1, "Corporate"
    PERSONAL = 2, "Personal"


_BOOLEAN = models.BooleanField()
#: Cycles are civil months, begun on any day.
LONGEST_CYCLE = timedelta(days=31)


class _CounterQuerySet(ScopedQuerySet):
    """A counter names its owner by kind and number, so that accounts and lines are counted in one table."""

    account_field = None

    def within(self, scope: Scope, verb: Verb = Verb.VIEW):
        """What the company pays, of accounts and lines in reach. What people pay themselves is behind the wall: its
        totals are `balances.selectors.personal`'s matter."""
        reach = Q(enterprise_id__in=scope.whole_enterprise_ids(verb))
        enterprise_ids = scope.enterprise_ids(verb)
        if account_ids := scope.account_ids(verb):
            reach |= Q(owner_kind=OwnerKind.ACCOUNT, owner_id__in=account_ids, enterprise_id__in=enterprise_ids)
            lines = Line.objects.filter(account_id__in=account_ids).order_by().values("id")
            reach |= Q(owner_kind=OwnerKind.LINE, owner_id__in=lines, enterprise_id__in=enterprise_ids)
        if employee_ids := scope.employee_ids(verb):
            # Of a cycle in which the line changed hands, the count is of both: then whoever reads adds up records.
            begun = OuterRef("period_start")
            soon = Q(during__startswith__gt=begun, during__startswith__lt=begun + LONGEST_CYCLE)
            mine = assigned_to(employee_ids, "owner_id").filter(soon | Q(during__contains=begun))
            others = PersonAssignment.objects.filter(line=OuterRef("owner_id")).exclude(person__in=employee_ids)
            others = others.filter(soon | Q(during__contains=begun))
            reach |= Q(Exists(mine), ~Exists(others), owner_kind=OwnerKind.LINE, enterprise_id__in=enterprise_ids)
        return self.filter(reach, payer=Payer.CORPORATE)

    def of_lines(self, lines: QuerySet[Line]):
        """Counters of these lines, found in the key line by line.

        As a join it depends on statistics: where a young table has none yet, all counters are read once for each line.
        """
        ids = ArraySubquery(lines.order_by().values("id"))
        is_one = Func(F("owner_id"), ids, template="%(expressions)s)", arg_joiner=" = ANY (", output_field=_BOOLEAN)
        return self.filter(is_one, owner_kind=OwnerKind.LINE)


class Counter(models.Model):
    """Usage of an owner and everything below it, by service, zone, payer and period.

    used = covered (drawn from buckets) + overage (paid at the contract's rate).
    """

    pk = models.CompositePrimaryKey(
        "enterprise_id", "owner_kind", "owner_id", "grain", "period_start", "service", "zone_id", "payer"
    )
    enterprise = models.ForeignKey(
        "balances.Enterprise",
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    owner_kind = models.SmallIntegerField(choices=OwnerKind)
    owner_id = models.BigIntegerField()
    grain = models.SmallIntegerField(choices=Grain)
    period_start = models.DateTimeField()
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    zone = models.ForeignKey(
        "balances.Zone", on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    payer = models.SmallIntegerField(choices=Payer, default=Payer.CORPORATE)
    used_units = models.BigIntegerField(default=0)
    overage_units = models.BigIntegerField(default=0)
    amount_micros = models.BigIntegerField(default=0)
    records = models.BigIntegerField(default=0)

    objects = models.Manager.from_queryset(_CounterQuerySet)()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(used_units__gte=models.F("overage_units"), overage_units__gte=0, amount_micros__gte=0),
                name="counter_overage_within_used",
            ),
        ]


class Threshold(models.Model):
    """A mark on the usage of an account or a line in a cycle: percent of its allowance, or units."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.CASCADE, related_name="thresholds")
    account = models.ForeignKey("balances.Account", on_delete=models.CASCADE, null=True, related_name="thresholds")
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, null=True, related_name="thresholds")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    percent = models.PositiveSmallIntegerField(
        null=True, help_text="Of the units granted to or received by the account in the cycle."
    )
    units = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = scoped(account=("account_id", "line__account_id"), line="line_id")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(account__isnull=True, line__isnull=False) | Q(account__isnull=False, line__isnull=True),
                name="threshold_one_owner",
            ),
            models.CheckConstraint(
                condition=Q(percent__isnull=True, units__gt=0) | Q(percent__gt=0, units__isnull=True),
                name="threshold_percent_or_units",
            ),
            models.UniqueConstraint(
                fields=["account", "line", "service", "percent", "units"],
                nulls_distinct=False,
                name="threshold_once",
            ),
        ]


class Crossing(models.Model):
    """A threshold was reached in a period: once, ever (DESIGN section 6, no. 10). Also the outbox of notices."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.CASCADE, related_name="crossings")
    threshold = models.ForeignKey(Threshold, on_delete=models.CASCADE, related_name="crossings")
    account = models.ForeignKey("balances.Account", on_delete=models.CASCADE, null=True, related_name="crossings")
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, null=True, related_name="crossings")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    period_start = models.DateTimeField()
    level_units = models.BigIntegerField(help_text="The mark in units, as it stood when it was reached.")
    used_units = models.BigIntegerField(help_text="Usage right after the record that reached it.")
    base_units = models.BigIntegerField(null=True, help_text="The allowance that a percent mark was taken of.")
    usage_id = models.BigIntegerField(help_text="The usage record that reached it.")
    crossed_at = models.DateTimeField(help_text="Time of use.")
    recorded_at = models.DateTimeField()

    objects = scoped(account=("account_id", "line__account_id"), line="line_id", line_at="crossed_at")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["threshold", "period_start"], name="crossing_once_per_period"),
        ]
        indexes = [models.Index(fields=["enterprise", "-recorded_at"], name="crossing_latest")]
