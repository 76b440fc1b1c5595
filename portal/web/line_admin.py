"""Running a line: the account it belongs to, its status, numbers and device, its thresholds."""

from __future__ import annotations

import json
import re
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import contracts, inventory, profiles, tags
from balances.errors import Refused
from balances.models import Account, Device, Line, LineAssignment, Threshold
from balances.models.accounts import DeviceOwnership, DeviceType, LineStatus, NumberKind
from balances.scope import Verb
from balances.selectors.terms import terms_at
from portal import figures
from portal.web.account_admin import ThresholdForm, find_device, places, set_mark
from portal.web.context import place
from portal.web.forms import CivilTimeField, PortalForm, acting, attempt, sent

STATUS_WORDS = {
    LineStatus.ACTIVE: "is active",
    LineStatus.SUSPENDED: "is suspended",
    LineStatus.RETIRED: "is retired, its numbers are free",
}


class AssignForm(PortalForm):
    """Another account, from a time on."""

    action = "assign"

    account = forms.ChoiceField(label="Account")
    from_at = CivilTimeField(label="From")

    def __init__(self, *arguments, accounts: list[Account], **options):
        super().__init__(*arguments, **options)
        self.fields["account"].choices = [(str(a.id), "\u2007\u2007" * a.level + a.name) for a in accounts]


class NumberForm(PortalForm):
    """Another number or SIM, from a time on."""

    action = "number"

    kind = forms.ChoiceField(
        label="Change",
        choices=[(str(int(NumberKind.MSISDN)), "the phone number"), (str(int(NumberKind.IMSI)), "the SIM")],
    )
    number = forms.CharField(label="New number or IMSI", max_length=24)
    from_at = CivilTimeField(label="From")


class TagsForm(PortalForm):
    """Tags: limits, policies and reports go by them."""

    action = "tags"

    tags = forms.CharField(
        label="Tags",
        max_length=500,
        required=False,
        help_text="With commas: field, pool-7. Small letters, digits, hyphens.",
    )


class ProfileForm(PortalForm):
    """What is known of the subscriber: rules of who pays ask for it as profile.NAME."""

    action = "profile"

    attributes = forms.CharField(
        label="Profile",
        max_length=4_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "class": "input mono"}),
        help_text="One a line: level = 3, on_call = yes, site = Berlin. Double quotes make a text of a number.",
    )


class DeviceForm(PortalForm):
    """The device that the SIM is in."""

    action = "device"

    device_imei = forms.CharField(label="IMEI", max_length=20, required=False, help_text="Empty: none that is known.")


class DeviceFactsForm(PortalForm):
    """What is known of the device: rules ask for it as device.type, device.ownership and device.model."""

    action = "device-facts"

    device_type = forms.ChoiceField(label="Type", choices=DeviceType.choices)
    ownership = forms.ChoiceField(label="Belongs to", choices=DeviceOwnership.choices)
    model = forms.CharField(label="Model", max_length=80, required=False)


def line_admin(request: HttpRequest, line_id: int) -> HttpResponse:
    """All that can be done with one line, each in a form of its own."""
    scope = request.tenancy.scope
    known = Line.objects.within(scope, Verb.MANAGE).select_related(
        "account__enterprise", "person", "device", "enterprise"
    )
    line = get_object_or_404(known, id=line_id)
    place(request, account=line.account, section="account-lines")
    at = acting(request)["at"]
    zone = terms_at(line.enterprise_id, at).zone
    bound = {
        "assign": sent(
            request,
            AssignForm,
            accounts=places(request, enterprise_id=line.enterprise_id),
            zone=zone,
            initial={"account": str(line.account_id), "from_at": at},
        ),
        "number": sent(request, NumberForm, zone=zone, initial={"from_at": at}),
        "device": sent(request, DeviceForm, initial={"device_imei": line.device.imei if line.device else ""}),
        "device_facts": sent(request, DeviceFactsForm, initial=_device_facts(line.device)),
        "add_threshold": sent(request, ThresholdForm),
        "tags": sent(request, TagsForm, initial={"tags": ", ".join(tags.of(line))}),
        "profile": sent(request, ProfileForm, initial={"attributes": _profile_text(profiles.of(line))}),
    }
    if line.device is None or not Device.objects.within(scope, Verb.MANAGE).filter(id=line.device_id).exists():
        del bound["device_facts"]  # the inventory belongs to who manages the enterprise as a whole
    try:
        words = _act(request, line, bound)
    except Refused as refusal:
        messages.error(request, refusal.message)
        words = None
    if words:
        messages.success(request, words)
        return redirect("line-admin", line.id)
    context = {
        "line": line,
        "forms": bound,
        "zone": zone,
        "is_retired": line.status == LineStatus.RETIRED,
        "statuses": [status for status in LineStatus if status != line.status],
        "thresholds": Threshold.objects.filter(line=line).order_by("service", "percent", "units"),
        "assignments": LineAssignment.objects.filter(line=line).select_related("account").order_by("-during"),
    }
    return render(request, "manage/line.html", context)


