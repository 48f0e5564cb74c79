"""The contract as other languages see it: the .proto files, and the Python made from them."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ccproxy_pb.v1 import content_pb2, errors_pb2, json_pb2, proxy_pb2, status_pb2
from ccproxy_pb.v1.json_codec import ROUTES
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from ccproxy.errors import Reason

PROJECT = Path(__file__).resolve().parents[2]
PROTOS = sorted(path.relative_to(PROJECT) for path in PROJECT.glob("proto/ccproxy/v1/*.proto"))
MODULES = (content_pb2, errors_pb2, json_pb2, proxy_pb2, status_pb2)
METHODS = [
    method
    for module in (proxy_pb2, status_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a Python command in the project's folder."""
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=PROJECT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """What plain protoc makes of proto/, with nothing else on its path."""
    out = tmp_path_factory.mktemp("protoc") / "descriptors"
    done = run("-m", "grpc_tools.protoc", "-Iproto", f"--descriptor_set_out={out}", *PROTOS)
    assert done.returncode == 0, done.stderr
    return FileDescriptorSet.FromString(out.read_bytes())


def test_plain_protoc_compiles_the_contract(compiled: FileDescriptorSet):
    """A gRPC author in any language needs these five files and protoc."""
    names = {file.name for file in compiled.file}

    assert names == {f"ccproxy/v1/{name}.proto" for name in ("content", "errors", "json", "proxy", "status")}


def test_contract_depends_on_google_protobuf_alone(compiled: FileDescriptorSet):
    """Another import would be another thing to install."""
    imports = {name for file in compiled.file for name in file.dependency}

    assert {name for name in imports if not name.startswith("ccproxy/v1/")} == {
        "google/protobuf/descriptor.proto",
        "google/protobuf/timestamp.proto",
    }


def test_go_can_be_generated(compiled: FileDescriptorSet):
    """protoc-gen-go refuses a file without a package of its own."""
    assert {file.options.go_package for file in compiled.file} == {
        "github.com/ccproxy/ccproxy/gen/ccproxy/v1;ccproxyv1"
    }


def test_generated_code_is_current():
    """What is checked in must be what the schema says; `python proto/generate.py` makes it so."""
    done = run("proto/generate.py", "--check")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("module", MODULES)
def test_descriptors_keep_the_names_of_their_files(module: Any):
    """Reflection shows these names, and other languages register the same ones."""
    name = module.__name__.removeprefix("ccproxy_pb.v1.").removesuffix("_pb2")

    assert (module.DESCRIPTOR.name, module.DESCRIPTOR.package) == (f"ccproxy/v1/{name}.proto", "ccproxy.v1")


def test_message_can_be_pickled():
    """A class must say which module it is really in."""
    message = proxy_pb2.Message(id="msg_1")

    assert pickle.loads(pickle.dumps(message)) == message  # noqa: S301  # It was pickled here.


@pytest.mark.parametrize("method", METHODS, ids=[method.name for method in METHODS])
def test_every_rpc_has_a_route(method: Any):
    """Whatever gRPC can do, HTTP can, and the schema says how."""
    route = method.GetOptions().Extensions[json_pb2.http_route]

    assert (
        f"/{method.containing_service.full_name}/{method.name}",
        route.method,
        route.path,
        route.stream,
    ) in ROUTES


def test_routes_are_those_documented():
    """Clients of the Messages API and the specification's monitors call these paths."""
    assert [(method, path) for _rpc, method, path, _stream in ROUTES] == [
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{model_id}"),
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/status"),
    ]


def test_stream_selects_the_streaming_rpcs():
    """A client that asks for a stream gets one, and only then."""
    assert {method.name for method in METHODS if method.GetOptions().Extensions[json_pb2.http_route].stream} == {
        method.name for method in METHODS if method.server_streaming
    }


@pytest.mark.parametrize("method", METHODS, ids=[method.name for method in METHODS])
def test_requests_live_in_the_file_of_their_service(method: Any):
    """Reflection finds a file only once a service's module has imported it."""
    assert method.input_type.file.name == method.containing_service.file.name


def test_stream_is_no_member_of_a_request(compiled: FileDescriptorSet):
    """The RPC says whether to stream: neither the name nor its number may come to mean something else."""
    proxy = next(file for file in compiled.file if file.name == "ccproxy/v1/proxy.proto")
    request = next(message for message in proxy.message_type if message.name == "CreateMessageRequest")
    numbers = [number for span in request.reserved_range for number in range(span.start, span.end)]

    assert (list(request.reserved_name), numbers) == (["stream"], [17])


def test_number_15_is_kept_for_what_is_not_modelled():
    """A reader finds the rest of any message in the same place."""
    fields = [
        field for module in MODULES for m in module.DESCRIPTOR.message_types_by_name.values() for field in m.fields
    ]

    assert {field.name for field in fields if field.number == 15} == {"extra_json", "opaque"}


def test_every_error_reason_is_in_the_contract():
    """Clients match on these names (google.rpc.ErrorInfo): the schema lists all that are sent, and no other."""
    names = [value.name.removeprefix("ERROR_REASON_") for value in errors_pb2.ErrorReason.DESCRIPTOR.values]

    assert names == ["UNSPECIFIED", *Reason]


def test_generated_files_are_marked():
    """Whoever opens one must see that an edit there is lost."""
    files = [*(PROJECT / "generated").rglob("*.py"), *(PROJECT / "generated").rglob("*.pyi")]

    assert [file.name for file in files if "do not edit" not in file.read_text().lower()] == []
