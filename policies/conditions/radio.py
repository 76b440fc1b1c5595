"""What radio a usage event came over, however the network says it. Pure.

Sources: names of TS 29.571 §5.4.3.2 (RatType); numbers of TS 29.274 §8.17 (GTPv2, to 22), TS 29.061 §16.4.7.2 (RADIUS,
51 to 57) and TS 29.212 §5.3.31 (Diameter, from 1000). Lower numbers of Diameter mean others in GTP, which are taken.
"""

from __future__ import annotations

from typing import Any

#: Attributes of the network's message that say it, the first that is there counts.
ATTRIBUTES = ("radio", "rat", "rat_type", "ratType")

_NAMES = {
    "5g": "5g 5gnr 5g_nr 5gnsa 5gsa nr nr_u nr_redcap nr_eredcap",
    "lte": "lte 4g lte_a eutra eutran eutra_u e_utran wb_e_utran",
    "3g": "3g umts utra utran hspa hspa_evolution hspa+ hsdpa wcdma",
    "2g": "2g gsm gera geran gprs edge",
    "wifi": "wifi wi_fi wlan trusted_wlan trusted_n3ga gan",
    "iot": "iot nbiot nb_iot eutran_nb_iot lte_m",
    "satellite": "satellite",
    "fixed": "fixed wireline wireline_cable wireline_bbf",
}
_SKIES = ("leo", "meo", "geo", "othersat", "other_sat")
_BY_NAME = {name: radio for radio, names in _NAMES.items() for name in names.split()} | {
    f"{name}_{sky}": "satellite" for name in ("nr", "wb_e_utran", "nb_iot", "lte_m") for sky in _SKIES
}
_BY_NUMBER = {
    1: "3g", 2: "2g", 3: "wifi", 4: "wifi", 5: "3g", 6: "lte", 8: "iot", 9: "iot", 10: "5g",
    **dict.fromkeys(range(11, 23), "satellite"),
    51: "5g", 52: "5g", 53: "wifi", 54: "wifi", 55: "fixed", 56: "fixed", 57: "fixed",
    1000: "3g", 1001: "2g", 1002: "wifi", 1003: "3g", 1004: "lte", 1005: "iot", 1006: "5g", 1007: "iot", 1008: "5g",
}  # fmt: skip


def named(value: Any) -> str | None:
    """The radio as conditions name it; None where the value says none that is known."""
    if isinstance(value, str):
        text = value.strip().casefold()
        if text.isascii() and text.isdigit():
            return _BY_NUMBER.get(int(text)) if len(text) <= 4 else None
        return _BY_NAME.get(text.replace("-", "_").replace(" ", "_"))
    if isinstance(value, int) and not isinstance(value, bool):
        return _BY_NUMBER.get(value)
    return None
