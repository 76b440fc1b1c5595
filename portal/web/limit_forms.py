"""Forms of limits: a new one, other terms, an exemption; what is typed becomes arguments of `policies.limits`."""

from __future__ import annotations

from typing import Any

from django import forms

from balances.errors import Refused
from balances.models import Zone
from balances.units import Service
from policies.models import Measure, Window
from policies.models.limits import ACTION_CHOICES
from portal import figures
from portal.web import quantities
from portal.web.forms import CivilTimeField, PortalForm

MONEY = "money"
COUNTED = [(str(int(service)), figures.SERVICE_WORDS[service]) for service in Service] + [
    (MONEY, "Money for overage, all services")
]
EVERYWHERE, ABROAD = "", "abroad"


class LimitForm(PortalForm):
    """A new limit; `seen` is what its effect was shown for."""

    action = "make"

    counted = forms.ChoiceField(label="What is counted", choices=COUNTED)
    amount = forms.CharField(label="At most", max_length=40, help_text="5 GiB, 500 min, 100 messages; money like 50.")
    window = forms.ChoiceField(label="How often", choices=Window.choices, initial=Window.CYCLE)
    where = forms.ChoiceField(label="Where", required=False)
    beyond = forms.ChoiceField(label="Beyond it", choices=ACTION_CHOICES)
    marks = forms.CharField(
        label="Tell at", max_length=80, required=False, initial="50, 80, 100", help_text="Percent, with commas."
    )
    tag = forms.CharField(label="Only lines with the tag", max_length=40, required=False)
    name = forms.CharField(label="Name", max_length=80, required=False)
    seen = forms.CharField(required=False, widget=forms.HiddenInput())

    def __init__(self, *arguments, zones: list[Zone], with_tag: bool, **options):
        super().__init__(*arguments, **options)
        self.fields["where"].choices = [(EVERYWHERE, "Everywhere"), (ABROAD, "Abroad")] + [
            (str(zone.id), zone.name) for zone in zones
        ]
        if not with_tag:
            del self.fields["tag"]

    def terms(self, values: dict[str, Any]) -> dict[str, Any]:
        """Arguments of `limits.make`. Raises Refused."""
        money = values["counted"] == MONEY
        service = None if money else int(values["counted"])
        try:
            amount = quantities.read_price(values["amount"]) if money else quantities.read(values["amount"], service)
        except quantities.NotAQuantity as refusal:
            raise Refused(refusal.message, field="amount") from None
        where = values.get("where") or EVERYWHERE
        return {
            "service": service, "measure": Measure.MONEY if money else Measure.UNITS, "amount": amount,
            "window": values["window"], "action": values["beyond"], "percents": percents_of(values["marks"]),
            "is_abroad": where == ABROAD, "zone_id": int(where) if where.isdigit() else None, "name": values["name"],
        }  # fmt: skip


def percents_of(text: str) -> list[int]:
    """Percents as they are typed: 50, 80, 100. Raises Refused."""
    try:
        return [int(part.strip().removesuffix("%")) for part in text.split(",") if part.strip()]
    except ValueError:
        raise Refused(f"“{text}” are no percents; write them like 50, 80, 100.", field="marks") from None


class ChangeForm(PortalForm):
    """Other terms from now on."""

    action = "change"

    amount = forms.CharField(label="At most", max_length=40)
    beyond = forms.ChoiceField(label="Beyond it", choices=ACTION_CHOICES)
    marks = forms.CharField(label="Tell at", max_length=80, required=False, help_text="Percent, with commas.")
    seen = forms.CharField(required=False, widget=forms.HiddenInput())


class ExemptForm(PortalForm):
    """A line that the limit is not to stop."""

    action = "exempt"

    msisdn = forms.CharField(label="Line", max_length=24, help_text="Its number, with country code.")
    until = CivilTimeField(label="Until")
    reason = forms.CharField(label="Reason", max_length=200)
