"""The worked example of docs/policies.md, run as it stands there."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from policies.conditions import Surroundings
from policies.decision import Context, decide
from policies.resolution import NEVER, RuleBook, StandingRule
from policies.rules import rules_from_json

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = {"home": 1, "eu": 2, "world": 3}


def tables() -> list[list[list[str]]]:
    """Rows of the tables between the marks, without their heads."""
    text = (Path(__file__).parents[2] / "docs/policies.md").read_text()
    part = text.split("<!-- example: rules -->")[1].split("<!-- end -->")[0]
    blocks = [block.splitlines()[2:] for block in part.strip().split("\n\n")]
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in block] for block in blocks]


def test_the_example_of_the_documentation():
    written, events = tables()
    rules = rules_from_json(
        [
            {
                "name": f"Rule {number}",
                "when": when,
                "beyond": {"window": "day"} if "daily" in about else None,
                "action": action,
                "exception": "exception" in about,
            }
            for number, when, about, action in written
        ]
    )
    began = datetime(2026, 3, 15, 12, tzinfo=UTC)
    standing = [StandingRule(1200 + n, 1, 12, n, 7, rule, began, NEVER) for n, rule in enumerate(rules, start=1)]
    book = RuleBook(standing, Surroundings(ZONES, frozenset({1})))
    assert len(events) == 5
    for line, tag, at, zone, granted, because in events:
        tags = frozenset({tag} if tag else ())
        instant = datetime.fromisoformat(f"2026-03-16T{at}:00+00:00").astimezone(BERLIN)
        context = Context(service=1, zone_id=ZONES[zone], units=5, at=instant, tags=tags)
        along = book.along((9, 7), tags, 1, ZONES[zone])
        decision = decide(context, along.free_guards(context))
        assert (decision.granted_units == 5) is (granted == "yes"), (line, at, zone)
        assert ("rule_stop_now:1201" in decision.reasons) is ("rule 1" in because and granted == "no")
        assert ("exception:1202" in decision.reasons) is ("rule 2" in because)
