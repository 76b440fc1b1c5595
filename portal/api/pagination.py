"""Pages that do not shift while rows arrive: cursors over a unique, descending key."""

from rest_framework.pagination import CursorPagination


class StablePagination(CursorPagination):
    """`?cursor=` from the `next` link, `?limit=` up to 500; newest first unless a view orders otherwise."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500
