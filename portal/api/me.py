"""One's own: charges of both payers, and contests of people who say that the company should have paid."""

from __future__ import annotations

from typing import Any

import django_filters
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.response import Response

from balances.models import PersonalAccount, UsageRecord
from balances.models.counters import Payer
from balances.scope import Verb
from balances.selectors import mine, statements
from balances.selectors import payer as payers
from balances.selectors.terms import progress_of, terms_at
from portal import contests
from portal.api.access import IsPerson
from portal.api.endpoints import Endpoint
from portal.api.me_charges import MyChargeSerializer, MyOpenUsageSerializer, OwnCharges
from portal.api.permissions import HasVerb
from portal.api.values import BIGINT_MOST, Body, IdFilter, ServiceField
from portal.models import Contest, ContestState
from portal.people import Oneself, oneself


class PartSerializer(serializers.Serializer):
    """What one payer has of a service."""

    service = ServiceField()
    units = serializers.IntegerField(help_text="Granted.")
    refused_units = serializers.IntegerField()
    open_units = serializers.IntegerField(help_text="On credit; of the company always 0.")


class OwnPartSerializer(PartSerializer):
    """The person's own part, with its money."""

    amount_micros = serializers.IntegerField(source="micros")


class MyAllowanceSerializer(serializers.Serializer):
    """What a personal tariff includes in the month under way."""

    name = serializers.CharField()
    service = ServiceField()
    granted_units = serializers.IntegerField()
    used_units = serializers.IntegerField()


class MyAccountSerializer(serializers.Serializer):
    """The personal account now."""

    id = serializers.IntegerField(source="account.id")
    tariff = serializers.CharField(source="account.tariff.name")
    kind = serializers.CharField(source="account.kind")
    currency = serializers.CharField()
    balance_micros = serializers.IntegerField(source="account.balance_micros", help_text="Below zero: owed.")
    credit_limit_micros = serializers.IntegerField(source="account.credit_limit_micros")
    accepted_at = serializers.DateTimeField(source="account.accepted_at", allow_null=True)
    closed_at = serializers.DateTimeField(source="account.closed_at", allow_null=True)
    month_start = serializers.DateTimeField(source="month.starts_at")
    month_end = serializers.DateTimeField(source="month.ends_at")
    allowances = MyAllowanceSerializer(many=True)


class MineSerializer(serializers.Serializer):
    """What a person of one enterprise reads of the cycle under way. Personal parts are empty without a proof."""

    enterprise = serializers.IntegerField()
    person = serializers.IntegerField()
    is_proven = serializers.BooleanField()
    as_of = serializers.DateTimeField()
    company = PartSerializer(many=True)
    own = OwnPartSerializer(many=True)
    personal_account = MyAccountSerializer(allow_null=True)


@extend_schema_serializer(many=False)  # one object, though it answers a list's address
class SummarySerializer(serializers.Serializer):
    """One entry an enterprise of which the caller is a person."""

    results = MineSerializer(many=True)


class StatementQuery(serializers.Serializer):
    """Which month of which account."""

    account = serializers.IntegerField(min_value=1, max_value=BIGINT_MOST, help_text="An own personal account.")
    month = serializers.RegexField(r"^[0-9]{4}-[0-9]{2}$", required=False, help_text="2026-03; else the last one.")


class StatementEntrySerializer(serializers.Serializer):
    """A movement of money that is no usage."""

    id = serializers.IntegerField()
    kind = serializers.CharField()
    micros = serializers.IntegerField()
    balance_after_micros = serializers.IntegerField()
    recorded_at = serializers.DateTimeField()
    note = serializers.CharField()


class StatedUsageSerializer(serializers.Serializer):
    """Usage that was charged when it was recorded; with days where it was used before the month."""

    service = ServiceField()
    used_on = serializers.DateField(allow_null=True)
    recorded_on = serializers.DateField(allow_null=True)
    units = serializers.IntegerField()
    covered_units = serializers.IntegerField()
    amount_micros = serializers.IntegerField(source="micros")


