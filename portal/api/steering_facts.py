"""What rules of who pays refer to: business trips, lists of numbers, fields that somebody declares."""

from __future__ import annotations

import django_filters
from django.db.models import Count, Q, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances.models import Account, DeclaredField, Enterprise, Operator, Person
from balances.profiles import KINDS, NAME_LENGTH
from balances.scope import Verb
from policies.models import NumberList, NumberListEntry, Trip
from policies.steering import declared, number_lists, trips
from policies.steering.number_lists import EntryRow
from portal.api.endpoints import Endpoint
from portal.api.parsers import StrictJSONParser, TableParser
from portal.api.tables import LoadedSerializer, load, read_table
from portal.api.values import Body, IdFilter, InReach, Instant, InstantFilter


class TripSerializer(serializers.ModelSerializer):
    """A business trip. `removed_at`: charges after it know nothing of it."""

    account = serializers.IntegerField(source="person.account_id")

    class Meta:
        model = Trip
        fields = [
            "id",
            "enterprise",
            "account",
            "person",
            "countries",
            "starts_at",
            "ends_at",
            "note",
            "added_at",
            "added_by",
            "removed_at",
        ]


class NewTripBody(Body):
    """A trip to be declared; it may lie in the past, for usage that is charged later."""

    person = InReach(Person.objects.all())
    starts_at = Instant()
    ends_at = Instant()
    countries = serializers.ListField(
        child=serializers.CharField(max_length=2), required=False, default=list, max_length=trips.COUNTRIES_MOST,
        help_text="ISO 3166: FR. None: anywhere.",
    )  # fmt: skip
    note = serializers.CharField(max_length=trips.NOTE_LENGTH, required=False, default="", allow_blank=True)


class TripFilters(django_filters.FilterSet):
    """Trips by person and time."""

    enterprise = IdFilter(field_name="enterprise_id")
    person = IdFilter(field_name="person_id")
    is_removed = django_filters.BooleanFilter(field_name="removed_at", lookup_expr="isnull", exclude=True)
    ends_after = InstantFilter(field_name="ends_at", lookup_expr="gt", label="Ends after.")
    starts_before = InstantFilter(field_name="starts_at", lookup_expr="lt", label="Starts before.")

    class Meta:
        model = Trip
        fields: list[str] = []


