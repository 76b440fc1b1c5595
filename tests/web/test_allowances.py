"""The Allowances screen: nothing moves before it was shown, then it is one click, and one to undo it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from balances import contracts, cycles
from balances.models import Allocation, Bucket, DrawCap, Exchange, ExchangeRate, UsageRecord
from balances.units import GIB, Service
from tests.cast import ACTOR, Cast
from tests.web.test_operating import Browser
from tests.web.usage import charge, used

pytestmark = pytest.mark.django_db

PAGE = "account-allowances"


class Desk:
    """Alice before the Allowances of Aurora's root."""

    def __init__(self, cast: Cast):
        self.cast, self.root = cast, cast.aurora.root
        cycles.open_cycles(enterprise_id=cast.aurora.enterprise.id, until=datetime.now(UTC), actor=ACTOR)
        self.browser = Browser(cast.alice)
        self.data = self.bucket(Service.DATA)

    def bucket(self, service: Service) -> Bucket:
        return Bucket.objects.filter(account=self.root, service=service, closed_at=None).latest("valid_until")

    def field(self, code: str) -> str:
        return f"account-{self.cast.aurora.accounts[code].id}"

    def send(self, **values) -> str:
        names = {
            name: f"{name.partition('_')[0]}-{self.field(name.partition('_')[2])}"
            for name in values
            if name.startswith(("to_", "was_"))
        }
        values = {names.get(name, name): value for name, value in values.items()}
        return self.browser.post(PAGE, self.root.id, **{"bucket": self.data.id, "action": "preview", **values})

    def do(self, page: str) -> str:
        """Press the one button of a preview."""
        hidden = dict(re.findall(r'type="hidden" name="(key|moves)" value="([^"]*)"', page))
        assert set(hidden) == {"key", "moves"}, page
        return self.send(action="apply", **hidden)

    def given(self, code: str) -> int:
        received = Bucket.objects.filter(source=self.data, account=self.cast.aurora.accounts[code])
        return sum(received.values_list("received_units", flat=True))


@pytest.fixture
def desk(cast: Cast) -> Desk:
    return Desk(cast)


def test_an_amount_is_shown_with_its_effect_then_done_then_undone(desk: Desk):
    shown = desk.send(to_NORTH="20 GiB")
    assert "nothing has moved yet" in shown
    assert "100\u202fGiB" in shown
    assert "80\u202fGiB" in shown
    assert desk.given("NORTH") == 0
    done = desk.do(shown)
    assert "20\u202fGiB of “Data” given" in done
    assert desk.given("NORTH") == 20 * GIB
    undone = desk.send(action="undo", allocation=Allocation.objects.get().id)
    assert "taken back" in undone
    assert desk.given("NORTH") == 0


def test_pressing_twice_moves_once(desk: Desk):
    shown = desk.send(to_NORTH="+1 GiB")
    desk.do(shown)
    desk.do(shown)
    assert desk.given("NORTH") == GIB


@pytest.mark.parametrize(("text", "units"), [("12.5 %", 12.5), ("+3", 8), ("-3 GiB", 2), ("0", 0), ("4096 MiB", 4)])
def test_amounts_are_read_as_people_type_them(desk: Desk, text: str, units: float):
    desk.do(desk.send(to_NORTH="5 GiB"))
    desk.do(desk.send(to_NORTH=text))
    assert desk.given("NORTH") == units * GIB


def test_what_was_not_touched_is_left_alone_whatever_happened_meanwhile(desk: Desk):
    shown = desk.send(to_NORTH="5 GiB", was_NORTH="0 B", to_SOUTH="0 B", was_SOUTH="0 B")
    desk.do(desk.send(to_SOUTH="7 GiB"))
    desk.do(shown)
    assert (desk.given("NORTH"), desk.given("SOUTH")) == (5 * GIB, 7 * GIB)


