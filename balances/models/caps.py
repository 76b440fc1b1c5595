"""How much an account or a line may draw on what lies above it. Written by `balances.draw_caps`, use by charging."""

from django.db import models
from django.db.models import Q

from balances.models.contracts import SERVICE_CHOICES
from balances.models.counters import OwnerKind
from balances.scope import scoped


class DrawCap(models.Model):
    """At most so many units of a service a cycle are drawn from buckets above the owner; of a line: of accounts.

    A cap is never changed: another one succeeds it, so that past ones can be read. Zero: nothing from above.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.CASCADE, related_name="draw_caps")
    account = models.ForeignKey("balances.Account", on_delete=models.CASCADE, null=True, related_name="draw_caps")
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, null=True, related_name="draw_caps")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    units = models.BigIntegerField()
    set_by = models.CharField(max_length=160)
    set_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True)

    objects = scoped(account=("account_id", "line__account_id"), line="line_id")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(account__isnull=True, line__isnull=False) | Q(account__isnull=False, line__isnull=True),
                name="drawcap_one_owner",
            ),
            models.CheckConstraint(condition=Q(units__gte=0), name="drawcap_not_negative"),
            models.UniqueConstraint(
                fields=["account", "line", "service"],
                condition=Q(retired_at__isnull=True),
                nulls_distinct=False,
                name="drawcap_once",
            ),
        ]


class DrawUse(models.Model):
    """Units that were drawn in a cycle on buckets above an owner that has a cap."""

    pk = models.CompositePrimaryKey("enterprise_id", "owner_kind", "owner_id", "service", "cycle_start")
    enterprise = models.ForeignKey(
        "balances.Enterprise", on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    owner_kind = models.SmallIntegerField(choices=OwnerKind)
    owner_id = models.BigIntegerField()
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    cycle_start = models.DateTimeField()
    units = models.BigIntegerField(default=0)

    objects = scoped(account=None)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(units__gte=0), name="drawuse_not_negative")]
