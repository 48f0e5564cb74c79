"""TLS on both ports, with a certificate that may change while they serve.

A connection keeps what it began with; the next one gets what is in use then. Each certificate has a context of its
own, so nothing of an earlier one stays: no authority that clients are checked by, no session ticket.
"""

import ssl
from collections.abc import Callable
from typing import Self

from ccproxy.config import Certificate, TlsConfig, certificate


class Tls:
    """The certificate in use.

    Args:
        first: The first one.
    """

    def __init__(self, first: Certificate) -> None:
        self.certificate = first
        self.context = LiveContext.of(self)
        self._told: list[Callable[[Certificate], None]] = []

    @property
    def asks_clients(self) -> bool:
        """Whether clients need a certificate."""
        return bool(self.certificate.client_ca)

    def use(self, other: Certificate) -> None:
        """Gives `other` to connections that come now."""
        self.certificate = other
        for tell in self._told:
            tell(other)

    def watch(self, tell: Callable[[Certificate], None]) -> None:
        """Has `tell` called with each later certificate."""
        self._told.append(tell)


class LiveContext(ssl.SSLContext):
    """A context for an event loop's server, which asks it anew for each connection."""

    _tls: Tls

    @classmethod
    def of(cls, tls: Tls) -> Self:
        """The context that follows `tls`."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._tls = tls  # SSLContext takes no argument of ours
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  # SSLContext's signature
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """The TLS of one connection."""
        context = self._tls.certificate.context
        return context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


def from_config(config: TlsConfig) -> Tls | None:
    """The TLS that the operator asks for; None for none.

    Raises:
        OSError: Its files cannot be used.
    """
    return Tls(certificate.read(config)) if config.on else None


def renewed(tls: Tls | None, config: TlsConfig) -> Certificate | None:
    """The certificate of another configuration, which `tls` can then use.

    Raises:
        OSError: It cannot be used, or the ports would need to be other ones.
    """
    if config.on is not (tls is not None):
        raise OSError("tls: whether the ports speak TLS is decided at the start; it needs a restart")
    if tls is None:
        return None
    if bool(config.client_ca_file) is not tls.asks_clients:
        what = "whether clients need a certificate is decided at the start"
        raise OSError(f"tls.client_ca_file: {what}; it needs a restart")
    return certificate.read(config)
