"""Requests of hostile and broken HTTP clients, by what is wrong with them, and what they may be answered."""

from abuse.wire import CANARY, post, request

OK = b'{"model":"claude-x","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
CHUNKED = "transfer-encoding: chunked"
CLOSED = 0
"""In a case's statuses: the connection is closed without an answer."""

Case = tuple[bytes, frozenset[int]]


def _all(statuses: set[int], **cases: bytes) -> dict[str, Case]:
    return {name: (data, frozenset(statuses)) for name, data in cases.items()}


def _framed(*lines: str, body: bytes = b"5\r\nhello\r\n0\r\n\r\n") -> bytes:
    """A request for messages that says by `lines` how long it is."""
    head = ["POST /v1/messages HTTP/1.1", "host: localhost", f"x-api-key: {CANARY}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


def _chunks(body: bytes) -> bytes:
    return _framed(CHUNKED, body=body)


def _line(line: bytes) -> bytes:
    return line + b"\r\nhost: localhost\r\nx-api-key: " + CANARY.encode() + b"\r\n\r\n"


def _header(line: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nhost: localhost\r\n" + line + b"\r\n\r\n"


def _json(text: str, **replaced: str) -> bytes:
    """A request whose document is `text`."""
    for name, value in replaced.items():
        text = text.replace(f"<{name}>", value)
    return post(text.encode("utf-8", "surrogatepass"))


def _with(member: str) -> bytes:
    """A request with one more member, or another one in the place of its own."""
    return _json(
        '{"model":"claude-x","max_tokens":5,"messages":[{"role":"user","content":"hi"}],<more>}', more=member
    )


SMUGGLING = {
    **_all(
        {400},
        length_and_chunks=_framed("content-length: 5", CHUNKED),
        chunks_and_length=_framed(CHUNKED, "content-length: 5"),
        two_lengths=_framed("content-length: 5", "content-length: 6"),
        the_same_length_twice=_framed("content-length: 5", "content-length: 5"),
        a_list_of_lengths=_framed("content-length: 5, 5"),
        a_length_with_plus=_framed("content-length: +5"),
        a_negative_length=_framed("content-length: -5"),
        a_hexadecimal_length=_framed("content-length: 0x5"),
        a_length_with_underscore=_framed("content-length: 1_0"),
        an_empty_length=_framed("content-length: "),
        a_length_of_letters=_framed("content-length: five"),
        a_length_beyond_64_bits=_framed("content-length: 99999999999999999999999"),
        a_length_in_other_digits=_framed("content-length: \u0665"),
        an_unknown_coding=_framed("transfer-encoding: xchunked"),
        chunks_not_last=_framed("transfer-encoding: chunked, identity"),
        chunks_twice=_framed(CHUNKED, CHUNKED),
        chunks_listed_twice=_framed("transfer-encoding: chunked, chunked"),
        chunks_with_a_tail=_framed("transfer-encoding: chunked;x=1"),
        chunks_in_quotes=_framed('transfer-encoding: "chunked"'),
        chunks_with_vertical_tab=_framed("transfer-encoding: \x0bchunked"),
        a_space_before_the_colon=_framed("transfer-encoding : chunked"),
        a_tab_before_the_colon=_framed("transfer-encoding\t: chunked"),
        a_folded_line=_framed("transfer-encoding:", " chunked"),
        a_folded_first_line=_framed(" transfer-encoding: chunked"),
        a_bare_cr=_framed("x: a\rtransfer-encoding: chunked"),
        a_bare_lf_after_the_head=b"POST /v1/messages HTTP/1.1\r\nhost: a\ncontent-length: 5\r\n\r\nhello",
        only_bare_lfs=b"GET / HTTP/1.1\nhost: localhost\n\n",
        a_name_with_nul=_framed("transfer\0encoding: chunked"),
        a_line_without_a_colon=_framed("transfer-encoding"),
        a_nameless_line=_framed(": chunked"),
        a_chunk_of_letters=_chunks(b"zz\r\nhello\r\n0\r\n\r\n"),
        a_negative_chunk=_chunks(b"-5\r\nhello\r\n0\r\n\r\n"),
        a_chunk_with_plus=_chunks(b"+5\r\nhello\r\n0\r\n\r\n"),
        a_chunk_with_0x=_chunks(b"0x5\r\nhello\r\n0\r\n\r\n"),
        a_chunk_after_a_space=_chunks(b" 5\r\nhello\r\n0\r\n\r\n"),
        a_chunk_beyond_64_bits=_chunks(b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        a_chunk_longer_than_said=_chunks(b"3\r\nhello\r\n0\r\n\r\n"),
        a_chunk_with_a_bare_lf=_chunks(b"5\nhello\n0\n\n"),
        an_extension_with_a_bare_lf=_chunks(b"5;a=b\nhello\r\n0\r\n\r\n"),
        a_bad_trailer=_chunks(b"5\r\nhello\r\n0\r\nx y\r\n\r\n"),
        chunks_in_http_1_0=_framed(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0"),
        chunks_in_http_1_0_kept=_framed(CHUNKED, "connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ),
}
"""Where two readers could see different ends of one request. All are refused, and the connection ends."""

START_LINES = {
    **_all(
        {400},
        nothing_of_http=f"{CANARY}\r\n\r\n".encode(),
        no_version=_line(b"GET /"),
        version_2=_line(b"GET / HTTP/2.0"),
        version_9=_line(b"GET / HTTP/9.9"),
        version_of_letters=_line(b"GET / HTTP/x.y"),
        version_in_lower_case=_line(b"GET / http/1.1"),
        a_method_with_at=_line(b"G@T / HTTP/1.1"),
        a_method_with_nul=_line(b"G\0T / HTTP/1.1"),
        no_method=_line(b" / HTTP/1.1"),
        a_target_with_a_space=_line(b"GET /a b HTTP/1.1"),
        a_target_with_a_tab=_line(b"GET /a\tb HTTP/1.1"),
        a_target_with_nul=_line(b"GET /a\0b HTTP/1.1"),
        a_long_target=_line(b"GET /" + b"a" * 20_000 + CANARY.encode() + b" HTTP/1.1"),
        a_tls_hello=bytes.fromhex("16030100c8010000c40303") + CANARY.encode() + b"\r\n\r\n",
        the_preface_of_http_2=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        a_redis_command=b"*1\r\n$4\r\nPING\r\n\r\n",
    ),
    **_all(
        {400, 404, 405},
        connect=_line(b"CONNECT example.com:443 HTTP/1.1"),
        a_target_without_a_slash=_line(b"GET status HTTP/1.1"),
        options_for_all=_line(b"OPTIONS * HTTP/1.1"),
        a_target_of_bytes=_line(b"GET /\xff\xfe HTTP/1.1"),
    ),
    **_all({200, 400}, another_protocol=_line(b"GET / RTSP/1.1")),
    **_all({200}, a_few_empty_lines_first=b"\r\n\r\n\r\n" + request()),
}

HEADERS = {
    **_all(
        {400},
        nul_in_a_value=_header(b"x-api-key: " + CANARY.encode() + b"\0"),
        a_control_in_a_value=_header(b"x-api-key: " + CANARY.encode() + b"\x01"),
        an_escape_in_a_value=_header(b"x-api-key: \x1b[31m" + CANARY.encode()),
        a_name_with_a_space=_header(b"x api: " + CANARY.encode()),
        a_name_with_bytes=_header(b"x-\xff: " + CANARY.encode()),
        a_name_in_brackets=_header(b"(x): " + CANARY.encode()),
        a_large_value=_header(b"x-api-key: " + CANARY.encode() + b"x" * 40_000),
        a_large_name=_header(b"x" * 40_000 + b": " + CANARY.encode()),
        many_headers=_header(b"\r\n".join(b"x-%d: %s" % (n, CANARY.encode()) for n in range(200))),
        many_empty_headers=_header(b"\r\n".join(b"x:" for _ in range(5000))),
        two_hosts_in_a_line_of_nul=_header(b"host: localhost\0evil"),
    ),
    **_all(
        {200},
        bytes_in_a_value=_header(b"x-anything: \xff\xfe\x80"),
        names_with_underscores=_header(b"content_length: 5\r\ntransfer_encoding: chunked"),
        an_unknown_expectation=request("GET", "/", "expect: the-unexpected"),
        an_upgrade_to_websocket=request(
            "GET", "/", "upgrade: websocket", "connection: Upgrade", "sec-websocket-version: 13"
        ),
        an_upgrade_to_h2c=request("GET", "/", "connection: Upgrade, HTTP2-Settings", "upgrade: h2c"),
        the_first_line_of_http_1_0=b"GET / HTTP/1.0\r\n\r\n",
    ),
    **_all({417}, an_unknown_expectation_nowhere=request("GET", f"/{CANARY}", f"expect: {CANARY}")),
    **_all(
        {415},
        a_gzip_body=post(b"\x1f\x8b\x08" + CANARY.encode(), "content-encoding: gzip"),
        an_unknown_encoding=post(OK, f"content-encoding: {CANARY}"),
        two_encodings=post(OK, "content-encoding: gzip, br"),
        a_form=request("POST", "/v1/messages", "content-type: application/x-www-form-urlencoded", body=OK),
        plain_text=request("POST", "/v1/messages", "content-type: text/plain", body=OK),
        several_parts=request("POST", "/v1/messages", "content-type: multipart/form-data; boundary=x", body=OK),
        a_type_of_nonsense=request("POST", "/v1/messages", f"content-type: {CANARY}", body=OK),
    ),
}

SIZES = {
    **_all(
        {413},
        a_length_beyond_the_limit=_framed(
            "content-type: application/json", f"content-length: {1 << 40}", body=b"x"
        ),
        a_length_just_beyond=_framed(
            "content-type: application/json", f"content-length: {(32 << 20) + 1}", body=b"x"
        ),
        one_that_waits_to_be_asked=_framed(
            "content-type: application/json", f"content-length: {1 << 40}", "expect: 100-continue", body=b""
        ),
    ),
}

TARGETS = {
    **_all(
        {404},
        bad_percent=request("GET", "/%zz"),
        percent_nul=request("GET", "/%00"),
        percent_byte=request("GET", "/%ff"),
        percent_cut=request("GET", "/%"),
        percent_newline=request("GET", "/%0d%0aset-cookie:x"),
        two_slashes=request("GET", "//status"),
        up_and_away=request("GET", "/../../etc/passwd"),
        up_and_back_in_percent=request("GET", "/%2e%2e/%2e%2e/etc/passwd"),
        back_slashes=request("GET", "/..\\..\\windows"),
        a_slash_behind=request("GET", "/v1/messages/"),
        capitals=request("GET", "/V1/Models"),
        a_semicolon=request("GET", "/status;x=1"),
        a_canary=request("GET", f"/{CANARY}?key={CANARY}"),
        a_template=b"GET /{{7*7}} HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ),
    **_all(
        {404, 405},
        dots_inside=request("GET", "/v1/./messages/../nope"),
        a_model_with_bytes=request("GET", "/v1/models/%ff%00"),
    ),
    **_all(
        {200},
        a_strange_query=request("GET", "/?%zz&&==&a[]=%00&" + "x" * 1000),
        a_query_twice=request("GET", "/?a?b#c"),
        a_whole_url=request("GET", "http://localhost/"),
        a_whole_url_of_another=request("GET", "http://evil.example/"),
        encoded_letters=request("GET", "/%73tatus"),
    ),
    **_all(
        {200, 400, 404},
        a_url_with_a_name=request("GET", f"http://user:{CANARY}@localhost/"),
        a_url_with_a_bad_port=request("GET", "http://localhost:99999999/"),
        a_url_with_bad_brackets=request("GET", "http://[::1/"),
        a_url_without_a_host=request("GET", "http:///"),
        a_url_of_a_file=request("GET", "file:///etc/passwd"),
    ),
}

METHODS = {
    **_all(
        {405},
        delete=request("DELETE", "/v1/messages"),
        options=request("OPTIONS", "/v1/messages", "origin: http://evil.example"),
        trace=request("TRACE", "/status"),
        patch=request("PATCH", "/v1/models", body=b"{}"),
        put=request("PUT", "/health", body=b"{}"),
        propfind=request("PROPFIND", "/"),
        get_of_messages=request("GET", "/v1/messages"),
        head_of_messages=request("HEAD", "/v1/messages"),
    ),
    **_all({400, 405}, made_up=request("FROBNICATE", "/"), get_in_lower_case=request("get", "/")),
    **_all({200}, get_with_a_body=request("GET", "/", body=b"hello"), head=request("HEAD", "/status")),
    **_all({404}, head_of_nothing=request("HEAD", "/nope")),
}

HOSTS = {
    **_all(
        {400},
        two=request("GET", "/status", "host: localhost"),
        none=b"GET /status HTTP/1.1\r\n\r\n",
    ),
    **_all(
        {403},
        **{
            f"details_for_{name}": request("GET", "/status", host=host)
            for name, host in {
                "another": "evil.example",
                "a_name_like_ours": "localhost.evil.example",
                "somebody_at_ours": "user@localhost",
                "zero": "0.0.0.0",
                "nobody": "",
                "another_port": "localhost:1",
                "a_port_of_letters": "localhost:x",
                "decimal": "2130706433",
                "hexadecimal": "0x7f000001",
                "short": "127.1",
                "a_dot_behind": "localhost.",
                "brackets": "[localhost]",
                "a_path": "localhost/status",
                "bytes": "\udcff\udcfe",
            }.items()
        },
        details_for_1_0=b"GET /status HTTP/1.0\r\nhost: localhost\r\n\r\n",
        details_for_a_url=request("GET", "http://localhost/status"),
        details_for_a_page=request("GET", "/status", "origin: http://evil.example"),
        details_passed_on=request("GET", "/status", "x_forwarded_for: 127.0.0.1"),
    ),
}

DOCUMENTS = {
    **_all(
        {400},
        nothing=post(b"", "content-length: 0"),
        blanks=post(b"   "),
        cut=post(OK[:-1]),
        more_behind=post(OK + b"x"),
        two=post(OK + OK),
        a_list=post(b"[]"),
        a_text=post(b'"' + CANARY.encode() + b'"'),
        a_number=post(b"1"),
        null=post(b"null"),
        a_mark_of_utf_8=post(b"\xef\xbb\xbf" + OK),
        utf_16=post(OK.decode().encode("utf-16")),
        utf_32=post(OK.decode().encode("utf-32")),
        bytes_that_are_no_utf_8=post(b'{"model":"\xff\xfe"}'),
        half_a_surrogate_as_bytes=_with('"system":"\udc00"'),
        half_a_surrogate_escaped=_with('"system":"\\ud800"'),
        not_a_number=_with('"temperature":NaN'),
        infinity=_with('"temperature":-Infinity'),
        a_number_with_a_zero_first=_with('"max_tokens":01'),
        single_quotes=post(b"{'model':'x'}"),
        a_comma_behind=post(b'{"model":"x",}'),
        a_comment=post(b'{"model":"x"/* */}'),
        deep_lists=post(b"[" * 100_000),
        deep_objects=post(b'{"a":' * 100_000),
        deep_and_closed=_with('"metadata":' + "[" * 5_000 + "]" * 5_000),
        no_model=post(b'{"max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'),
        a_model_that_is_a_number=_with('"model":5'),
        a_model_that_is_null=_with('"model":null'),
        a_model_that_is_a_list=_with(f'"model":["{CANARY}"]'),
        an_empty_model=_with('"model":""'),
        streaming_by_text=_with('"stream":"yes"'),
        streaming_by_number=_with('"stream":1'),
        messages_that_are_text=_with(f'"messages":"{CANARY}"'),
    ),
    **_all(
        {200, 400},
        the_same_name_twice=_with('"max_tokens":5,"max_tokens":6'),
        a_number_beyond_64_bits=_with('"metadata":{"user_id":' + "9" * 30 + "}"),
        a_number_of_5000_digits=_with('"x":' + "9" * 5_000),
        a_number_with_a_large_exponent=_with('"temperature":1e999'),
        an_unknown_charset=post(OK, "content-type: application/json; charset=rot13"),
        nul_in_a_text=_with('"system":"\\u0000"'),
        max_tokens_as_truth=_with('"max_tokens":true'),
        max_tokens_as_text=_with('"max_tokens":"5"'),
        max_tokens_below_zero=_with('"max_tokens":-1'),
        max_tokens_as_a_fraction=_with('"max_tokens":1.5'),
        no_messages=_with('"messages":[]'),
        a_message_without_a_role=_with('"messages":[{"content":"hi"}]'),
        content_of_null=_with('"messages":[{"role":"user","content":null}]'),
        a_block_without_a_type=_with('"messages":[{"role":"user","content":[{}]}]'),
    ),
}

GROUPS = {
    "smuggling": SMUGGLING,
    "start lines": START_LINES,
    "headers": HEADERS,
    "sizes": SIZES,
    "targets": TARGETS,
    "methods": METHODS,
    "hosts": HOSTS,
    "documents": DOCUMENTS,
}
CASES = {f"{group}: {name}": case for group, cases in GROUPS.items() for name, case in cases.items()}
