"""Which verb a request needs. Rows are filtered by the scope; this only turns away who holds the verb nowhere."""

from __future__ import annotations

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from balances.scope import Verb
from portal.api.authentication import scope_of_request


def verb_of(request: Request, view) -> Verb:
    """The verb that a view wants for a request's method: `verbs` by method, else view to read and manage to write."""
    wanted = getattr(view, "verbs", {})
    return wanted.get(request.method, Verb.VIEW if request.method in SAFE_METHODS else Verb.MANAGE)


class HasVerb(BasePermission):
    """Signed in, and holding the view's verb in at least one place."""

    message = "Nothing that you hold allows this."

    def has_permission(self, request: Request, view) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        verb = verb_of(request, view)
        scope = scope_of_request(request)
        return bool(scope.enterprise_ids(verb)) or (verb in (Verb.ADMINISTER, Verb.VIEW) and bool(scope.operator_ids))
