"""Personal accounts: people read their own, the operator's account managers run them; managers reach none of it.

Of usage behind the wall nobody but the person reads a time: entries of usage name their day, open usage comes in sums.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from balances import personal
from balances.models import (
    OpenPersonalUsage,
    OpenReason,
    OpenState,
    Person,
    PersonalAccount,
    PersonalAccountKind,
    PersonalEntry,
    PersonalEntryKind,
    PersonalTariff,
)
from balances.scope import Verb
from balances.selectors import personal_accounts as selector
from balances.selectors.personal_accounts import State
from balances.selectors.terms import terms_at
from portal.api.authentication import scope_of_request
from portal.api.endpoints import Endpoint
from portal.api.idempotency import IDEMPOTENCY_KEY, key_of
from portal.api.values import Body, IdFilter, InReach, ServiceField, Units

STATES = [state.value for state in State]
#: Rows that one request writes off.
WRITE_OFF_MOST = 500


class PersonalAccountSerializer(serializers.ModelSerializer):
    """A person's own payer. It pays for what is used from `accepted_at` on, until `closed_at`."""

    person_number = serializers.CharField(source="person.number")
    person_name = serializers.CharField(source="person.name")
    tariff_name = serializers.CharField(source="tariff.name")
    currency = serializers.CharField(source="tariff.currency")
    state = serializers.SerializerMethodField()
    balance_micros = serializers.IntegerField(help_text="Below zero: what is owed.")

    class Meta:
        model = PersonalAccount
        fields = [
            "id", "enterprise", "person", "person_number", "person_name", "tariff", "tariff_name", "kind", "currency",
            "credit_limit_micros", "balance_micros", "time_zone", "state", "opened_at", "accepted_at", "closed_at",
        ]  # fmt: skip

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, account: PersonalAccount) -> str:
        """`waiting`: not accepted yet."""
        return selector.state_of(account).value


class TariffOffered(InReach):
    """A tariff of an operator whose account manager the caller is."""

    def get_queryset(self) -> QuerySet[PersonalTariff]:
        scope = scope_of_request(self.context["request"])
        return PersonalTariff.objects.filter(operator__in=scope.operator_ids)


class NewPersonalAccountBody(Body):
    """An account to be opened."""

    person = InReach(Person.objects.all(), verb=Verb.ADMINISTER)
    tariff = TariffOffered(PersonalTariff.objects.all())
    kind = serializers.ChoiceField(choices=PersonalAccountKind.choices)
    credit_limit_micros = Units(max_value=personal.MONEY_MOST_MICROS, default=0, help_text="Postpaid accounts only.")
    time_zone = serializers.CharField(max_length=40, required=False, help_text="None: that of the contract.")


class MoneyBody(Body):
    """Money that comes in or goes out."""

    micros = Units(min_value=1, max_value=personal.MONEY_MOST_MICROS)
    note = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)


class CreditLimitBody(Body):
    """How far a postpaid account may owe."""

    credit_limit_micros = Units(max_value=personal.MONEY_MOST_MICROS)


class ClosePersonalAccountBody(Body):
    """What whoever closes an account knows of it."""

    owed_micros = Units(max_value=personal.MONEY_MOST_MICROS, default=0, help_text="What it owes now.")


class PersonalEntrySerializer(serializers.ModelSerializer):
    """A change of an account's money; what comes in is positive."""

    on = serializers.SerializerMethodField(help_text="The day, in the account's time zone.")
    at = serializers.SerializerMethodField(help_text="Null for usage, but for the person whose account it is.")

    class Meta:
        model = PersonalEntry
        fields = ["id", "account", "kind", "on", "at", "micros", "balance_after_micros", "actor", "note"]

    def get_on(self, entry: PersonalEntry) -> date:
        """The day on which it counts."""
        return entry.at.astimezone(ZoneInfo(entry.account.time_zone)).date()

    @extend_schema_field({"type": "string", "format": "date-time", "nullable": True})
    def get_at(self, entry: PersonalEntry) -> datetime | None:
        """When it counts."""
        is_own = entry.account.person_id in scope_of_request(self.context["request"]).person_ids()
        return entry.at if is_own or entry.kind != PersonalEntryKind.CHARGE else None


class OnCreditSerializer(serializers.Serializer):
    """What is on credit of one service, for one reason."""

    service = ServiceField()
    reason = serializers.ChoiceField(choices=OpenReason.choices)
    rows = serializers.IntegerField()
    units = serializers.IntegerField()
    value_micros = serializers.IntegerField(help_text="At the company's rates.")
    ids = serializers.ListField(child=serializers.IntegerField(), help_text="By which it is written off.")


class OpenUsageSerializer(serializers.Serializer):
    """What the person of an account has on credit, in sums."""

    rows = serializers.IntegerField()
    tariff_micros = serializers.IntegerField(help_text="What it would come to by the tariff of the account.")
    unpriced_rows = serializers.IntegerField(help_text="Those that the tariff has no price for.")
    groups = OnCreditSerializer(many=True)


