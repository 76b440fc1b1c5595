"""What will run out is told once a cycle, again only if it comes much sooner, and anew in the next cycle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from balances import tags
from balances.units import GIB
from policies import limits, selectors
from policies.models import Limit
from portal.models import Delivery, Notice
from portal.notices import forecast, words
from tests.api.client import charge, used
from tests.cast import ACTOR, NOW, Cast

DAY = timedelta(days=1)
FIFTH, TENTH, TWENTY_FIFTH = (datetime(2026, 3, day, tzinfo=UTC) for day in (5, 10, 25))


def use(cast: Cast, *gib: int, first_day: int = 10, month: int = 3) -> None:
    """So many GiB on successive days from the tenth of March."""
    charge(
        cast.aurora,
        *(
            used(
                100 * month + first_day + n,
                units=units * GIB,
                started_at=f"2026-{month:02}-{first_day + n:02}T09:00:00+00:00",
            )
            for n, units in enumerate(gib)
        ),
    )


def told(cast: Cast, at: datetime = NOW) -> list[Notice]:
    new = forecast.tell(enterprise_id=cast.aurora.enterprise.id, at=at).notices
    return list(Notice.objects.filter(id__in=new).order_by("id"))


@pytest.mark.parametrize(
    ("now_said", "again"),
    [
        (TWENTY_FIFTH + DAY, False),  # later is no news
        (TWENTY_FIFTH - 5 * DAY + timedelta(seconds=1), False),  # less than a quarter of the 20 days that were left
        (TWENTY_FIFTH - 5 * DAY, True),
        (TENTH, True),
    ],
)
def test_it_is_told_again_only_if_it_comes_much_sooner(now_said: datetime, again: bool) -> None:
    assert forecast.comes_much_sooner(told_at=FIFTH, told=TWENTY_FIFTH, now_said=now_said) is again


def test_some_hours_are_never_told_again() -> None:
    moved = TENTH - timedelta(hours=23)
    assert not forecast.comes_much_sooner(told_at=TENTH - timedelta(hours=25), told=TENTH, now_said=moved)


@pytest.mark.django_db
def test_what_lasts_is_not_told(cast: Cast) -> None:
    use(cast, 1, 1, 1, 1, 1)
    assert told(cast) == []


@pytest.mark.django_db
def test_what_runs_out_is_told_once_with_its_figures(cast: Cast) -> None:
    use(cast, 10, 10, 10, 10, 10)
    (notice,) = told(cast)
    message = words.message(notice, why="owner:Aurora AG")
    said = dict(message.lines)
    when = datetime.fromisoformat(notice.facts["runs_out_at"])
    assert NOW < when < datetime(2026, 3, 31, 22, tzinfo=UTC)
    assert message.title.startswith("Aurora AG: Data runs out ")
    assert message.title.endswith(":00")
    assert said["Used"] == "50\u202fGiB of 100\u202fGiB (50\u202f%)"
    assert said["What"].startswith("50\u202fGiB are left, and ")
    assert said["At this pace"].startswith("It runs out ")
    assert {"As of", "What happens next", "Price beyond", "Why you get this"} <= said.keys()
    assert set(Delivery.objects.filter(channel="portal").values_list("user__name", flat=True)) == {"Alice Arden"}
    assert told(cast) == told(cast, NOW + timedelta(minutes=15)) == []


@pytest.mark.django_db
def test_much_sooner_is_told_again_and_says_so(cast: Cast) -> None:
    use(cast, 10, 10, 10, 10, 10)
    told(cast)
    use(cast, 40, first_day=15)
    (again,) = told(cast)
    assert "sooner than was told" in dict(words.message(again).lines)["What"]
    assert dict(words.message(again, "de").lines)["Was"].startswith("Früher als gemeldet")


@pytest.mark.django_db
def test_the_next_cycle_arms_it_again(cast: Cast) -> None:
    use(cast, 10, 10, 10, 10, 10, month=2)
    use(cast, 10, 10, 10, 10, 10, month=3)
    keys = [notice.key for at in (NOW - 28 * DAY, NOW) for notice in told(cast, at)]
    assert keys == [f"forecast:a{cast.aurora.root.id}:1:2026{start}T230000Z:0" for start in ("0131", "0228")]


def limited(cast: Cast, **terms) -> Limit:
    """A limit of Aurora's data each cycle, of which half a cycle has passed."""
    usual = {"account": cast.aurora.root, "service": 1, "measure": "units", "window": "cycle", "action": "stop_now"}
    return limits.make(**{**usual, **terms}, name="Big", actor=ACTOR, at=NOW)


@pytest.mark.django_db
def test_a_limit_that_will_be_reached_is_told_once_with_when_and_what_then(cast: Cast) -> None:
    use(cast, 1, 1, 1, 1, 1)
    limited(cast, amount=8 * GIB)
    (notice,) = told(cast)
    message = words.message(notice, why="owner:Aurora AG")
    said = dict(message.lines)
    assert message.title.startswith("Aurora AG: Big is reached ")
    assert message.title.endswith(":00 (Data)")
    assert said["Used"] == "5\u202fGiB of 8\u202fGiB (62\u202f%)"
    assert said["What"].startswith("3\u202fGiB are left, and ")
    assert said["What happens next"].startswith("At the limit usage stops at once. It begins anew ")
    assert words.message(notice, "de").title.startswith("Aurora AG: Big wird erreicht ")
    when = datetime.fromisoformat(notice.facts["runs_out_at"])  # 5 GiB in 14.5 days, so 3 GiB in 8.7 more
    assert abs(when - (NOW + 0.6 * (NOW - datetime(2026, 2, 28, 23, tzinfo=UTC)))) < timedelta(minutes=1)
    assert told(cast) == told(cast, NOW + timedelta(minutes=15)) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "terms",
    [
        {"amount": 20 * GIB},  # lasts
        {"amount": 5 * GIB},  # reached already: its crossing is told
        {"amount": 8 * GIB, "window": "lifetime"},
        {"amount": 8 * GIB, "window": "sliding_24h"},
        {"amount": 8 * GIB, "ends_at": NOW + timedelta(minutes=1)},
    ],
)
def test_a_limit_that_is_not_foreseen_to_be_reached_is_not_told(cast: Cast, terms: dict) -> None:
    use(cast, 1, 1, 1, 1, 1)
    limited(cast, **terms)
    assert told(cast, NOW + timedelta(minutes=2)) == []


@pytest.mark.django_db
def test_a_limit_of_money_on_a_tag_is_foreseen_in_money_and_told_at_the_top(cast: Cast) -> None:
    line = cast.aurora.lines["emil phone"]
    tags.set_tags(line=line, tags=["field"], actor=ACTOR, at=NOW - 10 * DAY)
    use(cast, 10, 100)
    made = limited(cast, account=None, tag="field", enterprise_id=line.enterprise_id, measure="money", amount=10**6)
    assert selectors.state_of(made, NOW).used > 10**6
    limits.change(limit=made, amount=2 * selectors.state_of(made, NOW).used - 1, actor=ACTOR, at=NOW)
    notice = next(notice for notice in told(cast) if "limit" in notice.facts)
    assert notice.account == cast.aurora.root
    said = dict(words.message(notice).lines)
    assert "€" in said["Used"]
    assert "are left, and €" in said["What"]
