"""The OpenAPI description: made from the views, with what every operation shares added once.

Owns: summaries and tags, the problem answers, and the strictness of bodies. Names no endpoint.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema

from portal.api.problems import MEDIA_TYPE

PROBLEM = {
    "type": "object",
    "description": "What is wrong, where, and how to mend it (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "example": "about:blank"},
        "title": {"type": "string", "example": "Refused"},
        "status": {"type": "integer", "example": 422},
        "detail": {"type": "string", "example": "The code “N-SALES” is already used in this enterprise."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer into the body, or the parameter's name.",
                    },
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "row": {"type": "integer", "description": "Of a table: the row, as its sender counts."},
                },
            },
        },
    },
}
PROBLEMS = {
    "400": ("BadRequest", "The request cannot be read, or a value is not of its kind."),
    "401": ("Unauthorized", "No token, or one that is unknown, revoked or expired."),
    "403": ("Forbidden", "Nothing that the caller holds allows this."),
    "404": ("NotFound", "There is no such thing within the caller's reach."),
    "422": ("Refused", "Understood, but refused: `errors` says why. Nothing has changed."),
    "default": ("Problem", "Any other problem, such as 405, 413, 415 or 503."),
}


class Schema(AutoSchema):
    """Summary and tag of an operation from its view; the first line of an action's docstring is its summary."""

    def get_tags(self) -> list[str]:
        return [getattr(self.view, "tag", "") or super().get_tags()[0]]

    def get_summary(self) -> str | None:
        action = getattr(self.view, "action", None)
        if summary := getattr(self.view, "summaries", {}).get(action):
            return summary
        return self._docstring().partition("\n")[0].rstrip(".") or super().get_summary()

    def get_description(self) -> str:
        return self._docstring().partition("\n")[2].strip()

    def _docstring(self) -> str:
        """The words of a method of the product; those of the framework speak of itself."""
        action = getattr(self.view, "action", None) or ""
        own = next((one for one in type(self.view).__mro__ if action in vars(one)), object)
        if action in getattr(self.view, "summaries", {}) or not own.__module__.startswith("portal."):
            return ""
        lines = (getattr(self.view, action).__doc__ or "").strip().splitlines()
        return "\n".join(line.strip() for line in lines)


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Every operation answers with problems; those that can occur are named one by one."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    components["responses"] = {
        name: {"description": text, "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        for name, text in PROBLEMS.values()
    }
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            wanted = {"400", "401", "403", "default"}
            wanted |= {"404"} if "{" in path else set()
            wanted |= {"422"} if method != "get" else set()
            for status in sorted(wanted):
                reference = {"$ref": f"#/components/responses/{PROBLEMS[status][0]}"}
                operation["responses"].setdefault(status, reference)
    return result


def close_bodies(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Bodies take the fields that they name and no others; whoever mistypes one is told."""
    for name, schema in result["components"]["schemas"].items():
        if name.endswith("Body") and "properties" in schema:
            schema["additionalProperties"] = False
    return result
