"""One's own lines and rules over REST: who would pay for an event that one makes up, and accepting an account."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances.models import Device
from balances.scope import Verb
from balances.selectors import mine
from balances.selectors import payer as payers
from portal import acceptance, my_rules, steering_trials
from portal.api.me_lines import OwnLines
from portal.api.values import BIGINT_MOST, Body, Instant, ServiceField, Units
from portal.charging import reasons
from portal.charging.records import parse_canonical
from portal.charging.steering_trial import ForeseenLeg
from portal.people import oneself


class MyDeviceSerializer(serializers.ModelSerializer):
    """The device that the SIM is in."""

    class Meta:
        model = Device
        fields = ["imei", "model", "ownership", "device_type"]


class MyLineSerializer(serializers.Serializer):
    """A line that is or was one's own; its device while it is."""

    line = serializers.IntegerField(source="row.line_id")
    msisdn = serializers.CharField(source="row.line.msisdn")
    account_name = serializers.CharField(source="row.line.account.name")
    since = serializers.DateTimeField(source="row.during.lower", allow_null=True, help_text="Null: from the beginning.")
    until = serializers.DateTimeField(source="row.during.upper", allow_null=True)
    is_current = serializers.BooleanField()
    device = MyDeviceSerializer(allow_null=True)


class MyLinesSerializer(serializers.Serializer):
    """Lines of one's own, the latest first."""

    results = MyLineSerializer(many=True)


class MyRuleSerializer(serializers.Serializer):
    """A rule in words, and the account where it stands."""

    name = serializers.CharField()
    words = serializers.CharField(source="text")
    place = serializers.CharField()
    fixed = serializers.BooleanField(source="is_fixed")


class HeldRulesSerializer(serializers.Serializer):
    """What holds for the lines of an account now, in the order of asking."""

    account_name = serializers.CharField(source="account.name")
    lines = serializers.SerializerMethodField()
    rules = MyRuleSerializer(many=True)
    default = serializers.CharField(help_text="Who pays where no rule matches.")
    default_place = serializers.CharField(help_text="Where that is said; empty: nobody has said otherwise.")
    missing = serializers.CharField(help_text="What happens where the person cannot pay.")
    time_zone = serializers.CharField(help_text="Where the lines are at home: the clock of rules that name none.")

    def get_lines(self, held: my_rules.HeldRules) -> list[int]:
        """The lines that they are of."""
        return [line.id for line in held.lines]


class MyRulesSerializer(serializers.Serializer):
    """One entry an account that has lines of one's own."""

    results = HeldRulesSerializer(many=True)


class MyTrialBody(Body):
    """A made-up event of an own line, as a usage record would say it."""

    line = serializers.IntegerField(min_value=1, max_value=BIGINT_MOST)
    service = ServiceField()
    units = Units()
    started_at = Instant(help_text="Within the last 60 days or the next year; the line was yours then.")
    ended_at = Instant(required=False, allow_null=True)
    visited_network = serializers.CharField(
        max_length=8, required=False, default="", allow_blank=True, help_text="MCC, MCC and MNC, or a country: FR."
    )
    other_party = serializers.RegexField(r"^\+?[0-9]{0,20}$", required=False, default="", allow_blank=True)
    imei = serializers.RegexField(r"^[0-9]{0,15}$", required=False, default="", allow_blank=True)
    attributes = serializers.DictField(required=False, default=dict, help_text="Of the network's message.")


class MyTrialLegSerializer(serializers.Serializer):
    """What one payer would have of a piece; of the company no money is said."""

    payer = serializers.SerializerMethodField(help_text="company, or me.")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True)
    units = serializers.IntegerField(help_text="Granted.")
    refused_units = serializers.IntegerField()
    covered_units = serializers.IntegerField(help_text="Drawn from allowances of the payer.")
    amount_micros = serializers.SerializerMethodField(help_text="By your tariff; null where the company pays.")
    why = serializers.SerializerMethodField()

    def get_payer(self, leg: ForeseenLeg) -> str:
        """Who would pay."""
        return "me" if leg.is_personal else "company"

    def get_amount_micros(self, leg: ForeseenLeg) -> int | None:
        """What the person would be charged."""
        return leg.amount_micros if leg.is_personal else None

    def get_why(self, leg: ForeseenLeg) -> str:
        """With the rule's name and place."""
        return reasons.why(leg.codes, self.context["names"])


class MyTrialSerializer(serializers.Serializer):
    """Who would pay, in order of time; or, in `reason`, why such a record would wait in suspense."""

    legs = MyTrialLegSerializer(many=True)
    reason = serializers.CharField()
    detail = serializers.CharField()


