"""Enterprises and accounts over REST."""

from __future__ import annotations

from balances.models import Account, Enterprise
from portal.models import Membership
from tests.api.client import Api, charge, ids, read, refusal, used
from tests.cast import DATA_UNITS, VOICE_UNITS, Cast


def test_a_list_holds_what_is_in_reach_and_nothing_else(cast: Cast, alice: Api, carla: Api, emil: Api) -> None:
    aurora = {account.id for account in cast.aurora.accounts.values()}
    assert ids(alice.get("/accounts")) == aurora
    north = {cast.aurora.accounts[code].id for code in ("NORTH", "N-SALES", "N-FIELD", "N-SERVICE")}
    assert ids(carla.get("/accounts")) == north
    assert ids(emil.get("/accounts")) == set()


def test_lists_are_filtered_by_place_code_and_kind(cast: Cast, alice: Api) -> None:
    accounts = cast.aurora.accounts
    assert ids(alice.get("/accounts", parent=accounts["NORTH"].id)) == {
        accounts["N-SALES"].id,
        accounts["N-SERVICE"].id,
    }
    assert ids(alice.get("/accounts", code="S-PLANT")) == {accounts["S-PLANT"].id}
    assert ids(alice.get("/accounts", kind="division")) == {accounts["NORTH"].id, accounts["SOUTH"].id}
    assert ids(alice.get("/accounts", is_closed="true")) == set()
    assert refusal(alice.get("/accounts", parent="x"), 400)["pointer"] == "/parent"


def test_an_account_of_another_enterprise_is_not_found(cast: Cast, alice: Api) -> None:
    foreign = cast.borealis.accounts["E-LAB"].id
    refusal(alice.get(f"/accounts/{foreign}"), 404)
    refusal(alice.patch(f"/accounts/{foreign}", {"name": "Mine"}), 404)
    refusal(alice.post(f"/accounts/{foreign}/close"), 404)
    refusal(alice.get(f"/accounts/{foreign}/balances"), 404)


def test_the_holidays_that_rules_mean_are_set_for_an_enterprise(cast: Cast, alice: Api, carla: Api) -> None:
    address = f"/enterprises/{cast.aurora.enterprise.id}"
    assert read(alice.patch(address, {"holiday_calendar": "de-by"}))["holiday_calendar"] == "DE-BY"
    assert refusal(alice.patch(address, {"holiday_calendar": "DE-XX"}), 422)["pointer"] == "/holiday_calendar"
    refusal(carla.patch(address, {"holiday_calendar": ""}), 403)
    assert read(carla.get(address))["holiday_calendar"] == "DE-BY"


def test_an_account_is_added_below_another(cast: Cast, alice: Api) -> None:
    parent = cast.aurora.accounts["NORTH"].id
    made = read(alice.post("/accounts", {"parent": parent, "code": "N-NEW", "name": "New"}), 201)
    assert (made["parent"], made["code"], made["kind"], made["level"]) == (parent, "N-NEW", "cost_centre", 2)
    assert read(alice.get(f"/accounts/{made['id']}")) == made


def test_a_refusal_names_the_field_and_says_why(cast: Cast, alice: Api) -> None:
    parent = cast.aurora.accounts["NORTH"].id
    error = refusal(alice.post("/accounts", {"parent": parent, "code": "SOUTH", "name": "Again"}), 422)
    assert (error["pointer"], error["code"]) == ("/code", "already_used")
    assert "SOUTH" in error["detail"]
    foreign = cast.borealis.accounts["EAST"].id
    error = refusal(alice.post("/accounts", {"parent": foreign, "code": "X", "name": "X"}), 400)
    assert (error["pointer"], error["code"]) == ("/parent", "does_not_exist")
    error = refusal(alice.post("/accounts", {"parent": parent, "code": "X", "name": "X", "colour": "red"}), 400)
    assert (error["pointer"], error["code"]) == ("/colour", "unknown")


def test_an_observer_may_look_but_not_change(cast: Cast, dora: Api) -> None:
    south = cast.aurora.accounts["SOUTH"].id
    read(dora.get(f"/accounts/{south}"))
    refusal(dora.patch(f"/accounts/{south}", {"name": "Mine"}), 403)


def test_two_changes_in_one_request_are_done_together_or_not_at_all(cast: Cast, alice: Api) -> None:
    account = cast.aurora.accounts["N-SALES"]
    changed = read(alice.patch(f"/accounts/{account.id}", {"name": "Sales North", "draw_above": "never"}))
    assert (changed["name"], changed["draw_above"]) == ("Sales North", "never")
    refusal(alice.patch(f"/accounts/{account.id}", {"name": "Other", "draw_above": "sometimes"}), 400)
    assert Account.objects.get(id=account.id).name == "Sales North"


def test_an_account_moves_but_never_below_itself(cast: Cast, alice: Api) -> None:
    accounts = cast.aurora.accounts
    address = f"/accounts/{accounts['NORTH'].id}/move"
    assert refusal(alice.post(address, {"new_parent": accounts["N-FIELD"].id}), 422)["pointer"] == "/new_parent"
    moved = read(alice.post(address, {"new_parent": accounts["SOUTH"].id}))
    assert moved["parent"] == accounts["SOUTH"].id


