"""Notices of the caller, how they want to be told, and webhooks of enterprises."""

from __future__ import annotations

import re
from datetime import time
from http import HTTPStatus
from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances.models import Account, Enterprise
from balances.scope import Verb
from portal.api.endpoints import Endpoint
from portal.api.pagination import StablePagination
from portal.api.values import Body, IdFilter, InReach, Instant, InstantFilter, ServiceField, ServiceFilter
from portal.models import (
    Delivery,
    Digest,
    Escalation,
    Notice,
    NoticeKind,
    NoticePreference,
    NoticeSettings,
    Severity,
    Silence,
    WebhookEndpoint,
)
from portal.notices import deliver, inbox, webhooks, words
from portal.notices import preferences as wishes

KINDS = NoticeKind.choices
CLOCK = re.compile("^(?:[01][0-9]|2[0-3]):[0-5][0-9]$")


class NoticeSerializer(serializers.ModelSerializer):
    """A fact that was told: what is known of it, and what the caller did with it."""

    service = ServiceField(allow_null=True)
    title = serializers.SerializerMethodField()
    state = serializers.SerializerMethodField()
    facts = serializers.JSONField(help_text="As they were when it was told; units and micros are whole numbers.")
    was_sent = serializers.SerializerMethodField()
    seen_at = serializers.DateTimeField(read_only=True, allow_null=True)
    acknowledged_at = serializers.DateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = Notice
        fields = [
            "id", "enterprise", "account", "line", "kind", "service", "severity", "title", "state", "facts",
            "is_test", "happened_at", "created_at", "resolved_at", "was_sent", "seen_at", "acknowledged_at",
        ]  # fmt: skip

    def get_title(self, notice: Notice) -> str:
        """In English."""
        return words.message(notice).title

    @extend_schema_field({"enum": list(words.STATES), "type": "string"})
    def get_state(self, notice: Notice) -> str:
        return words.state_of(notice)

    def get_was_sent(self, notice: Notice) -> bool:
        """Whether it was sent to the caller, and is not merely in their reach."""
        return notice.delivery_state == "sent"


class SilenceBody(Body):
    """Hear nothing of the notice's account or line till then."""

    until = Instant()
    reason = serializers.CharField(max_length=200)
    every_kind = serializers.BooleanField(default=False, help_text="Not just notices of this kind.")


class SilenceSerializer(serializers.Serializer):
    """A silence of the caller."""

    id = serializers.IntegerField()
    account = serializers.IntegerField(source="account_id", allow_null=True)
    line = serializers.IntegerField(source="line_id", allow_null=True)
    kind = serializers.CharField(help_text="Empty: every kind.")
    until = serializers.DateTimeField()
    reason = serializers.CharField()


class CountSerializer(serializers.Serializer):
    """How many it was."""

    count = serializers.IntegerField()


class NoticeFilters(django_filters.FilterSet):
    """Notices by place, kind, urgency, time, and whether the caller has read them."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    line = IdFilter(field_name="line_id")
    service = ServiceFilter()
    kind = django_filters.ChoiceFilter(choices=KINDS)
    severity = django_filters.ChoiceFilter(choices=Severity.choices)
    since = InstantFilter(field_name="created_at", lookup_expr="gte", label="Told at or after.")
    unread = django_filters.BooleanFilter(method="by_unread", label="Sent to the caller and not opened.")

    class Meta:
        model = Notice
        fields: list[str] = []

    def by_unread(self, rows: QuerySet, name: str, value: bool) -> QuerySet:
        """Unread ones, or all others."""
        unread = {"delivery_state": "sent", "seen_at__isnull": True}
        return rows.filter(**unread) if value else rows.exclude(**unread)


class Notices(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Notices in reach, newest first."""

    tag = "Notices"
    summaries = {"list": "List notices", "retrieve": "Read a notice"}
    queryset = Notice.objects.all()
    serializer_class = NoticeSerializer
    filterset_class = NoticeFilters
    verbs = {"POST": Verb.VIEW}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """Notices in reach, with what the caller did with them."""
        return inbox.notices(self.scope, self.request.user)

    @extend_schema(request=None, responses={200: NoticeSerializer})
    @action(detail=True, methods=["post"])
    def acknowledge(self, request, pk: int) -> Response:
        """Take care of a notice: those further up are not called.

        Only those to whom it was sent can; again changes nothing.
        """
        inbox.acknowledge(notice=self.get_object(), user=request.user, **self.write_context)
        return self.shown(self.get_object())

    @extend_schema(request=None, responses={200: NoticeSerializer})
    @action(detail=True, methods=["post"])
    def read(self, request, pk: int) -> Response:
        """Mark a notice as read. Nothing happens where it was not sent to the caller."""
        inbox.see(notice=self.get_object(), user=request.user, at=self.now())
        return self.shown(self.get_object())

    @extend_schema(request=None, responses={200: CountSerializer}, filters=False)
    @action(
        detail=False, methods=["post"], url_path="read-all", url_name="read-all", filterset_class=None,
        pagination_class=None,
    )  # fmt: skip
    def read_all(self, request) -> Response:
        """Mark everything that the caller has not read as read."""
        count = inbox.see_all(scope=self.scope, user=request.user, at=self.now())
        return self.shown({"count": count}, CountSerializer)

    @extend_schema(
        request=SilenceBody,
        responses={201: SilenceSerializer},
        examples=[OpenApiExample("A week off", value={"until": "2026-12-01T08:00:00+01:00", "reason": "Fair"})],
    )
    @action(detail=True, methods=["post"])
    def silence(self, request, pk: int) -> Response:
        """Silence what the notice is about, for the caller alone."""
        notice = self.get_object()
        body = self.body(SilenceBody)
        made = inbox.silence(
            user=request.user,
            account=notice.account,
            line=notice.line,
            kind="" if body["every_kind"] else notice.kind,
            until=body["until"],
            reason=body["reason"],
            **self.write_context,
        )
        return self.made(made, SilenceSerializer)


