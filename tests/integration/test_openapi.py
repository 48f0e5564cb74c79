"""The OpenAPI document against the router and live answers."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from integration import documented

from ccproxy import __version__, sse
from ccproxy.access import NEEDS, Need
from ccproxy.app import Service, running
from ccproxy.config import Config, Secret
from ccproxy.gateway import Gateway

FILE = Path(__file__).resolve().parents[2] / "ccproxy" / "openapi.json"
DOCUMENT: dict[str, Any] = msgspec.json.decode(FILE.read_bytes())
KEY = "the-operators-key"
STRANGER = {"x-forwarded-for": "203.0.113.9", "x-api-key": ""}

KNOWN_KEYWORDS = frozenset(
    {
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "examples",
        "format",
        "items",
        "maximum",
        "minLength",
        "minimum",
        "pattern",
        "properties",
        "required",
        "type",
    }
)
"""What the checker below understands or may pass over."""

TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}


def resolved(node: Any) -> Any:
    """A node, or what its `$ref` points to."""
    while isinstance(node, dict) and "$ref" in node:
        target: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def faults(value: Any, schema: Any, at: str = "$") -> list[str]:
    """Where `value` does not fit `schema`: the part of JSON Schema that the document uses."""
    schema = resolved(schema)
    if "anyOf" in schema:
        tried = [faults(value, choice, at) for choice in schema["anyOf"]]
        return [] if [] in tried else [f"{at}: none of anyOf: {tried}"]
    found = [f"{at}: {rule}" for rule, fits in rules(value, schema) if not fits]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, member in value.items():
            if name in properties:
                found += faults(member, properties[name], f"{at}.{name}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{at}.{name}: not described")
    if isinstance(value, list):
        for index, member in enumerate(value):
            found += faults(member, schema.get("items", {}), f"{at}[{index}]")
    return found


def rules(value: Any, schema: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each rule about the value itself, and whether it keeps it."""
    named = schema.get("type", [])
    types = [named] if isinstance(named, str) else named
    is_bool = isinstance(value, bool)
    if types:
        fits = any(isinstance(value, TYPES[name]) and (not is_bool or name == "boolean") for name in types)
        yield f"type {named}", fits
    if "const" in schema:
        yield "const", value == schema["const"] and type(value) is type(schema["const"])
    if "enum" in schema:
        yield "enum", value in schema["enum"]
    if isinstance(value, dict):
        yield "required", set(schema.get("required", ())) <= set(value)
    if isinstance(value, str):
        yield "pattern", re.search(schema.get("pattern", ""), value) is not None
        yield "minLength", len(value) >= schema.get("minLength", 0)
    if isinstance(value, int | float) and not is_bool:
        yield "minimum", value >= schema.get("minimum", value)
        yield "maximum", value <= schema.get("maximum", value)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation, in order."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(node, dict):
        yield node
        for member in node.values():
            yield from nodes(member)
    if isinstance(node, list):
        for member in node:
            yield from nodes(member)


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema under a node that is one."""
    yield node
    for member in node.get("properties", {}).values():
        yield from schemas(member)
    for member in (*node.get("anyOf", ()), *([node["items"]] if "items" in node else ())):
        yield from schemas(member)


def all_schemas() -> Iterator[dict[str, Any]]:
    """Every schema of the document."""
    for node in (
        *DOCUMENT["components"]["schemas"].values(),
        *(n["schema"] for n in nodes(DOCUMENT) if "schema" in n),
    ):
        yield from schemas(node)


def schema_of(path: str, status: int, method: str = "get") -> Any:
    """The schema of a JSON answer; of any other failure where the status is not listed."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    response = resolved(responses.get(str(status), responses["default"]))
    return response["content"]["application/json"]["schema"]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """The demo, with a key."""
    async with running(Config(port=0, grpc_port=0, demo=True, apikey=Secret(KEY)), {}) as service:
        yield service


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A caller with the key."""
    url = f"http://127.0.0.1:{service.http_port}"
    async with httpx.AsyncClient(base_url=url, headers={"x-api-key": KEY}, timeout=10) as client:
        yield client


def ask(text: str, **more: Any) -> dict[str, Any]:
    """A request with one user turn."""
    return {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": text}], **more}


# Against the router.


async def test_every_route_is_described_and_nothing_else(service: Service):
    """HEAD is not: `info.description` says that every GET route answers it. Aliases are, each with its reason."""
    gateway = Gateway(service.proxy, service.status, service._access, service.metrics)
    served = {(path.replace("{model_id:.+}", "{model_id}"), method) for method, path, _, _ in gateway.routes()}

    assert {(path, method) for path, method, _ in operations()} == served


async def test_what_needs_no_key_says_so(service: Service):
    """`security: []` for what is open, and the two headers for what is not, or not wholly."""
    gateway = Gateway(service.proxy, service.status, service._access, service.metrics)
    opened = {
        path.replace("{model_id:.+}", "{model_id}")
        for _, path, method, _ in gateway.routes()
        if NEEDS[method] is Need.NOTHING and not method.endswith("GetHealth")
    }

    assert {path for path, _, operation in operations() if operation["security"] == []} == opened


async def test_it_is_served_with_the_version(http: httpx.AsyncClient):
    """The file in the source knows none."""
    response = await http.get("/openapi.json", headers=STRANGER)

    assert response.headers["content-type"] == "application/json"
    assert response.json() == {**DOCUMENT, "info": {**DOCUMENT["info"], "version": __version__}}


# By itself.


def test_it_is_openapi_31():
    """Generators look there first."""
    assert (DOCUMENT["openapi"], DOCUMENT["info"]["version"]) == ("3.1.0", "{version}")


def test_every_reference_leads_somewhere():
    """A dangling one breaks every tool."""
    references = [node for node in nodes(DOCUMENT) if "$ref" in node]

    assert all(isinstance(resolved(node), dict) for node in references)


def test_every_component_is_used():
    """Delete before adding."""
    used = {node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node}
    kinds = ("parameters", "headers", "responses", "schemas")
    there = {f"#/components/{kind}/{name}" for kind in kinds for name in DOCUMENT["components"][kind]}

    assert there - used == {"#/components/schemas/MessageStreamEvent"}  # named in the text of the stream


def test_operation_ids_are_unique():
    """Generators make function names of them."""
    names = [operation["operationId"] for _, _, operation in operations()]

    assert len(names) == len(set(names))


def test_every_operation_says_what_it_does():
    """A summary, a known tag, a success and what any failure looks like."""
    tags = {tag["name"] for tag in DOCUMENT["tags"]}

    assert [
        operation["operationId"]
        for _, _, operation in operations()
        if not operation["summary"]
        or not set(operation["tags"]) <= tags
        or not {"200", "default"} <= set(operation["responses"])
    ] == []


def test_every_response_is_described():
    """The description is what the standard requires of one."""
    responses = [resolved(r) for _, _, operation in operations() for r in operation["responses"].values()]

    assert all(response["description"] and response["content"] for response in responses)


def test_every_placeholder_is_a_parameter():
    """And every parameter of a path is required."""
    for path, _, operation in operations():
        parameters = [resolved(parameter) for parameter in operation.get("parameters", ())]
        in_path = {p["name"] for p in parameters if p["in"] == "path" and p["required"]}

        assert in_path == set(re.findall(r"\{(\w+)\}", path))


def test_security_schemes_are_known():
    """The headers that `access` reads."""
    asked = {name for _, _, operation in operations() for scheme in operation["security"] for name in scheme}

    assert asked == set(DOCUMENT["components"]["securitySchemes"]) == {"apiKey", "bearer", "ownKey"}


def test_the_checker_knows_every_keyword():
    """A rule it passes over would never be checked."""
    used = {keyword for schema in all_schemas() for keyword in schema}

    assert used <= KNOWN_KEYWORDS


def test_required_members_are_described():
    """A name that is mistyped in `required` could never be there."""
    assert [s for s in all_schemas() if not set(s.get("required", ())) <= set(s.get("properties", {}))] == []


def test_every_example_fits_its_schema():
    """People copy examples."""
    for node in nodes(DOCUMENT):
        if "schema" in node:
            examples = [node["example"]] if "example" in node else []
            examples += [example["value"] for example in node.get("examples", {}).values()]
            for example in examples:
                assert faults(example, node["schema"]) == []


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("Info", {"message": "LLMs API"}),
        ("Info", {"message": "LLMs API", "version": "1", "more": 1}),
        ("Info", {"message": "other", "version": "1"}),
        ("Info", {"message": "LLMs API", "version": 1}),
        ("BasicHealth", {"status": "fine"}),
        ("Latency", {"avg_ms": 1.5, "p50_ms": 1, "p95_ms": 1, "p99_ms": 1}),
        ("Latency", {"avg_ms": True, "p50_ms": 1, "p95_ms": 1, "p99_ms": 1}),
        ("Latency", {"avg_ms": -1, "p50_ms": 1, "p95_ms": 1, "p99_ms": 1}),
        ("HealthConfig", {"host": "", "port": 65536, "providers": 0, "api_key_configured": True}),
        ("Providers", {"count": 1, "active": [1]}),
        ("CountTokensRequest", {"model": "", "messages": []}),
        ("Content", 1),
    ],
)
def test_the_checker_refuses(schema: str, value: Any):
    """Its own test: a checker that lets everything pass proves nothing."""
    assert faults(value, DOCUMENT["components"]["schemas"][schema]) != []


# Against live answers.


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/health", "/healthz", "/readyz", "/status", "/api/hello", "/v1/models"]
)
async def test_answers_are_as_described(http: httpx.AsyncClient, path: str):
    """Every member is described, and every required one is there."""
    response = await http.get(path)

    assert response.status_code == 200
    assert faults(response.json(), schema_of(path, 200)) == []


async def test_basic_health_is_as_described(http: httpx.AsyncClient):
    """The other of the two answers."""
    response = await http.get("/health", headers=STRANGER)

    assert faults(response.json(), DOCUMENT["components"]["schemas"]["BasicHealth"]) == []


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ("Info", documented.INFO),
        ("BasicHealth", documented.BASIC_HEALTH),
        ("Health", documented.HEALTH),
        ("Status", documented.STATUS),
    ],
)
def test_the_health_documents_are_the_documented_ones(schema: str, shape: documented.Shape):
    """The same members in the same order as in the health endpoints' documentation; ours come after them."""
    described = DOCUMENT["components"]["schemas"][schema]
    optional = {"Health": ["upstreams"], "Status": ["demo", "configuration"]}.get(schema, [])

    assert list(described["properties"]) == [name for name, _ in shape] + optional
    assert described["required"] == [name for name, _ in shape]


