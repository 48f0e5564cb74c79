"""Bytes changed at random, as a broken or hostile peer would send them."""

from collections.abc import Sequence
from random import Random

TOKENS = (
    b"\0", b"\r", b"\n", b"\r\n", b"\n\n", b"data:", b"data: ", b"event: ", b": ", b"id:", b"retry: 1", b"[DONE]",
    b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"{", b"}", b"[", b"]", b'"', b"\\", b"\\ud800",
    b",", b"null", b"true", b"-1", b"1e999", b"0.5", b"99999999999999999999", b"{}", b"[]", b'""', b'"type":null',
    b"NaN", b'{"type":"error"}', b"${", b"${HOME}", b"localhost", b"127.0.0.1", b"[::1]", b"@", b"#", b"%", b".",
    b":0", b"[" * 200, b'{"a":' * 200,
)  # fmt: skip
MAX_BYTES = 20_000


def mutated(seeds: Sequence[bytes], random: Random) -> bytes:
    """A changed copy of one of `seeds`."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, 6)):
        at = random.randint(0, len(data))
        end = min(len(data), at + random.choice((1, 2, 8, 64, 512)))
        match random.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << random.randrange(8)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                data[at:end] = random.choice(TOKENS)
            case 4:
                data[at:at] = random.choice(TOKENS)
            case 5:
                other = random.choice(seeds)
                data[at:] = other[random.randint(0, len(other)) :]
            case _:
                del data[at:]
    return bytes(data[:MAX_BYTES])


def cut(data: bytes, random: Random) -> list[bytes]:
    """`data` in pieces, as the network could cut it."""
    marks = sorted(random.randint(0, len(data)) for _ in range(random.randint(0, 8)))
    return [data[start:end] for start, end in zip([0, *marks], [*marks, len(data)], strict=True)]
