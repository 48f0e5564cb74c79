"""What would become of a request, without sending it: the rule, the reason, and what the provider would get.

The router and the translators are the real ones. Nothing here holds a credential: of the request to the provider
there is its URL, which is made of the configuration alone, and its body, which is the caller's own words.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from ccproxy.call import Call, Headers, Target
from ccproxy.config import Config, RouteConfig, demo_providers
from ccproxy.documents import Head
from ccproxy.errors import ApiError
from ccproxy.providers import BY_TYPE
from ccproxy.routing import DEFAULT_ROUTE, Router, input_tokens

MAX_SHOWN_CHARS = 200  # of one text in a request; a tool's result may be a whole file

DEMO_URL = "http://127.0.0.1:0"  # the demo upstream takes a free port at each start
STAND_IN = {"x-api-key": ("stand-in",)}  # for `auth: client`: what the caller will bring is not here

NOTHING = Raw(b"null")


class Explanation(Struct, frozen=True, kw_only=True):
    """What would become of a request. Members are empty where a problem comes before them.

    Attributes:
        asked: The model that the request names.
        rule: The rule that takes it.
        reason: Why, as a sentence.
        provider: Where it goes.
        model: The model there.
        parameters: Members that the rule's route adds, because the request is silent about them.
        fallbacks: Where it would go after that, as `provider,model`.
        dropped: What the provider has no place for, by its path in the request.
        url: Where the request to the provider is sent.
        request: The body of the request to the provider.
        input_tokens: An estimate.
        problems: Why it would fail.
    """

    asked: str = ""
    rule: str = ""
    reason: str = ""
    provider: str = ""
    model: str = ""
    parameters: Mapping[str, Any] = {}
    fallbacks: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    url: str = ""
    request: Raw = NOTHING
    input_tokens: int = 0
    problems: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The explanation for a terminal; long texts are cut."""
        return [_one_line(line) for line in self._lines()]

    def _lines(self) -> Iterator[str]:
        parameters = msgspec.json.encode(self.parameters).decode() if self.parameters else ""
        for name, value in (
            ("model", self.asked),
            ("rule", self.rule),
            ("reason", self.reason),
            ("provider", self.provider),
            ("its model", self.model),
            ("added", parameters),
            ("dropped", ", ".join(self.dropped)),
            ("fallbacks", " then ".join(self.fallbacks)),
            ("input", f"about {self.input_tokens:,} tokens" if self.asked else ""),
            ("sent to", self.url),
        ):
            if value:
                yield f"{name:<10} {value}"
        yield from (f"{'problem':<10} {problem}" for problem in self.problems)
        if bytes(self.request) != bytes(NOTHING):
            shown = msgspec.json.encode(_shortened(msgspec.json.decode(self.request)))
            yield from msgspec.json.format(shown, indent=2).decode().splitlines()


def explain(config: Config, body: bytes, headers: Headers | None = None) -> Explanation:
    """What would become of a request with `body`, and `headers` where they matter (`anthropic-version`)."""
    if config.demo:
        config = _with_demo(config)
    call = Call(edge="http", request_id="", body=body, headers=headers or {})
    try:
        head = call.head()
    except ApiError as error:
        return Explanation(problems=(error.message,))
    known = Explanation(asked=head.model, input_tokens=input_tokens(head))
    try:
        targets = Router(config).route(head)
    except ApiError as error:
        return structs.replace(known, problems=(error.message,))
    return _prepared(known, config, call, head, targets)


def _prepared(known: Explanation, config: Config, call: Call, head: Head, targets: list[Target]) -> Explanation:
    target, *fallbacks = targets
    provider = next(each for each in config.active if each.name == target.provider)
    known = structs.replace(
        known,
        rule=target.route,
        reason=target.reason,
        provider=target.provider,
        model=target.model,
        parameters=target.silent(head),
        fallbacks=tuple(f"{each.provider},{each.model}" for each in fallbacks),
    )
    if provider.auth == "client":
        call = structs.replace(call, headers={**call.headers, **STAND_IN})
    try:
        exchange = BY_TYPE[provider.kind](provider).exchange(call, head, target)
    except ApiError as error:
        return structs.replace(known, problems=(error.message,))
    request = exchange.request
    return structs.replace(known, dropped=exchange.dropped, url=request.url, request=Raw(request.body or NOTHING))


def _with_demo(config: Config) -> Config:
    """The configuration as it is while the demo upstream answers."""
    routes = {DEFAULT_ROUTE: RouteConfig("anthropic")}
    return structs.replace(config, providers=demo_providers(DEMO_URL), routes=routes)


def _shortened(value: Any) -> Any:
    match value:
        case dict():
            return {name: _shortened(member) for name, member in value.items()}
        case list():
            return [_shortened(member) for member in value]
        case str() if len(value) > MAX_SHOWN_CHARS:
            return f"{value[:MAX_SHOWN_CHARS]}… ({len(value):,} characters)"
        case _:
            return value


def _one_line(text: str) -> str:
    """Text that moves no cursor, whatever a request holds."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
