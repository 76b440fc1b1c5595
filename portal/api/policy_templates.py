"""Ready-made policies: what an operator lets its enterprises begin with, built in, changed or its own."""

from __future__ import annotations

from django.http import Http404
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances.models import Operator
from balances.scope import Verb
from balances.units import SERVICES_BY_NAME
from policies import templates
from policies.models import Measure, PolicyTemplate, Window
from policies.regulation import Template
from policies.rules import rules_from_json, rules_to_json
from portal.api.endpoints import Endpoint
from portal.api.limits import MEASURES, WINDOWS
from portal.api.policies import RulesField
from portal.api.values import Body

OPERATOR = OpenApiParameter("operator", int, description="Needed only by those who reach several.")


class TemplateLimitSerializer(Body):
    """A limit that comes with the draft. It tells people only, until the policy is published."""

    name = serializers.CharField(max_length=80, required=False, default="", allow_blank=True)
    measure = serializers.ChoiceField(choices=MEASURES, required=False, default=Measure.MONEY)
    service = serializers.ChoiceField(
        choices=list(SERVICES_BY_NAME), required=False, default="", allow_blank=True, help_text="Empty: all services."
    )
    is_abroad = serializers.BooleanField(required=False, default=False)
    window = serializers.ChoiceField(choices=WINDOWS, required=False, default=Window.CYCLE)
    amount = serializers.IntegerField(min_value=1, help_text="Units of the service, or micros of the currency.")
    percents = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        default=[80, 100],
        help_text="When people are told.",
    )


class PolicyTemplateSerializer(serializers.Serializer):
    """What a policy can begin with."""

    operator = serializers.IntegerField()
    key = serializers.SlugField()
    name = serializers.CharField()
    source = serializers.CharField(help_text="The law, code or contract that it follows.")
    note = serializers.CharField(help_text="What to look at before it is published.")
    rules = RulesField()
    words = serializers.ListField(child=serializers.CharField(), help_text="The rules as sentences, in order.")
    limits = TemplateLimitSerializer(many=True)
    is_offered = serializers.BooleanField(help_text="Whether enterprises can begin with it.")
    is_built_in = serializers.BooleanField()
    changed_at = serializers.DateTimeField(allow_null=True, help_text="Null: as it is built in.")
    changed_by = serializers.CharField()


@extend_schema_serializer(many=False)
class PolicyTemplateList(serializers.Serializer):
    """All templates in reach, on one page."""

    results = PolicyTemplateSerializer(many=True)


class PolicyTemplateBody(Body):
    """A template, in place of the one of that key."""

    name = serializers.CharField(max_length=templates.NAME_LENGTH)
    source = serializers.CharField(max_length=templates.SOURCE_LENGTH, required=False, default="", allow_blank=True)
    note = serializers.CharField(max_length=templates.NOTE_LENGTH, required=False, default="", allow_blank=True)
    rules = RulesField()
    limits = TemplateLimitSerializer(many=True, required=False, default=[])
    is_offered = serializers.BooleanField(required=False, default=True)


class OperatorQuery(Body):
    """Which operator is meant."""

    operator = serializers.IntegerField(min_value=1, required=False)


class PolicyTemplates(Endpoint):
    """Ready-made policies of the operators in reach. Customers see those that are offered."""

    tag = "Policies"
    queryset = PolicyTemplate.objects.none()
    serializer_class = PolicyTemplateSerializer
    pagination_class = None
    lookup_value_converter = "slug"
    verbs = {"PUT": Verb.ADMINISTER, "DELETE": Verb.ADMINISTER}

    @extend_schema(parameters=[OPERATOR], responses={200: PolicyTemplateList}, filters=False)
    def list(self, request) -> Response:
        """List ready-made policies.

        `POST /policies` takes the key of one that is offered.
        """
        named = self.query(OperatorQuery).get("operator")
        operators = self._operators().order_by("id")
        if named is not None:
            operators = operators.filter(id=named)
        rows = [self._row(operator, one) for operator in operators for one in self._seen(operator).values()]
        return self.shown({"results": rows}, PolicyTemplateList)

    @extend_schema(parameters=[OPERATOR], responses={200: PolicyTemplateSerializer})
    def retrieve(self, request, pk: str) -> Response:
        """Read a ready-made policy."""
        operator = self._operator()
        found = self._seen(operator).get(pk)
        if found is None:
            raise Http404("No such template.")
        return self.shown(self._row(operator, found))

    @extend_schema(
        parameters=[OPERATOR],
        request=PolicyTemplateBody,
        responses={200: PolicyTemplateSerializer},
        examples=[
            OpenApiExample(
                "A lower limit in the EU",
                value={
                    "name": "Roaming data in the EU",
                    "source": "Regulation (EU) 2022/612, article 14",
                    "rules": [
                        {
                            "name": "Consent at the limit",
                            "when": "service is data and roaming is yes",
                            "beyond": {"window": "cycle"},
                            "action": "consent",
                        }
                    ],
                    "limits": [{"service": "data", "is_abroad": True, "amount": 30_000_000}],
                },
                request_only=True,
            )
        ],
    )
    def update(self, request, pk: str) -> Response:
        """Write a ready-made policy: change the one of this key, built in or not, or make it.

        It is for policies that are begun from now on; what was drafted from it before stays as it is.
        """
        operator = self._own_operator()
        values = self.body(PolicyTemplateBody)
        limits = [dict(row) for row in values.pop("limits")]
        return self.shown(
            self._row(
                operator, templates.save(operator=operator, key=pk, limits=limits, **values, **self.write_context)
            )
        )

    @extend_schema(parameters=[OPERATOR], responses={204: None})
    def destroy(self, request, pk: str) -> Response:
        """Bring a built-in one back as it was, or remove one of the operator's own."""
        operator = self._own_operator()
        if pk not in templates.of_operator(operator.id):
            raise Http404("No such template.")
        templates.reset(operator=operator, key=pk, **self.write_context)
        return Response(status=204)

    def _operators(self):
        """Operators of whose templates the caller may know: one's own, and that of one's enterprises."""
        own = Operator.objects.filter(id__in=self.scope.operator_ids)
        served = Operator.objects.filter(enterprises__in=self.scope.enterprise_ids(Verb.MANAGE))
        return (own | served).distinct()

    def _operator(self) -> Operator:
        named = self.query(OperatorQuery).get("operator")
        reach = self._operators()
        if named is not None:
            reach = reach.filter(id=named)
        found = list(reach.order_by("id")[:2])
        if not found:
            raise Http404("No such template.")
        if len(found) > 1:
            raise serializers.ValidationError({"operator": ["You reach several operators: name one."]}, code="operator")
        return found[0]

    def _own_operator(self) -> Operator:
        operator = self._operator()
        if operator.id not in self.scope.operator_ids:
            raise PermissionDenied("Only account managers of the operator write its ready-made policies.")
        return operator

    def _seen(self, operator: Operator) -> dict[str, Template]:
        found = templates.of_operator(operator.id)
        if operator.id in self.scope.operator_ids:
            return found
        return {key: one for key, one in found.items() if one.is_offered}

    @staticmethod
    def _row(operator: Operator, one: Template) -> dict:
        rules = rules_from_json(list(one.rules))
        return {
            "operator": operator.id, "key": one.key, "name": one.name, "source": one.source, "note": one.note,
            "rules": rules_to_json(rules), "words": [rule.words() for rule in rules], "limits": one.limits,
            "is_offered": one.is_offered, "is_built_in": one.is_built_in, "changed_at": one.changed_at,
            "changed_by": one.changed_by,
        }  # fmt: skip
