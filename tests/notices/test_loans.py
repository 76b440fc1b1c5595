"""Loans and standing transfers reach both sides: what came back, what is owed, what a run did not give."""

from __future__ import annotations

from datetime import timedelta

import pytest

from balances import allocation, loans, standing, trading
from balances.allocation_plan import Wish
from balances.models import Bucket, Loan
from portal.models import Membership, Notice, Role
from portal.notices import loans as loan_notices
from portal.notices import outbox, words
from portal.notices.catalogue import CATALOGUE
from tests.cast import ACTOR, MARCH, NOW, Cast
from tests.notices.test_trades import told

DUE = NOW + timedelta(days=5)
BEAT = {"actor": "beat"}
pytestmark = pytest.mark.django_db


@pytest.fixture
def traders(cast: Cast) -> Cast:
    """North, Carla's, holds 6,000 s of voice; South is Dora's."""
    north, south = cast.aurora.accounts["NORTH"], cast.aurora.accounts["SOUTH"]
    bucket = Bucket.objects.get(account=cast.aurora.root, service=2, cycle_start=MARCH)
    wishes = [Wish(1, ("account", north.id), units=6000)]
    allocation.apply(bucket_id=bucket.id, wishes=wishes, actor=ACTOR, at=NOW)
    Membership.objects.create(user=cast.dora, role=Role.MANAGER, enterprise=cast.aurora.enterprise, account=south)
    return cast


def of_north(cast: Cast) -> Bucket:
    return Bucket.objects.get(account=cast.aurora.accounts["NORTH"], service=2, cycle_start=MARCH, kind="allocation")


def lent(cast: Cast, units: int = 1200) -> Loan:
    """North lends to South; what is told of that is read."""
    accounts = cast.aurora.accounts
    offer = trading.offer(
        account=accounts["NORTH"], to_account=accounts["SOUTH"], bucket=of_north(cast), gives_units=units,
        returns_at=DUE, actor=f"user:{cast.carla.pk} Carla", at=NOW,
    )  # fmt: skip
    trading.accept(offer=offer, account=accounts["SOUTH"], actor=f"user:{cast.dora.pk} Dora", at=NOW)
    told(cast)
    return Loan.objects.get()


def used(loan: Loan, units: int) -> None:
    """South uses units of the loan."""
    Bucket.objects.filter(id=loan.bucket_id).update(remaining_units=loan.units - units, used_units=units)


def test_what_time_brings_back_is_told_to_both_sides(traders: Cast) -> None:
    lent(traders)
    loans.return_due(**BEAT, at=DUE)
    assert told(traders, DUE) == [
        ("Carla Castell", "South has given back 20\u202fmin of Voice to North"),
        ("Dora Dahl", "South has given back 20\u202fmin of Voice to North"),
    ]
    said = dict(words.message(Notice.objects.latest("id")).lines)
    assert said["What happens next"] == "Nothing of this loan is owed any more."


def test_what_was_used_is_owed_then_repaid_and_forgiven(traders: Cast) -> None:
    loan, doing = lent(traders), {"actor": f"user:{traders.dora.pk} Dora", "at": DUE + timedelta(hours=1)}
    used(loan, 300)
    loans.return_due(**BEAT, at=DUE)
    assert [title for _, title in told(traders, DUE)] == ["South owes North 5:00\u202fmin of Voice of a loan"] * 2
    message = words.message(Notice.objects.latest("id"))
    assert dict(message.lines)["What"].endswith("5:00\u202fmin were used and stay owed.")
    assert dict(message.lines)["At this pace"]  # how long one's own units last, as the other trade notices say
    south = traders.aurora.accounts["SOUTH"]
    root = Bucket.objects.get(account=traders.aurora.root, service=2, cycle_start=MARCH)
    allocation.apply(bucket_id=root.id, wishes=[Wish(1, ("account", south.id), units=60)], actor=ACTOR, at=DUE)
    own = Bucket.objects.get(account=south, service=2, kind="allocation")
    loans.repay(loan=loan, units=60, bucket=own, **doing)
    assert told(traders, doing["at"]) == [("Carla Castell", "South has repaid North 1:00\u202fmin of Voice")]
    loans.forgive(loan=loan, actor=f"user:{traders.carla.pk} Carla", at=doing["at"])
    assert told(traders, doing["at"]) == [("Dora Dahl", "North has forgiven South 4:00\u202fmin of Voice")]


