"""Where the lines of accounts are at home: the clock `home` of rules of who pays, and its public holidays."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances.models import Account
from balances.scope import Verb
from policies.models import AccountHome
from policies.steering import homes
from portal.api.endpoints import Endpoint
from portal.api.steering import InForceSteeringQuery
from portal.api.values import Body, IdFilter, InReach, Instant


class AccountHomeSerializer(serializers.ModelSerializer):
    """A home of an account from a time of use on. `removed_at`: charges after it know nothing of it."""

    class Meta:
        model = AccountHome
        fields = [
            "id", "enterprise", "account", "time_zone", "holiday_calendar", "effective_at", "added_at", "added_by",
            "removed_at",
        ]  # fmt: skip


class NewAccountHomeBody(Body):
    """A home to be set; it may begin in the past, for usage that is charged later."""

    account = InReach(Account.objects.all())
    time_zone = serializers.CharField(
        max_length=40, allow_blank=True, help_text="Europe/Lisbon; empty: at home where the account above is."
    )
    holiday_calendar = serializers.CharField(
        max_length=8, required=False, default="", allow_blank=True,
        help_text="PT, or a part of a country, DE-BY; empty: the country of the zone.",
    )  # fmt: skip
    effective_at = Instant(required=False, help_text="A time of use; without one: now.")


class HomeInForceSerializer(serializers.Serializer):
    """Where lines of an account are at home. `account`: whose home it is; null: above the caller's reach, or none."""

    time_zone = serializers.CharField()
    holiday_calendar = serializers.CharField(help_text="Empty: the enterprise's.")
    account = serializers.IntegerField(allow_null=True)
    is_contracts = serializers.BooleanField(help_text="No account has a home: the contract's clock holds.")
    since = serializers.DateTimeField(allow_null=True)


class AccountHomeFilters(django_filters.FilterSet):
    """Homes by account."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    is_removed = django_filters.BooleanFilter(field_name="removed_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = AccountHome
        fields: list[str] = []


class AccountHomes(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Homes of accounts in reach."""

    tag = "Who pays"
    summaries = {"list": "List homes of accounts", "retrieve": "Read a home of an account"}
    queryset = AccountHome.objects.select_related("account").order_by("account_id", "-effective_at", "-id")
    serializer_class = AccountHomeSerializer
    filterset_class = AccountHomeFilters

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """Read by account; changed by managers of the whole enterprise."""
        if verb == Verb.VIEW:
            return super().within(rows, verb)
        return rows.filter(enterprise_id__in=self.scope.whole_enterprise_ids(verb))

    @extend_schema(
        request=NewAccountHomeBody,
        responses={201: AccountHomeSerializer},
        examples=[
            OpenApiExample(
                "A site in Munich",
                value={"account": 7, "time_zone": "Europe/Berlin", "holiday_calendar": "DE-BY"},
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Say where an account and all below are at home, from a time of use on, for charges from now on.

        By managers of the whole enterprise: rules that are fixed above are read off these clocks, too.
        """
        values = self.body(NewAccountHomeBody)
        if not homes.may_set(self.scope, values["account"]):
            raise PermissionDenied("Only managers of the whole enterprise say where lines are at home.")
        return self.made(homes.set_home(**values, **self.write_context))

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Take a home back, as a manager of the whole enterprise: charges from now on know nothing of it."""
        homes.remove(home=self.get_object(), **self.write_context)
        return Response(status=204)

    @extend_schema(parameters=[InForceSteeringQuery], responses={200: HomeInForceSerializer})
    @action(detail=False, methods=["get"], url_path="in-force", filterset_class=None, pagination_class=None)
    def in_force(self, request) -> Response:
        """Read where lines of an account are at home, and whose home that is."""
        values = self.query(InForceSteeringQuery)
        found = homes.standing_at(values["account"], values.get("at") or self.now())
        whose = found.account
        if whose is not None and not Account.objects.within(self.scope).filter(id=whose.id).exists():
            whose = None
        shown = {
            "time_zone": found.time_zone, "holiday_calendar": found.holiday_calendar, "since": found.since,
            "account": whose.id if whose else None, "is_contracts": found.account is None,
        }  # fmt: skip
        return self.shown(shown, HomeInForceSerializer)
