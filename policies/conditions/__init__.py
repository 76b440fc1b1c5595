"""Conditions on usage events, as data: read, checked, said in words, written as text, compiled. Pure: no Django.

`catalogue` says which fields there are, `tree` what a condition is and what is wrong with one, `text` the form for
those who would rather type, `words` the sentence for everybody, `compiled` the function that charging
calls. Written for policies and for the question of who pays alike.
"""

from .catalogue import FIELDS, Field, Kind, field_named
from .compiled import ALWAYS_TRUE, Surroundings, changes_between, compile_condition, is_of_time, settle
from .text import read_text, write_text
from .tree import ALWAYS, AllOf, AnyOf, ConditionFault, Node, Not, Test, from_json, tests_of, to_json
from .words import describe

__all__ = [
    "ALWAYS",
    "ALWAYS_TRUE",
    "FIELDS",
    "AllOf",
    "AnyOf",
    "ConditionFault",
    "Field",
    "Kind",
    "Node",
    "Not",
    "Surroundings",
    "Test",
    "changes_between",
    "compile_condition",
    "describe",
    "field_named",
    "from_json",
    "is_of_time",
    "read_text",
    "settle",
    "tests_of",
    "to_json",
    "write_text",
]
