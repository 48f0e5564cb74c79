"""The port that HTTP callers connect to."""

import asyncio
import errno
import os
import socket
import ssl

from aiohttp.web_protocol import RequestHandler

from ccproxy.gateway.connections import Runner

BACKLOG = 1024  # the default of 128 lost a third of 200 simultaneous connects
EVERY_ADDRESS = "::"

Connected = tuple[asyncio.Transport, RequestHandler] | BaseException


class Listener:
    """A port that is open until `close`."""

    def __init__(
        self, runner: Runner, server: asyncio.Server, context: ssl.SSLContext | None, handshake: float | None
    ) -> None:
        self._runner = runner
        self._server = server
        self._context = context
        self._handshake = handshake
        self._late: list[asyncio.Future[list[Connected]]] = []

    @classmethod
    async def open(
        cls, runner: Runner, host: str, port: int, context: ssl.SSLContext | None, seconds: float
    ) -> "Listener":
        """Binds and serves.

        Args:
            runner: Makes what speaks on a connection.
            host: The address, or a name of it.
            port: 0 for a free one.
            context: For TLS.
            seconds: How long its handshake may take.

        Raises:
            OSError: The address is taken or cannot be bound.
        """
        loop = asyncio.get_running_loop()
        handshake = None if context is None else seconds
        try:
            if host == EVERY_ADDRESS:
                sock = _dual_stack(port)
                server = await loop.create_server(
                    runner.protocol, sock=sock, ssl=context, ssl_handshake_timeout=handshake, backlog=BACKLOG
                )
            else:
                server = await loop.create_server(
                    runner.protocol, host, port, ssl=context, ssl_handshake_timeout=handshake, backlog=BACKLOG
                )
        except OSError as error:
            what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be bound ({error.strerror})"
            raise OSError(error.errno, f"{host}:{port} {what}") from error
        return cls(runner, server, context, handshake)

    @property
    def port(self) -> int:
        """The port that is really bound."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Refuses connections from now on, and takes those that were made: their callers have been let in.

        Closing alone would lose some: the kernel resets those that nobody has accepted yet, and asyncio drops
        those that it has accepted and given to no protocol yet.
        """
        loop = asyncio.get_running_loop()
        listeners = [socket.socket(fileno=os.dup(each.fileno())) for each in self._server.sockets]
        for each in self._server.sockets:
            loop.remove_reader(each.fileno())
        await asyncio.sleep(0)  # what was accepted gets its protocol
        self._server.close()
        for listener in listeners:
            connecting = [
                loop.connect_accepted_socket(
                    self._runner.protocol, made, ssl=self._context, ssl_handshake_timeout=self._handshake
                )
                for made in _accepted(listener)
            ]
            self._late.append(asyncio.gather(*connecting, return_exceptions=True))  # TLS may fail

    def stop(self) -> None:
        """Refuses connections from now on, whoever has been let in."""
        self._server.close()

    @property
    def expects(self) -> bool:
        """Whether a connection that was made just before the end has not yet come through."""
        return any(not each.done() for each in self._late)


def _dual_stack(port: int) -> socket.socket:
    """A socket for IPv6 and IPv4, as gRPC makes it: asyncio takes IPv6 alone."""
    both = socket.has_dualstack_ipv6()
    return socket.create_server(
        (EVERY_ADDRESS, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=both
    )


def _accepted(listener: socket.socket) -> list[socket.socket]:
    """All connections that wait at a listener, which is closed with the last."""
    made: list[socket.socket] = []
    listener.settimeout(0)
    with listener:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return made
            connection.settimeout(0)
            made.append(connection)
