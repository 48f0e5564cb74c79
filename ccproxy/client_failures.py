"""What aiohttp raises on the way to a provider, as the caller is to see it.

It is mapped by class and never by `.status`: a provider's garbage must not read as the caller's bad request.
"""

import errno
from http import HTTPStatus

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from ccproxy.errors import ApiError, Reason, Replay

CONNECT_SECONDS = 10.0  # the name, a proxy, TCP and TLS; the answer itself may take minutes
PROXY_CREDENTIALS = "the outbound proxy asks for a user and password, or refuses those of proxy_url"

_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})


def failure(error: Exception, provider: str, *, reused: bool = False) -> ApiError:
    """What an exception of the client means. The text never holds a URL, a header or bytes of the answer.

    Args:
        error: What was raised.
        provider: Whose connection it was.
        reused: Whether a connection that had served before broke before any answer: then the provider most
            probably closed it for being idle, and another try is as good as the first.
    """
    if isinstance(error, OSError) and error.errno in _OUT_OF_FILES:
        message = "CCProxy has no file descriptor left for a connection"
        return ApiError(Reason.OVERLOADED, message, status=503, retry_after=1)  # ours, not the provider's
    replay: Replay | None = None
    match error:
        case aiohttp.ConnectionTimeoutError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, f"no connection within {CONNECT_SECONDS:g} s"
        case TimeoutError():  # also aiohttp.SocketTimeoutError
            reason, what = Reason.TIMEOUT, "no answer in time"
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, _of_the_proxy(error)
        case aiohttp.ClientSSLError():
            reason, what, replay = Reason.UPSTREAM_UNREACHABLE, "TLS verification failed", "never"
        case aiohttp.ClientConnectorDNSError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, "its name cannot be resolved"
        case aiohttp.ClientConnectorError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, "the connection was refused"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
            reason, what = Reason.UPSTREAM_UNREACHABLE, "the connection broke"
            replay = "safe" if reused else "uncertain"
        case aiohttp.ClientPayloadError() if not isinstance(error.__cause__, ContentEncodingError):
            reason, what, replay = Reason.UPSTREAM_UNREACHABLE, "the answer was cut off", "uncertain"
        case _:
            reason, what = Reason.UPSTREAM_INVALID_RESPONSE, "the answer is not HTTP as documented"
    return ApiError(reason, f"provider {provider}: {what}", replay=replay).by(provider)


def _of_the_proxy(error: aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError) -> str:
    match error:
        case aiohttp.ClientHttpProxyError(status=HTTPStatus.PROXY_AUTHENTICATION_REQUIRED):
            return PROXY_CREDENTIALS
        case aiohttp.ClientHttpProxyError():
            return "the outbound proxy did not connect"
        case _:
            return "the outbound proxy cannot be reached"
