"""What can stop one's own lines, business trips, and proving who one is, over REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from balances import inventory
from balances.scope import Verb
from balances.units import MIB, Service
from policies import limits, publishing
from policies.steering import trips
from portal import claims
from portal.api.endpoints import Endpoint
from portal.models import PersonClaim
from tests.api.client import Api, read, refusal
from tests.cast import ACTOR, Cast, issue_token
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endpoint, "clock", staticmethod(timezone.now))


def doing() -> dict[str, Any]:
    return {"actor": ACTOR, "at": datetime.now(UTC) - timedelta(minutes=5)}


def test_limits_tell_figures_of_ones_own_and_of_shared_ones_a_word(cast: Cast) -> None:
    house = cast.aurora
    phone, tablet = house.lines["emil phone"], house.lines["emil tablet"]
    terms: dict[str, Any] = {"service": Service.DATA, "measure": "units", "window": "cycle", "action": "stop_now"}
    own = limits.make(line=phone, amount=100 * MIB, **terms, **doing())
    limits.make(account=house.accounts["N-FIELD"], amount=100 * MIB, name="Field data", **terms, **doing())
    rules = [{"name": "No roaming", "when": "roaming is yes", "beyond": None, "action": "stop_now"}]
    draft = publishing.create(account=house.accounts["NORTH"], name="Travel", rules=rules, **doing())
    publishing.publish(version=draft, reason="agreed", **doing())
    charge(house, used(tablet, "data", 40 * MIB), used(phone, "data", 60 * MIB))
    inventory.change_person(line=tablet, person=None, **doing())
    [held] = read(Api.of(cast, "emil").get("/me/limits"))["results"]
    assert held["line"] == phone.id, "the tablet is somebody else's by now"
    assert [(row["id"], row["used"], row["bound"]) for row in held["limits"]] == [(own.id, 60 * MIB, 100 * MIB)]
    [shared] = held["shared"]
    assert (shared["title"], shared["of"], shared["room"]) == ("Field data", "all of Field sales together", "used_up")
    assert "used" not in shared
    assert [row["why"] for row in held["restrictions"]] == ["Field data, all of Field sales together"]
    assert [(rule["name"], rule["place"]) for rule in held["rules"]] == [("No roaming", "North")]
    assert read(Api.of(cast, "carla").get("/me/limits"))["results"] == []


def test_trips_are_ones_own_and_those_that_were_taken_away_are_none(cast: Cast) -> None:
    house, day = cast.aurora, timedelta(days=1)
    begins = timezone.now()
    first, _, gone = (
        trips.declare(person=house.people[who], starts_at=begins + n * day, ends_at=begins + (n + 1) * day, **doing())
        for n, who in enumerate(("P-1", "P-2", "P-1"))
    )
    trips.remove(trip=gone, **doing())
    assert [row["id"] for row in read(Api.of(cast, "emil").get("/me/trips"))["results"]] == [first.id]
    refusal(Api.of(cast, "emil").post("/trips", {}), 403)
    assert read(Api.of(cast, "carla").get("/me/trips"))["results"] == []


def test_a_code_proves_a_person_until_they_close_it_again(cast: Cast) -> None:
    cache.clear()
    _, code = claims.issue(person=cast.aurora.people["P-2"], actor=ACTOR, at=timezone.now())
    mallory = Api.of(cast, "mallory")
    assert refusal(mallory.post("/me/claims", {"code": "1-AAAAA-AAAAA"}), 422)["pointer"] == "/code"
    made = read(mallory.post("/me/claims", {"code": code}), 201)
    assert (made["name"], made["number"]) == ("Frida Fels", "P-2")
    assert read(mallory.get("/me/claims"))["results"] == [made]
    refusal(Api.of(cast, "emil").delete(f"/me/claims/{made['id']}"), 404)
    assert mallory.delete(f"/me/claims/{made['id']}").status_code == 204
    assert read(mallory.get("/me/claims"))["results"] == []
    refusal(mallory.delete(f"/me/claims/{made['id']}"), 404)


def test_no_token_enters_a_code_or_closes_what_its_maker_proved(cast: Cast) -> None:
    cache.clear()
    _, code = claims.issue(person=cast.aurora.people["P-2"], actor=ACTOR, at=timezone.now())
    _, plain = issue_token(cast, cast.alice, Verb.VIEW, enterprise=cast.aurora.enterprise)
    refusal(Api.bearing(plain).post("/me/claims", {"code": code}), 403)
    standing = PersonClaim.objects.get(user=cast.emil)
    refusal(Api.bearing(plain).delete(f"/me/claims/{standing.id}"), 403)
    assert PersonClaim.objects.filter(confirmed_at__isnull=False, ended_at__isnull=True).count() == 1


def test_whoever_holds_no_role_any_more_enters_a_code_as_on_the_screen(cast: Cast) -> None:
    cache.clear()
    cast.mallory.memberships.all().delete()
    _, code = claims.issue(person=cast.aurora.people["P-2"], actor=ACTOR, at=timezone.now())
    refusal(Api.of(cast, "mallory").get("/me"), 403)
    read(Api.of(cast, "mallory").post("/me/claims", {"code": code}), 201)
    assert len(read(Api.of(cast, "mallory").get("/me"))["results"]) == 1
