"""Who pays: rules of accounts, their drafts and versions, what is inherited; and who would pay for a made-up event."""

from __future__ import annotations

from typing import Any

import django_filters
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances.models import Account, Line, Zone
from balances.scope import Verb
from balances.selectors.terms import terms_at
from policies.conditions import write_text
from policies.models import PolicyState, Steering, SteeringVersion
from policies.steering import publishing, standing, templates
from policies.steering.cautions import cautions
from policies.steering.loading import catalogue_of, terms_of
from policies.steering.rules import missing_to_json, parts_to_json
from portal import steering_trials
from portal.api.endpoints import Endpoint
from portal.api.policies import PublishBody, ReasonBody
from portal.api.steering_replays import SteeringReplays
from portal.api.values import Body, IdFilter, InReach, Instant, ServiceField, Units
from portal.steering_words import Wording

_RULES = [
    {
        "name": "First 5 GB",
        "when": "service is data and roaming is no",
        "pays": [
            {"payer": "corporate", "units": 5_368_709_120, "every": "cycle", "of": "person"},
            {"payer": "personal"},
        ],
        "fixed": False,
    }
]


@extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
class RulesField(serializers.JSONField):
    """Rules in the order of asking: name, when (a condition as JSON or text), pays, fixed, hint."""


@extend_schema_field({"nullable": True, "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]})
class PaysField(serializers.JSONField):
    """corporate, personal, or a list of parts; null: as it is said above."""


class SteeringVersionSerializer(serializers.ModelSerializer):
    """Who pays from a time on, by the time of use. A published version never changes but for its end."""

    account = serializers.IntegerField(source="steering.account_id")
    rules = RulesField()
    default = PaysField(help_text="Who pays where no rule matches; null: as it is said above.")
    missing = serializers.DictField(help_text="What happens where a person cannot pay; empty: as it is said above.")
    texts = serializers.SerializerMethodField(help_text="The conditions of the rules as text, in order.")
    words = serializers.SerializerMethodField(help_text="The rules as sentences, in order.")
    cautions = serializers.SerializerMethodField(help_text="What to look at before it is published; of a draft only.")

    class Meta:
        model = SteeringVersion
        fields = [
            "id",
            "steering",
            "account",
            "number",
            "state",
            "rules",
            "default",
            "missing",
            "texts",
            "words",
            "cautions",
            "note",
            "effective_at",
            "ends_at",
            "made_at",
            "published_at",
            "published_by",
            "reason",
            "retired_at",
            "restores",
        ]

    def get_texts(self, version: SteeringVersion) -> list[str]:
        """Conditions as those who type write them."""
        return [write_text(rule.when) for rule in terms_of(version).rules]

    def get_words(self, version: SteeringVersion) -> list[str]:
        """Rules as people say them."""
        wording = wording_of(version.enterprise_id, self.context["view"].now())
        return [wording.rule(rule) for rule in terms_of(version, wording.catalogue).rules]

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
    def get_cautions(self, version: SteeringVersion) -> list[dict]:
        """Rules that never decide, facts that nobody has, budgets that go on."""
        if version.state != PolicyState.DRAFT:
            return []
        found = cautions(version, self.context["view"].now())
        return [{"about": one.about.value, "rule": one.rule, "words": one.words} for one in found]


def wording_of(enterprise_id: int, at) -> Wording:
    """How rules of an enterprise are said."""
    zones = dict(Zone.objects.filter(operator__enterprises=enterprise_id).values_list("code", "name"))
    return Wording(zones, terms_at(enterprise_id, at).currency, catalogue_of(enterprise_id))


class SteeringSerializer(serializers.ModelSerializer):
    """Who pays for an account and all below it."""

    published = serializers.SerializerMethodField(help_text="Id of the version that is published.")
    draft = serializers.SerializerMethodField(help_text="Id of the draft in work.")

    class Meta:
        model = Steering
        fields = ["id", "enterprise", "account", "published", "draft", "made_at", "made_by"]

    def get_published(self, steering: Steering) -> int | None:
        """The version that holds, or will."""
        return self._version(steering, PolicyState.PUBLISHED)

    def get_draft(self, steering: Steering) -> int | None:
        """The version in work."""
        return self._version(steering, PolicyState.DRAFT)

    @staticmethod
    def _version(steering: Steering, state: str) -> int | None:
        return next((version.id for version in steering.versions.all() if version.state == state), None)


class SteeringDraftBody(Body):
    """What a draft says, in place of what it said."""

    rules = RulesField()
    default = PaysField(required=False, allow_null=True, default=None)
    missing = serializers.JSONField(
        required=False, allow_null=True, default=None, help_text='{"action": "refuse"} or interim with micros.'
    )
    note = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)


class NewSteeringBody(Body):
    """The draft of an account: with a template's rules behind its own, or with rules in place of them."""

    account = InReach(Account.objects.all())
    template = serializers.ChoiceField(choices=list(templates.TEMPLATES), required=False)
    rules = RulesField(required=False)
    default = PaysField(required=False, allow_null=True, default=None)
    missing = serializers.JSONField(required=False, allow_null=True, default=None)
    note = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)

    def validate(self, values: dict) -> dict:
        """One or the other."""
        if ("template" in values) == ("rules" in values):
            raise serializers.ValidationError({"rules": ["Give either a template, or rules."]}, code="rules")
        return values


