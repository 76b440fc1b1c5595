"""Allocations: a bucket shared out to many below its owner in one act; planned first, undone as far as unused."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances import allocation
from balances.allocation import CYCLES_MOST, ROWS_MOST, Share, ShareBy
from balances.allocation_plan import WHOLE, Act, Move, PlanRefused, Wish
from balances.models import Account, Allocation, Bucket, Line
from balances.scope import Verb
from portal.api.endpoints import Endpoint
from portal.api.idempotency import IDEMPOTENCY_KEY, key_of
from portal.api.parsers import TableParser
from portal.api.values import Body, IdFilter, InReach, InstantFilter, Units
from portal.web.allowance_wishes import COLUMNS, Typed, read_rows

WEIGHT_MOST = 10**9


class RowBody(Body):
    """What one account or line below the bucket's owner is to have: units, percent or a weight.

    `set` allocates or takes back the difference to what is allocated now; never below what is used, reserved or passed
    on. Percent is of what the bucket was granted and has received. In a `share`, a row without an amount weighs 1.
    """

    account = serializers.IntegerField(min_value=1, required=False, allow_null=True)
    line = serializers.IntegerField(min_value=1, required=False, allow_null=True)
    act = serializers.ChoiceField([act.value for act in Act], default=Act.SET.value)
    units = Units(required=False, allow_null=True)
    percent = serializers.DecimalField(5, 2, min_value=0, max_value=100, required=False, allow_null=True)
    weight = serializers.IntegerField(min_value=0, max_value=WEIGHT_MOST, required=False, allow_null=True)
    expects_units = Units(
        required=False, allow_null=True, help_text="What you believe is allocated now: another amount is refused."
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """One receiver, and one amount at most."""
        if (values.get("account") is None) == (values.get("line") is None):
            raise serializers.ValidationError("Name either an account or a line.", "receiver")
        if sum(values.get(name) is not None for name in ("units", "percent", "weight")) > 1:
            raise serializers.ValidationError("Give one of units, percent and weight.", "amount")
        return values


class ShareBody(Body):
    """Units that rows by weight share, to the last unit."""

    units = Units(min_value=1, required=False, allow_null=True, help_text="None: all that is free.")
    by = serializers.ChoiceField(
        [by.value for by in ShareBy],
        default=ShareBy.EQUAL.value,
        help_text="`history` weighs by usage of the service in the last closed cycles.",
    )
    cycles = serializers.IntegerField(min_value=1, max_value=CYCLES_MOST, default=3)


class NewAllocationBody(Body):
    """A bucket to be shared out: all rows or none."""

    bucket = InReach(Bucket.objects.all())
    rows = RowBody(many=True, allow_empty=False, max_length=ROWS_MOST)
    share = ShareBody(required=False, allow_null=True)
    dry_run = serializers.BooleanField(default=False, help_text="Only say what it would come to.")


class FileQuery(serializers.Serializer):
    """Which bucket a file shares out."""

    bucket = InReach(Bucket.objects.select_related("account"), verb=Verb.MANAGE)
    dry_run = serializers.BooleanField(default=False, help_text="Only say what it would come to.")

    def to_internal_value(self, data: Any) -> Any:
        """Numbers in addresses are text."""
        values = {name: data.get(name) for name in self.fields if name in data}
        if str(values.get("bucket", "")).isdecimal():
            values["bucket"] = int(values["bucket"])
        return super().to_internal_value(values)


class HoldingSerializer(serializers.Serializer):
    """What somebody has of the bucket's units. allocated = remaining + reserved + used + given."""

    allocated_units = serializers.IntegerField()
    remaining_units = serializers.IntegerField()
    reserved_units = serializers.IntegerField()
    used_units = serializers.IntegerField()
    given_units = serializers.IntegerField()


class SideSerializer(serializers.Serializer):
    """The bucket that is shared out."""

    held_units = serializers.IntegerField(help_text="Granted and received.")
    remaining_units = serializers.IntegerField()
    reserved_units = serializers.IntegerField()
    used_units = serializers.IntegerField()
    given_units = serializers.IntegerField()


class PlannedSerializer(serializers.Serializer):
    """One row, before and after."""

    row = serializers.IntegerField()
    account = serializers.SerializerMethodField()
    line = serializers.SerializerMethodField()
    name = serializers.CharField(source="before.name")
    units = serializers.IntegerField(help_text="Given; below zero: taken back; zero: nothing changes.")
    before = HoldingSerializer()
    after = HoldingSerializer()

    def get_account(self, move: Move) -> int | None:
        """The account, if it is one."""
        return move.receiver[1] if move.receiver[0] == "account" else None

    def get_line(self, move: Move) -> int | None:
        """The line, if it is one."""
        return move.receiver[1] if move.receiver[0] == "line" else None


class PlanSerializer(serializers.Serializer):
    """What an allocation would come to now."""

    bucket = serializers.IntegerField(source="before.bucket_id")
    before = SideSerializer()
    after = SideSerializer()
    rows = PlannedSerializer(many=True)


class MoveSerializer(serializers.Serializer):
    """One move that was done."""

    row = serializers.IntegerField()
    account = serializers.IntegerField(allow_null=True)
    line = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()
    bucket = serializers.IntegerField(help_text="The receiver's bucket.")
    units = serializers.IntegerField(help_text="Given; below zero: taken back.")
    allocated_before_units = serializers.IntegerField()
    allocated_after_units = serializers.IntegerField()
    transfer = serializers.UUIDField()


class AllocationSerializer(serializers.ModelSerializer):
    """Units of a bucket that were given and taken back in one act."""

    moves = MoveSerializer(many=True)

    class Meta:
        model = Allocation
        fields = ["id", "enterprise", "bucket", "moves", "undoes", "actor", "at"]


