"""The worked example of docs/allocation.md, read from the page and run."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from balances import allocation
from balances.allocation import Share
from balances.allocation_plan import Act, PlanRefused, Wish
from balances.models import Allocation
from portal.charging import pipeline
from tests.balances.test_allocation import DATA, number, received
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import NUMBERS, START, World

PAGE = Path(__file__).parents[2] / "docs" / "allocation.md"
DOING = {"actor": ACTOR, "at": START}


def rows(page: Path = PAGE) -> list[dict[str, str]]:
    """The example's table, one dict a row."""
    lines = [line for line in page.read_text().split("## Example")[1].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def receivers(world: World) -> dict[str, tuple[str, int]]:
    accounts = {name: ("account", world.accounts[name].id) for name in ("N", "S")}
    return accounts | {"a": ("line", world.lines["a"].id)}


def act(world: World, text: str) -> Allocation | None:
    """Do what a row says."""
    below = receivers(world)
    if text.startswith("*"):
        for line, units in (("a", 10), ("b", 8)):
            world.accept([Record("one", line, "data", NUMBERS[line], units, START - timedelta(hours=1))])
        pipeline.drain(world.enterprise.id, clock=lambda: START)
        return None
    if text.startswith("undo"):
        return allocation.undo(allocation_id=Allocation.objects.latest("id").id, **DOING)
    if text.startswith("share"):
        wishes = [Wish(row, below[name], Act.GIVE, weight=1) for row, name in enumerate(("N", "S", "a"), start=1)]
        share = Share(int(text.split()[1]))
        return allocation.apply(bucket_id=number(world), wishes=wishes, share=share, **DOING)
    wishes = []
    for name, amount, percent in re.findall(r"([NSa]) to ([0-9.]+)( %)?", text):
        if percent:
            wishes.append(Wish(len(wishes) + 1, below[name], percent_hundredths=int(float(amount) * 100)))
        else:
            wishes.append(Wish(len(wishes) + 1, below[name], units=int(amount)))
    return allocation.apply(bucket_id=number(world), wishes=wishes, **DOING)


def moves_of(done: Allocation | None, world: World) -> str:
    names = {number: name for name, (_, number) in receivers(world).items()}
    moves = done.moves if done else []
    return ", ".join(f"{names[move['account'] or move['line']]} {move['units']:+}" for move in moves)


@pytest.mark.django_db
def test_the_example_of_the_page_comes_out_as_it_says():
    world = World()
    assert len(rows()) == 7
    for row in rows():
        assert world.buckets()[DATA][2] == int(row["source before"]), row
        if row["moves"].startswith("refused"):
            with pytest.raises(PlanRefused) as refused:
                act(world, row["act"])
            assert f"at most {refused.value.problems[0].possible_units} can be taken back" in row["moves"]
        else:
            assert moves_of(act(world, row["act"]), world) == row["moves"], row
        assert world.buckets()[DATA][2] == int(row["source after"]), row
        assert received(world, "N", "S", "a") == [int(row[name]) for name in ("N", "S", "a")], row
