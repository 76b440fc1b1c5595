"""Errors as RFC 9457 problem details: what is wrong, where, and how to mend it; the same shape from every door.

Owns: the shape. Never decides what is an error.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from balances.errors import Refused

MEDIA_TYPE = "application/problem+json"


def problem(status: int, title: str, detail: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The members of a problem: `errors` name a JSON pointer, a code and a sentence each."""
    content: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        content["errors"] = errors
    return content


def problem_response(
    status: int, title: str, detail: str, errors: list[dict[str, str]] | None = None
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a problem, for the doors ahead of Django."""
    return {"content-type": MEDIA_TYPE}, msgspec.json.encode(problem(status, title, detail, errors))


def problem_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's exception handler: every known exception as a problem."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, Refused):
        return _refused(error)
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    errors: list[dict[str, str]] = []
    if isinstance(error, exceptions.ValidationError):
        errors = list(_flatten(error.get_full_details(), ""))
        detail = errors[0]["detail"] if len(errors) == 1 else f"{len(errors)} values cannot be taken."
    else:
        detail = str(error.detail)
    content = problem(error.status_code, _title(error.status_code), detail, errors)
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return Response(content, status=error.status_code, headers=headers, content_type=MEDIA_TYPE)


def _refused(error: Refused) -> Response:
    set_rollback()
    pointer = f"/{error.field}" if error.field else ""
    code = type(error).__name__
    errors = [{"pointer": pointer, "code": code, "detail": error.message}]
    content = problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Refused", error.message, errors)
    return Response(content, status=HTTPStatus.UNPROCESSABLE_ENTITY, content_type=MEDIA_TYPE)


def _flatten(details: Any, pointer: str):
    """Every message of a nested validation error, with the JSON pointer of its field."""
    if isinstance(details, dict) and set(details) == {"message", "code"}:
        yield {"pointer": pointer, "code": str(details["code"]), "detail": str(details["message"])}
    elif isinstance(details, dict):
        for key, value in details.items():
            yield from _flatten(value, pointer if key == "non_field_errors" else f"{pointer}/{key}")
    else:
        for index, value in enumerate(details):
            is_message = isinstance(value, dict) and set(value) == {"message", "code"}
            yield from _flatten(value, pointer if is_message else f"{pointer}/{index}")


def _title(status: int) -> str:
    return HTTPStatus(status).phrase


def as_problem(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    """A problem outside the REST framework: unknown addresses below /api/, failures of Django itself."""
    content = msgspec.json.encode(problem(status, _title(status), detail))
    return HttpResponse(content, status=status, content_type=MEDIA_TYPE)
