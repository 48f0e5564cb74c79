"""Google Gemini's `generateContent`.

    request   parameters            history  the conversation     tools   tools and their names
    schema    JSON Schema           models   what models accept   state   thought signatures
    reader    an answer             answer   a whole answer       stream  a streamed one
    partial   arguments in pieces   failures errors               wire    the types on the wire

Sources: https://ai.google.dev/api/generate-content (read 2026-11-22), types of the `google-genai` SDK 3.4.
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

import msgspec

from ccproxy.call import Call, Target
from ccproxy.documents import Head, replace_members
from ccproxy.errors import ApiError
from ccproxy.provider import Answer, Model, ModelPage, UpstreamRequest, refuse_thread
from ccproxy.providers.answers import Collector, decode
from ccproxy.providers.caller_request import is_old_client, read
from ccproxy.providers.caller_tools import renamed
from ccproxy.providers.gemini.answer import Expected, expected
from ccproxy.providers.gemini.failures import Failures, is_about_state
from ccproxy.providers.gemini.reader import Reader, documents
from ccproxy.providers.gemini.request import translate
from ccproxy.providers.gemini.stream import GeminiStream
from ccproxy.providers.gemini.tools import upstream_name
from ccproxy.providers.gemini.wire import CountedTokens, ListedModel, ModelList
from ccproxy.providers.headers import to_send
from ccproxy.providers.prewarmed import Prewarmed, prewarmed

__all__ = ["Gemini", "GeminiExchange", "GeminiStream"]

_VERSION = re.compile(r"/v\d+[a-z0-9]*(?:/|$)")


class Gemini:
    """The Gemini API. A base URL without a version gets `/v1beta`."""

    def __init__(self, name: str, base_url: str, api_key: str | None) -> None:
        self.name = name
        has_version = _VERSION.search(urlsplit(base_url).path)
        self._url = base_url.rstrip("/") + ("" if has_version else "/v1beta")
        self._key = api_key
        self._failures = Failures(name, api_key)

    def __repr__(self) -> str:
        return f"Gemini({self.name!r}, {self._url!r})"

    def exchange(self, call: Call, head: Head, target: Target) -> "GeminiExchange | Prewarmed":
        """Prepares one attempt; see `Provider.exchange`."""
        refuse_thread(head)
        return prewarmed(self._exchange(call, head, target, stateless=False), call, head, target)

    def _exchange(self, call: Call, head: Head, target: Target, *, stateless: bool) -> "GeminiExchange":
        request = read(call, head, target)
        model = _bare(target.model)
        body, dropped = translate(request, head, model, old_client=is_old_client(call), stateless=stateless)
        method = "streamGenerateContent?alt=sse" if head.stream else "generateContent"
        sent = UpstreamRequest(
            "POST",
            self._model_url(target.model, method),
            self._headers(stream=head.stream),
            msgspec.json.encode(body),
        )
        want = expected(request, head, model, renamed(request, upstream_name), self._failures)
        again = None if stateless else lambda: self._exchange(call, head, target, stateless=True)
        return GeminiExchange(sent, tuple(sorted(dropped)), want, again)

    def _model_url(self, model: str, method: str) -> str:
        name = model if model.startswith("tunedModels/") else f"models/{_bare(model)}"
        return f"{self._url}/{quote(name)}:{method}"

    def _headers(self, *, stream: bool = False) -> dict[str, str]:
        key = {} if self._key is None else {"x-goog-api-key": self._key}  # never in the URL: those end up in logs
        return {**to_send(stream=stream), **key}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """What a status that is not 200 means; see `Provider.error`."""
        return self._failures.answered(status, headers, body)

    def reply_headers(self, headers: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002  # as the Protocol says
        """None: Gemini names neither limits nor an id."""
        return {}

    def count_request(self, call: Call, head: Head, target: Target) -> UpstreamRequest:
        """Asks Gemini to count, with the system prompt and the tools: bare `contents` would leave them out."""
        model = _bare(target.model)
        fields = {"max_tokens": msgspec.Raw(b"1"), **head.fields}
        counted = msgspec.structs.replace(call, body=replace_members(fields, {}))
        request = read(counted, Head(head.model, head.stream, fields), target)
        body, _ = translate(request, head, model, old_client=is_old_client(call))
        document = {"generateContentRequest": msgspec.structs.replace(body, model=f"models/{model}")}
        return UpstreamRequest(
            "POST",
            self._model_url(target.model, "countTokens"),
            self._headers(),
            msgspec.json.encode(document),
        )

    def count(self, body: bytes) -> int:
        """Reads the answer to `count_request`."""
        return decode(body, CountedTokens, "the count of tokens").total_tokens

    def models_request(self) -> UpstreamRequest:
        """Asks for the first page of models; a page holds a thousand at most."""
        return self._models_from("")

    def _models_from(self, token: str) -> UpstreamRequest:
        page = f"&pageToken={quote(token, safe='')}" if token else ""
        return UpstreamRequest("GET", f"{self._url}/models?pageSize=1000{page}", self._headers())

    def models(self, body: bytes) -> ModelPage:
        """Reads a page of models: those that generate content."""
        listed = decode(body, ModelList, "the list of models")
        able = [each for each in listed.models if "generateContent" in (each.supported_generation_methods or ())]
        token = listed.next_page_token
        return ModelPage([_model(each) for each in able], self._models_from(token) if token else None)


class GeminiExchange:
    """One attempt at Gemini."""

    def __init__(
        self,
        request: UpstreamRequest,
        dropped: tuple[str, ...],
        want: Expected,
        again: "Callable[[], GeminiExchange] | None",
    ) -> None:
        self.request = request
        self.dropped = dropped
        self._want = want
        self._again = again

    def answer(self, body: bytes) -> Answer:
        """Reads a whole answer; see `Exchange.answer`."""
        collector = Collector(self._want.names)
        reader = Reader(self._want, collector)
        for document in documents(body):
            reader.chunk(document)
        reader.end()
        return Answer(collector.body, reader.usage)

    def stream(self) -> GeminiStream:
        """A reader for one streamed answer."""
        return GeminiStream(self._want)

    def recover(self, error: ApiError) -> "GeminiExchange | None":
        """A try without the state of earlier turns, where Gemini refuses that: it may be another key's."""
        return self._again() if self._again is not None and is_about_state(error) else None


def _bare(model: str) -> str:
    return model.removeprefix("models/")


def _model(listed: ListedModel) -> Model:
    id, thinks = _bare(listed.name), listed.thinking  # noqa: A001  # Anthropic's word
    return Model(
        id=id,
        display_name=listed.display_name or id,
        max_input_tokens=listed.input_token_limit,
        max_tokens=listed.output_token_limit,
        facts={} if thinks is None else {"capabilities": {"thinking": {"supported": thinks}}},
    )
