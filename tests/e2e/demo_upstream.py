"""The demo upstream as a process of its own, in the place of real providers. Its first line is its address."""

import asyncio
import sys

from ccproxy.demo import Demo


async def main() -> None:
    """Serves until the process is ended."""
    async with Demo.serve() as demo:
        sys.stdout.write(f"{demo.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
