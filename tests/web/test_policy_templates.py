"""The screens of ready-made policies: an account manager changes one, makes one, brings one back."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from policies import templates
from tests.cast import Cast

pytestmark = pytest.mark.django_db

RULE = {"r0-name": "Stop", "r0-was": "", "r0-text": "roaming is yes", "r0-beyond": "limits", "r0-action": "stop_now"}
LIMIT = {"l0-name": "Abroad", "l0-counted": "money:data", "l0-where": "abroad", "l0-amount": "30", "l0-marks": "80,100",
         "l0-window": "cycle"}  # fmt: skip


@pytest.fixture
def olga(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.olga)
    return client


def sent(client: Client, address: str, **values: str) -> str:
    form = {"action": "save", "save-name": "Mine", "save-is_offered": "on", **RULE, **LIMIT, **values}
    return client.post(address, form, follow=True).content.decode()


def test_the_list_says_what_each_does_and_which_limits_it_brings(olga: Client):
    page = olga.get(reverse("policy-templates")).content.decode()
    assert "Regulation (EU) 2022/612, article 14" in page
    assert "it is stopped until somebody consents" in page
    assert (
        "first limit: 50 in the currency of the contract for data abroad, each billing cycle; told at 80, 100 %."
        in page
    )


def test_a_built_in_one_is_changed_and_brought_back(cast: Cast, olga: Client):
    address = reverse("policy-template", args=["eu-roaming"])
    form = olga.get(address).content.decode()
    assert 'value="50"' in form
    assert "As it was" not in form
    page = sent(olga, address, **{"save-name": "EU, lower"})
    assert "“EU, lower” is kept" in page
    assert "Abroad: 30 in the currency of the contract for data abroad, each billing cycle; told at 80, 100 %." in page
    manager = Client()
    manager.force_login(cast.carla)
    offered = manager.get(reverse("account-policies", args=[cast.aurora.accounts["NORTH"].id])).content.decode()
    assert "EU, lower" in offered
    assert reverse("policy-templates") not in offered
    page = olga.post(address, {"action": "reset"}, follow=True).content.decode()
    assert "is again as it was" in page
    assert "Built in" in page


def test_one_of_its_own_is_made_hidden_and_removed(cast: Cast, olga: Client):
    assert "“Mine” is kept" in sent(olga, reverse("policy-template-new"))
    address = reverse("policy-template", args=["mine"])
    assert "Not offered" in sent(olga, address, **{"save-is_offered": "", "l0-remove": "on"})
    kept = templates.of_operator(cast.operator.id)["mine"]
    assert (kept.limits, kept.is_offered) == ((), False)
    assert "is removed" in olga.post(address, {"action": "reset"}, follow=True).content.decode()
    assert olga.get(address).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"r0-text": "zone of x"}, "Zone cannot be compared with"),
        ({"l0-amount": "lots"}, "Limit 1: “lots” is no number"),
        ({"l0-marks": "all"}, "Limit 1: “all” are no percents"),
        ({"l0-counted": "fax:"}, "Limit 1: choose what is counted"),
        ({"save-name": ""}, "This field is required"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_that_was_typed_is_lost(olga: Client, wrong: dict, said: str):
    page = sent(olga, reverse("policy-template-new"), **wrong)
    assert said in page
    assert all(value in page for name, value in wrong.items() if name != "l0-counted")  # that one is a choice
    assert 'value="Abroad"' in page


def test_more_rows_keep_what_was_typed(olga: Client):
    page = sent(olga, reverse("policy-template-new"), more="1")
    assert 'name="r1-name"' in page
    assert 'name="l1-amount"' in page
    assert 'value="30"' in page
