"""The reasons that charge lines store, in words. Codes are stored; an argument follows a colon.

Arguments are numbers. Whoever shows them to people puts names in their place: `names_of` finds those of rules of who
pays; others are in their caller's reach or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policies.models import SteeringVersion
from policies.resolution import NUMBERS
from policies.steering.outcomes import NUMBERS as STEERING_NUMBERS

#: Code -> sentence; `{}` takes the argument.
REASONS: dict[str, str] = {
    "allowance": "Drawn from allowances, nearest first.",
    "overage": "No allowance was left: charged at the contract's overage rate.",
    "partly": "The allowances covered a part; the rest is charged at the contract's overage rate.",
    "uncovered": "No allowance covers this service in this zone: charged at the contract's rate.",
    "rounded": "Rounded up to whole increments of {}.",
    "split": "One part of a session that was cut where another rate, rule or period began; split by time.",
    "stopped": "Account {} does not let its usage draw on allowances above it.",
    "capped": "Account {} has drawn as much on allowances above it as its cap lets it in this cycle.",
    "capped_line": "The line has drawn as much on allowances of accounts as its cap lets it in this cycle.",
    "late": "Reported after its cycle had ended; charged to that cycle.",
    "recovered": "Units that had expired or been carried over were taken back for this late record.",
    "nothing": "Nothing was used: recorded without a charge.",
    "refused": "Nothing was granted: what was used is recorded, and neither drawn nor priced.",
    "limit_throttle": "Beyond limit {}: granted, and the line is slowed down.",
    "limit_block_new": "Limit {} is used up: this is the last event it lets through, or a new one that it refuses.",
    "limit_stop_now": "Limit {} grants nothing beyond its amount: what did not fit was refused.",
    "limit_consent": "Limit {} waits for consent: what did not fit was refused.",
    "limit_suspend": "Limit {} suspends the line: what did not fit was refused.",
    "limit_steer_personal": "Limit {} leaves what is beyond it to the person.",
    "rule_throttle": "Rule {} of a policy: granted, and the line is slowed down.",
    "rule_block_new": "Rule {} of a policy blocks what is new.",
    "rule_stop_now": "Rule {} of a policy stops this at once: what did not fit was refused.",
    "rule_consent": "Rule {} of a policy waits for consent: what did not fit was refused.",
    "rule_suspend": "Rule {} of a policy suspends the line: what did not fit was refused.",
    "rule_steer_personal": "Rule {} of a policy leaves this to the person.",
    "exception": "Rule {} of a policy is an exception, and let this pass.",
    "exempt": "Exemption {} let this pass a limit.",
    "grace": "A video conference of an executive in progress was not cut, within the limit's grace.",
    "steer": "Who pays was decided by rule {}.",
    "steer_default": "No rule of who pays applied: the default of {} decided.",
    "budget_used": "A budget of the rule is used up: the next part has the rest.",
    "unknown": "A rule could not be applied, because the event does not say: {}.",
    "personal_allowance": "Drawn from an allowance of the personal account.",
    "personal_tariff": "Charged to the personal account by its tariff.",
    "personal_missing": "There is no personal account.",
    "personal_closed": "The personal account was closed.",
    "personal_empty": "The personal account has not enough money.",
    "personal_nobody": "Nobody was known to use the line.",
    "personal_no_rate": "The personal tariff has no price for this.",
    "interim": "Granted on credit for now: charged when the person can pay.",
    "correction": "Charged to the company by the decision on contest {}.",
    "emergency": "An emergency call or message: granted whatever limit stands.",
}


#: Codes that say who pays, the one that had the last word first.
_DECIDING = ("correction", "emergency", "limit_steer_personal", "rule_steer_personal", "steer", "steer_default")
_DECIDED = {
    "correction": "The company pays: objection {} was upheld.",
    "emergency": "Emergency calls and messages are always the company's.",
    "limit_steer_personal": "A limit ({}) leaves what is beyond it to the person.",
    "rule_steer_personal": "Rule {} of a policy leaves it to the person.",
    "steer": "Rule {}.",
    "steer_default": "No rule applied: the default of {}.",
}


def words(reasons: str, names: Mapping[str, str] | None = None) -> list[str]:
    """The sentences of a charge line's reasons, in stored order. `names`: reason -> what stands for its argument."""
    return [REASONS.get(code, code).replace("{}", argument) for code, argument in _said(reasons, names or {})]


def why(reasons: str, names: Mapping[str, str] | None = None) -> str:
    """One sentence on what decided who pays."""
    said = dict(_said(reasons, names or {}))
    code = next((code for code in _DECIDING if code in said), None)
    if code is None:
        return "No rule says otherwise: the company pays."
    sentence = _DECIDED[code].replace("{}", said[code])
    return f"{sentence} Its budget was used up." if code == "steer" and "budget_used" in said else sentence


def names_of(reasons: Iterable[str]) -> dict[str, str]:
    """Rules of who pays that these reasons name, and where each stands: “Office hours” of Aurora. One query.

    A rule of an account above holds below it, too, so whoever sees the charge may know what decided it.
    """
    found: dict[str, tuple[int, int]] = {}
    for reason in {one for line in reasons for one in line.split()}:
        code, _, argument = reason.partition(":")
        if code in ("steer", "steer_default") and argument.isdigit():
            found[reason] = divmod(int(argument), STEERING_NUMBERS)
    if not found:
        return {}
    ids = {version_id for version_id, _ in found.values()}
    versions = SteeringVersion.objects.select_related("steering__account").in_bulk(ids)
    names = {}
    for reason, (version_id, number) in found.items():
        if (version := versions.get(version_id)) is None:
            continue
        account = version.steering.account.name
        if not number:
            names[reason] = account
        elif number <= len(version.rules):
            names[reason] = f"“{version.rules[number - 1]['name']}” of {account}"
    return names


def _said(reasons: str, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Codes with their arguments in words."""
    found = []
    for reason in reasons.split():
        code, _, argument = reason.partition(":")
        if reason in names:
            argument = names[reason]
        elif code.startswith(("rule_", "exception")) and argument.isdigit():
            version, number = divmod(int(argument), NUMBERS)
            argument = f"{number} (version {version})"
        elif code == "steer" and argument.isdigit():
            version, number = divmod(int(argument), STEERING_NUMBERS)
            argument = f"{number} (version {version})"
        elif code == "steer_default" and argument.isdigit():
            argument = f"version {int(argument) // STEERING_NUMBERS}"
        found.append((code, argument))
    return found
