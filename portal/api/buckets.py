"""Buckets: what is left where, the ledger of each, and allocations of one to what hangs below its owner."""

from __future__ import annotations

from datetime import datetime

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances import ledger
from balances.models import Account, Bucket, Line
from balances.models.ledger import EntryKind
from balances.selectors import history
from balances.selectors.history import Told
from balances.units import UNIT_NAMES
from portal import entry_words
from portal.api.endpoints import Endpoint
from portal.api.idempotency import IDEMPOTENCY_KEY, key_of
from portal.api.values import Body, IdFilter, InReach, Instant, InstantFilter, ServiceField, ServiceFilter, Units


class BucketSerializer(serializers.ModelSerializer):
    """Units of one service with validity and priority.

    granted + received = remaining + reserved + used + given + expired, always.
    """

    service = ServiceField()
    unit = serializers.SerializerMethodField()
    zones = serializers.ListField(source="zone_ids", child=serializers.IntegerField(), help_text="Empty: everywhere.")

    class Meta:
        model = Bucket
        fields = [
            "id",
            "enterprise",
            "account",
            "line",
            "allowance",
            "source",
            "kind",
            "name",
            "service",
            "unit",
            "zones",
            "priority",
            "cycle_start",
            "valid_from",
            "valid_until",
            "release",
            "release_at",
            "granted_units",
            "received_units",
            "remaining_units",
            "reserved_units",
            "used_units",
            "given_units",
            "expired_units",
            "closed_at",
        ]

    def get_unit(self, bucket: Bucket) -> str:
        """What the service is counted in."""
        return UNIT_NAMES[bucket.service]


class EntrySerializer(serializers.Serializer):
    """One change of the bucket; never changed afterwards."""

    id = serializers.IntegerField(source="entry.id")
    bucket = serializers.IntegerField(source="entry.bucket_id")
    kind = serializers.SerializerMethodField()
    units = serializers.IntegerField(source="entry.units", help_text="Below zero: a correction of its kind.")
    change_units = serializers.IntegerField(help_text="What it did to what remains.")
    remaining_after = serializers.IntegerField(source="entry.remaining_after")
    sentence = serializers.SerializerMethodField()
    at = serializers.DateTimeField(source="entry.at", help_text="When it counts.")
    recorded_at = serializers.DateTimeField(source="entry.recorded_at")
    actor = serializers.CharField(source="entry.actor")
    transfer = serializers.UUIDField(source="entry.transfer", allow_null=True)

    def get_kind(self, told: Told) -> str:
        """What the entry does: grant, consume, transfer_in, ..."""
        return EntryKind(told.entry.kind).name.lower()

    def get_sentence(self, told: Told) -> str:
        """The same in words, with who is on the other side."""
        return entry_words.sentence(told)


class AsOfQuery(serializers.Serializer):
    """A moment of the past."""

    as_of = Instant(required=False, help_text="The quantities as they were at this moment; buckets that had begun.")


class AllocationBody(Body):
    """Units to be given to an account or a line below the bucket's owner."""

    account = InReach(Account.objects.all(), required=False, allow_null=True)
    line = InReach(Line.objects.all(), required=False, allow_null=True)
    units = Units(min_value=1)


class ReturnBody(Body):
    """Unused units of an allocated bucket, to go back to where they came from."""

    units = Units(min_value=1)


class TransferSerializer(serializers.Serializer):
    """Units that moved from one bucket to another."""

    id = serializers.UUIDField()
    from_bucket = serializers.IntegerField(source="from_bucket_id")
    to_bucket = serializers.IntegerField(source="to_bucket_id")
    units = serializers.IntegerField()


class BucketFilters(django_filters.FilterSet):
    """Buckets by owner, service and cycle."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    line = IdFilter(field_name="line_id")
    service = ServiceFilter()
    cycle_start = InstantFilter()
    is_closed = django_filters.BooleanFilter(field_name="closed_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Bucket
        fields: list[str] = []


class Buckets(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Buckets of the accounts and lines in reach."""

    tag = "Buckets"
    queryset = Bucket.objects.all()
    serializer_class = BucketSerializer
    filterset_class = BucketFilters

    @extend_schema(parameters=[AsOfQuery])
    def list(self, request) -> Response:
        """List buckets, as they are or as they were.

        `as_of` reckons the quantities from the entries up to that moment.
        """
        moment = self._moment()
        if moment is None:
            return super().list(request)
        rows = self.filter_queryset(self.get_queryset()).filter(valid_from__lte=moment)
        return self.get_paginated_response(
            self._data(history.at_moment(self.paginate_queryset(rows), moment), None, many=True)
        )

    @extend_schema(parameters=[AsOfQuery])
    def retrieve(self, request, pk: int) -> Response:
        """Read a bucket, as it is or as it was."""
        bucket, moment = self.get_object(), self._moment()
        return self.shown(bucket if moment is None else history.at_moment([bucket], moment)[0])

    @extend_schema(responses=EntrySerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None)
    def entries(self, request, pk: int) -> Response:
        """List a bucket's ledger, latest first.

        Each entry says what happened, who did it, with whom, and what remained: why the bucket holds what it holds.
        """
        entries = self.paginate_queryset(history.entries_of(self.scope, self.get_object()))
        return self.get_paginated_response(self._data(history.told(self.scope, entries), EntrySerializer, many=True))

    @extend_schema(request=AllocationBody, responses={201: TransferSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def allocations(self, request, pk: int) -> Response:
        """Allocate units of a bucket to an account or a line below its owner."""
        bucket = self.get_object()
        values = self.body(AllocationBody)
        account, line = values.get("account"), values.get("line")
        transfer = ledger.allocate(
            bucket_id=bucket.id,
            account_id=account.id if account else None,
            line_id=line.id if line else None,
            units=values["units"],
            key=key_of(self.request),
            **self.write_context,
        )
        return self.made(transfer, TransferSerializer)

    @extend_schema(request=ReturnBody, responses={201: TransferSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def returns(self, request, pk: int) -> Response:
        """Give unused units of an allocated bucket back to the bucket that they came from."""
        bucket = self.get_object()
        units = self.body(ReturnBody)["units"]
        transfer = ledger.take_back(bucket_id=bucket.id, units=units, key=key_of(self.request), **self.write_context)
        return self.made(transfer, TransferSerializer)

    def _moment(self) -> datetime | None:
        """The moment that is asked for; not one to come. Raises ValidationError."""
        moment = self.query(AsOfQuery).get("as_of")
        if moment is not None and moment > self.now():
            raise serializers.ValidationError({"as_of": ["This moment has not come yet."]}, code="future")
        return moment
