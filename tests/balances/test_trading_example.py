"""The worked example of docs/trading.md, read from the page and run."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from balances import trading, trading_terms
from balances.errors import Refused
from balances.models import Offer, Trade
from tests.balances.test_allocation_example import rows as _rows
from tests.balances.test_ledger import give
from tests.balances.test_trading import DATA_NO, VOICE, VOICE_NO, held, own
from tests.cast import ACTOR
from tests.charging.small_world import START, World

PAGE = Path(__file__).parents[2] / "docs" / "trading.md"


def act(world: World, text: str, at: datetime) -> datetime:
    """Do what a row says; returns the time afterwards."""
    doing = {"actor": ACTOR, "at": at}
    if text == "time passes":
        at += timedelta(days=8)
        trading.sweep(actor="beat", at=at)
    elif text == "root approves":
        trading.approve(trade=Trade.objects.latest("id"), **doing)
    elif found := re.fullmatch(r"(\w) takes (\d+)", text):
        taker = world.accounts[found[1]]
        trading.accept(offer=Offer.objects.latest("id"), account=taker, units=int(found[2]), **doing)
    else:
        giver, units, to, wanted = re.fullmatch(r"(\w) offers (\d+) data to (\w+)(?: for (\d+) voice)?", text).groups()
        voice = int(wanted or 0)
        trading.offer(
            account=world.accounts[giver],
            to_account=None if to == "all" else world.accounts[to],
            bucket=own(world, giver),
            gives_units=int(units),
            wants_service=VOICE_NO if voice else None,
            wants_units=voice,
            **doing,
        )
    return at


@pytest.mark.django_db
def test_the_example_of_the_page_comes_out_as_it_says():
    world = World()
    give(world, 40, "N")
    give(world, 30, "S", VOICE)
    trading_terms.set_terms(
        account=world.accounts["R"], service=DATA_NO, floor_units=5, approval_above_units=12, actor=ACTOR, at=START
    )
    table, at = _rows(PAGE), START
    assert len(table) == 10
    for row in table:
        if row["N data"] == "refused":
            with pytest.raises(Refused):
                act(world, row["act"], at)
            continue
        at = act(world, row["act"], at)
        for column, code, service in (
            ("N data", "N", DATA_NO),
            ("S data", "S", DATA_NO),
            ("N voice", "N", VOICE_NO),
            ("S voice", "S", VOICE_NO),
        ):
            assert "{}+{}".format(*held(world, code, service)) == row[column], row
