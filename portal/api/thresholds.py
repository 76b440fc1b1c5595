"""Thresholds on usage, and the crossings of them."""

from __future__ import annotations

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances import contracts
from balances.models import Account, Crossing, Line, Threshold
from balances.thresholds import PERCENT_MOST
from portal.api.endpoints import Endpoint
from portal.api.notices import NoticeSerializer
from portal.api.values import Body, IdFilter, InReach, InstantFilter, ServiceField, ServiceFilter, Units
from portal.notices import inbox, preferences


class ThresholdSerializer(serializers.ModelSerializer):
    """A mark on the usage of an account or a line in a cycle."""

    service = ServiceField()

    class Meta:
        model = Threshold
        fields = ["id", "enterprise", "account", "line", "service", "percent", "units", "created_at"]


class NewThresholdBody(Body):
    """A mark to be set: on an account or a line, in percent or in units."""

    account = InReach(Account.objects.all(), required=False, allow_null=True)
    line = InReach(Line.objects.all(), required=False, allow_null=True)
    service = ServiceField()
    percent = serializers.IntegerField(min_value=1, max_value=PERCENT_MOST, required=False, allow_null=True)
    units = Units(min_value=1, required=False, allow_null=True)


class OwnerFilters(django_filters.FilterSet):
    """What belongs to an account or a line, of a service."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    line = IdFilter(field_name="line_id")
    service = ServiceFilter()


class ThresholdFilters(OwnerFilters):
    """Thresholds by owner and service."""

    class Meta:
        model = Threshold
        fields: list[str] = []


class Thresholds(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Thresholds in reach."""

    tag = "Thresholds"
    summaries = {"list": "List thresholds", "retrieve": "Read a threshold"}
    queryset = Threshold.objects.all()
    serializer_class = ThresholdSerializer
    filterset_class = ThresholdFilters

    @extend_schema(
        request=NewThresholdBody,
        responses={201: ThresholdSerializer},
        examples=[
            OpenApiExample("80 %", value={"account": 12, "service": "data", "percent": 80}, request_only=True),
            OpenApiExample("5 GiB", value={"line": 77, "service": "data", "units": 5368709120}, request_only=True),
        ],
    )
    def create(self, request) -> Response:
        """Set a threshold.

        The same mark set again is the one that stands.
        """
        return self.made(contracts.set_threshold(**self.body(NewThresholdBody), **self.write_context))

    @extend_schema(request=None, responses={201: NoticeSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def fire(self, request, pk: int) -> Response:
        """Fire a threshold now, to see its notice: told to the caller alone, marked as a test, counted nowhere."""
        made = preferences.fire(threshold=self.get_object(), user=request.user, at=self.now())
        return self.made(inbox.notices(self.scope, request.user).get(id=made.id), NoticeSerializer)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Remove a threshold, with its crossings."""
        contracts.remove_threshold(threshold=self.get_object(), **self.write_context)
        return Response(status=204)


class CrossingSerializer(serializers.ModelSerializer):
    """A threshold that was reached; once a period."""

    service = ServiceField()

    class Meta:
        model = Crossing
        fields = [
            "id",
            "enterprise",
            "threshold",
            "account",
            "line",
            "service",
            "period_start",
            "level_units",
            "used_units",
            "base_units",
            "usage_id",
            "crossed_at",
            "recorded_at",
        ]


class CrossingFilters(OwnerFilters):
    """Crossings by owner, service and time."""

    threshold = IdFilter(field_name="threshold_id")
    since = InstantFilter(field_name="recorded_at", lookup_expr="gte", label="Recorded at or after.")

    class Meta:
        model = Crossing
        fields: list[str] = []


class Crossings(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Crossings in reach."""

    tag = "Thresholds"
    summaries = {"list": "List crossings", "retrieve": "Read a crossing"}
    queryset = Crossing.objects.all()
    serializer_class = CrossingSerializer
    filterset_class = CrossingFilters
