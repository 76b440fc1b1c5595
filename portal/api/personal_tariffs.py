"""Tariffs that an operator offers to people, and their versions. Only its own account managers come here."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances import personal_tariffs
from balances.contracts import PRICE_MOST_MICROS
from balances.models import (
    Operator,
    PersonalAllowance,
    PersonalRate,
    PersonalTariff,
    PersonalTariffVersion,
    Zone,
)
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.scope import Verb
from portal.api.endpoints import Endpoint
from portal.api.values import Body, IdFilter, InReach, Instant, ServiceField, Units


class PersonalTariffSerializer(serializers.ModelSerializer):
    """What an operator offers to people for their own usage."""

    class Meta:
        model = PersonalTariff
        fields = ["id", "operator", "name", "currency", "made_at", "made_by", "retired_at"]


class NewPersonalTariffBody(Body):
    """A tariff to be made; prices come with its versions."""

    operator = serializers.IntegerField(min_value=1, required=False, help_text="Needed only by those with several.")
    name = serializers.CharField(max_length=80)
    currency = serializers.CharField(max_length=3, help_text="That of the enterprises' contracts, like EUR.")


class PersonalRateSerializer(serializers.ModelSerializer):
    """The price of a block of units."""

    service = ServiceField()

    class Meta:
        model = PersonalRate
        fields = ["id", "service", "zone", "price_micros", "block_units"]


class PersonalAllowanceSerializer(serializers.ModelSerializer):
    """Units that each account has in each civil month."""

    service = ServiceField()
    zones = serializers.ListField(
        child=serializers.IntegerField(), source="zone_ids", help_text="Empty: usable everywhere."
    )

    class Meta:
        model = PersonalAllowance
        fields = ["id", "name", "service", "units", "zones"]


class PersonalTariffVersionSerializer(serializers.ModelSerializer):
    """Prices for usage from `effective_at` on, and allowances of the months that begin from then on."""

    rates = PersonalRateSerializer(many=True)
    allowances = PersonalAllowanceSerializer(many=True)

    class Meta:
        model = PersonalTariffVersion
        fields = ["id", "tariff", "number", "effective_at", "made_at", "made_by", "rates", "allowances"]


class PersonalRateBody(Body):
    """The price of a service."""

    service = ServiceField()
    zone = InReach(
        Zone.objects.all(), verb=Verb.ADMINISTER, required=False, allow_null=True, help_text="Null: everywhere else."
    )
    price_micros = Units(max_value=PRICE_MOST_MICROS, help_text="Of one block.")
    block_units = Units(min_value=1, default=1)


class PersonalAllowanceBody(Body):
    """Units included each month."""

    name = serializers.CharField(max_length=80)
    service = ServiceField()
    units = Units(min_value=1)
    zones = serializers.ListField(
        child=InReach(Zone.objects.all(), verb=Verb.ADMINISTER), max_length=100, required=False, default=list
    )


class NewPersonalTariffVersionBody(Body):
    """A version to be added."""

    effective_at = Instant(required=False, allow_null=True, help_text="None: at once.")
    rates = PersonalRateBody(many=True, required=False, default=list)
    allowances = PersonalAllowanceBody(many=True, required=False, default=list)


class PersonalTariffFilters(django_filters.FilterSet):
    """Tariffs by operator and name."""

    operator = IdFilter(field_name="operator_id")
    name = django_filters.CharFilter()

    class Meta:
        model = PersonalTariff
        fields: list[str] = []


class PersonalTariffs(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Tariffs of the operators whose account manager the caller is."""

    tag = "Personal accounts"
    summaries = {"list": "List personal tariffs", "retrieve": "Read a personal tariff"}
    queryset = PersonalTariff.objects.order_by()
    serializer_class = PersonalTariffSerializer
    filterset_class = PersonalTariffFilters
    verbs = {"GET": Verb.ADMINISTER, "POST": Verb.ADMINISTER}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """A tariff belongs to an operator; people see theirs with their account."""
        return rows.filter(operator__in=self.scope.operator_ids)

    @extend_schema(request=NewPersonalTariffBody, responses={201: PersonalTariffSerializer})
    def create(self, request) -> Response:
        """Make a personal tariff.

        No account is opened with it before it has a version.
        """
        values = self.body(NewPersonalTariffBody)
        own = self.scope.operator_ids
        wanted = values.pop("operator", next(iter(own)) if len(own) == 1 else None)
        if wanted not in own:
            raise PermissionDenied("Only account managers of the operator make its tariffs. Name the operator.")
        operator = Operator.objects.get(id=wanted)
        return self.made(personal_tariffs.create_tariff(operator=operator, **values, **self.write_context))

    @extend_schema(responses=PersonalTariffVersionSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None)
    def versions(self, request, pk: int) -> Response:
        """List the versions of a personal tariff, also those to come."""
        rows = PersonalTariffVersion.objects.filter(tariff=self.get_object()).order_by()
        return self.page(rows.prefetch_related("rates", "allowances"), PersonalTariffVersionSerializer)

    @extend_schema(
        request=NewPersonalTariffVersionBody,
        responses={201: PersonalTariffVersionSerializer},
        examples=[
            OpenApiExample(
                "A cent a MiB, 2 GiB a month included",
                value={
                    "effective_at": "2026-04-01T00:00:00+02:00",
                    "rates": [{"service": "data", "price_micros": 10000, "block_units": 1048576}],
                    "allowances": [{"name": "Data of my own", "service": "data", "units": 2147483648}],
                },
                request_only=True,
            )
        ],
    )
    @versions.mapping.post
    def add_version(self, request, pk: int) -> Response:
        """Add a version to a personal tariff.

        It never changes. Only the first may begin in the past; people are charged by the version of the time of use.
        """
        tariff = self.get_object()
        values = self.body(NewPersonalTariffVersionBody)
        version = personal_tariffs.add_version(
            tariff=tariff,
            effective_at=values.get("effective_at") or self.now(),
            rates=[RateRow(**row) for row in values["rates"]],
            allowances=[AllowanceRow(**row | {"zones": tuple(row["zones"])}) for row in values["allowances"]],
            **self.write_context,
        )
        return self.made(version, PersonalTariffVersionSerializer)

    @extend_schema(request=None, responses={200: PersonalTariffSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def retire(self, request, pk: int) -> Response:
        """Offer a personal tariff no more.

        Whoever has an account with it keeps it.
        """
        return self.shown(personal_tariffs.retire_tariff(tariff=self.get_object(), **self.write_context))
