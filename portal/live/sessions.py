"""Who is at the other end of a socket: the session cookie becomes a user, and the user a scope, again and again.

Owns: reading the session as Django does for pages (also its hash: a changed password ends sockets too). Decides
nothing: `portal.access` does.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest

from balances.scope import Scope
from portal.access import scope_of
from portal.models import User


class SessionScopeMiddleware:
    """Puts the session's key into the connection scope; the consumer asks `scope_of_session` as often as it needs."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        return await self.app({**scope, "session_key": _session_key(scope)}, receive, send)


def _session_key(scope) -> str | None:
    for name, value in scope.get("headers", ()):
        if name == b"cookie":
            try:
                cookies = SimpleCookie(value.decode("latin-1"))
            except CookieError:
                return None
            morsel = cookies.get(settings.SESSION_COOKIE_NAME)
            return morsel.value if morsel else None
    return None


def scope_of_session(session_key: str | None) -> Scope | None:
    """What the session's user may see now; None where nobody is signed in with it."""
    found = user_of_session(session_key)
    return found[1] if found else None


def user_of_session(session_key: str | None) -> tuple[User, Scope] | None:
    """The session's user and what they may see now; None where nobody is signed in with it."""
    if not session_key:
        return None
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = auth.get_user(request)
    return (user, scope_of(user)) if isinstance(user, User) else None
