"""Lines, and to which accounts they belonged when."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from balances import inventory, profiles, tags
from balances.errors import Refused
from balances.models import Account, Device, Line, LineAssignment, NumberAssignment, Person
from balances.models.accounts import LineStatus, NumberKind
from balances.selectors.terms import snapshot
from balances.selectors.tree import below
from portal.api.endpoints import Endpoint
from portal.api.line_balances import LineBalancesSerializer, balances_of
from portal.api.values import Body, IdFilter, InReach, Instant

KINDS_BY_NAME = {name: kind for kind, name in inventory.NUMBER_FIELDS.items()}


class LineSerializer(serializers.ModelSerializer):
    """A subscription with today's account, numbers, person and device."""

    account_code = serializers.CharField(source="account.code")
    person_name = serializers.CharField(source="person.name", allow_null=True, default=None)
    imei = serializers.CharField(source="device.imei", allow_null=True, default=None)

    class Meta:
        model = Line
        fields = [
            "id",
            "enterprise",
            "account",
            "account_code",
            "msisdn",
            "imsi",
            "label",
            "status",
            "person",
            "person_name",
            "device",
            "imei",
            "created_at",
        ]


class NewLineBody(Body):
    """A line to be put into service."""

    account = InReach(Account.objects.select_related("enterprise"))
    msisdn = serializers.CharField(max_length=40, help_text="With country code; spaces and + are read.")
    imsi = serializers.CharField(max_length=40, required=False, allow_blank=True)
    label = serializers.CharField(max_length=80, required=False, allow_blank=True)
    person = InReach(Person.objects.all(), required=False, allow_null=True)
    device = InReach(Device.objects.all(), required=False, allow_null=True)
    assigned_from = Instant(required=False, help_text="Since when it has been in service; now, unless given.")


class LineChangeBody(Body):
    """What of a line may be changed in place, from now on."""

    msisdn = serializers.CharField(max_length=40, required=False)
    imsi = serializers.CharField(max_length=40, required=False, help_text="A SIM swap.")
    label = serializers.CharField(max_length=80, required=False, allow_blank=True)
    status = serializers.ChoiceField(choices=LineStatus.choices, required=False, help_text="retired is for good.")
    person = InReach(Person.objects.all(), required=False, allow_null=True)
    device = InReach(Device.objects.all(), required=False, allow_null=True)


class TagsBody(Body):
    """All tags of a line: small letters, digits, hyphens and underscores."""

    tags = serializers.ListField(child=serializers.CharField(max_length=40), max_length=tags.TAGS_MOST)


class LineProfileBody(Body):
    """A subscriber's profile: names with texts, numbers, yes or no; 40 at most, 2 KB in all."""

    attributes = serializers.DictField(help_text='{"level": 3, "board": true}')


class AssignmentSerializer(serializers.ModelSerializer):
    """Where a line belonged, from one instant up to another; null: without beginning or end."""

    account_code = serializers.CharField(source="account.code")
    from_at = serializers.DateTimeField(source="during.lower", allow_null=True)
    until_at = serializers.DateTimeField(source="during.upper", allow_null=True)

    class Meta:
        model = LineAssignment
        fields = ["id", "line", "account", "account_code", "from_at", "until_at"]


class NewAssignmentBody(Body):
    """Where a line is to belong."""

    account = InReach(Account.objects.all())
    from_at = Instant(required=False, help_text="Past or future; now, unless given.")


class NumberKindField(serializers.ChoiceField):
    """msisdn or imsi."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=list(KINDS_BY_NAME), **options)

    def to_internal_value(self, data: Any) -> NumberKind:
        return KINDS_BY_NAME[super().to_internal_value(data)]

    def to_representation(self, value: Any) -> str:
        return inventory.NUMBER_FIELDS[NumberKind(value)]


class NumberSerializer(serializers.ModelSerializer):
    """A number that a line had, from one instant up to another; null: without beginning or end."""

    kind = NumberKindField()
    number = serializers.SerializerMethodField()
    from_at = serializers.DateTimeField(source="during.lower", allow_null=True)
    until_at = serializers.DateTimeField(source="during.upper", allow_null=True)

    class Meta:
        model = NumberAssignment
        fields = ["id", "line", "kind", "number", "from_at", "until_at"]

    def get_number(self, assigned: NumberAssignment) -> str:
        """The digits; an IMSI of a test network begins with zeros."""
        return f"{assigned.number:015}" if assigned.kind == NumberKind.IMSI else str(assigned.number)


class NewNumberBody(Body):
    """A number that a line is to have."""

    kind = NumberKindField()
    number = serializers.CharField(max_length=40, help_text="As in a new line: spaces and + are read.")
    from_at = Instant(required=False, help_text="Past or future; now, unless given.")


class LineFilters(django_filters.FilterSet):
    """Lines by where they belong, by number, and by who uses them."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    below = IdFilter(method="of_subtree", label="An account: lines of it and of all accounts below it.")
    msisdn = django_filters.CharFilter()
    imsi = django_filters.CharFilter()
    status = django_filters.ChoiceFilter(choices=LineStatus.choices)
    person = IdFilter(field_name="person_id")

    class Meta:
        model = Line
        fields: list[str] = []

    def of_subtree(self, rows: QuerySet, name: str, value: int) -> QuerySet:
        """Lines of an account in reach and of all below it."""
        top = Account.objects.within(self.request.parser_context["view"].scope).filter(id=value).first()
        return rows.filter(below(top, "account__")) if top else rows.none()


