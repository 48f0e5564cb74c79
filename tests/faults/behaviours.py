"""What a provider does wrong, by name. The name is the model that the caller asks for."""

import asyncio
import functools
import gzip
import zlib

from faults.faultd import Behaviour, Turn

DRIP = 0.02
BOMB_BYTES = 16 << 20
HTML = b"<!DOCTYPE html><html><head><title>502 Bad gateway</title></head><body>cloudflare</body></html>"


async def _good(turn: Turn) -> None:
    await turn.good()


async def _silent(turn: Turn) -> None:
    await turn.gone()


async def _silent_after_head(turn: Turn) -> None:
    await turn.begin() if turn.stream else await turn.head(content_length="100")
    await turn.gone()


async def _stall_mid_stream(turn: Turn) -> None:
    await turn.begin()
    await turn.chunks(turn.wire.opening, *turn.wire.pieces)
    await turn.gone()


async def _fin_before_answer(turn: Turn) -> None:
    turn.ends = True


async def _reset_before_answer(turn: Turn) -> None:
    turn.reset()


async def _fin_mid_head(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/ev")
    turn.ends = True


async def _fin_before_content(turn: Turn) -> None:
    await turn.begin()
    await turn.chunks(turn.wire.opening)
    turn.ends = True


async def _fin_mid_answer(turn: Turn) -> None:
    if turn.stream:
        await turn.begin()
        await turn.chunks(turn.wire.opening, *turn.wire.pieces[:2], every=DRIP)
    else:
        await turn.head(content_type="application/json", content_length=str(len(turn.wire.whole)))
        await turn.send(turn.wire.whole[:50])
    turn.ends = True


async def _reset_mid_answer(turn: Turn) -> None:
    await _fin_mid_answer(turn)
    await asyncio.sleep(DRIP)
    turn.reset()


async def _no_terminator(turn: Turn) -> None:
    await turn.head(content_type="text/event-stream", connection="close")
    await turn.send(turn.wire.opening, *turn.wire.pieces, every=DRIP)
    turn.ends = True


async def _odd_events(turn: Turn) -> None:
    """What the standard allows: BOM, CRLF and CR, comments, fields and events that nobody knows, no space."""
    await turn.begin()
    odd = b"\xef\xbb\xbf: hi\r\n\r\nretry: 10\n\nid: 7\nnonsense\n\n: \x00\n\n"
    rest = turn.wire.opening + b"".join(turn.wire.pieces)
    await turn.chunks(odd, rest.replace(b"\n", b"\r\n").replace(b"data: ", b"data:"))
    await turn.chunks(turn.wire.ending.replace(b"\n", b"\r"))
    await turn.finish()


async def _bad_first_event(turn: Turn) -> None:
    await turn.begin()
    await turn.chunks(b'data: {"choices":[{"del\n\n')
    await turn.finish()


async def _bad_event(turn: Turn) -> None:
    await turn.begin()
    await turn.chunks(turn.wire.opening, *turn.wire.pieces, b"data: {\xff\n\n", turn.wire.ending)
    await turn.finish()


async def _bad_json(turn: Turn) -> None:
    await turn.document(b'{"type": "message", ' + turn.wire.whole)


async def _cut_json(turn: Turn) -> None:
    await turn.document(turn.wire.whole[:-5])


async def _giant_event_first(turn: Turn) -> None:
    await turn.begin()
    await turn.chunks(b"data: ", *(b"x" * (64 << 10) for _ in range(64)))
    await turn.gone()


async def _giant_event(turn: Turn) -> None:
    await turn.begin()
    await turn.chunks(turn.wire.opening, *turn.wire.pieces, b"data: ", *(b"x" * (64 << 10) for _ in range(64)))
    await turn.gone()


async def _giant_answer(turn: Turn) -> None:
    await turn.head(content_type="application/json", connection="close")
    await turn.send(*(b" " * (64 << 10) for _ in range(64)))
    await turn.gone()


async def _one_byte_chunks(turn: Turn) -> None:
    """Each byte is a chunk and a line of its own; several may share a packet, as they do on a network."""
    body = turn.wire.frames if turn.stream else turn.wire.whole
    await turn.head(
        content_type="text/event-stream" if turn.stream else "application/json", transfer_encoding="chunked"
    )
    await turn.send(
        *(b"".join(b"1\r\n%c\r\n" % byte for byte in body[at : at + 7]) for at in range(0, len(body), 7))
    )
    await turn.finish()


async def _encoded(turn: Turn, name: str, body: bytes) -> None:
    kind = "text/event-stream" if turn.stream else "application/json"
    await turn.document(body, content_type=kind, content_encoding=name)


async def _gzipped(turn: Turn) -> None:
    await _encoded(turn, "gzip", gzip.compress(turn.wire.frames if turn.stream else turn.wire.whole))


async def _deflated(turn: Turn) -> None:
    await _encoded(turn, "deflate", zlib.compress(turn.wire.frames if turn.stream else turn.wire.whole))


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(b" " * BOMB_BYTES)


async def _gzip_bomb(turn: Turn) -> None:
    await _encoded(turn, "gzip", _bomb())
    turn.ends = True


async def _unknown_encoding(turn: Turn) -> None:
    await _encoded(turn, "br", b"\x0b\x02\x80hello\x03")


async def _broken_gzip(turn: Turn) -> None:
    await _encoded(turn, "gzip", b"this is not gzip")


async def _html(turn: Turn) -> None:
    await turn.document(HTML, content_type="text/html")


async def _html_502(turn: Turn) -> None:
    await turn.document(HTML, 502, content_type="text/html")


async def _empty(turn: Turn) -> None:
    await turn.document(b"")


async def _no_content(turn: Turn) -> None:
    await turn.head(204)


async def _not_http(turn: Turn) -> None:
    await turn.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n")
    turn.ends = True


async def _redirect(turn: Turn) -> None:
    await turn.document(b"", 307, location=turn.faultd.canary)


async def _many_headers(turn: Turn) -> None:
    lines = b"".join(b"x-h%d: %b\r\n" % (n, b"v" * 1000) for n in range(200))
    await turn.send(b"HTTP/1.1 200 OK\r\n" + lines + b"content-length: 0\r\n\r\n")
    turn.ends = True


async def _long_header(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 200 OK\r\nx-long: " + b"v" * 100_000 + b"\r\ncontent-length: 0\r\n\r\n")
    turn.ends = True


async def _informational(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    await turn.good()


POISON = b'{"type":"message","content":[{"type":"text","text":"poison"}]}'
SECOND = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(POISON), POISON)


async def _second_response(turn: Turn) -> None:
    """An answer, and in the same packet as its end the answer to a question that nobody has asked.

    In a packet of its own it could come when the connection serves the next request already, and then nobody could
    tell whose answer it is: HTTP/1.1 has nothing but the order.
    """
    if turn.stream:
        await turn.begin()
        await turn.chunks(turn.wire.opening, *turn.wire.pieces, turn.wire.ending)
        await turn.send(b"0\r\n\r\n" + SECOND)
    else:
        await turn.head(content_type="application/json", content_length=str(len(turn.wire.whole)))
        await turn.send(turn.wire.whole + SECOND)
    await turn.gone()


async def _late_second_response(turn: Turn) -> None:
    """The same, while the connection waits for its next request."""
    await turn.good()
    await asyncio.sleep(DRIP)
    await turn.send(SECOND)
    await turn.gone()


async def _evil_headers(turn: Turn) -> None:
    """Values with bytes that no header may pass on."""
    evil = b"a\x1b[31m\xff\xc3\xa9\x7fb"
    names = (b"request-id", b"x-request-id", b"anthropic-evil", b"x-generation-id", b"retry-after")
    kind = b"text/event-stream" if turn.stream else b"application/json"
    body = turn.wire.frames if turn.stream else turn.wire.whole
    lines = b"".join(b"%b: %b\r\n" % (name, evil) for name in names)
    await turn.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b\r\n%b" % (kind, len(body), lines, body)
    )


async def _nul_in_header(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 200 OK\r\nx-request-id: a\x00b\r\ncontent-length: 0\r\n\r\n")
    turn.ends = True


async def _bare_cr_in_header(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 200 OK\r\nx-request-id: a\rset-cookie: b\r\ncontent-length: 0\r\n\r\n")
    turn.ends = True


def answers(status: int, **headers: str) -> Behaviour:
    """Answers with an error; the headers' names are written with underscores."""

    async def behaviour(turn: Turn) -> None:
        await turn.document(turn.wire.error(status), status, **headers)

    return behaviour


async def _echoes_key(turn: Turn) -> None:
    """Quotes the key in the body and in every header that is passed on."""
    named = dict.fromkeys(("request_id", "x_request_id", "x_generation_id", "anthropic_echo"), turn.key)
    await turn.document(turn.wire.error(400, f'your "key" {turn.key} is odd'), 400, **named)


async def _error_in_answer(turn: Turn) -> None:
    """An error with status 200: as a document, or as the first event."""
    if not turn.stream:
        await turn.document(turn.wire.error(503))
        return
    await turn.begin()
    await turn.chunks(turn.wire.failed)
    await turn.finish()


async def _error_mid_stream(turn: Turn) -> None:
    await turn.begin()
    await turn.chunks(turn.wire.opening, *turn.wire.pieces, turn.wire.failed)
    await turn.finish()


async def _closes_reused(turn: Turn) -> None:
    """A connection serves once, and the provider says so to nobody."""
    if turn.nth_on_connection == 1:
        await turn.good()
    else:
        turn.ends = True


async def _drip(turn: Turn) -> None:
    """Bytes that never become anything."""
    if turn.stream:
        await turn.begin()
        await turn.chunks(turn.wire.opening, *turn.wire.pieces)
        await turn.chunks(b":", *([b"."] * 200), every=DRIP)
    else:
        await turn.head(content_type="application/json", content_length="1000000")
        await turn.send(*([b" "] * 200), every=DRIP)


async def _endless(turn: Turn) -> None:
    await turn.begin()
    await turn.chunks(turn.wire.opening, *turn.wire.pieces)
    while True:
        await turn.chunks(turn.wire.pieces[-1] * 100)


BEHAVIOURS: dict[str, Behaviour] = {
    each.__name__.removeprefix("_"): each
    for each in (
        _good,
        _silent,
        _silent_after_head,
        _stall_mid_stream,
        _fin_before_answer,
        _reset_before_answer,
        _fin_mid_head,
        _fin_before_content,
        _fin_mid_answer,
        _reset_mid_answer,
        _no_terminator,
        _odd_events,
        _bad_first_event,
        _bad_event,
        _bad_json,
        _cut_json,
        _giant_event_first,
        _giant_event,
        _giant_answer,
        _one_byte_chunks,
        _gzipped,
        _deflated,
        _gzip_bomb,
        _unknown_encoding,
        _broken_gzip,
        _html,
        _html_502,
        _empty,
        _no_content,
        _not_http,
        _redirect,
        _many_headers,
        _long_header,
        _informational,
        _second_response,
        _late_second_response,
        _evil_headers,
        _nul_in_header,
        _bare_cr_in_header,
        _echoes_key,
        _error_in_answer,
        _error_mid_stream,
        _closes_reused,
        _drip,
        _endless,
    )
} | {
    "rate_limited": answers(429, retry_after="30"),
    "overloaded_503": answers(503),
    "overloaded_529": answers(529),
    "failed_500": answers(500),
    "bad_request": answers(400),
    "too_large": answers(413),
    "key_refused": answers(401),
    "key_forbidden": answers(403),
}
