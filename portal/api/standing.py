"""Standing transfers: so many units from one account to another in each cycle, and what came of each run."""

from __future__ import annotations

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances import standing
from balances.models import Account, StandingRun, StandingTransfer
from balances.models.trading import Shortage, StandingState
from balances.scope import Verb
from portal.api.endpoints import Endpoint
from portal.api.idempotency import IDEMPOTENCY_KEY, key_of
from portal.api.values import Body, IdFilter, InReach, Instant, ServiceField, ServiceFilter, Units


class StandingSerializer(serializers.ModelSerializer):
    """So many units in each cycle; seen by both sides."""

    service = ServiceField()
    from_name = serializers.CharField(source="from_account.name")
    to_name = serializers.CharField(source="to_account.name")

    class Meta:
        model = StandingTransfer
        fields = [
            "id", "enterprise", "from_account", "from_name", "to_account", "to_name", "service", "units", "day",
            "on_shortage", "next_at", "until", "state", "created_at", "ended_at",
        ]  # fmt: skip


class RunSerializer(serializers.ModelSerializer):
    """What came of a standing transfer in a cycle."""

    trades = serializers.PrimaryKeyRelatedField(many=True, read_only=True)

    class Meta:
        model = StandingRun
        fields = ["id", "standing", "cycle_start", "outcome", "units", "why", "trades", "due_at", "at"]


class StandingBody(Body):
    """Units of a service to be given in each cycle from the next due time on."""

    account = InReach(Account.objects.all(), help_text="Who gives.")
    to = serializers.CharField(max_length=40, help_text="The other account's code.")
    service = ServiceField()
    units = Units(min_value=1)
    day = serializers.IntegerField(
        min_value=1, max_value=28, default=1, help_text="Civil day of the cycle on which it is due; 1: when it begins."
    )
    on_shortage = serializers.ChoiceField(
        choices=Shortage.choices,
        default=Shortage.SKIP,
        help_text="Where the giver has less: nothing, or what is there.",
    )
    until = Instant(required=False, allow_null=True, help_text="No run is due at or after it. None: until ended.")


class StandingFilters(django_filters.FilterSet):
    """Standing transfers by side, service and state."""

    enterprise = IdFilter(field_name="enterprise_id")
    from_account = IdFilter(field_name="from_account_id")
    to_account = IdFilter(field_name="to_account_id")
    service = ServiceFilter()
    state = django_filters.ChoiceFilter(choices=StandingState.choices)

    class Meta:
        model = StandingTransfer
        fields: list[str] = []


class StandingTransfers(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Standing transfers of accounts in reach, both ways."""

    tag = "Trading"
    summaries = {"list": "List standing transfers", "retrieve": "Read a standing transfer"}
    queryset = StandingTransfer.objects.select_related("from_account", "to_account")
    serializer_class = StandingSerializer
    filterset_class = StandingFilters

    @extend_schema(request=StandingBody, responses={201: StandingSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request) -> Response:
        """Give so many units in each cycle."""
        values = self.body(StandingBody)
        code, enterprise_id = values.pop("to"), values["account"].enterprise_id
        other = Account.objects.filter(enterprise_id=enterprise_id, code=code, closed_at=None).first()
        if other is None:
            raise serializers.ValidationError({"to": ["This enterprise has no open account with this code."]})
        return self.made(standing.make(**values, to_account=other, key=key_of(request), **self.write_context))

    @extend_schema(request=None, responses={200: StandingSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def pause(self, request, pk: int) -> Response:
        """Run no more until it is resumed."""
        return self.shown(standing.pause(standing=self._own(), **self.write_context))

    @extend_schema(request=None, responses={200: StandingSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def resume(self, request, pk: int) -> Response:
        """Go on with the next due time; what fell into the pause is not made up for."""
        return self.shown(standing.resume(standing=self._own(), **self.write_context))

    @extend_schema(request=None, responses={200: StandingSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def end(self, request, pk: int) -> Response:
        """End it for good."""
        return self.shown(standing.end(standing=self._own(), **self.write_context))

    @extend_schema(responses={200: RunSerializer(many=True)})
    @action(detail=True, methods=["get"], filterset_class=None)
    def runs(self, request, pk: int) -> Response:
        """List what came of it, cycle by cycle."""
        rows = StandingRun.objects.within(self.scope).filter(standing=self.get_object()).prefetch_related("trades")
        return self.page(rows.order_by("id"), RunSerializer)

    def _own(self) -> StandingTransfer:
        """The one of the address, for who manages the account that gives."""
        row = self.get_object()
        if not self.scope.allows(Verb.MANAGE, enterprise_id=row.enterprise_id, account_id=row.from_account_id):
            raise PermissionDenied("You do not manage the account that gives.")
        return row
