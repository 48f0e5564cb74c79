"""curl: the commands that people copy from documentation, and the scripts that monitors run."""

import re

import msgspec
import pytest
from e2e.conftest import KEY, RELAYED
from e2e.service import Service
from e2e.tools import require, run

REQUEST = {"max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}


def curl(*arguments: str) -> str:
    """What curl prints. It must end well."""
    done = run([require("curl"), "--silent", "--show-error", "--max-time", "20", *arguments])
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(service: Service, model: str, **members: object) -> str:
    """What POST /v1/messages answers."""
    body = msgspec.json.encode({"model": model, **REQUEST, **members}).decode()
    return curl("-H", "content-type: application/json", "-d", body, f"{service.url}/v1/messages")


def test_the_root_names_the_api(service: Service):
    """Load balancers and the specification's health script ask for this path."""
    info = msgspec.json.decode(curl(f"{service.url}/"))

    assert list(info) == ["message", "version"]
    assert info["message"] == "LLMs API"
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{service.url}/") == "200"


def test_health_tells_everything_to_who_sits_on_this_host(service: Service):
    """The documented fields, by their documented names: monitors read them."""
    health = msgspec.json.decode(curl("--fail", f"{service.url}/health"))

    assert list(health) == ["status", "timestamp", "uptime", "version", "config", "performance", "upstreams"]
    assert health["status"] == "healthy"
    assert list(health["config"]) == ["host", "port", "providers", "api_key_configured"]
    assert list(health["performance"]) == ["memory_mb", "goroutines", "requests", "latency"]
    assert list(health["performance"]["requests"]) == ["total", "success", "failed"]
    assert list(health["performance"]["latency"]) == ["avg_ms", "p50_ms", "p95_ms", "p99_ms"]


def test_health_tells_a_stranger_only_that_it_is_well(service: Service):
    """A request that was passed on by a proxy comes from anywhere."""
    assert curl("-H", "x-forwarded-for: 203.0.113.7", f"{service.url}/health") == '{"status":"healthy"}'


@pytest.mark.parametrize("header", [f"x-api-key: {KEY}", f"authorization: Bearer {KEY}"])
def test_health_tells_everything_to_who_has_the_key(locked_service: Service, header: str):
    """Monitoring runs elsewhere, and has a key instead."""
    answer = curl("-H", "x-forwarded-for: 203.0.113.7", "-H", header, f"{locked_service.url}/health")

    assert "performance" in msgspec.json.decode(answer)


def test_status_tells_the_facts(service: Service):
    """The documented fields, and the process that is really running."""
    status = msgspec.json.decode(curl(f"{service.url}/status"))

    assert (status["service"], status["status"]) == ("CCProxy", "running")
    assert status["pid"] == service.process.pid
    assert status["port"] == service.port
    assert re.fullmatch(r"\d+h \d+m \d+s", status["uptime"])
    providers = ["anthropic", "deepseek", "gemini", "openai", "openrouter"]
    assert status["providers"] == {"count": 5, "active": providers}
    assert set(status["build"]) == {"version", "commit", "date"}


def test_status_is_refused_to_a_stranger(service: Service):
    """It tells what is installed here."""
    code = curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "x-real-ip: 203.0.113.7", f"{service.url}/status")

    assert code in {"401", "403"}


def test_a_message_comes_as_one_document(service: Service, model: str):
    """The command of the front page."""
    message = msgspec.json.decode(ask(service, model))

    assert message["content"][0]["text"] == "Demo answer to: Hello"


def test_a_stream_comes_as_server_sent_events(service: Service, model: str):
    """Every event has a name that its data repeats, and the last one is the end."""
    answer = ask(service, model, stream=True)
    events = re.findall(r"^event: (\w+)\ndata: (.*)$", answer, re.MULTILINE)

    assert all(msgspec.json.decode(data)["type"] == name for name, data in events)
    assert [name for name, _ in events][:1] == ["message_start"]
    assert [name for name, _ in events][-1:] == ["message_stop"]


def test_a_stream_is_not_held_back(service: Service):
    """The first byte must come long before the last: people watch it write."""
    body = msgspec.json.encode(
        {
            "model": RELAYED,
            "max_tokens": 100,
            "stream": True,
            "messages": [{"role": "user", "content": "[[tokens 10]] [[pace 100]]"}],
        }
    ).decode()
    first, last = curl(
        *("-N", "-o", "/dev/null", "-w", "%{time_starttransfer} %{time_total}"),
        *("-H", "content-type: application/json", "-d", body, f"{service.url}/v1/messages"),
    ).split()

    assert float(last) - float(first) > 0.5


def test_an_error_is_anthropics_envelope_with_its_status(service: Service):
    """Whatever goes wrong, there is one form to read it by."""
    answer = curl(
        "-w", "\n%{http_code}", "-H", "content-type: application/json", "-d", "{", f"{service.url}/v1/messages"
    )
    body, _, code = answer.rpartition("\n")
    error = msgspec.json.decode(body)

    assert (code, error["type"], error["error"]["type"]) == ("400", "error", "invalid_request_error")
    assert error["request_id"].startswith("req_")


def test_metrics_are_in_the_exposition_format(service: Service):
    """Prometheus drops the whole scrape on one bad line."""
    lines = curl(f"{service.url}/metrics").splitlines()

    assert any(line.startswith("ccproxy_requests_total{") for line in lines)
    assert all(re.fullmatch(r"#.*|\w+(\{.*\})? \S+", line) for line in lines if line)
