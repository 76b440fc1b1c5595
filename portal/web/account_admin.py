"""Running an account: what hangs below it, where it hangs itself, its lines, people and thresholds."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import contracts, hierarchy, inventory
from balances.errors import Refused
from balances.models import Account, Device, Line, Person, Threshold
from balances.models.accounts import AccountKind, DrawAbove
from balances.scope import Verb
from balances.selectors import tree
from balances.selectors.terms import terms_at
from balances.units import Service
from policies.steering import holidays
from policies.steering.homes import may_set
from portal import figures
from portal.web import homes, quantities
from portal.web.context import place
from portal.web.forms import CivilTimeField, PortalForm, acting, attempt, sent
from portal.web.reach import number_sent

SERVICES = [(str(int(service)), figures.SERVICE_WORDS[service]) for service in Service]
KINDS = [(kind, kind.label) for kind in AccountKind if kind != AccountKind.ENTERPRISE]
MOST_CHOICES = 2_000


class AddAccountForm(PortalForm):
    """A new account below."""

    action = "add-account"

    name = forms.CharField(label="Name", max_length=120)
    code = forms.CharField(label="Code", max_length=40, help_text="Short and unique; files refer to it.")
    kind = forms.ChoiceField(label="Kind", choices=KINDS, initial=AccountKind.COST_CENTRE)


class RenameForm(PortalForm):
    """Another name."""

    action = "rename"

    name = forms.CharField(label="Name", max_length=120)


class DrawAboveForm(PortalForm):
    """Whether usage here may draw on what accounts above hold."""

    action = "draw-above"

    draw_above = forms.ChoiceField(
        label="May draw on allowances above",
        choices=[(DrawAbove.ALWAYS, "Yes, once its own are used up"), (DrawAbove.NEVER, "No: overage begins then")],
    )


class HolidaysForm(PortalForm):
    """Whose public holidays rules of who pays mean."""

    action = "holidays"

    holiday_calendar = forms.CharField(
        label="Public holidays of",
        max_length=8,
        required=False,
        help_text="A country, DE, or a part of it, DE-BY. Empty: the country of the contract.",
    )


class MoveForm(PortalForm):
    """Another place in the tree, from now on."""

    action = "move"

    new_parent = forms.ChoiceField(label="Below")

    def __init__(self, *arguments, places: list[Account], **options):
        super().__init__(*arguments, **options)
        # Figure spaces: plain ones at the beginning of an option are not shown.
        self.fields["new_parent"].choices = [(str(a.id), "\u2007\u2007" * a.level + a.name) for a in places]


class AddPersonForm(PortalForm):
    """Somebody who uses lines."""

    action = "add-person"

    name = forms.CharField(label="Name", max_length=120)
    number = forms.CharField(label="Personnel number", max_length=40)
    email = forms.CharField(label="E-mail", max_length=254, required=False, widget=forms.EmailInput())


class AddLineForm(PortalForm):
    """A subscription in service."""

    action = "add-line"

    msisdn = forms.CharField(label="Number", max_length=24, help_text="With country code: +49 170 1234567.")
    imsi = forms.CharField(label="IMSI", max_length=20, required=False)
    label = forms.CharField(label="Label", max_length=80, required=False, help_text="For lines without a person.")
    person = forms.ModelChoiceField(
        label="Person", queryset=Person.objects.none(), required=False, empty_label="nobody"
    )
    device_imei = forms.CharField(label="Device (IMEI)", max_length=20, required=False)
    assigned_from = CivilTimeField(label="In service since", required=False)

    def __init__(self, *arguments, people: QuerySet[Person], **options):
        super().__init__(*arguments, **options)
        self.fields["person"].queryset = people


class ThresholdForm(PortalForm):
    """A mark on usage in a cycle."""

    action = "add-threshold"

    service = forms.ChoiceField(label="Service", choices=SERVICES)
    level = forms.CharField(
        label="At", max_length=40, help_text="Percent of the allowance (80 %), or an amount (10 GiB, 500 min)."
    )


def account_admin(request: HttpRequest, account_id: int) -> HttpResponse:
    """All that can be done with one account, each in a form of its own."""
    scope = request.tenancy.scope
    account = get_object_or_404(Account.objects.within(scope, Verb.MANAGE).select_related("enterprise"), id=account_id)
    place(request, account=account, section="account-admin")
    zone = terms_at(account.enterprise_id, acting(request)["at"]).zone
    bound = _forms(request, account, zone)
    try:
        words = _act(request, account, bound)
    except Refused as refusal:
        messages.error(request, refusal.message)
        words = None
    if words:
        messages.success(request, words)
        return redirect("account-admin", account.id)
    context = {
        "account": account,
        "breadcrumb": tree.ancestors(scope, account),
        "forms": bound,
        "children": tree.children(scope, account),
        "home": homes.shown(scope, account, acting(request)["at"]),
        "time_zones": homes.time_zones(),
        "zone": zone,
        "thresholds": Threshold.objects.filter(account=account).order_by("service", "percent", "units"),
        "section": "account-admin",
    }
    return render(request, "manage/account.html", context)


def _forms(request: HttpRequest, account: Account, zone) -> dict[str, PortalForm]:
    scope = request.tenancy.scope
    people = Person.objects.within(scope, Verb.MANAGE).filter(enterprise_id=account.enterprise_id).order_by("name")
    whole = {"holiday_calendar": account.enterprise.holiday_calendar}
    return {
        **({} if account.parent_id else {"holidays": sent(request, HolidaysForm, initial=whole)}),
        "add_account": sent(request, AddAccountForm),
        **({"home": sent(request, homes.HomeForm, zone=zone)} if may_set(scope, account) else {}),
        "rename": sent(request, RenameForm, initial={"name": account.name}),
        "draw_above": sent(request, DrawAboveForm, initial={"draw_above": account.draw_above}),
        "move": sent(
            request, MoveForm, places=places(request, account), initial={"new_parent": str(account.parent_id)}
        ),
        "add_person": sent(request, AddPersonForm),
        "add_line": sent(request, AddLineForm, people=people, zone=zone),
        "add_threshold": sent(request, ThresholdForm),
    }


def places(request: HttpRequest, moved: Account | None = None, *, enterprise_id: int | None = None) -> list[Account]:
    """Open accounts in reach, in the order of the tree; without what hangs below `moved`."""
    found = Account.objects.within(request.tenancy.scope, Verb.MANAGE).filter(
        enterprise_id=moved.enterprise_id if moved else enterprise_id, closed_at__isnull=True
    )
    if moved is not None:
        found = found.exclude(tree_id=moved.tree_id, lft__gte=moved.lft, rght__lte=moved.rght)
    return list(found.order_by("lft")[:MOST_CHOICES])


def _act(request: HttpRequest, account: Account, bound: dict[str, PortalForm]) -> str | None:
    """Do what was sent, and say so; None where nothing was, or a form has errors to show. Raises Refused."""
    if request.method != "POST":
        return None
    doing = acting(request)
    name = request.POST.get("action", "").replace("-", "_")
    if name == "close":
        hierarchy.close_account(account=account, **doing)
        return f"“{account.name}” is closed."
    if name == "remove_threshold":
        mark = get_object_or_404(Threshold, id=request.POST.get("threshold"), account=account)
        contracts.remove_threshold(threshold=mark, **doing)
        return "The threshold is removed."
    if name in ("home", "remove_home") and "home" not in bound:
        raise Http404("Only for those who manage the whole enterprise.")
    if name == "remove_home":
        return homes.remove(account, number_sent(request, "home"), doing)
    form = bound.get(name)
    done = attempt(form, lambda values: _WRITES[name](request, account, values, doing)) if form else None
    return done or None


def _add_account(request, account: Account, values: dict, doing: dict) -> str:
    made = hierarchy.add_account(parent=account, **values, **doing)
    return f"“{made.name}” hangs below “{account.name}” now."


def _rename(request, account: Account, values: dict, doing: dict) -> str:
    return f"The account is called “{hierarchy.rename_account(account=account, **values, **doing).name}” now."


def _draw_above(request, account: Account, values: dict, doing: dict) -> str:
    hierarchy.set_draw_above(account=account, **values, **doing)
    return "That holds from the next charge on."


def _holidays(request, account: Account, values: dict, doing: dict) -> str:
    holidays.set_calendar(enterprise=account.enterprise, calendar=values["holiday_calendar"], **doing)
    return "Rules of who pays go by these holidays from the next charge on."


def _home(request, account: Account, values: dict, doing: dict) -> str:
    return homes.write(account, values, doing)


def _move(request, account: Account, values: dict, doing: dict) -> str:
    new_parent = get_object_or_404(Account.objects.within(request.tenancy.scope, Verb.MANAGE), id=values["new_parent"])
    hierarchy.move_account(account=account, new_parent=new_parent, **doing)
    return f"“{account.name}” hangs below “{new_parent.name}” from now on. What was charged before stays where it was."


def _add_person(request, account: Account, values: dict, doing: dict) -> str:
    made = inventory.add_person(enterprise=account.enterprise, account=account, **values, **doing)
    return f"{made.name} is added."


def _add_line(request, account: Account, values: dict, doing: dict) -> str:
    device = find_device(account.enterprise_id, values.pop("device_imei"))
    made = inventory.add_line(enterprise=account.enterprise, account=account, device=device, **values, **doing)
    return f"{figures.msisdn(made.msisdn)} is in service."


def find_device(enterprise_id: int, imei: str) -> Device | None:
    """The enterprise's device with this IMEI, None for none. Raises Refused."""
    if not imei.strip():
        return None
    found = Device.objects.filter(enterprise_id=enterprise_id, imei=imei.strip()).first()
    if found is None:
        raise Refused("This enterprise has no such device. Import it first.", field="device_imei")
    return found


def _add_threshold(request, account: Account, values: dict, doing: dict) -> str:
    set_mark(values, doing, account=account)
    return "The threshold is set."


def set_mark(values: dict, doing: dict, *, account: Account | None = None, line: Line | None = None) -> Threshold:
    """A threshold from what was typed: percent, or an amount of the service. Raises Refused."""
    service, level = int(values["service"]), values["level"].strip()
    percent, units = None, None
    try:
        if level.endswith("%"):
            percent = int(quantities.number(level[:-1]))
        else:
            units = quantities.read(level, service)
    except quantities.NotAQuantity as refusal:
        raise Refused(refusal.message, field="level") from None
    try:
        return contracts.set_threshold(
            account=account, line=line, service=service, percent=percent, units=units, **doing
        )
    except Refused as refusal:
        raise Refused(refusal.message, field="level") from None


_WRITES = {
    "add_account": _add_account,
    "rename": _rename,
    "draw_above": _draw_above,
    "holidays": _holidays,
    "home": _home,
    "move": _move,
    "add_person": _add_person,
    "add_line": _add_line,
    "add_threshold": _add_threshold,
}
