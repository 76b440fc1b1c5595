"""What every page needs: who is signed in, where in the tree they are, and what the main menu offers them.

A view says where it is by `place(request, ...)`; everything here is computed only when a template asks for it, so that
fragments cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from django.http import HttpRequest
from django.urls import reverse

from balances.models import Account, Enterprise
from balances.scope import Scope, Verb
from balances.selectors import tree
from portal.notices import inbox
from portal.people import is_somebody

THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """A link of the main menu; `is_current` where the page belongs to it."""

    label: str
    icon: str
    url: str
    is_current: bool


def place(
    request: HttpRequest,
    *,
    account: Account | None = None,
    enterprise: Enterprise | None = None,
    section: str = "account",
) -> None:
    """Say which account a page is about, and to which kind of page the tree should lead (a URL name taking an id)."""
    request.place = (account, enterprise or (account.enterprise if account else None), section)
    if enterprise or account:
        request.session["enterprise_id"] = enterprise.id if enterprise else account.enterprise_id


class Navigation:
    """Menu, enterprise switch and tree of one request."""

    def __init__(self, request: HttpRequest):
        self._request = request
        self.current, self._enterprise, self.section = getattr(request, "place", (None, None, "account"))

    @cached_property
    def _scope(self) -> Scope:
        return self._request.tenancy.scope

    @cached_property
    def enterprises(self) -> list[Enterprise]:
        """Those to switch between: where the principal sees accounts, not just own lines."""
        ids = self._scope.whole_enterprise_ids() | {
            grant.enterprise_id for grant in self._scope.grants if grant.account_ids
        }
        return [enterprise for enterprise in tree.enterprises(self._scope) if enterprise.id in ids]

    @cached_property
    def enterprise(self) -> Enterprise | None:
        """The page's own; else the one last looked at, while it is in reach; else the first."""
        if self._enterprise:
            return self._enterprise
        last = self._request.session.get("enterprise_id")
        by_id = {enterprise.id: enterprise for enterprise in self.enterprises}
        return by_id.get(last) or next(iter(self.enterprises), None)

    @cached_property
    def nodes(self) -> list[tree.Node]:
        """The tree, opened down to the page's account; empty for who sees no accounts."""
        if not self._request.user.is_authenticated or self.enterprise is None:
            return []
        return tree.opened_to(self._scope, self.enterprise.id, self.current)

    @cached_property
    def unread(self) -> int:
        """Notices that the principal has not opened."""
        user = self._request.user
        return inbox.unread(self._scope, user).count() if user.is_authenticated else 0

    @property
    def manages_current(self) -> bool:
        """Whether the page's account may be run by the principal."""
        return self.current is not None and self._scope.allows(
            Verb.MANAGE, enterprise_id=self.current.enterprise_id, account_id=self.current.id
        )

    @cached_property
    def menu(self) -> list[MenuEntry]:
        """The main menu; each entry only for those who can use it."""
        if not self._request.user.is_authenticated:
            return []
        entries = []
        if is_operator(self._scope):
            entries.append(self._entry("Enterprises", "building-2", "operator"))
        if manages_whole(self._scope):
            entries.append(self._entry("Suspense", "inbox", "suspense"))
            entries.append(self._entry("Files", "upload", "uploads"))
        if manages(self._scope):
            entries.append(self._entry("Tokens", "key-round", "tokens"))
        if is_somebody(self._scope):
            entries.append(self._entry("Mine", "user", "me"))
        return entries

    def _entry(self, label: str, icon: str, name: str) -> MenuEntry:
        url = reverse(name)
        return MenuEntry(label, icon, url, self._request.path.startswith(url))


def is_operator(scope: Scope) -> bool:
    """Whether the principal is of the operator's side."""
    return bool(scope.operator_ids or scope.enterprise_ids(Verb.ADMINISTER))


def manages(scope: Scope) -> bool:
    """Whether the principal runs anything: accounts, enterprises, or the operator's side."""
    return bool(scope.operator_ids or scope.enterprise_ids(Verb.MANAGE))


def manages_whole(scope: Scope) -> bool:
    """Whether the principal runs whole enterprises, or the operator's side."""
    return bool(scope.operator_ids or scope.whole_enterprise_ids(Verb.MANAGE))


def navigation(request: HttpRequest) -> dict[str, object]:
    """Context processor: `navigation` and `theme`."""
    theme = request.COOKIES.get("theme", "auto")
    context: dict[str, object] = {"theme": theme if theme in THEMES else "auto"}
    if hasattr(request, "tenancy"):
        context["navigation"] = Navigation(request)
    return context
