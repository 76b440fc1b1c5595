"""Trading between accounts of one enterprise: offers, what became of them, trades for the bill, and the terms."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances import trading, trading_terms
from balances.models import Account, Bucket, Offer, OfferAct, Trade, TradingTerms
from balances.models.trading import OfferState, TradeState
from balances.scope import Verb
from balances.trading_terms import FIELDS, TermsInForce
from portal.api.endpoints import Endpoint
from portal.api.idempotency import IDEMPOTENCY_KEY, key_of
from portal.api.values import Body, IdFilter, InReach, Instant, ServiceField, ServiceFilter, Units


class OfferSerializer(serializers.ModelSerializer):
    """What an account offers or asks for. Never says what the account has besides."""

    from_name = serializers.CharField(source="from_account.name")
    to_name = serializers.CharField(source="to_account.name", default=None, allow_null=True)
    bucket = serializers.SerializerMethodField(help_text="Only for who sees the giving account.")
    gives_service = ServiceField(allow_null=True)
    wants_service = ServiceField(allow_null=True)

    class Meta:
        model = Offer
        fields = [
            "id", "enterprise", "from_account", "from_name", "to_account", "to_name", "bucket", "gives_service",
            "gives_units", "wants_service", "wants_units", "price_micros", "price_block_units", "price_most_micros",
            "currency", "lot_units", "minimum_units", "open_units", "state", "counters", "created_at", "expires_at",
            "returns_at", "closed_at",
        ]  # fmt: skip
        extra_kwargs = {
            "to_account": {"help_text": "None: to all accounts of the enterprise."},
            "open_units": {"help_text": "Can still be taken; of what is given, or of a request of what is wanted."},
        }

    def get_bucket(self, offer: Offer) -> int | None:
        """The bucket that the units lie in."""
        scope = self.context["view"].scope
        sees = scope.allows(Verb.VIEW, enterprise_id=offer.enterprise_id, account_id=offer.from_account_id)
        return offer.bucket_id if sees else None


class TradeSerializer(serializers.ModelSerializer):
    """An acceptance and its settlement: `payer` owes `amount_micros` to the other side once it is settled."""

    from_account = serializers.IntegerField(source="offer.from_account_id")
    gave_service = ServiceField(source="offer.gives_service", allow_null=True)
    got_service = ServiceField(source="offer.wants_service", allow_null=True)

    class Meta:
        model = Trade
        fields = [
            "id", "enterprise", "offer", "from_account", "account", "units", "gave_service", "gave_units",
            "got_service", "got_units", "payer", "amount_micros", "currency", "state", "approver_account", "decided_by",
            "decided_at", "expires_at", "gave_transfer", "got_transfer", "created_at",
        ]  # fmt: skip
        extra_kwargs = {"account": {"help_text": "Who accepted."}}


class ActSerializer(serializers.ModelSerializer):
    """One step in the life of an offer."""

    class Meta:
        model = OfferAct
        fields = ["id", "offer", "trade", "kind", "units", "actor", "at"]


class CounterBody(Body):
    """Units of a bucket, for units of another service, for an internal price, or for nothing.

    Without `bucket` it is a request: the account asks for units, and would pay `price_micros` a block for them.
    """

    account = InReach(Account.objects.all(), help_text="Who offers.")
    bucket = InReach(Bucket.objects.all(), required=False, allow_null=True, help_text="Where the units come from.")
    gives_units = Units(default=0)
    wants_service = ServiceField(required=False, allow_null=True)
    wants_units = Units(default=0)
    price_micros = Units(
        default=0, help_text="Internal price of a block, from 0 to the overage rate. No money moves here."
    )
    minimum_units = Units(min_value=1, required=False, allow_null=True)
    expires_at = Instant(required=False, allow_null=True, help_text="None: in seven days, or with the bucket's cycle.")
    returns_at = Instant(
        required=False, allow_null=True, help_text="Makes it a loan: what is unused then goes back by itself."
    )


class OfferBody(CounterBody):
    """An offer to one account of the enterprise, or to all."""

    to = serializers.CharField(
        max_length=40, required=False, allow_null=True, help_text="The other account's code. None: to all."
    )


class AcceptBody(Body):
    """All that is open of an offer, or a part."""

    account = InReach(Account.objects.all(), help_text="Who accepts.")
    units = Units(min_value=1, required=False, allow_null=True, help_text="None: all that is open.")
    bucket = InReach(
        Bucket.objects.all(), required=False, allow_null=True, help_text="What you give comes from; None: the fullest."
    )


class DecisionBody(Body):
    """Which trade; not needed where only one waits."""

    trade = serializers.IntegerField(min_value=1, required=False, allow_null=True)


class OfferFilters(django_filters.FilterSet):
    """Offers by side, state and service."""

    enterprise = IdFilter(field_name="enterprise_id")
    from_account = IdFilter(field_name="from_account_id")
    to_account = IdFilter(field_name="to_account_id")
    state = django_filters.ChoiceFilter(choices=OfferState.choices)
    gives = ServiceFilter(field_name="gives_service")
    wants = ServiceFilter(field_name="wants_service")
    is_market = django_filters.BooleanFilter(field_name="to_account", lookup_expr="isnull", label="Made to all.")

    class Meta:
        model = Offer
        fields: list[str] = []


class Offers(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Offers made to or by accounts in reach, and the open market of the enterprise."""

    tag = "Trading"
    summaries = {"list": "List offers", "retrieve": "Read an offer"}
    queryset = Offer.objects.select_related("from_account", "to_account")
    serializer_class = OfferSerializer
    filterset_class = OfferFilters

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """Whoever sees an offer finds it; what they may do with it depends on the side that they act for."""
        return rows.within(self.scope, Verb.VIEW)

    @extend_schema(
        request=OfferBody,
        responses={201: OfferSerializer},
        parameters=[IDEMPOTENCY_KEY],
        examples=[
            OpenApiExample(
                "5 GiB to all, for a price",
                value={"account": 12, "bucket": 41, "gives_units": 5368709120, "price_micros": 3000},
                request_only=True,
            ),
            OpenApiExample(
                "Data for talk, with one other",
                value={
                    "account": 12, "bucket": 41, "gives_units": 5368709120, "wants_service": "voice",
                    "wants_units": 60000, "to": "S-PLANT",
                },
                request_only=True,
            ),
        ],
    )  # fmt: skip
    def create(self, request) -> Response:
        """Offer units, or ask for some.

        What is given is held from now on until the offer ends: it can be neither used nor offered twice.
        """
        values = self.body(OfferBody)
        to_account = self._named(values["account"], values.pop("to", None))
        return self.made(trading.offer(**values, to_account=to_account, key=key_of(request), **self.write_context))

    @extend_schema(request=CounterBody, responses={201: OfferSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def counter(self, request, pk: int) -> Response:
        """Answer an offer with another one.

        Accepting it withdraws the offer that it answers.
        """
        first = self.get_object()
        values = self.body(CounterBody)
        made = trading.offer(
            **values, to_account=first.from_account, counters=first, key=key_of(request), **self.write_context
        )
        return self.made(made)

    @extend_schema(request=AcceptBody, responses={201: TradeSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def accept(self, request, pk: int) -> Response:
        """Take an offer, whole or in part.

        Settled at once, or waiting until the manager above both sides approves: see `state`.
        """
        found = self.get_object()
        trade = trading.accept(offer=found, **self.body(AcceptBody), key=key_of(request), **self.write_context)
        return self.made(trade, TradeSerializer)

    @extend_schema(request=DecisionBody, responses={200: TradeSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def approve(self, request, pk: int) -> Response:
        """Approve a trade that waits; a second approval gets the first answer."""
        trade = self._trade(self.get_object())
        if trade is None:
            raise trading.OfferEnded("No trade of this offer waits for approval.", field="trade")
        self._need(trade.enterprise_id, trade.approver_account_id)
        return self.shown(trading.approve(trade=trade, **self.write_context), TradeSerializer)

    @extend_schema(request=DecisionBody, responses={200: OfferSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def refuse(self, request, pk: int) -> Response:
        """Refuse a trade that waits for your approval, or else the offer, as the account that it is for."""
        found = self.get_object()
        trade = self._trade(found)
        if trade is not None:
            self._need(trade.enterprise_id, trade.approver_account_id)
            trading.refuse(trade=trade, **self.write_context)
        else:
            self._need(found.enterprise_id, found.to_account_id)
            trading.decline(offer=found, **self.write_context)
        return self.shown(self.get_object())

    @extend_schema(request=None, responses={200: OfferSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def withdraw(self, request, pk: int) -> Response:
        """Take an offer back: what is open of it is free again."""
        found = self.get_object()
        self._need(found.enterprise_id, found.from_account_id)
        return self.shown(trading.withdraw(offer=found, **self.write_context))

    @extend_schema(responses={200: ActSerializer(many=True)})
    @action(detail=True, methods=["get"], filterset_class=None)
    def acts(self, request, pk: int) -> Response:
        """List what happened to an offer, as far as it is your side's business."""
        rows = OfferAct.objects.within(self.scope).filter(offer=self.get_object()).order_by("id")
        return self.page(rows, ActSerializer)

    def _named(self, account: Account, code: str | None) -> Account | None:
        """The other side by its code; it need not be in the caller's reach, but is of the same enterprise."""
        if code is None:
            return None
        other = Account.objects.filter(enterprise_id=account.enterprise_id, code=code, closed_at=None).first()
        if other is None:
            raise serializers.ValidationError({"to": ["This enterprise has no open account with this code."]})
        return other

    def _trade(self, offer: Offer) -> Trade | None:
        """The trade that is spoken of: the named one, or the only one that waits."""
        wished = self.body(DecisionBody).get("trade")
        rows = Trade.objects.within(self.scope).filter(offer=offer)
        if wished is not None:
            return self.find(Trade.objects.filter(offer=offer), id=wished)
        waiting = list(rows.filter(state=TradeState.WAITING)[:2])
        if len(waiting) > 1:
            raise serializers.ValidationError({"trade": ["Several trades wait: name one."]})
        return waiting[0] if waiting else None

    def _need(self, enterprise_id: int, account_id: int | None) -> None:
        """Only who manages the account may speak for it."""
        if not self.scope.allows(Verb.MANAGE, enterprise_id=enterprise_id, account_id=account_id):
            raise PermissionDenied("You do not manage the account that this is up to.")


class TradeFilters(django_filters.FilterSet):
    """Trades by side and state."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id", label="Who accepted.")
    from_account = IdFilter(field_name="offer__from_account_id", label="Who offered.")
    state = django_filters.ChoiceFilter(choices=TradeState.choices)

    class Meta:
        model = Trade
        fields: list[str] = []


class Trades(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Trades of accounts in reach, with what is owed for them."""

    tag = "Trading"
    summaries = {"list": "List trades", "retrieve": "Read a trade"}
    queryset = Trade.objects.select_related("offer")
    serializer_class = TradeSerializer
    filterset_class = TradeFilters


class TermsSerializer(serializers.ModelSerializer):
    """What one account says about trading a service; null: as the next account above says."""

    service = ServiceField()

    class Meta:
        model = TradingTerms
        fields = ["id", "enterprise", "account", "service", *FIELDS]


class TermsBody(Body):
    """Terms for an account and those below it; what is left out is said by the accounts above."""

    account = InReach(Account.objects.all())
    service = ServiceField()
    may_trade = serializers.BooleanField(required=False, allow_null=True, default=None)
    may_regift = serializers.BooleanField(required=False, allow_null=True, default=None)
    floor_units = Units(required=False, allow_null=True)
    lot_units = Units(min_value=1, required=False, allow_null=True)
    approval_above_units = Units(required=False, allow_null=True)


class InForceSerializer(serializers.Serializer):
    """What holds for an account, and which account says so (null: nobody does, it is the usual)."""

    may_trade = serializers.BooleanField()
    may_regift = serializers.BooleanField()
    floor_units = serializers.IntegerField()
    lot_units = serializers.IntegerField()
    approval_above_units = serializers.IntegerField(allow_null=True)
    said_by = serializers.SerializerMethodField()

    def get_said_by(self, terms: TermsInForce) -> dict[str, str | None]:
        """Field -> name of the account."""
        return {name: place.name if place else None for name, place in terms.said_by.items()}


class InForceQuery(serializers.Serializer):
    """An account and a service."""

    account = InReach(Account.objects.all(), verb=Verb.VIEW)
    service = ServiceField()

    def to_internal_value(self, data: Any) -> Any:
        """Numbers in addresses are text."""
        values = {name: data.get(name) for name in self.fields if name in data}
        if str(values.get("account", "")).isdecimal():
            values["account"] = int(values["account"])
        return super().to_internal_value(values)


class TermsFilters(django_filters.FilterSet):
    """Terms by account and service."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    service = ServiceFilter()

    class Meta:
        model = TradingTerms
        fields: list[str] = []


class Terms(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Terms of trading said by accounts in reach."""

    tag = "Trading"
    summaries = {"list": "List terms of trading", "retrieve": "Read terms of trading"}
    queryset = TradingTerms.objects.all()
    serializer_class = TermsSerializer
    filterset_class = TermsFilters

    @extend_schema(request=TermsBody, responses={201: TermsSerializer})
    def create(self, request) -> Response:
        """Say what an account and those below it may trade of a service; said again, it replaces what was said."""
        return self.made(trading_terms.set_terms(**self.body(TermsBody), **self.write_context))

    @extend_schema(parameters=[InForceQuery], responses={200: InForceSerializer})
    @action(detail=False, methods=["get"], url_path="in-force", filterset_class=None, pagination_class=None)
    def in_force(self, request) -> Response:
        """Read what holds for an account and a service, and who says so."""
        return self.shown(trading_terms.terms_of(**self.query(InForceQuery)), InForceSerializer)
