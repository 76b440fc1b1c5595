"""One's own: charges of both payers, and contests of people who say that the company should have paid."""

from __future__ import annotations

from typing import Any

import django_filters
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.response import Response

from balances.models import UsageRecord
from balances.models.counters import Payer
from balances.scope import Verb
from balances.selectors import mine
from balances.selectors.mine import MyCharge
from balances.units import UNIT_NAMES
from portal import contests
from portal.api.access import IsPerson
from portal.api.endpoints import Endpoint
from portal.api.permissions import HasVerb
from portal.api.values import BIGINT_MOST, Body, IdFilter, Instant, ServiceField
from portal.charging import reasons
from portal.models import Contest, ContestState
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


class Me(Endpoint):
    """What is the caller's own: only for people who are signed in, never by token."""

    tag = "Me"
    queryset = UsageRecord.objects.all()
    serializer_class = MyChargeSerializer
    permission_classes = [HasVerb, IsPerson]
    filter_backends = ()
    pagination_class = None

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


class ContestSerializer(serializers.ModelSerializer):
    """An objection: its reason, what its person lets managers see, what became of it."""

    disclosed = serializers.JSONField(help_text="What of the record its person lets managers see, as it stood then.")
    refunded_micros = serializers.SerializerMethodField(help_text="For the person alone; null for everybody else.")

    class Meta:
        model = Contest
        fields = [
            "id", "enterprise", "account", "line", "person", "usage_id", "reason", "disclosed", "state", "filed_at",
            "decided_at", "decided_by", "answer", "refunded_micros",
        ]  # fmt: skip

    def get_refunded_micros(self, contest: Contest) -> int | None:
        """What came back."""
        is_own = contest.person_id in self.context["view"].scope.person_ids()
        return contest.refunded_micros if is_own else None


class NewContestBody(Body):
    """Charges of one's own that the company should have paid; all are filed, or none."""

    usage = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=BIGINT_MOST), min_length=1,
        max_length=contests.MOST_AT_ONCE,
    )  # fmt: skip
    reason = serializers.CharField(max_length=contests.TEXT_LENGTH)
    shown = serializers.ListField(
        child=serializers.ChoiceField(choices=contests.DISCLOSABLE), required=False,
        default=list(contests.SHOWN_BY_DEFAULT), help_text="What managers may see of them.",
    )  # fmt: skip


class VerdictBody(Body):
    """Whether the company pays after all."""

    uphold = serializers.BooleanField()
    answer = serializers.CharField(
        max_length=contests.TEXT_LENGTH, required=False, allow_blank=True, default="", help_text="Needed to decline."
    )


class ContestFilters(django_filters.FilterSet):
    """Contests by account and state."""

    account = IdFilter(field_name="account_id")
    state = django_filters.ChoiceFilter(choices=ContestState.choices)

    class Meta:
        model = Contest
        fields: list[str] = []


class Contests(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Objections: those of accounts that the caller manages, and the caller's own."""

    tag = "Me"
    summaries = {"list": "List contests", "retrieve": "Read a contest"}
    queryset = Contest.objects.all()
    serializer_class = ContestSerializer
    filterset_class = ContestFilters
    verbs = {"POST": Verb.VIEW}

    def get_permissions(self) -> list[BasePermission]:
        """Filing is a person's own business; deciding may be done by token, too."""
        return [HasVerb(), IsPerson()] if self.action == "create" else super().get_permissions()

    @extend_schema(
        request=NewContestBody, responses={201: ContestSerializer(many=True)},
        examples=[OpenApiExample("A call", value={"usage": [4711], "reason": "A customer."}, request_only=True)],
    )  # fmt: skip
    def create(self, request) -> Response:
        """Contest charges of your own.

        Managers see the reason and what you show of the charges: service, day and units, unless told otherwise.
        """
        values = self.body(NewContestBody)
        people = {one.person.id: one.person for one in oneself(request.user, self.scope) if one.is_proven}
        rows = mine.usage_of(self.scope, list(people)).filter(payer=Payer.PERSONAL, id__in=values["usage"])
        usages = list(rows.order_by("id"))
        owners = {usage.person_id for usage in usages}
        if len(usages) != len(set(values["usage"])) or len(owners) != 1:
            raise Http404
        made = contests.file(
            usages=usages, person=people[owners.pop()], reason=values["reason"], shown=values["shown"],
            **self.write_context,
        )  # fmt: skip
        return Response(self._data(made, None, many=True), status=201)

    @extend_schema(request=VerdictBody, responses=ContestSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request, pk: int) -> Response:
        """Uphold or decline a contest.

        Upheld, the company is charged for it, and its person gets back what it cost them.
        """
        contest = self.find(Contest.objects.all(), Verb.MANAGE, pk=pk)
        values: dict[str, Any] = self.body(VerdictBody)
        return self.shown(contests.decide(contest=contest, **values, **self.write_context))
