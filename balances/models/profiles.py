"""What is known of a subscriber beside line and person, and what administrators say that it means.

Written only by `balances.profiles`.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from balances.scope import scoped


class LineProfile(models.Model):
    """A line's profile while charging went from one charge sequence to another (as `LineTag`): any attributes."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, related_name="profiles")
    attributes = models.JSONField()
    added_sequence = models.BigIntegerField()
    added_at = models.DateTimeField()
    removed_sequence = models.BigIntegerField(null=True)
    removed_at = models.DateTimeField(null=True)

    objects = scoped(account="line__account_id", line="line_id")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line"], condition=Q(removed_at__isnull=True), name="line_profile_one_now"),
        ]
        indexes = [models.Index(fields=["enterprise"], name="line_profile_of_enterprise")]


class DeclaredField(models.Model):
    """A field of network messages (`attributes.X`) or profiles (`profile.X`), with a type, that rules may ask for.

    `enterprise`: whose own it is; null: the operator's, for all its enterprises. One name is never both (trigger).
    """

    operator = models.ForeignKey("balances.Operator", on_delete=models.CASCADE, related_name="declared_fields")
    enterprise = models.ForeignKey(
        "balances.Enterprise", on_delete=models.PROTECT, null=True, related_name="declared_fields"
    )
    name = models.CharField(max_length=70, help_text="attributes.X or profile.X")
    kind = models.CharField(
        max_length=8,
        choices=[(kind, kind) for kind in ("text", "number", "flag", "name", "digits")],
    )
    label = models.CharField(max_length=60)
    hint = models.CharField(max_length=160, blank=True)
    choices = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    declared_at = models.DateTimeField()
    declared_by = models.CharField(max_length=160)

    class Meta:
        ordering = ["label", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["operator", "name"], condition=Q(enterprise__isnull=True), name="declared_field_once"
            ),
            models.UniqueConstraint(fields=["enterprise", "name"], name="declared_field_once_in_enterprise"),
        ]

    def __str__(self) -> str:
        return self.label
