"""Files that hold one secret."""

import os
from pathlib import Path
from typing import Any

import pytest
from unit.configs import CANARY, loaded, places, problems, read, secret_in, write

from ccproxy.config import Secret, secret_file
from ccproxy.config.secret_file import SecretFileError


@pytest.mark.parametrize("text", [CANARY, f"{CANARY}\n", f" {CANARY} \r\nmore\n"])
def test_the_first_line_is_the_secret(tmp_path: Path, text: str):
    """Editors and `echo` end it with a line break."""
    assert secret_file.read(secret_in(tmp_path, text)) == Secret(CANARY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", "is empty"), ("\n" + CANARY, "is empty"), ("  \n", "is empty"), (f"{CANARY}\0", "no header can carry")],
)
def test_a_file_without_a_secret_is_refused(tmp_path: Path, text: str, expected: str):
    """An empty key would be sent as one."""
    with pytest.raises(SecretFileError, match=expected) as raised:
        secret_file.read(secret_in(tmp_path, text))

    assert CANARY not in str(raised.value)


def test_bytes_are_refused(tmp_path: Path):
    """A key is text."""
    file = Path(secret_in(tmp_path))
    file.write_bytes(b"\xff")

    with pytest.raises(SecretFileError, match="not UTF-8"):
        secret_file.read(file)


def test_a_file_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path):
    """Its group may: services share keys so."""
    file = secret_in(tmp_path, mode=0o644)

    with pytest.raises(SecretFileError, match=f"run: chmod 600 {file}"):
        secret_file.read(file)
    assert secret_file.read(secret_in(tmp_path, mode=0o640)) == Secret(CANARY)


@pytest.mark.parametrize(
    ("file", "mounted"),
    [
        ("/run/secrets/openai", True),
        ("/var/run/secrets/ccproxy/openai", True),
        ("/run/secrets/../../home/me/key", False),
        ("/run/secretsx/key", False),
        ("/home/run/secrets/key", False),
    ],
)
def test_mounted_secrets_are_told_by_their_place(file: str, *, mounted: bool):
    """Docker and Kubernetes mount them readable by everybody."""
    assert secret_file.is_open_to_others(file, 0o644) is not mounted
    assert not secret_file.is_open_to_others(file, 0o640)


@pytest.mark.parametrize("name", ["missing", ".", "pipe"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str):
    """A pipe would block the start."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(SecretFileError):
        secret_file.read(tmp_path / name)


@pytest.mark.parametrize("file", ["key", "./key", "", "~root/key", "/a\0b"])
def test_a_path_is_absolute(file: str):
    """Nothing is read from the working directory."""
    with pytest.raises(SecretFileError, match="expected an absolute path"):
        secret_file.read(file)


# In a configuration.


def test_a_providers_key_is_read_at_the_start(tmp_path: Path):
    """Its file's name stays, too, for who looks at the configuration."""
    file = secret_in(tmp_path)
    (provider,) = read(tmp_path, {"providers": [{"name": "openai", "api_key_file": file}]}).providers

    assert (provider.api_key, provider.api_key_file) == (Secret(CANARY), file)


def test_a_providers_file_is_over_its_variable(tmp_path: Path):
    """The file is the more particular word."""
    document = {"providers": [{"name": "openai", "api_key_file": secret_in(tmp_path)}]}

    assert read(tmp_path, document, {"OPENAI_API_KEY": "other"}).providers[0].api_key == Secret(CANARY)


def test_the_home_directory_is_written_as_a_tilde(tmp_path: Path):
    """In every path."""
    (tmp_path / "key").write_text(CANARY)
    (tmp_path / "key").chmod(0o600)
    document = {
        "apikey_file": "~/key",
        "log_file": "~/log",
        "keys": [{"name": "a", "key_file": "~/key"}],
        "providers": [{"name": "openai", "api_key_file": "~/key"}],
    }
    config = read(tmp_path, document)
    paths = [config.apikey_file, config.log_file, config.keys[0].key_file, config.providers[0].api_key_file]

    assert paths == [f"{tmp_path}/key", f"{tmp_path}/log", f"{tmp_path}/key", f"{tmp_path}/key"]


def test_callers_keys_are_left_in_their_files(tmp_path: Path):
    """They are read again when they change."""
    file = secret_in(tmp_path)
    config = read(tmp_path, {"host": "0.0.0.0", "apikey_file": file, "keys": [{"name": "a", "key_file": file}]})

    assert (config.apikey, config.apikey_file, config.keys[0].key) == (None, file, None)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"apikey_file": "/no/such"}, "$.apikey_file"),
        ({"apikey_file": "key"}, "$.apikey_file"),
        ({"host": "0.0.0.0", "apikey_file": "/no/such"}, "$.apikey_file"),
        ({"keys": [{"name": "a", "key_file": "/no/such"}]}, "$.keys[0].key_file"),
        ({"providers": [{"name": "openai", "api_key_file": "/no/such"}]}, "$.providers[0].api_key_file"),
        ({"providers": [{"name": "openai", "api_key": "a", "api_key_file": "/x"}]}, "$.providers[0].api_key_file"),
    ],
)
def test_a_file_that_gives_no_key_is_told_at_the_start(tmp_path: Path, document: Any, place: str):
    """Not at the first request."""
    assert places(tmp_path, document) == [place]


def test_two_words_for_one_key_are_refused(tmp_path: Path):
    """Which one counts?"""
    document = {"apikey": "a", "apikey_file": secret_in(tmp_path)}

    assert problems(tmp_path, document) == ["$.apikey_file: apikey is there, too; leave one out"]


def test_the_file_of_a_disabled_provider_need_not_be_there(tmp_path: Path):
    """It may be mounted elsewhere."""
    document = {"providers": [{"name": "openai", "api_key_file": "/no/such", "enabled": False}]}

    assert read(tmp_path, document).active == []


@pytest.mark.parametrize(
    ("document", "warned"),
    [
        ({"apikey": CANARY}, True),
        ({"keys": [{"name": "a", "key": CANARY}]}, True),
        ({"providers": [{"name": "openai", "api_key": CANARY}]}, True),
        ({"providers": [{"name": "openai", "api_key": "${KEY}"}]}, False),
        ({"port": 4000}, False),
    ],
)
def test_keys_in_a_file_that_others_may_read_are_a_warning(tmp_path: Path, document: Any, *, warned: bool):
    """The ancestor wrote such files."""
    file = write(tmp_path, document)
    file.chmod(0o644)
    warnings = loaded(tmp_path, None, {"KEY": "x"}).warnings

    assert warnings == ([f"{file}: holds keys that others may read; run: chmod 600 {file}"] if warned else [])


def test_in_a_pod_a_file_is_anybodys(tmp_path: Path):
    """Kubernetes mounts Secrets readable by all users of a container, of whom there is one."""
    write(tmp_path, {"apikey": CANARY}).chmod(0o644)

    assert loaded(tmp_path, None, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).warnings == []
