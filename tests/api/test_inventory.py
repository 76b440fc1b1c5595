"""Lines, devices and people over REST."""

from __future__ import annotations

from balances.models import AuditEvent, Device, Line
from tests.api.client import Api, ids, read, refusal
from tests.cast import Cast, imei


def test_lines_are_listed_by_account_subtree_number_and_person(cast: Cast, alice: Api, carla: Api, emil: Api) -> None:
    lines, accounts = cast.aurora.lines, cast.aurora.accounts
    assert ids(alice.get("/lines")) == {line.id for line in lines.values()}
    assert ids(carla.get("/lines")) == {lines[label].id for label in ("emil phone", "emil tablet", "service van")}
    own = {lines["emil phone"].id, lines["emil tablet"].id}
    assert ids(emil.get("/lines")) == own
    assert ids(alice.get("/lines", account=accounts["S-PLANT"].id)) == {lines["frida phone"].id}
    south = {lines["frida phone"].id, lines["press 7"].id}
    assert ids(alice.get("/lines", below=accounts["SOUTH"].id)) == south
    assert ids(carla.get("/lines", below=accounts["SOUTH"].id)) == set()
    assert ids(alice.get("/lines", msisdn="4917010000003")) == {lines["service van"].id}
    assert ids(alice.get("/lines", person=cast.aurora.people["P-1"].id)) == own


def test_a_line_of_another_enterprise_is_not_found(cast: Cast, alice: Api) -> None:
    foreign = cast.borealis.lines["robot 1"].id
    refusal(alice.get(f"/lines/{foreign}"), 404)
    refusal(alice.patch(f"/lines/{foreign}", {"label": "mine"}), 404)
    refusal(alice.get(f"/lines/{foreign}/assignments"), 404)
    refusal(alice.post(f"/lines/{foreign}/assignments", {"account": cast.aurora.root.id}), 404)


def test_an_employee_sees_the_own_line_but_does_not_change_it(cast: Cast, emil: Api) -> None:
    own = cast.aurora.lines["emil phone"].id
    assert read(emil.get(f"/lines/{own}"))["label"] == "emil phone"
    refusal(emil.patch(f"/lines/{own}", {"label": "mine"}), 403)


def test_a_line_is_put_into_service_once(cast: Cast, carla: Api) -> None:
    account = cast.aurora.accounts["N-SERVICE"].id
    body = {"account": account, "msisdn": "+49 170 1000 0077", "label": "Van 2", "person": cast.aurora.people["P-1"].id}
    made = read(carla.post("/lines", body), 201)
    assert (made["msisdn"], made["account_code"], made["person_name"]) == ("4917010000077", "N-SERVICE", "Emil Engel")
    assert refusal(carla.post("/lines", body), 422)["pointer"] == "/msisdn"
    elsewhere = body | {"account": cast.aurora.accounts["SOUTH"].id, "msisdn": "4917010000078"}
    assert refusal(carla.post("/lines", elsewhere), 400)["pointer"] == "/account"


def test_several_changes_of_a_line_are_done_together_or_not_at_all(cast: Cast, alice: Api) -> None:
    line = cast.aurora.lines["service van"]
    address = f"/lines/{line.id}"
    changed = read(alice.patch(address, {"label": "Van 1", "imsi": "262070000000001", "person": None, "device": None}))
    assert (changed["label"], changed["imsi"], changed["device"]) == ("Van 1", "262070000000001", None)
    taken = {"label": "Van 9", "msisdn": cast.aurora.lines["press 7"].msisdn}
    assert refusal(alice.patch(address, taken), 422)["pointer"] == "/msisdn"
    assert Line.objects.get(id=line.id).label == "Van 1"
    read(alice.patch(address, {"status": "retired"}))
    assert refusal(alice.patch(address, {"label": "gone"}), 422)["code"] == "retired"


def test_a_line_is_handed_to_another_person_and_the_act_is_recorded(cast: Cast, alice: Api) -> None:
    line, frida = cast.aurora.lines["emil tablet"], cast.aurora.people["P-2"]
    assert read(alice.patch(f"/lines/{line.id}", {"person": frida.id}))["person_name"] == "Frida Fels"
    event = AuditEvent.objects.get(action="line.person_changed")
    assert event.detail == {"from": "Emil Engel", "to": "Frida Fels"}
    foreign = cast.borealis.people["P-1"].id
    assert refusal(alice.patch(f"/lines/{line.id}", {"person": foreign}), 400)["pointer"] == "/person"


def test_a_line_keeps_the_history_of_where_it_belonged(cast: Cast, alice: Api, carla: Api) -> None:
    line, plant = cast.aurora.lines["emil phone"], cast.aurora.accounts["S-PLANT"]
    assigned = {"account": plant.id, "from_at": "2026-03-01T00:00:00+01:00"}
    assert read(alice.post(f"/lines/{line.id}/assignments", assigned), 201)["account"] == plant.id
    later, earlier = read(alice.get(f"/lines/{line.id}/assignments"))["results"]
    assert (later["account_code"], later["from_at"], later["until_at"]) == ("S-PLANT", "2026-02-28T23:00:00Z", None)
    assert (earlier["account_code"], earlier["until_at"]) == ("N-FIELD", "2026-02-28T23:00:00Z")
    refusal(carla.get(f"/lines/{line.id}/assignments"), 404)
    naive = assigned | {"from_at": "2026-03-01T00:00:00"}
    assert refusal(alice.post(f"/lines/{line.id}/assignments", naive), 400)["code"] == "no_offset"


