"""The whole site walked as everybody: every screen, API route and socket, as the whole cast, strangers and tokens.

The tables say who meets what. Addresses are taken from the site itself, so one that stands in no table fails the walk.
What lies outside somebody's reach is not found; it is never shown, never half shown, and never an error of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from channels.layers import get_channel_layer
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from balances import (
    allocation,
    contingency,
    contracts,
    draw_caps,
    exchange,
    masking,
    personal,
    personal_tariffs,
    standing,
    trading,
    trading_terms,
)
from balances.allocation_plan import Wish
from balances.models import AuditEvent, Bucket, Crossing, Exchange, SuspendedUsage, UsageRecord
from balances.scope import Verb
from policies import consent, limits, publishing
from policies.models import LimitCrossing, Restriction
from policies.steering import declared, homes, number_lists, trips
from policies.steering import publishing as who_pays
from portal import asgi
from portal.api.endpoints import Endpoint
from portal.charging import pipeline, profiles
from portal.live.routing import websocket_urlpatterns
from portal.models import Contest, Delivery, Job, Membership, Notice, PersonClaim
from portal.notices import inbox, outbox, webhooks
from tests.api.asgi import call
from tests.api.client import charge, used
from tests.cast import ACTOR, NOW, Cast, House, build, issue_token
from tests.live.socket import opened

EVERYBODY = "alice bruno carla dora emil olga mallory"
MEMBERS = "alice bruno carla dora emil olga"
TOKENS = "feed script"  # Alice's, to send only; Carla's, to look only, at North
#: Who holds a verb anywhere at all; the others are turned away at the door of the API.
HOLDERS = {
    Verb.VIEW: f"{MEMBERS} script",
    Verb.MANAGE: "alice bruno carla olga",
    Verb.INGEST: "alice bruno olga feed",
    Verb.ADMINISTER: "olga",
}
#: What of the other house nobody without business there may ever read.
AURORAS_OWN = ("alice", "carla", "dora", "emil", "script", "feed")
SECRETS = dict.fromkeys(AURORAS_OWN, (b"Borealis", b"Laboratory", b"4917020000001", b"Gerda"))
SECRETS["bruno"] = (b"Aurora", b"Field sales", b"4917010000001", b"Frida Fels")
SECRETS["mallory"] = SECRETS["alice"] + SECRETS["bruno"]


@dataclass(frozen=True)
class Screen:
    """A page: who may see it and what they get; everybody else does not find it, and strangers are sent to sign in."""

    may: str
    thing: str = ""
    status: int = 200
    others: int = 404
    stranger: int = 302
    posted: tuple[int, ...] = (200, 302)  # what an empty form gets from those who may


#: Screens by address. `thing` names an object of `Things`, which belongs to Aurora's North, or to Aurora as a whole.
SCREENS: dict[str, Screen] = {
    "": Screen(MEMBERS, status=302, others=403),
    "sign-in/": Screen(EVERYBODY, status=302, stranger=200),
    "welcome/<uidb64>/<token>/": Screen(EVERYBODY, "welcome", stranger=200),
    "sign-out/": Screen(EVERYBODY, status=405),
    "theme/": Screen(EVERYBODY, status=405, stranger=405, posted=(302,)),
    "enterprises/<int:enterprise_id>/": Screen("alice carla dora olga", "enterprise", status=302),
    "enterprises/<int:enterprise_id>/search/": Screen("alice carla dora emil olga", "enterprise"),
    "accounts/<int:account_id>/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/children/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/lines/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/allowances/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/drawing/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/limits/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/rules/": Screen("alice carla olga", "account"),
    "lines/<int:line_id>/limits/": Screen("alice carla emil olga", "line"),
    "limits/<int:limit_id>/": Screen("alice carla olga", "limit"),
    "accounts/<int:account_id>/refused/": Screen("alice carla olga", "account"),
    "lines/<int:line_id>/refused/": Screen("alice carla emil olga", "line"),
    "accounts/<int:account_id>/market/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/market/rebalancing/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/policies/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/policies/replay/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/steering/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/steering/try/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/trips/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/number-lists/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/declared-fields/": Screen(
        "alice carla olga", "account", posted=(200, 302, 404)
    ),  # Carla's 404
    "accounts/<int:account_id>/personal-accounts/": Screen("alice carla olga", "account"),
    "accounts/<int:account_id>/masking/": Screen("alice olga", "top"),
    "accounts/<int:account_id>/personal-totals/": Screen("alice carla olga", "account"),
    "lines/<int:line_id>/personal-totals/": Screen("alice carla olga", "line"),
    "steering-versions/<int:version_id>/replay/": Screen("alice carla olga", "steering version"),
    "steering-versions/<int:version_id>/replay/progress/": Screen("alice carla olga", "steering version"),
    "accounts/<int:account_id>/manage/": Screen("alice carla olga", "account"),
    "buckets/<int:bucket_id>/": Screen("alice olga", "bucket"),
    "buckets/<int:bucket_id>/exchange/": Screen("alice olga", "bucket"),
    "lines/mine/": Screen(EVERYBODY),
    "accounts/<int:account_id>/contests/": Screen("alice carla olga", "account", posted=(404,)),
    "me/": Screen("emil"),
    "me/charges/": Screen("emil"),
    "me/charges/<int:usage_id>/": Screen("emil", "usage"),
    "me/statement/": Screen("emil"),
    "me/rules/": Screen("emil"),
    "me/lines/": Screen("emil"),
    "me/notices/": Screen("emil"),
    "me/claim/": Screen(EVERYBODY),
    "lines/<int:line_id>/": Screen("alice carla emil olga", "line"),
    "lines/<int:line_id>/charges/": Screen("alice carla emil olga", "line"),
    "lines/<int:line_id>/manage/": Screen("alice carla olga", "line"),
    "usage/<int:usage_id>/": Screen("alice carla emil olga", "usage"),
    "operator/": Screen("olga"),
    "operator/enterprises/new/": Screen("olga"),
    "operator/enterprises/<int:enterprise_id>/": Screen("olga", "enterprise"),
    "operator/enterprises/<int:enterprise_id>/contracts/new/": Screen("olga", "enterprise"),
    "operator/enterprises/<int:enterprise_id>/people/": Screen("olga", "enterprise", posted=(404,)),
    "operator/contracts/<int:contract_id>/": Screen("olga", "contract"),
    "operator/versions/<int:version_id>/": Screen("olga", "version"),
    "operator/personal-accounts/<int:account_id>/": Screen("olga", "personal account"),
    "operator/personal-tariffs/": Screen("olga"),
    "operator/personal-tariffs/new/": Screen("olga"),
    "operator/personal-tariffs/<int:tariff_id>/": Screen("olga", "personal tariff"),
    "operator/personal-tariffs/<int:tariff_id>/versions/new/": Screen("olga", "personal tariff"),
    "operator/declared-fields/": Screen("olga"),
    "policy-templates/": Screen("olga"),
    "policy-templates/new/": Screen("olga"),
    "policy-templates/<slug:key>/": Screen("olga", "template"),
    "notices/": Screen(EVERYBODY),
    "notices/preferences/": Screen(EVERYBODY),
    "notices/webhooks/": Screen("alice bruno olga"),
    "notices/<int:notice_id>/": Screen("alice carla emil olga", "notice"),
    "files/": Screen(EVERYBODY),
    "files/usage/": Screen("alice bruno olga"),
    "files/imports/": Screen("alice bruno olga"),
    "files/imports/<slug:kind>.csv": Screen(EVERYBODY, "kind", posted=(405,)),
    "files/profiles/": Screen("alice bruno olga"),
    "files/profiles/new/": Screen("olga"),
    "files/profiles/<int:profile_id>/": Screen("olga", "profile"),
    "files/<int:job_id>/": Screen("alice olga", "job"),
    "files/<int:job_id>/progress/": Screen("alice olga", "job"),
    "suspense/": Screen(EVERYBODY),
    "suspense/<int:suspended_id>/": Screen("alice olga", "suspended"),
    "suspense/<int:suspended_id>/outlook/": Screen("alice olga", "suspended", status=405, others=405),
    "tokens/": Screen("alice bruno carla olga"),
    "tokens/<int:token_id>/revoke/": Screen("alice olga", "token"),
}


@dataclass(frozen=True)
class Route:
    """A method of the API: the verb it wants, and who reaches the thing that the address names.

    With an empty body, those who may get one of `answers`; others who hold the verb find nothing.
    """

    verb: Verb = Verb.VIEW
    may: str = ""  # "": all who hold the verb
    answers: tuple[int, ...] = (200,)
    looked: str = ""  # who may look at the thing, but not do this to it: 403
    people_only: bool = False
    roleless: bool = False  # also for who is signed in and holds nothing


READ = Route()
AURORAS = "alice olga"
NORTHS = "alice carla olga"
NORTHS_LINE = "alice carla emil olga script"
NORTHS_SEEN = "alice carla olga script"
REFUSED = (400, 422)


def _noun(name: str, thing: str, may: str) -> dict[tuple[str, str], tuple[str, Route]]:
    """The list and the detail of a noun."""
    kind = "uuid" if name == "usage-batches" else "int"
    return {("GET", name): ("", READ), ("GET", f"{name}/<{kind}:pk>"): (thing, Route(may=may))}


#: API routes by method and address: the object of `Things` that the address names, and who meets what.
ROUTES: dict[tuple[str, str], tuple[str, Route]] = {
    **_noun("enterprises", "enterprise", "alice carla dora emil olga script"),
    ("POST", "enterprises"): ("", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("PATCH", "enterprises/<int:pk>"): ("enterprise", Route(Verb.MANAGE, AURORAS, REFUSED, looked="carla")),
    **{
        ("POST", f"enterprises/<int:pk>/{table}"): ("enterprise", Route(Verb.MANAGE, AURORAS, REFUSED, looked="carla"))
        for table in ("tree", "lines", "devices", "people")
    },
    **_noun("accounts", "account", NORTHS_SEEN),
    ("POST", "accounts"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("PATCH", "accounts/<int:pk>"): ("account", Route(Verb.MANAGE, NORTHS)),
    ("POST", "accounts/<int:pk>/move"): ("account", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "accounts/<int:pk>/close"): ("account", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("GET", "accounts/<int:pk>/balances"): ("account", Route(may=NORTHS_SEEN)),
    ("GET", "accounts/<int:pk>/drawing"): ("account", Route(may=NORTHS_SEEN)),
    **_noun("lines", "line", NORTHS_LINE),
    ("POST", "lines"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("PATCH", "lines/<int:pk>"): ("line", Route(Verb.MANAGE, NORTHS)),
    ("GET", "lines/<int:pk>/balances"): ("line", Route(may=NORTHS_LINE)),
    ("GET", "lines/<int:pk>/assignments"): ("line", Route(may=NORTHS_LINE)),
    ("POST", "lines/<int:pk>/assignments"): ("line", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("GET", "lines/<int:pk>/numbers"): ("line", Route(may=NORTHS_LINE)),
    ("POST", "lines/<int:pk>/numbers"): ("line", Route(Verb.MANAGE, NORTHS, REFUSED)),
    **_noun("devices", "device", AURORAS),
    ("POST", "devices"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("PATCH", "devices/<int:pk>"): ("device", Route(Verb.MANAGE, AURORAS)),
    **_noun("people", "person", NORTHS_SEEN),
    ("POST", "people"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("PATCH", "people/<int:pk>"): ("person", Route(Verb.MANAGE, NORTHS)),
    **_noun("zones", "zone", f"{MEMBERS} script"),
    ("POST", "zones"): ("", Route(Verb.ADMINISTER, answers=REFUSED)),
    **_noun("contracts", "contract", AURORAS),
    ("POST", "contracts"): ("", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("GET", "contracts/<int:pk>/versions"): ("contract", Route(may=AURORAS)),
    ("POST", "contracts/<int:pk>/versions"): ("contract", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("GET", "versions/<int:pk>"): ("version", Route(may="olga")),  # a draft
    ("GET", "versions/<int:pk>/allowances"): ("version", Route(may="olga")),
    ("POST", "versions/<int:pk>/allowances"): ("version", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("GET", "versions/<int:pk>/rates"): ("version", Route(may="olga")),
    ("PUT", "versions/<int:pk>/rates"): ("version", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("POST", "versions/<int:pk>/publish"): ("version", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("DELETE", "allowances/<int:pk>"): ("allowance", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("GET", "me"): ("", Route(people_only=True)),
    ("GET", "me/charges"): ("", Route(people_only=True)),
    ("GET", "me/charges/<int:pk>"): ("usage", Route(may="emil", people_only=True)),
    ("GET", "me/limits"): ("", Route(people_only=True)),
    ("GET", "me/trips"): ("", Route(people_only=True)),
    ("GET", "me/claims"): ("", Route(people_only=True, roleless=True)),
    ("POST", "me/claims"): ("", Route(people_only=True, roleless=True, answers=REFUSED)),
    ("DELETE", "me/claims/<int:pk>"): ("claim", Route(may="emil", answers=(204,), people_only=True, roleless=True)),
    ("GET", "me/statement"): ("", Route(people_only=True, answers=REFUSED)),
    ("GET", "me/lines"): ("", Route(people_only=True)),
    ("GET", "me/rules"): ("", Route(people_only=True)),
    ("GET", "me/offers"): ("", Route(people_only=True)),
    ("POST", "me/trials"): ("", Route(people_only=True, answers=REFUSED)),
    ("POST", "me/accept"): ("", Route(people_only=True, answers=REFUSED)),
    **_noun("contests", "contest", "alice carla emil olga"),
    ("POST", "contests"): ("", Route(answers=REFUSED, people_only=True)),
    ("POST", "contests/<int:pk>/decide"): ("contest", Route(may=NORTHS, answers=REFUSED)),
    **_noun("thresholds", "threshold", NORTHS_SEEN),
    ("POST", "thresholds"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("POST", "thresholds/<int:pk>/fire"): ("threshold", Route(Verb.MANAGE, NORTHS, (201,))),
    ("DELETE", "thresholds/<int:pk>"): ("spare threshold", Route(Verb.MANAGE, NORTHS, (204,))),
    **_noun("crossings", "crossing", NORTHS_SEEN),
    **_noun("limits", "limit", NORTHS_SEEN),
    ("POST", "limits"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("PATCH", "limits/<int:pk>"): ("limit", Route(Verb.MANAGE, NORTHS)),
    ("DELETE", "limits/<int:pk>"): ("spare limit", Route(Verb.MANAGE, NORTHS, (204,))),
    ("POST", "limits/<int:pk>/fire"): ("limit", Route(Verb.MANAGE, NORTHS, (201,))),
    ("GET", "limits/<int:pk>/consents"): ("limit", Route(may=NORTHS_SEEN)),
    ("POST", "limits/<int:pk>/consents"): ("limit", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "limits/<int:pk>/extensions"): ("limit", Route(Verb.MANAGE, NORTHS, REFUSED)),
    **_noun("limit-crossings", "limit crossing", NORTHS_SEEN),
    **_noun("consents", "consent", NORTHS_SEEN),
    ("POST", "consents/<int:pk>/revoke"): ("consent", Route(Verb.MANAGE, NORTHS)),
    **_noun("exemptions", "exemption", NORTHS_SEEN),
    ("POST", "exemptions"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("DELETE", "exemptions/<int:pk>"): ("exemption", Route(Verb.MANAGE, NORTHS, (204,))),
    **_noun("restrictions", "restriction", NORTHS_LINE),
    ("POST", "restrictions/<int:pk>/lift"): ("restriction", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "restrictions/<int:pk>/approve"): ("restriction", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("GET", "lines/<int:pk>/tags"): ("line", Route(may=NORTHS_LINE)),
    ("PUT", "lines/<int:pk>/tags"): ("line", Route(Verb.MANAGE, NORTHS, REFUSED)),
    **_noun("notices", "notice", NORTHS_LINE),
    ("POST", "notices/<int:pk>/acknowledge"): ("notice", Route(may=NORTHS_LINE, answers=(200, 422))),
    ("POST", "notices/<int:pk>/silence"): ("notice", Route(may=NORTHS_LINE, answers=REFUSED)),
    ("POST", "notices/<int:pk>/read"): ("notice", Route(may=NORTHS_LINE)),
    ("POST", "notices/read-all"): ("", READ),
    ("GET", "silences"): ("", READ),
    ("DELETE", "silences/<int:pk>"): ("silence", Route(may="alice", answers=(204,))),
    ("GET", "escalations"): ("", Route(Verb.MANAGE)),
    ("POST", "escalations"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("GET", "notice-preferences/clock"): ("", READ),
    ("PUT", "notice-preferences/clock"): ("", READ),
    ("GET", "notice-preferences"): ("", READ),
    ("POST", "notice-preferences"): ("", Route(answers=REFUSED)),
    ("GET", "webhook-endpoints"): ("", Route(Verb.MANAGE)),
    ("GET", "webhook-endpoints/<int:pk>"): ("endpoint", Route(Verb.MANAGE, AURORAS)),
    ("POST", "webhook-endpoints"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("DELETE", "webhook-endpoints/<int:pk>"): ("endpoint", Route(Verb.MANAGE, AURORAS, (204,))),
    ("GET", "webhook-deliveries"): ("", Route(Verb.MANAGE)),
    ("GET", "webhook-deliveries/<int:pk>"): ("webhook delivery", Route(Verb.MANAGE, AURORAS)),
    ("POST", "webhook-deliveries/<int:pk>/replay"): ("webhook delivery", Route(Verb.MANAGE, AURORAS)),
    **_noun("buckets", "bucket", AURORAS),
    ("GET", "buckets/<int:pk>/entries"): ("bucket", Route(may=AURORAS)),
    ("POST", "buckets/<int:pk>/allocations"): ("bucket", Route(Verb.MANAGE, AURORAS, REFUSED)),
    ("POST", "buckets/<int:pk>/returns"): ("bucket", Route(Verb.MANAGE, AURORAS, REFUSED)),
    **_noun("exchanges", "exchange", AURORAS),
    ("POST", "exchanges"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("GET", "versions/<int:pk>/exchange-rates"): ("version", Route(may="olga")),
    ("PUT", "versions/<int:pk>/exchange-rates"): ("version", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("DELETE", "exchange-rates/<int:pk>"): ("exchange rate", Route(Verb.ADMINISTER, answers=REFUSED)),
    **_noun("contingencies", "slice", AURORAS),
    ("POST", "contingencies"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("POST", "contingencies/<int:pk>/release"): ("slice", Route(Verb.MANAGE, AURORAS, (201, 422))),
    **_noun("draw-caps", "draw cap", NORTHS_SEEN),
    ("POST", "draw-caps"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("DELETE", "draw-caps/<int:pk>"): ("draw cap", Route(Verb.MANAGE, NORTHS, (204, 422))),
    **_noun("allocations", "allocation", AURORAS),
    ("POST", "allocations"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("POST", "allocations/file"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("POST", "allocations/<int:pk>/undo"): ("allocation", Route(Verb.MANAGE, AURORAS, (201, 422))),
    **_noun("offers", "offer", NORTHS_SEEN),
    ("POST", "offers"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("GET", "offers/<int:pk>/acts"): ("offer", Route(may=NORTHS_SEEN)),
    ("POST", "offers/<int:pk>/counter"): ("offer", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "offers/<int:pk>/accept"): ("offer", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "offers/<int:pk>/approve"): ("offer", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "offers/<int:pk>/refuse"): ("offer", Route(Verb.MANAGE, NORTHS)),
    ("POST", "offers/<int:pk>/withdraw"): ("offer", Route(Verb.MANAGE, NORTHS, REFUSED)),  # refused just before
    **_noun("trades", "trade", NORTHS_SEEN),
    ("GET", "rules"): ("", Route(answers=(400,))),
    ("GET", "rebalancing-proposals"): ("", Route(answers=(400,))),
    ("POST", "rebalancing-proposals"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    **_noun("standing-transfers", "standing transfer", NORTHS_SEEN),
    ("POST", "standing-transfers"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("GET", "standing-transfers/<int:pk>/runs"): ("standing transfer", Route(may=NORTHS_SEEN)),
    **{
        ("POST", f"standing-transfers/<int:pk>/{act}"): ("standing transfer", Route(Verb.MANAGE, NORTHS, (200, 422)))
        for act in ("pause", "resume", "end")
    },
    **_noun("loans", "loan", NORTHS_SEEN),
    ("POST", "loans/<int:pk>/repay"): ("loan", Route(Verb.MANAGE, NORTHS, (200, 422))),
    ("POST", "loans/<int:pk>/forgive"): ("loan", Route(Verb.MANAGE, NORTHS, (422,))),  # not due
    **_noun("masking-declarations", "declaration", AURORAS),
    ("POST", "masking-declarations"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("POST", "masking-declarations/<int:pk>/end"): ("declaration", Route(Verb.MANAGE, AURORAS)),
    **_noun("trading-terms", "trading terms", NORTHS_SEEN),
    ("POST", "trading-terms"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("GET", "trading-terms/in-force"): ("", Route(answers=(400,))),
    **_noun("policies", "policy", NORTHS_SEEN),
    ("POST", "policies"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("GET", "policies/<int:pk>/versions"): ("policy", Route(may=NORTHS_SEEN)),
    ("POST", "policies/<int:pk>/versions"): ("policy", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("DELETE", "policies/<int:pk>/versions"): ("policy", Route(Verb.MANAGE, NORTHS, (204, 422))),
    ("POST", "policies/<int:pk>/publish"): ("policy", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "policies/<int:pk>/undo"): ("policy", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "policies/<int:pk>/retire"): ("policy", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("GET", "policies/<int:pk>/replays"): ("policy", Route(may=NORTHS_SEEN)),
    ("POST", "policies/<int:pk>/replays"): ("policy", Route(Verb.MANAGE, NORTHS, (201, 422))),
    ("GET", "steerings/<int:pk>/replays"): ("steering", Route(may=NORTHS_SEEN)),
    ("POST", "steerings/<int:pk>/replays"): ("steering", Route(Verb.MANAGE, NORTHS, (201, 422))),
    ("POST", "enterprises/<int:pk>/personal-accounts"): ("enterprise", Route(Verb.ADMINISTER, "olga", REFUSED)),
    ("GET", "personal-tariffs"): ("", Route(Verb.ADMINISTER)),
    ("POST", "personal-tariffs"): ("", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("GET", "personal-tariffs/<int:pk>"): ("personal tariff", Route(Verb.ADMINISTER)),
    ("GET", "personal-tariffs/<int:pk>/versions"): ("personal tariff", Route(Verb.ADMINISTER)),
    ("POST", "personal-tariffs/<int:pk>/versions"): ("personal tariff", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("POST", "personal-tariffs/<int:pk>/retire"): ("personal tariff", Route(Verb.ADMINISTER)),
    **_noun("personal-accounts", "personal account", "emil olga"),  # Emil's own
    ("POST", "personal-accounts"): ("", Route(Verb.ADMINISTER, answers=REFUSED)),
    **{
        ("GET", f"personal-accounts/<int:pk>/{table}"): ("personal account", Route(may="emil olga"))
        for table in ("entries", "open-usage")
    },
    **{
        ("POST", f"personal-accounts/<int:pk>/{act}"): ("personal account", Route(Verb.ADMINISTER, answers=REFUSED))
        for act in ("top-ups", "payouts", "open-usage/write-off")
    },
    ("PUT", "personal-accounts/<int:pk>/credit-limit"): ("personal account", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("POST", "personal-accounts/<int:pk>/close"): ("personal account", Route(Verb.ADMINISTER)),
    **_noun("steerings", "steering", NORTHS_SEEN),
    ("POST", "steerings"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("GET", "steerings/in-force"): ("", Route(answers=(400,))),
    ("GET", "steerings/<int:pk>/versions"): ("steering", Route(may=NORTHS_SEEN)),
    ("POST", "steerings/<int:pk>/versions"): ("steering", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("DELETE", "steerings/<int:pk>/versions"): ("steering", Route(Verb.MANAGE, NORTHS, (204, 422))),
    ("POST", "steerings/<int:pk>/publish"): ("steering", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "steerings/<int:pk>/undo"): ("steering", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "steerings/<int:pk>/retire"): ("steering", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "steering-trials"): ("", Route(answers=REFUSED)),
    **_noun("account-homes", "home", NORTHS_SEEN),
    ("GET", "account-homes/in-force"): ("", Route(answers=(400,))),
    ("POST", "account-homes"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("DELETE", "account-homes/<int:pk>"): ("home", Route(Verb.MANAGE, AURORAS, (204,), looked="carla")),
    **_noun("trips", "trip", NORTHS_SEEN),
    ("POST", "trips"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("DELETE", "trips/<int:pk>"): ("trip", Route(Verb.MANAGE, NORTHS, (204,))),
    **_noun("number-lists", "number list", NORTHS_SEEN),
    ("POST", "number-lists"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("PATCH", "number-lists/<int:pk>"): ("number list", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("DELETE", "number-lists/<int:pk>"): ("number list", Route(Verb.MANAGE, NORTHS, (204,))),
    ("GET", "number-lists/<int:pk>/entries"): ("number list", Route(may=NORTHS_SEEN)),
    ("POST", "number-lists/<int:pk>/entries"): ("number list", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("POST", "number-lists/<int:pk>/removals"): ("number list", Route(Verb.MANAGE, NORTHS, REFUSED)),
    **_noun("declared-fields", "declared field", "alice carla dora emil olga script"),  # Aurora's own
    ("POST", "declared-fields"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("DELETE", "declared-fields/<int:pk>"): ("declared field", Route(Verb.MANAGE, AURORAS, (204,), looked="carla")),
    ("GET", "lines/<int:pk>/profile"): ("line", Route(may=NORTHS_LINE)),
    ("PUT", "lines/<int:pk>/profile"): ("line", Route(Verb.MANAGE, NORTHS, REFUSED)),
    ("GET", "counters"): ("", Route(answers=(400,))),
    ("GET", "personal-totals"): ("", Route(answers=(400,))),
    ("GET", "usage-records"): ("", Route(answers=(400,))),
    ("GET", "usage-records/<int:pk>"): ("usage", Route(may=NORTHS_LINE)),
    ("GET", "usage-batches"): ("", READ),
    ("GET", "usage-batches/<uuid:pk>"): ("batch", Route(may="alice olga feed")),
    ("GET", "usage-batches/<uuid:pk>/records"): ("batch", Route(may="alice olga feed")),
    ("POST", "usage-batches"): ("", Route(Verb.INGEST, "feed", REFUSED)),
    **_noun("suspense", "suspended", AURORAS),
    ("POST", "suspense/<int:pk>/recycle"): ("suspended", Route(Verb.MANAGE, AURORAS)),
    ("POST", "suspense/<int:pk>/write-off"): ("suspended", Route(Verb.MANAGE, AURORAS, REFUSED)),
    ("POST", "suspense/recycle"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("POST", "suspense/write-off"): ("", Route(Verb.MANAGE, answers=REFUSED)),
    ("GET", "policy-templates"): ("", READ),
    ("GET", "policy-templates/<slug:pk>"): ("template", Route(may="alice bruno carla olga")),
    ("PUT", "policy-templates/<slug:pk>"): ("template", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("DELETE", "policy-templates/<slug:pk>"): ("template", Route(Verb.ADMINISTER, answers=REFUSED)),
    **_noun("column-profiles", "profile", "alice bruno olga"),
    ("POST", "column-profiles"): ("", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("PUT", "column-profiles/<int:pk>"): ("profile", Route(Verb.ADMINISTER, answers=REFUSED)),
    ("DELETE", "column-profiles/<int:pk>"): ("profile", Route(Verb.ADMINISTER, answers=(204,))),
    **_noun("jobs", "job", AURORAS),
    ("GET", "audit-events"): ("", Route(Verb.MANAGE)),
    ("GET", "audit-events/<int:pk>"): ("audit event", Route(Verb.MANAGE, NORTHS)),
    ("GET", "members"): ("", Route(Verb.MANAGE, people_only=True)),
    ("GET", "members/<int:pk>"): ("membership", Route(Verb.MANAGE, NORTHS, people_only=True)),
    ("POST", "members"): ("", Route(Verb.MANAGE, answers=REFUSED, people_only=True)),
    ("DELETE", "members/<int:pk>"): ("spare membership", Route(Verb.MANAGE, NORTHS, (204,), people_only=True)),
    ("GET", "tokens"): ("", Route(people_only=True)),
    ("GET", "tokens/<int:pk>"): ("token", Route(may="alice", people_only=True)),
    ("POST", "tokens"): ("", Route(answers=REFUSED, people_only=True)),
    ("DELETE", "tokens/<int:pk>"): ("token", Route(may="alice", answers=(204,), people_only=True)),
}
#: Open to everybody: they name no enterprise.
OPEN_ROUTES = {"openapi.json", "openapi.yaml", "docs/"}

#: What is answered ahead of Django: who may, and what they get with an empty body.
DOORS = {
    ("POST", "/api/v1/usage-batches"): ROUTES["POST", "usage-batches"][1],
    ("GET", "/healthz"): Route(),
    ("GET", "/readyz"): Route(answers=(200, 503)),  # as the servers of the tests are
}

SOCKETS = {
    "live/accounts/<int:id>/": ("account", NORTHS),
    "live/lines/<int:id>/": ("line", "alice carla emil olga"),
    "live/notices/": ("", EVERYBODY),
}


@dataclass
class Things:
    """Objects of Aurora that addresses name, most of them of its North."""

    cast: Cast
    ids: dict[str, object] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cast: Cast) -> Things:
        """Made through the functions that users reach, usage charged."""
        house = cast.aurora
        things = cls(cast)
        for name, owner, verb, account in (
            ("feed", cast.alice, Verb.INGEST, None),
            ("script", cast.carla, Verb.VIEW, house.accounts["NORTH"]),
        ):
            token, plain = issue_token(cast, owner, verb, enterprise=house.enterprise, account=account, name=name)
            things.tokens[name] = plain
            things.ids[f"{name} token"] = token.id
        account = house.accounts["N-FIELD"]
        doing = {"actor": ACTOR, "at": NOW}
        mark = contracts.set_threshold(account=account, service=1, units=1000, **doing)
        contracts.set_threshold(line=house.lines["emil phone"], service=1, units=1500, **doing)
        spare = contracts.set_threshold(account=account, service=1, units=10**9, **doing)
        policy = publishing.create_from_template(account=account, template="office-hours", **doing)
        steered = who_pays.save_draft(account=account, rules=[{"name": "Own", "pays": "corporate"}], **doing)
        draft = contracts.draft_version(contract=house.contract, effective_at=NOW, **doing)
        terms = {"account": account, "service": 1, "measure": "units", "window": "cycle", "action": "throttle"}
        held = limits.make(amount=1000, **terms, **doing)
        spare_limit = limits.make(amount=10**9, **terms, **doing)
        exempted = {"account": house.accounts["N-FIELD"], "until": NOW + timedelta(days=1), "reason": "Walk"}
        exemption = limits.exempt(limit=spare_limit, **exempted, **doing)
        sender = f"token:{things.ids['feed token']} feed"
        batch = charge(house, used(1), used(2, msisdn="4999900000001"), sender=sender)
        given = consent.extend(limit=held, shown=consent.shown_now(held, NOW), amount=1, **doing)
        job = Job.objects.create(operator=cast.operator, enterprise=house.enterprise, kind="people", title="People")
        profile = profiles.save(operator=cast.operator, name="Switch", mapping=MAPPING, **doing)
        members = Membership.objects.filter(enterprise=house.enterprise)
        spare_member = Membership.objects.create(
            user=cast.mallory, role="observer", enterprise=house.enterprise, account=account, valid_until=NOW
        )
        bucket = Bucket.objects.filter(account=house.root).latest("cycle_start")
        swapped = exchanged(house, bucket)
        cap = draw_caps.set_cap(account=account, service=1, units=10**9, **doing)
        wishes = [Wish(1, ("account", account.id), units=3)]
        allocated = allocation.apply(bucket_id=bucket.id, wishes=wishes, **doing)
        service_account = house.accounts["N-SERVICE"]
        terms = trading_terms.set_terms(account=account, service=bucket.service, lot_units=1, **doing)
        giving = {"account": account, "bucket": Bucket.objects.get(account=account), "to_account": service_account}
        offers = [trading.offer(**giving, gives_units=1, **doing) for _ in range(2)]
        trade = trading.accept(offer=offers[0], account=service_account, **doing)
        lending = trading.offer(**giving, gives_units=1, returns_at=NOW + timedelta(days=1), **doing)
        loan = trading.accept(offer=lending, account=service_account, **doing).loan
        given_each_cycle = {"account": account, "to_account": service_account, "service": 1, "units": 1}
        each_cycle = standing.make(**given_each_cycle, **doing)
        trip = trips.declare(person=house.people["P-1"], starts_at=NOW, ends_at=NOW + timedelta(days=1), **doing)
        numbers = number_lists.create(account=account, code="walk", name="Walk", **doing)
        home = homes.set_home(account=account, time_zone="Europe/Berlin", **doing)  # as the wall times its usage
        field = declared.declare(enterprise=house.enterprise, name="profile.level", kind="flag", label="Level", **doing)
        endpoint = webhooks.add(enterprise=house.enterprise, url="https://hooks.example.com/a", **doing)
        outbox.collect(enterprise_id=house.enterprise.id, at=NOW)
        notice = Notice.objects.get(line=house.lines["emil phone"], kind="threshold")
        till = {"until": NOW + timedelta(days=1), "reason": "Walk"}
        silence = inbox.silence(user=cast.alice, line=house.lines["emil phone"], **till, **doing)
        line = house.lines["emil phone"]
        contest = Contest.objects.create(
            enterprise=house.enterprise, account=account, usage_id=1, used_at=NOW, line=line,
            person=house.people["P-1"], reason="Work.", disclosed={}, filed_at=NOW, filed_by=ACTOR,
        )  # fmt: skip
        things.ids |= {
            "contest": contest.id,
            "claim": PersonClaim.objects.get(user=cast.emil).id,
            "trip": trip.id,
            "home": home.id,
            "number list": numbers.id,
            "declared field": field.id,
            "notice": notice.id,
            "silence": silence.id,
            "endpoint": endpoint.id,
            "webhook delivery": Delivery.objects.filter(notice=notice, endpoint=endpoint).get().id,
            "enterprise": house.enterprise.id,
            "account": account.id,
            "top": house.root.id,
            "declaration": masking.declare(enterprise=house.enterprise, rule="full", text="Walk", **doing).id,
            "line": house.lines["emil phone"].id,
            "device": house.devices[0].id,
            "person": house.people["P-1"].id,
            "zone": cast.zones["home"].id,
            "contract": house.contract.id,
            "version": draft.id,
            "allowance": house.version.allowances.first().id,
            "threshold": mark.id,
            "spare threshold": spare.id,
            "crossing": Crossing.objects.get(threshold=mark).id,
            "limit": held.id,
            "spare limit": spare_limit.id,
            "limit crossing": LimitCrossing.objects.filter(limit=held).first().id,
            "consent": given.id,
            "exemption": exemption.id,
            "restriction": Restriction.objects.get().id,
            "bucket": bucket.id,
            "allocation": allocated.id,
            "draw cap": cap.id,
            "exchange": swapped.id,
            "slice": contingency.set_aside(bucket_id=bucket.id, units=1, rule="by_hand", **doing).id,
            "exchange rate": swapped.rate_id,
            "offer": offers[1].id,
            "trade": trade.id,
            "trading terms": terms.id,
            "loan": loan.id,
            "standing transfer": each_cycle.id,
            "policy": policy.policy_id,
            "steering": steered.steering_id,
            "steering version": steered.id,
            "usage": UsageRecord.objects.earliest("id").id,
            "batch": batch,
            "suspended": SuspendedUsage.objects.get().id,
            "profile": profile.id,
            "job": job.id,
            "membership": members.get(role="manager").id,
            "spare membership": spare_member.id,
            "audit event": AuditEvent.objects.filter(action="threshold.set", account=account).first().id,
            "token": things.ids["feed token"],
            "kind": "people",
            "template": "eu-roaming",
            "welcome": "MQ/unknown",
        }
        things.ids |= personal_things(cast)
        return things

    def client(self, name: str) -> tuple[Client, dict[str, str]]:
        """Somebody's browser, or a token's client."""
        client = Client(raise_request_exception=False)
        if name in self.tokens:
            return client, {"Authorization": f"Bearer {self.tokens[name]}"}
        if name != "stranger":
            client.force_login(self.cast.users[name], backend="django.contrib.auth.backends.ModelBackend")
        return client, {}


def personal_things(cast: Cast) -> dict[str, object]:
    """A tariff for people, and Emil's account with it."""
    doing = {"actor": ACTOR, "at": NOW}
    tariff = personal_tariffs.create_tariff(operator=cast.operator, name="Mine", currency="EUR", **doing)
    rates = [personal_tariffs.RateRow(1, 10)]
    personal_tariffs.add_version(tariff=tariff, effective_at=NOW, rates=rates, **doing)
    account = personal.open_account(person=cast.aurora.people["P-1"], tariff=tariff, kind="prepaid", **doing)
    return {"personal tariff": tariff.id, "personal account": account.id}


