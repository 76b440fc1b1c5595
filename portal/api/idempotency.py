"""Idempotency keys of callers: read from the header, kept apart from those of all others."""

from __future__ import annotations

import re

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request

from portal.api.authentication import actor_of

#: Short enough for the ledger's keys with the caller's name before it.
KEY_LENGTH = 64
_KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_LENGTH}}}")
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description=f"Your own name for this act, up to {KEY_LENGTH} visible ASCII characters: sent again, it is done once "
    "and answered as the first time; with another content it is refused. Keys of other users and tokens do not matter.",
)


def key_of(request: Request) -> str | None:
    """The caller's idempotency key, apart from those of all other callers. Raises ValidationError."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        message = f"A key has 1 to {KEY_LENGTH} visible ASCII characters."
        raise serializers.ValidationError({"Idempotency-Key": [message]}, code="key")
    caller = actor_of(request).partition(" ")[0]
    return f"{caller}:{given}"
