"""Trading between accounts of one enterprise. Written only by `balances.trading` and its neighbours."""

from django.db import models
from django.db.models import F, Q

from balances.models.contracts import SERVICE_CHOICES
from balances.scope import Scope, ScopedQuerySet, Verb, scoped


class TradingTerms(models.Model):
    """What an account and those below it may trade of a service; None: as the next account above says."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="trading_terms")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    may_trade = models.BooleanField(null=True)
    may_regift = models.BooleanField(null=True, help_text="Whether units that came by a trade may be traded on.")
    floor_units = models.BigIntegerField(null=True, help_text="What an account keeps of its own when it gives.")
    lot_units = models.BigIntegerField(null=True, help_text="Offers and acceptances are in whole lots of this size.")
    approval_above_units = models.BigIntegerField(
        null=True, help_text="Above this, the manager of the account above both sides approves."
    )

    objects = scoped()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "service"], name="trading_terms_once"),
            models.CheckConstraint(
                condition=(Q(floor_units__isnull=True) | Q(floor_units__gte=0))
                & (Q(lot_units__isnull=True) | Q(lot_units__gte=1))
                & (Q(approval_above_units__isnull=True) | Q(approval_above_units__gte=0)),
                name="trading_terms_not_negative",
            ),
        ]


class OfferState(models.TextChoices):
    OPEN = "open", "Open"
    TAKEN = "taken", "Taken"
    WITHDRAWN = "withdrawn", "Withdrawn"
    REFUSED = "refused", "Refused"
    EXPIRED = "expired", "Expired"


class _OfferQuerySet(ScopedQuerySet):
    """Both sides see an offer, and those above them; one to the market is seen by all who see accounts, while open."""

    account_field = ("from_account_id", "to_account_id")

    def within(self, scope: Scope, verb: Verb = Verb.VIEW):
        """Offers of accounts in reach, those they have taken of, and (to look at) the open market."""
        own = super().within(scope, verb)
        took = Trade.objects.within(scope, verb).order_by().values("offer_id")
        seen = own | self.filter(id__in=took)
        if verb == Verb.VIEW:
            houses = [g.enterprise_id for g in scope.grants if verb in g.verbs and g.account_ids != frozenset()]
            seen |= self.filter(enterprise_id__in=houses, to_account__isnull=True, state=OfferState.OPEN)
        return seen


class Offer(models.Model):
    """Units that an account would give, take, or both, and for what.

    `measure`: what is counted in lots and prices: the units given, or of a request the units wanted. While it is open,
    what is given lies in escrow: `held_units` are reserved on `bucket` by this offer's entries.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    from_account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="offers")
    to_account = models.ForeignKey(
        "balances.Account", on_delete=models.PROTECT, null=True, related_name="+", help_text="None: to all."
    )
    bucket = models.ForeignKey("balances.Bucket", on_delete=models.PROTECT, null=True, related_name="offers")
    gives_service = models.SmallIntegerField(choices=SERVICE_CHOICES, null=True)
    gives_units = models.BigIntegerField(default=0)
    wants_service = models.SmallIntegerField(choices=SERVICE_CHOICES, null=True)
    wants_units = models.BigIntegerField(default=0)
    price_micros = models.BigIntegerField(default=0, help_text="Internal price of one block of the measure.")
    price_block_units = models.BigIntegerField(default=1)
    price_most_micros = models.BigIntegerField(default=0, help_text="The end of the band: overage, a block.")
    currency = models.CharField(max_length=3, default="EUR")
    lot_units = models.BigIntegerField(default=1)
    minimum_units = models.BigIntegerField(default=1, help_text="The least that is taken at once, or all that is left.")
    open_units = models.BigIntegerField(help_text="Of the measure; can be taken.")
    open_wants_units = models.BigIntegerField(default=0, help_text="Of a swap: what the open units are given for.")
    held_units = models.BigIntegerField(default=0, help_text="In escrow on the bucket, also for trades that wait.")
    state = models.CharField(max_length=10, choices=OfferState, default=OfferState.OPEN)
    counters = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="countered_by")
    key = models.CharField(  # noqa: DJ001 - null, not '': it is unique
        max_length=160, null=True, unique=True, help_text="The caller's idempotency key, in a space of its own."
    )
    asked = models.JSONField(default=dict)
    actor = models.CharField(max_length=160)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    returns_at = models.DateTimeField(null=True, help_text="Of a loan: when what is unused goes back by itself.")
    closed_at = models.DateTimeField(null=True)

    objects = models.Manager.from_queryset(_OfferQuerySet)()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(gives_units__gte=0, wants_units__gte=0, open_units__gte=0, open_wants_units__gte=0)
                & Q(held_units__gte=0, held_units__lte=F("gives_units"), lot_units__gte=1, minimum_units__gte=1)
                & Q(price_micros__gte=0, price_micros__lte=F("price_most_micros"), price_block_units__gte=1)
                & (Q(gives_units__gt=0) | Q(wants_units__gt=0)),
                name="offer_within_bounds",
            ),
            models.CheckConstraint(
                condition=Q(to_account__isnull=True) | ~Q(to_account=F("from_account")), name="offer_not_to_itself"
            ),
            models.CheckConstraint(
                condition=Q(returns_at__isnull=True)
                | Q(returns_at__gte=F("expires_at")) & (Q(gives_units=0) | Q(wants_units=0)),
                name="offer_of_a_loan",
            ),
        ]
        indexes = [
            models.Index(fields=["enterprise", "state", "expires_at"], name="offer_open"),
            models.Index(fields=["expires_at"], condition=Q(state="open"), name="offer_to_sweep"),
        ]

    @property
    def is_request(self) -> bool:
        """Whether it asks for units and pays for them, instead of giving some."""
        return not self.gives_units

    @property
    def service(self) -> int:
        """Of the measure."""
        return self.wants_service if self.is_request else self.gives_service  # type: ignore[return-value]

    @property
    def services(self) -> list[int]:
        """Those that units move of."""
        return [service for service in (self.gives_service, self.wants_service) if service is not None]

    @property
    def units(self) -> int:
        """Of the measure, at the beginning."""
        return self.wants_units if self.is_request else self.gives_units


