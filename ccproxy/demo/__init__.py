"""The demo upstream: providers' wire formats on loopback, answered without any model."""

from ccproxy.demo.server import Demo

__all__ = ["Demo"]
