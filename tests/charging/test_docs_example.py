"""The worked example of docs/charging.md, read from the page and run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from balances import cycles
from balances.models import ChargeLine, UsageRecord
from tests.cast import ACTOR
from tests.charging.reference import Record
from tests.charging.small_world import BOUNDARIES, NUMBERS, World
from tests.charging.test_pipeline import DATA, allocate, charge, draws

PAGE = Path(__file__).parents[2] / "docs" / "charging.md"
#: Buckets as the page calls them.
NAMES = {
    "N": "allocation:grant:Data:1:account:N",
    "Data at home": "grant:Data at home:1",
    "Data": "grant:Data:1",
    "Data carried over": "rollover:grant:Data:0",
    "Voice": "grant:Voice:1",
    "Voice carried over": "rollover:grant:Voice:0",
    "Voice 2": "grant:Voice 2:2",
    "February's Data at home": "grant:Data at home:0",
    "February's Data": "grant:Data:0",
}


def rows() -> list[dict[str, str]]:
    """The example's table, one dict a row."""
    lines = [line for line in PAGE.read_text().split("## Example")[1].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def instant(text: str) -> datetime:
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def drawn(cell: str) -> list[tuple[str, int]]:
    parts = [part.strip().rpartition(" ") for part in cell.split(",") if part.strip()]
    return [(NAMES[name], int(units)) for name, _, units in parts]


def test_the_example_of_the_page_comes_out_as_it_says(world: World):
    cycles.close_cycles(enterprise_id=world.enterprise.id, at=BOUNDARIES[1], actor=ACTOR)
    allocate(world, DATA, "N", 20)
    number = name = None
    for row in rows():
        if row["record"]:
            name, number = row["record"], 0
            record = Record(
                source="one",
                id=name,
                service=row["service"],
                number=NUMBERS[row["line"]],
                units=int(row["units"]),
                used_at=instant(row["from"]),
                ended_at=instant(row["until"]) if row["until"] else None,
                network=row["network"],
            )
            charge(world, record, at=instant(row["charged at"]))
        usage = UsageRecord.objects.get(source_record_id=name)
        line = ChargeLine.objects.get(usage_id=usage.id, number=number)
        shown = {
            "from": line.starts_at,
            "charged": line.units,
            "drawn": draws(world, name)[number],
            "overage": line.overage_units,
            "micros": line.amount_micros,
            "reasons": " ".join(reason.partition(":")[0] for reason in line.reasons.split()),
        }
        assert shown == {
            "from": instant(row["from"]),
            "charged": int(row["charged"]),
            "drawn": drawn(row["drawn"]),
            "overage": int(row["overage"]),
            "micros": int(row["micros"]),
            "reasons": row["reasons"],
        }, f"record {name}, line {number}"
        number += 1
    assert name == "7"
