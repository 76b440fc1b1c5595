"""Limits, what people agree to beyond them, exemptions, and what the network is told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances.models import Account, Enterprise, Line, Zone
from balances.pace import Outlook
from policies import consent, limits, selectors
from policies.models import Consent, Exemption, Limit, LimitCrossing, Measure, Restriction, Window
from policies.models.limits import ACTION_CHOICES
from policies.selectors import LimitState
from portal.api.endpoints import Endpoint
from portal.api.notices import NoticeSerializer
from portal.api.values import Body, IdFilter, InReach, Instant, InstantFilter, ServiceField, ServiceFilter, Units
from portal.notices import inbox, preferences

WINDOWS, MEASURES = Window.values, Measure.values


def _percents() -> serializers.ListField:
    child = serializers.IntegerField(min_value=1, max_value=limits.PERCENT_MOST)
    return serializers.ListField(child=child, required=False)


def _marks() -> serializers.ListField:
    return serializers.ListField(child=Units(min_value=1), required=False)


class LimitSerializer(serializers.Serializer):
    """A limit in the period under way; `id` changes with every change of its terms, `first` never does."""

    id = serializers.IntegerField(source="limit.id")
    first = serializers.IntegerField(source="limit.first_number", help_text="Use, consents, reasons name this number.")
    enterprise = serializers.IntegerField(source="limit.enterprise_id")
    account = serializers.IntegerField(source="limit.account_id", allow_null=True)
    line = serializers.IntegerField(source="limit.line_id", allow_null=True)
    tag = serializers.CharField(source="limit.tag")
    name = serializers.CharField(source="limit.name")
    service = ServiceField(source="limit.service", allow_null=True)
    zone = serializers.IntegerField(source="limit.zone_id", allow_null=True)
    is_abroad = serializers.BooleanField(source="limit.is_abroad")
    measure = serializers.ChoiceField(MEASURES, source="limit.measure")
    window = serializers.ChoiceField(WINDOWS, source="limit.window")
    amount = serializers.IntegerField(source="limit.amount", help_text="Units, or micros of overage.")
    percents = serializers.ListField(source="limit.percents", child=serializers.IntegerField())
    marks = serializers.ListField(source="limit.marks", child=serializers.IntegerField())
    action = serializers.ChoiceField(ACTION_CHOICES, source="limit.action")
    grace_units = serializers.IntegerField(source="limit.grace_units")
    needs_approval = serializers.BooleanField(source="limit.needs_approval")
    counts_from = serializers.DateTimeField(source="limit.counts_from")
    limit_ends_at = serializers.DateTimeField(source="limit.ends_at", allow_null=True)
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField(source="ends_at", allow_null=True)
    used = serializers.IntegerField()
    refused_units = serializers.IntegerField(source="refused")
    bound = serializers.IntegerField(allow_null=True, help_text="Amount with consents; null: without bound.")
    percent = serializers.IntegerField(allow_null=True)
    state = serializers.CharField(source="standing.value", help_text="OK, Watch, Near limit, Used up, Over, Restricted")
    restricted_lines = serializers.IntegerField(source="restricted")
    outlook = serializers.SerializerMethodField(help_text="At the pace of the period; null: nothing can be said.")
    runs_out_at = serializers.SerializerMethodField(help_text="When it is reached at that pace, where it is.")
    next_consent = serializers.IntegerField(source="next_number", help_text="The number to consent with.")
    as_of = serializers.DateTimeField(allow_null=True, help_text="When usage was last charged.")

    @extend_schema_field(serializers.ChoiceField([(str(one), str(one)) for one in Outlook], allow_null=True))
    def get_outlook(self, state: LimitState) -> str | None:
        """used_up, too_early, idle, lasts, runs_out."""
        seen = state.outlook(self.context["view"].now())
        return seen and str(seen.outlook)

    def get_runs_out_at(self, state: LimitState) -> datetime | None:
        """Of runs_out alone."""
        seen = state.outlook(self.context["view"].now())
        return seen and seen.runs_out_at


class NewLimitBody(Body):
    """A limit to be made: on an account, a line, or the lines with a tag."""

    account = InReach(Account.objects.all(), required=False, allow_null=True)
    line = InReach(Line.objects.all(), required=False, allow_null=True)
    enterprise = InReach(Enterprise.objects.all(), required=False, allow_null=True, help_text="With a tag.")
    tag = serializers.CharField(max_length=40, required=False, allow_blank=True)
    name = serializers.CharField(max_length=80, required=False, allow_blank=True)
    service = ServiceField(required=False, allow_null=True)
    zone = serializers.PrimaryKeyRelatedField(queryset=Zone.objects.all(), required=False, allow_null=True)
    is_abroad = serializers.BooleanField(required=False)
    measure = serializers.ChoiceField(MEASURES)
    window = serializers.ChoiceField(WINDOWS)
    amount = Units()
    percents = _percents()
    marks = _marks()
    action = serializers.ChoiceField(ACTION_CHOICES, required=False)
    grace_units = Units(required=False)
    needs_approval = serializers.BooleanField(required=False)
    counts_from = Instant(required=False, allow_null=True, help_text="Of a lifetime only.")
    ends_at = Instant(required=False, allow_null=True)


class ChangeLimitBody(Body):
    """What is to differ from now on."""

    amount = Units(required=False)
    percents = _percents()
    marks = _marks()
    action = serializers.ChoiceField(ACTION_CHOICES, required=False)
    grace_units = Units(required=False)


class ConsentSerializer(serializers.ModelSerializer):
    """Somebody's agreement that a limit is exceeded in one period."""

    class Meta:
        model = Consent
        fields = [
            "id", "limit", "period_start", "number", "kind", "amount", "consented_by", "consented_at", "channel",
            "text_shown", "price_shown", "used_shown", "bound_shown", "revoked_at", "revoked_by",
        ]  # fmt: skip


