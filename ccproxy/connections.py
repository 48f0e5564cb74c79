"""The ways to the providers, as a configuration asks for them. What it leaves as it was is kept open."""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import Struct, structs

from ccproxy.config import Config, ProviderConfig
from ccproxy.provider import Provider
from ccproxy.providers import BY_TYPE
from ccproxy.upstream import HttpTransport, Upstream


class _Opened(Struct, frozen=True):
    """What is open, and what it was opened for."""

    wanted: tuple[object, ...]
    transport: HttpTransport
    upstream: Upstream


class Connections:
    """The open ways. `close` ends them all."""

    def __init__(self) -> None:
        self._opened: dict[str, _Opened] = {}

    async def open(self, config: Config) -> tuple[dict[str, Upstream], list[HttpTransport]]:
        """Opens what `config` asks for and is not open yet.

        Returns:
            Every way by its provider's name, and what is no longer asked for: to be closed when nobody uses it.

        Raises:
            OSError: One cannot be opened. Then everything is as before.
        """
        opened: dict[str, _Opened] = {}
        times = config.performance
        seconds = (times.request_timeout, times.first_byte_timeout, times.silence_timeout)
        trusted = (config.ca_file, _content(config.ca_file))
        way = (config.proxy_url, config.no_proxy, *trusted, *seconds, config.retry.open_after)
        async with AsyncExitStack() as stack:
            for provider in config.active:
                wanted = (structs.replace(provider, max_in_flight=0), *way)  # a limit is none of the way's
                known = self._opened.get(provider.name)
                if known is None or known.wanted != wanted:
                    transport = await stack.enter_async_context(_transport(provider, config))
                    first, *others = _providers(provider)
                    known = _Opened(wanted, transport, Upstream(first, transport, others, config.retry.open_after))
                opened[provider.name] = known
            stack.pop_all()
        kept = {id(each.transport) for each in opened.values()}
        retired = [each.transport for each in self._opened.values() if id(each.transport) not in kept]
        self._opened = opened
        return {name: each.upstream for name, each in opened.items()}, retired

    async def close(self) -> None:
        """Closes every way."""
        await close(each.transport for each in self._opened.values())
        self._opened = {}


async def close(transports: Iterable[HttpTransport]) -> None:
    """Closes these."""
    async with AsyncExitStack() as stack:
        for transport in transports:
            stack.push_async_exit(transport)


def _providers(provider: ProviderConfig) -> list[Provider]:
    """A provider once for each of its addresses and keys."""
    ways = [provider] + [
        structs.replace(
            provider,
            api_base_url=each.api_base_url or provider.api_base_url,
            api_key=each.api_key or provider.api_key,
        )
        for each in provider.endpoints
    ]
    return [BY_TYPE[provider.kind](way) for way in ways]


def _content(file: str) -> bytes:
    """What a file holds that is used when a way is opened; nothing where it cannot be read: opening tells that."""
    try:
        return Path(file).read_bytes() if file else b""
    except OSError:
        return b""


def _transport(provider: ProviderConfig, config: Config) -> HttpTransport:
    return HttpTransport(
        provider.name,
        proxy_url=config.proxy_url,
        no_proxy=config.no_proxy,
        ca_file=config.ca_file,
        whole_seconds=config.performance.request_timeout,
        # A bound around both: the call's own times, which a reload changes at once, end it earlier.
        silence_seconds=max(config.performance.first_byte_timeout, config.performance.silence_timeout),
    )
