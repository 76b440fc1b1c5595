"""What was sold: zones, contracts, their versions, allowances and rates. Written by the operator's side."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances import contracts, exchange
from balances.models import Allowance, Contract, ContractVersion, Enterprise, Operator, Rate, Zone
from balances.models.contracts import VersionState
from balances.scope import Verb
from balances.units import UNIT_NAMES
from portal.api.endpoints import Endpoint
from portal.api.exchange_rates import ExchangeRateBody, ExchangeRateSerializer
from portal.api.values import Body, IdFilter, InReach, Instant, ServiceField, Units

OPERATORS_PART = {"POST": Verb.ADMINISTER, "PUT": Verb.ADMINISTER, "DELETE": Verb.ADMINISTER}


class ZoneSerializer(serializers.ModelSerializer):
    """A group of visited networks with one price."""

    class Meta:
        model = Zone
        fields = ["id", "operator", "code", "name", "networks", "is_home", "is_default"]


class NewZoneBody(Body):
    """A zone to be made."""

    operator = serializers.IntegerField(min_value=1, required=False, help_text="Needed only by those with several.")
    code = serializers.CharField(max_length=24)
    name = serializers.CharField(max_length=60)
    networks = serializers.ListField(
        child=serializers.CharField(max_length=6), max_length=1000, help_text="MCC, or MCC and MNC; the longest wins."
    )
    is_home = serializers.BooleanField(default=False)
    is_default = serializers.BooleanField(default=False)


class ZoneFilters(django_filters.FilterSet):
    """Zones by operator and code."""

    operator = IdFilter(field_name="operator_id")
    code = django_filters.CharFilter()

    class Meta:
        model = Zone
        fields: list[str] = []


class Zones(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Zones of the operators whose enterprises the caller sees."""

    tag = "Contracts"
    summaries = {"list": "List zones", "retrieve": "Read a zone"}
    queryset = Zone.objects.all()
    serializer_class = ZoneSerializer
    filterset_class = ZoneFilters
    verbs = OPERATORS_PART

    @extend_schema(request=NewZoneBody, responses={201: ZoneSerializer})
    def create(self, request) -> Response:
        """Make a zone.

        Published contract versions have no rate for it: usage there waits in suspense until a version with one.
        """
        values = self.body(NewZoneBody)
        own = self.scope.operator_ids
        wanted = values.pop("operator", next(iter(own)) if len(own) == 1 else None)
        if wanted not in own:
            raise PermissionDenied("Only account managers of the operator make its zones. Name the operator.")
        operator = Operator.objects.get(id=wanted)
        return self.made(contracts.create_zone(operator=operator, **values, **self.write_context))


class ContractSerializer(serializers.ModelSerializer):
    """An agreement with an enterprise."""

    class Meta:
        model = Contract
        fields = [
            "id",
            "enterprise",
            "number",
            "starts_at",
            "ends_at",
            "time_zone",
            "currency",
            "cycle_anchor_day",
            "late_usage_days",
            "created_at",
        ]


class NewContractBody(Body):
    """A contract to be made."""

    enterprise = InReach(Enterprise.objects.all(), verb=Verb.ADMINISTER)
    number = serializers.CharField(max_length=40)
    starts_at = Instant()
    ends_at = Instant(required=False, allow_null=True)
    time_zone = serializers.CharField(max_length=40, help_text="Like Europe/Berlin.")
    currency = serializers.CharField(max_length=3, help_text="Like EUR.")
    cycle_anchor_day = serializers.IntegerField(min_value=1, max_value=31)
    late_usage_days = serializers.IntegerField(min_value=0, max_value=3650, default=90)


class VersionSerializer(serializers.ModelSerializer):
    """What holds from `effective_at` on, until the next version."""

    class Meta:
        model = ContractVersion
        fields = [
            "id",
            "enterprise",
            "contract",
            "number",
            "effective_at",
            "state",
            "note",
            "created_at",
            "published_at",
        ]


class NewVersionBody(Body):
    """A draft to be made."""

    effective_at = Instant()
    note = serializers.CharField(max_length=200, required=False, allow_blank=True)
    copy_from = InReach(
        ContractVersion.objects.all(), verb=Verb.ADMINISTER, required=False, help_text="A version to begin with."
    )

    def validate_copy_from(self, version: ContractVersion) -> ContractVersion:
        """Only terms of the same enterprise are copied: another's are nobody else's business."""
        if version.enterprise_id != self.context["contract"].enterprise_id:
            raise serializers.ValidationError("This version belongs to another enterprise.", code="enterprise")
        return version


