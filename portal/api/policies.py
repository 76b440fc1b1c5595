"""Restriction policies: drafts, conflicts, replays, versions, publishing."""

from __future__ import annotations

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances.models import Account
from policies import publishing
from policies.conditions import write_text
from policies.models import Policy, PolicyState, PolicyVersion
from policies.rules import rules_from_json
from portal.api.endpoints import Endpoint
from portal.api.operations import JobSerializer
from portal.api.values import Body, IdFilter, InReach, Instant
from portal.models import User
from portal.provisioning import replays

_RULES = [
    {
        "name": "No data abroad out of hours",
        "when": "service is data and roaming is yes and not time within 07:00-20:00",
        "beyond": None,
        "action": "stop_now",
        "approval": False,
    }
]


@extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
class RulesField(serializers.JSONField):
    """Rules in order: name, when (a condition as JSON or text), beyond, action, grace, approval, exception, hint."""


class PolicyVersionSerializer(serializers.ModelSerializer):
    """The rules of a policy for a time. A published version never changes but for its end."""

    rules = RulesField()
    texts = serializers.SerializerMethodField(help_text="The conditions of the rules as text, in order.")
    words = serializers.SerializerMethodField(help_text="The rules as sentences, in order.")
    conflicts = serializers.SerializerMethodField(
        help_text="Pairs of rules that can meet with different actions, which wins and why; of a draft: as of now."
    )

    class Meta:
        model = PolicyVersion
        fields = [
            "id",
            "policy",
            "number",
            "state",
            "rules",
            "texts",
            "words",
            "note",
            "conflicts",
            "effective_at",
            "ends_at",
            "made_at",
            "published_at",
            "published_by",
            "reason",
            "retired_at",
            "restores",
        ]

    def get_texts(self, version: PolicyVersion) -> list[str]:
        """Conditions as those who type write them."""
        return [write_text(rule.when) for rule in rules_from_json(version.rules)]

    def get_words(self, version: PolicyVersion) -> list[str]:
        """Rules as people say them."""
        return [rule.words() for rule in rules_from_json(version.rules)]

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
    def get_conflicts(self, version: PolicyVersion) -> list[dict]:
        """As found when it was published, or now."""
        if version.state != PolicyState.DRAFT:
            return version.conflicts
        return [conflict.as_data() for conflict in publishing.conflicts(version)]


class PolicySerializer(serializers.ModelSerializer):
    """Rules for an account and all below it."""

    published = serializers.SerializerMethodField(help_text="Id of the version that is published.")
    draft = serializers.SerializerMethodField(help_text="Id of the draft in work.")

    class Meta:
        model = Policy
        fields = ["id", "enterprise", "account", "name", "published", "draft", "made_at", "made_by"]

    def get_published(self, policy: Policy) -> int | None:
        """The version that holds, or will."""
        return self._version(policy, PolicyState.PUBLISHED)

    def get_draft(self, policy: Policy) -> int | None:
        """The version in work."""
        return self._version(policy, PolicyState.DRAFT)

    @staticmethod
    def _version(policy: Policy, state: str) -> int | None:
        return next((version.id for version in policy.versions.all() if version.state == state), None)


class NewPolicyBody(Body):
    """A policy: from a template, or with a name and rules of its own."""

    account = InReach(Account.objects.all())
    template = serializers.SlugField(
        max_length=40, required=False, help_text="The key of one of `policy-templates` that is offered."
    )
    name = serializers.CharField(max_length=80, required=False)
    rules = RulesField(required=False)
    note = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)

    def validate(self, values: dict) -> dict:
        """One or the other."""
        if ("template" in values) == ("name" in values):
            raise serializers.ValidationError({"name": ["Give either a template, or a name and rules."]}, code="name")
        return values


class DraftBody(Body):
    """Rules of the draft, in place of those that it has."""

    rules = RulesField()
    note = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)


class PublishBody(Body):
    """Why the draft is published, and from when on it holds; now, unless told."""

    reason = serializers.CharField(max_length=200)
    effective_at = Instant(required=False, allow_null=True)


class ReasonBody(Body):
    """Why."""

    reason = serializers.CharField(max_length=200)


class ReplayBody(Body):
    """Over how many days the draft, or else the published version, is replayed."""

    days = serializers.IntegerField(min_value=1, max_value=replays.DAYS_MOST, default=replays.DAYS)


