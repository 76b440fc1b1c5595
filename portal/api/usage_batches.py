"""Deliveries of usage: sending one, and what became of it, as a whole and record by record.

Sending is answered ahead of Django by `portal.api.usage_door`; here it is described, and answered by the same
function where a request comes through Django all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

import django_filters
from django.conf import settings
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.response import Response

from balances.models import SuspendedUsage, UsageBatch, UsageIdentity, UsagePart, UsageRecord
from balances.models.usage import PartState
from balances.scope import Scope, Verb
from balances.units import LARGEST_UNITS, SERVICES_BY_NAME
from portal.api import usage_door
from portal.api.authentication import scope_of_request
from portal.api.endpoints import Endpoint
from portal.api.values import IdFilter, InstantFilter
from portal.charging import concealing, records, suspense
from portal.models import ApiToken

#: Outcome letters of a part, in words.
OUTCOMES = {"c": "charged", "d": "duplicate", "s": "suspended"}
#: State of a delivery of which some parts are done and others not.
PARTLY = "partly"
RECORDS_MOST = 1_000
RECORDS_USUAL = 100


class UsageIn(serializers.Serializer):
    """A record of use. Exactly-once by (source, source_record_id): sent again, it changes nothing."""

    source_record_id = serializers.CharField(max_length=80)
    service = serializers.ChoiceField(choices=list(SERVICES_BY_NAME))
    units = serializers.IntegerField(
        min_value=0, max_value=LARGEST_UNITS, help_text="Octets, seconds, messages or participant-seconds."
    )
    started_at = serializers.DateTimeField(help_text="With an offset.")
    msisdn = serializers.CharField(required=False, help_text="Digits of the line; or imsi.")
    imsi = serializers.CharField(required=False)
    ended_at = serializers.DateTimeField(required=False)
    visited_network = serializers.CharField(required=False, help_text="MCC, or MCC and MNC; none: the home network.")
    other_party = serializers.CharField(required=False, max_length=32)
    imei = serializers.CharField(required=False)
    attributes = serializers.DictField(required=False, help_text="Whatever else the network's message said; kept.")


class UsageBatchIn(serializers.Serializer):
    """A delivery."""

    source = serializers.CharField(max_length=60, help_text="Who reports; identities are unique within it.")
    records = UsageIn(many=True)


class AcceptedSerializer(serializers.Serializer):
    """A delivery that is safe; what becomes of its records is read at `href`."""

    id = serializers.UUIDField()
    href = serializers.CharField()
    accepted = serializers.IntegerField()
    state = serializers.CharField()


class UsageBatchSerializer(serializers.ModelSerializer):
    """A delivery. accepted = charged + duplicate + suspended + queued + parked, always.

    Of one for several enterprises, each of them sees and counts its own records only; its sender, all of them.
    """

    source = serializers.CharField(source="source.name")
    accepted = serializers.SerializerMethodField()
    state = serializers.SerializerMethodField(
        help_text="queued, partly (done), done, or parked: charging gave up and was logged."
    )
    charged = serializers.SerializerMethodField()
    duplicate = serializers.SerializerMethodField()
    suspended = serializers.SerializerMethodField()
    queued = serializers.SerializerMethodField()
    parked = serializers.SerializerMethodField()

    class Meta:
        model = UsageBatch
        fields = [
            "id",
            "operator",
            "enterprise",
            "source",
            "accepted_by",
            "accepted_at",
            "state",
            "accepted",
            "charged",
            "duplicate",
            "suspended",
            "queued",
            "parked",
        ]

    def _parts(self, batch: UsageBatch) -> list[UsagePart]:
        return self.context["view"].parts_of(batch, batch.parts.all())

    def _sum(self, batch: UsageBatch, field: str, state: str | None = None) -> int:
        return sum(getattr(part, field) for part in self._parts(batch) if state in (None, part.state))

    def get_accepted(self, batch: UsageBatch) -> int:
        """Records that were taken."""
        return self._sum(batch, "record_count")

    def get_state(self, batch: UsageBatch) -> str:
        """The least finished state of the delivery's parts; partly while some wait and others do not."""
        states = {part.state for part in self._parts(batch)}
        if PartState.QUEUED in states:
            return PartState.QUEUED if len(states) == 1 else PARTLY
        return PartState.PARKED if PartState.PARKED in states else PartState.DONE

    def get_charged(self, batch: UsageBatch) -> int:
        """Records that have been charged."""
        return self._sum(batch, "charged_count")

    def get_duplicate(self, batch: UsageBatch) -> int:
        """Records that had been sent before."""
        return self._sum(batch, "duplicate_count")

    def get_suspended(self, batch: UsageBatch) -> int:
        """Records that wait for a decision."""
        return self._sum(batch, "suspended_count")

    def get_queued(self, batch: UsageBatch) -> int:
        """Records that wait for a worker."""
        return self._sum(batch, "record_count", PartState.QUEUED)

    def get_parked(self, batch: UsageBatch) -> int:
        """Records that charging failed on."""
        return self._sum(batch, "record_count", PartState.PARKED)


