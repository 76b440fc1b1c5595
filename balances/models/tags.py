"""Tags of lines: pools, policies and reporting apart from the tree. Written only by `balances.tags`."""

from django.db import models
from django.db.models import Q

from balances.scope import scoped


class LineTag(models.Model):
    """A line bore a tag while charging went from one charge sequence to another.

    A tag is of the moment of charging, not of use: which usage bore it is said exactly by the charge sequence of the
    charge, after `added_sequence` up to `removed_sequence`.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, related_name="tags")
    tag = models.CharField(max_length=40)
    added_sequence = models.BigIntegerField()
    added_at = models.DateTimeField()
    removed_sequence = models.BigIntegerField(null=True)
    removed_at = models.DateTimeField(null=True)

    objects = scoped(account="line__account_id", line="line_id")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["line", "tag"], condition=Q(removed_at__isnull=True), name="line_tag_borne_once"
            ),
        ]
        indexes = [models.Index(fields=["enterprise", "tag"], name="line_tag_lines")]

    def __str__(self) -> str:
        return self.tag
