"""Entries: the immutable rows by which a bucket changes. Written only by `balances.ledger`."""

from django.db import models

from balances.scope import scoped


class EntryKind(models.IntegerChoices):
    """What an entry does to its bucket; `units` is signed, a correction carries the opposite sign."""

    GRANT = 1, "Granted"  # granted + u, remaining + u
    CONSUME = 2, "Used"  # used + u, remaining - u
    TRANSFER_IN = 3, "Received"  # received + u, remaining + u
    TRANSFER_OUT = 4, "Given"  # given + u, remaining - u
    RESERVE = 5, "Reserved"  # reserved + u, remaining - u
    RELEASE = 6, "Released"  # reserved - u, remaining + u
    CONSUME_RESERVED = 7, "Used from reservation"  # used + u, reserved - u
    EXPIRE = 8, "Expired"  # expired + u, remaining - u
    ROLLOVER_OUT = 9, "Carried out"  # given + u, remaining - u
    ROLLOVER_IN = 10, "Carried in"  # received + u, remaining + u
    ESCROW = 11, "Held for an offer"  # reserved + u, remaining - u
    ESCROW_BACK = 12, "Back from an offer"  # reserved - u, remaining + u
    ESCROW_OUT = 13, "Given from an offer"  # given + u, reserved - u
    EXCHANGE_OUT = 14, "Exchanged"  # given + u, remaining - u
    EXCHANGE_IN = 15, "Received in exchange"  # received + u, remaining + u


class Entry(models.Model):
    """One change of one bucket. A trigger refuses UPDATE and DELETE; the application role has no right to either."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    bucket = models.ForeignKey("balances.Bucket", on_delete=models.PROTECT, related_name="entries")
    kind = models.SmallIntegerField(choices=EntryKind)
    units = models.BigIntegerField()
    remaining_after = models.BigIntegerField()
    charge_sequence = models.BigIntegerField(help_text="The enterprise's charge sequence of the transaction.")
    at = models.DateTimeField(help_text="When it counts: a cycle's end, the moment of a transfer.")
    recorded_at = models.DateTimeField()
    actor = models.CharField(max_length=160)
    key = models.CharField(  # noqa: DJ001 - null, not '': most entries have none, and it is unique
        max_length=160, null=True, unique=True, help_text="Idempotency key of the act, where it has one."
    )
    transfer = models.UUIDField(null=True, help_text="Ties the two sides of a transfer.")

    objects = scoped(
        account=("bucket__account_id", "bucket__line__account_id"), line="bucket__line_id", line_at="recorded_at"
    )

    class Meta:
        verbose_name_plural = "entries"
        indexes = [
            models.Index(fields=["bucket", "id"], name="entry_by_bucket"),
            models.Index(fields=["enterprise", "charge_sequence"], name="entry_by_charge_sequence"),
            models.Index(fields=["transfer"], condition=models.Q(transfer__isnull=False), name="entry_by_transfer"),
        ]