@pytest.mark.parametrize("model", ["claude-demo-1", "openai,gpt-demo-1"])
async def test_a_message_is_as_described(http: httpx.AsyncClient, model: str):
    """Relayed and translated."""
    response = await http.post("/v1/messages", json={**ask("hello"), "model": model})

    assert faults(response.json(), schema_of("/v1/messages", 200, "post")) == []


@pytest.mark.parametrize("model", ["claude-demo-1", "openai,gpt-demo-1"])
async def test_a_streams_events_are_as_described(http: httpx.AsyncClient, model: str):
    """Each datum."""
    response = await http.post("/v1/messages", json={**ask("hello", stream=True), "model": model})
    events = [msgspec.json.decode(event.data) for event in sse.events(response.content)]

    assert len(events) > 5
    assert [faults(event, DOCUMENT["components"]["schemas"]["MessageStreamEvent"]) for event in events] == [
        []
    ] * len(events)


async def test_a_count_is_as_described(http: httpx.AsyncClient):
    """One number."""
    response = await http.post("/v1/messages/count_tokens", json=ask("hello"))

    assert faults(response.json(), schema_of("/v1/messages/count_tokens", 200, "post")) == []


async def test_a_model_is_as_described(http: httpx.AsyncClient):
    """The whole rest of the path is its name."""
    response = await http.get("/v1/models/claude-demo-1")

    assert faults(response.json(), schema_of("/v1/models/{model_id}", 200)) == []


