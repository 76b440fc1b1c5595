"""The reasons that charge lines store, in words. Codes are stored; an argument follows a colon."""

from __future__ import annotations

from policies.resolution import NUMBERS
from policies.steering.book import NUMBERS as STEERING_NUMBERS

#: Code -> sentence; `{}` takes the argument.
REASONS: dict[str, str] = {
    "allowance": "Drawn from allowances, nearest first.",
    "overage": "No allowance was left: charged at the contract's overage rate.",
    "partly": "The allowances covered a part; the rest is charged at the contract's overage rate.",
    "uncovered": "No allowance covers this service in this zone: charged at the contract's rate.",
    "rounded": "Rounded up to whole increments of {}.",
    "split": "One part of a session that crossed a cycle's end or a change of rates; split by time.",
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
    "steer_default": "No rule of who pays applied: the default of version {} decided.",
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


def words(reasons: str) -> list[str]:
    """The sentences of a charge line's reasons, in stored order."""
    sentences = []
    for reason in reasons.split():
        code, _, argument = reason.partition(":")
        if code.startswith(("rule_", "exception")) and argument.isdigit():
            version, number = divmod(int(argument), NUMBERS)
            argument = f"{number} (version {version})"
        elif code == "steer" and argument.isdigit():
            version, number = divmod(int(argument), STEERING_NUMBERS)
            argument = f"{number} (version {version})"
        elif code == "steer_default" and argument.isdigit():
            argument = str(int(argument) // STEERING_NUMBERS)
        sentences.append(REASONS.get(code, code).replace("{}", argument))
    return sentences
