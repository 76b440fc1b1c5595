"""Contracts and their versions: drafted in human units, compared, published with a summary of what will hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from balances import contracts, exchange
from balances.errors import Refused
from balances.models import Allowance, Contract, ContractVersion, ExchangeRate, Zone
from balances.models.contracts import VersionState
from balances.scope import Verb
from balances.selectors import versions
from balances.units import SERVICE_NAMES, Service
from portal import figures
from portal.web import quantities
from portal.web.context import place
from portal.web.enterprises import administered
from portal.web.forms import CivilTimeField, PortalForm, acting, attempt, sent

SERVICES = [(str(int(service)), figures.SERVICE_WORDS[service]) for service in Service]
#: What a rate is quoted and rounded in, until somebody says otherwise.
USUAL_STEPS = {
    Service.DATA: ("1 KiB", "1 MiB"),
    Service.VOICE: ("1 s", "1 min"),
    Service.MESSAGING: ("1 message", "1 message"),
    Service.VIDEO_CONFERENCING: ("1 min", "1 min"),
}


class ContractForm(PortalForm):
    """An agreement with an enterprise."""

    action = "contract"

    number = forms.CharField(label="Contract number", max_length=40)
    time_zone = forms.CharField(
        label="Time zone", initial="Europe/Berlin", max_length=40, help_text="Cycles and days begin by its clocks."
    )
    starts_at = CivilTimeField(label="Begins", help_text="By the clocks of the time zone above.")
    ends_at = CivilTimeField(label="Ends", required=False, help_text="Empty: open-ended.")
    cycle_anchor_day = forms.IntegerField(
        label="Cycles begin on day",
        initial=1,
        min_value=1,
        max_value=31,
        help_text="In shorter months on the last day.",
    )
    currency = forms.CharField(label="Currency", initial="EUR", min_length=3, max_length=3)
    late_usage_days = forms.IntegerField(
        label="Late usage is charged for", initial=90, min_value=0, max_value=3650, help_text="Days; older usage waits."
    )


class ExchangeRateForm(PortalForm):
    """So much of one service for so much of another."""

    action = "exchange-rate"
    marks_optional = False

    from_amount = forms.CharField(label="Give", max_length=40, help_text="1 GiB, 10 min, 100.")
    from_service = forms.ChoiceField(label="of", choices=SERVICES)
    to_amount = forms.CharField(label="for", max_length=40)
    to_service = forms.ChoiceField(label="of ", choices=SERVICES, initial=str(int(Service.VOICE)))


class DraftForm(PortalForm):
    """A version to be filled."""

    action = "draft"

    effective_at = CivilTimeField(label="Takes effect")
    copy_from = forms.ChoiceField(label="Starts from", required=False)
    note = forms.CharField(label="Note", max_length=200, required=False)

    def __init__(self, *arguments, known: list[ContractVersion], **options):
        super().__init__(*arguments, **options)
        copies = [(str(version.id), f"a copy of version {version.number}") for version in known]
        self.fields["copy_from"].choices = [*copies, ("", "nothing")]


class AllowanceForm(PortalForm):
    """Units granted each cycle."""

    action = "allowance"

    name = forms.CharField(label="Name", max_length=80)
    service = forms.ChoiceField(label="Service", choices=SERVICES)
    amount = forms.CharField(
        label="Each cycle", max_length=40, help_text="Like 500 GiB, 20,000 min, 5000 messages, 50 participant-h."
    )
    rollover = forms.CharField(
        label="Carried over, at most", max_length=40, required=False, help_text="Empty: nothing is carried over."
    )
    priority = forms.IntegerField(
        label="Priority", initial=100, min_value=1, max_value=1000, help_text="Lower is drawn first."
    )
    zones = forms.ModelMultipleChoiceField(
        label="Usable in", queryset=Zone.objects.none(), required=False, widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: everywhere.",
    )  # fmt: skip

    def __init__(self, *arguments, zones, **options):
        super().__init__(*arguments, **options)
        self.fields["zones"].queryset = zones


class ZoneForm(PortalForm):
    """A group of networks with one price."""

    action = "zone"

    name = forms.CharField(label="Name", max_length=60)
    code = forms.CharField(label="Code", max_length=24, help_text="Small letters, digits, - and _.")
    networks = forms.CharField(label="Networks", required=False, help_text="MCC or MCC and MNC, parted by commas.")
    is_home = forms.BooleanField(label="Home: where a record names no network", required=False)
    is_default = forms.BooleanField(label="Everywhere else: where no network fits", required=False)


@dataclass(frozen=True, slots=True)
class RateRow:
    """The editable rate of a service in a zone; texts as typed or stored."""

    service: int
    zone: Zone
    increment: str
    minimum: str
    price: str
    block: str

    @property
    def key(self) -> str:
        """What the inputs of this row are called."""
        return f"rate-{self.service}-{self.zone.id}"


def contract_new(request: HttpRequest, enterprise_id: int) -> HttpResponse:
    """Agree on a contract; its first version is drafted at once."""
    enterprise = administered(request, enterprise_id)
    place(request, enterprise=enterprise)
    zone = _zone(request.POST.get("contract-time_zone", ""))
    month = datetime.now(UTC).astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    form = sent(request, ContractForm, zone=zone, initial={"starts_at": month, "number": f"C-{enterprise.number}"})

    def write(values: dict) -> ContractVersion:
        doing = acting(request)
        made = contracts.create_contract(
            enterprise=enterprise, **values | {"currency": values["currency"].upper()}, **doing
        )
        return contracts.draft_version(contract=made, effective_at=made.starts_at, **doing)

    draft = attempt(form, write)
    if draft is not None:
        messages.success(request, "The contract stands. Fill its first version, then publish it.")
        return redirect("version", draft.id)
    return render(request, "contracts/new.html", {"form": form, "enterprise": enterprise})


def contract(request: HttpRequest, contract_id: int) -> HttpResponse:
    """A contract with its versions; a new one is drafted here."""
    reach = Contract.objects.within(request.tenancy.scope, Verb.ADMINISTER).select_related("enterprise__operator")
    shown = get_object_or_404(reach, id=contract_id)
    place(request, enterprise=shown.enterprise)
    zone, known = ZoneInfo(shown.time_zone), list(shown.versions.order_by("-number"))
    copied = next((version for version in known if version.state == VersionState.PUBLISHED), None)
    form = sent(request, DraftForm, zone=zone, known=known, initial={"copy_from": str(copied.id) if copied else ""})

    def write(values: dict) -> ContractVersion:
        chosen = next((version for version in known if str(version.id) == values["copy_from"]), None)
        return contracts.draft_version(
            contract=shown,
            effective_at=values["effective_at"],
            note=values["note"],
            copy_from=chosen,
            **acting(request),
        )

    draft = attempt(form, write)
    if draft is not None:
        return redirect("version", draft.id)
    now = datetime.now(UTC)
    in_force = [v for v in known if v.state == VersionState.PUBLISHED and v.effective_at <= now]
    latest = max(in_force, key=lambda version: version.effective_at, default=None)
    context = {"contract": shown, "versions": known, "in_force": latest, "form": form, "zone": zone, "now": now}
    return render(request, "contracts/contract.html", context)


def version(request: HttpRequest, version_id: int) -> HttpResponse:
    """A version: edited while it is a draft, and always compared with the one before it."""
    reach = ContractVersion.objects.within(request.tenancy.scope, Verb.ADMINISTER)
    shown = get_object_or_404(reach.select_related("contract__enterprise__operator"), id=version_id)
    place(request, enterprise=shown.contract.enterprise)
    zones = Zone.objects.filter(operator=shown.contract.enterprise.operator_id)
    allowance_form = sent(request, AllowanceForm, zones=zones)
    zone_form = sent(request, ZoneForm)
    exchange_form = sent(request, ExchangeRateForm)
    rates, problem = _rate_rows(request, shown, list(zones)), None
    if request.method == "POST":
        try:
            if _act(request, shown, allowance_form, zone_form, rates, exchange_form):
                return redirect("version", shown.id)
        except Refused as refusal:
            problem = refusal.message
    before = versions.predecessor(shown)
    return render(
        request,
        "contracts/version.html",
        {
            "version": shown,
            "contract": shown.contract,
            "is_draft": shown.state == VersionState.DRAFT,
            "allowances": shown.allowances.prefetch_related("zones").order_by("service", "priority", "id"),
            "allowance_form": allowance_form,
            "zone_form": zone_form,
            "exchange_form": exchange_form,
            "exchange_rates": shown.exchange_rates.order_by("from_service", "to_service"),
            "zones": zones,
            "rates": rates,
            "comparison": versions.compare(shown, before),
            "first_grant_at": versions.first_grant_at(shown),
            "zone": ZoneInfo(shown.contract.time_zone),
            "now": datetime.now(UTC),
            "problem": problem,
        },
    )


def _act(
    request: HttpRequest,
    shown: ContractVersion,
    allowance_form: AllowanceForm,
    zone_form: ZoneForm,
    rates: list[RateRow],
    exchange_form: ExchangeRateForm,
) -> bool:
    """Do what was sent; False where a form has errors to show. Raises Refused."""
    match request.POST.get("action"):
        case "allowance":
            return attempt(allowance_form, lambda _: _add_allowance(request, shown, allowance_form)) is not None
        case "remove":
            allowance = get_object_or_404(Allowance, id=request.POST.get("allowance"), version=shown)
            contracts.remove_allowance(allowance=allowance, **acting(request))
            messages.success(request, f"“{allowance.name}” is out of this draft.")
        case "rates":
            kept = _save_rates(request, shown, rates)
            messages.success(request, f"{kept} rates are kept.")
        case "exchange-rate":
            return attempt(exchange_form, lambda _: _set_exchange_rate(request, shown, exchange_form)) is not None
        case "remove-exchange-rate":
            rate = get_object_or_404(ExchangeRate, id=request.POST.get("rate"), version=shown)
            exchange.remove_rate(rate=rate, **acting(request))
            messages.success(request, "The exchange rate is out of this draft.")
        case "zone":
            return attempt(zone_form, lambda values: _add_zone(request, shown, values)) is not None
        case "publish":
            published = contracts.publish_version(version=shown, **acting(request))
            when = figures.moment(published.effective_at, ZoneInfo(shown.contract.time_zone))
            messages.success(request, f"Version {published.number} is published. It holds from {when} on.")
        case _:
            return False
    return True


def _add_allowance(request: HttpRequest, shown: ContractVersion, form: AllowanceForm) -> Allowance:
    values = form.cleaned_data
    service = int(values["service"])
    return contracts.add_allowance(
        version=shown,
        name=values["name"],
        service=service,
        granted_units=form.quantity("amount", service) or 0,
        zones=values["zones"],
        rollover_cap_units=form.quantity("rollover", service, default=0) or 0,
        priority=values["priority"],
        **acting(request),
    )


def _set_exchange_rate(request: HttpRequest, shown: ContractVersion, form: ExchangeRateForm) -> ExchangeRate:
    from_service, to_service = (int(form.cleaned_data[name]) for name in ("from_service", "to_service"))
    return exchange.set_rate(
        version=shown,
        from_service=from_service,
        to_service=to_service,
        from_units=form.quantity("from_amount", from_service) or 0,
        to_units=form.quantity("to_amount", to_service) or 0,
        **acting(request),
    )


def _add_zone(request: HttpRequest, shown: ContractVersion, values: dict) -> Zone:
    networks = [network.strip() for network in values["networks"].split(",") if network.strip()]
    made = contracts.create_zone(
        operator=shown.contract.enterprise.operator, **values | {"networks": networks}, **acting(request)
    )
    messages.success(request, f"Zone “{made.name}” is there. Published versions have no rate for it: draft new ones.")
    return made


def _rate_rows(request: HttpRequest, shown: ContractVersion, zones: list[Zone]) -> list[RateRow]:
    """Every service in every zone: as typed just now, else as stored, else as usual and without a price."""
    stored = {(rate.service, rate.zone_id): rate for rate in shown.rates.all()}
    typed = request.POST if request.method == "POST" and request.POST.get("action") == "rates" else {}
    rows = []
    for service in SERVICE_NAMES:
        for zone in zones:
            rate = stored.get((service, zone.id))
            increment, block = USUAL_STEPS[Service(service)]
            values = {"increment": increment, "minimum": "", "price": "", "block": block}
            if rate is not None:
                values = {
                    "increment": quantities.write(rate.increment_units, service),
                    "minimum": quantities.write(rate.minimum_units, service) if rate.minimum_units else "",
                    "price": quantities.write_price(rate.overage_price_micros),
                    "block": quantities.write(rate.overage_block_units, service),
                }
            key = f"rate-{service}-{zone.id}"
            rows.append(RateRow(service, zone, **{n: typed.get(f"{key}-{n}", v) for n, v in values.items()}))
    return rows


def _save_rates(request: HttpRequest, shown: ContractVersion, rows: list[RateRow]) -> int:
    """Keep the rows that have a price. Raises Refused, naming the row; rows before it are kept."""
    kept = 0
    for row in rows:
        if not row.price.strip():
            continue
        try:
            contracts.set_rate(
                version=shown,
                service=row.service,
                zone=row.zone,
                increment_units=quantities.read(row.increment, row.service),
                minimum_units=quantities.read(row.minimum, row.service) if row.minimum.strip() else 0,
                overage_price_micros=quantities.read_price(row.price),
                overage_block_units=quantities.read(row.block, row.service),
                **acting(request),
            )
        except Refused as refusal:
            raise Refused(f"{figures.SERVICE_WORDS[row.service]}, {row.zone.name}: {refusal.message}") from None
        kept += 1
    if not kept:
        raise Refused("No row has a price. Zero is a price, too: write 0.")
    return kept


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return ZoneInfo("Europe/Berlin")