def test_an_account_in_use_is_not_closed(cast: Cast, alice: Api) -> None:
    refusal(alice.post(f"/accounts/{cast.aurora.accounts['N-FIELD'].id}/close"), 422)
    parent = cast.aurora.accounts["NORTH"].id
    made = read(alice.post("/accounts", {"parent": parent, "code": "N-NEW", "name": "New"}), 201)
    assert read(alice.post(f"/accounts/{made['id']}/close"))["closed_at"] is not None
    assert ids(alice.get("/accounts", is_closed="true")) == {made["id"]}


def test_balances_say_what_is_left_and_what_was_used(cast: Cast, alice: Api, emil: Api) -> None:
    charge(cast.aurora, used(1), used(2, service="voice", units=61))
    root = cast.aurora.root.id
    balances = read(alice.get(f"/accounts/{root}/balances"))
    services = {service["service"]: service for service in balances["services"]}
    assert balances["currency"] == "EUR"
    assert balances["cycle"] == {"starts_at": "2026-02-28T23:00:00Z", "ends_at": "2026-03-31T22:00:00Z"}
    assert services["data"]["used_units"] == 2048
    assert services["data"]["granted_units"] >= DATA_UNITS
    assert services["data"]["remaining_units"] == services["data"]["granted_units"] - 2048
    assert (services["voice"]["remaining_units"], services["voice"]["unit"]) == (VOICE_UNITS - 61, "seconds")
    field = read(alice.get(f"/accounts/{cast.aurora.accounts['N-FIELD'].id}/balances"))
    shared = {service["service"]: service for service in field["services"]}
    assert shared["data"]["is_shared"]
    refusal(emil.get(f"/accounts/{root}/balances"), 404)


def test_an_account_manager_makes_an_enterprise_and_manages_it(cast: Cast, olga: Api) -> None:
    made = read(olga.post("/enterprises", {"name": "Corona SE", "number": "C-3000"}), 201)
    assert made["root_account"] == Account.objects.get(enterprise_id=made["id"]).id
    assert read(olga.get(f"/enterprises/{made['id']}")) == made
    assert Membership.objects.get(enterprise_id=made["id"]).user == cast.olga
    assert refusal(olga.post("/enterprises", {"name": "Again", "number": "C-3000"}), 422)["pointer"] == "/number"
    refusal(olga.post("/enterprises", {"name": "X", "number": "X", "operator": 999999}), 400)


def test_a_telecoms_manager_makes_no_enterprise(cast: Cast, alice: Api) -> None:
    refusal(alice.post("/enterprises", {"name": "Own", "number": "1"}), 403)
    assert not Enterprise.objects.filter(name="Own").exists()


def test_enterprises_are_listed_to_whoever_sees_anything_in_them(cast: Cast, olga: Api, emil: Api) -> None:
    assert ids(olga.get("/enterprises")) == {cast.aurora.enterprise.id, cast.borealis.enterprise.id}
    (own,) = read(emil.get("/enterprises"))["results"]
    assert (own["id"], own["root_account"]) == (cast.aurora.enterprise.id, None)


def test_a_tree_is_loaded_from_json_and_csv(cast: Cast, alice: Api) -> None:
    address = f"/enterprises/{cast.aurora.enterprise.id}/tree"
    rows = [{"code": "W-1", "parent_code": "WEST", "name": "One"}, {"code": "WEST", "name": "West", "kind": "Division"}]
    assert read(alice.post(address, {"rows": rows}), 201) == {"created": 2, "error_count": 0, "errors": []}
    assert Account.objects.get(code="W-1", enterprise=cast.aurora.enterprise).parent.code == "WEST"
    loaded = alice.csv(address, "code,parent_code,name,kind\nW-2,WEST,Two,cost_centre\n\nW-3,W-2,Three,group\n")
    assert read(loaded, 201)["created"] == 2


def test_a_tree_with_a_faulty_row_is_not_loaded_at_all(cast: Cast, alice: Api) -> None:
    address = f"/enterprises/{cast.aurora.enterprise.id}/tree"
    error = refusal(alice.csv(address, "code,name,parent_code\nW-1,One,NORTH\nW-2,Two,NOWHERE\n"), 422)
    assert (error["row"], error["pointer"]) == (3, "/rows/1/parent_code")
    assert not Account.objects.filter(code="W-1").exists()
    error = refusal(alice.post(address, {"rows": [{"code": "W", "name": "W", "color": "red"}]}), 400)
    assert error["pointer"] == "/rows/0/color"
    assert refusal(alice.post(address, {"rows": []}), 400)["pointer"] == "/rows"
    refusal(alice.csv(address, "code,code\n1,2\n"), 400)
    refusal(alice.csv(f"/enterprises/{cast.borealis.enterprise.id}/tree", "code,name\nX,X\n"), 404)
