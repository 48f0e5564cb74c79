"""An example value for a JSON Schema: what a forced tool call or a structured answer of the demo holds."""

import msgspec
from msgspec import Raw

from ccproxy.demo.prompt import InvalidRequestError

MAX_DEPTH = 16  # a schema may refer to itself,
MAX_VALUES = 1000  # and more than once
MAX_ITEMS = 8


def example(schema: Raw) -> str:
    """JSON text of a simple value with the required properties of `schema`.

    Strings are "demo" wherever the schema leaves them free. What is beyond a few keywords is not looked at.

    Raises:
        InvalidRequestError: the schema is nested too deep to be read.
    """
    try:
        root: object = msgspec.json.decode(schema)
        return msgspec.json.encode(_Example(root).value(root, 0)).decode()
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidRequestError(f"the JSON schema cannot be read: {error}") from error


def example_arguments(schema: Raw) -> str:
    """The same for the arguments of a tool, which are always an object."""
    text = example(schema)
    return text if text.startswith("{") else "{}"


class _Example:
    """Makes values for the schemas inside `root`, and only so many."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._left = MAX_VALUES

    def value(self, schema: object, depth: int) -> object:
        self._left -= 1
        if not isinstance(schema, dict) or depth > MAX_DEPTH or self._left < 0:
            return None
        match schema:
            case {"const": value} | {"default": value} | {"enum": [value, *_]}:
                return value
            case {"$ref": str(reference)}:
                return self.value(_referred(reference, self._root), depth + 1)
            case {"anyOf": [first, *_]} | {"oneOf": [first, *_]} | {"allOf": [first, *_]}:
                return self.value(first, depth + 1)
            case {"type": [kind, *_]} | {"type": kind}:
                return self._of_type(kind, schema, depth)
            case _:
                return self._object(schema, depth) if "properties" in schema else "demo"

    def _of_type(self, kind: object, schema: dict[str, object], depth: int) -> object:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                least = schema.get("minItems")
                items = min(least, MAX_ITEMS) if isinstance(least, int) else 0
                return [self.value(schema.get("items"), depth + 1) for _ in range(items)]
            case "integer" | "number":
                minimum = schema.get("minimum")
                return minimum if isinstance(minimum, int | float) and minimum > 1 else 1
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return "demo"

    def _object(self, schema: dict[str, object], depth: int) -> dict[str, object]:
        properties, required = schema.get("properties"), schema.get("required")
        if not isinstance(properties, dict) or not isinstance(required, list):
            return {}
        return {name: self.value(properties.get(name), depth + 1) for name in required if isinstance(name, str)}


def _referred(reference: str, root: object) -> object:
    """What a reference inside the document (`#/$defs/Point`) points to."""
    found = root if reference.startswith("#") else None
    for name in reference.split("/")[1:]:
        found = found.get(name) if isinstance(found, dict) else None
    return found