class Trips(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Business trips of people in reach."""

    tag = "Who pays"
    summaries = {"list": "List business trips", "retrieve": "Read a business trip"}
    queryset = Trip.objects.select_related("person").order_by("-starts_at", "-id")
    serializer_class = TripSerializer
    filterset_class = TripFilters

    @extend_schema(
        request=NewTripBody,
        responses={201: TripSerializer},
        examples=[
            OpenApiExample(
                "A fair in France",
                value={
                    "person": 9,
                    "starts_at": "2026-03-20T08:00:00+01:00",
                    "ends_at": "2026-03-22T18:00:00+01:00",
                    "countries": ["FR"],
                },
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Declare a business trip, for charges from now on."""
        return self.made(trips.declare(**self.body(NewTripBody), **self.write_context))

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Remove a business trip: charges from now on know nothing of it."""
        trips.remove(trip=self.get_object(), **self.write_context)
        return Response(status=204)


# --- lists of numbers -----------------------------------------------------------------------------------------------


class NumberListSerializer(serializers.ModelSerializer):
    """Numbers and how numbers begin, which rules of an account and of those below speak of by its code."""

    numbers = serializers.SerializerMethodField(help_text="How many it has now.")

    class Meta:
        model = NumberList
        fields = ["id", "enterprise", "account", "code", "name", "numbers", "made_at", "made_by"]

    def get_numbers(self, one: NumberList) -> int:
        """Entries that were not taken out."""
        counted = getattr(one, "counted", None)
        return counted if counted is not None else one.entries.filter(removed_at__isnull=True).count()


class NumberListEntrySerializer(serializers.ModelSerializer):
    """A number, or how numbers begin, and for usage of which time it counts."""

    class Meta:
        model = NumberListEntry
        fields = ["id", "list", "digits", "is_prefix", "label", "valid_from", "valid_until", "added_at"]


class NewNumberListBody(Body):
    """A list to be made."""

    account = InReach(Account.objects.all())
    code = serializers.CharField(max_length=number_lists.CODE_LENGTH)
    name = serializers.CharField(max_length=number_lists.NAME_LENGTH)


class NumberListNameBody(Body):
    """Another name; rules know a list by its code."""

    name = serializers.CharField(max_length=number_lists.NAME_LENGTH)


class EntryRowBody(Body):
    """A number with country code; a star ends what stands for all that begin so: +4930*."""

    number = serializers.CharField(max_length=60)
    label = serializers.CharField(max_length=number_lists.LABEL_LENGTH, required=False, allow_blank=True)
    valid_from = serializers.CharField(max_length=40, required=False, allow_null=True, help_text="Date or instant.")
    valid_until = serializers.CharField(max_length=40, required=False, allow_null=True, help_text="Date or instant.")


class EntryRowsBody(Body):
    """Numbers to be added; also as text/csv with these columns."""

    rows = EntryRowBody(many=True)


class TakenOutBody(Body):
    """Entries to be taken out."""

    entries = serializers.ListField(
        child=serializers.IntegerField(min_value=1), allow_empty=False, max_length=number_lists.ENTRIES_MOST
    )


class TakenOutSerializer(serializers.Serializer):
    """How many were in the list."""

    taken_out = serializers.IntegerField()


class NumberListFilters(django_filters.FilterSet):
    """Lists by place and code."""

    enterprise = IdFilter(field_name="enterprise_id")
    account = IdFilter(field_name="account_id")
    code = django_filters.CharFilter()

    class Meta:
        model = NumberList
        fields: list[str] = []


class NumberLists(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Lists of numbers of accounts in reach."""

    tag = "Who pays"
    summaries = {"list": "List lists of numbers", "retrieve": "Read a list of numbers"}
    queryset = NumberList.objects.annotate(
        counted=Count("entries", filter=Q(entries__removed_at__isnull=True))
    ).order_by("code", "id")
    serializer_class = NumberListSerializer
    filterset_class = NumberListFilters

    @extend_schema(request=NewNumberListBody, responses={201: NumberListSerializer})
    def create(self, request) -> Response:
        """Make a list of numbers."""
        return self.made(number_lists.create(**self.body(NewNumberListBody), **self.write_context))

    @extend_schema(request=NumberListNameBody, responses=NumberListSerializer)
    def partial_update(self, request, pk: int) -> Response:
        """Rename a list of numbers."""
        numbers = self.get_object()
        number_lists.rename(numbers=numbers, **self.body(NumberListNameBody), **self.write_context)
        return self.shown(self.get_object())

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Remove a list that no rule asks for and that never had a number; empty others instead."""
        number_lists.remove(numbers=self.get_object(), **self.write_context)
        return Response(status=204)

    @extend_schema(responses=NumberListEntrySerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None, parser_classes=[StrictJSONParser, TableParser])
    def entries(self, request, pk: int) -> Response:
        """List the numbers of a list."""
        numbers = self.get_object()
        known = NumberListEntry.objects.within(self.scope).filter(list=numbers, removed_at__isnull=True)
        return self.page(known.order_by("digits", "id"), NumberListEntrySerializer)

    @extend_schema(
        request={"application/json": EntryRowsBody, "text/csv": str},
        responses={201: LoadedSerializer},
        examples=[
            OpenApiExample(
                "A number and a range",
                value={"rows": [{"number": "+49 30 1234567", "label": "Customer"}, {"number": "+49 40*"}]},
                request_only=True,
                media_type="application/json",
            )
        ],
    )
    @entries.mapping.post
    def add(self, request, pk: int) -> Response:
        """Add numbers, for charges from now on.

        Rows without a problem are taken, the others are told with their place.
        """
        numbers = self.get_object()
        table = read_table(request, EntryRow)
        return load(table, lambda rows: number_lists.add(numbers=numbers, rows=rows, **self.write_context))

    @extend_schema(request=TakenOutBody, responses=TakenOutSerializer)
    @action(detail=True, methods=["post"], url_path="removals", filterset_class=None, pagination_class=None)
    def removals(self, request, pk: int) -> Response:
        """Take numbers out of a list, for charges from now on."""
        numbers = self.get_object()
        count = number_lists.take_out(numbers=numbers, **self.body(TakenOutBody), **self.write_context)
        return self.shown({"taken_out": count}, TakenOutSerializer)


# --- declared fields ------------------------------------------------------------------------------------------------


class DeclaredFieldSerializer(serializers.ModelSerializer):
    """What `attributes.X` of network messages or `profile.X` of subscribers means in rules.

    `enterprise`: whose own it is; null: the operator's, for all its enterprises.
    """

    class Meta:
        model = DeclaredField
        fields = [
            "id",
            "operator",
            "enterprise",
            "name",
            "kind",
            "label",
            "hint",
            "choices",
            "declared_at",
            "declared_by",
        ]


class DeclaredFieldBody(Body):
    """A field to be declared, or said anew."""

    enterprise = InReach(
        Enterprise.objects.select_related("operator"), required=False,
        help_text="Whose own it is to be; without one: the operator's.",
    )  # fmt: skip
    operator = serializers.IntegerField(
        min_value=1, required=False, help_text="Needed only by staff of several operators."
    )
    name = serializers.CharField(max_length=NAME_LENGTH, help_text="attributes.NAME or profile.NAME.")
    kind = serializers.ChoiceField(choices=list(KINDS))
    label = serializers.CharField(max_length=60)
    hint = serializers.CharField(max_length=60, required=False, default="", allow_blank=True)
    choices = serializers.ListField(
        child=serializers.CharField(max_length=60), required=False, default=list, max_length=100,
        help_text="Of a text or a name: its values, where there are no others.",
    )  # fmt: skip


class DeclaredFieldFilters(django_filters.FilterSet):
    """Fields by operator, by enterprise (its own), and by name."""

    operator = IdFilter(field_name="operator_id")
    enterprise = IdFilter(field_name="enterprise_id")
    name = django_filters.CharFilter()

    class Meta:
        model = DeclaredField
        fields: list[str] = []


class DeclaredFields(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Fields that enterprises in reach, and their operators, declare for rules."""

    tag = "Who pays"
    summaries = {"list": "List declared fields", "retrieve": "Read a declared field"}
    queryset = DeclaredField.objects.select_related("operator").order_by("operator_id", "name")
    serializer_class = DeclaredFieldSerializer
    filterset_class = DeclaredFieldFilters

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """An operator's are read by its customers, to write rules; an enterprise's own in that one only."""
        return declared.within(rows, self.scope, verb)

    @extend_schema(
        request=DeclaredFieldBody,
        responses={201: DeclaredFieldSerializer},
        examples=[
            OpenApiExample(
                "A level of the profile, in one enterprise",
                value={"enterprise": 1, "name": "profile.level", "kind": "number", "label": "Level"},
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Declare a field for rules of an enterprise, or, by its staff, of all enterprises of the operator.

        Said again, it takes the place of what was said; its kind stays while published rules ask for it.
        """
        values = self.body(DeclaredFieldBody)
        if "enterprise" in values:
            values.pop("operator", None)
            return self.made(declared.declare(**values, **self.write_context))
        own = self.scope.operator_ids
        wanted = values.pop("operator", next(iter(own)) if len(own) == 1 else None)
        if wanted not in own:
            message = "Only account managers of the operator declare its fields. Name your enterprise, or the operator."
            raise PermissionDenied(message)
        operator = Operator.objects.get(id=wanted)
        return self.made(declared.declare(operator=operator, **values, **self.write_context))

    @extend_schema(responses={204: None})
    def destroy(self, request, pk: int) -> Response:
        """Withdraw a field that no rule asks for."""
        declared.withdraw(field=self.get_object(), **self.write_context)
        return Response(status=204)