class InForceRuleSerializer(serializers.Serializer):
    """A rule that holds, where it stands; account null: above the caller's reach."""

    account = serializers.IntegerField(allow_null=True)
    version = serializers.IntegerField()
    number = serializers.IntegerField(help_text="In its version, from 1.")
    name = serializers.CharField()
    fixed = serializers.BooleanField()
    when = serializers.CharField(help_text="As text.")
    pays = PaysField()
    words = serializers.CharField()


class InForceSteeringSerializer(serializers.Serializer):
    """What holds at an account, in the order of asking."""

    rules = InForceRuleSerializer(many=True)
    default = PaysField(help_text="Who pays where no rule matches.")
    missing = serializers.DictField(help_text="What happens where a person cannot pay.")


class InForceSteeringQuery(serializers.Serializer):
    """An account, and a time of use; now, unless told."""

    account = InReach(Account.objects.all(), verb=Verb.VIEW)
    at = Instant(required=False)

    def to_internal_value(self, data: Any) -> Any:
        """Numbers in addresses are text."""
        values = {name: data.get(name) for name in self.fields if name in data}
        if str(values.get("account", "")).isdecimal():
            values["account"] = int(values["account"])
        return super().to_internal_value(values)


class SteeringFilters(django_filters.FilterSet):
    """By place."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")

    class Meta:
        model = Steering
        fields: list[str] = []


class Steerings(mixins.ListModelMixin, mixins.RetrieveModelMixin, SteeringReplays):
    """Who pays, by account in reach."""

    tag = "Who pays"
    summaries = {"list": "List accounts that say who pays", "retrieve": "Read who pays for an account"}
    queryset = Steering.objects.prefetch_related("versions").order_by("id")
    serializer_class = SteeringSerializer
    filterset_class = SteeringFilters

    @extend_schema(
        request=NewSteeringBody,
        responses={201: SteeringVersionSerializer},
        examples=[
            OpenApiExample("From a template", value={"account": 12, "template": "office-hours"}, request_only=True),
            OpenApiExample("Own rules", value={"account": 12, "rules": _RULES, "default": None}, request_only=True),
        ],
    )
    def create(self, request) -> Response:
        """Draft who pays for an account.

        Nothing happens before it is published. A template's rules stand behind those that are there.
        """
        values = self.body(NewSteeringBody)
        if template := values.get("template"):
            made = templates.draft_from(account=values["account"], template=template, **self.write_context)
        else:
            values.pop("template", None)
            made = publishing.save_draft(**values, **self.write_context)
        return self.made(made, SteeringVersionSerializer)

    @extend_schema(parameters=[InForceSteeringQuery], responses={200: InForceSteeringSerializer})
    @action(detail=False, methods=["get"], url_path="in-force", filterset_class=None, pagination_class=None)
    def in_force(self, request) -> Response:
        """Read the rules that hold at an account, inherited ones, too, in the order in which they are asked."""
        values = self.query(InForceSteeringQuery)
        account = values["account"]
        wording = wording_of(account.enterprise_id, self.now())
        along = standing.inherited(account, values.get("at") or self.now(), catalogue=wording.catalogue)
        places = {held.account.id for held in along.rules}
        in_reach = set(Account.objects.within(self.scope).filter(id__in=places).values_list("id", flat=True))
        rules = [
            {
                "account": held.account.id if held.account.id in in_reach else None,
                "version": held.version.id,
                "number": held.number,
                "name": held.rule.name,
                "fixed": held.rule.is_fixed,
                "when": write_text(held.rule.when),
                "pays": parts_to_json(held.rule.pays),
                "words": wording.rule(held.rule),
            }
            for held in along.rules
        ]
        default, missing = parts_to_json(along.default), missing_to_json(along.missing)
        return self.shown({"rules": rules, "default": default, "missing": missing}, InForceSteeringSerializer)

    @extend_schema(responses={200: SteeringVersionSerializer(many=True)})
    @action(detail=True, methods=["get"], filterset_class=None)
    def versions(self, request, pk: int) -> Response:
        """List the versions of an account, latest first."""
        known = self.get_object().versions.select_related("steering__account").order_by("-number")
        return self.page(known, SteeringVersionSerializer)

    @extend_schema(request=SteeringDraftBody, responses={201: SteeringVersionSerializer})
    @versions.mapping.post
    def draft(self, request, pk: int) -> Response:
        """Write the draft of an account, in place of the one in work.

        What is wrong with a rule is said with its place in it.
        """
        account = self.get_object().account
        values = self.body(SteeringDraftBody)
        return self.made(
            publishing.save_draft(account=account, **values, **self.write_context), SteeringVersionSerializer
        )

    @extend_schema(request=None, responses={204: None})
    @versions.mapping.delete
    def discard(self, request, pk: int) -> Response:
        """Throw the draft away; what is published stays."""
        publishing.discard(version=self._draft(self.get_object()), **self.write_context)
        return Response(status=204)

    @extend_schema(request=PublishBody, responses={200: SteeringVersionSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def publish(self, request, pk: int) -> Response:
        """Publish the draft, in place of what is published; by the time of use, never for the past."""
        steering = self.get_object()
        values = self.body(PublishBody)
        made = publishing.publish(version=self._draft(steering), **values, **self.write_context)
        return self.shown(made, SteeringVersionSerializer)

    @extend_schema(request=None, responses={200: SteeringSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def undo(self, request, pk: int) -> Response:
        """Take the latest publication, or the end, back: what would hold without it does, as new versions.

        What it kept from beginning later begins at its own time.
        """
        publishing.undo_publication(steering=self.get_object(), **self.write_context)
        return self.shown(self.get_object())

    @extend_schema(request=ReasonBody, responses={200: SteeringVersionSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def retire(self, request, pk: int) -> Response:
        """End the published version now."""
        steering = self.get_object()
        values = self.body(ReasonBody)
        made = publishing.retire(steering=steering, **values, **self.write_context)
        return self.shown(made, SteeringVersionSerializer)

    @staticmethod
    def _draft(steering: Steering) -> SteeringVersion:
        draft = steering.versions.filter(state=PolicyState.DRAFT).first()
        if draft is None:
            raise publishing.SteeringRefused("There is no draft: write one first.")
        return draft


# --- who would pay? -------------------------------------------------------------------------------------------------


class SteeringTrialBody(Body):
    """A made-up event of a line, as a usage record would say it."""

    line = InReach(Line.objects.all(), verb=Verb.VIEW)
    service = ServiceField()
    units = Units()
    started_at = Instant()
    ended_at = Instant(required=False, allow_null=True)
    visited_network = serializers.CharField(
        max_length=8, required=False, default="", allow_blank=True, help_text="MCC, MCC and MNC, or a country: FR."
    )
    other_party = serializers.RegexField(r"^\+?[0-9]{0,20}$", required=False, default="", allow_blank=True)
    imei = serializers.RegexField(r"^[0-9]{0,15}$", required=False, default="", allow_blank=True)
    attributes = serializers.DictField(required=False, default=dict, help_text="Of the network's message.")
    draft = InReach(
        SteeringVersion.objects.filter(state=PolicyState.DRAFT).select_related("steering"), verb=Verb.VIEW,
        required=False, allow_null=True, help_text="A draft, asked in place of what its account has published.",
    )  # fmt: skip


class TrialRuleSerializer(serializers.Serializer):
    """A rule and where it stands; account null: above the caller's reach."""

    version = serializers.IntegerField()
    number = serializers.IntegerField(help_text="In its version, from 1; 0: its default.")
    name = serializers.CharField()
    account = serializers.IntegerField(source="account.id", allow_null=True, default=None)


