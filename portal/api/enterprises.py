"""Enterprises: who there is, new ones, and their tree, lines, devices and people loaded by the table."""

from __future__ import annotations

from functools import partial

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from balances import hierarchy, inventory, personal_opening
from balances.hierarchy import TreeRow
from balances.inventory import DeviceRow, LineRow, PersonRow
from balances.loading import LoadResult
from balances.models import Account, Enterprise, Operator
from balances.personal_opening import AccountRow
from balances.scope import Verb
from balances.selectors.personal_accounts import runs
from balances.selectors.terms import terms_at
from policies.steering import holidays
from portal import members
from portal.api.endpoints import Endpoint
from portal.api.parsers import MOST_TABLE_BYTES, StrictJSONParser, TableParser
from portal.api.tables import LoadedSerializer, load, read_table
from portal.api.values import Body
from portal.models import Role

#: What the loads have in common.
TABLE = {
    "verbs": {"POST": Verb.MANAGE},
    "parser_classes": [StrictJSONParser, TableParser],
    "most_bytes": MOST_TABLE_BYTES,
}


class EnterpriseSerializer(serializers.ModelSerializer):
    """A tenant, with the account at the top of its tree where the caller may see it."""

    root_account = serializers.SerializerMethodField(help_text="Null outside the caller's reach.")

    class Meta:
        model = Enterprise
        fields = ["id", "operator", "number", "name", "holiday_calendar", "root_account", "created_at"]

    def get_root_account(self, enterprise: Enterprise) -> int | None:
        """The account at the top of the tree."""
        return self.context["view"].root_ids.get(enterprise.id)


class NewEnterpriseBody(Body):
    """An enterprise to be made."""

    operator = serializers.IntegerField(
        min_value=1, required=False, help_text="Needed only by those who work for several operators."
    )
    name = serializers.CharField(max_length=120)
    number = serializers.CharField(max_length=32, help_text="The operator's customer number; also the root's code.")


class EnterpriseChangeBody(Body):
    """What of an enterprise may be changed."""

    holiday_calendar = serializers.CharField(
        max_length=8,
        allow_blank=True,
        help_text="Whose public holidays rules of who pays mean: DE, DE-BY; empty: those of the contract's country.",
    )


class TreeRowBody(Body):
    """An account below another; rows may stand in any order."""

    code = serializers.CharField(max_length=40)
    parent_code = serializers.CharField(required=False, allow_blank=True, help_text="Empty: below the root.")
    name = serializers.CharField(max_length=120)
    kind = serializers.CharField(required=False, allow_blank=True, help_text="division, cost_centre or group.")


class LineRowBody(Body):
    """A line to be put into service; account, person and device are named by code, number and IMEI."""

    msisdn = serializers.CharField()
    account_code = serializers.CharField()
    imsi = serializers.CharField(required=False, allow_blank=True)
    label = serializers.CharField(required=False, allow_blank=True)
    person_number = serializers.CharField(required=False, allow_blank=True)
    device_imei = serializers.CharField(required=False, allow_blank=True)
    assigned_from = serializers.CharField(required=False, allow_blank=True, help_text="RFC 3339; empty: now.")


class DeviceRowBody(Body):
    """A device to be added."""

    imei = serializers.CharField()
    model = serializers.CharField(required=False, allow_blank=True)
    ownership = serializers.CharField(required=False, allow_blank=True, help_text="corporate or personal.")
    device_type = serializers.CharField(
        required=False, allow_blank=True, help_text="phone, tablet, router or machine; empty: unknown."
    )


class PersonRowBody(Body):
    """A person to be added."""

    number = serializers.CharField()
    name = serializers.CharField()
    account_code = serializers.CharField()
    email = serializers.CharField(required=False, allow_blank=True)


class TreeTableBody(Body):
    """Accounts to be loaded."""

    rows = TreeRowBody(many=True)


class LineTableBody(Body):
    """Lines to be loaded."""

    rows = LineRowBody(many=True)


class DeviceTableBody(Body):
    """Devices to be loaded."""

    rows = DeviceRowBody(many=True)


class PersonTableBody(Body):
    """People to be loaded."""

    rows = PersonRowBody(many=True)


class PersonalAccountRowBody(Body):
    """A personal account to be opened; person and tariff are named by number and name."""

    person_number = serializers.CharField()
    tariff = serializers.CharField()
    kind = serializers.CharField(help_text="prepaid or postpaid.")
    credit_limit = serializers.CharField(required=False, allow_blank=True, help_text="Like 49.90; empty: none.")


class PersonalAccountTableBody(Body):
    """Personal accounts to be opened."""

    rows = PersonalAccountRowBody(many=True)


class EnterpriseFilters(django_filters.FilterSet):
    """Enterprises by number."""

    number = django_filters.CharFilter()

    class Meta:
        model = Enterprise
        fields: list[str] = []


def _table(body: type[Body], example: str):
    """Describes an upload of rows, as JSON or as CSV with the same column names."""
    return extend_schema(
        request={"application/json": body, "text/csv": str},
        responses={201: LoadedSerializer},
        examples=[OpenApiExample("CSV", value=example, media_type="text/csv", request_only=True)],
    )


