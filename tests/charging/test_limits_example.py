"""The worked example of docs/limits.md, read from the page and run."""

from __future__ import annotations

from pathlib import Path

from policies import consent
from policies.models import LimitUse
from tests.cast import ACTOR
from tests.charging.small_world import START, World
from tests.charging.test_docs_example import instant
from tests.charging.test_limits import granted, limit, sound
from tests.charging.test_pipeline import charge, charged, used

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"


def rows() -> list[dict[str, str]]:
    """The example's table, one dict a row."""
    lines = [line for line in PAGE.read_text().split("## Example")[1].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def so_far(held, row: dict[str, str]) -> str:
    uses = LimitUse.objects.filter(limit=held)
    if held.window == "day":
        if row["line"] != "a":
            return ""
        uses = uses.filter(period_start__lte=instant(row["used at"])).order_by("-period_start")[:1]
    return str(next(iter(uses.values_list("used", flat=True)), 0))


def test_the_example_of_the_page_comes_out_as_it_says(world: World):
    terms = {"percents": [50, 100]}
    north = limit(world, "N", 60, **terms)
    day = limit(world, "a", 30, "block_new", window="day", at=instant("03-14 08:00"), **terms)
    money = limit(world, "R", 9_000, measure="money", service=None, **terms)
    for number, row in enumerate(rows()):
        if row["act"] == "extend N":
            consent.extend(
                limit=north, shown=consent.shown_now(north, START), amount=int(row["units"]), actor=ACTOR, at=START
            )
            continue
        name = str(number)
        charge(world, used(name, row["line"], int(row["units"]), instant(row["used at"])))
        line = charged(name)[0]
        assert {
            "granted": str(granted(name)[0]),
            "refused": str(granted(name)[1]),
            "micros": str(line.amount_micros),
            "reasons": " ".join(reason.partition(":")[0] for reason in line.reasons.split()),
            "N used": so_far(north, row),
            "a used that day": so_far(day, row),
            "money used": so_far(money, row),
        }.items() <= row.items(), (name, line.reasons, granted(name), line.amount_micros)
    assert sound(world)
