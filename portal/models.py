"""People who sign in, what they hold, tokens of REST clients, long jobs, and column profiles of usage files."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from balances.models import Account, Enterprise, Operator, Person
from balances.scope import scoped
from portal.notice_models import (
    Channel,
    Delivery,
    DeliveryState,
    Digest,
    Escalation,
    LineDay,
    LineDevice,
    Notice,
    NoticeKind,
    NoticePreference,
    NoticeSettings,
    OutboxMark,
    Severity,
    Silence,
    WatchMark,
    WebhookEndpoint,
)
from portal.personal_models import Contest, ContestAct, ContestActKind, ContestState, PersonClaim

__all__ = [
    "ApiToken",
    "Channel",
    "ColumnProfile",
    "Contest",
    "ContestAct",
    "ContestActKind",
    "ContestState",
    "Delivery",
    "DeliveryState",
    "Digest",
    "Escalation",
    "Job",
    "JobState",
    "LineDay",
    "LineDevice",
    "Membership",
    "Notice",
    "NoticeKind",
    "NoticePreference",
    "NoticeSettings",
    "OutboxMark",
    "PersonClaim",
    "Role",
    "Severity",
    "Silence",
    "User",
    "UserManager",
    "WatchMark",
    "WebhookEndpoint",
]


class UserManager(BaseUserManager["User"]):
    """Creates users by e-mail address."""

    def create_user(self, email: str, password: str | None = None, **fields) -> User:
        """A user who can sign in; the address is the name."""
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields) -> User:
        """A user of the installation's own staff."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who signs in with an e-mail address. What they may see is said by memberships alone."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    joined_at = models.DateTimeField(default=timezone.now)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []

    def __str__(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.name.split()[0] if self.name else self.email


class Role(models.TextChoices):
    """What a membership makes of its user; `portal.access.ROLE_VERBS` says what each may do."""

    OWNER = "owner", "Telecoms manager"
    MANAGER = "manager", "Cost-centre manager"
    OBSERVER = "observer", "Observer"
    EMPLOYEE = "employee", "Employee"
    OPERATOR = "operator", "Operator account manager"


class Membership(models.Model):
    """A role on a place: an enterprise, a subtree of it, one's own lines, or (operator staff) an assigned enterprise.

    An operator account manager without an enterprise may create enterprises for the operator.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role)
    operator = models.ForeignKey(Operator, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    enterprise = models.ForeignKey(
        Enterprise, on_delete=models.CASCADE, null=True, blank=True, related_name="memberships"
    )
    account = models.ForeignKey(Account, on_delete=models.CASCADE, null=True, blank=True, related_name="memberships")
    person = models.ForeignKey(Person, on_delete=models.CASCADE, null=True, blank=True, related_name="memberships")
    valid_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = scoped()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(role="owner", enterprise__isnull=False, account__isnull=True)
                | Q(role__in=["manager", "observer"], enterprise__isnull=False, account__isnull=False)
                | Q(role="employee", enterprise__isnull=False, person__isnull=False)
                | Q(role="operator", operator__isnull=False, account__isnull=True),
                name="membership_role_fits_place",
            ),
            models.UniqueConstraint(
                fields=["user", "role", "operator", "enterprise", "account", "person"],
                nulls_distinct=False,
                name="membership_once",
            ),
        ]


class ApiToken(models.Model):
    """A REST client's key: its maker's reach on one place, with no more than the chosen verbs. Only a hash is kept."""

    operator = models.ForeignKey(Operator, on_delete=models.CASCADE, related_name="+")
    enterprise = models.ForeignKey(
        Enterprise, on_delete=models.CASCADE, null=True, blank=True, related_name="api_tokens"
    )
    account = models.ForeignKey(Account, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=80)
    verbs = ArrayField(models.CharField(max_length=12))
    prefix = models.CharField(max_length=8, unique=True)
    secret_hash = models.CharField(max_length=64, help_text="SHA-256 of the secret; the secret has 256 random bits.")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="api_tokens")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = scoped()

    def __str__(self) -> str:
        return self.name


class ColumnProfile(models.Model):
    """How the columns of an operator's usage file map to a usage record's fields, and in which units and formats."""

    operator = models.ForeignKey(Operator, on_delete=models.CASCADE, related_name="column_profiles")
    name = models.CharField(max_length=60)
    mapping = models.JSONField(help_text="See portal.charging.columns for its shape.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["operator", "name"], name="column_profile_name_once")]

    def __str__(self) -> str:
        return self.name


class JobState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class Job(models.Model):
    """A long piece of work that somebody watches: state, progress, counts, and rows that went wrong.

    A killed worker leaves it `running` with an old `touched_at`; the sweep queues it again, and it resumes at `cursor`.
    """

    enterprise = models.ForeignKey(Enterprise, on_delete=models.CASCADE, null=True, related_name="+")
    operator = models.ForeignKey(Operator, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=40)
    title = models.CharField(max_length=160)
    state = models.CharField(max_length=8, choices=JobState, default=JobState.QUEUED)
    parameters = models.JSONField(default=dict)
    cursor = models.BigIntegerField(default=0, help_text="Rows or bytes safely done.")
    total = models.BigIntegerField(default=0)
    counts = models.JSONField(default=dict)
    errors = models.JSONField(default=list, help_text="The first hundred rows that went wrong: row, column, text.")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="jobs")
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField(auto_now=True)
    finished_at = models.DateTimeField(null=True)

    objects = scoped(account=None)

    class Meta:
        indexes = [models.Index(fields=["enterprise", "-created_at"], name="job_latest")]

    @property
    def percent(self) -> int:
        """Progress in whole percent; 100 once done."""
        if self.state == JobState.DONE:
            return 100
        return min(99, self.cursor * 100 // self.total) if self.total else 0
