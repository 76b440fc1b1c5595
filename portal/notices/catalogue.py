"""The sentences of notices, by language. Both languages have the same keys (a test holds them to it)."""

from __future__ import annotations

from typing import Any

CATALOGUE: dict[str, dict[str, Any]] = {
    "en": {
        "code": "en",
        "test": "Test",
        "every_service": "Every service",
        "a_limit": "a limit",
        "unbounded": "without bound",
        "label": {
            "who": "Who", "service": "Service", "what": "What", "used": "Used", "as_of": "As of",
            "outlook": "At this pace", "next": "What happens next", "price": "Price beyond",
            "why": "Why you get this",
        },
        "state": {
            "ok": "OK", "watch": "Watch", "near": "Near limit", "used_up": "Used up", "over": "Over",
            "restricted": "Restricted", "info": "For information",
        },
        "service": {1: "Data", 2: "Voice", 3: "Messaging", 4: "Video conferencing"},
        "title": {
            "threshold": "{name}: {service} at {percent}",
            "limit": "{name}: {percent} of {limit} reached ({service})",
            "restriction": "{name}: {service} {action}",
            "consent": "{name}: {limit} may be exceeded",
        },
        "restricted": {
            "throttle": "slowed down", "blocked": "blocked", "redirected": "waits for consent",
            "suspended": "suspended",
        },
        "action": {
            "notify": "people are told, and it runs on", "overage": "it runs on at the overage rate",
            "throttle": "the line is slowed down", "block_new": "new usage is blocked",
            "stop_now": "usage stops at once", "consent": "usage stops until somebody consents",
            "suspend": "the line is suspended", "steer_personal": "the rest is left to the person",
        },
        "consent": "{by} agreed to {amount} more.",
        "used_of": "{used} of {total} ({percent}\u202f%)",
        "outlook": {
            "used_up": "Nothing is left for this cycle.",
            "too_early": "Too early to say how long it lasts.",
            "idle": "No usage in the last days: it lasts the cycle.",
            "lasts": "It lasts the cycle.",
            "runs_out": "It runs out {when}.",
        },
        "next": {
            "limit_reached": "The limit is reached: {action}.",
            "limit_ahead": "At the limit {action}.",
            "next_limit": "At {amount} {action}.",
            "overage": "Nothing is stopped: what lies above is drawn on, and after that the price beyond applies.",
            "restricted": "It ends {until}.",
            "by_hand": "when somebody lifts it",
            "cycle": "The cycle ends {when}.",
        },
        "price": "{price} for {block} at home",
        "why": {
            "owner": "You are telecoms manager of {place}.", "manager": "You manage {place}.",
            "employee": "This is your own line.", "tested": "You fired it yourself, as a test.",
        },
        "mail": {
            "open": "Open in the portal", "digest": "{count} notices", "hello": "What happened since the last mail:",
            "foot": "Choose what you are told, and how, under Notices, Preferences.",
        },
    },
    "de": {
        "code": "de",
        "test": "Test",
        "every_service": "Alle Dienste",
        "a_limit": "eine Grenze",
        "unbounded": "ohne Grenze",
        "label": {
            "who": "Wer", "service": "Dienst", "what": "Was", "used": "Verbraucht", "as_of": "Stand",
            "outlook": "Bei diesem Tempo", "next": "Wie es weitergeht", "price": "Preis danach",
            "why": "Warum Sie das bekommen",
        },
        "state": {
            "ok": "In Ordnung", "watch": "Beobachten", "near": "Fast erreicht", "used_up": "Aufgebraucht",
            "over": "Überschritten", "restricted": "Eingeschränkt", "info": "Zur Kenntnis",
        },
        "service": {1: "Daten", 2: "Telefonie", 3: "Nachrichten", 4: "Videokonferenzen"},
        "title": {
            "threshold": "{name}: {service} bei {percent}",
            "limit": "{name}: {percent} von {limit} erreicht ({service})",
            "restriction": "{name}: {service} {action}",
            "consent": "{name}: {limit} darf überschritten werden",
        },
        "restricted": {
            "throttle": "gedrosselt", "blocked": "gesperrt", "redirected": "wartet auf Zustimmung",
            "suspended": "stillgelegt",
        },
        "action": {
            "notify": "wird informiert, und es läuft weiter", "overage": "läuft es zum Preis danach weiter",
            "throttle": "wird der Anschluss gedrosselt", "block_new": "wird neue Nutzung gesperrt",
            "stop_now": "endet die Nutzung sofort", "consent": "endet die Nutzung, bis jemand zustimmt",
            "suspend": "wird der Anschluss stillgelegt", "steer_personal": "bleibt der Rest der Person überlassen",
        },
        "consent": "{by} hat {amount} mehr zugestimmt.",
        "used_of": "{used} von {total} ({percent}\u202f%)",
        "outlook": {
            "used_up": "Für diesen Zeitraum ist nichts mehr da.",
            "too_early": "Noch zu früh, um zu sagen, wie lange es reicht.",
            "idle": "In den letzten Tagen keine Nutzung: es reicht für den Zeitraum.",
            "lasts": "Es reicht für den Zeitraum.",
            "runs_out": "Es reicht bis {when}.",
        },
        "next": {
            "limit_reached": "Die Grenze ist erreicht: {action}.",
            "limit_ahead": "An der Grenze {action}.",
            "next_limit": "Bei {amount} {action}.",
            "overage": "Nichts wird gesperrt: zuerst wird von oben gezogen, danach gilt der Preis danach.",
            "restricted": "Das endet {until}.",
            "by_hand": "wenn es jemand aufhebt",
            "cycle": "Der Zeitraum endet {when}.",
        },
        "price": "{price} je {block} im Heimatnetz",
        "why": {
            "owner": "Sie verwalten die Telekommunikation von {place}.", "manager": "Sie leiten {place}.",
            "employee": "Es ist Ihr eigener Anschluss.", "tested": "Sie haben es selbst zum Test ausgelöst.",
        },
        "mail": {
            "open": "Im Portal öffnen", "digest": "{count} Meldungen", "hello": "Was seit der letzten Mail geschah:",
            "foot": "Was Sie erfahren, und wie, bestimmen Sie unter Meldungen, Einstellungen.",
        },
    },
}  # fmt: skip
