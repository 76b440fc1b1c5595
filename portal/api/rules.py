"""The rules of an account at any past moment."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.response import Response

from balances.models import Account, DrawCap
from policies import past
from policies.models import Limit
from portal.api.endpoints import Endpoint
from portal.api.limits import MEASURES, WINDOWS, ExemptionSerializer
from portal.api.offers import InForceQuery
from portal.api.policies import PolicyVersionSerializer
from portal.api.values import Instant, ServiceField


class PastLimitTermsSerializer(serializers.ModelSerializer):
    """The terms of a limit that stood; `first` is the number that reasons, use and consents name."""

    first = serializers.IntegerField(source="first_number")
    service = ServiceField(allow_null=True)
    measure = serializers.ChoiceField(MEASURES)
    window = serializers.ChoiceField(WINDOWS)

    class Meta:
        model = Limit
        fields = [
            "id", "first", "account", "line", "tag", "name", "service", "zone", "is_abroad", "measure", "window",
            "amount", "percents", "marks", "action", "grace_units", "needs_approval", "counts_from", "ends_at",
            "made_at", "made_by", "retired_at", "retired_by",
        ]  # fmt: skip


class PastLimitSerializer(serializers.Serializer):
    """A limit as it stood."""

    limit = PastLimitTermsSerializer()
    bound = serializers.IntegerField(allow_null=True, help_text="Amount with consents then; null: without bound.")
    exemptions = ExemptionSerializer(many=True)


class PastCapSerializer(serializers.ModelSerializer):
    """A cap on drawing from above as it stood."""

    service = ServiceField()

    class Meta:
        model = DrawCap
        fields = ["id", "account", "line", "service", "units", "set_by", "set_at", "retired_at"]


@extend_schema_serializer(many=False)
class RulesSerializer(serializers.Serializer):
    """What held for an account's usage: its own, its lines' and tags', and what stands above, as far as in reach."""

    as_of = serializers.DateTimeField(source="at")
    limits = PastLimitSerializer(many=True)
    draw_caps = PastCapSerializer(source="caps", many=True)
    policies = PolicyVersionSerializer(source="versions", many=True)


class RulesQuery(InForceQuery):
    """Whose rules, and of when."""

    service = None  # of all services
    as_of = Instant(required=False, help_text="A moment that has passed; now unless told.")


class Rules(Endpoint):
    """Rules at any past moment. They are read from what was succeeded and never changed."""

    tag = "Limits"
    serializer_class = RulesSerializer
    queryset = Account.objects.all()
    pagination_class = None

    @extend_schema(parameters=[RulesQuery], responses={200: RulesSerializer}, filters=False)
    def list(self, request) -> Response:
        """Read limits, draw caps and policies as they stood at a moment; at most 500 of each kind."""
        wish, now = self.query(RulesQuery), self.now()
        at = wish.get("as_of") or now
        if at > now:
            raise serializers.ValidationError({"as_of": ["This moment has not come yet."]}, code="future")
        return self.shown(past.rules_of(self.scope, wish["account"], at))