class PreferenceSerializer(serializers.ModelSerializer):
    """How the caller wants a kind of notice by a channel."""

    class Meta:
        model = NoticePreference
        fields = ["id", "kind", "channel", "digest"]


@extend_schema_field({"type": "string", "pattern": CLOCK.pattern})
class ClockField(serializers.Field):
    """Hours and minutes as a clock shows them: 17:30."""

    default_error_messages = {"clock": "Write it like 17:30."}

    def to_internal_value(self, data: Any) -> time:
        if not isinstance(data, str) or not CLOCK.fullmatch(data):
            self.fail("clock")
        return time.fromisoformat(data)

    def to_representation(self, value: time) -> str:
        return f"{value:%H:%M}"


class ClockSerializer(serializers.ModelSerializer):
    """Language and clock of the caller's e-mails."""

    daily_at = ClockField()
    mute_from = ClockField(allow_null=True)
    mute_until = ClockField(allow_null=True)

    class Meta:
        model = NoticeSettings
        fields = ["language", "time_zone", "daily_at", "weekly_on", "mute_from", "mute_until"]


class ClockBody(Body):
    """All of it; what is left out is as at first."""

    language = serializers.CharField(max_length=2, default="en", help_text="en or de.")
    time_zone = serializers.CharField(max_length=60, default="Europe/Berlin")
    daily_at = ClockField(default=time(8), help_text="When collected e-mails are sent.")
    weekly_on = serializers.IntegerField(default=0, min_value=0, max_value=6, help_text="Of a week; 0: Monday.")
    mute_from = ClockField(default=None, allow_null=True, help_text="No e-mail from then on,")
    mute_until = ClockField(default=None, allow_null=True, help_text="until then, every day.")


class PreferenceBody(Body):
    """A wish."""

    kind = serializers.ChoiceField(choices=KINDS)
    channel = serializers.ChoiceField(choices=[(name, name) for name in wishes.CHANNELS])
    digest = serializers.ChoiceField(choices=Digest.choices, help_text="In the portal: now or off.")


class Preferences(mixins.ListModelMixin, Endpoint):
    """The caller's wishes; what is not listed comes at once."""

    tag = "Notices"
    summaries = {"list": "List notice preferences"}
    queryset = NoticePreference.objects.order_by("id")
    serializer_class = PreferenceSerializer
    verbs = {"POST": Verb.VIEW, "PUT": Verb.VIEW}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """One's own."""
        return rows.filter(user=self.request.user)

    @extend_schema(request=PreferenceBody, responses={200: PreferenceSerializer})
    def create(self, request) -> Response:
        """Choose how a kind of notice comes by a channel; again replaces the choice."""
        return self.shown(wishes.prefer(user=request.user, **self.body(PreferenceBody)))

    @extend_schema(responses={200: ClockSerializer})
    @action(detail=False, methods=["get"], pagination_class=None)
    def clock(self, request) -> Response:
        """Read the caller's language, time zone and the time at which no e-mail is sent."""
        return self.shown(self._clock(), ClockSerializer)

    @extend_schema(request=ClockBody, responses={200: ClockSerializer})
    @clock.mapping.put
    def set_clock(self, request) -> Response:
        """Choose language, time zone, the hour of daily e-mails, and the time at which none is sent."""
        return self.shown(wishes.set_clock(user=request.user, **self.body(ClockBody)), ClockSerializer)

    def _clock(self) -> NoticeSettings:
        user = self.request.user
        return NoticeSettings.objects.filter(user=user).first() or NoticeSettings(user=user)


class Silences(mixins.ListModelMixin, Endpoint):
    """The caller's silences that stand; `POST /notices/{id}/silence` makes one."""

    tag = "Notices"
    summaries = {"list": "List silences"}
    queryset = Silence.objects.order_by("-id")
    serializer_class = SilenceSerializer
    verbs = {"DELETE": Verb.VIEW}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """One's own that have not ended."""
        return rows.filter(user=self.request.user, until__gt=self.now(), lifted_at__isnull=True)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """End a silence now."""
        inbox.lift(silence=self.get_object(), at=self.now())
        return Response(status=HTTPStatus.NO_CONTENT)