class RecordOutcomeSerializer(serializers.Serializer):
    """What became of one record."""

    position = serializers.IntegerField(help_text="Place in the delivery, from 0.")
    source_record_id = serializers.CharField(
        allow_null=True, help_text="Null where it is not the caller's to see, because a person pays, or may have to."
    )
    outcome = serializers.ChoiceField(choices=["queued", "parked", *OUTCOMES.values()])
    usage_id = serializers.IntegerField(
        allow_null=True, help_text="Of a duplicate: the record charged first. Null where it lies outside the reach."
    )
    suspense_id = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField(allow_null=True, help_text="Why it is in suspense, as a code.")
    detail = serializers.CharField(allow_null=True, help_text="Why it is in suspense, and how to mend it.")


class RecordPageSerializer(serializers.Serializer):
    """A page of outcomes, in order of position."""

    next_position = serializers.IntegerField(allow_null=True, help_text="Where the next page begins; null: it is over.")
    results = RecordOutcomeSerializer(many=True)


class RecordQuery(serializers.Serializer):
    """Which records of a delivery."""

    from_position = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=RECORDS_MOST, default=RECORDS_USUAL)
    outcome = serializers.ChoiceField(choices=["queued", "parked", *OUTCOMES.values()], required=False)


class UsageBatchFilters(django_filters.FilterSet):
    """Deliveries by enterprise, source and time."""

    enterprise = IdFilter(field_name="enterprise_id")
    source = django_filters.CharFilter(field_name="source__name")
    since = InstantFilter(field_name="accepted_at", lookup_expr="gte", label="Accepted at or after.")

    class Meta:
        model = UsageBatch
        fields: list[str] = []


class MaySeeDeliveries(BasePermission):
    """Whoever may look, and whoever sends: a feed that may only send still learns what became of it."""

    def has_permission(self, request, view) -> bool:
        if request.method == "POST":  # the door reads the token itself
            return True
        if not request.user or not request.user.is_authenticated:
            return False
        scope = scope_of_request(request)
        return bool(scope.enterprise_ids(Verb.VIEW) | scope.enterprise_ids(Verb.INGEST) | scope.operator_ids)


class Untouched(BaseParser):
    """The door reads the body, whatever it is."""

    media_type = "*/*"

    def parse(self, stream, media_type=None, parser_context=None) -> bytes:
        return stream.read(settings.USAGE_BATCH_MOST_BYTES + 1)


#: The parts of deliveries without their payloads, which a list has no use for.
_COUNTS = Prefetch("parts", UsagePart.objects.defer("payload", "outcomes", "positions"))