class ShownBody(Body):
    """What was shown to whoever agrees, as the limit has it: where it has changed meanwhile, nothing happens."""

    period_start = Instant(help_text="`period_start` of the limit.")
    number = serializers.IntegerField(min_value=1, max_value=consent.CONSENTS_MOST, help_text="`next_consent`.")
    used = Units(required=False, allow_null=True, help_text="`used`, kept with the consent.")
    bound = Units(required=False, allow_null=True, help_text="`bound`, kept with the consent.")
    amount = Units(min_value=1, allow_null=True, help_text="So much more, in units or micros; null: without bound.")


class ExtensionBody(ShownBody):
    """So much more for the period under way."""

    reason = serializers.CharField(max_length=500, required=False, allow_blank=True)


class ConsentBody(ShownBody):
    """Agreement, with what was shown to whoever agreed."""

    text_shown = serializers.CharField(max_length=2000)
    price_shown = serializers.CharField(max_length=500, required=False, allow_blank=True)
    channel = serializers.CharField(max_length=20, required=False)


class LimitFilters(django_filters.FilterSet):
    """Limits by owner and service."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    line = IdFilter(field_name="line_id")
    tag = django_filters.CharFilter()
    service = ServiceFilter()

    class Meta:
        model = Limit
        fields: list[str] = []


def _needs_rule_over(view: Endpoint, limit: Limit | None) -> None:
    """Refuse what eases or changes a limit that was set from above, as its screen does. Raises PermissionDenied."""
    if limit is not None and not limits.may_change(limit, view.scope, view.write_context["actor"]):
        raise PermissionDenied("This limit was set from above: ask there.")


def _shown(limit: Limit, values: dict[str, Any]) -> consent.Shown:
    """What the caller says was shown, taken out of the other values; the address names the limit's row."""
    start, number = values.pop("period_start"), values.pop("number")
    return consent.Shown(limit.id, start, number, values.pop("used", None), values.pop("bound", None))


