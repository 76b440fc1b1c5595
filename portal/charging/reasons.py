"""The reasons that charge lines store, in words. Codes are stored; an argument follows a colon."""

from __future__ import annotations

#: Code -> sentence; `{}` takes the argument.
REASONS: dict[str, str] = {
    "allowance": "Drawn from allowances, nearest first.",
    "overage": "No allowance was left: charged at the contract's overage rate.",
    "partly": "The allowances covered a part; the rest is charged at the contract's overage rate.",
    "uncovered": "No allowance covers this service in this zone: charged at the contract's rate.",
    "rounded": "Rounded up to whole increments of {}.",
    "split": "One part of a session that crossed a cycle's end or a change of rates; split by time.",
    "stopped": "Account {} does not let its usage draw on allowances above it.",
    "late": "Reported after its cycle had ended; charged to that cycle.",
    "recovered": "Units that had expired or been carried over were taken back for this late record.",
    "nothing": "Nothing was used: recorded without a charge.",
}


def words(reasons: str) -> list[str]:
    """The sentences of a charge line's reasons, in stored order."""
    sentences = []
    for reason in reasons.split():
        code, _, argument = reason.partition(":")
        sentences.append(REASONS.get(code, code).replace("{}", argument))
    return sentences