class PolicyFilters(django_filters.FilterSet):
    """Policies by place."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")

    class Meta:
        model = Policy
        fields: list[str] = []


class Policies(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Policies of the accounts in reach."""

    tag = "Policies"
    summaries = {"list": "List policies", "retrieve": "Read a policy"}
    queryset = Policy.objects.prefetch_related("versions").order_by("id")
    serializer_class = PolicySerializer
    filterset_class = PolicyFilters

    @extend_schema(
        request=NewPolicyBody,
        responses={201: PolicyVersionSerializer},
        examples=[
            OpenApiExample("From a template", value={"account": 12, "template": "eu-roaming"}, request_only=True),
            OpenApiExample("Own rules", value={"account": 12, "name": "Abroad", "rules": _RULES}, request_only=True),
        ],
    )
    def create(self, request) -> Response:
        """Draft a policy.

        Nothing happens before it is published; a template's limits are made at once, and only tell people.
        """
        values = self.body(NewPolicyBody)
        if template := values.get("template"):
            made = publishing.create_from_template(account=values["account"], template=template, **self.write_context)
        else:
            made = publishing.create(
                account=values["account"], name=values["name"], rules=values.get("rules", []), note=values["note"],
                **self.write_context,
            )  # fmt: skip
        return self.made(made, PolicyVersionSerializer)

    @extend_schema(request=DraftBody, responses={200: PolicyVersionSerializer(many=True), 201: PolicyVersionSerializer})
    @action(detail=True, methods=["get"], filterset_class=None)
    def versions(self, request, pk: int) -> Response:
        """List a policy's versions, latest first."""
        return self.page(self.get_object().versions.order_by("-number"), PolicyVersionSerializer)

    @extend_schema(request=DraftBody, responses={201: PolicyVersionSerializer})
    @versions.mapping.post
    def draft(self, request, pk: int) -> Response:
        """Write the policy's draft, in place of the one in work.

        What is wrong with a rule is said with its place in it.
        """
        policy = self.get_object()
        values = self.body(DraftBody)
        return self.made(publishing.save_draft(policy=policy, **values, **self.write_context), PolicyVersionSerializer)

    @extend_schema(request=None, responses={204: None})
    @versions.mapping.delete
    def discard(self, request, pk: int) -> Response:
        """Throw the draft away; what is published stays. A policy that was never published goes with it."""
        publishing.discard(version=self._draft(self.get_object()), **self.write_context)
        return Response(status=204)

    @extend_schema(request=PublishBody, responses={200: PolicyVersionSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def publish(self, request, pk: int) -> Response:
        """Publish the draft, in place of what is published."""
        policy = self.get_object()
        values = self.body(PublishBody)
        published = publishing.publish(version=self._draft(policy), **values, **self.write_context)
        return self.shown(published, PolicyVersionSerializer)

    @extend_schema(request=None, responses={200: PolicySerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def undo(self, request, pk: int) -> Response:
        """Take the latest publication back: what held before holds again, as a new version."""
        policy = self.get_object()
        publishing.undo_publication(policy=policy, **self.write_context)
        return self.shown(self.get_object())

    @extend_schema(request=ReasonBody, responses={200: PolicyVersionSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def retire(self, request, pk: int) -> Response:
        """End the published version now."""
        policy = self.get_object()
        values = self.body(ReasonBody)
        return self.shown(publishing.retire(policy=policy, **values, **self.write_context), PolicyVersionSerializer)

    @extend_schema(responses={200: JobSerializer(many=True)})
    @action(detail=True, methods=["get"], filterset_class=None)
    def replays(self, request, pk: int) -> Response:
        """List the replays of the draft, or else of the published version, latest first."""
        version = self._latest(self.get_object())
        return self.page(replays.of_version(version), JobSerializer)

    @extend_schema(request=ReplayBody, responses={201: JobSerializer})
    @replays.mapping.post
    def replay(self, request, pk: int) -> Response:
        """Replay the draft, or else the published version, over stored usage.

        The answer is a job: its `counts.replay` says, once it is done, whom the rules would have cut, and what saved.
        """
        policy = self.get_object()
        values = self.body(ReplayBody)
        user = request.user if isinstance(request.user, User) else None
        job = replays.start(version=self._latest(policy), **values, created_by=user, at=self.now())
        return self.made(job, JobSerializer)

    @staticmethod
    def _draft(policy: Policy) -> PolicyVersion:
        draft = policy.versions.filter(state=PolicyState.DRAFT).first()
        if draft is None:
            raise publishing.PolicyRefused("There is no draft: write one first.")
        return draft

    @staticmethod
    def _latest(policy: Policy) -> PolicyVersion:
        return policy.versions.select_related("policy__enterprise__operator").order_by("-number")[0]
