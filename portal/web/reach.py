"""Objects of a page, as far as the reader's scope reaches: what is not in reach is not found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest

from balances.selectors.charges import Before
from balances.units import SERVICES_BY_NAME

Found = TypeVar("Found")


def found(read: Callable[..., Found], *arguments, **options) -> Found:
    """What a selector reads; 404 where the object does not exist for this reader."""
    try:
        return read(*arguments, **options)
    except ObjectDoesNotExist:
        raise Http404("Not in reach.") from None


def number_sent(request: HttpRequest, name: str) -> int:
    """An id as a form sent it; 404 where it is none."""
    return read_number(request.POST.get(name, ""))


def read_number(text: str) -> int:
    """An id as it was sent; 404 where it is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Http404("Not in reach.")
    return int(text)


def before_sent(request: HttpRequest) -> Before | None:
    """Where a page of charges begins, from the address; None for the newest, or for nonsense."""
    try:
        used_at = datetime.fromisoformat(request.GET["before"])
        return Before(used_at, int(request.GET["id"])) if used_at.tzinfo else None
    except (KeyError, ValueError):
        return None


def chosen_service(request: HttpRequest) -> int | None:
    """The service that the address asks for, if it is one."""
    return SERVICES_BY_NAME.get(request.GET.get("service", ""))


def live_url(kind: str, object_id: int, service: int | None, request: HttpRequest) -> str:
    """Address of a page's socket, with the same choice of service as the page."""
    query = f"?service={request.GET['service']}" if service is not None else ""
    return f"/live/{kind}/{object_id}/{query}"
