"""The screen of policies: from a template to a publication, built in rows or as text, without script."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from policies.conditions import write_text
from policies.models import Policy, PolicyState, PolicyVersion
from policies.rules import rules_from_json
from portal.charging import pipeline
from portal.models import Job
from portal.provisioning import work
from portal.web import policy_rows
from tests.cast import Cast
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db


@pytest.fixture
def carla(cast: Cast) -> Client:
    pipeline.forget_everything()
    client = Client()
    client.force_login(cast.carla)
    return client


@pytest.fixture
def address(cast: Cast) -> str:
    return reverse("account-policies", args=[cast.aurora.accounts["NORTH"].id])


def begun(client: Client, address: str, template: str) -> Policy:
    assert client.post(address, {"action": "template", "template": template}).status_code == 302
    return Policy.objects.latest("id")


def test_a_template_is_published_in_five_clicks(carla: Client, address: str):
    shown = carla.get(address).content.decode()  # 1: the tab
    assert "No policy holds here" in shown  # 2: the template, 3: Draft it
    policy = begun(carla, address, "eu-roaming")
    page = carla.get(address, {"policy": policy.id}).content.decode()
    assert "it is stopped until somebody consents" in page
    published = carla.post(address, {"action": "publish", "policy": policy.id, "reason": "agreed"})  # 4, 5
    assert published.status_code == 302
    assert policy.versions.get().state == PolicyState.PUBLISHED


def test_rows_and_text_become_rules(carla: Client, address: str):
    policy = begun(carla, address, "empty")
    form = {
        "action": "save", "policy": policy.id, "note": "",
        "r0-name": "Nights", "r0-join": "all", "r0-beyond": "itself", "r0-action": "stop_now", "r0-was": "",
        "r0-c0-field": "service", "r0-c0-op": "is", "r0-c0-value": "data, messaging",
        "r0-c1-field": "time", "r0-c1-not": "not", "r0-c1-op": "is", "r0-c1-value": "07:00-20:00",
        "r0-c1-clock": "Europe/Berlin",
        "r1-name": "As text", "r1-beyond": "limits", "r1-window": "day", "r1-action": "throttle", "r1-was": "",
        "r1-text": "roaming is yes and (tag is a or tag is b)",
        "r2-name": "", "r2-c0-field": "",
    }  # fmt: skip
    assert carla.post(address, form).status_code == 302
    rules = rules_from_json(policy.versions.get().rules)
    assert [write_text(rule.when) for rule in rules] == [
        "service in (data, messaging) and not time within 07:00-20:00 at Europe/Berlin",
        "roaming is yes and (tag is a or tag is b)",
    ]
    page = carla.get(address, {"policy": policy.id}).content.decode()
    assert "wins over" in page  # the conflict
    again = policy_rows.forms_of(rules)
    assert [row.value for row in again[0].rows] == ["data, messaging", "07:00-20:00", ""]
    assert again[1].is_text_only


def test_what_is_wrong_is_said_and_nothing_that_was_typed_is_lost(carla: Client, address: str):
    policy = begun(carla, address, "empty")
    form = {"action": "save", "policy": policy.id, "r0-name": "Mine", "r0-was": "", "r0-text": "zone of x"}
    page = carla.post(address, form).content.decode()
    assert "Zone cannot be compared with" in page
    assert "zone of x" in page
    assert policy.versions.get().rules[0]["name"] == "First rule"


def test_a_replay_shows_its_progress_and_whom_it_would_have_cut(cast: Cast, carla: Client, address: str):
    charge(cast.aurora, used(cast.aurora.lines["emil phone"], "data", 5_000_000, visited_network="310"))
    policy = begun(carla, address, "office-hours")
    form = {"action": "save", "policy": policy.id, "r0-name": "Home", "r0-was": "", "r0-text": "roaming is yes",
            "r0-beyond": "itself", "r0-action": "stop_now"}  # fmt: skip
    assert carla.post(address, form).status_code == 302
    assert carla.post(address, {"action": "replay", "policy": policy.id}).status_code == 302
    job = Job.objects.get(kind="policy-replay")
    panel = reverse("account-policy-replay", args=[policy.account_id])
    assert "<progress" in carla.get(panel, {"policy": policy.id}).content.decode()
    work.turn(job.id)
    shown = carla.get(panel, {"policy": policy.id}).content.decode()
    assert "Overage saved" in shown
    assert "Home (Data abroad in office hours only v1)" in shown


def test_a_publication_is_taken_back_and_versions_tell_what_changed(carla: Client, address: str):
    policy = begun(carla, address, "office-hours")
    carla.post(address, {"action": "publish", "policy": policy.id, "reason": "agreed"})
    carla.post(address, {"action": "save", "policy": policy.id, "r0-name": "Home", "r0-was": "", "r0-text": "tag is a"})
    carla.post(address, {"action": "publish", "policy": policy.id, "reason": "stricter"})
    assert carla.post(address, {"action": "undo", "policy": policy.id}).status_code == 302
    assert PolicyVersion.objects.get(policy=policy, state=PolicyState.PUBLISHED).number == 3
    page = carla.get(address, {"policy": policy.id}).content.decode()
    assert "Removed “Executives go on”" in page
    assert "Version 2 taken back" in page