class TradeState(models.TextChoices):
    WAITING = "waiting", "Waits for approval"
    SETTLED = "settled", "Settled"
    REFUSED = "refused", "Refused"
    EXPIRED = "expired", "Expired"


class Trade(models.Model):
    """An acceptance of an offer, whole or in part, and its settlement: who owes whom what, for the bill.

    `gave_units` went from the offering account to the taking one, `got_units` the other way. No money moves here:
    `amount_micros` is owed by `payer` to the other side once the trade is settled.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    offer = models.ForeignKey(Offer, on_delete=models.PROTECT, related_name="trades")
    account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="trades")
    bucket = models.ForeignKey("balances.Bucket", on_delete=models.PROTECT, null=True, related_name="trades")
    units = models.BigIntegerField(help_text="Of the offer's measure.")
    gave_units = models.BigIntegerField(default=0)
    got_units = models.BigIntegerField(default=0)
    payer = models.ForeignKey("balances.Account", on_delete=models.PROTECT, null=True, related_name="+")
    amount_micros = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=10, choices=TradeState)
    approver_account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, null=True, related_name="+")
    decided_by = models.CharField(max_length=160, blank=True)
    decided_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(help_text="Not approved by then, it expires: the end of the buckets' cycle.")
    gave_transfer = models.UUIDField(null=True)
    got_transfer = models.UUIDField(null=True)
    run = models.ForeignKey(
        "balances.StandingRun", on_delete=models.PROTECT, null=True, related_name="trades", help_text="That made it."
    )
    key = models.CharField(  # noqa: DJ001 - null, not '': it is unique
        max_length=160, null=True, unique=True, help_text="The caller's idempotency key, in a space of its own."
    )
    asked = models.JSONField(default=dict)
    actor = models.CharField(max_length=160)
    created_at = models.DateTimeField()

    objects = scoped(account=("account_id", "offer__from_account_id"))

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(units__gt=0, gave_units__gte=0, got_units__gte=0, amount_micros__gte=0),
                name="trade_not_negative",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="trade_by_account"),
            models.Index(fields=["expires_at"], condition=Q(state="waiting"), name="trade_to_sweep"),
        ]


class ActKind(models.TextChoices):
    OFFERED = "offered", "Offered"
    COUNTERED = "countered", "Countered"
    ACCEPTED = "accepted", "Accepted"
    APPROVED = "approved", "Approved"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"
    EXPIRED = "expired", "Expired"
    RETURNED = "returned", "Returned"
    REPAID = "repaid", "Repaid"
    FORGIVEN = "forgiven", "Forgiven"


class OfferAct(models.Model):
    """What became of an offer, act by act. A trigger refuses UPDATE and DELETE."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    offer = models.ForeignKey(Offer, on_delete=models.PROTECT, related_name="acts")
    trade = models.ForeignKey(Trade, on_delete=models.PROTECT, null=True, related_name="acts")
    kind = models.CharField(max_length=10, choices=ActKind)
    units = models.BigIntegerField(help_text="Of the offer's measure.")
    transfer = models.UUIDField(null=True, help_text="Of units that came back: ties the two sides of the transfer.")
    actor = models.CharField(max_length=160)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(null=True, help_text="When it was noted; what time does counts when it was due.")
    answer = models.ForeignKey(
        Offer, on_delete=models.PROTECT, null=True, related_name="+", help_text="Of a counter-offer: the new offer."
    )

    objects = scoped(account=("offer__from_account_id", "offer__to_account_id", "trade__account_id"))

    class Meta:
        indexes = [models.Index(fields=["offer", "id"], name="offer_act_by_offer")]


class LoanState(models.TextChoices):
    LENT = "lent", "Lent"
    OWED = "owed", "Owed"
    RETURNED = "returned", "Returned"
    FORGIVEN = "forgiven", "Forgiven"


