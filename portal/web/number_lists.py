"""Lists of numbers that rules of who pays speak of: made, filled from a paste or a file, thinned out, downloaded."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from balances.errors import Refused
from balances.loading import LoadResult
from balances.models import Account
from balances.scope import Scope, Verb
from balances.selectors import tree
from balances.selectors.terms import terms_at
from policies.models import NumberList
from policies.steering import number_lists, publishing
from portal.web.context import place
from portal.web.forms import PortalForm, acting, attempt, sent
from portal.web.reach import found, read_number

PAGE = 100
#: Problems of a table that are listed.
PROBLEMS_MOST = 50


class ListForm(PortalForm):
    """A list to be made."""

    action = "create"

    name = forms.CharField(label="Name", max_length=80)
    code = forms.CharField(label="Code", max_length=40, help_text="What rules call it: customers, private.")


class EntriesForm(PortalForm):
    """Numbers to be added: typed, pasted, or from a file."""

    action = "add"

    table = forms.CharField(
        label="Numbers",
        required=False,
        max_length=number_lists.TEXT_MOST,
        widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false", "class": "input mono"}),
        help_text="One a line, with country code; a star for all that begin so: +49 30*. "
        "Then, after commas: a label, and from and until when it counts, as dates.",
    )
    file = forms.FileField(
        label="Or a CSV file",
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.txt,text/csv"}),
        help_text="Columns number, label, valid_from, valid_until.",
    )

    def clean(self) -> dict:
        """The text of one of both."""
        values = super().clean()
        file = values.get("file")
        if file is not None:
            if file.size > number_lists.TEXT_MOST:
                raise forms.ValidationError("The file is too large: send it in parts.")
            try:
                values["table"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise forms.ValidationError("The file is no text in UTF-8.") from None
        if not (values.get("table") or "").strip():
            raise forms.ValidationError("Write, paste or choose some numbers.")
        return values


def lists_of(request: HttpRequest, account_id: int) -> HttpResponse:
    """The lists that rules of an account may speak of; `?list=` opens one."""
    scope: Scope = request.tenancy.scope
    account = found(tree.account, scope, account_id)
    place(request, account=account, section="account-steering")
    manages = scope.allows(Verb.MANAGE, enterprise_id=account.enterprise_id, account_id=account.id)
    chosen = _chosen(request, account)
    if chosen is not None and request.GET.get("download"):
        return _downloaded(chosen)
    form, entries_form, loaded = sent(request, ListForm), sent(request, EntriesForm), None
    if request.method == "POST":
        if not manages:
            raise Http404("Not in reach.")
        action = request.POST.get("action", "")
        if action == "add":
            if chosen is None:
                raise Http404("No such list.")
            loaded = attempt(entries_form, lambda values: _add(request, account, chosen, values))
            if loaded is not None and not loaded.errors:
                return _to(account, chosen)
        elif action == "create":
            if made := attempt(form, lambda values: _create(request, account, values)):
                return _to(account, made)
        elif chosen is not None:
            return _change(request, account, chosen, action)
    own = account.id if chosen is None else chosen.account_id
    context = {
        "account": account,
        "breadcrumb": tree.ancestors(scope, account),
        "manages": manages,
        "lists": _listed(scope, account),
        "above": [one for one in publishing.lists_at(account) if not _is_in_reach(scope, one)],
        "chosen": chosen,
        "page": _page(request, chosen) if chosen else None,
        "form": form,
        "entries_form": entries_form if chosen and own == account.id else None,
        "loaded": loaded,
        "problems": loaded.errors[:PROBLEMS_MOST] if loaded else [],
        "zone": terms_at(account.enterprise_id, acting(request)["at"]).zone,
        "most": number_lists.ENTRIES_MOST,
    }
    return render(request, "steering/number_lists.html", context)


def _listed(scope: Scope, account: Account):
    """Lists of the account and of those above it, as far as they are in reach, with how many numbers they have."""
    codes = [one.id for one in publishing.lists_at(account)]
    known = NumberList.objects.within(scope).filter(id__in=codes).select_related("account")
    return known.annotate(numbers=Count("entries", filter=Q(entries__removed_at__isnull=True))).order_by("name", "id")


def _is_in_reach(scope: Scope, one: NumberList) -> bool:
    return scope.allows(Verb.VIEW, enterprise_id=one.enterprise_id, account_id=one.account_id)


def _chosen(request: HttpRequest, account: Account) -> NumberList | None:
    number = request.POST.get("list") or request.GET.get("list")
    if not number:
        return None
    known = NumberList.objects.within(request.tenancy.scope).select_related("account")
    ids = [one.id for one in publishing.lists_at(account)]
    return get_object_or_404(known.filter(id__in=ids), id=read_number(number))


def _page(request: HttpRequest, chosen: NumberList):
    entries = chosen.entries.filter(removed_at__isnull=True)
    if text := request.GET.get("q", "").strip()[:40]:
        entries = entries.filter(Q(digits__contains=text.removeprefix("+")) | Q(label__icontains=text))
    return Paginator(entries.order_by("digits", "id"), PAGE).get_page(request.GET.get("page"))


def _downloaded(chosen: NumberList) -> HttpResponse:
    table = number_lists.table_of(chosen.entries.filter(removed_at__isnull=True).order_by("digits", "id"))
    headers = {"Content-Disposition": f'attachment; filename="{chosen.code}.csv"'}
    return HttpResponse(table, content_type="text/csv; charset=utf-8", headers=headers)


def _create(request: HttpRequest, account: Account, values: dict) -> NumberList:
    made = number_lists.create(account=account, name=values["name"], code=values["code"], **acting(request))
    messages.success(request, f"Rules of {account.name} and below can speak of “{made.code}” now. Put numbers into it.")
    return made


def _add(request: HttpRequest, account: Account, chosen: NumberList, values: dict) -> LoadResult:
    _mine(account, chosen)
    rows = number_lists.rows_of(values["table"])
    zone = terms_at(account.enterprise_id, acting(request)["at"]).zone
    loaded = number_lists.add(numbers=chosen, rows=rows, zone=zone, **acting(request))
    if loaded.created:
        plural = "numbers are" if loaded.created > 1 else "number is"
        messages.success(request, f"{loaded.created:,} {plural} in the list for charges from now on.")
    return loaded


def _change(request: HttpRequest, account: Account, chosen: NumberList, action: str) -> HttpResponse:
    doing = acting(request)
    try:
        _mine(account, chosen)
        if action == "take-out":
            ids = [read_number(number) for number in request.POST.getlist("entry")[:PAGE]]
            count = number_lists.take_out(numbers=chosen, entries=ids, **doing)
            messages.success(request, f"{count:,} taken out, for charges from now on.")
        elif action == "rename":
            number_lists.rename(numbers=chosen, name=request.POST.get("name", ""), **doing)
            messages.success(request, "The list is renamed; rules know it by its code.")
        elif action == "remove":
            number_lists.remove(numbers=chosen, **doing)
            messages.success(request, f"“{chosen.name}” is removed.")
            return redirect("account-number-lists", account.id)
    except Refused as refusal:
        messages.error(request, refusal.message)
    return _to(account, chosen)


def _mine(account: Account, chosen: NumberList) -> None:
    """A list is changed where it stands. Raises Refused."""
    if chosen.account_id != account.id:
        raise Refused(f"This list stands on {chosen.account.name}: change it there.")


def _to(account: Account, chosen: NumberList) -> HttpResponse:
    return redirect(f"{reverse('account-number-lists', args=[account.id])}?list={chosen.id}")
