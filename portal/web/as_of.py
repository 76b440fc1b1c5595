"""Pages as they were: a moment of the past in the address, typed as clocks of the contract's zone show it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django import forms
from django.http import HttpRequest

from portal.web.forms import LOCAL, CivilTimeField, CivilTimeInput, PortalForm


class AsOfForm(PortalForm):
    """A moment that has passed; empty for now."""

    marks_optional = False
    moment: datetime | None = None

    as_of = CivilTimeField(
        label="As of",
        required=False,
        widget=CivilTimeInput(attrs={"type": "datetime-local", "step": 60, "class": "input"}, format=LOCAL),
    )

    @classmethod
    def of(cls, request: HttpRequest, zone: ZoneInfo, now: datetime) -> AsOfForm:
        """The form as the address fills it; `moment` is set where it names one that has passed."""
        form = cls(request.GET if request.GET.get("as_of") else None, zone=zone)
        form._now = now
        if form.is_bound and form.is_valid():
            form.moment = form.cleaned_data["as_of"]
        return form

    def clean_as_of(self) -> datetime | None:
        """Refuses what has not come yet."""
        moment = self.cleaned_data["as_of"]
        if moment and moment > self._now:
            raise forms.ValidationError("This moment has not come yet.")
        return moment
