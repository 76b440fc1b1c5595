"""Usage as charged: records of a line or a subtree, why each costs what it costs, and counters by cycle and day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from balances import masking
from balances.models import Account, Counter, Line, UsageRecord
from balances.models.counters import Grain, OwnerKind, Payer
from balances.selectors import charges, refused
from balances.selectors.charges import Draw, Explanation, Stretch
from balances.selectors.tree import below
from balances.units import UNIT_NAMES
from portal.api.endpoints import Endpoint
from portal.api.values import BIGINT_MOST, Instant, ServiceField
from portal.charging import reasons

#: Without bounds, a list looks back so far.
RECENT = timedelta(days=35)
#: The widest interval that one list looks through: it touches as many monthly partitions.
WIDEST = timedelta(days=400)


class OwnerQuery(serializers.Serializer):
    """Whose usage: a line's, or an account's."""

    line = serializers.IntegerField(required=False, min_value=1, max_value=BIGINT_MOST)
    account = serializers.IntegerField(required=False, min_value=1, max_value=BIGINT_MOST)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one owner, and an interval that is one."""
        if ("line" in attrs) == ("account" in attrs):
            raise serializers.ValidationError("Name either a line or an account.", code="owner")
        if "from_at" in attrs and "until_at" in attrs:
            if attrs["until_at"] <= attrs["from_at"]:
                raise serializers.ValidationError({"until_at": ["It must lie after from_at."]}, code="interval")
            if attrs["until_at"] - attrs["from_at"] > WIDEST:
                message = f"At most {WIDEST.days} days at once; ask several times."
                raise serializers.ValidationError({"until_at": [message]}, code="interval")
        return attrs


class UsageQuery(OwnerQuery):
    """Which usage to list."""

    account = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=BIGINT_MOST,
        help_text="With all accounts below it: what the company pays.",
    )
    service = ServiceField(required=False)
    refused = serializers.BooleanField(
        required=False, default=False, help_text="Only records of which a limit or a policy refused something."
    )
    from_at = Instant(required=False, help_text=f"Used at or after; {RECENT.days} days before until_at, unless given.")
    until_at = Instant(required=False, help_text="Used before; an hour from now, unless given.")


class CounterQuery(OwnerQuery):
    """Which counters to list."""

    grain = serializers.ChoiceField(choices=["cycle", "day"], default="cycle", help_text="Lines have cycles only.")
    service = ServiceField(required=False)
    from_at = Instant(required=False, help_text="Periods that begin at or after.")
    until_at = Instant(required=False, help_text="Periods that begin before.")


class UsageSerializer(serializers.ModelSerializer):
    """One record of use, as charged."""

    service = ServiceField()
    unit = serializers.SerializerMethodField()
    zone = serializers.CharField(source="zone.code")
    source = serializers.CharField(source="source.name")

    class Meta:
        model = UsageRecord
        fields = [
            "id",
            "enterprise",
            "line",
            "account",
            "source",
            "source_record_id",
            "service",
            "unit",
            "zone",
            "units",
            "charged_units",
            "used_at",
            "ended_at",
            "visited_network",
            "other_party",
            "imei",
            "attributes",
            "charge_sequence",
            "charged_at",
        ]

    def get_unit(self, record: UsageRecord) -> str:
        """What the service is counted in."""
        return UNIT_NAMES[record.service]


class DrawSerializer(serializers.Serializer):
    """Units that came from one bucket."""

    bucket = serializers.SerializerMethodField(help_text="Null where the bucket lies outside the caller's reach.")
    units = serializers.IntegerField()

    def get_bucket(self, draw: Draw) -> int | None:
        """The bucket's id, where the caller may see it."""
        return draw.bucket.id if draw.bucket else None


