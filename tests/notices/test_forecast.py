"""What will run out is told once a cycle, again only if it comes much sooner, and anew in the next cycle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from balances.units import GIB
from portal.models import Delivery, Notice
from portal.notices import forecast, words
from tests.api.client import charge, used
from tests.cast import NOW, Cast

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
