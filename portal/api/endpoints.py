"""What all endpoints share: the reader's rows and no others, one page of them, the actor and the time of a write.

Owns: how a view finds its objects. What the caller may not see is not found; what they may see but not change is
forbidden. Writes are the business of the domain's own functions; no serializer saves anything.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import QuerySet
from django.db.transaction import Atomic
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.viewsets import GenericViewSet

from balances.scope import Scope, Verb
from portal.api.authentication import actor_of, scope_of_request
from portal.api.parsers import MOST_BYTES
from portal.api.permissions import verb_of


class Endpoint(GenericViewSet):
    """Rows of one noun. Views say which verb each method needs; `view` to read and `manage` to write, unless told."""

    tag: ClassVar[str] = ""
    #: Action -> what it does, for the documentation; actions with a docstring of their own need no entry.
    summaries: ClassVar[dict[str, str]] = {}
    verbs: ClassVar[dict[str, Verb]] = {}
    lookup_value_converter = "int"
    http_method_names = ["get", "head", "post", "patch", "put", "delete"]
    #: Bytes that a body may have.
    most_bytes: ClassVar[int] = MOST_BYTES
    #: Replaced by tests that live at another time.
    clock = staticmethod(timezone.now)
    request: Request

    @property
    def scope(self) -> Scope:
        """What the caller may see and do."""
        return scope_of_request(self.request)

    @property
    def write_context(self) -> dict[str, Any]:
        """`actor` and `at`, as every write function wants them."""
        return {"actor": actor_of(self.request), "at": self.now()}

    def now(self) -> datetime:
        """The time of the request."""
        return self.clock()

    def within(self, rows: QuerySet, verb: Verb) -> QuerySet:
        """The rows on which the caller may do `verb`; a noun with its own rule of tenancy overrides it."""
        return rows.within(self.scope, verb)

    def get_queryset(self) -> QuerySet:
        """The rows of this noun on which the caller may do what the method asks."""
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):  # the description is made without a caller
            return rows.none()
        return self.within(rows, verb_of(self.request, self))

    def get_object(self) -> Any:
        """The object of the address: 404 outside the caller's reach, 403 where they may only look."""
        key = self.kwargs["pk"]
        try:
            return get_object_or_404(self.get_queryset(), pk=key)
        except Http404:
            if self.within(super().get_queryset(), Verb.VIEW).filter(pk=key).exists():
                raise PermissionDenied("You may look at this, but not change it.") from None
            raise

    def find(self, rows: QuerySet, verb: Verb = Verb.VIEW, **key: Any) -> Any:
        """An object beside the one of the address, in reach; 404 otherwise."""
        return get_object_or_404(rows.within(self.scope, verb), **key)

    def body(self, serializer_class: type[Serializer], **options: Any) -> dict[str, Any]:
        """The checked body of the request. Raises ValidationError."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context(), **options)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def query(self, serializer_class: type[Serializer]) -> dict[str, Any]:
        """The checked parameters of the address. Raises ValidationError."""
        serializer = serializer_class(data=self.request.query_params, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def shown(self, thing: Any, serializer_class: type[BaseSerializer] | None = None) -> Response:
        """200 with one object."""
        return Response(self._data(thing, serializer_class))

    def made(self, thing: Any, serializer_class: type[BaseSerializer] | None = None) -> Response:
        """201 with what was made, and its address where it has one of its own."""
        return Response(self._data(thing, serializer_class), status=HTTPStatus.CREATED)

    def page(self, rows: QuerySet, serializer_class: type[BaseSerializer] | None = None) -> Response:
        """One page of rows."""
        chosen = self.paginate_queryset(rows)
        return self.get_paginated_response(self._data(chosen, serializer_class, many=True))

    @staticmethod
    def all_or_nothing() -> Atomic:
        """One transaction around several writes: a refusal of one undoes the others."""
        return transaction.atomic()

    def _data(self, thing: Any, serializer_class: type[BaseSerializer] | None, **options: Any) -> Any:
        serializer_class = serializer_class or self.get_serializer_class()
        return serializer_class(thing, context=self.get_serializer_context(), **options).data