class UsageBatches(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Deliveries of the enterprises in reach, and those that the caller made."""

    tag = "Usage"
    summaries = {"list": "List deliveries", "retrieve": "Read what became of a delivery"}
    queryset = UsageBatch.objects.select_related("source").prefetch_related(_COUNTS)
    serializer_class = UsageBatchSerializer
    filterset_class = UsageBatchFilters
    permission_classes = [MaySeeDeliveries]
    lookup_value_converter = "uuid"
    parser_classes = [Untouched]

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """Deliveries with records for enterprises that the caller sees or sends for, and those that the caller sent.

        Those for several enterprises are the operator's own staff's too.
        """
        reach = Q(enterprise_id__in=self._houses) | Q(enterprise__isnull=True, operator_id__in=self.scope.operator_ids)
        theirs = UsagePart.objects.filter(batch_id=OuterRef("pk"), enterprise_id__in=self._houses)
        reach |= Q(Exists(theirs), enterprise__isnull=True)
        if isinstance(self.request.auth, ApiToken):
            token = self.request.auth
            reach |= Q(operator_id=token.operator_id, accepted_by__startswith=f"token:{token.pk} ")
        return rows.filter(reach)

    @cached_property
    def _houses(self) -> frozenset[int]:
        return self.scope.whole_enterprise_ids(Verb.VIEW) | self.scope.whole_enterprise_ids(Verb.INGEST)

    def _is_own(self, batch: UsageBatch) -> bool:
        """Whether the caller's token sent it."""
        token = self.request.auth
        return isinstance(token, ApiToken) and batch.accepted_by.startswith(f"token:{token.pk} ")

    def parts_of(self, batch: UsageBatch, parts: Iterable[UsagePart]) -> list[UsagePart]:
        """Those parts of a delivery in reach that the caller may see: all of one's own, else one's enterprises'."""
        if self._is_own(batch) or batch.enterprise_id is not None or batch.operator_id in self.scope.operator_ids:
            return list(parts)
        return [part for part in parts if part.enterprise_id in self._houses]

    @extend_schema(
        request={"application/json": UsageBatchIn, "application/x-ndjson": UsageIn},
        responses={202: AcceptedSerializer},
        parameters=[
            OpenApiParameter("source", str, OpenApiParameter.QUERY, description="With NDJSON: who reports."),
            OpenApiParameter("Content-Encoding", str, OpenApiParameter.HEADER, enum=["gzip", "identity"]),
        ],
        examples=[
            OpenApiExample(
                "A data session and a call",
                value={
                    "source": "mediation-1",
                    "records": [
                        {
                            "source_record_id": "cdr-000001",
                            "service": "data",
                            "msisdn": "491701234567",
                            "units": 1048576,
                            "started_at": "2026-03-15T12:00:00+01:00",
                        },
                        {
                            "source_record_id": "cdr-000002",
                            "service": "voice",
                            "imsi": "262071234567890",
                            "units": 61,
                            "started_at": "2026-03-15T12:01:00+01:00",
                            "visited_network": "20801",
                        },
                    ],
                },
                request_only=True,
            )
        ],
    )
    def create(self, request) -> HttpResponse:
        """Send usage.

        Up to 10,000 records as JSON, or as NDJSON with `?source=`; gzip is accepted. 202 means: kept for good, will be
        charged exactly once or stand in suspense with a reason. Sending the same again is harmless. Needs a token with
        the verb `ingest`.
        """
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = {name: request.query_params.getlist(name) for name in request.query_params}
        data: Any = request.data
        status, extra, content = usage_door.answer(headers, query, data if isinstance(data, bytes) else b"")
        return HttpResponse(content, status=status, headers=extra)

    @extend_schema(parameters=[RecordQuery], responses=RecordPageSerializer)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def records(self, request, pk) -> Response:
        """Read what became of each record of a delivery, in the order in which they were sent."""
        query = self.query(RecordQuery)
        batch = self.get_object()
        parts = self.parts_of(batch, UsagePart.objects.filter(batch=batch).defer("payload"))
        page, next_position = _page(parts, **query)
        links = _with_links(page, self.scope, is_sender=self._is_own(batch))
        results = RecordOutcomeSerializer(links, many=True).data
        return Response({"next_position": next_position, "results": results}, status=HTTPStatus.OK)


@dataclass(frozen=True, slots=True)
class _Record:
    """A record of a delivery with the letter of its outcome; "" while it waits."""

    position: int
    part: UsagePart
    place: int  # in the part
    outcome: str


def _page(
    parts: Iterable[UsagePart], *, from_position: int, limit: int, outcome: str | None = None
) -> tuple[list[_Record], int | None]:
    """The records from a position on, and where the next page begins."""
    found = sorted(
        (
            _Record(part.positions[place] if part.positions else place, part, place, _outcome(part, place))
            for part in parts
            for place in range(part.record_count)
        ),
        key=lambda record: record.position,
    )
    rest = [r for r in found if r.position >= from_position and outcome in (None, r.outcome)]
    return rest[:limit], rest[limit].position if len(rest) > limit else None


def _outcome(part: UsagePart, place: int) -> str:
    return OUTCOMES[part.outcomes[place]] if part.state == PartState.DONE else part.state


def _with_links(page: Sequence[_Record], scope: Scope, *, is_sender: bool) -> list[dict[str, Any]]:
    """The records with their ids, and the usage or suspense record that each became, as far as the caller may see it.

    Whoever sent them knows what they say; nobody but whoever pays knows which usage record is whose. Six queries.
    """
    part_ids = {record.part.pk for record in page}
    payloads = dict(UsagePart.objects.filter(pk__in=part_ids).values_list("pk", "payload"))
    usages = {part_id: records.decode_payload(bytes(payload)) for part_id, payload in payloads.items()}
    suspended = {(row.part_id, row.position): row for row in SuspendedUsage.objects.filter(part_id__in=part_ids)}
    if not is_sender:
        suspense.show(suspended.values(), scope)
    own_ids = {record: usages[record.part.pk][record.place].source_record_id for record in page}
    identities = {
        (row["enterprise_id"], row["source_record_id"]): row["usage_id"]
        for row in UsageIdentity.objects.filter(
            enterprise_id__in={record.part.enterprise_id for record in page},
            source_id__in={record.part.source_id for record in page},
            source_record_id__in=own_ids.values(),
        ).values("enterprise_id", "source_record_id", "usage_id")
    }
    usage_ids = [usage_id for usage_id in identities.values() if usage_id > 0]
    mine = {
        usage_id
        for verb in (Verb.VIEW, Verb.INGEST)
        for usage_id in UsageRecord.objects.within(scope, verb).filter(id__in=usage_ids).values_list("id", flat=True)
    }
    walled = set() if is_sender else concealing.concealed(scope, {r.part.enterprise_id for r in page} - {None})
    results = []
    for record in page:
        own_id = own_ids[record]
        waiting = suspended.get((record.part.pk, record.place))
        usage_id = identities.get((record.part.enterprise_id, own_id)) if record.outcome != "suspended" else None
        is_decided = record.outcome in OUTCOMES.values()
        is_shown = (
            is_sender or usage_id in mine or not ((usage_id and usage_id > 0) or record.part.enterprise_id in walled)
        )
        results.append(
            {
                "position": record.position,
                "source_record_id": own_id if is_shown else None,
                "outcome": record.outcome,
                "usage_id": usage_id if usage_id in mine and is_decided else None,
                "suspense_id": waiting.pk if waiting else -usage_id if usage_id and usage_id < 0 else None,
                "reason": waiting.reason if waiting else None,
                "detail": waiting.detail if waiting else None,
            }
        )
    return results
