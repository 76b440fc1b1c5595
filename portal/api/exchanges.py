"""Exchange of units between services, at the contract's rates."""

from __future__ import annotations

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.response import Response

from balances import exchange
from balances.models import Bucket, Exchange, ExchangeRate
from portal.api.contracts import OPERATORS_PART
from portal.api.endpoints import Endpoint
from portal.api.exchange_rates import ExchangeRateSerializer
from portal.api.idempotency import IDEMPOTENCY_KEY, key_of
from portal.api.values import Body, IdFilter, InReach, InstantFilter, ServiceField, Units


class NewExchangeBody(Body):
    """Units of a bucket to be exchanged for another service."""

    bucket = InReach(Bucket.objects.all())
    service = ServiceField(help_text="What is wanted for them.")
    units = Units(min_value=1)
    dry_run = serializers.BooleanField(default=False, help_text="Only say what it would come to.")


class QuoteSerializer(serializers.Serializer):
    """What an exchange would come to now; what buys nothing is not given."""

    bucket = serializers.IntegerField(source="bucket.id")
    rate = ExchangeRateSerializer()
    given_units = serializers.IntegerField()
    received_units = serializers.IntegerField()


class ExchangeSerializer(serializers.ModelSerializer):
    """Units of one service that were given for units of another."""

    class Meta:
        model = Exchange
        fields = [
            "id",
            "enterprise",
            "from_bucket",
            "to_bucket",
            "rate",
            "asked_units",
            "given_units",
            "received_units",
            "transfer",
            "actor",
            "at",
        ]


class ExchangeFilters(django_filters.FilterSet):
    """Exchanges by bucket and time."""

    enterprise = IdFilter(field_name="enterprise_id")
    from_bucket = IdFilter(field_name="from_bucket_id")
    to_bucket = IdFilter(field_name="to_bucket_id")
    since = InstantFilter(field_name="at", lookup_expr="gte", label="Done at or after.")

    class Meta:
        model = Exchange
        fields: list[str] = []


class Exchanges(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Exchanges of the buckets in reach."""

    tag = "Buckets"
    summaries = {"list": "List exchanges", "retrieve": "Read an exchange"}
    queryset = Exchange.objects.all()
    serializer_class = ExchangeSerializer
    filterset_class = ExchangeFilters

    @extend_schema(
        request=NewExchangeBody,
        responses={200: QuoteSerializer, 201: ExchangeSerializer},
        parameters=[IDEMPOTENCY_KEY],
        examples=[
            OpenApiExample("1 GiB for minutes", value={"bucket": 41, "service": "voice", "units": 1073741824}),
        ],
    )
    def create(self, request) -> Response:
        """Exchange units of a bucket for another service.

        At the rate of the contract version in force; whole units, rounded down. With `dry_run` nothing is done (200).
        """
        values = self.body(NewExchangeBody)
        asked = {"bucket_id": values["bucket"].id, "to_service": values["service"], "units": values["units"]}
        if values["dry_run"]:
            return self.shown(exchange.quote(**asked, at=self.now()), QuoteSerializer)
        return self.made(exchange.exchange(**asked, key=key_of(self.request), **self.write_context))


class ExchangeRates(Endpoint):
    """Exchange rates of drafts, to be taken out again."""

    tag = "Contracts"
    queryset = ExchangeRate.objects.select_related("version__contract")
    serializer_class = ExchangeRateSerializer
    verbs = OPERATORS_PART

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Take an exchange rate out of a draft."""
        exchange.remove_rate(rate=self.get_object(), **self.write_context)
        return Response(status=204)
