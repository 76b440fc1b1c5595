"""Contingency: units of a bucket that its owner sets aside, and their release."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances import contingency
from balances.models import Bucket
from balances.models.buckets import BucketKind, ReleaseRule
from portal.api.buckets import BucketFilters, BucketSerializer
from portal.api.endpoints import Endpoint
from portal.api.values import Body, InReach, Instant, Units


class NewSliceBody(Body):
    """Units of a bucket to be set aside, and what opens them."""

    bucket = InReach(Bucket.objects.all())
    units = Units(min_value=1)
    rule = serializers.ChoiceField([(rule.value, str(rule.label)) for rule in ReleaseRule])
    release_at = Instant(required=False, allow_null=True, help_text="With `on_date`: before the bucket ends.")


class ReleaseBody(Body):
    """How much to release."""

    units = Units(min_value=1, required=False, allow_null=True, help_text="None: all that is left.")


class Contingencies(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Slices that were set aside; each is a bucket of kind contingency."""

    tag = "Buckets"
    summaries = {"list": "List what was set aside", "retrieve": "Read a slice that was set aside"}
    queryset = Bucket.objects.filter(kind=BucketKind.CONTINGENCY)
    serializer_class = BucketSerializer
    filterset_class = BucketFilters

    @extend_schema(
        request=NewSliceBody,
        responses={201: BucketSerializer},
        examples=[
            OpenApiExample(
                "10 GiB, opened when all else is used up",
                value={"bucket": 41, "units": 10737418240, "rule": "on_exhaustion"},
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Set units of a bucket aside.

        By the same rule again adds to the same slice, which is not drawn before it opens.
        """
        values = self.body(NewSliceBody)
        bucket = values.pop("bucket")
        return self.made(contingency.set_aside(bucket_id=bucket.id, **values, **self.write_context))

    @extend_schema(request=ReleaseBody, responses={201: BucketSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def release(self, request, pk: int) -> Response:
        """Release a slice: its units go back to the bucket that they came from, which is the answer."""
        held = self.get_object()
        return self.made(contingency.release(bucket_id=held.id, **self.body(ReleaseBody), **self.write_context))