class ContractFilters(django_filters.FilterSet):
    """Contracts by enterprise and number."""

    enterprise = IdFilter(field_name="enterprise_id")
    number = django_filters.CharFilter()

    class Meta:
        model = Contract
        fields: list[str] = []


def visible_versions(versions: QuerySet, scope, verb: Verb) -> QuerySet:
    """Published versions for whoever sees the enterprise as a whole; drafts are the operator's own."""
    if verb != Verb.VIEW:
        return versions.within(scope, verb)
    drafts = Q(enterprise_id__in=scope.whole_enterprise_ids(Verb.ADMINISTER))
    return versions.within(scope, verb).filter(drafts | Q(state=VersionState.PUBLISHED))


class Contracts(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Contracts of the enterprises that the caller sees as a whole."""

    tag = "Contracts"
    summaries = {"list": "List contracts", "retrieve": "Read a contract"}
    queryset = Contract.objects.order_by()
    serializer_class = ContractSerializer
    filterset_class = ContractFilters
    verbs = OPERATORS_PART

    @extend_schema(
        request=NewContractBody,
        responses={201: ContractSerializer},
        examples=[
            OpenApiExample(
                "A contract",
                value={
                    "enterprise": 3,
                    "number": "C-2026-17",
                    "starts_at": "2026-03-01T00:00:00+01:00",
                    "time_zone": "Europe/Berlin",
                    "currency": "EUR",
                    "cycle_anchor_day": 1,
                },
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Make a contract.

        Nothing is granted until a version of it is published.
        """
        return self.made(contracts.create_contract(**self.body(NewContractBody), **self.write_context))

    @extend_schema(responses=VersionSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None)
    def versions(self, request, pk: int) -> Response:
        """List the versions of a contract.

        Drafts are shown to the operator's side only.
        """
        mine = ContractVersion.objects.filter(contract=self.get_object()).order_by()
        return self.page(visible_versions(mine, self.scope, Verb.VIEW), VersionSerializer)

    @extend_schema(request=NewVersionBody, responses={201: VersionSerializer})
    @versions.mapping.post
    def draft(self, request, pk: int) -> Response:
        """Draft a version, empty or with the terms of another one."""
        contract = self.contract = self.get_object()
        values = self.body(NewVersionBody)
        return self.made(contracts.draft_version(contract=contract, **values, **self.write_context), VersionSerializer)

    def get_serializer_context(self) -> dict:
        """Beside the usual, the contract that a draft is for."""
        return {**super().get_serializer_context(), "contract": getattr(self, "contract", None)}


class AllowanceSerializer(serializers.ModelSerializer):
    """Units of a service granted at the start of each cycle."""

    service = ServiceField()
    unit = serializers.SerializerMethodField()
    zones = serializers.PrimaryKeyRelatedField(many=True, read_only=True, help_text="Empty: usable everywhere.")

    class Meta:
        model = Allowance
        fields = [
            "id",
            "version",
            "name",
            "service",
            "unit",
            "granted_units",
            "zones",
            "rollover_cap_units",
            "priority",
        ]

    def get_unit(self, allowance: Allowance) -> str:
        """What the service is counted in."""
        return UNIT_NAMES[allowance.service]


class NewAllowanceBody(Body):
    """An allowance for a draft."""

    name = serializers.CharField(max_length=80)
    service = ServiceField()
    granted_units = Units()
    zones = serializers.ListField(
        child=InReach(Zone.objects.all(), verb=Verb.ADMINISTER), max_length=100, required=False, default=list
    )
    rollover_cap_units = Units(default=0, help_text="At most so much is carried into the next cycle.")
    priority = serializers.IntegerField(min_value=1, max_value=1000, default=100, help_text="Lower is drawn first.")


class RateSerializer(serializers.ModelSerializer):
    """Rounding and overage price of a service in a zone; prices in millionths of the currency."""

    service = ServiceField()
    unit = serializers.SerializerMethodField()

    class Meta:
        model = Rate
        fields = [
            "id",
            "version",
            "service",
            "unit",
            "zone",
            "increment_units",
            "minimum_units",
            "overage_price_micros",
            "overage_block_units",
        ]

    def get_unit(self, rate: Rate) -> str:
        """What the service is counted in."""
        return UNIT_NAMES[rate.service]


class RateBody(Body):
    """A rate for a draft."""

    service = ServiceField()
    zone = InReach(Zone.objects.all(), verb=Verb.ADMINISTER)
    increment_units = Units(min_value=1, default=1, help_text="Usage is rounded up to whole increments.")
    minimum_units = Units(default=0)
    overage_price_micros = Units(max_value=contracts.PRICE_MOST_MICROS, help_text="Price of one block.")
    overage_block_units = Units(min_value=1, default=1, help_text="Units in the block that the price is for.")


class Versions(mixins.RetrieveModelMixin, Endpoint):
    """Contract versions: terms are added to a draft, and published once."""

    tag = "Contracts"
    summaries = {"retrieve": "Read a contract version"}
    queryset = ContractVersion.objects.order_by()
    serializer_class = VersionSerializer
    verbs = OPERATORS_PART

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """Drafts are the operator's own."""
        return visible_versions(rows, self.scope, verb)

    @extend_schema(responses=AllowanceSerializer(many=True))
    @action(detail=True, methods=["get"])
    def allowances(self, request, pk: int) -> Response:
        """List the allowances of a version."""
        return self.page(self.get_object().allowances.prefetch_related("zones"), AllowanceSerializer)

    @extend_schema(
        request=NewAllowanceBody,
        responses={201: AllowanceSerializer},
        examples=[
            OpenApiExample(
                "500 GiB at home",
                value={"name": "Data", "service": "data", "granted_units": 536870912000, "zones": [1]},
                request_only=True,
            )
        ],
    )
    @allowances.mapping.post
    def add_allowance(self, request, pk: int) -> Response:
        """Add an allowance to a draft."""
        version = self.get_object()
        values = self.body(NewAllowanceBody)
        return self.made(contracts.add_allowance(version=version, **values, **self.write_context), AllowanceSerializer)

    @extend_schema(responses=RateSerializer(many=True))
    @action(detail=True, methods=["get"])
    def rates(self, request, pk: int) -> Response:
        """List the rates of a version."""
        return self.page(self.get_object().rates.all(), RateSerializer)

    @extend_schema(request=RateBody, responses=RateSerializer)
    @rates.mapping.put
    def set_rate(self, request, pk: int) -> Response:
        """Set the rate of a service in a zone.

        In a draft; the rate that stood there is replaced.
        """
        version = self.get_object()
        rate = contracts.set_rate(version=version, **self.body(RateBody), **self.write_context)
        return self.shown(rate, RateSerializer)

    @extend_schema(responses=ExchangeRateSerializer(many=True))
    @action(detail=True, methods=["get"], url_path="exchange-rates")
    def exchange_rates(self, request, pk: int) -> Response:
        """List the exchange rates of a version."""
        return self.page(self.get_object().exchange_rates.all(), ExchangeRateSerializer)

    @extend_schema(request=ExchangeRateBody, responses=ExchangeRateSerializer)
    @exchange_rates.mapping.put
    def set_exchange_rate(self, request, pk: int) -> Response:
        """Set the rate at which one service is exchanged for another.

        In a draft; the rate that stood there is replaced.
        """
        version = self.get_object()
        rate = exchange.set_rate(version=version, **self.body(ExchangeRateBody), **self.write_context)
        return self.shown(rate, ExchangeRateSerializer)

    @extend_schema(request=None, responses=VersionSerializer)
    @action(detail=True, methods=["post"])
    def publish(self, request, pk: int) -> Response:
        """Publish a draft.

        It never changes again, holds from its `effective_at` on, and what is due by now is granted.
        """
        return self.shown(contracts.publish_version(version=self.get_object(), **self.write_context))


class Allowances(Endpoint):
    """Allowances of drafts, to be taken out again."""

    tag = "Contracts"
    queryset = Allowance.objects.select_related("version__contract")
    serializer_class = AllowanceSerializer
    verbs = OPERATORS_PART

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Take an allowance out of a draft."""
        contracts.remove_allowance(allowance=self.get_object(), **self.write_context)
        return Response(status=204)
