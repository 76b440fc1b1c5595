"""People behind the wall: who proved to be whom, and objections to who paid. Written by `portal.claims` and
`portal.contests` alone. docs/byod.md

Beside `portal.models`, because tables belong to the app and not to the room.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from balances.scope import Scope, ScopedQuerySet, Verb


class PersonClaim(models.Model):
    """A user proved to be a person, by a code that the operator gave to that person: only this opens what is personal.

    An employer names people and invites users, and so must not be able to say who is whom. Only a code's hash is kept.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey("balances.Person", on_delete=models.CASCADE, related_name="claims")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="claims")
    code_hash = models.CharField(max_length=64)
    issued_at = models.DateTimeField()
    issued_by = models.CharField(max_length=160)
    expires_at = models.DateTimeField()
    attempts = models.SmallIntegerField(default=0)
    confirmed_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, help_text="Withdrawn, or another took its place.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["person"], condition=Q(ended_at__isnull=True), name="person_claim_one_a_person"
            ),
            models.CheckConstraint(
                condition=Q(confirmed_at__isnull=True) | Q(user__isnull=False), name="person_claim_confirmed_by_a_user"
            ),
        ]


class ContestState(models.TextChoices):
    OPEN = "open", "Open"
    UPHELD = "upheld", "Upheld, the correction is on its way"
    CORRECTED = "corrected", "Upheld and corrected"
    DECLINED = "declined", "Declined"


class _ContestQuerySet(ScopedQuerySet):
    """To look at and to decide: for who manages the account. One's own are one's own, whoever manages it."""

    def within(self, scope: Scope, verb: Verb = Verb.VIEW):
        """Contests of accounts that the holder of `scope` manages; to look at also those of people whom they are."""
        managed = super().within(scope, Verb.MANAGE if verb == Verb.VIEW else verb)
        if verb != Verb.VIEW or not (person_ids := scope.person_ids(verb)):
            return managed
        return managed | self.filter(person__in=person_ids, enterprise__in=scope.enterprise_ids(verb))


class Contest(models.Model):
    """A person says that the company should have paid a usage record of theirs.

    Of the record managers see what the person lets them see by contesting it: `disclosed`, as it stood then. Upheld,
    the units come in for the company (`correction_part`); once they are charged, the person gets back what was paid.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="+")
    usage_id = models.BigIntegerField()
    used_at = models.DateTimeField(help_text="Of the usage record: the partition key.")
    line = models.ForeignKey("balances.Line", on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey("balances.Person", on_delete=models.PROTECT, related_name="contests")
    reason = models.CharField(max_length=400)
    disclosed = models.JSONField(help_text="What managers are shown of the record, by the person's own choice.")
    state = models.CharField(max_length=9, choices=ContestState, default=ContestState.OPEN)
    filed_at = models.DateTimeField()
    filed_by = models.CharField(max_length=160)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=160, blank=True)
    answer = models.CharField(max_length=400, blank=True)
    refunded_micros = models.BigIntegerField(null=True)
    correction_part = models.ForeignKey("balances.UsagePart", on_delete=models.PROTECT, null=True, related_name="+")

    objects = models.Manager.from_queryset(_ContestQuerySet)()

    class Meta:
        ordering = ["-filed_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["usage_id"], name="contest_once_per_record"),
            models.CheckConstraint(
                condition=Q(state="open") | Q(decided_at__isnull=False), name="contest_decided_at_some_time"
            ),
        ]
        indexes = [models.Index(fields=["enterprise", "state", "-filed_at"], name="contest_latest")]


class ContestActKind(models.TextChoices):
    FILED = "filed", "Filed"
    UPHELD = "upheld", "Upheld"
    DECLINED = "declined", "Declined"
    CORRECTED = "corrected", "Corrected"


class ContestAct(models.Model):
    """What became of a contest, act by act, each once; what notices are told of. Append-only."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    contest = models.ForeignKey(Contest, on_delete=models.PROTECT, related_name="acts")
    kind = models.CharField(max_length=9, choices=ContestActKind)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["contest", "kind"], name="contest_act_once")]
        indexes = [models.Index(fields=["enterprise", "id"], name="contest_act_in_order")]
