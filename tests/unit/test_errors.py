"""What can go wrong, in one table: complete against Anthropic's types, gRPC's codes and the contract's reasons."""

import logging
from typing import get_args

import anthropic.types
import grpc
import msgspec
import pytest
from ccproxy_pb.v1.errors_pb2 import ErrorReason

from ccproxy.errors import RULES, ApiError, Reason, internal, reason_for_status

CANARY = "sk-canary-0123456789"

DOCUMENTED = {
    Reason.INVALID_REQUEST: ("invalid_request_error", 400, "INVALID_ARGUMENT", False),
    Reason.AUTHENTICATION_FAILED: ("authentication_error", 401, "UNAUTHENTICATED", False),
    Reason.BILLING: ("billing_error", 402, "FAILED_PRECONDITION", False),
    Reason.PERMISSION_DENIED: ("permission_error", 403, "PERMISSION_DENIED", False),
    Reason.NOT_FOUND: ("not_found_error", 404, "NOT_FOUND", False),
    Reason.CONFLICT: ("conflict_error", 409, "ABORTED", False),
    Reason.REQUEST_TOO_LARGE: ("request_too_large", 413, "RESOURCE_EXHAUSTED", False),
    Reason.RATE_LIMITED: ("rate_limit_error", 429, "RESOURCE_EXHAUSTED", True),
    Reason.UPSTREAM_AUTHENTICATION_FAILED: ("api_error", 502, "INTERNAL", False),
    Reason.UPSTREAM_UNREACHABLE: ("api_error", 502, "UNAVAILABLE", True),
    Reason.UPSTREAM_INVALID_RESPONSE: ("api_error", 502, "INTERNAL", True),
    Reason.OVERLOADED: ("overloaded_error", 529, "UNAVAILABLE", True),
    Reason.SHUTTING_DOWN: ("overloaded_error", 503, "UNAVAILABLE", True),
    Reason.TIMEOUT: ("timeout_error", 504, "DEADLINE_EXCEEDED", True),
    Reason.UNSUPPORTED: ("invalid_request_error", 501, "UNIMPLEMENTED", False),
    Reason.INTERNAL: ("api_error", 500, "INTERNAL", False),
}
"""The table again: a change here is a change of the contract."""


def anthropic_types() -> set[str]:
    """The error types that the official SDK knows."""
    union = get_args(anthropic.types.ErrorObject)[0]
    return {get_args(member.model_fields["type"].annotation)[0] for member in get_args(union)}


def test_the_table_is_the_documented_one():
    """Clients branch on these values."""
    assert {r: (rule.type, rule.status, rule.grpc, rule.retry) for r, rule in RULES.items()} == DOCUMENTED


def test_every_reason_has_a_rule():
    """A reason without one would be a KeyError in the place of an error."""
    assert set(RULES) == set(Reason)


def test_the_reasons_are_those_of_the_contract():
    """Clients of gRPC read them from the schema."""
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118  # no mapping

    assert names - {"UNSPECIFIED"} == {reason.value for reason in Reason}


def test_every_error_type_of_anthropic_has_a_reason():
    """What an Anthropic upstream can say, a caller must be able to hear."""
    assert {rule.type for rule in RULES.values()} >= anthropic_types()


def test_every_grpc_code_exists():
    """The table names codes by text, so that nothing here imports grpc."""
    assert {rule.grpc for rule in RULES.values()} <= {code.name for code in grpc.StatusCode}


