"""Asks providers that nobody calls for their list of models, to know whether they work. That costs nothing."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus

from ccproxy.errors import ApiError, UpstreamProtocolError
from ccproxy.upstream import Endpoint, Upstream

ASK_SECONDS = 10.0


async def probe_idle(upstreams: Callable[[], Mapping[str, Upstream]], interval: float) -> None:
    """Asks every way that has not been called for `interval` seconds, for as long as it runs."""
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(interval)
        for upstream in upstreams().values():
            for endpoint in upstream.endpoints:
                now = clock()
                if now - endpoint.circuit.called_at >= interval and endpoint.circuit.admits(now):
                    await _ask(upstream, endpoint, clock)


async def _ask(upstream: Upstream, endpoint: Endpoint, clock: Callable[[], float]) -> None:
    provider = endpoint.provider
    request = provider.models_request()
    if request is None:
        return
    permit = endpoint.circuit.begin(clock())
    try:
        async with asyncio.timeout(ASK_SECONDS), upstream.transport.send(request, stream=False) as response:
            body = await response.body()
            if response.status != HTTPStatus.OK:
                raise provider.error(response.status, response.headers, body)
            provider.models(body)
        permit.succeeded(clock())
    except ApiError as error:
        permit.failed(error, clock())
    except (UpstreamProtocolError, TimeoutError):
        pass  # a list that cannot be read says little of its models
    finally:
        permit.close(clock())
