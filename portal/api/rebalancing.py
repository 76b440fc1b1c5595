"""Proposals for rebalancing: who will run out, who will not use what they have, and the transfers that mend it."""

from __future__ import annotations

from http import HTTPStatus

from drf_spectacular.utils import extend_schema, extend_schema_serializer
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


class BeforeRebalancingSerializer(serializers.Serializer):
    """How an account stands until the end of the cycle. Needs are null where too few days are known."""

    account = serializers.IntegerField(source="party.account_id")
    held_units = serializers.IntegerField(source="party.held_units", help_text="Free, with it and all below it.")
    expected_units = serializers.IntegerField(source="need.expected_units", default=None, help_text="Need, P50.")
    likely_units = serializers.IntegerField(source="need.likely_units", default=None, help_text="Need, P75.")
    cautious_units = serializers.IntegerField(source="need.cautious_units", default=None, help_text="Need, P90.")
    stand = serializers.ChoiceField(choices=[(str(stand), str(stand)) for stand in Stand])
    short_units = serializers.IntegerField(help_text="Missing to the likely need.")
    spare_units = serializers.IntegerField(help_text="Beyond the cautious need and the floor, in whole lots.")


class RebalancingSideSerializer(serializers.Serializer):
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
    giver = RebalancingSideSerializer()
    receiver = RebalancingSideSerializer()


@extend_schema_serializer(many=False)
class RebalancingPlanSerializer(serializers.Serializer):
    """How all stand, a page by account, and all that would mend it, in order."""

    standings = BeforeRebalancingSerializer(many=True)
    next_after = serializers.IntegerField(allow_null=True, help_text="`after` of the next page; null: no more.")
    transfers = ProposedSerializer(many=True, help_text="The same on every page.")


class PageQuery(InForceQuery):
    """Whose proposals, and which page of how all stand."""

    after = serializers.IntegerField(required=False, min_value=0, help_text="Accounts with higher ids alone.")
    limit = serializers.IntegerField(required=False, min_value=1, max_value=500, help_text="1 to 500; 50 unless given.")


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
    serializer_class = RebalancingPlanSerializer
    queryset = Account.objects.all()
    pagination_class = None

    @extend_schema(parameters=[PageQuery], responses={200: RebalancingPlanSerializer}, filters=False)
    def list(self, request) -> Response:
        """Read the proposals for a service.

        How the accounts stand comes in pages, by their ids; follow `next_after` until it is null.
        """
        wish = self.query(PageQuery)
        now, limit = self.now(), wish.get("limit", 50)
        terms = terms_at(wish["account"].enterprise_id, now)
        plan = plan_below(wish["account"], wish["service"], terms, now)
        rows = sorted(plan.standings, key=lambda standing: standing.party.account_id)
        rows = [row for row in rows if row.party.account_id > wish.get("after", 0)]
        page = {
            "standings": rows[:limit],
            "next_after": rows[limit - 1].party.account_id if len(rows) > limit else None,
            "transfers": plan.transfers,
        }
        return self.shown(page, RebalancingPlanSerializer)

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