class Limits(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Limits in reach that stand."""

    tag = "Limits"
    queryset = Limit.objects.filter(retired_at__isnull=True)
    serializer_class = LimitSerializer
    filterset_class = LimitFilters

    def list(self, request) -> Response:
        """List limits, with what was used of each in the period under way."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self._data(selectors.states(rows, self.now()), None, many=True))

    def retrieve(self, request, pk: int) -> Response:
        """Read a limit, with what was used of it."""
        return self.shown(self._state(self.get_object()))

    def _governed(self) -> Limit:
        """The limit of the address, where the caller may change it."""
        limit = self.get_object()
        _needs_rule_over(self, limit)
        return limit

    def _state(self, limit: Limit) -> LimitState:
        return selectors.state_of(limit, self.now())

    @extend_schema(
        request=NewLimitBody,
        responses={201: LimitSerializer},
        examples=[
            OpenApiExample(
                "5 GiB a cycle for a line, then stop",
                value={
                    "line": 77, "service": "data", "measure": "units", "window": "cycle", "amount": 5368709120,
                    "percents": [80, 100], "action": "stop_now",
                },
                request_only=True,
            ),
            OpenApiExample(
                "50 EUR for data abroad, consent at the limit",
                value={
                    "account": 12, "service": "data", "is_abroad": True, "measure": "money", "window": "cycle",
                    "amount": 50000000, "percents": [80, 100], "action": "consent",
                },
                request_only=True,
            ),
        ],
    )  # fmt: skip
    def create(self, request) -> Response:
        """Make a limit.

        It stands from the next charge on; what was used in the period under way counts, and marks that use has passed
        are crossed at once.
        """
        values = self.body(NewLimitBody)
        enterprise = values.pop("enterprise", None)
        values["marks_at"] = values.pop("marks", ())
        made = limits.make(enterprise_id=enterprise.id if enterprise else None, **values, **self.write_context)
        return self.made(self._state(made))

    @extend_schema(request=ChangeLimitBody, responses=LimitSerializer)
    def partial_update(self, request, pk: int) -> Response:
        """Change a limit: it gets a successor, and what was used goes on counting.

        Lowered below what was used, its marks are crossed at once. The answer bears the successor's id.
        """
        limit, values = self._governed(), self.body(ChangeLimitBody)
        values["marks_at"] = values.pop("marks", None)
        return self.shown(self._state(limits.change(limit=limit, **values, **self.write_context)))

    @extend_schema(request=None, responses={201: NoticeSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def fire(self, request, pk: int) -> Response:
        """Fire a limit's highest mark now, to see its notice: told to the caller alone, as a test, counted nowhere."""
        made = preferences.fire_limit(limit=self.get_object(), user=request.user, at=self.now())
        return self.made(inbox.notices(self.scope, request.user).get(id=made.id), NoticeSerializer)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Retire a limit; what it restricted is lifted, its history stays."""
        limits.retire(limit=self._governed(), **self.write_context)
        return Response(status=204)

    @extend_schema(responses=ConsentSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def consents(self, request, pk: int) -> Response:
        """List the consents and extensions of a limit, of all periods, latest first."""
        limit = self.get_object()
        given = Consent.objects.filter(limit_id=limit.first_number).order_by("-id")[:500]
        return Response(ConsentSerializer(given, many=True).data)

    @extend_schema(request=ConsentBody, responses={201: ConsentSerializer})
    @consents.mapping.post
    def give_consent(self, request, pk: int) -> Response:
        """Consent that a limit is exceeded in the period under way.

        What was shown is kept with it. The same again from the same caller gives the first answer and no effect.
        A `number` that somebody else has taken is refused, and so is what was shown before the period or the limit
        changed.
        """
        limit = self.get_object()
        values = {"channel": "api", **self.body(ConsentBody)}
        given = consent.consent(limit=limit, shown=_shown(limit, values), **values, **self.write_context)
        return self.made(given, ConsentSerializer)

    @extend_schema(request=ExtensionBody, responses={201: ConsentSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def extensions(self, request, pk: int) -> Response:
        """Give a limit more for the period under way; what it restricted is lifted."""
        limit = self._governed()
        values = self.body(ExtensionBody)
        shown = _shown(limit, values)
        given = consent.extend(limit=limit, shown=shown, channel="api", **values, **self.write_context)
        return self.made(given, ConsentSerializer)


class Consents(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Consents to limits in reach."""

    tag = "Limits"
    filterset_class = None
    summaries = {"list": "List consents", "retrieve": "Read a consent"}
    queryset = Consent.objects.all()
    serializer_class = ConsentSerializer

    @extend_schema(request=None, responses=ConsentSerializer)
    @action(detail=True, methods=["post"], filterset_class=None)
    def revoke(self, request, pk: int) -> Response:
        """Take a consent back: what was granted with it stays granted, nothing more is. Refused the second time."""
        given = self.get_object()
        _needs_rule_over(self, given.limit)
        return self.shown(consent.revoke(consent=given, **self.write_context))


class ExemptionSerializer(serializers.ModelSerializer):
    """A limit does not stop these lines until then."""

    class Meta:
        model = Exemption
        fields = [
            "id", "enterprise", "limit", "account", "line", "starts_at", "until", "reason", "made_by", "ended_at",
            "ended_by",
        ]  # fmt: skip


class NewExemptionBody(Body):
    """An account or a line that a limit is not to stop."""

    limit = InReach(Limit.objects.filter(retired_at__isnull=True))
    account = InReach(Account.objects.all(), required=False, allow_null=True)
    line = InReach(Line.objects.all(), required=False, allow_null=True)
    until = Instant()
    reason = serializers.CharField(max_length=200)


class Exemptions(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Exemptions in reach."""

    tag = "Limits"
    summaries = {"list": "List exemptions", "retrieve": "Read an exemption"}
    queryset = Exemption.objects.all()
    serializer_class = ExemptionSerializer

    @extend_schema(request=NewExemptionBody, responses={201: ExemptionSerializer})
    def create(self, request) -> Response:
        """Exempt an account or a line from a limit, until a time and for a reason.

        What it uses still counts.
        """
        values = self.body(NewExemptionBody)
        _needs_rule_over(self, values["limit"])
        return self.made(limits.exempt(**values, **self.write_context))

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """End an exemption now; it stays on record."""
        exemption = self.get_object()
        _needs_rule_over(self, exemption.limit)
        limits.end_exemption(exemption=exemption, **self.write_context)
        return Response(status=204)


class RestrictionSerializer(serializers.ModelSerializer):
    """What the network is told of a line; without a service, of all."""

    service = ServiceField(allow_null=True)
    limit = serializers.IntegerField(source="limit.first_number", allow_null=True)

    class Meta:
        model = Restriction
        fields = [
            "id", "enterprise", "line", "service", "action", "limit", "period_start", "starts_at", "until", "state",
            "lifted_at", "lifted_by",
        ]  # fmt: skip


class RestrictionFilters(django_filters.FilterSet):
    """Restrictions by line, state and time."""

    enterprise = IdFilter(field_name="enterprise_id")
    line = IdFilter(field_name="line_id")
    service = ServiceFilter()
    state = django_filters.CharFilter()
    since = InstantFilter(field_name="starts_at", lookup_expr="gte", label="Began at or after.")

    class Meta:
        model = Restriction
        fields: list[str] = []


class Restrictions(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Restrictions of lines in reach."""

    tag = "Limits"
    summaries = {"list": "List restrictions", "retrieve": "Read a restriction"}
    queryset = Restriction.objects.select_related("limit")
    serializer_class = RestrictionSerializer
    filterset_class = RestrictionFilters

    @extend_schema(request=None, responses=RestrictionSerializer)
    @action(detail=True, methods=["post"], filterset_class=None)
    def lift(self, request, pk: int) -> Response:
        """Lift a restriction by hand; the limit itself still stands. Only who may change the limit may do it."""
        return self.shown(limits.lift(restriction=self._governed(), **self.write_context))

    @extend_schema(request=None, responses=RestrictionSerializer)
    @action(detail=True, methods=["post"], filterset_class=None)
    def approve(self, request, pk: int) -> Response:
        """Let a limit that waits for approval restrict in this period: all its lines that wait.

        Only who may change the limit may do it.
        """
        return self.shown(limits.approve(restriction=self._governed(), **self.write_context))

    def _governed(self) -> Restriction:
        """The restriction of the address, where the caller may change its limit."""
        restriction = self.get_object()
        _needs_rule_over(self, restriction.limit)
        return restriction


class LimitCrossingSerializer(serializers.ModelSerializer):
    """A mark of a limit that was reached: once a level and period."""

    class Meta:
        model = LimitCrossing
        fields = [
            "id", "enterprise", "limit", "first", "period_start", "percent", "level", "amount", "used", "line",
            "usage_id", "crossed_at", "recorded_at",
        ]  # fmt: skip


class LimitCrossings(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Crossings of limits in reach."""

    tag = "Limits"
    summaries = {"list": "List crossings of limits", "retrieve": "Read a crossing of a limit"}
    queryset = LimitCrossing.objects.all()
    serializer_class = LimitCrossingSerializer