class Lines(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Lines in reach."""

    tag = "Lines"
    summaries = {"list": "List lines", "retrieve": "Read a line"}
    queryset = Line.objects.select_related("account", "person", "device")
    serializer_class = LineSerializer
    filterset_class = LineFilters

    @extend_schema(
        request=NewLineBody,
        responses={201: LineSerializer},
        examples=[
            OpenApiExample(
                "A line",
                value={"account": 12, "msisdn": "+49 170 1234567", "imsi": "262071234567890", "label": "Reception"},
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Put a line into service."""
        values = self.body(NewLineBody)
        enterprise = values["account"].enterprise
        return self.made(inventory.add_line(enterprise=enterprise, **values, **self.write_context))

    @extend_schema(request=LineChangeBody, responses=LineSerializer)
    def partial_update(self, request, pk: int) -> Response:
        """Change a line from now on.

        Several changes in one request are all done, or none.
        """
        line = self.get_object()
        changes = self.body(LineChangeBody)
        with self.all_or_nothing():
            for kind, field in inventory.NUMBER_FIELDS.items():
                if field in changes:
                    self._renumber(line, kind, changes[field])
            if "label" in changes:
                inventory.label_line(line=line, label=changes["label"], **self.write_context)
            if "person" in changes:
                inventory.change_person(line=line, person=changes["person"], **self.write_context)
            if "device" in changes:
                inventory.change_device(line=line, device=changes["device"], **self.write_context)
            if "status" in changes:
                inventory.set_line_status(line=line, status=changes["status"], **self.write_context)
        return self.shown(self.get_object())

    def _renumber(self, line: Line, kind: NumberKind, number: str) -> None:
        inventory.change_number(line=line, kind=kind, number=number, from_at=self.now(), **self.write_context)

    @extend_schema(responses=AssignmentSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None)
    def assignments(self, request, pk: int) -> Response:
        """List where a line belonged, and when."""
        line = self.get_object()
        history = LineAssignment.objects.within(self.scope).filter(line=line)
        return self.page(history.select_related("account"), AssignmentSerializer)

    @extend_schema(request=NewAssignmentBody, responses={201: LineSerializer})
    @assignments.mapping.post
    def assign(self, request, pk: int) -> Response:
        """Let a line belong to another account.

        The time may lie in the past or the future. Usage that was charged already stays where it was charged.
        """
        line = self.get_object()
        values = {"from_at": self.now(), **self.body(NewAssignmentBody)}
        inventory.assign_line(line=line, **values, **self.write_context)
        # It may belong to an account out of the caller's reach now: shown once more all the same.
        return self.made(self.queryset.get(pk=line.pk))

    @extend_schema(responses=NumberSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None)
    def numbers(self, request, pk: int) -> Response:
        """List which numbers a line had, and when."""
        line = self.get_object()
        return self.page(NumberAssignment.objects.within(self.scope).filter(line=line), NumberSerializer)

    @extend_schema(
        request=NewNumberBody,
        responses={201: LineSerializer},
        examples=[
            OpenApiExample(
                "A SIM swap",
                value={"kind": "imsi", "number": "262071234567891", "from_at": "2026-03-15T12:00:00+01:00"},
                request_only=True,
            )
        ],
    )
    @numbers.mapping.post
    def renumber(self, request, pk: int) -> Response:
        """Give a line another number, or its SIM another IMSI.

        The time may lie in the past or the future. Usage with the old number before it stays the line's own.
        """
        line = self.get_object()
        values = {"from_at": self.now(), **self.body(NewNumberBody)}
        try:
            inventory.change_number(line=line, **values, **self.write_context)
        except Refused as refusal:
            if refusal.field in KINDS_BY_NAME:  # what the domain calls by its kind is `number` in this body
                refusal.field = "number"
            raise
        return self.made(self.get_object())

    @extend_schema(responses=TagsBody)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def tags(self, request, pk: int) -> Response:
        """List the tags that a line bears."""
        return Response({"tags": tags.of(self.get_object())})

    @extend_schema(request=TagsBody, responses=TagsBody)
    @tags.mapping.put
    def set_tags(self, request, pk: int) -> Response:
        """Let a line bear exactly these tags from the next charge on: limits, policies and reports go by them."""
        line = self.get_object()
        return Response({"tags": tags.set_tags(line=line, tags=self.body(TagsBody)["tags"], **self.write_context)})

    @extend_schema(responses=LineProfileBody)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def profile(self, request, pk: int) -> Response:
        """Read the profile of a line's subscriber: rules of who pays ask for it as profile.NAME."""
        return Response({"attributes": profiles.of(self.get_object())})

    @extend_schema(request=LineProfileBody, responses=LineProfileBody)
    @profile.mapping.put
    def set_profile(self, request, pk: int) -> Response:
        """Let a line have exactly this profile from the next charge on."""
        line = self.get_object()
        attributes = self.body(LineProfileBody)["attributes"]
        return Response({"attributes": profiles.set_profile(line=line, attributes=attributes, **self.write_context)})

    @extend_schema(responses=LineBalancesSerializer)
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def balances(self, request, pk: int) -> Response:
        """What serves a line, and what it used in this cycle."""
        with snapshot():
            found = balances_of(self.scope, self.get_object(), self.now())
        return self.shown(found, LineBalancesSerializer)
