"""How many clicks each job takes from the home page: walked in a real browser, counted, and as docs/web.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from balances import allocation, contracts, inventory
from balances import trading as market
from balances.allocation_plan import Wish
from balances.inventory import LineRow
from balances.models import Bucket, Offer
from balances.units import GIB, MIB, Service
from policies import limits, publishing
from policies.models import Consent, Limit, PolicyState, PolicyVersion, SteeringVersion
from portal.models import Membership, Role
from portal.notices import forecast, outbox
from tests.cast import ACTOR, FEBRUARY, NOW, Cast, build
from tests.databases import empty_tables
from tests.journeys.conftest import Complaints
from tests.journeys.test_portal import signed_in
from tests.journeys.test_steering import rows
from tests.stack import Stack, live_stack
from tests.web.usage import charge, used

pytestmark = [pytest.mark.browser, pytest.mark.timeout(450)]

TABLE = Path(__file__).parents[2] / "docs" / "web.md"
MANY = 1_000

#: Job -> the most clicks that it may take. The first seven are the table of design; the others are our own promise.
MOST = {
    "See what is left in a pool": 0,
    "See who eats it": 1,
    "Move an allowance, seen before": 3,
    "Cap a user": 3,
    "A new rule from a template, published": 5,
    "Allow roaming spend": 2,
    "Bulk edit of 1,000 lines": 4,
    "Take back what is unused": 3,
    "Undo a move": 2,
    "Set units aside for later": 3,
    "See balances of a past moment": 2,
    "Set a limit on an account": 3,
    "Offer units to another cost centre": 3,
    "Accept an offer": 3,
    "Rebalance all at once": 3,
    "Extend a limit from its notice": 3,
    "Give units from a notice, seen before": 4,
    "Answer an offer from its notice": 4,
    "Take care of a notice": 3,
    "Fire a notice to see it": 2,
    "Explain a charge": 1,
    "Who pays, from a template, published": 4,
    "Take a publication of who pays back": 2,
    "Who pays, by a rule with a group in it, published": 14,
    "Ask who would pay for a charge": 3,
}


@pytest.fixture(scope="module")
def cast(django_db_setup: None, django_db_blocker) -> Iterator[Cast]:
    """Aurora with a thousand more lines, usage of six days, allocations, limits that were reached and a policy."""
    with django_db_blocker.unblock():
        made = build()
        _prepare(made)
        yield made
        empty_tables()


def _prepare(cast: Cast) -> None:
    aurora, now = cast.aurora, datetime.now(UTC)
    doing = {"actor": ACTOR, "at": now}
    emil, tablet, frida = (aurora.lines[name] for name in ("emil phone", "emil tablet", "frida phone"))
    rows = [LineRow(n, str(4917080000000 + n), "S-MACHINES", assigned_from=FEBRUARY) for n in range(MANY)]
    assert not inventory.load_lines(enterprise=aurora.enterprise, rows=rows, actor=ACTOR, at=NOW).errors
    charge(aurora, *(used(frida, "data", 2 * GIB, at=now - timedelta(days=day)) for day in range(1, 7)))
    charge(aurora, used(emil, "data", 3 * GIB), used(emil, "voice", 600))
    north, south = aurora.accounts["NORTH"], aurora.accounts["SOUTH"]
    root = Bucket.objects.filter(account=aurora.root, service=Service.DATA).latest("valid_until")
    wishes = [Wish(1, ("account", north.id), units=30 * GIB), Wish(2, ("account", south.id), units=10 * MIB)]
    allocation.apply(bucket_id=root.id, wishes=wishes, **doing)
    Membership.objects.create(user=cast.dora, role=Role.MANAGER, enterprise=aurora.enterprise, account=south)
    limit = {"measure": "units", "service": int(Service.DATA), "window": "cycle"}
    limits.make(line=tablet, is_abroad=True, amount=100 * MIB, action="consent", percents=[100],
                name="Roaming", **limit, **doing)  # fmt: skip
    contracts.set_threshold(account=aurora.root, service=1, percent=90, **doing)
    limits.make(account=north, amount=GIB, action="notify", percents=[80], **limit, **doing)
    publishing.create_from_template(account=aurora.root, template="eu-roaming", **doing)
    charge(
        aurora,
        used(tablet, "data", 100 * MIB, visited_network="208"),
        used(tablet, "data", MIB, visited_network="208"),
    )
    outbox.collect(enterprise_id=aurora.enterprise.id, at=datetime.now(UTC))
    forecast.tell(enterprise_id=aurora.enterprise.id, at=datetime.now(UTC))


@pytest.fixture(scope="module")
def stack(cast: Cast) -> Iterator[Stack]:
    with live_stack(workers=1) as running:
        yield running


class Hand:
    """Does jobs from the home page and counts every click and every Enter. Typing is no click."""

    def __init__(self, page: Page, home: str, counts: dict[str, int]):
        self.page, self.home, self.counts, self.job = page, home, counts, ""

    def begin(self, job: str) -> Hand:
        """Home, where counting begins."""
        self.page.goto(self.home)
        self.job, self.counts[job] = job, 0
        return self

    def click(self, place: Locator) -> Hand:
        """One click."""
        self.counts[self.job] += 1
        place.first.click()
        return self

    def link(self, name: str | re.Pattern[str]) -> Hand:
        return self.click(self.page.get_by_role("link", name=name))

    def choose(self, place: Locator, option: str) -> Hand:
        """One choice from a list that opens: as good as a click."""
        self.counts[self.job] += 1
        place.select_option(label=option)
        return self

    def button(self, name: str | re.Pattern[str]) -> Hand:
        return self.click(self.page.get_by_role("button", name=name))

    def tab(self, name: str) -> Hand:
        """A tab of the account."""
        return self.click(self.page.locator("nav.tabs").get_by_role("link", name=name, exact=True))

    def type(self, label: str | re.Pattern[str], text: str) -> Hand:
        self.page.get_by_label(label).first.fill(text)
        return self

    def says(self, text: str | re.Pattern[str]) -> None:
        """What the page says when the job is done."""
        expect(self.page.get_by_text(text).first).to_be_visible()

    def told(self, text: str) -> None:
        """What the portal says has been done; the page's own words do not count."""
        expect(self.page.locator(".message-success", has_text=text).first).to_be_visible(timeout=30_000)