class EscalationSerializer(serializers.ModelSerializer):
    """After how many minutes without a reader the next ones up are told."""

    account = serializers.IntegerField(source="account_id")

    class Meta:
        model = Escalation
        fields = ["account", "after_minutes", "set_by", "set_at"]


class EscalationBody(Body):
    """An account and the minutes; 0: all are told at once."""

    account = InReach(Account.objects.all())
    after_minutes = serializers.IntegerField(min_value=0, max_value=wishes.MINUTES_MOST)


class ByAccount(StablePagination):
    """An account has one escalation at most, which is known by it."""

    ordering = "-account_id"


class Escalations(mixins.ListModelMixin, Endpoint):
    """Escalations of the accounts that the caller runs."""

    tag = "Notices"
    summaries = {"list": "List escalations"}
    queryset = Escalation.objects.all()
    serializer_class = EscalationSerializer
    pagination_class = ByAccount
    verbs = {"GET": Verb.MANAGE, "HEAD": Verb.MANAGE}

    @extend_schema(request=EscalationBody, responses={200: EscalationSerializer, 204: None})
    def create(self, request) -> Response:
        """Set the escalation of an account and all below it, or end it with 0 minutes."""
        made = wishes.escalate(**self.body(EscalationBody), **self.write_context)
        return self.shown(made) if made else Response(status=HTTPStatus.NO_CONTENT)


class EndpointSerializer(serializers.ModelSerializer):
    """Where notices of an enterprise are posted."""

    kinds = serializers.ListField(child=serializers.CharField(), help_text="None: all.")

    class Meta:
        model = WebhookEndpoint
        fields = ["id", "enterprise", "url", "kinds", "created_by", "created_at", "disabled_at"]


class NewEndpointSerializer(EndpointSerializer):
    """The same with its secret: shown this once."""

    class Meta(EndpointSerializer.Meta):
        fields = [*EndpointSerializer.Meta.fields, "secret"]


class EndpointBody(Body):
    """An endpoint to be added."""

    enterprise = InReach(Enterprise.objects.all())
    url = serializers.CharField(max_length=400)
    kinds = serializers.ListField(child=serializers.ChoiceField(choices=KINDS), required=False, max_length=len(KINDS))


class Endpoints(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Webhook endpoints of the enterprises that the caller runs as a whole."""

    tag = "Notices"
    summaries = {"list": "List webhook endpoints", "retrieve": "Read a webhook endpoint"}
    queryset = WebhookEndpoint.objects.order_by("-id")
    serializer_class = EndpointSerializer
    verbs = {"GET": Verb.MANAGE, "HEAD": Verb.MANAGE}

    @extend_schema(request=EndpointBody, responses={201: NewEndpointSerializer})
    def create(self, request) -> Response:
        """Add a webhook endpoint. Its secret is in this answer and nowhere else."""
        return self.made(webhooks.add(**self.body(EndpointBody), **self.write_context), NewEndpointSerializer)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Remove a webhook endpoint: nothing is posted there any more, its log stays."""
        webhooks.disable(endpoint=self.get_object(), **self.write_context)
        return Response(status=HTTPStatus.NO_CONTENT)


class PostSerializer(serializers.ModelSerializer):
    """A notice on its way to an endpoint."""

    webhook_id = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields = ["id", "webhook_id", "notice", "endpoint", "state", "attempts", "next_at", "problem", "sent_at"]

    def get_webhook_id(self, delivery: Delivery) -> str:
        """As its receiver sees it; the same each time."""
        return f"dlv_{delivery.id}"


class PostFilters(django_filters.FilterSet):
    """Posts by endpoint, notice and state."""

    endpoint = IdFilter(field_name="endpoint_id")
    notice = IdFilter(field_name="notice_id")
    state = django_filters.ChoiceFilter(choices=Delivery._meta.get_field("state").choices)

    class Meta:
        model = Delivery
        fields: list[str] = []


class Deliveries(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """The log of webhooks."""

    tag = "Notices"
    summaries = {"list": "List webhook deliveries", "retrieve": "Read a webhook delivery"}
    queryset = Delivery.objects.filter(endpoint__isnull=False).order_by("-id")
    serializer_class = PostSerializer
    filterset_class = PostFilters
    verbs = {"GET": Verb.MANAGE, "HEAD": Verb.MANAGE}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """Those of enterprises that the caller runs as a whole."""
        return rows.filter(endpoint__enterprise_id__in=self.scope.whole_enterprise_ids(verb))

    @extend_schema(request=None, responses={200: PostSerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request, pk: int) -> Response:
        """Post a notice again, whatever became of it; its webhook-id stays the same."""
        return self.shown(deliver.replay(delivery=self.get_object(), at=self.now()))