class ChargeLineSerializer(serializers.Serializer):
    """One stretch of the record: what it drew from buckets, and what lies beyond them at the contract's rate."""

    number = serializers.IntegerField(source="line.number")
    starts_at = serializers.DateTimeField(source="line.starts_at")
    cycle_start = serializers.DateTimeField(source="line.cycle_start")
    payer = serializers.SerializerMethodField()
    contract_version = serializers.CharField(source="line.version")
    units = serializers.IntegerField(source="line.units")
    overage_units = serializers.IntegerField(source="line.overage_units")
    refused_units = serializers.IntegerField(source="line.refused_units", help_text="Used, and not granted by a limit.")
    amount_micros = serializers.IntegerField(source="line.amount_micros")
    draws = DrawSerializer(many=True)
    reasons = serializers.SerializerMethodField(help_text="The stored reasons, as codes.")
    explanation = serializers.SerializerMethodField(help_text="The stored reasons, as sentences.")

    def get_payer(self, stretch: Stretch) -> str:
        """corporate or personal."""
        return stretch.line.get_payer_display().lower()

    def get_reasons(self, stretch: Stretch) -> list[str]:
        """Codes, with an argument after a colon where there is one."""
        return stretch.line.reasons.split()

    def get_explanation(self, stretch: Stretch) -> list[str]:
        """Sentences in the same order."""
        return reasons.words(stretch.line.reasons, self.context.get("names"))


class ExplainedUsageSerializer(UsageSerializer):
    """A record of use, and why it costs what it costs."""

    overage_units = serializers.SerializerMethodField()
    amount_micros = serializers.SerializerMethodField()
    charge_lines = serializers.SerializerMethodField()
    path = serializers.SerializerMethodField(
        help_text="Accounts from the line's own to the root, as they hung then; null: outside the caller's reach."
    )

    class Meta(UsageSerializer.Meta):
        fields = [*UsageSerializer.Meta.fields, "overage_units", "amount_micros", "path", "charge_lines"]

    @property
    def _explanation(self) -> Explanation:
        return self.context["explanation"]

    def get_overage_units(self, record: UsageRecord) -> int:
        """Units beyond all allowances."""
        return self._explanation.overage_units

    def get_amount_micros(self, record: UsageRecord) -> int:
        """Money, in millionths of the contract's currency."""
        return self._explanation.amount_micros

    def get_charge_lines(self, record: UsageRecord) -> ChargeLineSerializer(many=True):  # type: ignore[valid-type]
        """The stretches, in order of time."""
        stretches = self._explanation.stretches
        names = reasons.names_of(stretch.line.reasons for stretch in stretches)
        return ChargeLineSerializer(stretches, many=True, context={"names": names}).data

    def get_path(self, record: UsageRecord) -> list[int | None]:
        """Account ids, nearest first."""
        return [account.id if account else None for account in self._explanation.path]


class UsageRecords(Endpoint):
    """Charged usage in reach."""

    tag = "Usage"
    queryset = UsageRecord.objects.select_related("zone", "source").order_by()
    serializer_class = UsageSerializer
    filter_backends = ()

    def _data(self, thing: Any, serializer_class: type[BaseSerializer] | None, **options: Any) -> Any:
        masking.show(thing if options.get("many") else [thing], self.scope)
        return super()._data(thing, serializer_class, **options)

    @extend_schema(parameters=[UsageQuery])
    def list(self, request) -> Response:
        """List usage of a line, or of an account and all below it.

        What was charged last comes first; pages stay as they are while more is charged. Numbers of other parties are
        shown as the masking declarations say.
        """
        query = self.query(UsageQuery)
        until_at = query.get("until_at") or max(query.get("from_at", self.now()), self.now()) + timedelta(hours=1)
        from_at = query.get("from_at", until_at - RECENT)
        if until_at - from_at > WIDEST:
            raise serializers.ValidationError({"from_at": [f"At most {WIDEST.days} days at once."]}, code="interval")
        records = self.get_queryset().filter(used_at__gte=from_at, used_at__lt=until_at)
        if "line" in query:
            records = records.filter(line=self.find(Line.objects.all(), pk=query["line"]))
        else:
            top = self.find(Account.objects.all(), pk=query["account"])
            accounts = Account.objects.within(self.scope).filter(below(top)).order_by()
            account_ids = list(accounts.values_list("id", flat=True))
            records = records.filter(account_id__in=account_ids, payer=Payer.CORPORATE)
        if "service" in query:
            records = records.filter(service=query["service"])
        if query["refused"]:
            records = refused.only(records, self.scope, from_at, until_at)
        return self.page(records)

    @extend_schema(responses=ExplainedUsageSerializer)
    def retrieve(self, request, pk: int) -> Response:
        """Explain a charge.

        The record with its charge lines, the buckets they drew on, and the reasons, all from what was stored.
        """
        try:
            explanation = charges.explain(self.scope, pk)
        except UsageRecord.DoesNotExist:
            raise Http404 from None
        context = {**self.get_serializer_context(), "explanation": explanation}
        return Response(ExplainedUsageSerializer(explanation.usage, context=context).data)


