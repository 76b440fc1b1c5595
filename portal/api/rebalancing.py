"""Proposals for rebalancing: who will run out, who will not use what they have, and the transfers that mend it."""

from __future__ import annotations

from http import HTTPStatus

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from balances import rebalance
from balances.models import Account
from balances.pace import Outlook
from balances.rebalancing import Stand, Wanted
from balances.selectors.rebalancing import plan_below
from balances.selectors.terms import terms_at
from portal.api.endpoints import Endpoint
from portal.api.idempotency import IDEMPOTENCY_KEY, key_of
from portal.api.offers import InForceQuery, TradeSerializer
from portal.api.values import Body, InReach, ServiceField, Units

OUTLOOKS = [(str(outlook), str(outlook)) for outlook in Outlook]


class StandingSerializer(serializers.Serializer):
    """How an account stands until the end of the cycle. Needs are null where too few days are known."""

    account = serializers.IntegerField(source="party.account_id")
    held_units = serializers.IntegerField(source="party.held_units", help_text="Free, with it and all below it.")
    expected_units = serializers.IntegerField(source="need.expected_units", default=None, help_text="Need, P50.")
    likely_units = serializers.IntegerField(source="need.likely_units", default=None, help_text="Need, P75.")
    cautious_units = serializers.IntegerField(source="need.cautious_units", default=None, help_text="Need, P90.")
    stand = serializers.ChoiceField(choices=[(str(stand), str(stand)) for stand in Stand])
    short_units = serializers.IntegerField(help_text="Missing to the likely need.")
    spare_units = serializers.IntegerField(help_text="Beyond the cautious need and the floor, in whole lots.")


class SideSerializer(serializers.Serializer):
    """What one side holds before and after, and until when it lasts at its pace (null: the cycle, or not known)."""

    held_before = serializers.IntegerField()
    held_after = serializers.IntegerField()
    outlook_before = serializers.ChoiceField(choices=OUTLOOKS, source="lasts_before.outlook")
    outlook_after = serializers.ChoiceField(choices=OUTLOOKS, source="lasts_after.outlook")
    runs_out_before = serializers.DateTimeField(source="lasts_before.runs_out_at", allow_null=True)
    runs_out_after = serializers.DateTimeField(source="lasts_after.runs_out_at", allow_null=True)


class ProposedSerializer(serializers.Serializer):
    """One transfer; send `bucket`, `to` and `units` back to carry it out."""

    bucket = serializers.IntegerField(source="bucket_id")
    account = serializers.IntegerField(source="from_id", help_text="Who gives.")
    to = serializers.IntegerField(source="to_id")
    units = serializers.IntegerField()
    giver = SideSerializer()
    receiver = SideSerializer()


class PlanSerializer(serializers.Serializer):
    """How all stand and what would mend it, in order."""

    standings = StandingSerializer(many=True)
    transfers = ProposedSerializer(many=True)


class WantedBody(Body):
    """A transfer as it was proposed."""

    bucket = serializers.IntegerField(min_value=1)
    to = serializers.IntegerField(min_value=1)
    units = Units(min_value=1)


class CarryOutBody(Body):
    """Transfers to be carried out, all or none."""

    account = InReach(Account.objects.all(), help_text="The account above both sides of each, which you manage.")
    service = ServiceField()
    transfers = WantedBody(many=True, allow_empty=False)


class Proposals(Endpoint):
    """Proposals for the accounts below one. They are reckoned when read, and kept nowhere."""

    tag = "Trading"
    serializer_class = PlanSerializer
    queryset = Account.objects.all()
    pagination_class = None

    @extend_schema(parameters=[InForceQuery], responses={200: PlanSerializer}, filters=False)
    def list(self, request) -> Response:
        """Read the proposals for a service."""
        wish = self.query(InForceQuery)
        now = self.now()
        terms = terms_at(wish["account"].enterprise_id, now)
        return self.shown(plan_below(wish["account"], wish["service"], terms, now), PlanSerializer)

    @extend_schema(request=CarryOutBody, responses={201: TradeSerializer(many=True)}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request) -> Response:
        """Carry out one proposed transfer, or several: all or none.

        Reckoned anew at this moment; refused where a receiver no longer misses so much, or a giver no longer has it
        to spare.
        """
        values = self.body(CarryOutBody)
        wanted = [Wanted(row["bucket"], row["to"], row["units"]) for row in values.pop("transfers")]
        trades = rebalance.carry_out(**values, transfers=wanted, key=key_of(request), **self.write_context)
        return Response(self._data(trades, TradeSerializer, many=True), status=HTTPStatus.CREATED)