async def test_metrics_have_a_described_type(http: httpx.AsyncClient):
    """Prometheus asks for one of two."""
    described = DOCUMENT["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    plain = await http.get("/metrics")
    asked = await http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})

    assert [r.headers["content-type"].partition(";")[0] for r in (plain, asked)] == list(described)


@pytest.mark.parametrize(
    ("path", "template", "headers", "status"),
    [
        ("/status", "/status", STRANGER, 401),
        ("/metrics", "/status", STRANGER, 401),
        ("/v1/models/nobody", "/v1/models/{model_id}", {}, 404),
        ("/v1/models?limit=0", "/v1/models", {}, 400),
        ("/v1/models?limit=x", "/v1/models", {}, 400),
        ("/nothing", "/v1/models/{model_id}", {}, 404),
    ],
)
async def test_failures_are_as_described(
    http: httpx.AsyncClient, path: str, template: str, headers: dict[str, str], status: int
):
    """Status and envelope."""
    response = await http.get(path, headers=headers)

    assert (response.status_code, faults(response.json(), schema_of(template, status))) == (status, [])


@pytest.mark.parametrize(
    ("text", "status"), [("[[error 400]]", 400), ("[[error 429]]", 429), ("[[error 529]]", 529), ("[[cut]]", 502)]
)
async def test_failures_of_a_message_are_as_described(http: httpx.AsyncClient, text: str, status: int):
    """Each with a response of its own."""
    response = await http.post("/v1/messages", json=ask(text))
    described = DOCUMENT["paths"]["/v1/messages"]["post"]["responses"]

    assert (response.status_code, str(status) in described) == (status, True)
    assert faults(response.json(), DOCUMENT["components"]["schemas"]["Error"]) == []


async def test_headers_are_described(http: httpx.AsyncClient):
    """Ours, on an answer and on a failure."""
    described = set(DOCUMENT["components"]["headers"])
    answer = await http.post("/v1/messages", json=ask("hello"))
    failure = await http.post("/v1/messages", json=ask('[[error 429 {"retry-after": "7"}]]'))
    ours = {
        name
        for response in (answer, failure)
        for name in response.headers
        if name.startswith("x-") or name in {"request-id", "retry-after"}
    }

    assert ours <= described
    assert {"request-id", "retry-after", "x-should-retry", "x-ccproxy-provider"} <= ours