def test_what_was_changed_meanwhile_is_not_done(desk: Desk):
    shown = desk.send(to_NORTH="5 GiB")
    desk.do(desk.send(to_NORTH="7 GiB"))
    assert "Somebody has changed this" in desk.do(shown)
    assert desk.given("NORTH") == 7 * GIB


def test_what_does_not_fit_says_so_beside_its_field(desk: Desk):
    page = desk.send(to_NORTH="60 GiB", to_SOUTH="50 GiB")
    assert "There is not enough for 50\u202fGiB more: 40\u202fGiB is left for it." in page
    assert 'value="60 GiB"' in page
    assert f'id="problem-{desk.field("SOUTH")}"' in page
    assert "is no quantity" in desk.send(to_NORTH="plenty")
    assert Allocation.objects.count() == 0


def test_units_are_shared_in_equal_parts_among_those_chosen(desk: Desk):
    among = [desk.field("NORTH"), desk.field("SOUTH")]
    desk.do(desk.send(**{"action": "share", "among": among, "share-amount": "9 GiB", "share-by": "equal"}))
    assert desk.given("NORTH") == desk.given("SOUTH") == 4.5 * GIB
    assert "None of these has used anything" in desk.send(
        **{"action": "share", "among": among, "share-amount": "9 GiB", "share-by": "history"}
    )


def test_somebody_else_below_is_named_by_code_or_number(desk: Desk):
    desk.do(desk.send(**{"other": "N-FIELD", "other-amount": "1 GiB"}))
    desk.do(desk.send(**{"other": "+49 170 10000001", "other-amount": "2 GiB"}))
    line = Bucket.objects.get(source=desk.data, line=desk.cast.aurora.lines["emil phone"])
    assert (desk.given("N-FIELD"), line.received_units) == (GIB, 2 * GIB)
    assert "has the code or number" in desk.send(**{"other": "E-LAB", "other-amount": "1 GiB"})


def test_a_file_is_taken_whole_or_not_at_all(desk: Desk):
    def send(text: str) -> str:
        file = SimpleUploadedFile("allowances.csv", text.encode(), content_type="text/csv")
        return desk.send(action="file", file=file)

    desk.do(send("receiver,amount\nNORTH,10 GiB\n+4917010000001,1 GiB\nSOUTH,25 %\n"))
    assert (desk.given("NORTH"), desk.given("SOUTH")) == (10 * GIB, 25 * GIB)
    page = send("receiver,amount\nNORTH,11 GiB\nEAST,1 GiB\nSOUTH,much\nN-SALES,\n")
    assert [line in page for line in ("Line 2:", "Line 3:", "Line 4:", "Line 5:")] == [False, True, True, True]
    assert "no row of the file was taken" in page
    assert desk.given("NORTH") == 10 * GIB
    sheet = desk.browser.get(PAGE, desk.root.id, bucket=desk.data.id, csv=1)
    assert "NORTH,10 GiB" in sheet
    assert "Nothing would change" in send(sheet)
    for nonsense in ("", "a,b\n1,2\n", "receiver,amount\n", 'receiver,amount\n"NORTH,1\n'):
        assert "Nothing was moved" in send(nonsense)


def test_used_reserved_and_available_are_shown_apart(desk: Desk):
    desk.do(desk.send(to_NORTH="10 GiB"))
    charge(desk.cast.aurora, used(desk.cast.aurora.lines["emil phone"], "data", 3 * GIB))
    page = desk.browser.get(PAGE, desk.root.id, bucket=desk.data.id)
    row = page[page.index(">North<") :]
    cells = re.findall(r'data-label="([^"]+)">(?:<a[^>]*>)?([^<]+)', row)[:4]
    assert cells == [
        ("Available", "7\u202fGiB"),
        ("Reserved", "none"),
        ("Used of it", "3\u202fGiB"),
        ("Given on", "none"),
    ]
    assert "cannot be taken back" in desk.send(to_NORTH="2 GiB")


