"""Replays of who pays: what a draft would move between company and people over stored usage."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from policies.models import Steering, SteeringVersion
from portal.api.endpoints import Endpoint
from portal.api.operations import JobSerializer
from portal.api.values import Body
from portal.models import User
from portal.provisioning import steering_replays


class SteeringReplayBody(Body):
    """Over how many days the draft, or else the latest version, is replayed."""

    days = serializers.IntegerField(
        min_value=1, max_value=steering_replays.DAYS_MOST, default=steering_replays.DAYS,
        help_text="Of less than 28 days nothing is told of what people pay.",
    )  # fmt: skip


class SteeringReplays(Endpoint):
    """Replays of what accounts in reach say of who pays; part of `portal.api.steering.Steerings`."""

    tag = "Who pays"
    queryset = Steering.objects.select_related("account__enterprise").order_by("id")
    serializer_class = JobSerializer

    @extend_schema(summary="List the replays of who pays", responses={200: JobSerializer(many=True)})
    @action(detail=True, methods=["get"])
    def replays(self, request, pk: int) -> Response:
        """List the replays of the draft, or else of the latest version, latest first."""
        return self.page(steering_replays.of_version(self._latest(self.get_object())), JobSerializer)

    @extend_schema(summary="Replay who pays", request=SteeringReplayBody, responses={201: JobSerializer})
    @replays.mapping.post
    def replay(self, request, pk: int) -> Response:
        """Replay the draft, or else the latest version, over stored usage.

        The answer is a job: its `counts.replay` says, once it is done, which usage of the company would be people's, by
        account, person and event; and of personal usage that would be the company's rounded sums of many people, null
        where too little of it would move, or nothing, or one person has most of it, or rules name a line, a device or
        whom somebody called, or ask for `profile.X` or `attributes.X`. Where they ask whom somebody called, or for
        `attributes.X`, what would be people's is told like that, too: `people` and `listed` are null. Who asked what is
        audited.
        """
        steering = self.get_object()
        values = self.body(SteeringReplayBody)
        user = request.user if isinstance(request.user, User) else None
        version = self._latest(steering)
        job = steering_replays.start(version=version, **values, created_by=user, **self.write_context)
        return self.made(job, JobSerializer)

    @staticmethod
    def _latest(steering: Steering) -> SteeringVersion:
        version = steering.versions.order_by("-number").first()
        if version is None:
            raise steering_replays.SteeringReplayRefused("There is no version: write one first.")
        version.steering = steering
        return version
