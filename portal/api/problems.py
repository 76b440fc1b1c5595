"""Errors as RFC 9457 problem details: what is wrong, where, and how to mend it; the same shape from every door.

Owns: the shape, and the status that a refusal of the domain gets. Never decides what is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from balances.errors import Refused, RefusedRows
from balances.locks import Busy

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
#: When to come again after 503.
RETRY_SECONDS = "2"


def problem(status: int, title: str, detail: str, errors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The members of a problem: `errors` name a JSON pointer, a code and a sentence each."""
    content: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        content["errors"] = errors
    return content


def problem_response(
    status: int, title: str, detail: str, errors: list[dict[str, Any]] | None = None
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a problem, for the doors ahead of Django."""
    return {"content-type": MEDIA_TYPE}, msgspec.json.encode(problem(status, title, detail, errors))


def problem_answer(
    status: int,
    title: str,
    detail: str,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """A problem as a view's answer."""
    return Response(problem(status, title, detail, errors), status=status, headers=headers, content_type=MEDIA_TYPE)


def problem_handler(error: Exception, context: dict[str, Any]) -> Response:
    """Django REST framework's exception handler: every exception as a problem, also those nobody thought of."""
    set_rollback()
    if isinstance(error, Busy | OperationalError | InterfaceError):
        return _unavailable(error)
    if isinstance(error, Refused):
        return _refused(error)
    if isinstance(error, Http404):
        error = exceptions.NotFound("There is nothing here that you may see.")
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        log.error("api.failed", path=context["request"].path, method=context["request"].method, exc_info=error)
        return problem_answer(500, _title(500), "This failed on our side and was logged. Try again later.")
    return _of_framework(error)


def _of_framework(error: exceptions.APIException) -> Response:
    errors: list[dict[str, Any]] = []
    if isinstance(error, exceptions.ValidationError):
        errors = list(_flatten(error.get_full_details(), ""))
        detail = errors[0]["detail"] if len(errors) == 1 else f"{len(errors)} values cannot be taken."
    else:
        detail = str(error.detail)
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return problem_answer(error.status_code, _title(error.status_code), detail, errors, headers)


def _refused(error: Refused) -> Response:
    if isinstance(error, RefusedRows):
        return _refused_rows(error)
    pointer = f"/{error.field}" if error.field else ""
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    errors = [{"pointer": pointer, "code": code, "detail": error.message}]
    return problem_answer(HTTPStatus.UNPROCESSABLE_ENTITY, "Refused", error.message, errors)


def _refused_rows(error: RefusedRows) -> Response:
    """Rows by their place in the request; nothing of any row was done."""
    errors = [
        {"pointer": f"/rows/{problem.row - 1}/{problem.field}", "code": problem.code, "detail": problem.message}
        for problem in error.problems
    ]
    return problem_answer(HTTPStatus.UNPROCESSABLE_ENTITY, "Refused", error.message, errors)


def _unavailable(error: Exception) -> Response:
    if isinstance(error, Busy):
        detail = error.message
    else:
        log.warning("api.database", error=str(error))
        detail = "The database cannot be reached. Nothing was done; try again."
    return problem_answer(503, _title(503), detail, headers={"Retry-After": RETRY_SECONDS})


def _flatten(details: Any, pointer: str) -> Iterator[dict[str, str]]:
    """Every message of a nested validation error, with the JSON pointer of its field."""
    if _is_message(details):
        yield {"pointer": pointer, "code": str(details["code"] or "invalid"), "detail": str(details["message"])}
    elif isinstance(details, dict):
        for key, value in details.items():
            escaped = str(key).replace("~", "~0").replace("/", "~1")
            yield from _flatten(value, pointer if key == "non_field_errors" else f"{pointer}/{escaped}")
    else:
        for index, value in enumerate(details):
            yield from _flatten(value, pointer if _is_message(value) else f"{pointer}/{index}")


def _is_message(details: Any) -> bool:
    return isinstance(details, dict) and set(details) == {"message", "code"} and isinstance(details["message"], str)


def _title(status: int) -> str:
    return HTTPStatus(status).phrase


# --- outside the REST framework ------------------------------------------------------------------------------------


def as_problem(status: int, detail: str) -> HttpResponse:
    """A problem as Django's answer."""
    headers, content = problem_response(status, _title(status), detail)
    return HttpResponse(content, status=status, headers=headers)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a problem below /api/, the usual page elsewhere."""
    if _is_api(request):
        return as_problem(400, "The request cannot be read.")
    return defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if _is_api(request):
        return as_problem(403, "This is not allowed.")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if _is_api(request):
        return as_problem(404, "There is no such address. See /api/v1/docs/ for those that there are.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    if _is_api(request):
        return as_problem(500, "This failed on our side and was logged. Try again later.")
    return defaults.server_error(request)
