"""Caps on drawing from above."""

from __future__ import annotations

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.response import Response

from balances import draw_caps
from balances.models import Account, DrawCap, Line
from balances.selectors.terms import terms_at
from portal.api.endpoints import Endpoint
from portal.api.values import Body, IdFilter, InReach, InstantFilter, ServiceField, ServiceFilter, Units


class DrawCapSerializer(serializers.ModelSerializer):
    """At most so many units of a service a cycle, from buckets above an account, or of accounts for a line."""

    service = ServiceField()
    drawn_units = serializers.SerializerMethodField()

    class Meta:
        model = DrawCap
        fields = [
            "id",
            "enterprise",
            "account",
            "line",
            "service",
            "units",
            "drawn_units",
            "set_by",
            "set_at",
            "retired_at",
        ]

    def get_drawn_units(self, cap: DrawCap) -> int | None:
        """Units drawn from above in the cycle under way; null for a cap that stands no more, or without a cycle."""
        cycle = terms_at(cap.enterprise_id, self.context["view"].now()).cycle
        if cycle is None or cap.retired_at is not None:
            return None
        return draw_caps.used_now([cap], cycle.starts_at)[cap.id]


class NewDrawCapBody(Body):
    """A cap to be set: on an account or on a line."""

    account = InReach(Account.objects.all(), required=False, allow_null=True)
    line = InReach(Line.objects.all(), required=False, allow_null=True)
    service = ServiceField()
    units = Units(help_text="Zero: nothing from above.")


class DrawCapFilters(django_filters.FilterSet):
    """Caps by owner and service; those that stand, or those that stood at a moment."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    line = IdFilter(field_name="line_id")
    service = ServiceFilter()
    is_retired = django_filters.BooleanFilter(field_name="retired_at", lookup_expr="isnull", exclude=True)
    set_until = InstantFilter(field_name="set_at", lookup_expr="lte", label="Set at or before.")
    retired_after = InstantFilter(field_name="retired_at", lookup_expr="gt", label="Retired after.")

    class Meta:
        model = DrawCap
        fields: list[str] = []


class DrawCaps(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Caps in reach, those that stand and those that stood."""

    tag = "Buckets"
    summaries = {"list": "List draw caps", "retrieve": "Read a draw cap"}
    queryset = DrawCap.objects.all()
    serializer_class = DrawCapSerializer
    filterset_class = DrawCapFilters

    @extend_schema(
        request=NewDrawCapBody,
        responses={201: DrawCapSerializer},
        examples=[OpenApiExample("10 GiB", value={"account": 12, "service": "data", "units": 10737418240})],
    )
    def create(self, request) -> Response:
        """Set a draw cap.

        Another cap on the same owner and service succeeds the one that stands; what was drawn in the cycle goes on
        counting.
        """
        return self.made(draw_caps.set_cap(**self.body(NewDrawCapBody), **self.write_context))

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Remove a draw cap: its owner draws on what lies above without one again."""
        draw_caps.remove_cap(cap=self.get_object(), **self.write_context)
        return Response(status=204)
