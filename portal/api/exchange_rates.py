"""How exchange rates look and are sent; the versions that they belong to are `portal.api.contracts`."""

from __future__ import annotations

from rest_framework import serializers

from balances.models import ExchangeRate
from portal.api.values import Body, ServiceField, Units


class ExchangeRateSerializer(serializers.ModelSerializer):
    """So many units of one service for so many of another."""

    from_service = ServiceField()
    to_service = ServiceField()

    class Meta:
        model = ExchangeRate
        fields = ["id", "version", "from_service", "to_service", "from_units", "to_units"]


class ExchangeRateBody(Body):
    """An exchange rate for a draft."""

    from_service = ServiceField()
    to_service = ServiceField()
    from_units = Units(min_value=1)
    to_units = Units(min_value=1)