class AllocationFilters(django_filters.FilterSet):
    """Allocations by bucket and time."""

    enterprise = IdFilter(field_name="enterprise_id")
    bucket = IdFilter(field_name="bucket_id")
    since = InstantFilter(field_name="at", lookup_expr="gte", label="Done at or after.")

    class Meta:
        model = Allocation
        fields: list[str] = []


class Allocations(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Acts of allocation on the buckets in reach."""

    tag = "Buckets"
    summaries = {"list": "List allocations", "retrieve": "Read an allocation"}
    queryset = Allocation.objects.all()
    serializer_class = AllocationSerializer
    filterset_class = AllocationFilters

    @extend_schema(
        request=NewAllocationBody,
        responses={200: PlanSerializer, 201: AllocationSerializer},
        parameters=[IDEMPOTENCY_KEY],
        examples=[
            OpenApiExample(
                "Set two accounts, see what it comes to",
                value={
                    "bucket": 41,
                    "rows": [{"account": 12, "units": 6000}, {"account": 13, "percent": "12.5"}],
                    "dry_run": True,
                },
                request_only=True,
            ),
            OpenApiExample(
                "Share by history",
                value={
                    "bucket": 41,
                    "rows": [{"account": 12, "act": "give"}, {"line": 77, "act": "give"}],
                    "share": {"units": 9000, "by": "history", "cycles": 3},
                },
                request_only=True,
            ),
        ],
    )
    def create(self, request) -> Response:
        """Share out a bucket: all rows or none.

        With `dry_run` nothing is done, and the answer (200) says what each side would have before and after.
        """
        values = self.body(NewAllocationBody)
        share = None
        if (given := values.get("share")) is not None:
            share = Share(given.get("units"), ShareBy(given["by"]), given["cycles"])
        wishes = self._wishes(values["rows"], has_share=share is not None)
        asked: dict[str, Any] = {"bucket_id": values["bucket"].id, "wishes": wishes, "share": share}
        if values["dry_run"]:
            return self.shown(allocation.preview(**asked, at=self.now()), PlanSerializer)
        done = allocation.apply(**asked, key=key_of(self.request), **self.write_context)
        return self.made(done)

    @extend_schema(
        request={"text/csv": OpenApiTypes.STR},
        responses={200: PlanSerializer, 201: AllocationSerializer},
        parameters=[FileQuery, IDEMPOTENCY_KEY],
        filters=False,
        examples=[
            OpenApiExample(
                "Three rows",
                value="receiver,amount\nNORTH,20 GiB\nSOUTH,12.5 %\n+4917010000001,-1 GiB\n",
                media_type="text/csv",
                request_only=True,
            )
        ],
    )
    @action(
        detail=False, methods=["post"], url_path="file", parser_classes=[TableParser], filterset_class=None,
        pagination_class=None,
    )  # fmt: skip
    def file(self, request) -> Response:
        """Share out a bucket by a file: all rows or none.

        Columns `receiver` (code of an account, number of a line) and `amount`, written as on the screen: `20 GiB` is to
        be had in all, `12.5 %` is of the whole, `+5 GiB` is given, `-5 GiB` taken back. Problems name their row, the
        first below the header being 0.
        """
        wish = self.query(FileQuery)
        bucket = wish["bucket"]
        rows = list(enumerate(request.data["rows"], start=1))
        if not rows or not set(COLUMNS) <= rows[0][1].keys():
            raise serializers.ValidationError({"rows": [f"Send the columns {' and '.join(COLUMNS)}."]}, code="rows")
        if bucket.account is None:
            raise serializers.ValidationError({"bucket": ["A line's own bucket is not shared out."]}, code="bucket")
        typed = Typed(is_file=True)
        read_rows(typed, rows, bucket.account, bucket.service, self.scope)
        if typed.problems:
            raise PlanRefused(typed.problems)
        asked: dict[str, Any] = {"bucket_id": bucket.id, "wishes": typed.wishes}
        if wish["dry_run"]:
            return self.shown(allocation.preview(**asked, at=self.now()), PlanSerializer)
        return self.made(allocation.apply(**asked, key=key_of(self.request), **self.write_context))

    @extend_schema(request=None, responses={201: AllocationSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def undo(self, request, pk: int) -> Response:
        """Undo an allocation, as far as nothing was used.

        What was given and is unused comes back; what was taken back is given again.
        """
        done = self.get_object()
        undone = allocation.undo(allocation_id=done.id, key=key_of(self.request), **self.write_context)
        return self.made(undone)

    def _wishes(self, rows: list[dict[str, Any]], *, has_share: bool) -> list[Wish]:
        """The rows as wishes. Raises ValidationError where one names something out of reach; two queries."""
        known = {
            kind: set(
                model.objects.within(self.scope, Verb.MANAGE)
                .filter(id__in={row[kind] for row in rows if row.get(kind) is not None})
                .values_list("id", flat=True)
            )
            for kind, model in (("account", Account), ("line", Line))
        }
        wishes, faults = [], {}
        for place, row in enumerate(rows):
            kind = "account" if row.get("account") is not None else "line"
            if row[kind] not in known[kind]:
                faults[str(place)] = {kind: ["This does not exist, or not for you."]}
                continue
            percent, weight = row.get("percent"), row.get("weight")
            if has_share and weight is None and percent is None and row.get("units") is None:
                weight = 1
            wishes.append(
                Wish(
                    place + 1,
                    (kind, row[kind]),
                    Act(row["act"]),
                    row.get("units"),
                    None if percent is None else int(percent * WHOLE / 100),
                    weight,
                    row.get("expects_units"),
                )
            )
        if faults:
            raise serializers.ValidationError({"rows": faults}, code="does_not_exist")
        return wishes
