"""Tables of limits and policies; one module a noun. What PostgreSQL can hold of the invariants is a constraint here."""

from .limits import (
    Consent,
    ConsentKind,
    Exemption,
    Limit,
    LimitCrossing,
    LimitUse,
    Measure,
    Restriction,
    RestrictionAction,
    RestrictionState,
    Window,
)
from .policies import Policy, PolicyState, PolicyVersion
from .templates import PolicyTemplate

__all__ = [
    "Consent",
    "ConsentKind",
    "Exemption",
    "Limit",
    "LimitCrossing",
    "LimitUse",
    "Measure",
    "Policy",
    "PolicyState",
    "PolicyTemplate",
    "PolicyVersion",
    "Restriction",
    "RestrictionAction",
    "RestrictionState",
    "Window",
]