class StatementSerializer(serializers.Serializer):
    """A civil month of a personal account, as it was recorded: opening money + movements + usage = closing money."""

    account = serializers.IntegerField(source="account.id")
    currency = serializers.CharField(source="account.tariff.currency")
    starts_at = serializers.DateTimeField(source="month.starts_at")
    ends_at = serializers.DateTimeField(source="month.ends_at")
    opening_micros = serializers.IntegerField()
    closing_micros = serializers.IntegerField()
    entries = StatementEntrySerializer(many=True)
    usage = StatedUsageSerializer(many=True)
    late = StatedUsageSerializer(many=True)
    open = MyOpenUsageSerializer(many=True)


class Me(OwnCharges):
    """What is the caller's own: only for people who are signed in, never by token."""

    tag = "Me"
    queryset = UsageRecord.objects.all()
    serializer_class = MyChargeSerializer
    permission_classes = [HasVerb, IsPerson]
    filter_backends = ()
    pagination_class = None

    @extend_schema(responses=SummarySerializer)
    def list(self, request) -> Response:
        """Read what is yours now.

        What the company pays and what you pay yourself in the cycle under way, and your personal account.
        """
        found = [self._mine(one) for one in oneself(request.user, self.scope)]
        return Response(SummarySerializer({"results": found}, context=self.get_serializer_context()).data)

    def _mine(self, one: Oneself) -> dict[str, Any]:
        """One person of one enterprise."""
        ids, now = [one.person.id], self.now()
        terms = terms_at(one.person.enterprise_id, now)
        payer = payers.payer_of(self.scope, one.person.id, now) if one.is_proven else None
        month, cycle = payer.month if payer else terms.cycle, terms.cycle
        company = mine.company_part(self.scope, ids, cycle.starts_at, cycle.ends_at) if cycle else []
        own = mine.personal_part(self.scope, ids, month.starts_at, month.ends_at) if one.is_proven and month else []
        return {
            "enterprise": one.person.enterprise_id, "person": one.person.id, "is_proven": one.is_proven,
            "as_of": progress_of(one.person.enterprise_id).as_of, "company": company, "own": own,
            "personal_account": payer,
        }  # fmt: skip

    @extend_schema(parameters=[StatementQuery], responses=StatementSerializer)
    @action(detail=False)
    def statement(self, request) -> Response:
        """Read a month of your personal account.

        A month that is over never changes: what is recorded later stands in the month in which it is.
        """
        query = self.query(StatementQuery)
        own = PersonalAccount.objects.filter(person__in=self.scope.person_ids()).select_related("tariff")
        account = self.find(own, pk=query["account"])
        months = statements.months_of(account, self.now())
        zone, wanted = payers.zone_of(account), query.get("month")
        month = next((m for m in months if wanted in (None, f"{m.starts_at.astimezone(zone):%Y-%m}")), None)
        if month is None:
            raise Http404
        return self.shown(statements.statement(self.scope, account, month), StatementSerializer)


class ContestSerializer(serializers.ModelSerializer):
    """An objection: its reason, what its person lets managers see, what became of it."""

    disclosed = serializers.JSONField(help_text="What of the record its person lets managers see, as it stood then.")
    usage_id = serializers.SerializerMethodField(help_text="For the person alone; null for everybody else.")
    refunded_micros = serializers.SerializerMethodField(help_text="For the person alone; null for everybody else.")

    class Meta:
        model = Contest
        fields = [
            "id", "enterprise", "account", "line", "person", "usage_id", "reason", "disclosed", "state", "filed_at",
            "decided_at", "decided_by", "answer", "refunded_micros",
        ]  # fmt: skip

    def get_usage_id(self, contest: Contest) -> int | None:
        """The record; its number lies among others that were charged then, and so says when."""
        return contest.usage_id if self._is_own(contest) else None

    def get_refunded_micros(self, contest: Contest) -> int | None:
        """What came back."""
        return contest.refunded_micros if self._is_own(contest) else None

    def _is_own(self, contest: Contest) -> bool:
        return contest.person_id in self.context["view"].scope.person_ids()


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
