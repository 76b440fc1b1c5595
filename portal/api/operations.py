"""Behind the scenes: long jobs with their progress, and the column profiles of usage files."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances.models import Enterprise, Operator
from balances.scope import Verb
from portal.api.endpoints import Endpoint
from portal.api.values import Body, IdFilter
from portal.charging import profiles
from portal.models import ColumnProfile, Job, JobState
from portal.provisioning import uploads


class JobSerializer(serializers.ModelSerializer):
    """A long piece of work: how far it is, and what went wrong."""

    percent = serializers.IntegerField()
    errors = serializers.SerializerMethodField(help_text="The first hundred rows that went wrong.")

    class Meta:
        model = Job
        fields = [
            "id",
            "enterprise",
            "operator",
            "kind",
            "title",
            "state",
            "percent",
            "total",
            "counts",
            "errors",
            "created_at",
            "finished_at",
        ]

    def get_errors(self, job: Job) -> list[dict[str, Any]]:
        """Row, column, message."""
        view = self.context["view"]
        return uploads.errors_for(job, view.scope, view.request.user.pk)


class JobFilters(django_filters.FilterSet):
    """Jobs by enterprise, kind and state."""

    enterprise = IdFilter(field_name="enterprise_id")
    kind = django_filters.CharFilter()
    state = django_filters.ChoiceFilter(choices=JobState.choices)

    class Meta:
        model = Job
        fields: list[str] = []


class Jobs(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Jobs of the enterprises in reach; those of no single enterprise are the operator's own staff's."""

    tag = "Jobs"
    summaries = {"list": "List jobs", "retrieve": "Read a job"}
    queryset = Job.objects.all()
    serializer_class = JobSerializer
    filterset_class = JobFilters

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """By enterprise; and by operator where there is none."""
        of_enterprises = Q(enterprise_id__in=self.scope.whole_enterprise_ids(verb))
        return rows.filter(of_enterprises | Q(enterprise__isnull=True, operator_id__in=self.scope.operator_ids))


@extend_schema_field({"type": "object", "additionalProperties": True})
class MappingField(serializers.DictField):
    """How columns become fields; `portal.charging.columns` checks it."""


class ProfileSerializer(serializers.ModelSerializer):
    """How the columns of an operator's own file become records."""

    mapping = serializers.JSONField(help_text="Columns, constants, services, units, times: see docs/files.md.")

    class Meta:
        model = ColumnProfile
        fields = ["id", "operator", "name", "mapping", "created_at"]


class ProfileBody(Body):
    """A profile to be made or to take the place of one."""

    operator = serializers.IntegerField(min_value=1, required=False, help_text="Needed only by those with several.")
    name = serializers.CharField(max_length=60)
    mapping = MappingField()


class ProfileFilters(django_filters.FilterSet):
    """Profiles by operator and name."""

    operator = IdFilter(field_name="operator_id")
    name = django_filters.CharFilter()

    class Meta:
        model = ColumnProfile
        fields: list[str] = []


class Profiles(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Column profiles of the operators whose enterprises the caller may send usage for."""

    tag = "Usage"
    summaries = {"list": "List column profiles", "retrieve": "Read a column profile"}
    queryset = ColumnProfile.objects.select_related("operator")
    serializer_class = ProfileSerializer
    filterset_class = ProfileFilters
    verbs = {"POST": Verb.ADMINISTER, "PUT": Verb.ADMINISTER, "DELETE": Verb.ADMINISTER}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """Profiles are the operator's; its customers read them, to send files."""
        own = Q(operator_id__in=self.scope.operator_ids)
        if verb == Verb.ADMINISTER:
            return rows.filter(own)
        served = Enterprise.objects.filter(id__in=self.scope.whole_enterprise_ids(verb))
        return rows.filter(own | Q(operator_id__in=served.order_by().values("operator_id")))

    @extend_schema(
        request=ProfileBody,
        responses={201: ProfileSerializer},
        examples=[
            OpenApiExample(
                "A switch that writes minutes",
                value={
                    "name": "Switch",
                    "mapping": {
                        "columns": {
                            "source_record_id": ["SWITCH", "SEQ"],
                            "msisdn": ["A_NUMBER"],
                            "units": ["MIN"],
                            "started_at": ["DATE", "TIME"],
                        },
                        "constants": {"service": "voice"},
                        "units": {"voice": "minutes"},
                        "rounding": "up",
                        "time_format": "%d.%m.%Y %H:%M:%S",
                        "time_zone": "Europe/Berlin",
                    },
                },
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Make a column profile."""
        values = self.body(ProfileBody)
        own = self.scope.operator_ids
        wanted = values.pop("operator", next(iter(own)) if len(own) == 1 else None)
        if wanted not in own:
            raise PermissionDenied("Only account managers of the operator make its profiles. Name the operator.")
        return self.made(profiles.save(operator=Operator.objects.get(id=wanted), **values, **self.write_context))

    @extend_schema(request=ProfileBody, responses=ProfileSerializer)
    def update(self, request, pk: int) -> Response:
        """Replace a column profile. Files read before stay as they were read."""
        profile = self.get_object()
        values = self.body(ProfileBody)
        values.pop("operator", None)
        return self.shown(profiles.save(operator=profile.operator, profile=profile, **values, **self.write_context))

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Remove a column profile."""
        profiles.remove(profile=self.get_object(), **self.write_context)
        return Response(status=204)