def exchanged(house: House, bucket: Bucket) -> Exchange:
    """One unit for another, at the rate of a version that holds now."""
    doing = {"actor": ACTOR, "at": NOW}
    version = contracts.draft_version(
        contract=house.contract, effective_at=NOW - timedelta(days=1), copy_from=house.version, **doing
    )
    to_service = 2 if bucket.service == 1 else 1
    terms = {"from_service": bucket.service, "to_service": to_service, "from_units": 1, "to_units": 1}
    exchange.set_rate(version=version, **terms, **doing)
    contracts.publish_version(version=version, **doing)
    return exchange.exchange(bucket_id=bucket.id, to_service=to_service, units=1, **doing)


MAPPING = {
    "columns": {"source_record_id": ["ID"], "msisdn": ["NO"], "units": ["UNITS"], "started_at": ["AT"]},
    "constants": {"service": "voice"},
}


@pytest.fixture
def things(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Things:
    """Aurora with something behind every address, at the time of the cast."""
    pipeline.forget_everything()
    monkeypatch.setattr(Endpoint, "clock", staticmethod(lambda: NOW))
    return Things.of(cast)


def addresses(resolver: URLResolver, prefix: str = "") -> list[tuple[str, URLPattern]]:
    """Every address of the site, as its patterns write it."""
    found = []
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        found += addresses(pattern, route) if isinstance(pattern, URLResolver) else [(route, pattern)]
    return found


def filled(route: str, thing: object) -> str:
    """A route with its parameter, or all of several at once, put in."""
    start, end = route.find("<"), route.rfind(">")
    return "/" + (route if start < 0 else f"{route[:start]}{thing}{route[end + 1 :]}")


def test_every_address_of_the_site_stands_in_a_table() -> None:
    api, screens = set(), set()
    for route, pattern in addresses(get_resolver()):
        if route.startswith("api/v1/"):
            methods = getattr(pattern.callback, "actions", None) or {"get": ""}
            api |= {(method.upper(), route.removeprefix("api/v1/")) for method in methods if method != "head"}
        else:
            screens.add(route)
    assert screens == set(SCREENS)
    assert api == set(ROUTES) | {("GET", route) for route in OPEN_ROUTES}
    assert {str(pattern.pattern) for pattern in websocket_urlpatterns} == set(SOCKETS)


def walked(things: Things, walk: Callable[[Things, str], list[str]]) -> list[str]:
    """What was not as the tables say, for everybody in turn; what one of them changed is undone before the next."""
    surprises = []
    for name in (*EVERYBODY.split(), "stranger", *TOKENS.split()):
        with transaction.atomic():
            surprises += [f"{name}: {surprise}" for surprise in walk(things, name)]
            transaction.set_rollback(True)
    return surprises


def test_screens(things: Things) -> None:
    assert not walked(things, look_at_screens)


def look_at_screens(things: Things, name: str) -> list[str]:
    """GET every screen."""
    client, headers = things.client(name)
    surprises = []
    for route, screen in SCREENS.items():
        address = filled(route, things.ids.get(screen.thing, ""))
        is_stranger = name == "stranger" or name in things.tokens  # a token opens no screen
        expected = screen.stranger if is_stranger else screen.status if name in screen.may.split() else screen.others
        shown = client.get(address, headers=headers)
        if shown.status_code != expected:
            surprises.append(f"GET {address}: {shown.status_code}, expected {expected}")
        surprises += [f"GET {address} tells {word!r}" for word in SECRETS.get(name, ()) if word in shown.content]
    return surprises


def test_forms_of_screens(things: Things) -> None:
    assert not walked(things, send_forms)


def send_forms(things: Things, name: str) -> list[str]:
    """POST an empty form to every screen."""
    surprises = []
    for route, screen in SCREENS.items():
        client, headers = things.client(name)  # afresh: one of the forms signs out
        address = filled(route, things.ids.get(screen.thing, ""))
        answer = client.post(address, {}, headers=headers).status_code
        if name == "stranger" or name in things.tokens:
            expected: tuple[int, ...] = (screen.stranger, 302)
        else:
            expected = screen.posted if name in screen.may.split() else (screen.others, 404, 405)
        if answer not in expected:
            surprises.append(f"POST {address}: {answer}, expected {expected}")
    return surprises


def expected_answers(name: str, route: Route) -> tuple[int, ...]:
    """What the tables say about somebody and a method of the API."""
    if name == "stranger":
        return (401,)
    holds = route.roleless or name in HOLDERS[route.verb].split()
    if not holds or (route.people_only and name in TOKENS.split()):
        return (403,)
    if not route.may or name in route.may.split():
        return route.answers
    return (403,) if name in route.looked.split() else (404,)


def test_the_api(things: Things) -> None:
    assert not walked(things, call_the_api)


def call_the_api(things: Things, name: str) -> list[str]:
    """Every method of every route, with an empty body where it takes one; what deletes comes last."""
    client, headers = things.client(name)
    surprises = []
    in_order = sorted(ROUTES.items(), key=lambda item: item[0][0] == "DELETE")
    for (method, address), (thing, route) in in_order:
        expected = expected_answers(name, route)
        if "usage-batches" in address:
            expected = expected_of_deliveries(name, method, route)
        url = "/api/v1" + filled(address, things.ids.get(thing, ""))
        arguments = {} if method == "GET" else {"data": {}, "content_type": "application/json"}
        answer = getattr(client, method.lower())(url, headers=headers, **arguments)
        if answer.status_code not in expected:
            surprises.append(f"{method} {url}: {answer.status_code}, expected {expected}")
        surprises += [f"{method} {url} tells {word!r}" for word in SECRETS.get(name, ()) if word in answer.content]
        if answer.status_code >= 400 and answer["Content-Type"] != "application/problem+json":
            surprises.append(f"{method} {url}: {answer.status_code} is no problem+json")
    for address in OPEN_ROUTES:
        if client.get(f"/api/v1/{address}", headers=headers).status_code != 200:
            surprises.append(f"{address} is not open")
    return surprises


def expected_of_deliveries(name: str, method: str, route: Route) -> tuple[int, ...]:
    """Sending takes a token; reading what became of it, also one that may only send."""
    if method == "POST":
        return {"feed": route.answers, "script": (403,)}.get(name, (401,))
    if name == "stranger":
        return (401,)
    if name == "mallory":
        return (403,)
    return route.answers if not route.may or name in route.may.split() else (404,)


@pytest.mark.django_db(transaction=True)
def test_sockets() -> None:
    cast = build()
    house = cast.aurora
    objects = {"account": house.accounts["N-FIELD"].id, "line": house.lines["emil phone"].id}

    async def walk() -> list[str]:
        surprises = []
        for name in (*EVERYBODY.split(), "stranger"):
            user = cast.users.get(name)
            for route, (thing, may) in SOCKETS.items():
                socket = await opened(user, filled(route, objects.get(thing, "")))
                if name in may.split():
                    met = (await socket.state())["type"]
                    await socket.leave()
                    expected: object = "state"
                else:
                    met = await socket.close_code()
                    expected = 4401 if user is None else 4404
                if met != expected:
                    surprises.append(f"{name} {route}: {met}, expected {expected}")
        await get_channel_layer().flush()
        return surprises

    assert not asyncio.run(walk())


@pytest.mark.django_db(transaction=True)
def test_doors_ahead_of_django() -> None:
    assert asgi._DOORS.keys() == DOORS.keys()
    pipeline.forget_everything()
    things = Things.of(build())
    surprises = []
    for name in (*EVERYBODY.split(), "stranger", *TOKENS.split()):
        client, headers = things.client(name)
        cookies = "; ".join(f"{key}={morsel.value}" for key, morsel in client.cookies.items())
        headers = {"Content-Type": "application/json", "Cookie": cookies, **headers}
        for (method, path), door in DOORS.items():
            expected = expected_of_deliveries(name, method, door) if method == "POST" else door.answers
            answer = call(asgi.application, method, path, headers=headers, body=[b"{}"])
            if answer.status not in expected:
                surprises.append(f"{name} {method} {path}: {answer.status}, expected {expected}")
    assert not surprises
