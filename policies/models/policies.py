"""Policies and their versions: what happens beyond limits, and to usage that rules forbid. docs/policies.md

Written by `policies.publishing` alone.
"""

from django.db import models
from django.db.models import F, Q

from balances.scope import scoped


class PolicyState(models.TextChoices):
    DRAFT = "draft", "Draft"
    PUBLISHED = "published", "Published"
    RETIRED = "retired", "Retired"


class Policy(models.Model):
    """Rules for an account and all below it; what they are is said by its versions."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="policies")
    account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="policies")
    name = models.CharField(max_length=80)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)

    objects = scoped()

    class Meta:
        verbose_name_plural = "policies"
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="policy_name_once_per_account")]

    def __str__(self) -> str:
        return self.name


class PolicyVersion(models.Model):
    """The rules of a policy from `effective_at` to `ends_at`, by the time of use. A published one never changes but for
    its end (a trigger refuses it), so that reasons on charge lines stay explained.

    `rules`: a list, see `policies.rules`. `conflicts`: as they were found when it was published. `restores`: the
    version whose rules it brings back.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=PolicyState, default=PolicyState.DRAFT)
    rules = models.JSONField(default=list)
    note = models.CharField(max_length=200, blank=True)
    conflicts = models.JSONField(default=list)
    effective_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=160)
    published_at = models.DateTimeField(null=True)
    published_by = models.CharField(max_length=160, blank=True)
    reason = models.CharField(max_length=200, blank=True, help_text="Why it was published.")
    retired_at = models.DateTimeField(null=True, help_text="When its end was decided.")
    retired_by = models.CharField(max_length=160, blank=True)
    restores = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")

    objects = scoped(account="policy__account_id")

    class Meta:
        ordering = ["policy_id", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "number"], name="policy_version_number_once"),
            models.UniqueConstraint(
                fields=["policy"], condition=Q(state="published"), name="policy_one_published_version"
            ),
            models.UniqueConstraint(fields=["policy"], condition=Q(state="draft"), name="policy_one_draft"),
            models.CheckConstraint(
                condition=Q(state="draft") | Q(effective_at__isnull=False, published_at__isnull=False),
                name="policy_version_published_from_some_time",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("effective_at")),
                name="policy_version_ends_after_it_begins",
            ),
            models.CheckConstraint(
                condition=~Q(state="retired") | Q(ends_at__isnull=False), name="policy_version_retired_at_some_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy.name} v{self.number}"
