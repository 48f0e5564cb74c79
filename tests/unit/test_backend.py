"""What calls use, and how long they hold it."""

import asyncio

from ccproxy.backend import Backend
from ccproxy.config import Config
from ccproxy.routing import Router


async def test_it_is_idle_once_its_last_call_has_ended():
    """Only then may its connections be closed: a reload must not cut a stream."""
    backend = Backend(Router(Config()), {})
    backend.calls = 2
    waiting = asyncio.ensure_future(backend.idle())
    await asyncio.sleep(0)
    backend.left()
    await asyncio.sleep(0)
    still = waiting.done()
    backend.left()
    await waiting

    assert not still


async def test_one_that_nobody_used_is_idle():
    """A reload of a service without traffic waits for nothing."""
    await Backend(Router(Config()), {}).idle()