class TrialLegSerializer(serializers.Serializer):
    """What one payer would have. Of a person only the units are said, never prices, nor whether they can pay."""

    payer = serializers.SerializerMethodField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True)
    units = serializers.IntegerField()
    refused_units = serializers.IntegerField(allow_null=True)
    covered_units = serializers.IntegerField(allow_null=True, help_text="Drawn from allowances.")
    amount_micros = serializers.IntegerField(allow_null=True, help_text="Charged beyond allowances.")
    value_micros = serializers.IntegerField(allow_null=True, help_text="What the units cost without allowances.")
    rule = TrialRuleSerializer(allow_null=True)
    part = serializers.IntegerField(allow_null=True)
    reasons = serializers.ListField(child=serializers.CharField())

    def get_payer(self, leg: steering_trials.ShownLeg) -> str:
        """corporate or personal."""
        return "personal" if leg.is_personal else "corporate"


class ComparisonSerializer(serializers.Serializer):
    """A comparison and its truth; null: the event does not say."""

    words = serializers.CharField()
    holds = serializers.BooleanField(allow_null=True)


class TrialAskedSerializer(serializers.Serializer):
    """What a rule says to the event at its beginning."""

    rule = TrialRuleSerializer()
    fixed = serializers.BooleanField(source="is_fixed")
    holds = serializers.BooleanField(allow_null=True)
    decides = serializers.BooleanField()
    comparisons = ComparisonSerializer(many=True)