class PersonalWriteOffBody(Body):
    """Usage on credit that nobody shall pay."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), min_length=1, max_length=WRITE_OFF_MOST
    )


class PersonalAccountFilters(django_filters.FilterSet):
    """Accounts by enterprise, person, tariff and state."""

    enterprise = IdFilter(field_name="enterprise_id")
    person = IdFilter(field_name="person_id")
    tariff = IdFilter(field_name="tariff_id")
    state = django_filters.ChoiceFilter(choices=[(state, state) for state in STATES], method="of_state")

    class Meta:
        model = PersonalAccount
        fields: list[str] = []

    def of_state(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """Accounts in one state of their life."""
        if value == State.CLOSED:
            return rows.filter(closed_at__isnull=False)
        return rows.filter(closed_at__isnull=True, accepted_at__isnull=value == State.WAITING)


class PersonalAccounts(mixins.ListModelMixin, mixins.RetrieveModelMixin, Endpoint):
    """Personal accounts: one's own, and those that an account manager of the operator runs."""

    tag = "Personal accounts"
    summaries = {"list": "List personal accounts", "retrieve": "Read a personal account"}
    queryset = PersonalAccount.objects.select_related("person", "tariff").order_by()
    serializer_class = PersonalAccountSerializer
    filterset_class = PersonalAccountFilters
    verbs = {"POST": Verb.ADMINISTER, "PUT": Verb.ADMINISTER}

    @extend_schema(
        request=NewPersonalAccountBody,
        responses={201: PersonalAccountSerializer},
        examples=[
            OpenApiExample(
                "Postpaid, up to 50 euros",
                value={"person": 17, "tariff": 3, "kind": "postpaid", "credit_limit_micros": 50000000},
                request_only=True,
            )
        ],
    )
    def create(self, request) -> Response:
        """Open a personal account.

        It pays nothing before its person has accepted tariff and prices. Many are opened by
        `POST /enterprises/{id}/personal-accounts`.
        """
        values = self.body(NewPersonalAccountBody)
        zone = values.pop("time_zone", None) or terms_at(values["person"].enterprise_id, self.now()).zone.key
        return self.made(personal.open_account(**values, time_zone=zone, **self.write_context))

    @extend_schema(request=MoneyBody, responses={201: PersonalEntrySerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], url_path="top-ups", filterset_class=None)
    def top_ups(self, request, pk: int) -> Response:
        """Pay money into a personal account.

        What is on credit is charged at once, as far as it goes. Into a closed account no more than it owes.
        """
        account = self.get_object()
        return self.made(personal.top_up(account=account, **self._money(request)), PersonalEntrySerializer)

    @extend_schema(request=MoneyBody, responses={201: PersonalEntrySerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"], filterset_class=None)
    def payouts(self, request, pk: int) -> Response:
        """Pay money that is left out of a personal account."""
        account = self.get_object()
        return self.made(personal.pay_out(account=account, **self._money(request)), PersonalEntrySerializer)

    @extend_schema(responses=PersonalEntrySerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None)
    def entries(self, request, pk: int) -> Response:
        """List the changes of an account's money.

        Usage is an entry a charging run; only the person whose account it is reads when it was.
        """
        mine = PersonalEntry.objects.within(self.scope, Verb.VIEW).filter(account=self.get_object())
        return self.page(mine.select_related("account").order_by(), PersonalEntrySerializer)

    @extend_schema(request=CreditLimitBody, responses={200: PersonalAccountSerializer})
    @action(detail=True, methods=["put"], url_path="credit-limit", filterset_class=None)
    def credit_limit(self, request, pk: int) -> Response:
        """Set how far a postpaid account may owe.

        Never less than it owes now; what is on credit is charged as far as the new limit goes.
        """
        account = self.get_object()
        return self.shown(
            personal.set_credit_limit(account=account, **self.body(CreditLimitBody), **self.write_context)
        )

    @extend_schema(request=ClosePersonalAccountBody, responses={200: PersonalAccountSerializer})
    @action(detail=True, methods=["post"], filterset_class=None)
    def close(self, request, pk: int) -> Response:
        """Close a personal account.

        `owed_micros` must be what it owes, so that no debt is closed unseen. Debts and money that is left may be paid
        afterwards.
        """
        account = self.get_object()
        return self.shown(personal.close(account=account, **self.body(ClosePersonalAccountBody), **self.write_context))

    @extend_schema(responses={200: OpenUsageSerializer})
    @action(detail=True, methods=["get"], url_path="open-usage", filterset_class=None, pagination_class=None)
    def open_usage(self, request, pk: int) -> Response:
        """Read what the person of an account has on credit, in sums."""
        return self.shown(self._open_usage(self.get_object()), OpenUsageSerializer)

    @extend_schema(request=PersonalWriteOffBody, responses={200: OpenUsageSerializer})
    @action(detail=True, methods=["post"], url_path="open-usage/write-off", filterset_class=None, pagination_class=None)
    def write_off(self, request, pk: int) -> Response:
        """Write off usage on credit: nobody pays it, also not the company.

        All that are named, or none; safe to repeat.
        """
        account = self.get_object()
        ids = set(self.body(PersonalWriteOffBody)["ids"])
        reach = OpenPersonalUsage.objects.within(self.scope, Verb.ADMINISTER)
        rows = reach.filter(
            id__in=ids, enterprise_id=account.enterprise_id, person_id=account.person_id,
            state__in=(OpenState.OPEN, OpenState.WRITTEN_OFF),
        ).order_by("id")  # fmt: skip
        with self.all_or_nothing():
            if missing := ids - {row.id for row in rows}:
                message = f"This person has no usage {min(missing)} on credit."
                raise serializers.ValidationError({"ids": [message]}, code="ids")
            for row in rows:
                personal.write_off(open_usage=row, **self.write_context)
        return self.shown(self._open_usage(account), OpenUsageSerializer)

    def _open_usage(self, account: PersonalAccount) -> dict[str, Any]:
        groups = selector.on_credit(self.scope, account, verb=Verb.VIEW)
        quote = personal.quote(account, at=self.now())
        return {
            "rows": quote.rows, "tariff_micros": quote.micros, "unpriced_rows": quote.unpriced_rows, "groups": groups,
        }  # fmt: skip

    def _money(self, request: Request) -> dict[str, Any]:
        """Arguments of an act on money; without a key of the caller's, this request is an act of its own."""
        return {**self.body(MoneyBody), "key": key_of(request) or f"once:{uuid.uuid4().hex}", **self.write_context}
