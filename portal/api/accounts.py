"""Accounts: the tree, what each has left, and what has been used below it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances import hierarchy
from balances.models import Account
from balances.models.accounts import AccountKind, DrawAbove
from balances.selectors.overview import Fill, ServiceOverview, services_of
from balances.selectors.terms import Progress, Terms, progress_of, snapshot, terms_at
from balances.selectors.tiers import Path, paths_of
from balances.units import UNIT_NAMES
from portal.api.endpoints import Endpoint
from portal.api.values import Body, IdFilter, InReach, ServiceField

#: What an account may be that is added; the enterprise itself has its own already.
NEW_KINDS = [choice for choice in AccountKind.choices if choice[0] != AccountKind.ENTERPRISE]


class AccountSerializer(serializers.ModelSerializer):
    """A node of the enterprise's tree, which can hold buckets and pay."""

    class Meta:
        model = Account
        fields = [
            "id",
            "enterprise",
            "parent",
            "level",
            "code",
            "name",
            "kind",
            "draw_above",
            "created_at",
            "closed_at",
        ]


class NewAccountBody(Body):
    """An account to be hung below another one."""

    parent = InReach(Account.objects.all())
    code = serializers.CharField(max_length=40, help_text="Unique in the enterprise; files refer to it.")
    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(
        choices=NEW_KINDS,
        default=AccountKind.COST_CENTRE,
    )
    draw_above = serializers.ChoiceField(
        choices=DrawAbove.choices,
        default=DrawAbove.ALWAYS,
        help_text="Whether usage below it may draw on buckets above it.",
    )


class AccountChangeBody(Body):
    """What of an account may be changed in place."""

    name = serializers.CharField(max_length=120, required=False)
    draw_above = serializers.ChoiceField(choices=DrawAbove.choices, required=False)


class MoveBody(Body):
    """Where an account is to hang."""

    new_parent = InReach(Account.objects.all())


class PoolSerializer(serializers.Serializer):
    """Buckets of one allowance, added up."""

    name = serializers.CharField()
    owner = serializers.IntegerField(
        source="owner.id", allow_null=True, default=None, help_text="Set where it lies above: drawn on, not held."
    )
    granted_units = serializers.IntegerField(source="held_units")
    remaining_units = serializers.IntegerField()
    reserved_units = serializers.IntegerField()
    used_units = serializers.IntegerField()


class ServiceBalanceSerializer(serializers.Serializer):
    """One service: what there is, and what the account and all below it used in the cycle."""

    service = ServiceField()
    unit = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=list(Fill), source="fill")
    is_shared = serializers.BooleanField(help_text="Nothing is held here: the figures are those of pools above.")
    granted_units = serializers.IntegerField(source="held_units", help_text="What there was to use in the cycle.")
    remaining_units = serializers.IntegerField()
    reserved_units = serializers.IntegerField()
    used_units = serializers.IntegerField(source="usage.used_units", help_text="By the account and all below it.")
    overage_units = serializers.IntegerField(source="usage.overage_units", help_text="The part beyond allowances.")
    amount_micros = serializers.IntegerField(source="usage.amount_micros", help_text="Millionths of the currency.")
    runs_out_at = serializers.DateTimeField(
        source="estimate.runs_out_at",
        allow_null=True,
        help_text="At the pace of the last days; null: not in the cycle.",
    )
    pools = PoolSerializer(many=True)

    def get_unit(self, overview: ServiceOverview) -> str:
        """What the service is counted in."""
        return UNIT_NAMES[overview.service]


class CycleSerializer(serializers.Serializer):
    """A billing cycle; the end is not part of it."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()


class BalancesSerializer(serializers.Serializer):
    """What an account has left, as of one instant."""

    account = serializers.IntegerField(source="account.id")
    as_of = serializers.DateTimeField(source="progress.as_of", help_text="When this was read.")
    charge_sequence = serializers.IntegerField(source="progress.sequence", help_text="Rises with every change.")
    charged_at = serializers.DateTimeField(source="progress.charged_at", allow_null=True)
    cycle = CycleSerializer(source="terms.cycle", allow_null=True, help_text="Null without a contract in force.")
    currency = serializers.CharField(source="terms.currency")
    services = ServiceBalanceSerializer(many=True)


@dataclass(frozen=True, slots=True)
class Balances:
    """An account's figures, read in one snapshot."""

    account: Account
    terms: Terms
    progress: Progress
    services: list[ServiceOverview]