class MyOfferSerializer(serializers.Serializer):
    """The terms of a personal account that waits to be accepted, as the person reads them."""

    account = serializers.IntegerField()
    text = serializers.CharField()
    mark = serializers.CharField(help_text="Names this text: send it to accept.")


class MyOffersSerializer(serializers.Serializer):
    """What waits for one's word."""

    results = MyOfferSerializer(many=True)


class AcceptOfferBody(Body):
    """An account, and the text that was read."""

    account = serializers.IntegerField(min_value=1, max_value=BIGINT_MOST)
    mark = serializers.CharField(max_length=64, help_text="Of the offer.")


class AcceptedAccountSerializer(serializers.Serializer):
    """An account that pays from now on."""

    account = serializers.IntegerField(source="id")
    accepted_at = serializers.DateTimeField()


class OwnRules(OwnLines):
    """Lines, rules, questions and acceptance; `Me` is the whole."""

    @extend_schema(responses=MyLinesSerializer)
    @action(detail=False)
    def lines(self, request) -> Response:
        """List the lines that are or were yours."""
        now = self.now()
        found = [
            {"row": row, "is_current": now in row.during, "device": row.line.device if now in row.during else None}
            for row in mine.lines_held([one.person.id for one in oneself(request.user, self.scope)])
        ]
        return Response(MyLinesSerializer({"results": found}).data)

    @extend_schema(responses=MyRulesSerializer)
    @action(detail=False)
    def rules(self, request) -> Response:
        """Read when you pay: the rules of your lines in words, in the order in which they are asked."""
        held = my_rules.lines_of(oneself(request.user, self.scope), self.now())
        return Response(MyRulesSerializer({"results": my_rules.rules_of(held.lines, self.now())}).data)

    @extend_schema(
        request=MyTrialBody,
        responses={200: MyTrialSerializer},
        examples=[
            OpenApiExample(
                "A call in the evening",
                value={"line": 4711, "service": "voice", "units": 300, "started_at": "2026-03-16T20:30:00+01:00"},
                request_only=True,
            )
        ],
    )
    @action(detail=False, methods=["post"], verbs={"POST": Verb.VIEW})
    def trials(self, request) -> Response:
        """Ask who would pay for an event of a line of yours, and what it would cost you.

        Only who has proved who they are, and for times at which the line was theirs. Nothing is kept.
        """
        values, people = self.body(MyTrialBody), oneself(request.user, self.scope)
        asked = my_rules.lines_of(people, self.now()).asked
        line = next((line for line in asked if line.id == values["line"]), None)
        if line is None:
            raise Http404("No such line of yours.")
        starts_at, ends_at = values["started_at"], values.get("ended_at")
        said: dict[str, Any] = {
            "ended_at": ends_at,
            "visited_network": steering_trials.network(values["visited_network"]),
            "other_party": values["other_party"].removeprefix("+"),
            "imei": values["imei"],
            "attributes": values["attributes"],
        }
        usage = steering_trials.usage_of(line, values["service"], values["units"], starts_at, said)
        foreseen = my_rules.foresee(
            line=line, proven=my_rules.proven_ids(people), usage=usage, starts_at=parse_canonical(usage.used_at),
            ends_at=parse_canonical(usage.ended_at or usage.used_at), now=self.now(),
        )  # fmt: skip
        names = reasons.names_of([leg.codes for leg in foreseen.legs])
        return Response(MyTrialSerializer(foreseen, context={"names": names}).data)

    @extend_schema(responses=MyOffersSerializer)
    @action(detail=False)
    def offers(self, request) -> Response:
        """Read the terms of personal accounts that wait for your acceptance."""
        found = []
        for one in oneself(request.user, self.scope):
            payer = payers.payer_of(self.scope, one.person.id, self.now()) if one.is_proven else None
            offer = acceptance.offer_of(payer, self.now())
            if payer is not None and offer is not None:
                found.append({"account": payer.account.id, "text": offer.text, "mark": offer.mark})
        return Response(MyOffersSerializer({"results": found}).data)

    @extend_schema(request=AcceptOfferBody, responses={200: AcceptedAccountSerializer})
    @action(detail=False, methods=["post"], verbs={"POST": Verb.VIEW})
    def accept(self, request) -> Response:
        """Accept a personal account by the text that you read.

        From then on it pays for usage that the company's rules leave to you; nothing is charged before.
        """
        values = self.body(AcceptOfferBody)
        accepted = acceptance.accept(
            scope=self.scope, people=oneself(request.user, self.scope), account_id=values["account"],
            mark=values["mark"], **self.write_context,
        )  # fmt: skip
        if accepted is None:
            raise Http404("No such account of yours.")
        return Response(AcceptedAccountSerializer(accepted).data)