class CounterSerializer(serializers.ModelSerializer):
    """Usage of an owner, and everything below it, in a period; by service and zone."""

    account = serializers.SerializerMethodField()
    line = serializers.SerializerMethodField()
    grain = serializers.SerializerMethodField()
    service = ServiceField()
    unit = serializers.SerializerMethodField()
    zone = serializers.CharField(source="zone.code")
    payer = serializers.SerializerMethodField()

    class Meta:
        model = Counter
        fields = [
            "enterprise",
            "account",
            "line",
            "grain",
            "period_start",
            "service",
            "unit",
            "zone",
            "payer",
            "used_units",
            "overage_units",
            "amount_micros",
            "records",
        ]

    def get_account(self, counter: Counter) -> int | None:
        """The account, where it is one's counter."""
        return counter.owner_id if counter.owner_kind == OwnerKind.ACCOUNT else None

    def get_line(self, counter: Counter) -> int | None:
        """The line, where it is one's counter."""
        return counter.owner_id if counter.owner_kind == OwnerKind.LINE else None

    def get_grain(self, counter: Counter) -> str:
        """cycle or day."""
        return Grain(counter.grain).name.lower()

    def get_unit(self, counter: Counter) -> str:
        """What the service is counted in."""
        return UNIT_NAMES[counter.service]

    def get_payer(self, counter: Counter) -> str:
        """corporate or personal."""
        return counter.get_payer_display().lower()


class Counters(Endpoint):
    """Counters in reach."""

    tag = "Usage"
    queryset = Counter.objects.select_related("zone").order_by()
    serializer_class = CounterSerializer
    filter_backends = ()
    pagination_class = None

    @extend_schema(parameters=[CounterQuery], responses=CounterSerializer(many=True))
    def list(self, request) -> Response:
        """List the counters of a line or an account, latest period first.

        Without bounds, the periods that began in the last 35 days.
        """
        query = self.query(CounterQuery)
        until_at = query.get("until_at") or max(query.get("from_at", self.now()), self.now())
        from_at = query.get("from_at", until_at - RECENT)
        if until_at - from_at > WIDEST:
            raise serializers.ValidationError({"from_at": [f"At most {WIDEST.days} days at once."]}, code="interval")
        kind, model = (OwnerKind.LINE, Line) if "line" in query else (OwnerKind.ACCOUNT, Account)
        owner = self.find(model.objects.all(), pk=query.get("line") or query["account"])
        counters = self.get_queryset().filter(
            enterprise_id=owner.enterprise_id,
            owner_kind=kind,
            owner_id=owner.id,
            grain=Grain[query["grain"].upper()],
            period_start__gte=from_at,
            period_start__lte=until_at,
        )
        if "service" in query:
            counters = counters.filter(service=query["service"])
        in_order = counters.order_by("-period_start", "service", "zone_id", "payer")
        return Response(CounterSerializer(in_order, many=True, context=self.get_serializer_context()).data)
