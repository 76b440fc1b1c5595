"""What serves a line and what it used in the cycle under way, read in one snapshot, as its screen shows it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from rest_framework import serializers

from balances.models import Bucket, Line
from balances.scope import Scope
from balances.selectors import lines
from balances.selectors.overview import Usage
from balances.selectors.terms import Progress, Terms, progress_of, terms_at
from balances.units import UNIT_NAMES
from portal.api.accounts import CycleSerializer
from portal.api.values import ServiceField


@dataclass(frozen=True, slots=True)
class ServiceOfLine:
    """One service: the buckets in reach that serve the line, nearest first, and what it used."""

    service: int
    buckets: list[Bucket]
    usage: Usage

    @property
    def unit(self) -> str:
        """What the service is counted in."""
        return UNIT_NAMES[self.service]

    @property
    def remaining_units(self) -> int:
        """Left for the line and all others that draw on the same buckets."""
        return sum(bucket.remaining_units for bucket in self.buckets)

    @property
    def bucket_ids(self) -> list[int]:
        """The buckets by id."""
        return [bucket.id for bucket in self.buckets]


@dataclass(frozen=True, slots=True)
class LineBalances:
    """A line's figures."""

    line: Line
    terms: Terms
    progress: Progress
    draws_unseen: bool
    services: list[ServiceOfLine]


def balances_of(scope: Scope, line: Line, now: datetime) -> LineBalances:
    """The figures of a line in reach; call it inside `snapshot()`."""
    progress = progress_of(line.enterprise_id)
    terms = terms_at(line.enterprise_id, now)
    serving = lines.serving(scope, line, terms, now)
    usage = lines.usage_of(lines.usage_by_zone(scope, line, terms))
    buckets: dict[int, list[Bucket]] = defaultdict(list)
    for bucket in serving.buckets:
        buckets[bucket.service].append(bucket)
    services = [
        ServiceOfLine(service, buckets[service], usage.get(service, Usage())) for service in sorted({*buckets, *usage})
    ]
    return LineBalances(line, terms, progress, serving.draws_unseen, services)


class ServiceOfLineSerializer(serializers.Serializer):
    """One service of a line."""

    service = ServiceField()
    unit = serializers.CharField()
    remaining_units = serializers.IntegerField(help_text="Of all buckets below: shared with others that draw on them.")
    used_units = serializers.IntegerField(source="usage.used_units", help_text="By this line, in the cycle.")
    overage_units = serializers.IntegerField(source="usage.overage_units", help_text="The part beyond allowances.")
    amount_micros = serializers.IntegerField(source="usage.amount_micros", help_text="Millionths of the currency.")
    buckets = serializers.ListField(
        source="bucket_ids", child=serializers.IntegerField(), help_text="Drawn on in this order."
    )


class LineBalancesSerializer(serializers.Serializer):
    """What serves a line, and what it used, as of one instant."""

    line = serializers.IntegerField(source="line.id")
    as_of = serializers.DateTimeField(source="progress.as_of", help_text="When this was read.")
    charge_sequence = serializers.IntegerField(source="progress.sequence", help_text="Rises with every change.")
    charged_at = serializers.DateTimeField(source="progress.charged_at", allow_null=True)
    cycle = CycleSerializer(source="terms.cycle", allow_null=True, help_text="Null without a contract in force.")
    currency = serializers.CharField(source="terms.currency")
    draws_unseen = serializers.BooleanField(help_text="Buckets beyond the caller's reach may serve the line too.")
    services = ServiceOfLineSerializer(many=True)