def test_who_may_only_look_sees_no_form_and_cannot_send_one(desk: Desk):
    desk.do(desk.send(to_SOUTH="10 GiB"))
    dora, south = Browser(desk.cast.dora), desk.cast.aurora.accounts["SOUTH"]
    page = dora.get(PAGE, south.id)
    assert "Plant" in page
    assert 'name="to-' not in page
    dora.post(PAGE, south.id, action="preview")
    assert dora.status == 404
    dora.get(PAGE, desk.root.id)
    assert dora.status == 404
    carla = Browser(desk.cast.carla)
    assert "holds no allowance of its own" in carla.get(PAGE, desk.cast.aurora.accounts["NORTH"].id)
    carla.get(PAGE, desk.cast.aurora.accounts["NORTH"].id, bucket=desk.data.id)
    assert carla.status == 404


def test_moves_that_were_never_shown_are_refused(desk: Desk):
    desk.send(action="apply", moves="account 1; DROP", key="k")
    assert desk.browser.status == 400
    foreign = desk.cast.borealis.accounts["NORTH"].id
    assert "Nothing was moved" in desk.send(action="apply", moves=f"account {foreign} 5 0", key="k")


def test_a_bucket_says_why_it_holds_what_it_holds(desk: Desk):
    desk.do(desk.send(to_NORTH="10 GiB"))
    charge(desk.cast.aurora, used(desk.cast.aurora.lines["frida phone"], "data", 3 * GIB))
    page = desk.browser.get("bucket", desk.data.id)
    for words in (
        "Given to North.",
        "Used: records that were charged together.",
        "Granted by the contract",
        "Alice Arden",
    ):
        assert words in page
    assert "87\u202fGiB" in page
    moves = desk.browser.get("bucket", desk.data.id, moves=1)
    assert "Given to North." in moves
    assert "Used: records" not in moves
    carla = Browser(desk.cast.carla)
    held = Bucket.objects.get(source=desk.data)
    assert "Received from an account outside your view." in carla.get("bucket", held.id)
    carla.get("bucket", desk.data.id)
    assert carla.status == 404


def test_pages_show_balances_as_they_were_and_say_so(desk: Desk):
    desk.do(desk.send(to_NORTH="10 GiB"))
    then = desk.data.valid_from.astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%dT%H:%M")
    page = desk.browser.get(PAGE, desk.root.id, as_of=then)
    assert "These are the balances of that moment" in page
    assert "Nobody below had any of it" in page
    assert "Show what it comes to" not in page
    assert "Given to North." not in desk.browser.get("bucket", desk.data.id, as_of=then)
    ahead = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    for page in (desk.browser.get(PAGE, desk.root.id, as_of=ahead), desk.browser.get(PAGE, desk.root.id, as_of="soon")):
        assert "field-error" in page
        assert desk.browser.status == 200


def cap(desk: Desk, who, owner: str, amount: str, **values) -> str:
    account = desk.cast.aurora.accounts["NORTH"]
    return Browser(who).act(
        "account-drawing", account.id, action="cap", owner=owner, service="1", amount=amount, **values
    )


def test_a_cap_is_shown_with_its_effect_before_it_is_set(desk: Desk):
    carla, alice = desk.cast.carla, desk.cast.alice
    shown = cap(desk, alice, "NORTH", "30 GiB")
    assert "nothing is set yet" in shown
    assert re.findall(r"<dd>([^<]+)</dd>", shown)[:3] == ["none", "100\u202fGiB", "30\u202fGiB"]
    assert not DrawCap.objects.exists()
    browser = Browser(carla)
    north = desk.cast.aurora.accounts["NORTH"].id
    sent = {"cap-owner": "NORTH", "cap-service": "1", "cap-amount": "30 GiB", "confirmed": "1"}
    page = browser.post("account-drawing", north, action="cap", **sent)
    assert "From the next charge on" in page
    assert DrawCap.objects.get().units == 30 * GIB
    charge(desk.cast.aurora, used(desk.cast.aurora.lines["emil phone"], "data", 31 * GIB))
    page = browser.get("account-drawing", north)
    assert "nothing more from above" in page
    assert "Used up" in page
    usage = UsageRecord.objects.latest("id")
    assert "North has drawn as much on allowances above it" in Browser(alice).get("usage", usage.id)
    browser.post("account-drawing", north, action="remove", cap=DrawCap.objects.get().id)
    assert not DrawCap.objects.filter(retired_at=None).exists()


