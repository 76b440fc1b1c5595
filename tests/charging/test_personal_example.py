"""The worked example of docs/personal.md, read from the page and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db.models import Sum

from balances import personal, personal_proof, personal_tariffs, proof
from balances.models import ChargeLine, OpenPersonalUsage, OpenState, Person
from balances.personal_tariffs import AllowanceRow, RateRow
from balances.units import Service
from policies.proof import CHECKS
from tests.cast import ACTOR
from tests.charging.small_world import BOUNDARIES, START, World
from tests.charging.steered import person_on, steer
from tests.charging.test_docs_example import instant
from tests.charging.test_pipeline import charge, charged, used

PAGE = Path(__file__).parents[2] / "docs" / "personal.md"


def rows() -> list[dict[str, str]]:
    """The example's table, one dict a row."""
    lines = [line for line in PAGE.read_text().split("## Example")[1].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def on_credit(person: Person) -> int:
    """What it is worth to the company."""
    rows = OpenPersonalUsage.objects.filter(person=person, state=OpenState.OPEN)
    return rows.aggregate(value=Sum("value_micros"))["value"] or 0


def said(line: ChargeLine) -> dict[str, str]:
    """A charge line in the words of the table."""
    lent = OpenPersonalUsage.objects.filter(usage_id=line.usage_id).exclude(state=OpenState.REFUSED)
    drawn, credit = sum(line.personal_bucket_units), sum(lent.values_list("units", flat=True))
    return {
        "drawn": str(drawn),
        "paid": str(line.units - drawn - credit),
        "on credit": str(credit),
        "refused": str(line.refused_units),
        "cost": str(line.personal_micros),
        "reasons": " ".join(code for code in line.reasons.split() if not code.startswith(("steer", "late"))),
    }


def test_the_example_of_the_page_comes_out_as_it_says(world: World) -> None:
    doing: dict[str, Any] = {"actor": ACTOR, "at": START}
    person = person_on(world, "a")
    steer(world, "R", {"name": "All", "pays": "personal"}, missing={"action": "interim", "micros": 2_000})
    tariff = personal_tariffs.create_tariff(operator=world.operator, name="Mine", currency="EUR", **doing)
    personal_tariffs.add_version(
        tariff=tariff, effective_at=BOUNDARIES[0], rates=[RateRow(Service.DATA, 100, 3)],
        allowances=[AllowanceRow("Included", Service.DATA, 10)], **doing,
    )  # fmt: skip
    account = personal.open_account(person=person, tariff=tariff, kind="prepaid", actor=ACTOR, at=BOUNDARIES[1])
    table = rows()
    assert len(table) == 11
    for number, row in enumerate(table):
        doing["at"] = instant(row["at"])
        found = {}
        if row["act"] == "use":
            charge(world, used(str(number), "a", int(row["number"]), instant(row["at"])))
            found = said(charged(str(number))[0])
        elif row["act"] == "pay in":
            personal.top_up(account=account, micros=int(row["number"]), key=str(number), **doing)
        elif row["act"] == "accept":
            personal.accept(account=account, text="100 micros for 3 units; 10 units included", **doing)
        else:
            personal.close(account=account, **doing)
        account.refresh_from_db()
        found |= {"balance": str(account.balance_micros), "open": str(on_credit(person))}
        assert found.items() <= row.items(), (row, found)
    checks = proof.CHECKS + personal_proof.CHECKS + CHECKS
    assert [f for f in proof.prove(enterprise_id=world.enterprise.id, checks=checks) if not f.holds] == []
