"""A telecoms manager builds a rule of who pays row by row in a real browser, publishes it, and takes it back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from balances.models import UsageRecord
from balances.units import GIB
from policies.models import PolicyState, SteeringVersion
from policies.steering import publishing
from tests.cast import ACTOR, Cast, build
from tests.databases import empty_tables
from tests.employee import BEGUN
from tests.journeys.conftest import PHONE, Complaints
from tests.journeys.test_portal import assert_accessible, signed_in
from tests.stack import Stack, live_stack
from tests.web.usage import charge, used

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CALLED = "498912345678"


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    """Aurora with rules in its North, and one call that the company paid."""
    with django_db_blocker.unblock():
        made = build()
        _steer_north(made)
        phone, says = made.aurora.lines["emil phone"], {"apn": "corp.example", "called": f"+{CALLED}"}
        charge(made.aurora, used(phone, "voice", 300, other_party=CALLED, attributes=says))
        yield made
        empty_tables()


def _steer_north(cast: Cast) -> None:
    shared = [{"payer": "corporate", "percent": 60}, {"payer": "personal"}]
    rules = [
        {"name": "Work", "when": "apn is corp.example", "pays": "corporate"},
        {"name": "Calls", "when": "service is voice", "pays": shared},
    ]
    draft = publishing.save_draft(account=cast.aurora.accounts["NORTH"], rules=rules, actor=ACTOR, at=BEGUN)
    publishing.publish(version=draft, reason="Agreed", actor=ACTOR, at=BEGUN)


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


@pytest.fixture
def page(browser: Browser, stack: Stack, cast: Cast, complaints: Complaints) -> Iterator[Page]:
    """Alice at the rules of Aurora, where none holds."""
    SteeringVersion.objects.filter(state=PolicyState.DRAFT).delete()
    opened = signed_in(browser, stack, cast.alice, complaints)
    opened.goto(f"{stack.url}/accounts/{cast.aurora.root.id}/steering/")
    yield opened
    opened.close()


def groups(page: Page) -> Locator:
    """The whole condition, and the groups within it."""
    return page.locator(".steer-group")


def rows(group: Locator) -> Locator:
    """The comparisons of a group, those of groups within it not counted."""
    return group.locator(":scope > .steer-test")


def add(group: Locator, what: str) -> None:
    """Press "Condition" or "Group" of this group itself."""
    group.locator(":scope > .button-row").get_by_role("button", name=what).click()


def compare(row: Locator, field: str, *, ticked: tuple[str, ...] = (), typed: str = "") -> None:
    """Choose what is looked at, and with what it is compared."""
    row.get_by_label("What is looked at").select_option(label=field)
    if typed:
        expect(row).to_have_attribute("aria-label", field)
        row.get_by_label("Values").fill(typed)
    for word in ticked:
        row.get_by_label(word, exact=True).check()


def part(page: Page, number: int) -> Locator:
    """A part of what is paid, from 1."""
    return page.get_by_role("group", name=f"Part {number}")


def order(page: Page) -> list[str]:
    """Names of the rules, as they are asked."""
    return page.locator(".steer-rule strong").all_inner_texts()


def rule_in_draft() -> dict:
    [rule] = SteeringVersion.objects.get(state=PolicyState.DRAFT).rules
    return rule


def test_a_rule_with_a_group_is_built_published_and_taken_back(page: Page, complaints: Complaints):
    page.get_by_role("link", name="Write a rule").click()
    page.get_by_label("Name").fill("Mobile work")
    compare(rows(groups(page)).first, "Service", ticked=("data", "voice"))
    add(groups(page).first, "Condition")
    expect(rows(groups(page).first)).to_have_count(2)
    compare(rows(groups(page).first).nth(1), "Roaming", ticked=("yes",))
    add(groups(page).first, "Group")
    expect(groups(page)).to_have_count(2)
    inner = groups(page).nth(1)
    inner.get_by_label("How the conditions of this group go together").select_option(label="none of this holds")
    compare(rows(inner).first, "Weekday", ticked=("Saturday", "Sunday"))
    add(inner, "Condition")
    expect(rows(inner)).to_have_count(2)
    compare(rows(inner).nth(1), "Time of day", typed="20:00-07:00")
    expect(page.locator("#says")).to_contain_text("It says:")
    expect(page.locator("#says")).to_contain_text("20:00-07:00")
    assert_accessible(page)
    page.get_by_role("button", name="Save it in the draft").click()
    expect(page.get_by_text("“Mobile work” is in the draft.")).to_be_visible()
    assert rule_in_draft()["when"] == {
        "all": [
            {"field": "service", "op": "in", "value": ["data", "voice"]},
            {"field": "roaming", "op": "is", "value": True},
            {"not": {"any": [
                {"field": "weekday", "op": "in", "value": ["sat", "sun"]},
                {"field": "time", "op": "within", "value": "20:00-07:00"},
            ]}},
        ]
    }  # fmt: skip
    page.get_by_label("Why").fill("Work on the road is ours")
    page.get_by_role("button", name="Publish version 1").click()
    expect(page.get_by_text("Version 1 is published.")).to_be_visible()
    page.get_by_role("button", name="Take the publication back").click()
    expect(page.get_by_text("Nothing holds here now.")).to_be_visible()
    expect(page.get_by_text("No rule holds here")).to_be_visible()
    published = SteeringVersion.objects.filter(state=PolicyState.PUBLISHED)
    assert [version.steering.account.code for version in published] == ["NORTH"]


def test_rows_and_groups_go_and_change_and_what_was_typed_elsewhere_stays(page: Page, complaints: Complaints):
    page.get_by_role("link", name="Write a rule").click()
    page.get_by_label("Name").fill("Calls")
    whole = groups(page).first
    compare(rows(whole).first, "Other party", typed="49301, 49302")
    add(whole, "Group")
    expect(groups(page)).to_have_count(2)
    compare(rows(groups(page).nth(1)).first, "Service", ticked=("voice",))
    add(groups(page).nth(1), "Group")
    expect(groups(page)).to_have_count(3)
    compare(rows(groups(page).nth(2)).first, "Tag", typed="sales")
    add(whole, "Condition")
    expect(rows(whole)).to_have_count(2)
    expect(rows(whole).nth(1).get_by_label("What is looked at")).to_be_focused()
    compare(rows(whole).nth(1), "Service", ticked=("data",))
    # Another field has other comparisons, and other ways to say values.
    compare(rows(whole).nth(1), "Units of the event", typed="100")
    expect(rows(whole).nth(1).get_by_label("data", exact=True)).to_have_count(0)
    rows(whole).nth(1).get_by_label("Comparison").select_option(label="is at least")
    rows(whole).nth(1).get_by_label("Whether it holds or not").select_option(label="not: it")
    groups(page).nth(2).get_by_role("button", name="Remove this group").click()
    expect(groups(page)).to_have_count(2)
    rows(whole).first.get_by_role("button", name="Remove this condition").click()
    expect(rows(whole)).to_have_count(1)
    expect(page.locator("#n-more")).to_be_focused()
    expect(page.locator("#says")).to_contain_text("It says:")
    page.get_by_role("button", name="Save it in the draft").click()
    expect(page.get_by_text("“Calls” is in the draft.")).to_be_visible()
    assert rule_in_draft()["when"] == {
        "all": [
            {"field": "service", "op": "is", "value": "voice"},
            {"not": {"field": "units", "op": "at_least", "value": 100}},
        ]
    }


def test_an_answer_that_comes_late_does_not_take_a_new_group_away(page: Page, complaints: Complaints):
    page.get_by_role("link", name="Write a rule").click()
    held: list[Route] = []
    page.route(
        "**/steering/",
        lambda route: held.append(route) if "do=look" in (route.request.post_data or "") else route.continue_(),
    )
    with page.expect_request(lambda request: "do=look" in (request.post_data or "")):
        page.get_by_label("Name").fill("Slow")
    add(groups(page).first, "Group")
    expect(groups(page)).to_have_count(2)
    for route in held:
        route.continue_()
    page.unroute("**/steering/")
    compare(rows(groups(page).nth(1)).first, "Service", ticked=("data",))
    expect(page.locator("#says")).to_contain_text("Data: the company pays.")
    expect(page.get_by_label("Name")).to_have_value("Slow")
    expect(groups(page)).to_have_count(2)


def test_what_both_pay_is_put_together_part_by_part_on_a_phone(page: Page, complaints: Complaints):
    page.set_viewport_size(PHONE)
    page.get_by_role("link", name="Write a rule").click()
    page.get_by_label("Name").fill("Data")
    compare(rows(groups(page)).first, "Service", ticked=("data",))
    expect(page.get_by_role("group", name="Part 1")).to_be_hidden()
    page.get_by_label("both, in parts").check()
    part(page, 1).get_by_label("How much").select_option(label="units, up to")
    part(page, 1).get_by_label("Amount").fill("5 GiB")
    part(page, 1).get_by_label("In which time").select_option(label="a week")
    part(page, 1).get_by_label("Of whom").select_option(label="of each line")
    page.get_by_role("button", name="Part", exact=True).click()
    expect(part(page, 3)).to_be_visible()
    expect(part(page, 2).get_by_label("Who", exact=True)).to_be_focused()
    expect(part(page, 1).get_by_label("Amount")).to_have_value("5 GiB")
    part(page, 2).get_by_label("How much").select_option(label="money, up to")
    part(page, 2).get_by_label("Amount").fill("2.50")
    page.get_by_role("button", name="Part", exact=True).click()
    expect(part(page, 4)).to_be_visible()
    part(page, 3).get_by_label("Amount").fill("20")
    expect(part(page, 3).get_by_label("Of whom")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert_accessible(page)
    part(page, 2).get_by_role("button", name="Remove part 2").click()
    expect(part(page, 4)).to_have_count(0)
    expect(page.locator("#says")).to_contain_text("20")
    page.get_by_role("button", name="Save it in the draft").click()
    expect(page.get_by_text("“Data” is in the draft.")).to_be_visible()
    assert rule_in_draft()["pays"] == [
        {"payer": "corporate", "units": 5 * GIB, "every": "week", "of": "line"},
        {"payer": "corporate", "percent": 20},
        {"payer": "personal"},
    ]


def test_rules_move_and_go_and_what_is_fixed_is_asked_first(page: Page, complaints: Complaints):
    for name in ("First", "Second", "Third"):
        page.get_by_role("link", name="Write a rule").click()
        page.get_by_label("Name").fill(name)
        page.get_by_label("the person pays").check()
        page.get_by_label("Name").press("Enter")
        expect(page.get_by_text(f"“{name}” is in the draft.")).to_be_visible()
    assert order(page) == ["First", "Second", "Third"]
    page.get_by_role("button", name="Ask “Third” earlier").click()
    expect(page.get_by_text("The draft is changed.")).to_be_visible()
    assert order(page) == ["First", "Third", "Second"]
    page.get_by_role("button", name="Ask “First” later").click()
    expect(page.locator(".steer-rule").first).to_contain_text("Third")
    assert order(page) == ["Third", "First", "Second"]
    page.get_by_role("link", name="Change “Second”").click()
    page.get_by_label("Fixed: asked before").check()
    page.get_by_role("button", name="Save it in the draft").click()
    expect(page.get_by_text("“Second” is in the draft.")).to_be_visible()
    assert order(page) == ["Second", "Third", "First"]
    page.get_by_role("button", name="Remove “Third”").click()
    expect(page.get_by_text("The draft is changed.")).to_be_visible()
    assert order(page) == ["Second", "First"]


def test_a_real_call_is_tried_otherwise_from_its_own_page(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
):
    phone, call = cast.aurora.lines["emil phone"], UsageRecord.objects.get()
    page = signed_in(browser, stack, cast.carla, complaints)
    page.goto(f"{stack.url}/usage/{call.id}/")
    expect(page.get_by_text("corp.example")).to_have_count(1)
    page.get_by_role("link", name="Who would pay, were it otherwise?").click()
    event, answer = page.locator(".steer-try form"), page.locator("#answer")
    expect(event.get_by_label("Line")).to_have_value(f"+{phone.msisdn}")
    expect(event.get_by_label("How much")).to_have_value("5 min")
    expect(event.get_by_label("APN or DNN")).to_have_value("corp.example")
    expect(event.get_by_label("Other attributes")).to_have_value('{"called": "+498912345…"}')
    expect(event.get_by_label("Other party")).to_have_value("")
    event.get_by_role("button", name="Who would pay?").click()
    expect(answer.get_by_role("heading", name="The company pays", exact=True)).to_be_visible()
    expect(answer).to_contain_text("Rule “Work” of North (version 1) decided.")
    event.get_by_label("APN or DNN").fill("internet")
    event.get_by_role("button", name="Who would pay?").click()
    expect(answer.get_by_role("heading", name="Both pay")).to_be_visible()
    expect(answer).to_contain_text("Rule “Calls” of North (version 1) decided.")
    expect(answer.locator(".strip div", has_text="The person")).to_contain_text("2:00 min")
    expect(answer.locator(".strip div", has_text="The company pays now")).to_contain_text("€0.00")
    expect(answer.locator("li", has_text="Work").first).to_contain_text("Does not match")
    event.get_by_label("How much").fill("2000 min")
    event.get_by_role("button", name="Who would pay?").click()
    expect(answer.locator(".strip div", has_text="The company pays now")).not_to_contain_text("€0.00")
    assert CALLED not in page.content()
    assert_accessible(page)
    assert UsageRecord.objects.count() == 1
