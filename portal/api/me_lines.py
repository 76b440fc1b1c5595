"""One's own over REST: what can stop a line, business trips, and who one has proved to be."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from balances.models import Line, PersonAssignment, Zone
from balances.selectors import mine
from policies import selectors, stopping
from policies.models import Measure, Restriction, Trip, Window
from policies.models.limits import ACTION_CHOICES
from policies.steering import trips
from policies.stopping import Room, Shared
from portal import claims, limit_words
from portal.api.access import IsPerson
from portal.api.endpoints import Endpoint
from portal.api.limits import LimitSerializer
from portal.api.values import Body, ServiceField
from portal.models import PersonClaim
from portal.people import oneself

MOST = 50
ROOMS = [str(room) for room in Room]


class SharedLimitSerializer(serializers.Serializer):
    """A limit that others count towards, too: how it stands in a word, and no figures of theirs."""

    title = serializers.SerializerMethodField()
    of = serializers.SerializerMethodField(help_text="Who counts towards it, in words.")
    service = ServiceField(source="limit.service", allow_null=True)
    measure = serializers.ChoiceField(Measure.values, source="limit.measure")
    window = serializers.ChoiceField(Window.values, source="limit.window")
    bound = serializers.IntegerField(allow_null=True, help_text="For all together; null: without bound.")
    room = serializers.ChoiceField(ROOMS, help_text="“near” only where so many share it that it tells of nobody.")
    action = serializers.ChoiceField(ACTION_CHOICES, source="limit.action", help_text="What happens beyond it.")
    period_end = serializers.DateTimeField(source="ends_at", allow_null=True)
    exempt_until = serializers.DateTimeField(allow_null=True, help_text="Until then it does not stop the line.")

    def get_title(self, one: Shared) -> str:
        """Its name, else what it counts."""
        return limit_words.title(one.limit)

    def get_of(self, one: Shared) -> str:
        """All of an account, or all with a tag."""
        return limit_words.of_whom(one.limit)


class MyRestrictionSerializer(serializers.ModelSerializer):
    """What restricts the line now."""

    service = ServiceField(allow_null=True, help_text="Null: every service.")
    why = serializers.SerializerMethodField()

    class Meta:
        model = Restriction
        fields = ["service", "action", "starts_at", "until", "why"]

    def get_why(self, row: Restriction) -> str:
        """The limit, or that it was done by hand."""
        return f"{limit_words.title(row.limit)}, {limit_words.of_whom(row.limit)}" if row.limit else "By hand"


class StoppingRuleSerializer(serializers.Serializer):
    """A rule that can stop usage, in words, and the account where it stands."""

    name = serializers.CharField(source="rule.name")
    words = serializers.CharField()
    place = serializers.CharField(source="account.name")


class LineLimitsSerializer(serializers.Serializer):
    """What can stop a line of one's own, and what does now."""

    line = serializers.IntegerField()
    limits = LimitSerializer(many=True, help_text="Of the line alone.")
    shared = SharedLimitSerializer(many=True)
    restrictions = MyRestrictionSerializer(many=True)
    rules = StoppingRuleSerializer(many=True)


class MyLimitsSerializer(serializers.Serializer):
    """One entry a line that is one's own now."""

    results = LineLimitsSerializer(many=True)


class MyTripSerializer(serializers.ModelSerializer):
    """A business trip of one's own, as rules know it."""

    class Meta:
        model = Trip
        fields = ["id", "enterprise", "countries", "starts_at", "ends_at", "note"]


class MyTripsSerializer(serializers.Serializer):
    """Trips of one's own, the latest first."""

    results = MyTripSerializer(many=True)


class ClaimSerializer(serializers.ModelSerializer):
    """That the caller has proved to be a person."""

    name = serializers.CharField(source="person.name")
    number = serializers.CharField(source="person.number")

    class Meta:
        model = PersonClaim
        fields = ["id", "enterprise", "person", "name", "number", "confirmed_at"]


class ClaimsSerializer(serializers.Serializer):
    """Whom the caller has proved to be."""

    results = ClaimSerializer(many=True)


class CodeBody(Body):
    """The code that the operator gave to the person."""

    code = serializers.CharField(max_length=40, help_text="A number, then twice five characters.")


class OwnLines(Endpoint):
    """Limits, trips and proofs; `Me` is the whole."""

    @extend_schema(responses=MyLimitsSerializer)
    @action(detail=False)
    def limits(self, request) -> Response:
        """Read what can stop your lines.

        Limits of a line with what was used; those that others share without figures; what restricts it now; rules.
        """
        held = mine.lines_held([one.person.id for one in oneself(request.user, self.scope)])
        found = [self._stopping(row.line) for row in held if self._is_held(row)]
        return Response(MyLimitsSerializer({"results": found}, context=self.get_serializer_context()).data)

    def _is_held(self, row: PersonAssignment) -> bool:
        return self.now() in row.during

    def _stopping(self, line: Line) -> dict[str, Any]:
        now = self.now()
        zones = dict(Zone.objects.filter(operator__enterprises=line.enterprise_id).values_list("code", "name"))
        own = selectors.of_line(self.scope, line).filter(line=line)[:MOST]
        rules = [
            {"rule": one.rule, "words": one.rule.words(zones), "account": one.account}
            for one in stopping.rules(line, now)
        ]
        return {
            "line": line.id, "limits": selectors.states(list(own), now), "shared": stopping.shared_limits(line, now),
            "restrictions": stopping.restrictions(line, now), "rules": rules,
        }  # fmt: skip

    @extend_schema(responses=MyTripsSerializer)
    @action(detail=False)
    def trips(self, request) -> Response:
        """List your business trips as rules know them.

        Who manages you declares and removes them (`/trips`): they decide what the company pays.
        """
        people = [one.person.id for one in oneself(request.user, self.scope)]
        found = trips.declared(Trip.objects.filter(person__in=people))[:MOST]
        return Response(MyTripsSerializer({"results": found}).data)

    @extend_schema(responses=ClaimsSerializer)
    @action(detail=False, permission_classes=[IsAuthenticated, IsPerson])
    def claims(self, request) -> Response:
        """List whom you have proved to be."""
        return Response(ClaimsSerializer({"results": self._held().order_by("id")}).data)

    @extend_schema(
        request=CodeBody,
        responses={201: ClaimSerializer},
        examples=[OpenApiExample("A code", value={"code": "4711-7K3QX-09ZTM"}, request_only=True)],
    )
    @claims.mapping.post
    def confirm(self, request) -> Response:
        """Prove who you are by the code that your operator gave you.

        It opens what is personal to you. A code is good once; the fifth wrong attempt ends it.
        """
        claim = claims.confirm(user=request.user, **self.body(CodeBody), at=self.now())
        return self.made(claim, ClaimSerializer)

    @extend_schema(responses={204: None})
    @action(
        detail=False, methods=["delete"], url_path="claims/<int:pk>", permission_classes=[IsAuthenticated, IsPerson]
    )  # fmt: skip
    def withdraw(self, request, pk: int) -> Response:
        """Close what is personal to you again; your operator can give you another code."""
        claim = self._held().filter(pk=pk).first()
        if claim is None:
            raise Http404("No such proof of yours.")
        claims.withdraw(claim=claim, **self.write_context)
        return Response(status=204)

    def _held(self) -> QuerySet[PersonClaim]:
        own = PersonClaim.objects.filter(user=self.request.user, confirmed_at__isnull=False, ended_at__isnull=True)
        return own.select_related("person")