def test_a_return_that_is_near_is_told_once_with_what_it_leaves(traders: Cast) -> None:
    lent(traders)
    near = DUE - timedelta(hours=23)

    def news(at):
        found = loan_notices.due_soon(enterprise_id=traders.aurora.enterprise.id, at=at)
        return len(outbox.post(found=found, at=at).notices)

    assert [news(at) for at in (DUE - timedelta(hours=25), near, near, DUE)] == [0, 2, 0, 0]
    south = Notice.objects.get(facts__said="loan_due_soon_borrower")
    message = words.message(south)
    assert message.title == "South gives back 20\u202fmin of Voice to North on Friday, 20 Mar, 13:00"
    assert "With it: Nothing is left for this cycle." in dict(message.lines)["At this pace"]


def test_a_run_that_gave_less_is_told_to_both_sides_and_a_full_one_as_the_gift_it_is(traders: Cast) -> None:
    accounts = traders.aurora.accounts
    wish = {"account": accounts["NORTH"], "to_account": accounts["SOUTH"], "service": 2, "day": 16}
    due = NOW + timedelta(days=1)
    standing.make(**wish, units=1200, actor=ACTOR, at=NOW)
    standing.run_due(**BEAT, at=due)
    assert told(traders, due) == [
        ("Carla Castell", "North has given South 20\u202fmin of Voice"),
        ("Dora Dahl", "North has given South 20\u202fmin of Voice"),
    ]
    standing.make(**{**wish, "day": 17}, units=6000, actor=ACTOR, at=due)
    standing.make(**{**wish, "day": 17}, units=6000, on_shortage="part", actor=ACTOR, at=due)
    later = due + timedelta(days=1)
    standing.run_due(**BEAT, at=later)
    titles = [title for _, title in told(traders, later)]
    assert titles.count("North gave South nothing in this cycle: 100\u202fmin of Voice were due") == 2
    assert titles.count("North gave South less than was meant: 20\u202fmin of Voice are missing") == 2
    assert titles.count("North has given South 80\u202fmin of Voice") == 2
    message = words.message(Notice.objects.filter(facts__cause="short").latest("id"))
    assert dict(message.lines)["What"] == "80\u202fmin of 100\u202fmin were given: there was no more to give."


def test_a_run_whose_cycle_was_over_is_told_as_missed(traders: Cast) -> None:
    accounts = traders.aurora.accounts
    standing.make(
        account=accounts["NORTH"], to_account=accounts["SOUTH"], service=2, units=60, day=20, actor=ACTOR, at=NOW
    )
    late = NOW + timedelta(days=20)
    standing.run_due(**BEAT, at=late)
    titles = [title for _, title in told(traders, late)]
    assert titles == ["North gave South nothing: the cycle was over, 1:00\u202fmin of Voice were due"] * 2


def test_every_sentence_of_loans_and_runs_has_both_languages(traders: Cast) -> None:
    loan = lent(traders)
    loans.return_due(**BEAT, at=DUE)
    told(traders, DUE)
    notice = Notice.objects.filter(facts__loan=loan.id).latest("id")
    run = {"standing": 1, "meant_units": 60, "given_units": 0, "cause": "short", "reason": ""}
    for said in (key for key in CATALOGUE["en"]["trade"] if key.startswith(("loan_", "run_"))):
        kept = {key: value for key, value in notice.facts.items() if key != "loan"}
        notice.facts = kept | {"said": said} | ({"loan": 1} if said.startswith("loan_") else run)
        english, german = (words.message(notice, language, why="manager:South") for language in ("en", "de"))
        assert len(english.lines) == len(german.lines)
        assert english.title != german.title


def test_collecting_again_tells_nothing(traders: Cast) -> None:
    lent(traders)
    loans.return_due(**BEAT, at=DUE)
    assert told(traders, DUE)
    assert outbox.collect(enterprise_id=traders.aurora.enterprise.id, at=DUE).notices == []
