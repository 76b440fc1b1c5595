"""Notices of the caller, how they want to be told, and webhooks of enterprises."""

from __future__ import annotations

from http import HTTPStatus

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances.models import Enterprise
from balances.scope import Verb
from portal.api.endpoints import Endpoint
from portal.api.values import Body, IdFilter, InReach, Instant, InstantFilter, ServiceField, ServiceFilter
from portal.models import Delivery, Digest, Notice, NoticeKind, NoticePreference, Severity, WebhookEndpoint
from portal.notices import deliver, inbox, webhooks, words
from portal.notices import preferences as wishes

KINDS = NoticeKind.choices


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
    verbs = {"POST": Verb.VIEW}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """One's own."""
        return rows.filter(user=self.request.user)

    @extend_schema(request=PreferenceBody, responses={200: PreferenceSerializer})
    def create(self, request) -> Response:
        """Choose how a kind of notice comes by a channel; again replaces the choice."""
        return self.shown(wishes.prefer(user=request.user, **self.body(PreferenceBody)))


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
