"""One's own charges over REST: those of both payers, and one with all that explains it, both halves of a fork."""

from __future__ import annotations

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances.models import ChargeLine, UsageRecord
from balances.models.counters import Payer
from balances.selectors import mine
from balances.selectors.mine import MyCharge
from balances.units import UNIT_NAMES
from portal.api.me_rules import OwnRules
from portal.api.values import Instant, ServiceField
from portal.charging import reasons
from portal.people import oneself

MOST = 500


class MyChargeSerializer(serializers.Serializer):
    """A record of use of one's own, with what one payer has of it and why."""

    id = serializers.IntegerField(source="usage.id")
    enterprise = serializers.IntegerField(source="usage.enterprise_id")
    line = serializers.IntegerField(source="usage.line_id")
    payer = serializers.SerializerMethodField(help_text="company, or me.")
    service = ServiceField(source="usage.service")
    unit = serializers.SerializerMethodField()
    zone = serializers.CharField(source="usage.zone.code")
    used_at = serializers.DateTimeField(source="usage.used_at")
    ended_at = serializers.DateTimeField(source="usage.ended_at", allow_null=True)
    charged_at = serializers.DateTimeField(source="usage.charged_at")
    units = serializers.IntegerField(help_text="Granted.")
    refused_units = serializers.IntegerField()
    open_units = serializers.IntegerField(help_text="Of `units`: granted on credit, and not paid yet.")
    covered_units = serializers.IntegerField(help_text="Of `units`: drawn from allowances of the payer.")
    amount_micros = serializers.IntegerField(source="micros", help_text="What its payer was charged.")
    why = serializers.SerializerMethodField(help_text="What decided who pays, in a sentence.")

    def get_payer(self, charge: MyCharge) -> str:
        """Who pays."""
        return "me" if charge.is_personal else "company"

    def get_unit(self, charge: MyCharge) -> str:
        """What the service is counted in."""
        return UNIT_NAMES[charge.usage.service]

    def get_why(self, charge: MyCharge) -> str:
        """With the rule's name and place."""
        return reasons.why(charge.reasons, self.context["names"])


class MyChargesSerializer(serializers.Serializer):
    """Charges of one's own, newest first."""

    results = MyChargeSerializer(many=True)


class MyChargesQuery(serializers.Serializer):
    """Which charges to list."""

    payer = serializers.ChoiceField(choices=["company", "me"], required=False)
    service = ServiceField(required=False)
    from_at = Instant(required=False, help_text="Used at or after.")
    until_at = Instant(required=False, help_text="Used before; ask on with the last one's time.")
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=MOST)


class MyOpenUsageSerializer(serializers.Serializer):
    """Usage that nobody paid when it was recorded."""

    usage_id = serializers.IntegerField()
    service = ServiceField()
    used_at = serializers.DateTimeField(source="starts_at")
    units = serializers.IntegerField()
    reason = serializers.CharField()
    state = serializers.CharField()
    amount_micros = serializers.IntegerField(allow_null=True)


class MyStretchSerializer(serializers.Serializer):
    """A stretch of what one payer has."""

    starts_at = serializers.DateTimeField()
    units = serializers.IntegerField(help_text="Granted.")
    refused_units = serializers.IntegerField()
    amount_micros = serializers.SerializerMethodField(help_text="When it was charged; usage on credit is in `open`.")
    price_micros = serializers.IntegerField(
        source="personal_rate.price_micros", default=None, allow_null=True, help_text="By your tariff, for a block."
    )
    block_units = serializers.IntegerField(source="personal_rate.block_units", default=None, allow_null=True)
    reasons = serializers.SerializerMethodField(help_text="As codes.")
    explanation = serializers.SerializerMethodField(help_text="The same as sentences.")

    def get_amount_micros(self, line: ChargeLine) -> int:
        """Of the stretch's payer."""
        return line.personal_micros if line.payer == Payer.PERSONAL else line.amount_micros

    def get_reasons(self, line: ChargeLine) -> list[str]:
        """Codes, with an argument after a colon where there is one."""
        return line.reasons.split()

    def get_explanation(self, line: ChargeLine) -> list[str]:
        """Sentences in the same order."""
        return reasons.words(line.reasons, self.context["names"])


class MyHalfSerializer(serializers.Serializer):
    """What one payer has of an event, with the record that says so."""

    charge = MyChargeSerializer()
    visited_network = serializers.CharField(source="charge.usage.visited_network")
    other_party = serializers.CharField(source="charge.usage.other_party")
    imei = serializers.CharField(source="charge.usage.imei")
    attributes = serializers.JSONField(source="charge.usage.attributes")
    lines = MyStretchSerializer(many=True)
    open = MyOpenUsageSerializer(many=True, help_text="What was on credit or refused, and what became of it.")


class ExplainedChargeSerializer(serializers.Serializer):
    """An event of one's own; two halves where both payers have a part, the company's first."""

    halves = MyHalfSerializer(many=True)


class OwnCharges(OwnRules):
    """Charges; `Me` is the whole."""

    @extend_schema(parameters=[MyChargesQuery], responses=MyChargesSerializer)
    @action(detail=False)
    def charges(self, request) -> Response:
        """List your own charges.

        What the company paid of your lines, and, for those who have proved who they are, what they paid themselves.
        """
        query = self.query(MyChargesQuery)
        people = oneself(request.user, self.scope)
        payers = {"company": Payer.CORPORATE, "me": Payer.PERSONAL}
        found = mine.charges_of(
            self.scope, [one.person.id for one in people], now=self.now(), payer=payers.get(query.get("payer", "")),
            service=query.get("service"), from_at=query.get("from_at"), until_at=query.get("until_at"),
            most=query["limit"],
        )  # fmt: skip
        context = {**self.get_serializer_context(), "names": reasons.names_of(charge.reasons for charge in found)}
        return Response(MyChargesSerializer({"results": found}, context=context).data)

    @extend_schema(operation_id="me_charge_retrieve", responses=ExplainedChargeSerializer)
    @action(detail=False, url_path="charges/<int:pk>")
    def charge(self, request, pk: int) -> Response:
        """Explain a charge of yours.

        Who pays what of it, and why; both halves where it was split.
        """
        try:
            halves = mine.explained(self.scope, [one.person.id for one in oneself(request.user, self.scope)], pk)
        except UsageRecord.DoesNotExist:
            raise Http404("No such charge of yours.") from None
        names = reasons.names_of(line.reasons for half in halves for line in half.lines)
        context = {**self.get_serializer_context(), "names": names}
        return Response(ExplainedChargeSerializer({"halves": halves}, context=context).data)
