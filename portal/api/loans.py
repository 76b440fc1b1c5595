"""Loans between accounts of one enterprise: what is out, what came back, what is owed; back by hand, and forgiven."""

from __future__ import annotations

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances import loans
from balances.models import Bucket, Loan
from balances.models.trading import LoanState
from balances.scope import Verb
from portal.api.endpoints import Endpoint
from portal.api.idempotency import IDEMPOTENCY_KEY, key_of
from portal.api.values import Body, IdFilter, InReach, ServiceField, ServiceFilter, Units


class LoanSerializer(serializers.ModelSerializer):
    """Units that one account lent another; seen by both sides."""

    offer = serializers.IntegerField(source="trade.offer_id")
    service = ServiceField()
    lender_name = serializers.CharField(source="lender.name")
    borrower_name = serializers.CharField(source="borrower.name")
    owed_units = serializers.IntegerField(help_text="Has not come back and still should.")
    unused_units = serializers.IntegerField(source="bucket.remaining_units", help_text="Would come back now.")

    class Meta:
        model = Loan
        fields = [
            "id", "enterprise", "offer", "trade", "lender", "lender_name", "borrower", "borrower_name", "service",
            "units", "returned_units", "owed_units", "unused_units", "returns_at", "state", "created_at", "closed_at",
        ]  # fmt: skip


class RepayBody(Body):
    """How much to bring back, and out of what."""

    units = Units(min_value=1, required=False, allow_null=True, help_text="None: all that can be.")
    bucket = InReach(
        Bucket.objects.all(), required=False, allow_null=True, help_text="None: what is unused of the loan itself."
    )


class LoanFilters(django_filters.FilterSet):
    """Loans by side, service and state."""

    enterprise = IdFilter(field_name="enterprise_id")
    lender = IdFilter(field_name="lender_id")
    borrower = IdFilter(field_name="borrower_id")
    service = ServiceFilter()
    state = django_filters.ChoiceFilter(choices=LoanState.choices)

    class Meta:
        model = Loan
        fields: list[str] = []


class Loans(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Loans that accounts in reach gave or took. A loan is made by an offer with `returns_at`."""

    tag = "Trading"
    summaries = {"list": "List loans", "retrieve": "Read a loan"}
    queryset = Loan.objects.select_related("trade", "lender", "borrower", "bucket")
    serializer_class = LoanSerializer
    filterset_class = LoanFilters

    @extend_schema(request=RepayBody, responses={200: LoanSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def repay(self, request, pk: int) -> Response:
        """Bring units of a loan back early, or repay what was used, as the borrower."""
        found = self.get_object()
        self._need(found, found.borrower_id)
        values = self.body(RepayBody)
        return self.shown(loans.repay(loan=found, **values, key=key_of(request), **self.write_context))

    @extend_schema(request=None, responses={200: LoanSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def forgive(self, request, pk: int) -> Response:
        """Ask for nothing more of a loan that was due, as the lender."""
        found = self.get_object()
        self._need(found, found.lender_id)
        return self.shown(loans.forgive(loan=found, **self.write_context))

    def _need(self, loan: Loan, account_id: int) -> None:
        """Only who manages the account may speak for it."""
        if not self.scope.allows(Verb.MANAGE, enterprise_id=loan.enterprise_id, account_id=account_id):
            raise PermissionDenied("You do not manage the account that this is up to.")