class AccountFilters(django_filters.FilterSet):
    """Accounts by where they hang and what they are."""

    enterprise = IdFilter(field_name="enterprise_id")
    parent = IdFilter(field_name="parent_id")
    code = django_filters.CharFilter()
    kind = django_filters.ChoiceFilter(choices=AccountKind.choices)
    is_closed = django_filters.BooleanFilter(field_name="closed_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Account
        fields: list[str] = []


class TierSerializer(serializers.Serializer):
    """A place on the way up: what it has, and what it would give."""

    name = serializers.CharField(source="tier.name")
    available_units = serializers.IntegerField(source="tier.available_units")
    room_units = serializers.IntegerField(
        source="tier.room_units", allow_null=True, help_text="What its cap still lets from above; null: no cap."
    )
    may_draw_above = serializers.BooleanField(source="tier.may_draw_above")
    given_units = serializers.IntegerField()


class DrawingSerializer(serializers.Serializer):
    """One service: its tiers from the account up, how much they give together, and who stops it."""

    service = ServiceField()
    tiers = serializers.SerializerMethodField()
    usable_units = serializers.IntegerField(source="reach.units")
    stopped_by = serializers.CharField(source="stopper", help_text="Name of the tier; empty: nothing is left then.")
    goes_on_unseen = serializers.BooleanField(help_text="Accounts above lie outside the caller's reach.")

    @extend_schema_field(TierSerializer(many=True))
    def get_tiers(self, path: Path) -> list[dict]:
        """Nearest first."""
        steps = [{"tier": tier, "given_units": given} for tier, given in path.steps]
        return list(TierSerializer(steps, many=True).data)


class Accounts(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Accounts in reach."""

    tag = "Accounts"
    summaries = {"list": "List accounts", "retrieve": "Read an account"}
    queryset = Account.objects.all()
    serializer_class = AccountSerializer
    filterset_class = AccountFilters

    @extend_schema(
        request=NewAccountBody,
        responses={201: AccountSerializer},
        examples=[
            OpenApiExample(
                "A cost centre",
                value={"parent": 12, "code": "N-SALES", "name": "North sales", "kind": "cost_centre"},
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Add an account below another one."""
        return self.made(hierarchy.add_account(**self.body(NewAccountBody), **self.write_context))

    @extend_schema(request=AccountChangeBody, responses=AccountSerializer)
    def partial_update(self, request, pk: int) -> Response:
        """Rename an account, or say whether it draws on what lies above.

        Both in one request are both done, or neither.
        """
        account = self.get_object()
        changes = self.body(AccountChangeBody)
        with self.all_or_nothing():
            if "name" in changes:
                account = hierarchy.rename_account(account=account, name=changes["name"], **self.write_context)
            if "draw_above" in changes:
                account = hierarchy.set_draw_above(
                    account=account, draw_above=changes["draw_above"], **self.write_context
                )
        return self.shown(account)

    @extend_schema(request=MoveBody, responses=AccountSerializer)
    @action(detail=True, methods=["post"])
    def move(self, request, pk: int) -> Response:
        """Hang an account, with all below it, under another one from now on.

        Usage of an earlier time keeps following the old place.
        """
        account = self.get_object()
        return self.shown(hierarchy.move_account(account=account, **self.body(MoveBody), **self.write_context))

    @extend_schema(request=None, responses=AccountSerializer)
    @action(detail=True, methods=["post"])
    def close(self, request, pk: int) -> Response:
        """Take an account out of use; its history stays."""
        return self.shown(hierarchy.close_account(account=self.get_object(), **self.write_context))

    @extend_schema(responses=BalancesSerializer)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def balances(self, request, pk: int) -> Response:
        """What is left of each service, and what was used in this cycle."""
        with snapshot():
            account = self.get_object()
            progress = progress_of(account.enterprise_id)
            now: datetime = self.now()
            terms = terms_at(account.enterprise_id, now)
            services = services_of(self.scope, account, terms, now)
        return self.shown(Balances(account, terms, progress, services), BalancesSerializer)

    @extend_schema(responses=DrawingSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def drawing(self, request, pk: int) -> Response:
        """How far usage of an account goes, tier by tier, before overage begins, and which tier stops it."""
        account = self.get_object()
        now = self.now()
        paths = paths_of(self.scope, account, terms_at(account.enterprise_id, now), now)
        return Response(self._data(paths, DrawingSerializer, many=True))