def test_unknown_is_never_a_code():
    """UNKNOWN is what grpc says when a server breaks."""
    assert {"UNKNOWN", "OK"}.isdisjoint(rule.grpc for rule in RULES.values())


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (301, Reason.UPSTREAM_INVALID_RESPONSE),
        (200, Reason.UPSTREAM_INVALID_RESPONSE),
        (400, Reason.INVALID_REQUEST),
        (401, Reason.UPSTREAM_AUTHENTICATION_FAILED),
        (402, Reason.BILLING),
        (403, Reason.UPSTREAM_AUTHENTICATION_FAILED),
        (404, Reason.NOT_FOUND),
        (408, Reason.TIMEOUT),
        (409, Reason.CONFLICT),
        (413, Reason.REQUEST_TOO_LARGE),
        (418, Reason.INVALID_REQUEST),
        (422, Reason.INVALID_REQUEST),
        (429, Reason.RATE_LIMITED),
        (499, Reason.INVALID_REQUEST),
        (500, Reason.INTERNAL),
        (501, Reason.UNSUPPORTED),
        (502, Reason.INTERNAL),
        (503, Reason.OVERLOADED),
        (504, Reason.TIMEOUT),
        (529, Reason.OVERLOADED),
        (599, Reason.INTERNAL),
    ],
)
def test_a_providers_status_has_a_reason(status: int, reason: Reason):
    """Any status, also one that no document names."""
    assert reason_for_status(status) is reason


def test_a_refused_provider_key_is_never_the_callers_failure():
    """On a 401 Claude Code throws its own key away."""
    assert {RULES[reason_for_status(status)].status for status in (401, 403)} == {502}


def test_the_document_is_anthropics_envelope():
    """SDKs find type and message there."""
    document = ApiError(Reason.NOT_FOUND, 'no "such" model').document("req_1")

    assert msgspec.json.decode(document) == {
        "type": "error",
        "error": {"type": "not_found_error", "message": 'no "such" model'},
        "request_id": "req_1",
    }


def test_the_document_holds_what_a_program_can_decide_by():
    """Such as Anthropic's `error_code`, where a provider gave one."""
    error = ApiError(Reason.INVALID_REQUEST, "x", details={"error_code": "prompt_too_long"})

    assert msgspec.json.decode(error.document("req_1"))["error"]["details"] == {"error_code": "prompt_too_long"}


def test_a_providers_own_document_is_passed_on_as_it_is():
    """Claude Code recovers by the wording of Anthropic's errors."""
    body = b'{ "type":"error", "error":{"type":"x_error","message":"prompt is too long"} }'

    assert ApiError(Reason.INVALID_REQUEST, "x", body=body).document("req_1") is body


def test_an_error_takes_what_the_provider_said():
    """Its type, status, and whether to try again."""
    error = ApiError(Reason.OVERLOADED, "busy", type="x_error", status=503, should_retry=False, retry_after=7)

    assert (error.type, error.status, error.grpc, error.should_retry, error.retry_after) == (
        "x_error",
        503,
        "UNAVAILABLE",
        False,
        7,
    )


@pytest.mark.parametrize("reason", Reason)
def test_an_error_is_its_rule_where_nobody_said_more(reason: Reason):
    """The usual case."""
    error = ApiError(reason, "text")

    assert (error.type, error.status, error.grpc, error.should_retry) == DOCUMENTED[reason]


def test_an_error_names_the_provider_that_failed():
    """With several providers, "502" alone helps nobody."""
    error = ApiError(Reason.TIMEOUT, "late").by("openai", 504, "req_up")

    assert (error.provider, error.upstream_status, error.upstream_request_id) == ("openai", 504, "req_up")


def fail() -> None:
    """A mistake with a secret in its text."""
    raise RuntimeError(CANARY)


def raised() -> RuntimeError:
    """The mistake with its traceback."""
    with pytest.raises(RuntimeError) as raised:
        fail()
    return raised.value


def test_a_mistake_of_ours_is_an_opaque_id(caplog: pytest.LogCaptureFixture):
    """The same id for the caller and in the log: that is how the two are brought together."""
    error = internal(raised(), logging.getLogger("test"))
    mark = error.message.removeprefix("Internal error ")

    assert (error.reason, len(mark), mark in caplog.text) == (Reason.INTERNAL, 12, True)


def test_a_mistake_of_ours_shows_no_text(caplog: pytest.LogCaptureFixture):
    """Nobody can promise that an exception's text holds no key."""
    error = internal(raised(), logging.getLogger("test"))

    assert CANARY not in caplog.text + error.message


def test_a_mistake_of_ours_is_logged_with_its_place(caplog: pytest.LogCaptureFixture):
    """Without the text, class and place are all a maintainer has."""
    internal(raised(), logging.getLogger("test"))

    assert "RuntimeError in fail (" in caplog.text