def test_devices_are_added_and_corrected(cast: Cast, alice: Api, carla: Api) -> None:
    body = {"enterprise": cast.aurora.enterprise.id, "imei": imei(77), "model": "Gigaset GX6"}
    made = read(alice.post("/devices", body), 201)
    assert refusal(alice.post("/devices", body), 422)["pointer"] == "/imei"
    assert made["device_type"] == "unknown"
    changed = read(alice.patch(f"/devices/{made['id']}", {"ownership": "personal", "device_type": "phone"}))
    assert (changed["model"], changed["ownership"], changed["device_type"]) == ("Gigaset GX6", "personal", "phone")
    assert ids(alice.get("/devices", device_type="phone")) == {made["id"]}
    assert ids(alice.get("/devices", ownership="personal")) == {made["id"]}
    refusal(alice.get(f"/devices/{cast.borealis.devices[0].id}"), 404)
    refusal(carla.get(f"/devices/{made['id']}"), 404)


def test_people_are_added_and_corrected(cast: Cast, carla: Api) -> None:
    field, south = cast.aurora.accounts["N-FIELD"].id, cast.aurora.accounts["SOUTH"].id
    made = read(carla.post("/people", {"account": field, "number": "P-9", "name": "Ada Amsel"}), 201)
    changed = read(carla.patch(f"/people/{made['id']}", {"email": "Ada@Example.org"}))
    assert (changed["name"], changed["email"]) == ("Ada Amsel", "ada@example.org")
    assert refusal(carla.patch(f"/people/{made['id']}", {"account": south}), 400)["pointer"] == "/account"
    assert ids(carla.get("/people", name="amsel")) == {made["id"]}
    refusal(carla.get(f"/people/{cast.aurora.people['P-2'].id}"), 404)
    assert refusal(carla.post("/people", {"account": field, "number": "P-9", "name": "X"}), 422)["pointer"] == "/number"


def test_good_rows_of_a_table_are_taken_and_the_others_told(cast: Cast, alice: Api) -> None:
    enterprise = f"/enterprises/{cast.aurora.enterprise.id}"
    people = "number,name,account_code\nP-10,Ida,N-SALES\nP-11,Udo,NOWHERE\nP-12,Eva,SOUTH\n"
    loaded = read(alice.csv(f"{enterprise}/people", people), 201)
    assert (loaded["created"], loaded["error_count"]) == (2, 1)
    assert loaded["errors"][0]["pointer"] == "/rows/1/account_code"
    devices = {"rows": [{"imei": imei(88), "device_type": "Router"}, {"imei": 123}]}
    assert read(alice.post(f"{enterprise}/devices", devices), 201)["created"] == 1
    assert Device.objects.get(imei=imei(88)).device_type == "router"
    lines = f"msisdn,account_code,person_number,device_imei\n+4917010000090,N-SALES,P-10,{imei(88)}\n"
    assert read(alice.csv(f"{enterprise}/lines", lines), 201)["created"] == 1
    assert Line.objects.get(msisdn="4917010000090").person.name == "Ida"
    assert refusal(alice.csv(f"{enterprise}/lines", lines), 422)["row"] == 2


def test_a_line_keeps_the_history_of_its_numbers(cast: Cast, alice: Api, dora: Api) -> None:
    line = cast.aurora.lines["emil phone"]
    swap = {"kind": "imsi", "number": "001 01 0000000077", "from_at": "2026-03-01T00:00:00+01:00"}
    assert read(alice.post(f"/lines/{line.id}/numbers", swap), 201)["imsi"] == "001010000000077"
    planned = {"kind": "msisdn", "number": "+49 170 1000 0066", "from_at": "2026-04-01T00:00:00+02:00"}
    assert read(alice.post(f"/lines/{line.id}/numbers", planned), 201)["msisdn"] == line.msisdn
    history = read(alice.get(f"/lines/{line.id}/numbers"))["results"]
    shown = {(row["kind"], row["number"]): (row["from_at"], row["until_at"]) for row in history}
    assert shown == {
        ("imsi", line.imsi): ("2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"),
        ("imsi", "001010000000077"): ("2026-02-28T23:00:00Z", None),
        ("msisdn", line.msisdn): ("2026-01-31T23:00:00Z", "2026-03-31T22:00:00Z"),
        ("msisdn", "4917010000066"): ("2026-03-31T22:00:00Z", None),
    }
    refusal(dora.get(f"/lines/{line.id}/numbers"), 404)
    taken = planned | {"number": cast.aurora.lines["press 7"].msisdn}
    assert refusal(alice.post(f"/lines/{line.id}/numbers", taken), 422)["pointer"] == "/number"
    refusal(alice.post(f"/lines/{line.id}/numbers", planned | {"kind": "imei"}), 400)
