"""Who did what: append-only, written by `balances.audit` in the same transaction as the act."""

from django.db import models

from balances.scope import scoped


class AuditEvent(models.Model):
    """One act. Names are kept as text, so that the record outlives what it speaks of; a trigger refuses changes."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, null=True, related_name="+")
    account = models.ForeignKey("balances.Account", on_delete=models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField()
    actor = models.CharField(max_length=160)
    action = models.CharField(max_length=80, help_text="Dotted: account.moved, contract.version.published.")
    subject = models.CharField(max_length=200)
    detail = models.JSONField(default=dict)

    objects = scoped()

    class Meta:
        indexes = [models.Index(fields=["enterprise", "-at"], name="audit_by_enterprise")]