class Loan(models.Model):
    """Units that a trade lent: they lie in a bucket of their own, and what is unused goes back at `returns_at`.

    `returned_units` is the sum of the acts that brought some back. Written only by `balances.loans`.
    """

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    trade = models.OneToOneField(Trade, on_delete=models.PROTECT, related_name="loan")
    lender = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="+")
    borrower = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="+")
    from_bucket = models.ForeignKey("balances.Bucket", on_delete=models.PROTECT, related_name="+")
    bucket = models.OneToOneField("balances.Bucket", on_delete=models.PROTECT, related_name="loan")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    units = models.BigIntegerField()
    returned_units = models.BigIntegerField(default=0)
    returns_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=LoanState, default=LoanState.LENT)
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    objects = scoped(account=("lender_id", "borrower_id"))

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(units__gt=0, returned_units__gte=0)
                & (
                    Q(state=LoanState.RETURNED, returned_units=F("units"))
                    | ~Q(state=LoanState.RETURNED) & Q(returned_units__lt=F("units"))
                ),
                name="loan_returned_within_lent",
            ),
            models.CheckConstraint(condition=~Q(lender=F("borrower")), name="loan_not_to_itself"),
        ]
        indexes = [
            models.Index(fields=["lender", "-id"], name="loan_by_lender"),
            models.Index(fields=["borrower", "-id"], name="loan_by_borrower"),
            models.Index(fields=["returns_at"], condition=Q(state__in=["lent", "owed"]), name="loan_to_sweep"),
        ]

    @property
    def owed_units(self) -> int:
        """What has not come back and still should."""
        return 0 if self.state == LoanState.FORGIVEN else self.units - self.returned_units


class StandingState(models.TextChoices):
    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"
    ENDED = "ended", "Ended"


class Shortage(models.TextChoices):
    """What a run does when the giver has less than was meant."""

    SKIP = "skip", "Moves nothing"
    PART = "part", "Moves what is there"


class StandingTransfer(models.Model):
    """So many units from one account to another once in each cycle. Written only by `balances.standing`."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    from_account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="+")
    to_account = models.ForeignKey("balances.Account", on_delete=models.PROTECT, related_name="+")
    service = models.SmallIntegerField(choices=SERVICE_CHOICES)
    units = models.BigIntegerField()
    day = models.SmallIntegerField(default=1, help_text="Civil day of the cycle on which it is due; 1: when it begins.")
    on_shortage = models.CharField(max_length=4, choices=Shortage, default=Shortage.SKIP)
    next_at = models.DateTimeField(help_text="When the next run is due.")
    until = models.DateTimeField(null=True, help_text="No run is due at or after it.")
    state = models.CharField(max_length=6, choices=StandingState, default=StandingState.ACTIVE)
    key = models.CharField(  # noqa: DJ001 - null, not '': it is unique
        max_length=160, null=True, unique=True, help_text="The caller's idempotency key, in a space of its own."
    )
    asked = models.JSONField(default=dict)
    actor = models.CharField(max_length=160)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects = scoped(account=("from_account_id", "to_account_id"))

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(units__gt=0, day__gte=1, day__lte=28), name="standing_within_bounds"),
            models.CheckConstraint(condition=~Q(from_account=F("to_account")), name="standing_not_to_itself"),
        ]
        indexes = [
            models.Index(fields=["from_account", "-id"], name="standing_by_giver"),
            models.Index(fields=["to_account", "-id"], name="standing_by_receiver"),
            models.Index(fields=["next_at"], condition=Q(state="active"), name="standing_to_run"),
        ]


class RunOutcome(models.TextChoices):
    MOVED = "moved", "Moved"
    PART = "part", "Moved in part"
    SKIPPED = "skipped", "Skipped"
    MISSED = "missed", "Missed"


#: What a run's `why` ends with where its giver had less.
SHORT = "units were missing."


class StandingRun(models.Model):
    """What a standing transfer did in a cycle, once. A trigger refuses UPDATE and DELETE."""

    enterprise = models.ForeignKey("balances.Enterprise", on_delete=models.PROTECT, related_name="+")
    standing = models.ForeignKey(StandingTransfer, on_delete=models.PROTECT, related_name="runs")
    cycle_start = models.DateTimeField()
    outcome = models.CharField(max_length=7, choices=RunOutcome)
    units = models.BigIntegerField(help_text="Given by its trades, waiting ones too.")
    why = models.CharField(max_length=200, blank=True, help_text="Why not all of it.")
    due_at = models.DateTimeField()
    at = models.DateTimeField()

    objects = scoped(account=("standing__from_account_id", "standing__to_account_id"))

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["standing", "cycle_start"], name="standing_run_once_a_cycle"),
            models.CheckConstraint(
                condition=Q(outcome__in=["moved", "part"], units__gt=0) | Q(outcome__in=["skipped", "missed"], units=0),
                name="standing_run_says_what_it_did",
            ),
        ]

    @property
    def is_short(self) -> bool:
        """Whether it gave less because there was less to give: figures say it better than `why` does."""
        return self.why.endswith(SHORT)
