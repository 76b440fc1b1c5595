"""Totals of usage that people paid themselves: what managers learn of it, and no more."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from balances.models import Account, Counter, Line
from balances.selectors import personal
from balances.selectors.personal import OfCycle, Total
from balances.units import UNIT_NAMES
from portal.api.endpoints import Endpoint
from portal.api.usage import OwnerQuery
from portal.api.values import Instant, ServiceField


class TotalsQuery(OwnerQuery):
    """Whose totals, and of which cycle."""

    cycle_start = Instant(required=False, help_text="When the cycle began; the last three that are over, unless given.")


class TotalSerializer(serializers.Serializer):
    """About how much of a service."""

    service = ServiceField()
    unit = serializers.SerializerMethodField()
    units = serializers.IntegerField(help_text="To two significant digits.")
    records = serializers.IntegerField(help_text="To the next five.")

    def get_unit(self, total: Total) -> str:
        """What the service is counted in."""
        return UNIT_NAMES[total.service]


class LineTotalsSerializer(serializers.Serializer):
    """A line of the account that may be shown."""

    line = serializers.IntegerField()
    totals = TotalSerializer(many=True)


class CycleTotalsSerializer(serializers.Serializer):
    """A cycle that is over. What is not listed is nothing, or is withheld: the two are not told apart."""

    cycle_start = serializers.DateTimeField()
    cycle_end = serializers.DateTimeField()
    totals = TotalSerializer(many=True)
    lines = LineTotalsSerializer(many=True)


class PersonalTotalsSerializer(serializers.Serializer):
    """Totals, and why they are no finer."""

    why = serializers.CharField()
    results = CycleTotalsSerializer(many=True)


class PersonalTotals(Endpoint):
    """What people below an account paid themselves."""

    tag = "Usage"
    queryset = Counter.objects.none()
    serializer_class = PersonalTotalsSerializer
    filter_backends = ()
    pagination_class = None

    @extend_schema(parameters=[TotalsQuery], responses=PersonalTotalsSerializer)
    def list(self, request) -> Response:
        """Read about how much people paid themselves.

        Only of cycles that are over; nothing of fewer than five records, and no line or account that could be worked
        out from the others.
        """
        query = self.query(TotalsQuery)
        if "account" in query:
            account = self.find(Account.objects.all(), pk=query["account"])
            enterprise_id = account.enterprise_id
        else:
            line = self.find(Line.objects.all(), pk=query["line"])
            self.find(Account.objects.all(), pk=line.account_id)  # its user reads their own, and not totals
            enterprise_id = line.enterprise_id
        if "cycle_start" in query:
            cycle = personal.cycle_from(enterprise_id, query["cycle_start"], self.now())
            if cycle is None:
                raise serializers.ValidationError({"cycle_start": ["No cycle that is over began then."]}, code="cycle")
            cycles = [cycle]
        else:
            cycles = personal.cycles_over(enterprise_id, self.now())
        read = (
            [personal.of_account(self.scope, account, cycle) for cycle in cycles]
            if "account" in query
            else [personal.of_line(self.scope, line, cycle) for cycle in cycles]
        )
        return self.shown({"why": personal.WHY, "results": [_as_data(one) for one in read]})


def _as_data(one: OfCycle) -> dict[str, Any]:
    lines = [{"line": line.id, "totals": totals} for line, totals in one.lines]
    return {
        "cycle_start": one.cycle.starts_at, "cycle_end": one.cycle.ends_at, "totals": one.totals, "lines": lines,
    }  # fmt: skip
