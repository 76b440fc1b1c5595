"""Suspense: records that could not be charged yet, why, and the two ways out: recycled, or written off."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from balances.models import SuspendedUsage
from balances.models.usage import SuspenseReason, SuspenseState
from balances.scope import Verb
from portal.api.authentication import scope_of_request
from portal.api.endpoints import Endpoint
from portal.api.values import BIGINT_MOST, Body, IdFilter, InstantFilter
from portal.charging import concealing, suspense

CORRECTION_LENGTH = 120


class SuspendedSerializer(serializers.ModelSerializer):
    """A record that waits, with the reason in words."""

    source = serializers.CharField(source="source.name")
    usage_batch = serializers.SerializerMethodField(help_text="Null where what it says is not shown.")
    record = serializers.JSONField(
        help_text="As it was sent; service and day alone, where a person may have to pay it."
    )
    title = serializers.SerializerMethodField(help_text="The reason, in words.")
    how_to_mend = serializers.SerializerMethodField()
    recycled_as = serializers.SerializerMethodField(help_text="The delivery that carries it now.")

    class Meta:
        model = SuspendedUsage
        fields = [
            "id",
            "enterprise",
            "operator",
            "usage_batch",
            "source",
            "source_record_id",
            "record",
            "reason",
            "title",
            "detail",
            "how_to_mend",
            "suspended_at",
            "state",
            "resolved_at",
            "resolved_by",
            "note",
            "recycled_as",
        ]

    def get_usage_batch(self, row: SuspendedUsage) -> UUID | None:
        """The delivery that brought it."""
        return None if concealing.is_concealed(row) else row.part.batch_id

    def get_recycled_as(self, row: SuspendedUsage) -> UUID | None:
        """The delivery that carries it now."""
        if row.recycled_as is None or concealing.is_concealed(row):
            return None
        return row.recycled_as.batch_id

    def get_title(self, row: SuspendedUsage) -> str:
        """The reason's name for people."""
        return suspense.REASON_TEXTS[row.reason].title

    def get_how_to_mend(self, row: SuspendedUsage) -> str:
        """What usually helps."""
        return suspense.REASON_TEXTS[row.reason].mend


class CorrectionsBody(Body):
    """Values to be sent instead; an empty one takes the field away."""

    source_record_id = serializers.CharField(max_length=80, required=False)
    service = serializers.CharField(max_length=CORRECTION_LENGTH, required=False)
    msisdn = serializers.CharField(max_length=CORRECTION_LENGTH, required=False, allow_blank=True)
    imsi = serializers.CharField(max_length=CORRECTION_LENGTH, required=False, allow_blank=True)
    units = serializers.CharField(max_length=CORRECTION_LENGTH, required=False)
    started_at = serializers.CharField(max_length=CORRECTION_LENGTH, required=False)
    ended_at = serializers.CharField(max_length=CORRECTION_LENGTH, required=False, allow_blank=True)
    visited_network = serializers.CharField(max_length=CORRECTION_LENGTH, required=False, allow_blank=True)
    other_party = serializers.CharField(max_length=CORRECTION_LENGTH, required=False, allow_blank=True)
    imei = serializers.CharField(max_length=CORRECTION_LENGTH, required=False, allow_blank=True)


class RecycleBody(Body):
    """What to correct, if anything, before one record is sent again."""

    corrections = CorrectionsBody(required=False)


class WriteOffBody(Body):
    """Why one record will not be charged."""

    note = serializers.CharField(max_length=suspense.NOTE_LENGTH)


class ChosenBody(Body):
    """Which records: by id, or all open ones that match."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=BIGINT_MOST),
        min_length=1,
        max_length=5_000,
        required=False,
    )
    enterprise = serializers.IntegerField(min_value=1, max_value=BIGINT_MOST, required=False)
    source = serializers.CharField(max_length=60, required=False)
    reason = serializers.ChoiceField(choices=SuspenseReason.choices, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A mistyped request must not mean "everything"."""
        if not attrs.keys() & {"ids", "enterprise", "source", "reason"}:
            raise ValidationError("Choose records: by ids, or by enterprise, source or reason.", code="chosen")
        return attrs


class RecycleManyBody(ChosenBody):
    """Which records to send again, and what to correct in all of them alike."""

    corrections = CorrectionsBody(required=False)


class WriteOffManyBody(ChosenBody):
    """Which records will not be charged, and why."""

    note = serializers.CharField(max_length=suspense.NOTE_LENGTH)


class ResolvedSerializer(serializers.Serializer):
    """How many records were resolved, and how many more match."""

    resolved = serializers.IntegerField()
    remaining = serializers.IntegerField(
        help_text="Still open of those chosen: call again, or they cannot be recycled."
    )