def published() -> tuple[dict[str, int], dict[str, int]]:
    """Job -> promised, and job -> clicks, as docs/web.md has them."""
    rows = re.findall(r"^\| ([^|]+) \| [^|]* \| (\d+) \| (\d+) \|", TABLE.read_text(), re.M)
    return {job: int(promised) for job, promised, _ in rows}, {job: int(clicks) for job, _, clicks in rows}


def test_each_job_takes_no_more_clicks_than_promised_and_as_many_as_published(
    browser: Browser, stack: Stack, cast: Cast, complaints: Complaints
) -> None:
    counts: dict[str, int] = {}
    alice = Hand(signed_in(browser, stack, cast.alice, complaints), stack.url, counts)
    carla = Hand(signed_in(browser, stack, cast.carla, complaints), stack.url, counts)
    dora = Hand(signed_in(browser, stack, cast.dora, complaints), stack.url, counts)
    looking(alice)
    allowances(alice, cast)
    limiting(alice, cast)
    trading(alice, carla, dora, cast)
    notices(alice, carla)
    paying(alice)
    assert {job: count for job, count in counts.items() if count > MOST[job]} == {}
    assert counts.keys() == MOST.keys()
    assert published() == (MOST, counts)


def looking(alice: Hand) -> None:
    alice.begin("See what is left in a pool").says(re.compile("left of"))
    alice.begin("See who eats it")
    expect(alice.page.locator(".ranks").get_by_text("Emil Engel").first).to_be_visible()
    alice.begin("Explain a charge").click(alice.page.locator("[data-live-rows=latest] a")).says("How it was charged")
    alice.begin("See balances of a past moment").tab("Allowances")
    then = datetime.now(UTC) - timedelta(hours=30)
    alice.page.locator("[name=as_of]").fill(then.strftime("%Y-%m-%dT%H:%M"))
    alice.button("Show").says(re.compile("nothing can be moved here"))


def allowances(alice: Hand, cast: Cast) -> None:
    alice.begin("Move an allowance, seen before").tab("Allowances").type("Allocated to South", "1 GiB")
    alice.button("Show what it comes to").says("nothing has moved yet")
    alice.button("Do it").told("given")
    alice.begin("Undo a move").tab("Allowances").button("Undo").told("taken back")
    alice.begin("Take back what is unused").tab("Allowances").type("Allocated to North", "-5 GiB")
    alice.button("Show what it comes to").button("Do it").told("taken back")
    alice.begin("Set units aside for later").tab("Allowances").click(
        alice.page.get_by_text(re.compile("^Set units of"))
    )
    alice.page.locator("[name=amount]").fill("2 GiB")
    alice.button("Set aside").told("are set aside")
    alice.begin("Bulk edit of 1,000 lines").tab("Allowances")
    # So little that South, where most of the lines are, stays short of data up to the last hours of a cycle.
    alice.page.locator("[name=share-amount]").fill("20 MiB")
    alice.click(alice.page.get_by_label(re.compile("every active line below")))
    alice.button("Show the shares").button("Do it").told("given")
    assert Bucket.objects.filter(line__isnull=False, line__enterprise=cast.aurora.enterprise).count() >= MANY