def test_a_cap_that_cannot_be_is_said_at_its_field(desk: Desk):
    assert "no quantity" in cap(desk, desk.cast.alice, "NORTH", "plenty")
    assert "Nothing that you run" in cap(desk, desk.cast.carla, "SOUTH", "1 GiB")
    assert "Nothing lies above" in cap(desk, desk.cast.alice, "A-1000", "1 GiB")
    assert "4917010000001" in cap(desk, desk.cast.alice, "+4917010000001", "1 GiB")
    dora = Browser(desk.cast.dora)
    south = desk.cast.aurora.accounts["SOUTH"].id
    assert "No cap" in dora.get("account-drawing", south)
    dora.post("account-drawing", south, action="cap")
    assert dora.status == 404


def test_units_are_exchanged_after_showing_what_they_come_to(desk: Desk):
    olga, alice = Browser(desk.cast.olga), desk.browser
    assert "does not exchange this service" in alice.get("bucket-exchange", desk.data.id)
    contract = desk.cast.aurora.contract
    doing = {"actor": ACTOR, "at": datetime.now(UTC)}
    draft = contracts.draft_version(
        contract=contract, effective_at=doing["at"], copy_from=desk.cast.aurora.version, **doing
    )
    rate = {"from_amount": "1 GiB", "from_service": "1", "to_amount": "10 min", "to_service": "2"}
    olga.act("version", draft.id, action="exchange-rate", **rate | {"to_service": "3", "to_amount": "5"})
    taken_out = ExchangeRate.objects.get()
    olga.post("version", draft.id, action="remove-exchange-rate", rate=taken_out.id)
    page = olga.act("version", draft.id, action="exchange-rate", **rate)
    assert "10:00\u202fmin" in page or "10\u202fmin" in page
    assert "exchanged for another one" in olga.act(
        "version", draft.id, action="exchange-rate", **rate | {"to_service": "1", "to_amount": "1 GiB"}
    )
    contracts.publish_version(version=draft, **doing)
    shown = alice.act("bucket-exchange", desk.data.id, action="exchange", amount="3 GiB", service="2")
    assert "nothing has moved yet" in shown
    assert not Exchange.objects.exists()
    confirm = {"exchange-amount": "3 GiB", "exchange-service": "2", "confirmed": "1", "key": "k"}
    for _ in range(2):
        done = alice.post("bucket-exchange", desk.data.id, action="exchange", **confirm)
    assert "exchanged for 30\u202fmin" in done
    assert (Exchange.objects.get().given_units, Exchange.objects.get().received_units) == (3 * GIB, 1800)
    assert "least" in alice.act("bucket-exchange", desk.data.id, action="exchange", amount="1 B", service="2")


def test_units_are_set_aside_shown_apart_and_released(desk: Desk):
    page = desk.send(**{"action": "set-aside", "amount": "20 GiB", "rule": "by_hand", "release-at": ""})
    assert "when somebody releases it" in page
    held = Bucket.objects.get(kind="contingency")
    assert held.remaining_units == 20 * GIB
    assert "80\u202fGiB" in desk.browser.get("account", desk.root.id)
    assert "available again" in desk.send(action="release", slice=held.id)
    for amount, rule, date in (("plenty", "by_hand", ""), ("1 GiB", "on_date", ""), ("1 GiB", "on_date", "soon")):
        page = desk.send(**{"action": "set-aside", "amount": amount, "rule": rule, "release-at": date})
        assert "Nothing was" in page
