"""How numbers of other parties are shown to managers, and who declared what to whom. Written by `balances.masking`."""

from django.db import models
from django.db.models import Q

from balances.scope import scoped


class MaskingRule(models.TextChoices):
    FULL = "full", "In full"
    CUT_THREE = "cut_three", "Without the last three digits"
    NONE = "none", "Not at all"


class MaskingDeclaration(models.Model):
    """A standing declaration of an enterprise: what its staff were told, and how far numbers are therefore shown.

    Without one the country's own rule holds (`balances.masking`). Never changed: another one takes its place.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="masking_declarations")
    rule = models.CharField(max_length=10, choices=MaskingRule)
    country = models.CharField(max_length=2, help_text="Whose law it is made under.")
    text = models.CharField(max_length=600, help_text="What was declared, and to whom.")
    declared_at = models.DateTimeField()
    declared_by = models.CharField(max_length=160)
    ended_at = models.DateTimeField(null=True)

    objects = scoped(account=None)

    class Meta:
        ordering = ["-declared_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["enterprise"], condition=Q(ended_at__isnull=True), name="masking_one_standing"
            ),
        ]
