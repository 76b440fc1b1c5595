"""The replay of who pays, on the screen and over REST: asked, watched, told behind the wall, published from there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from balances.models import AuditEvent, UsageRecord
from policies.models import PolicyState, SteeringVersion
from policies.steering import publishing
from portal.charging import pipeline
from portal.models import Job
from portal.provisioning import steering_replays, work
from tests.api.client import Api, read, refusal
from tests.cast import ACTOR, Cast
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db


@pytest.fixture
def carla(cast: Cast) -> Client:
    pipeline.forget_everything()
    client = Client()
    client.force_login(cast.carla)
    return client


def drafted(cast: Cast, rules: list[dict[str, Any]] | None = None) -> SteeringVersion:
    rules = rules or [{"name": "Abroad", "when": "roaming is yes", "pays": "personal"}]
    at = datetime.now(UTC) - timedelta(minutes=5)
    return publishing.save_draft(account=cast.aurora.accounts["NORTH"], rules=rules, actor=ACTOR, at=at)


@pytest.fixture
def draft(cast: Cast, carla: Client) -> SteeringVersion:
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "data", 5_000_000, visited_network="310"))
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "data", 1_000_000))
    return drafted(cast)


def page_of(version: SteeringVersion) -> str:
    return reverse("steering-replay", args=[version.id])


def test_it_shows_its_progress_and_what_would_change_side(cast: Cast, carla: Client, draft: SteeringVersion):
    who_pays = carla.get(reverse("account-steering", args=[draft.steering.account_id])).content.decode()
    assert page_of(draft) in who_pays
    assert "Not replayed yet" in carla.get(page_of(draft)).content.decode()
    assert carla.post(page_of(draft), {"action": "replay"}).status_code == 302
    panel = reverse("steering-replay-progress", args=[draft.id])
    assert "<progress" in carla.get(panel).content.decode()
    work.turn(Job.objects.get(kind=steering_replays.KIND).id)
    shown = carla.get(panel).content.decode()
    assert "<progress" not in shown
    abroad = UsageRecord.objects.get(visited_network="310")
    assert reverse("usage", args=[abroad.id]) in shown
    assert "Emil" in shown
    assert "too few to be told, or none" in shown


def test_who_asked_what_is_audited(cast: Cast, carla: Client, draft: SteeringVersion):
    carla.post(page_of(draft), {"action": "replay"})
    [event] = AuditEvent.objects.filter(action="steering.replayed")
    assert event.actor.startswith(f"user:{cast.carla.pk}")
    assert event.detail["rules"] == draft.rules
    assert event.account_id == cast.aurora.accounts["NORTH"].id


def test_a_draft_that_was_changed_since_is_warned_of_and_what_was_asked_is_replayed(
    cast: Cast, carla: Client, draft: SteeringVersion
):
    carla.post(page_of(draft), {"action": "replay"})
    drafted(cast, [{"name": "Abroad", "pays": "corporate"}])
    work.turn(Job.objects.get(kind=steering_replays.KIND).id)
    shown = carla.get(page_of(draft)).content.decode()
    assert "changed after it was replayed" in shown
    assert Job.objects.get(kind=steering_replays.KIND).counts["replay"]["leaving"]["events"] == 1


def test_it_is_published_from_there_as_it_was_seen(cast: Cast, carla: Client, draft: SteeringVersion):
    form = {"action": "publish", "reason": "agreed", "seen": draft.made_at.isoformat()}
    assert "Nothing was changed" in carla.post(page_of(draft), {**form, "seen": "other"}).content.decode()
    assert SteeringVersion.objects.get().state == PolicyState.DRAFT
    assert carla.post(page_of(draft), form).status_code == 302
    assert SteeringVersion.objects.get().state == PolicyState.PUBLISHED
    assert "Publish version" not in carla.get(page_of(draft)).content.decode()


def test_over_rest_it_is_a_job(cast: Cast, carla: Client, draft: SteeringVersion):
    api, address = Api.of(cast, "carla"), f"/steerings/{draft.steering_id}/replays"
    job = read(api.post(address, {"days": 30}), 201)
    work.turn(job["id"])
    [done] = read(api.get(address))["results"]
    assert (done["state"], done["percent"], done["total"]) == ("done", 100, 2)
    found = done["counts"]["replay"]
    assert (found["events"], found["leaving"]["events"], found["leaving"]["units"]["data"]) == (2, 1, 5_017_600)
    assert all(row["records"] is None for row in found["coming"])
    assert Api.of(cast, "bruno").get(address).status_code == 404
    assert Api.of(cast, "bruno").post(address, {}).status_code == 404


def test_few_run_at_once_and_what_says_nothing_is_not_replayed(cast: Cast, carla: Client, draft: SteeringVersion):
    api, address = Api.of(cast, "carla"), f"/steerings/{draft.steering_id}/replays"
    for _ in range(steering_replays.AT_ONCE):
        read(api.post(address, {}), 201)
    assert "still running" in str(refusal(api.post(address, {}), 422))
    publishing.save_draft(account=cast.aurora.accounts["NORTH"], rules=[], actor=ACTOR, at=datetime.now(UTC))
    assert "says nothing" in str(refusal(api.post(address, {}), 422))