def _act(request: HttpRequest, line: Line, bound: dict[str, PortalForm]) -> str | None:
    """Do what was sent, and say so; None where nothing was, or a form has errors to show. Raises Refused."""
    if request.method != "POST":
        return None
    doing = acting(request)
    action = request.POST.get("action", "").replace("-", "_")
    if action == "status":
        changed = inventory.set_line_status(line=line, status=request.POST.get("status", ""), **doing)
        return f"The line {STATUS_WORDS[LineStatus(changed.status)]}."
    if action == "remove_threshold":
        mark = get_object_or_404(Threshold, id=request.POST.get("threshold"), line=line)
        contracts.remove_threshold(threshold=mark, **doing)
        return "The threshold is removed."
    form = bound.get(action)
    return attempt(form, lambda values: _WRITES[action](request, line, values, doing)) if form else None


def _assign(request: HttpRequest, line: Line, values: dict, doing: dict) -> str:
    reach = Account.objects.within(request.tenancy.scope, Verb.MANAGE)
    account = get_object_or_404(reach, id=values["account"])
    inventory.assign_line(line=line, account=account, from_at=values["from_at"], **doing)
    return f"The line belongs to “{account.name}” from then on. What was charged before stays where it was."


def _number(request: HttpRequest, line: Line, values: dict, doing: dict) -> str:
    kind = NumberKind(int(values["kind"]))
    try:
        inventory.change_number(line=line, kind=kind, number=values["number"], from_at=values["from_at"], **doing)
    except Refused as refusal:
        field = "number" if refusal.field in inventory.NUMBER_FIELDS.values() else refusal.field
        raise Refused(refusal.message, field=field) from None
    return "The change is entered. Usage with the old number before then stays this line's."


def _device(request: HttpRequest, line: Line, values: dict, doing: dict) -> str:
    changed = inventory.change_device(line=line, device=find_device(line.enterprise_id, values["device_imei"]), **doing)
    return f"The SIM is in {changed.device}." if changed.device else "The line has no known device now."


def _add_threshold(request: HttpRequest, line: Line, values: dict, doing: dict) -> str:
    set_mark(values, doing, line=line)
    return f"The threshold on {figures.msisdn(line.msisdn)} is set."


def _tags(request: HttpRequest, line: Line, values: dict, doing: dict) -> str:
    wanted = [tag for tag in values["tags"].split(",") if tag.strip()]
    borne = tags.set_tags(line=line, tags=wanted, **doing)
    return f"From the next charge on the line bears: {', '.join(borne)}." if borne else "The line bears no tag now."


def _profile(request: HttpRequest, line: Line, values: dict, doing: dict) -> str:
    known = profiles.set_profile(line=line, attributes=_read_profile(values["attributes"]), **doing)
    return f"From the next charge on the profile says: {', '.join(known)}." if known else "The profile is empty now."


def _profile_text(attributes: dict[str, Any]) -> str:
    """A profile as lines that read back as the same."""
    return "\n".join(f"{name} = {_value_text(value)}" for name, value in attributes.items())


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        is_plain = value == value.strip() and value and _read_value(value) == value
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _read_profile(text: str) -> dict[str, Any]:
    """The profile that was typed. Raises Refused."""
    found: dict[str, Any] = {}
    for number, row in enumerate(text.splitlines(), start=1):
        if not row.strip():
            continue
        name, sign, value = row.partition("=")
        if not sign or name.strip() in found:
            problem = "is there twice" if sign else "has no “=”: write it like level = 3"
            raise Refused(f"Line {number} {problem}.", field="attributes")
        found[name.strip()] = _read_value(value.strip())
    return found


def _read_value(text: str) -> Any:
    if text.lower() in ("yes", "no"):
        return text.lower() == "yes"
    if text.startswith('"') or re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,9})?", text):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        return value if isinstance(value, str | int | float) else text
    return text


def _device_facts(device: Device | None) -> dict[str, str]:
    return {name: getattr(device, name) for name in ("device_type", "ownership", "model")} if device else {}


def _write_device_facts(request: HttpRequest, line: Line, values: dict, doing: dict) -> str:
    assert line.device is not None
    inventory.update_device(device=line.device, **values, **doing)
    return "What is known of the device is saved."


_WRITES = {
    "assign": _assign, "number": _number, "device": _device, "add_threshold": _add_threshold, "tags": _tags,
    "profile": _profile, "device_facts": _write_device_facts,
}  # fmt: skip
