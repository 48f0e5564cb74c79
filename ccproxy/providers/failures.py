"""What goes wrong upstream, as the caller is to see it: the same sentence for the same reason, whoever failed.

A message of the provider is passed on only where it helps to mend the request. Claude Code compacts a conversation
when it reads "prompt is too long", so every provider's word for that becomes Anthropic's.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ccproxy.errors import ApiError, Reason
from ccproxy.provider import redact, unusable

MAX_ERROR_BYTES = 64 << 10  # a longer body is no error document
MAX_MESSAGE_CHARACTERS = 2_000

SERVER_ERRORS = 500  # and above: the class of HTTP statuses for which the provider is to blame


def opened(document: bytes) -> Any:
    """An error document as a JSON value; None where it is none."""
    try:
        return msgspec.json.decode(document) if len(document) <= MAX_ERROR_BYTES else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Teller:
    """Tells failures in the name of one provider.

    Args:
        provider: The operator's name for it.
        key: Its key, which no message may quote.
        secrets: What looks like a key, or names an account, in its messages.
        model: How its messages name a model that it does not have; the first group is the name.
    """

    def __init__(self, provider: str, key: str | None, secrets: re.Pattern[str], model: re.Pattern[str]) -> None:
        self.provider = provider
        self._key = key
        self._secrets = secrets
        self._model = model

    def error(
        self,
        reason: Reason,
        status: int,
        message: str,
        *,
        too_long: str | None,
        wait: int | None,
        headers: Mapping[str, str],
    ) -> ApiError:
        """The error.

        Args:
            reason: What kind it is.
            status: The HTTP status it has, or would have.
            message: What the provider says of it.
            too_long: The sentence for a prompt that is too long, where it is that.
            wait: Seconds until another try makes sense, where that is known.
            headers: Those it came with.
        """
        told = headers.get("x-should-retry")
        should_retry = told == "true" if told is not None else None
        if should_retry is None and status >= SERVER_ERRORS:
            should_retry = True
        if reason in {Reason.BILLING, Reason.UPSTREAM_AUTHENTICATION_FAILED}:
            should_retry = False
        if reason not in {Reason.RATE_LIMITED, Reason.OVERLOADED}:
            wait = None
        sentence = self._sentence(reason, status, message, too_long)
        return ApiError(reason, sentence, retry_after=wait, should_retry=should_retry)

    def _sentence(self, reason: Reason, status: int, message: str, too_long: str | None) -> str:
        match reason:
            case Reason.UPSTREAM_AUTHENTICATION_FAILED:
                return f"provider {self.provider} refused the configured credential"
            case Reason.BILLING:
                return f"provider {self.provider} has no credit or quota left"
            case Reason.RATE_LIMITED:
                told = f": {self._clean(message)}" if message else ""
                return f"provider {self.provider} limits the rate of requests{told}"
            case Reason.OVERLOADED:
                return f"provider {self.provider} is overloaded"
            case Reason.INVALID_REQUEST if too_long is not None:
                return too_long
            case Reason.NOT_FOUND if model := self._model.search(message):
                return f"model: {self._clean(model[1])}"
            case _ if status >= SERVER_ERRORS:  # the text may hold its internals
                return f"provider {self.provider} failed (HTTP {status})"
            case _ if message:
                return self._clean(message)
            case _:
                return unusable(self.provider, status)

    def _clean(self, message: str) -> str:
        return self._secrets.sub("[redacted]", redact(message, self._key))[:MAX_MESSAGE_CHARACTERS]


def too_long(asked: str | None, most: str | None) -> str:
    """Anthropic's sentence for a prompt that is too long. The numbers may have commas."""
    if asked is None or most is None:
        return "prompt is too long"
    return f"prompt is too long: {asked.replace(',', '')} tokens > {most.replace(',', '')} maximum"
