"""Anthropic: a relay, so that nothing is lost.

    credential  the caller's own key or token     failures  errors, and what they may say
    history     thinking of other providers       stream    a streamed answer     wire  what is read
    endpoint    how other servers differ           models    the list of models

The request is the caller's own bytes with only `model` (and the route's parameters, where the request is silent)
replaced; the answer's bytes pass as they are. Opened is what must be known: usage, the end, failures.

Source: https://platform.claude.com/docs/en/api/messages and /build-with-claude/streaming (read 2026-11-22);
Claude Code's gateway guide (llm-gateway-protocol) for what must reach Anthropic unchanged.
"""

from collections.abc import Mapping
from urllib.parse import quote

from msgspec import structs

from ccproxy import __version__
from ccproxy.call import Call, Target
from ccproxy.documents import Head, decode_head, replace_members
from ccproxy.errors import ApiError, UpstreamProtocolError
from ccproxy.messages import Usage
from ccproxy.provider import Answer, ModelPage, Stream, UpstreamRequest, printable
from ccproxy.providers.anthropic import models
from ccproxy.providers.anthropic.credential import credential, secret
from ccproxy.providers.anthropic.endpoint import ANTHROPIC, Endpoint
from ccproxy.providers.anthropic.failures import Failures, reply_headers
from ccproxy.providers.anthropic.stream import RelayStream
from ccproxy.providers.anthropic.wire import Count, Whole, newer_usage, read

__all__ = ["Anthropic", "Endpoint", "Relay", "RelayStream"]

FOREIGN_THINKING = "messages.content.thinking"  # the one thing of the conversation that is left out
DEFAULT_VERSION = "2023-06-01"  # where the caller names none; the API refuses a request without one


class Anthropic:
    """The Anthropic API, or an endpoint that speaks it.

    With `client_auth` every caller brings its own credential, and `api_key` is not used.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str | None,
        *,
        client_auth: bool = False,
        endpoint: Endpoint = ANTHROPIC,
    ) -> None:
        self.name = name
        self._url = base_url.rstrip("/").removesuffix("/v1") + "/v1"
        self._key = None if client_auth else api_key
        self._client_auth = client_auth
        self._endpoint = endpoint
        self._failures = Failures(name, (self._key,) if self._key else (), client_auth)

    def exchange(self, call: Call, head: Head, target: Target) -> "Relay":
        """Prepares one attempt; see `Provider.exchange`."""
        changes = self._endpoint.changes(head.fields, target.model)
        request = self._post(call, head, {**target.silent(head), **changes}, target.model, "/messages")
        secrets = (*self._failures.secrets, *request.secrets)
        failures = structs.replace(self._failures, secrets=secrets) if request.secrets else self._failures
        dropped = (FOREIGN_THINKING,) if "messages" in changes else ()
        return Relay(request, failures, self._endpoint.wants_thinking, dropped)

    def _post(
        self, call: Call, head: Head, parameters: Mapping[str, object], model: str, path: str
    ) -> UpstreamRequest:
        members = dict(parameters)
        if model != head.model:
            members["model"] = model
        body = replace_members(head.fields, members) if members else call.body
        query = "?beta=true" if "beta=true" in call.query.split("&") else ""
        headers = self._headers()
        for name, values in call.headers.items():
            if name.startswith("anthropic-"):
                headers[name] = printable(", ".join(values))
        if not self._client_auth:
            return UpstreamRequest("POST", self._url + path + query, headers, body)
        shown = credential(call, self.name)
        secrets = tuple(secret(name, value) for name, value in shown.items())
        return UpstreamRequest("POST", self._url + path + query, {**headers, **shown}, body, secrets)

    def _headers(self) -> dict[str, str]:
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": f"ccproxy/{__version__}",
            "anthropic-version": DEFAULT_VERSION,
        }
        return headers if self._key is None else {**headers, **self._endpoint.key_header(self._key)}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """Anthropic's own error, word for word, unless it is about our key (decision D13)."""
        return self._failures.answered(status, headers, body)

    def reply_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """What of an answer's headers is for the caller; see `failures.reply_headers`."""
        return reply_headers(headers)

    def count_request(self, call: Call, head: Head, target: Target) -> UpstreamRequest:
        """Anthropic counts tokens exactly, and for nothing. A route's parameters would be refused there."""
        changes = self._endpoint.changes(head.fields, target.model)
        return self._post(call, head, changes, target.model, "/messages/count_tokens")

    def count(self, body: bytes) -> int:
        """Reads the answer to `count_request`."""
        return read(body, Count).input_tokens

    def models_request(self) -> UpstreamRequest | None:
        """Asks for the first page of models; None where only a caller's credential could ask."""
        return None if self._client_auth else self._models_after("")

    def _models_after(self, cursor: str) -> UpstreamRequest:
        after = f"&after_id={quote(cursor, safe='')}" if cursor else ""
        return UpstreamRequest("GET", f"{self._url}/models?limit={models.MAX_PAGE}{after}", self._headers())

    def models(self, body: bytes) -> ModelPage:
        """Reads a page of models."""
        listed = models.page(body)
        return ModelPage(listed.models(), self._models_after(listed.cursor) if listed.cursor else None)


class Relay:
    """One attempt at an Anthropic upstream."""

    def __init__(
        self,
        request: UpstreamRequest,
        failures: Failures,
        wants_thinking: str = "",
        dropped: tuple[str, ...] = (),
    ) -> None:
        self.request = request
        self.dropped = dropped
        self._failures = failures
        self._wants_thinking = wants_thinking

    def answer(self, body: bytes) -> Answer:
        """The answer as it came, once it proves to be one."""
        whole = read(body, Whole)
        if whole.type == "error":
            raise self._failures.streamed(body)
        if whole.type != "message":
            raise UpstreamProtocolError("the answer is not a message")
        return Answer(body, newer_usage(whole.usage, Usage()))

    def stream(self) -> Stream:
        """A reader for one streamed answer."""
        return RelayStream(self._failures)

    def recover(self, error: ApiError) -> "Relay | None":
        """The request without thinking, where the server wants earlier thinking back that is lost; once."""
        if not self._wants_thinking or self._wants_thinking not in error.message:
            return None
        fields = decode_head(self.request.body or b"").fields
        body = replace_members(fields, {"thinking": {"type": "disabled"}})
        return Relay(structs.replace(self.request, body=body), self._failures, dropped=(*self.dropped, "thinking"))
