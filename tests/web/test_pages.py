"""Screens say what was charged, to whom it may be said."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from balances.models import UsageRecord
from balances.units import GIB, MIB
from tests.cast import Cast
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(user, name: str, *arguments) -> tuple[int, str]:
    response = signed_in(user).get(reverse(name, args=arguments))
    return response.status_code, response.content.decode()


@pytest.fixture
def charged(cast: Cast) -> Cast:
    """Aurora after some usage: allowance drawn, a foreign zone charged by money."""
    line = cast.aurora.lines["emil phone"]
    charge(
        cast.aurora,
        used(line, "data", 10 * GIB),
        used(line, "data", 5 * MIB, visited_network="310"),
        used(line, "voice", 125),
        used(cast.aurora.lines["press 7"], "data", 1 * GIB),
    )
    return cast


def test_home_leads_everyone_to_where_their_work_begins(charged: Cast):
    root = charged.aurora.root
    expected = {
        charged.alice: reverse("account", args=[root.id]),
        charged.carla: reverse("account", args=[charged.aurora.accounts["NORTH"].id]),
        charged.emil: reverse("me"),
        charged.olga: reverse("operator"),
    }
    for user, address in expected.items():
        response = signed_in(user).get(reverse("home"), follow=True)
        assert response.redirect_chain[-1][0] == address, user
        assert response.status_code == 200


def test_who_holds_nothing_is_told_so(cast: Cast):
    status, html = page(cast.mallory, "home")
    assert status == 403
    assert "no access yet" in html


def test_a_stranger_is_asked_to_sign_in(cast: Cast):
    response = Client().get(reverse("account", args=[cast.aurora.root.id]))
    assert response.status_code == 302
    assert response.url.startswith(reverse("sign-in"))


def test_the_account_page_says_what_is_left(charged: Cast):
    status, html = page(charged.alice, "account", charged.aurora.root.id)
    assert status == 200
    assert "89\u202fGiB" in html
    assert "100\u202fGiB" in html
    assert "€1.27" in html  # 5 MiB in steps of 100 KiB: 5.08 MiB beyond allowances, €0.25 a MiB
    assert "as of " in html


def test_a_subtree_manager_sees_usage_but_not_the_pool_above(charged: Cast):
    status, html = page(charged.carla, "account", charged.aurora.accounts["NORTH"].id)
    assert status == 200
    assert "10\u202fGiB" in html
    assert "outside your view" in html
    assert "89\u202fGiB" not in html


def test_the_charge_page_explains_every_step(charged: Cast):
    record = UsageRecord.objects.get(service=1, units=5 * MIB)
    status, html = page(charged.alice, "usage", record.id)
    assert status == 200
    assert "€1.27" in html
    assert "No allowance covers this service in this zone" in html or "overage rate" in html
    assert "World" in html


def test_a_bucket_outside_the_view_keeps_its_name(charged: Cast):
    record = UsageRecord.objects.get(service=1, units=10 * GIB)
    status, html = page(charged.carla, "usage", record.id)
    assert status == 200
    assert "An allowance of an account above, outside your view" in html
    assert charged.aurora.enterprise.name not in html.split("<main")[1]


@pytest.mark.parametrize("name", ["bruno", "mallory", "dora"])
def test_what_is_out_of_reach_is_not_there(charged: Cast, name: str):
    user = charged.users[name]
    record = UsageRecord.objects.get(service=1, units=10 * GIB)
    line, account = charged.aurora.lines["emil phone"], charged.aurora.accounts["NORTH"]
    addresses = [
        reverse("account", args=[account.id]),
        reverse("account-lines", args=[account.id]),
        reverse("tree-children", args=[account.id]),
        reverse("line", args=[line.id]),
        reverse("line-charges", args=[line.id]),
        reverse("usage", args=[record.id]),
    ]
    client = signed_in(user)
    for address in addresses:
        assert client.get(address).status_code == 404, address


def test_an_employee_sees_the_own_line_and_its_charges(charged: Cast):
    line = charged.aurora.lines["emil phone"]
    status, html = page(charged.emil, "line", line.id)
    assert status == 200
    assert "10\u202fGiB" in html
    assert page(charged.emil, "usage", UsageRecord.objects.get(units=10 * GIB).id)[0] == 200
    other = charged.aurora.lines["press 7"]
    assert page(charged.emil, "line", other.id)[0] == 404
    assert page(charged.emil, "account", charged.aurora.root.id)[0] == 404


def test_the_lists_of_lines_filter_and_find(charged: Cast):
    client = signed_in(charged.alice)
    address = reverse("account-lines", args=[charged.aurora.root.id])
    everything = client.get(address).content.decode()
    for show, expected in (("overage", {"emil phone"}), ("roaming", {"emil phone"})):
        html = client.get(address, {"show": show}).content.decode()
        for label, line in charged.aurora.lines.items():
            link = reverse("line", args=[line.id])
            assert (link in html) == (label in expected), (show, label)
            assert link in everything
    idle = client.get(address, {"show": "idle"}).content.decode()
    assert reverse("line", args=[charged.aurora.lines["emil phone"].id]) not in idle
    assert reverse("line", args=[charged.aurora.lines["emil tablet"].id]) in idle
    found = client.get(address, {"q": "0170 1000000 1"}).content.decode()
    assert reverse("line", args=[charged.aurora.lines["emil phone"].id]) in found
    assert reverse("line", args=[charged.aurora.lines["press 7"].id]) not in found


def test_search_in_the_tree_stays_in_reach(charged: Cast):
    address = reverse("tree-search", args=[charged.aurora.enterprise.id])
    assert "Field sales" in signed_in(charged.carla).get(address, {"q": "field"}).content.decode()
    assert "Plant" not in signed_in(charged.carla).get(address, {"q": "plant"}).content.decode()
    assert "Nothing is called" in signed_in(charged.carla).get(address, {"q": "plant"}).content.decode()
    assert signed_in(charged.bruno).get(address, {"q": "field"}).status_code == 404


def test_the_tree_unfolds_to_the_current_account(charged: Cast):
    html = page(charged.alice, "account", charged.aurora.accounts["N-FIELD"].id)[1]
    tree = html[html.index('role="tree"') : html.index("</aside>")]
    for name in ("Aurora AG", "North", "North sales", "Field sales", "South"):
        assert f'title="{name}"' in tree
    assert 'title="Plant"' not in tree
    unfolded = page(charged.alice, "tree-children", charged.aurora.accounts["SOUTH"].id)[1]
    assert 'title="Plant"' in unfolded


def test_the_operator_sees_each_enterprise_at_a_glance(charged: Cast):
    status, html = page(charged.olga, "operator")
    assert status == 200
    assert charged.aurora.enterprise.name in html
    assert charged.borealis.enterprise.name in html
    assert "€1.27" in html
    assert page(charged.alice, "operator")[0] == 404


def test_an_enterprise_without_a_contract_says_what_comes_next(cast: Cast):
    from balances import hierarchy
    from tests.cast import ACTOR, NOW

    bare = hierarchy.create_enterprise(operator=cast.operator, name="Bare", number="B-0", actor=ACTOR, at=NOW)
    from portal.models import Membership, Role

    Membership.objects.create(user=cast.mallory, role=Role.OWNER, enterprise=bare)
    response = signed_in(cast.mallory).get(reverse("home"), follow=True)
    assert response.status_code == 200
    assert "No contract is in force" in response.content.decode()


def test_pages_keep_to_the_content_security_policy(charged: Cast):
    record = UsageRecord.objects.first()
    for name, arguments in (
        ("account", [charged.aurora.root.id]),
        ("account-lines", [charged.aurora.root.id]),
        ("line", [charged.aurora.lines["emil phone"].id]),
        ("usage", [record.id]),
    ):
        html = page(charged.alice, name, *arguments)[1]
        assert " style=" not in html, name
        assert "<style" not in html, name
        assert "<script>" not in html, name
        assert " onclick" not in html, name


def test_the_theme_is_rendered_by_the_server(cast: Cast):
    client = signed_in(cast.alice)
    response = client.post(reverse("theme"), {"next": "/lines/mine/"})
    assert response.url == "/lines/mine/"
    assert client.cookies["theme"].value == "light"
    assert 'data-theme="light"' in client.get(reverse("my-lines")).content.decode()
    assert client.post(reverse("theme"), {"next": "https://elsewhere.example/"}).url == "/"


def test_signing_in_and_out(cast: Cast):
    from tests.cast import PASSWORD

    client = Client()
    wrong = client.post(reverse("sign-in"), {"username": cast.alice.email, "password": "wrong"})
    assert "do not fit together" in wrong.content.decode()
    right = client.post(reverse("sign-in"), {"username": cast.alice.email, "password": PASSWORD})
    assert right.url == reverse("home")
    assert client.post(reverse("sign-out")).status_code == 302
    assert client.get(reverse("my-lines")).status_code == 302


def test_guessing_passwords_is_stopped_with_a_sentence(cast: Cast, settings):
    settings.AXES_FAILURE_LIMIT = 3
    client = Client()
    for _ in range(3):
        response = client.post(reverse("sign-in"), {"username": cast.bruno.email, "password": "guess"})
    assert response.status_code == 429
    assert "Too many attempts" in response.content.decode()
