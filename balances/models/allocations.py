"""Acts that move units: allocations, by `balances.allocation`, and exchanges, by `balances.exchange`."""

from django.db import models

from balances.scope import scoped


class Allocation(models.Model):
    """Units of one bucket that were given to, or taken back from, those below its owner, in one act.

    `asked` is what was wished, for repeated keys; `moves` is what came of it: receiver, units (below zero: taken
    back), transfer, and what was allocated to the receiver before and after. A trigger refuses UPDATE and DELETE.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    bucket = models.ForeignKey("balances.Bucket", on_delete=models.PROTECT, related_name="allocations")
    key = models.CharField(  # noqa: DJ001 - null, not '': it is unique
        max_length=160, null=True, unique=True, help_text="The caller's idempotency key, in a space of its own."
    )
    asked = models.JSONField()
    moves = models.JSONField()
    undoes = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="undone_by")
    actor = models.CharField(max_length=160)
    at = models.DateTimeField()

    objects = scoped(account=("bucket__account_id", "bucket__line__account_id"), line="bucket__line_id")

    class Meta:
        indexes = [models.Index(fields=["bucket", "-id"], name="allocation_latest")]

    def __str__(self) -> str:
        return f"{len(self.moves)} moves of {self.bucket}"


class Exchange(models.Model):
    """Units of one service that were given for units of another. A trigger refuses UPDATE and DELETE."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    from_bucket = models.ForeignKey("balances.Bucket", on_delete=models.PROTECT, related_name="exchanges_out")
    to_bucket = models.ForeignKey("balances.Bucket", on_delete=models.PROTECT, related_name="exchanges_in")
    rate = models.ForeignKey("balances.ExchangeRate", on_delete=models.PROTECT, related_name="exchanges")
    asked_units = models.BigIntegerField()
    given_units = models.BigIntegerField()
    received_units = models.BigIntegerField()
    transfer = models.UUIDField(unique=True)
    key = models.CharField(max_length=160, null=True, unique=True)  # noqa: DJ001 - null, not '': it is unique
    actor = models.CharField(max_length=160)
    at = models.DateTimeField()

    objects = scoped(account=("from_bucket__account_id", "from_bucket__line__account_id"), line="from_bucket__line_id")
