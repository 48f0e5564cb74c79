"""JSON Schema as Gemini accepts it.

Source: `response_json_schema` in the types of the `google-genai` SDK 3.4: a part of JSON Schema is supported, an
unknown keyword can be a 400 for the whole request, and beside a `$ref` nothing else may stand. What narrows a
schema and cannot be said is named in `dropped`; what only describes it (`$schema`, `default`, `examples`) is not.
"""

from typing import Any

import msgspec
from msgspec import Raw

from ccproxy.documents import check_budget, decode

_AS_THEY_ARE = frozenset(
    {"type", "format", "title", "description", "minItems", "maxItems", "minimum", "maximum", "propertyOrdering"}
)
_NARROWING = frozenset(
    {
        *("pattern", "minLength", "maxLength", "multipleOf", "uniqueItems", "not", "if", "then", "else"),
        *("patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "contains"),
        *("minProperties", "maxProperties", "unevaluatedProperties", "exclusiveMinimum", "exclusiveMaximum"),
    }
)
_TYPES = {"required": list, "enum": list, "additionalProperties": bool}
_SIMPLE = _AS_THEY_ARE | {"enum"}
_EXCLUSIVE = {"exclusiveMinimum": ("minimum", 1), "exclusiveMaximum": ("maximum", -1)}
"""Of an integer these say the same as the inclusive ones of its neighbour."""

_TEXTS = frozenset({str})

_DEFINITIONS = ("$defs", "definitions")
_REF = "#/$defs/"

MAX_EXPANSIONS = 1_000  # of references inside `allOf`: each copies a definition


def accepted(schema: Raw, path: str, dropped: set[str]) -> dict[str, Any]:
    """The schema in Gemini's words.

    Args:
        schema: Any JSON Schema.
        path: Where it stands in the request.
        dropped: Gets the path of each keyword that is left out.

    Raises:
        ApiError: INVALID_REQUEST, where it is out of budget or no JSON: it was not opened so far.
    """
    text = bytes(schema)
    check_budget(text)
    root = decode(text, object)
    if not isinstance(root, dict):
        return {}
    if "$ref" in root:  # members follow beside it, so it cannot stand here
        root["allOf"] = [{"$ref": root.pop("$ref")}]
    return _Converter(root, path, dropped).node(root)


class _Converter:
    """Converts one document."""

    def __init__(self, root: dict[str, Any], path: str, dropped: set[str]) -> None:
        self._path = path
        self._dropped = dropped
        self._expansions = 0
        self._definitions: dict[str, Any] = {}
        for keyword in _DEFINITIONS:
            if isinstance(found := root.get(keyword), dict):
                self._definitions |= found

    def node(self, schema: Any, within: tuple[str, ...] = ()) -> dict[str, Any]:
        """One schema; a boolean one accepts everything, as far as can be said."""
        if not isinstance(schema, dict):
            return {}
        if _SIMPLE.issuperset(schema) and isinstance(schema.get("enum", []), list):  # as most properties are
            return _tidied(schema, schema.get("type"))
        if "$ref" in schema:
            name = _named(schema["$ref"])
            return {"$ref": _REF + name} if name in self._definitions else {}
        said: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword in _AS_THEY_ARE or isinstance(value, _TYPES.get(keyword, ())):
                said[keyword] = value
            else:
                said |= self._member(keyword, value, within)
        if "allOf" in schema and isinstance(schema["allOf"], list):
            said = self._merged(said, schema["allOf"], within)
        if "nullable" in schema and schema["nullable"] is True and isinstance(kind := said.get("type"), str):
            said["type"] = [kind, "null"]
            return _tidied(said, kind)
        return _tidied(said, said.get("type"))

    def _member(self, keyword: str, value: Any, within: tuple[str, ...]) -> dict[str, Any]:
        """What one keyword becomes."""
        match keyword:
            case "$defs" | "definitions" | "properties" if isinstance(value, dict):
                name = "properties" if keyword == "properties" else "$defs"
                return {name: {key: self.node(each, within) for key, each in value.items() if each is not False}}
            case "anyOf" | "oneOf" if isinstance(value, list):
                return {"anyOf": [self.node(each, within) for each in value]}
            case "prefixItems" | "items" if isinstance(value, list):
                return {"prefixItems": [self.node(each, within) for each in value]}
            case "items":
                return {"items": self.node(value, within)}
            case "additionalProperties" if isinstance(value, dict):
                return {keyword: self.node(value, within)}
            case _:
                return self._value(keyword, value)

    def _value(self, keyword: str, value: Any) -> dict[str, Any]:
        """What a keyword becomes that holds no schema."""
        if keyword == "const":
            return {"enum": [value]}
        if keyword in _EXCLUSIVE and type(value) is int:
            name, inclusive = _EXCLUSIVE[keyword]
            return {name: value + inclusive}
        if keyword in _NARROWING:
            self._dropped.add(f"{self._path}.{keyword}")
        return {}

    def _merged(self, said: dict[str, Any], parts: list[Any], within: tuple[str, ...]) -> dict[str, Any]:
        """`allOf`, for which there is no word: what every part says, in one schema."""
        for part in parts:
            name = _named(part.get("$ref")) if isinstance(part, dict) else ""
            if not name:
                other = self.node(part, within)
            elif name in within or name not in self._definitions or self._expansions >= MAX_EXPANSIONS:
                self._dropped.add(f"{self._path}.allOf")
                continue
            else:
                self._expansions += 1
                other = self.node(self._definitions[name], (*within, name))
            both: dict[str, Any] = {"properties": {**other.get("properties", {}), **said.get("properties", {})}}
            both["required"] = [*said.get("required", []), *other.get("required", [])]
            said = {**other, **said, **{keyword: value for keyword, value in both.items() if value}}
        return said


def _named(reference: Any) -> str:
    """The definition that a reference names; empty where it names none."""
    if isinstance(reference, str):
        for keyword in _DEFINITIONS:
            if reference.startswith(f"#/{keyword}/"):
                return reference.removeprefix(f"#/{keyword}/")
    return ""


def _tidied(said: dict[str, Any], kinds: Any) -> dict[str, Any]:
    """One schema of such a type (or types) without what Gemini would refuse of the rest."""
    if kinds == "string" and "enum" in said and not _TEXTS.issuperset(map(type, said["enum"])):
        said["enum"] = [_text(value) for value in said["enum"]]
    if kinds == "array" and "items" not in said and "prefixItems" not in said:
        said["items"] = {}
    if "required" in said:
        known, names = said.get("properties", {}), said["required"]
        if not _TEXTS.issuperset(map(type, names)) or len(known.keys() & names) < len(names):
            said["required"] = names = [name for name in dict.fromkeys(map(_text, names)) if name in known]
        if not names:
            del said["required"]
    return said


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
