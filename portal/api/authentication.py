"""Who calls the REST interface: a token's holder, or a signed-in user of the portal.

Owns: reading the Authorization header, and `scope_of_request`, by which every view finds what its caller may reach.
Never decides what a token may do: that is `portal.access.scope_of_token`.
"""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from balances.scope import Scope
from portal import tokens
from portal.access import scope_of, scope_of_token
from portal.models import ApiToken, User


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer ent_<prefix>_<secret>`; the request's user is the token's maker, `auth` the token."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = tokens.find(plain.strip())
        if token is None or token.created_by is None or not token.created_by.is_active:
            raise AuthenticationFailed("This token is unknown, revoked or expired.")
        tokens.touch(token, at=timezone.now())
        return token.created_by, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class TokenScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI document speaks of tokens."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token made in the portal, or at POST /tokens."}


def scope_of_request(request: Request) -> Scope:
    """What the caller of a view may see and do; asked once a request."""
    scope: Scope | None = getattr(request, "_reach", None)
    if scope is None:
        scope = scope_of_token(request.auth) if isinstance(request.auth, ApiToken) else scope_of(request.user)
        request._reach = scope
    return scope


def actor_of(request: Request) -> str:
    """The caller as the audit names them."""
    if isinstance(request.auth, ApiToken):
        return f"token:{request.auth.pk} {request.auth.name}"
    return f"user:{request.user.pk} {request.user}"
