"""Requests made from `/openapi.json`, right ones and wrong ones: each answer is one that the document describes.

Its status, headers, media type and schema; what is missing; methods that there are not; and no failure of ours.
`make test` makes about a thousand in some ten seconds, `make fuzz` many more.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
from integration.process import process

EXAMPLES = int(os.environ.get("CCPROXY_FUZZ_CASES", "2000")) // 40  # for each operation
LEAST_CASES = 5 * EXAMPLES  # of all together: most have little that can vary, and soon no more of it
SEED = "4711"
DOCUMENT = Path(__file__).resolve().parents[2] / "ccproxy" / "openapi.json"
CONFIG = Path(__file__).parent / "schemathesis.toml"


def described() -> bytes:
    """The document with what a stream's events are (OpenAPI can say that from 3.2 on), and a request for one."""
    document = msgspec.json.decode(DOCUMENT.read_bytes())
    create = document["paths"]["/v1/messages"]["post"]
    asked = {
        "model": "claude-x",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
    }
    create["requestBody"]["content"]["application/json"]["examples"] = {"stream": {"value": asked}}
    answers = create["responses"]["200"]["content"]
    event = {"$ref": "#/components/schemas/MessageStreamEvent"}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": event}
    answers["text/event-stream"] = {"itemSchema": {"type": "object", "properties": {"data": data}}}
    return msgspec.json.encode(document)


def test_every_answer_is_as_described(tmp_path: Path):
    """Clients are generated from the document: what it does not say, they do not understand."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    options = ["--seed", SEED, "--max-examples", str(EXAMPLES), "--generation-database", "none", "--no-color"]
    report, document = tmp_path / "report.json", tmp_path / "openapi.json"
    document.write_bytes(described())
    with process(tmp_path / "home", {"demo": True}) as service:
        service.until_ready()
        ran = subprocess.run(
            [*command, str(document), "--url", service.url, *options, "--report-json-path", str(report)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [msgspec.json.decode(line) for line in service.stderr.splitlines()]

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert msgspec.json.decode(report.read_bytes())["test_cases"]["generated"] >= LEAST_CASES
    assert [line for line in lines if line["level"] == "error"] == []
