"""Pages that do not shift while rows arrive: cursors over a unique, descending key.

Owns: where a page ends. A cursor names the last row of its page by key, never by count, so that rows which come or go
meanwhile make nobody see a row twice or miss one.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as Unfit
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request


class StablePagination(CursorPagination):
    """`?cursor=` from the `next` link, `?limit=` up to 500; newest first."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    page_size_query_description = "Rows on a page, from 1 to 500."
    cursor_query_description = "Where the page begins; taken from `next` or `previous`, never made up."
    max_page_size = 500

    def paginate_queryset(self, queryset, request: Request, view=None) -> list[Any]:
        """One page. A cursor that was made up, or a limit out of range, is the caller's mistake: 400."""
        self._key = queryset.model._meta.pk
        return super().paginate_queryset(queryset, request, view)

    def get_page_size(self, request: Request) -> int:
        """Raises ValidationError instead of quietly taking another size."""
        given = request.query_params.get(self.page_size_query_param)
        if given is None:
            return self.page_size
        if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= self.max_page_size):
            message = f"A page has 1 to {self.max_page_size} rows."
            raise ValidationError({self.page_size_query_param: message}, code="limit")
        return int(given)

    def get_ordering(self, request: Request, queryset, view) -> tuple[str]:
        """Always by the unique key: any other order could shift."""
        return (self.ordering,)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The cursor of a request. Raises ValidationError where nobody can have been given it."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                self._key.to_python(cursor.position)
        except (NotFound, Unfit):
            message = "This cursor is not one that was given out. Begin without one."
            raise ValidationError({self.cursor_query_param: message}, code="cursor") from None
        return cursor
