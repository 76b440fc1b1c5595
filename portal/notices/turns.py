"""What one turn of telling reads once, however many facts it tells: the contract, the chain of an account, wishes.

Owns: the memory of a turn, which is the transaction that makes its notices, and ends with it. Outside of a turn
everything is read each time. Only what a turn itself does not change may be kept: never notices or deliveries.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

_known: ContextVar[dict[Hashable, Any] | None] = ContextVar("known_in_this_turn", default=None)


@contextmanager
def turn() -> Iterator[None]:
    """A turn; its transaction is the caller's matter."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def once(read: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """Let a function that only reads be asked once a turn for the same arguments, which are hashable."""

    @wraps(read)
    def asked(*arguments: Asked.args, **named: Asked.kwargs) -> Answer:
        known = _known.get()
        if known is None:
            return read(*arguments, **named)
        key = (read, arguments, tuple(sorted(named.items())))
        if key not in known:
            known[key] = read(*arguments, **named)
        return known[key]

    return asked
