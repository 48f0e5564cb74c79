"""CCProxy: any Claude client, any model, over HTTP and gRPC.

The nouns, from the outside in (ARCHITECTURE.md draws them):

- `gateway` and `rpc` are the two edges. They turn a request into a `Call` and an answer into their wire.
- `proxy`, `status` and `access` are the core. Both edges call the same objects.
- `routing`, `upstream`, `metrics`, `serving`, `circuit` and `tokens` are what the core stands on.
- `providers` translate, and do no input or output. `blocks` holds every rule about the order of events.
- `app` builds all of it, starts it, drains it and stops it.
"""

__version__ = "0.1.0"
