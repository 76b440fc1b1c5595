"""The only authorisation door: memberships and tokens become a `Scope`, and nothing else does.

Owns: which verbs a role has, and the expansion of a subtree along parent pointers. Never filters rows itself; that is
`balances.scope.ScopedQuerySet.within`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from balances.models import Account, Enterprise, Line
from balances.scope import Grant, Scope, Verb
from portal.models import ApiToken, Membership, PersonClaim, Role, User

ROLE_VERBS: dict[str, frozenset[Verb]] = {
    Role.OWNER: frozenset({Verb.VIEW, Verb.MANAGE, Verb.INGEST}),
    Role.MANAGER: frozenset({Verb.VIEW, Verb.MANAGE}),
    Role.OBSERVER: frozenset({Verb.VIEW}),
    Role.EMPLOYEE: frozenset({Verb.VIEW}),
    Role.OPERATOR: frozenset({Verb.VIEW, Verb.MANAGE, Verb.INGEST, Verb.ADMINISTER}),
}


def subtree_ids(account_ids: set[int]) -> dict[int, frozenset[int]]:
    """Each account with everything below it, walked along parent pointers (MPTT bounds alone prove nothing)."""
    children: dict[int, list[int]] = defaultdict(list)
    enterprises = Account.objects.filter(id__in=account_ids).values("enterprise_id")
    pairs = Account.objects.filter(enterprise_id__in=enterprises).order_by().values_list("id", "parent_id")
    for account_id, parent_id in pairs:
        children[parent_id].append(account_id)
    below: dict[int, frozenset[int]] = {}
    for top in account_ids:
        found, waiting = {top}, [top]
        while waiting:
            fresh = [child for child in children[waiting.pop()] if child not in found]
            found.update(fresh)
            waiting.extend(fresh)
        below[top] = frozenset(found)
    return below


def scope_of(user: User | AnonymousUser) -> Scope:
    """What a user may see and do now, over all memberships that are still valid."""
    if not isinstance(user, User) or not user.is_active:
        return Scope()
    still_valid = Q(valid_until__isnull=True) | Q(valid_until__gt=timezone.now())
    memberships = list(Membership.objects.filter(still_valid, user=user))
    below = subtree_ids({m.account_id for m in memberships if m.account_id and m.role != Role.EMPLOYEE})
    grants: list[Grant] = []
    operator_ids: set[int] = set()
    for membership in memberships:
        verbs = ROLE_VERBS[membership.role]
        if membership.enterprise_id is None:
            # Only operator staff may hold something without an enterprise; a constraint sees to it.
            operator_ids.update(filter(None, [membership.operator_id]))
        elif membership.role == Role.EMPLOYEE:
            own = Line.objects.filter(person__memberships=membership, enterprise_id=membership.enterprise_id)
            line_ids = frozenset(own.values_list("id", flat=True))
            employees = frozenset(filter(None, [membership.person_id]))
            grants.append(Grant(membership.enterprise_id, verbs, frozenset(), line_ids, employees))
        elif membership.account_id is not None:
            grants.append(Grant(membership.enterprise_id, verbs, below[membership.account_id]))
        else:
            grants.append(Grant(membership.enterprise_id, verbs))
    # What is personal opens to who proved to be the person, whatever roles an employer gives or takes.
    claims = PersonClaim.objects.filter(user=user, confirmed_at__isnull=False, ended_at__isnull=True)
    for enterprise_id, person_id in claims.values_list("enterprise_id", "person_id"):
        grants.append(Grant(enterprise_id, frozenset({Verb.VIEW}), frozenset(), person_ids=frozenset({person_id})))
    return Scope(tuple(grants), frozenset(operator_ids))


def scope_of_token(token: ApiToken) -> Scope:
    """What a token may see and do now: its own place and verbs, and never more than its maker still holds.

    A token works for an enterprise or an operator, whoever reads what it fetches: what is personal to its maker, it
    does not open.
    """
    now = timezone.now()
    if token.revoked_at or (token.expires_at and token.expires_at <= now) or token.created_by is None:
        return Scope()
    verbs = frozenset(Verb(verb) for verb in token.verbs)
    makers = scope_of(token.created_by).narrowed(verbs).without_people()
    if token.account_id:
        below = subtree_ids({token.account_id})[token.account_id]
        grants = [
            Grant(g.enterprise_id, g.verbs, below if g.account_ids is None else g.account_ids & below)
            for g in makers.grants
            if g.enterprise_id == token.enterprise_id
        ]
        return Scope(tuple(grants))
    if token.enterprise_id:
        return Scope(tuple(g for g in makers.grants if g.enterprise_id == token.enterprise_id))
    of_operator = set(Enterprise.objects.filter(operator_id=token.operator_id).values_list("id", flat=True))
    grants_of_operator = tuple(g for g in makers.grants if g.enterprise_id in of_operator)
    return Scope(grants_of_operator, makers.operator_ids & {token.operator_id})


class ScopeMiddleware:
    """Puts `request.tenancy` on every request; its `scope` is computed when first asked for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.tenancy = _LazyTenancy(request)  # type: ignore[attr-defined]
        return self.get_response(request)


class _LazyTenancy:
    """`request.tenancy.scope`: the scope of the request's user, read once a request."""

    def __init__(self, request: HttpRequest):
        self._request = request
        self._scope: Scope | None = None

    @property
    def scope(self) -> Scope:
        if self._scope is None:
            self._scope = scope_of(self._request.user)
        return self._scope
