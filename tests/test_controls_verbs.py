"""docs/controls.md, byod.md and personal.md list every verb with its screen and REST address: all of them exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from portal.api.urls import router

DOCS = Path(__file__).parents[1] / "docs"
#: verb | screen | act of the screen's form, or nothing | method and address of REST
ROW = re.compile(r"^\| ([^|]+) \| `(/[^` ]*)`([^|]*) \| (`[A-Z]+ /.+) \|$", re.MULTILINE)
PAGES = {name: ROW.findall((DOCS / name).read_text()) for name in ("controls.md", "byod.md", "personal.md")}
ROWS = [row for rows in PAGES.values() for row in rows]
FORMS = Path(__file__).parents[1]


def patterns(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for each in resolver.url_patterns:
        here = before + str(each.pattern)
        if isinstance(each, URLPattern):
            yield here
        else:
            yield from patterns(each, here)


def shape(address: str) -> str:
    """An address with what varies taken out: /accounts/N/market/."""
    return re.sub(r"<[^>]+>|\bN\b|\{[a-z]+\}", "*", "/" + address.lstrip("/"))


SCREENS = {shape(pattern) for pattern in patterns(get_resolver("portal.web.urls"))}


def rest() -> set[str]:
    """METHOD /address of every endpoint."""
    found = set()
    for prefix, view, _ in router.registry:
        for route in router.get_routes(view):
            for method in router.get_method_map(view, route.mapping):
                address = route.url.format(prefix=prefix, lookup="{id}", trailing_slash="")
                found.add(f"{method.upper()} {shape(address.lstrip('^').rstrip('$'))}")
    return found


REST = rest()


def test_the_pages_list_the_verbs() -> None:
    for page, verbs in (("controls.md", 50), ("byod.md", 20), ("personal.md", 15)):
        assert len(PAGES[page]) >= verbs, page
    assert len({verb for verb, *_ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("verb", "screen", "act", "address"), ROWS, ids=[row[0] for row in ROWS])
def test_each_verb_has_a_screen_and_a_rest_address(verb: str, screen: str, act: str, address: str) -> None:
    assert shape(screen) in SCREENS
    named = re.findall(r"`([A-Z]+) (/[^` ?]*)", address)
    assert named
    assert {f"{method} {shape(path)}" for method, path in named} <= REST


def test_each_act_of_a_screen_is_one_that_its_form_sends() -> None:
    sent = {
        act
        for folder, names in (("templates", "*.html"), ("portal/web", "*.py"))
        for file in (FORMS / folder).rglob(names)
        for act in re.findall(r"""(?:value="|action = "|")([a-z][a-z-]+)\"""", file.read_text())
    }
    acts = {word for _, _, act, _ in ROWS for word in re.findall(r"`([a-z-]+)`", act)}
    assert acts
    assert acts <= sent