def limiting(alice: Hand, cast: Cast) -> None:
    emil = cast.aurora.lines["emil phone"]
    alice.begin("Cap a user").click(alice.page.locator(".ranks li", has_text="Emil Engel").locator("a")).link("Limits")
    alice.type("At most", "7 GiB")
    expect(alice.page.locator("#new-effect")).to_contain_text("of 7")
    alice.button("Make this limit").says(re.compile("The limit stands"))
    assert Limit.objects.get(line=emil).amount == 7 * GIB
    alice.begin("Set a limit on an account").tab("Limits").type("At most", "90 GiB")
    expect(alice.page.locator("#new-effect")).to_contain_text("of 90")
    alice.button("Make this limit").says(re.compile("The limit stands"))
    alice.begin("Allow roaming spend").click(alice.page.locator(".attention").get_by_role("link", name="Roaming"))
    alice.button("I consent").says(re.compile("is on record"))
    assert Consent.objects.get(limit__line=cast.aurora.lines["emil tablet"]).kind == "consent"
    alice.begin("A new rule from a template, published").tab("Policies")
    alice.click(alice.page.get_by_text("New policy", exact=True))
    alice.click(alice.page.locator("[name=template]").nth(1)).button("Draft it").type("Why", "Less overage")
    alice.button(re.compile("Publish version")).says(re.compile("is published"))
    assert PolicyVersion.objects.filter(state=PolicyState.PUBLISHED).count() == 1


def trading(alice: Hand, carla: Hand, dora: Hand, cast: Cast) -> None:
    alice.begin("Rebalance all at once").tab("Market").link("Show proposed transfers").button(re.compile("^Do all"))
    alice.says(re.compile("transfers? (is|are) done"))
    carla.begin("Offer units to another cost centre").tab("Market").type("Amount to give", "1 GiB")
    carla.page.locator("[name=offer-to]").fill("SOUTH")
    carla.click(carla.page.locator("form[action$='#make'] button")).button("Offer it").says(
        re.compile("The offer stands until")
    )
    dora.begin("Accept an offer").tab("Market").button("Show what taking it comes to").button("Accept")
    dora.says(re.compile("have changed hands"))
    assert not Offer.objects.filter(state="open").exists()
    south, north = cast.aurora.accounts["SOUTH"], cast.aurora.accounts["NORTH"]
    source = Bucket.objects.get(account=south, kind="allocation")
    doing = {"actor": f"user:{cast.dora.pk} {cast.dora}", "at": datetime.now(UTC)}
    market.offer(account=south, to_account=north, bucket=source, gives_units=MIB, **doing)
    outbox.collect(enterprise_id=cast.aurora.enterprise.id, at=doing["at"])


def notices(alice: Hand, carla: Hand) -> None:
    answered = carla.begin("Answer an offer from its notice").click(carla.page.locator("[data-bell]"))
    answered.link(re.compile("South offers North")).button("See what accepting comes to").button("Accept")
    carla.says(re.compile("have changed hands"))
    alice.begin("Extend a limit from its notice").click(alice.page.locator("[data-bell]"))
    alice.link(re.compile("^North: 80")).button("Extend by so much").says(re.compile("more in this period"))
    alice.begin("Give units from a notice, seen before").click(alice.page.locator("[data-bell]"))
    alice.link(re.compile("^South: Data runs out")).button("Show what it comes to").button("Do it")
    alice.told("given")
    alice.begin("Take care of a notice").click(alice.page.locator("[data-bell]"))
    alice.link(re.compile("^Emil Engel")).button("I take care of it").says(re.compile("You took care of it"))
    alice.begin("Fire a notice to see it").tab("Manage").button(re.compile("^Fire the notice on Data"))
    alice.says(re.compile("a test: it counts nowhere"))


def paying(alice: Hand) -> None:
    alice.begin("Who pays, from a template, published").tab("Who pays")
    alice.click(alice.page.locator("[name=template]").nth(1)).button("Draft it").type("Why", "Apps of ours are ours")
    alice.button(re.compile("Publish version")).says(re.compile("is published"))
    alice.begin("Take a publication of who pays back").tab("Who pays").button("Take the publication back")
    alice.says("Nothing holds here now.")
    assert not SteeringVersion.objects.filter(state=PolicyState.PUBLISHED).exists()
    alice.begin("Who pays, by a rule with a group in it, published").tab("Who pays").link("Write a rule")
    alice.type("Name", "Weekends away")
    whole = alice.page.locator(".steer-group").first
    compared(alice, rows(whole).first, "Service", "data")
    alice.click(whole.get_by_role("button", name="Group", exact=True))
    inner = alice.page.locator(".steer-group").nth(1)
    compared(alice, rows(inner).first, "Roaming", "yes")
    alice.click(inner.get_by_role("button", name="Condition", exact=True))
    compared(alice, rows(inner).nth(1), "Weekday", "Saturday", "Sunday")
    alice.click(alice.page.get_by_label("the person pays")).button("Save it in the draft").type("Why", "Agreed")
    alice.button(re.compile("Publish version")).says(re.compile("is published"))
    [rule] = SteeringVersion.objects.get(state=PolicyState.PUBLISHED).rules
    assert (rule["pays"], [len(part) for part in rule["when"].values()]) == ("personal", [2])
    alice.begin("Ask who would pay for a charge").click(alice.page.locator("[data-live-rows=latest] a"))
    alice.link(re.compile("^Who would pay")).button("Who would pay?").says(re.compile("What each rule says"))


def compared(hand: Hand, row: Locator, field: str, *values: str) -> None:
    """A comparison with values that are ticked."""
    hand.choose(row.get_by_label("What is looked at"), field)
    for value in values:
        hand.click(row.get_by_label(value, exact=True))