class SuspenseFilters(django_filters.FilterSet):
    """Suspended records by state, reason, source and time."""

    enterprise = IdFilter(field_name="enterprise_id")
    state = django_filters.ChoiceFilter(choices=SuspenseState.choices)
    reason = django_filters.ChoiceFilter(choices=SuspenseReason.choices)
    source = django_filters.CharFilter(field_name="source__name")
    source_record_id = django_filters.CharFilter(method="with_own_id")
    since = InstantFilter(method="suspended_since", label="Suspended at or after; by day where only the day is shown.")

    class Meta:
        model = SuspendedUsage
        fields: list[str] = []

    def with_own_id(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """By the sender's id, as far as the caller sees it."""
        return suspense.matching(rows, scope_of_request(self.request), Q(source_record_id=value))

    def suspended_since(self, rows: QuerySet, name: str, value: datetime) -> QuerySet:
        """From an instant on, or from the beginning of its day."""
        return suspense.since(rows, scope_of_request(self.request), value)


class Suspense(Endpoint):
    """Suspended records in reach; those of nobody's line are the operator's own staff's."""

    tag = "Suspense"
    queryset = SuspendedUsage.objects.select_related("source", "part", "recycled_as")
    serializer_class = SuspendedSerializer
    filterset_class = SuspenseFilters

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """As `portal.charging.suspense` has it."""
        return rows.filter(pk__in=suspense.within(self.scope, verb).order_by().values("pk"))

    def _data(self, thing: Any, serializer_class: type[BaseSerializer] | None, **options: Any) -> Any:
        rows = thing if options.get("many") else [thing]
        suspense.show(rows, self.scope)
        return super()._data(thing, serializer_class, **options)

    def retrieve(self, request, pk: int) -> Response:
        """Read a suspended record.

        Where people pay some of their usage, only the operator's staff read what it says; others reason, service, day.
        """
        return self.shown(self.get_object())

    def list(self, request) -> Response:
        """List suspended records.

        Where people pay some of their usage, only the operator's staff read what they say; others reason, service, day.
        """
        return self.page(self.filter_queryset(self.get_queryset()))

    @extend_schema(
        request=RecycleBody,
        responses=SuspendedSerializer,
        examples=[
            OpenApiExample("A typing error", value={"corrections": {"msisdn": "491701234567"}}, request_only=True)
        ],
    )
    @action(detail=True, methods=["post"], filterset_class=None)
    def recycle(self, request, pk: int) -> Response:
        """Send a record again, with corrections.

        It goes the way of every delivery; `recycled_as` names the one that carries it. Recycling twice does nothing.
        """
        row = self.get_object()
        corrections = self.body(RecycleBody).get("corrections")
        suspense.recycle(ids=[row.pk], corrections=corrections, scope=self.scope, **self.write_context)
        return self.shown(self.get_object())

    @extend_schema(request=WriteOffBody, responses=SuspendedSerializer)
    @action(detail=True, methods=["post"], url_path="write-off", filterset_class=None)
    def write_off(self, request, pk: int) -> Response:
        """Decide that a record will not be charged, and say why."""
        row = self.get_object()
        suspense.write_off(ids=[row.pk], scope=self.scope, **self.body(WriteOffBody), **self.write_context)
        return self.shown(self.get_object())

    @extend_schema(
        operation_id="suspense_recycle_many",
        request=RecycleManyBody,
        responses=ResolvedSerializer,
        examples=[OpenApiExample("After adding the lines", value={"reason": "unknown_line"}, request_only=True)],
    )
    @action(detail=False, methods=["post"], url_path="recycle", url_name="recycle-many", filterset_class=None)
    def recycle_many(self, request) -> Response:
        """Send many records again, chosen by id or by what they have in common.

        At most 50,000 a call. Conflicts are left alone: each needs an id of its own.
        """
        values = self.body(RecycleManyBody)
        corrections = values.pop("corrections", None)
        chosen = self._chosen(values)
        ids = list(chosen.values_list("pk", flat=True)[: suspense.MOST_AT_ONCE])
        resolved = suspense.recycle(ids=ids, corrections=corrections, scope=self.scope, **self.write_context)
        return Response({"resolved": resolved, "remaining": chosen.count()})

    @extend_schema(operation_id="suspense_write_off_many", request=WriteOffManyBody, responses=ResolvedSerializer)
    @action(detail=False, methods=["post"], url_path="write-off", url_name="write-off-many", filterset_class=None)
    def write_off_many(self, request) -> Response:
        """Decide that many records will not be charged, and say why.

        At most 50,000 a call.
        """
        values = self.body(WriteOffManyBody)
        note = values.pop("note")
        chosen = self._chosen(values)
        ids = list(chosen.values_list("pk", flat=True)[: suspense.MOST_AT_ONCE])
        resolved = suspense.write_off(ids=ids, note=note, scope=self.scope, **self.write_context)
        return Response({"resolved": resolved, "remaining": chosen.count()})

    def _chosen(self, by: dict[str, Any]) -> QuerySet:
        """Open records in reach that fit every given condition, oldest first."""
        rows = suspense.within(self.scope).filter(state=SuspenseState.OPEN)
        fields = {"ids": "pk__in", "enterprise": "enterprise_id", "source": "source__name", "reason": "reason"}
        return rows.filter(**{fields[name]: value for name, value in by.items()}).order_by("pk")