class Enterprises(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Enterprises in which the caller may see anything at all."""

    tag = "Enterprises"
    summaries = {"list": "List enterprises", "retrieve": "Read an enterprise"}
    queryset = Enterprise.objects.all()
    serializer_class = EnterpriseSerializer
    filterset_class = EnterpriseFilters
    verbs = {"POST": Verb.ADMINISTER}

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """To look at an enterprise's name, one place in it is enough; to change it, it takes the whole."""
        if verb == Verb.VIEW:
            return rows.filter(id__in=self.scope.enterprise_ids(verb))
        return super().within(rows, verb)

    @property
    def root_ids(self) -> dict[int, int]:
        """Root accounts in reach by enterprise; read once a request."""
        if not hasattr(self, "_root_ids"):
            roots = Account.objects.within(self.scope).filter(parent__isnull=True)
            self._root_ids = dict(roots.order_by().values_list("enterprise_id", "id"))
        return self._root_ids

    @extend_schema(request=NewEnterpriseBody, responses={201: EnterpriseSerializer})
    def create(self, request) -> Response:
        """Make an enterprise.

        For operator account managers. It gets its root account and charging state; whoever makes it manages it.
        """
        values = self.body(NewEnterpriseBody)
        operator = self._operator(values.pop("operator", None))
        with transaction.atomic():
            enterprise = hierarchy.create_enterprise(operator=operator, **values, **self.write_context)
            members.join(
                user=request.user, role=Role.OPERATOR, operator=operator, enterprise=enterprise, **self.write_context
            )
        # The caller's reach was read before there was this enterprise.
        self._root_ids = {enterprise.id: enterprise.accounts.get(parent__isnull=True).id}
        return self.made(enterprise)

    @extend_schema(request=EnterpriseChangeBody, responses=EnterpriseSerializer)
    def partial_update(self, request, pk: int) -> Response:
        """Say whose public holidays rules of who pays mean.

        It holds from the next charge on; what was charged already stays.
        """
        enterprise = self.get_object()
        calendar = self.body(EnterpriseChangeBody)["holiday_calendar"]
        return self.shown(holidays.set_calendar(enterprise=enterprise, calendar=calendar, **self.write_context))

    def _operator(self, wanted: int | None) -> Operator:
        """The operator that the caller makes enterprises for. Raises PermissionDenied, ValidationError."""
        own = self.scope.operator_ids
        if not own:
            raise PermissionDenied("Only account managers of an operator make enterprises.")
        if wanted is None and len(own) > 1:
            raise serializers.ValidationError({"operator": ["Say for which of your operators."]}, code="required")
        chosen = wanted if wanted is not None else next(iter(own))
        if chosen not in own:
            raise serializers.ValidationError({"operator": ["You do not work for this operator."]}, code="operator")
        return Operator.objects.get(id=chosen)

    @_table(TreeTableBody, "code,parent_code,name,kind\nNORTH,,North,division\nN-1,NORTH,Sales,cost_centre\n")
    @action(detail=True, methods=["post"], **TABLE)
    def tree(self, request, pk: int) -> Response:
        """Load accounts into the tree, all or none.

        Rows may stand in any order; where any row has a problem, none is loaded.
        """
        return self._load(TreeRow, hierarchy.load_tree)

    @_table(LineTableBody, "msisdn,account_code,imsi,label\n+49 170 1234567,N-1,262071234567890,Reception\n")
    @action(detail=True, methods=["post"], **TABLE)
    def lines(self, request, pk: int) -> Response:
        """Load lines.

        Rows without a problem are taken; the others are told one by one.
        """
        return self._load(LineRow, inventory.load_lines)

    @_table(DeviceTableBody, "imei,model,ownership,device_type\n352099001761481,Fairphone 6,corporate,phone\n")
    @action(detail=True, methods=["post"], **TABLE)
    def devices(self, request, pk: int) -> Response:
        """Load devices.

        Rows without a problem are taken; the others are told one by one.
        """
        return self._load(DeviceRow, inventory.load_devices)

    @_table(PersonTableBody, "number,name,account_code,email\nP-17,Ada Amsel,N-1,ada@example.org\n")
    @action(detail=True, methods=["post"], **TABLE)
    def people(self, request, pk: int) -> Response:
        """Load people.

        Rows without a problem are taken; the others are told one by one.
        """
        return self._load(PersonRow, inventory.load_people)

    @_table(PersonalAccountTableBody, "person_number,tariff,kind,credit_limit\nP-17,Mine,postpaid,49.90\n")
    @action(detail=True, methods=["post"], url_path="personal-accounts", **TABLE | {"verbs": {"POST": Verb.ADMINISTER}})
    def personal_accounts(self, request, pk: int) -> Response:
        """Open personal accounts.

        For account managers of the operator. Rows without a problem are opened; the others are told one by one.
        """
        enterprise = self.get_object()
        if not runs(self.scope, enterprise):
            raise Http404("Only for the operator's staff.")
        zone = terms_at(enterprise.id, self.now()).zone.key
        return self._load(AccountRow, partial(personal_opening.load_accounts, time_zone=zone))

    def _load(self, row_class: type, loader) -> Response:
        enterprise = self.get_object()
        table = read_table(self.request, row_class)

        def loaded(rows) -> LoadResult:
            return loader(enterprise=enterprise, rows=rows, **self.write_context)

        return load(table, loaded)