class SteeringTrialSerializer(serializers.Serializer):
    """Who would pay, in order of time; or, in `reason`, why such a record would wait in suspense."""

    legs = TrialLegSerializer(many=True)
    asked = TrialAskedSerializer(many=True, help_text="In the order of asking.")
    reason = serializers.CharField()
    detail = serializers.CharField()


class SteeringTrials(Endpoint):
    """Who would pay for a made-up event; nothing of it is kept."""

    tag = "Who pays"
    queryset = SteeringVersion.objects.none()
    serializer_class = SteeringTrialSerializer
    pagination_class = None
    verbs = {"POST": Verb.VIEW}

    @extend_schema(
        request=SteeringTrialBody,
        responses={200: SteeringTrialSerializer},
        examples=[
            OpenApiExample(
                "A long download across six o'clock",
                value={
                    "line": 4711,
                    "service": "data",
                    "units": 4_194_304,
                    "started_at": "2026-03-16T17:30:00+01:00",
                    "ended_at": "2026-03-16T18:30:00+01:00",
                    "attributes": {"application": "teams"},
                },
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Ask who would pay: cuts, payers, split to the unit, the rule and the truth of each comparison.

        Budgets that people take up, and percents, count as unused, and people as able to pay: nothing that is asked
        tells what anybody used.
        """
        values = self.body(SteeringTrialBody)
        line, draft = values["line"], values.get("draft")
        if not Account.objects.within(self.scope).filter(id=line.account_id).exists():
            raise Http404("No such line.")
        if draft is not None and draft.enterprise_id != line.enterprise_id:
            raise Http404("No such draft.")
        said = {
            "ended_at": values.get("ended_at"),
            "visited_network": steering_trials.network(values["visited_network"]),
            "other_party": values["other_party"].removeprefix("+"),
            "imei": values["imei"],
            "attributes": values["attributes"],
        }
        usage = steering_trials.usage_of(line, values["service"], values["units"], values["started_at"], said)
        trial = steering_trials.tried(scope=self.scope, line=line, usage=usage, now=self.now(), draft=draft)
        return self.shown(trial)
