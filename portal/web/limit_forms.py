"""Forms of limits: a new one, other terms, an exemption; what is typed becomes arguments of `policies.limits`."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from balances.errors import Refused
from balances.models import Zone
from balances.units import Service
from policies.models import Limit, Measure, Window
from policies.models.limits import ACTION_CHOICES
from portal import figures
from portal.web import quantities
from portal.web.forms import CivilTimeField, PortalForm

MONEY = "money"
COUNTED = [(str(int(service)), figures.SERVICE_WORDS[service]) for service in Service] + [
    (MONEY, "Money for overage, all services")
]
EVERYWHERE, ABROAD = "", "abroad"
BY_ITSELF, APPROVED = "", "approved"
AMOUNTS_HELP = "Amounts like the one above, with a semicolon between them: 3 GiB; 4.5 GiB."
GRACE_HELP = "How far a video conference of an executive that has begun may run on."


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
    amounts = forms.CharField(label="Tell also at", max_length=200, required=False, help_text=AMOUNTS_HELP)
    restricts = forms.ChoiceField(
        label="It restricts", required=False,
        choices=[(BY_ITSELF, "by itself"), (APPROVED, "once somebody has approved it, in each period")],
    )  # fmt: skip
    grace = forms.CharField(label="Grace", max_length=40, required=False, help_text=GRACE_HELP)
    counts_from = CivilTimeField(label="Count from", required=False)
    ends_at = CivilTimeField(label="Ends", required=False)
    seen = forms.CharField(required=False, widget=forms.HiddenInput())

    #: What most limits do without: shown when it is asked for.
    RARE = ("amounts", "restricts", "grace", "counts_from", "ends_at")

    def __init__(self, *arguments, zones: list[Zone], with_tag: bool, **options):
        super().__init__(*arguments, **options)
        self.fields["where"].choices = [(EVERYWHERE, "Everywhere"), (ABROAD, "Abroad")] + [
            (str(zone.id), zone.name) for zone in zones
        ]
        if not with_tag:
            del self.fields["tag"]

    def usual(self) -> list[forms.BoundField]:
        """The fields that every limit has."""
        return [field for field in self.visible_fields() if field.name not in self.RARE]

    def rare(self) -> list[forms.BoundField]:
        """The others."""
        return [field for field in self.visible_fields() if field.name in self.RARE]

    def has_rare(self) -> bool:
        """Whether one of the others says something, or is wrong."""
        return any(field.value() or field.errors for field in self.rare())

    def shown_for(self, values: dict[str, Any]) -> str:
        """What an effect was shown for, in one text."""
        said = {name: "" if value is None else str(value) for name, value in values.items() if name != "seen"}
        return repr(sorted(said.items()))

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
            "marks_at": amounts_of(values["amounts"], service), "grace_units": grace_of(values["grace"], service),
            "needs_approval": values["restricts"] == APPROVED, "counts_from": values["counts_from"] or None,
            "ends_at": values["ends_at"] or None,
        }  # fmt: skip


def percents_of(text: str) -> list[int]:
    """Percents as they are typed: 50, 80, 100. Raises Refused."""
    try:
        return [int(part.strip().removesuffix("%")) for part in text.split(",") if part.strip()]
    except ValueError:
        raise Refused(f"“{text}” are no percents; write them like 50, 80, 100.", field="marks") from None


def amounts_of(text: str, service: int | None) -> list[int]:
    """Marks in the limit's own measure as they are typed: 3 GiB; 4.5 GiB, or money. Raises Refused."""
    found = []
    for part in re.split(r";|,\s+", text):
        if part.strip():
            try:
                found.append(quantities.read_price(part) if service is None else quantities.read(part, service))
            except quantities.NotAQuantity as refusal:
                raise Refused(refusal.message, field="amounts") from None
    return found


def grace_of(text: str, service: int | None) -> int:
    """Grace in units as it is typed; none where nothing is. Raises Refused."""
    if not text.strip():
        return 0
    if service is None:
        raise Refused("Grace is in units of a service; this limit counts money.", field="grace")
    try:
        return quantities.read(text, service)
    except quantities.NotAQuantity as refusal:
        raise Refused(refusal.message, field="grace") from None


def amounts_text(limit: Limit) -> str:
    """The marks of a limit as they are typed."""
    return "; ".join(typed(limit, mark) for mark in limit.marks)


def typed(limit: Limit, figure: int) -> str:
    """An amount of a limit as it is typed."""
    if limit.measure == Measure.MONEY:
        return quantities.write_price(figure)
    return quantities.write(figure, limit.service or 0)


class ChangeForm(PortalForm):
    """Other terms from now on."""

    action = "change"

    amount = forms.CharField(label="At most", max_length=40)
    beyond = forms.ChoiceField(label="Beyond it", choices=ACTION_CHOICES)
    marks = forms.CharField(label="Tell at", max_length=80, required=False, help_text="Percent, with commas.")
    amounts = forms.CharField(label="Tell also at", max_length=200, required=False, help_text=AMOUNTS_HELP)
    grace = forms.CharField(label="Grace", max_length=40, required=False, help_text=GRACE_HELP)
    seen = forms.CharField(required=False, widget=forms.HiddenInput())


class ExemptForm(PortalForm):
    """A line, or an account with all below it, that the limit is not to stop."""

    action = "exempt"

    whom = forms.CharField(
        label="Line or account", max_length=80, help_text="Number of a line with country code, or code of an account."
    )
    until = CivilTimeField(label="Until")
    reason = forms.CharField(label="Reason", max_length=200)
