"""What charging knew of numbers and devices, from which charge sequence to which: for replays.

Written by triggers on NumberAssignment and Device (migration 0020), so that no door can forget it.
"""

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models
from django.db.models import Q

from balances.models.accounts import DeviceOwnership, DeviceType
from balances.scope import scoped


class KnownNumber(models.Model):
    """A line had a number during a time: charges after `added_sequence`, up to `removed_sequence`, knew it so."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    line = models.ForeignKey("balances.Line", on_delete=models.CASCADE, related_name="known_numbers")
    number = models.BigIntegerField(help_text="An MSISDN, its digits as an integer.")
    during = DateTimeRangeField()
    added_sequence = models.BigIntegerField()
    removed_sequence = models.BigIntegerField(null=True)

    objects = scoped(account="line__account_id", line="line_id")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["line", "number", "during"],
                condition=Q(removed_sequence__isnull=True),
                name="known_number_once",
            ),
        ]


class KnownDevice(models.Model):
    """The facts of a device, as charges after `added_sequence`, up to `removed_sequence`, knew them."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    imei = models.CharField(max_length=15)
    ownership = models.CharField(max_length=12, choices=DeviceOwnership)
    model = models.CharField(max_length=80, blank=True)
    device_type = models.CharField(max_length=8, choices=DeviceType)
    added_sequence = models.BigIntegerField()
    removed_sequence = models.BigIntegerField(null=True)

    objects = scoped(account=None)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["enterprise", "imei"], condition=Q(removed_sequence__isnull=True), name="known_device_once"
            ),
        ]
