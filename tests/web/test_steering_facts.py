"""Profiles of lines and declared fields on their screens."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from balances import profiles
from balances.models import DeclaredField, Device, Enterprise
from policies.models import AccountHome
from portal.web.line_admin import _profile_text, _read_profile
from tests.cast import Cast

pytestmark = pytest.mark.django_db


def client_of(cast: Cast, name: str) -> Client:
    client = Client()
    client.force_login(cast.users[name])
    return client


@pytest.mark.parametrize(
    "attributes",
    [{}, {"level": 3, "share": 0.5, "board": True, "off": False},
     {"a": "3", "b": "yes", "c": " x ", "d": '"q"', "e": ""}, {"site": "Köln = west", "sum": -4}],
)  # fmt: skip
def test_a_profile_reads_back_as_it_was_written(attributes: dict):
    read = _read_profile(_profile_text(attributes))
    assert [(name, value, type(value)) for name, value in read.items()] == [
        (name, value, type(value)) for name, value in attributes.items()
    ]


def test_a_profile_is_written_on_the_page_of_its_line(cast: Cast):
    carla, line = client_of(cast, "carla"), cast.aurora.lines["emil phone"]
    address = reverse("line-admin", args=[line.id])
    form = {"action": "profile", "profile-attributes": "level = 3\non_call = yes\n"}
    assert carla.post(address, form).status_code == 302
    assert profiles.of(line) == {"level": 3, "on_call": True}
    assert "level = 3\non_call = yes" in carla.get(address).content.decode()
    for wrong, said in (("level", "has no"), ("a = 1\na = 2", "is there twice"), ("a b = 1", "is no name")):
        answer = carla.post(address, form | {"profile-attributes": wrong}).content.decode()
        assert said in answer
    assert profiles.of(line) == {"level": 3, "on_call": True}


def test_what_a_device_is_is_said_by_who_manages_the_enterprise(cast: Cast):
    line = cast.aurora.lines["emil phone"]
    address, alice, carla = reverse("line-admin", args=[line.id]), client_of(cast, "alice"), client_of(cast, "carla")
    form = {"action": "device-facts", "device-facts-device_type": "tablet", "device-facts-ownership": "personal",
            "device-facts-model": "Slate 3"}  # fmt: skip
    assert "What the device is" in alice.get(address).content.decode()
    assert "What the device is" not in carla.get(address).content.decode()
    carla.post(address, form)
    assert Device.objects.get(id=line.device_id).device_type == "unknown"
    assert alice.post(address, form).status_code == 302
    device = Device.objects.get(id=line.device_id)
    assert (device.device_type, device.ownership, device.model) == ("tablet", "personal", "Slate 3")
    assert "Personal (BYOD) · Tablet" in alice.get(reverse("line", args=[line.id])).content.decode()


def test_holidays_are_set_where_the_top_account_is_managed(cast: Cast):
    alice = client_of(cast, "alice")
    address = reverse("account-admin", args=[cast.aurora.root.id])
    assert alice.post(address, {"action": "holidays", "holidays-holiday_calendar": "de-by"}).status_code == 302
    assert 'value="DE-BY"' in alice.get(address).content.decode()
    wrong = alice.post(address, {"action": "holidays", "holidays-holiday_calendar": "DE-XX"}).content.decode()
    assert "are not known" in wrong
    assert Enterprise.objects.get(id=cast.aurora.enterprise.id).holiday_calendar == "DE-BY"
    below = reverse("account-admin", args=[cast.aurora.accounts["NORTH"].id])
    assert "holidays-holiday_calendar" not in alice.get(below).content.decode()


def test_the_operator_declares_and_withdraws_fields(cast: Cast):
    olga, address = client_of(cast, "olga"), reverse("declared-fields")
    assert "No field is declared" in olga.get(address).content.decode()
    form = {"action": "declare", "declare-name": "profile.grade", "declare-kind": "name", "declare-label": "Grade",
            "declare-choices": "A, b"}  # fmt: skip
    assert olga.post(address, form).status_code == 302
    field = DeclaredField.objects.get()
    assert field.choices == ["a", "b"]
    assert "profile.grade" in olga.get(address).content.decode()
    assert "is named attributes.NAME" in olga.post(address, form | {"declare-name": "grade"}).content.decode()
    assert olga.post(address, {"action": "withdraw", "field": field.id}).status_code == 302
    assert not DeclaredField.objects.exists()
    assert client_of(cast, "alice").get(address).status_code == 404


def test_who_manages_the_whole_enterprise_declares_fields_for_it_and_the_builder_says_whose_they_are(cast: Cast):
    alice, carla = client_of(cast, "alice"), client_of(cast, "carla")
    north = cast.aurora.accounts["NORTH"].id
    address = reverse("account-declared-fields", args=[cast.aurora.root.id])
    form = {
        "action": "declare",
        "declare-name": "profile.grade",
        "declare-kind": "number",
        "declare-label": "Salary",
    }
    assert "Declare one" in alice.get(address).content.decode()
    nothing = carla.get(reverse("account-declared-fields", args=[north])).content.decode()
    assert "Whoever manages the whole enterprise" in nothing
    assert "Declare one" not in nothing
    assert alice.post(address, form).status_code == 302
    field = DeclaredField.objects.get(enterprise=cast.aurora.enterprise)
    assert "profile.grade" in alice.get(address).content.decode()
    seen = carla.get(reverse("account-declared-fields", args=[north])).content.decode()
    assert "Salary" in seen
    assert "Declare it" not in seen
    assert carla.post(reverse("account-declared-fields", args=[north]), form).status_code == 404
    builder = carla.get(reverse("account-steering", args=[north]) + "?rule=new").content.decode()
    assert "Declared by your enterprise" in builder
    assert "Declared by your operator" not in builder
    elsewhere = client_of(cast, "bruno").get(reverse("account-declared-fields", args=[cast.borealis.root.id]))
    assert "Salary" not in elsewhere.content.decode()
    assert alice.post(address, {"action": "withdraw", "field": field.id}).status_code == 302
    assert not DeclaredField.objects.exists()


def test_a_home_is_set_by_whoever_manages_the_whole_enterprise_and_says_whose_it_is_below(cast: Cast):
    alice, carla, north = client_of(cast, "alice"), client_of(cast, "carla"), cast.aurora.accounts["NORTH"]
    address = reverse("account-admin", args=[north.id])
    assert "the contract&#x27;s" in carla.get(address).content.decode()
    form = {"action": "home", "home-time_zone": "Europe/Berlin", "home-holiday_calendar": "de-by",
            "home-effective_at": "2026-01-05T00:00"}  # fmt: skip
    assert alice.post(address, form).status_code == 302
    home = AccountHome.objects.get(account=north, removed_at=None)
    assert (home.holiday_calendar, home.effective_at.isoformat()) == ("DE-BY", "2026-01-04T23:00:00+00:00")
    seen = carla.get(address).content.decode()
    assert "set here" in seen
    assert "home-time_zone" not in seen
    assert "remove-home" not in seen
    for refused in (form, {"action": "remove-home", "home": home.id}):
        assert carla.post(address, refused).status_code == 404
    below = reverse("account-admin", args=[cast.aurora.accounts["N-SALES"].id])
    assert "of North" in carla.get(below).content.decode()
    assert "is no time zone" in alice.post(address, form | {"home-time_zone": "Bavaria"}).content.decode()
    assert alice.post(below, {"action": "remove-home", "home": home.id}).status_code == 404
    assert alice.post(address, {"action": "remove-home", "home": home.id}).status_code == 302
    assert not AccountHome.objects.filter(removed_at=None).exists()
    assert client_of(cast, "bruno").post(address, form).status_code == 404
