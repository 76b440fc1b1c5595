"""Tokens of REST clients: made, found and revoked. The only writer of ApiToken.

Owns: the secret, of which only a hash is kept. Never decides what a token may do: that is
`portal.access.scope_of_token`, which asks anew at every use what the token's maker still holds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from balances import audit, fields
from balances.errors import Refused
from balances.models import Account, Enterprise, Operator
from balances.scope import Scope, Verb
from portal.access import scope_of
from portal.models import ApiToken, User

#: What a token begins with, so that people and secret scanners recognise one.
MARK = "ent"
#: `last_used_at` is written no more often than this.
TOUCH_AFTER = timedelta(minutes=1)
_PLAIN = re.compile(rf"{MARK}_([0-9a-f]{{8}})_([A-Za-z0-9_-]{{43}})", re.ASCII)


class TokenRefused(Refused):
    """The token would hold nothing, or more than its maker does."""


def issue(
    *,
    operator: Operator,
    enterprise: Enterprise | None = None,
    account: Account | None = None,
    name: str,
    verbs: Iterable[Verb | str],
    created_by: User,
    expires_at: datetime | None = None,
    at: datetime,
) -> tuple[ApiToken, str]:
    """A token on an operator, an enterprise or a subtree, and its plain text, which is never to be had again.

    Opens its own transaction. Raises TokenRefused, Unreadable.
    """
    name = fields.text(name, field="name", label="The name", most=80)
    chosen = _verbs(verbs)
    _refuse_place(operator, enterprise, account)
    if expires_at is not None and expires_at <= at:
        raise TokenRefused("The token would have expired already.", field="expires_at")
    held = scope_of(created_by)
    for verb in chosen:
        if not _holds(held, verb, operator, enterprise, account):
            raise TokenRefused(f"You cannot give what you do not hold there: {verb}.", field="verbs")
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(
            operator=operator,
            enterprise=enterprise,
            account=account,
            name=name,
            verbs=[str(verb) for verb in chosen],
            prefix=prefix,
            secret_hash=_hash(secret),
            created_by=created_by,
            expires_at=expires_at,
        )
        audit.record(
            enterprise_id=enterprise.id if enterprise else None,
            account_id=account.id if account else None,
            actor=f"user:{created_by.id} {created_by}",
            action="token.issued",
            subject=name,
            detail={"prefix": prefix, "verbs": token.verbs, "operator": operator.name},
            at=at,
        )
    return token, f"{MARK}_{prefix}_{secret}"


def find(plain: str, *, at: datetime | None = None) -> ApiToken | None:
    """The token behind its plain text, if it is neither revoked nor expired; one query."""
    parts = _PLAIN.fullmatch(plain)
    if parts is None:
        return None
    prefix, secret = parts.groups()
    known = ApiToken.objects.select_related("operator", "enterprise", "account", "created_by")
    token = known.filter(prefix=prefix).first()
    # The comparison takes as long where the prefix is unknown.
    is_right = hmac.compare_digest(token.secret_hash if token else _hash(""), _hash(secret))
    if token is None or not is_right or token.revoked_at:
        return None
    if token.expires_at and token.expires_at <= (at or timezone.now()):
        return None
    return token


def touch(token: ApiToken, *, at: datetime) -> None:
    """Note that a token was used; written once a minute at most."""
    if token.last_used_at is None or at - token.last_used_at > TOUCH_AFTER:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=at)


def revoke(*, token: ApiToken, actor: str, at: datetime) -> ApiToken:
    """End a token at once and for good; a second time changes nothing. Opens its own transaction."""
    with transaction.atomic():
        token = ApiToken.objects.select_for_update(of=("self",)).get(id=token.id)
        if token.revoked_at is None:
            token.revoked_at = at
            token.save(update_fields=["revoked_at"])
            audit.record(
                enterprise_id=token.enterprise_id,
                account_id=token.account_id,
                actor=actor,
                action="token.revoked",
                subject=token.name,
                detail={"prefix": token.prefix},
                at=at,
            )
        return token


def _verbs(verbs: Iterable[Verb | str]) -> list[Verb]:
    try:
        chosen = sorted({Verb(verb) for verb in verbs})
    except ValueError:
        raise TokenRefused(f"The verbs are {', '.join(Verb)}.", field="verbs") from None
    if not chosen:
        raise TokenRefused("Choose at least one thing that the token may do.", field="verbs")
    return chosen


def _refuse_place(operator: Operator, enterprise: Enterprise | None, account: Account | None) -> None:
    if enterprise is not None and enterprise.operator_id != operator.id:
        raise TokenRefused("This enterprise does not exist.", field="enterprise")
    if account is not None and (enterprise is None or account.enterprise_id != enterprise.id):
        raise TokenRefused("This account does not exist.", field="account")


def _holds(held: Scope, verb: Verb, operator: Operator, enterprise: Enterprise | None, account: Account | None) -> bool:
    """Whether the maker may do `verb` on the place, or on anything in it."""
    if account is not None:
        return held.allows(verb, enterprise_id=account.enterprise_id, account_id=account.id)
    if enterprise is not None:
        return enterprise.id in held.enterprise_ids(verb)
    if verb == Verb.ADMINISTER and operator.id in held.operator_ids:
        return True
    return Enterprise.objects.filter(operator=operator, id__in=held.enterprise_ids(verb)).exists()


def _hash(secret: str) -> str:
    """SHA-256 without stretching: 256 random bits cannot be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()
