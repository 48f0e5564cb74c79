"""The caller's own credential, for a provider with `auth: client`: passed as it came, to that provider alone.

A caller has one of an API key (`x-api-key`) and an OAuth token (`authorization: Bearer`); some clients send both.
CCProxy's own key then travels in `x-ccproxy-key`, and must never go to the provider.

Source: https://code.claude.com/docs/en/llm-gateway (read 2026-11-22) for which header holds what.
"""

from ccproxy.call import Call
from ccproxy.errors import ApiError, Reason

OWN_KEY_HEADER = "x-ccproxy-key"
KEY_HEADER = "x-api-key"
BEARER_HEADER = "authorization"

_NO_KEY_SHOWN = frozenset({"", "local"})  # how a call says that its caller came in without a key of ours


def credential(call: Call, provider: str) -> dict[str, str]:
    """The headers that hold the caller's credential, as they came.

    Raises:
        ApiError: AUTHENTICATION_FAILED, where there is none; here it is the caller's own failure.
    """
    own = call.headers.get(OWN_KEY_HEADER, ())
    if call.caller not in _NO_KEY_SHOWN and len(own) != 1:
        # The key that let the caller in is in one of the headers that would be passed on.
        raise _missing(provider, f"CCProxy's own key belongs in {OWN_KEY_HEADER} here")
    found = {}
    for name in (KEY_HEADER, BEARER_HEADER):
        values = call.headers.get(name, ())
        if len(values) == 1 and _is_credential(name, values[0]) and secret(name, values[0]) not in own:
            found[name] = values[0]
    if not found:
        raise _missing(provider, f"send {KEY_HEADER} or Authorization: Bearer, once")
    return found


def secret(name: str, value: str) -> str:
    """The part of a credential's header that nobody may see."""
    return value.partition(" ")[2].strip() if name == BEARER_HEADER else value


def _is_credential(name: str, value: str) -> bool:
    scheme = value.partition(" ")[0].lower()
    is_fit = value.isascii() and value.isprintable() and (name == KEY_HEADER or scheme == "bearer")
    return is_fit and bool(secret(name, value).strip())


def _missing(provider: str, what: str) -> ApiError:
    return ApiError(
        Reason.AUTHENTICATION_FAILED, f"provider {provider} is asked with the caller's own credential: {what}"
    )
