"""Keys: what fits, what is kept of them, and how a file that changes is followed."""

import hmac
import logging
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from ccproxy import keys
from ccproxy.access import LOCAL
from ccproxy.config import Config, ConfigError, KeyConfig, Secret, load
from ccproxy.keys import CHECK_SECONDS, Key, KeyRing

OLD, NEW = "the-old-key", "the-new-key"

Break = Callable[[Path], None]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float = CHECK_SECONDS) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def private() -> Iterator[None]:
    """Files of this test are for their owner alone, as keys must be."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A key's file."""
    written = tmp_path / "key"
    written.write_text(f"{OLD}\n")
    return written


def ring(*each: KeyConfig, clock: Clock | None = None, **settings) -> KeyRing:
    """A ring of these keys."""
    return KeyRing(Config(keys=list(each), **settings), clock or Clock())


def watching(file: Path, clock: Clock) -> KeyRing:
    """A ring with the key of a file."""
    return ring(KeyConfig("team", key_file=str(file)), clock=clock)


def fits(held: KeyRing, key: str) -> bool:
    """Whether `key` is one of them."""
    return held.find([key]) is not None


# What fits.


def test_a_key_is_found_by_its_text():
    """What is told of it is its name and scope."""
    assert ring(KeyConfig("team", key=Secret(OLD))).find([OLD]) == Key("team", "all")


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_a_key_is_found_by_its_hash(spelling: type[str]):
    """The configuration then holds no secret."""
    each = KeyConfig("team", key_sha256=spelling(sha256(OLD.encode()).hexdigest()))

    assert fits(ring(each), OLD)


def test_a_hash_is_no_key():
    """Who reads the configuration must not be let in by what is written there."""
    digest = sha256(OLD.encode()).hexdigest()

    assert not fits(ring(KeyConfig("team", key_sha256=digest)), digest)


@pytest.mark.parametrize("content", [f"{OLD}", f"{OLD}\n", f"{OLD}\r\n", f"  {OLD} \n", f"{OLD}\nsecond line\n"])
def test_a_key_is_the_first_line_of_its_file(file: Path, clock: Clock, content: str):
    """Editors and `echo` end a file with a line break, or with two."""
    file.write_text(content)

    assert fits(watching(file, clock), OLD)


def test_a_key_need_not_be_ascii(file: Path, clock: Clock):
    """Bytes are compared, and these are the ones that a header brings."""
    file.write_text("ключ\n", encoding="utf-8")

    assert fits(watching(file, clock), "ключ")


def test_the_main_key_and_named_ones_are_all_keys(file: Path):
    """One of them for each who needs one."""
    held = KeyRing(
        Config(apikey=Secret("a"), apikey_file=str(file), keys=[KeyConfig("c", "monitor", key=Secret("c"))])
    )

    assert [held.find([key]) for key in ("a", OLD, "c", "d")] == [
        Key("apikey", "all"),
        Key("apikey", "all"),
        Key("c", "monitor"),
        None,
    ]


@pytest.mark.parametrize("order", [("all", "monitor"), ("monitor", "all")])
def test_a_key_that_is_there_twice_is_good_for_more(order: tuple[keys.Scope, keys.Scope]):
    """Whichever comes first in the file."""
    found = ring(*(KeyConfig(scope, scope, key=Secret(OLD)) for scope in order)).find([OLD])

    assert found == Key("all", "all")


def test_a_ring_knows_the_scopes_of_its_keys():
    """Whether a key would help depends on it."""
    held = ring(KeyConfig("grafana", "monitor", key=Secret(OLD)))

    assert (held.has("monitor"), held.has("all")) == (True, False)


def test_every_key_is_compared_whatever_has_been_found(monkeypatch: pytest.MonkeyPatch):
    """An early end would tell, by its time, how many keys stand before the right one."""
    compared: list[bytes] = []

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(keys, "hmac", type("Counting", (), {"compare_digest": staticmethod(counting)}))
    held = ring(*(KeyConfig(name, key=Secret(name)) for name in ("a", "b", "c")))
    held.find(["a", "wrong"])

    assert len(compared) == 6
    assert {len(each) for each in compared} == {32}


def test_a_ring_keeps_no_key(file: Path, clock: Clock):
    """A dump of its memory shows digests."""
    held = ring(KeyConfig("a", key=Secret(NEW)), KeyConfig("b", key_file=str(file)), clock=clock)
    held.find([OLD])
    kept = repr([(key, getattr(each, "__dict__", each)) for key, each in held._held])

    assert OLD not in kept
    assert NEW not in kept


@pytest.mark.parametrize("name", [keys.MAIN, LOCAL])
def test_a_name_with_a_meaning_of_its_own_is_refused(tmp_path: Path, name: str):
    """Who is let in without a key is `local`; a key of that name would pass for nobody."""
    (tmp_path / "config.json").write_bytes(msgspec.json.encode({"keys": [{"name": name, "key": "k"}]}))

    with pytest.raises(ConfigError, match=rf"\$\.keys\[0\]\.name: {name} has a meaning of its own"):
        load(tmp_path / "config.json", {}, tmp_path)


# A file that cannot be used at the start.


@pytest.mark.parametrize("content", ["", "\n", "  \nsecond line\n", "\r\n"])
def test_an_empty_file_is_refused_at_the_start(file: Path, clock: Clock, content: str):
    """An empty key would let everybody in who sends an empty header."""
    file.write_text(content)

    with pytest.raises(OSError, match=r"key team: the first line of .*key is empty"):
        watching(file, clock)


def test_a_missing_file_is_refused_at_the_start(tmp_path: Path, clock: Clock):
    """The message names the key and the file."""
    with pytest.raises(OSError, match=r"key team: .*nothing: No such file or directory"):
        watching(tmp_path / "nothing", clock)


def test_a_directory_is_refused_at_the_start(tmp_path: Path, clock: Clock):
    """Docker makes one where a mounted file does not exist."""
    with pytest.raises(OSError, match=r"key team: .* is not a file"):
        watching(tmp_path, clock)


def test_a_file_that_others_may_read_is_refused_at_the_start(file: Path, clock: Clock):
    """Every user of the host would have the key."""
    file.chmod(0o644)

    with pytest.raises(OSError, match=r"key team: others may read .*chmod 600"):
        watching(file, clock)


# A file that changes.


def test_a_new_key_counts_within_a_second(file: Path, clock: Clock):
    """And the old one no longer does: a rotated key is a revoked one."""
    held = watching(file, clock)
    file.write_text(f"{NEW}\n")
    clock.passes()

    assert (fits(held, NEW), fits(held, OLD)) == (True, False)


def test_a_file_is_looked_at_once_a_second(file: Path, clock: Clock):
    """A flood of requests must not become a flood of system calls."""
    held = watching(file, clock)
    file.write_text(f"{NEW}\n")
    clock.passes(CHECK_SECONDS / 2)

    assert fits(held, OLD)


def test_a_file_that_has_not_changed_is_not_read(file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch):
    """Its stamp is enough."""
    held = watching(file, clock)
    monkeypatch.setattr(keys, "_read", None)
    clock.passes()

    assert fits(held, OLD)


def test_a_ring_without_files_looks_at_nothing():
    """Most installations have none."""
    held = ring(KeyConfig("team", key=Secret(OLD)))
    held._clock = None  # it would fail where it is asked

    assert fits(held, OLD)


def test_a_secret_of_kubernetes_is_followed(tmp_path: Path, clock: Clock):
    """The kubelet swaps a link to a new directory; the file's own name and link stay."""
    for name, key in (("..v1", OLD), ("..v2", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(key)
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "key").symlink_to("..data/key")
    held = watching(tmp_path / "key", clock)
    (tmp_path / "..data_tmp").symlink_to("..v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    clock.passes()

    assert (fits(held, NEW), fits(held, OLD)) == (True, False)


def test_a_replaced_file_of_the_same_time_and_size_is_followed(file: Path, clock: Clock, tmp_path: Path):
    """`cp -p` keeps the time; the inode is another one."""
    held = watching(file, clock)
    seen = file.stat()
    other = tmp_path / "other"
    other.write_text(f"{NEW}\n")
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    other.rename(file)
    clock.passes()

    assert fits(held, NEW)


def test_a_rotation_is_logged_without_the_key(file: Path, clock: Clock, caplog: pytest.LogCaptureFixture):
    """The operator sees that it has happened."""
    caplog.set_level(logging.INFO)
    held = watching(file, clock)
    file.write_text(f"{NEW}\n")
    clock.passes()
    held.find([])

    assert caplog.messages == ["key team: its file has a new value, which counts from now on"]


def test_a_file_that_is_touched_is_no_rotation(file: Path, clock: Clock, caplog: pytest.LogCaptureFixture):
    """The same key under a new time."""
    caplog.set_level(logging.INFO)
    held = watching(file, clock)
    file.write_text(f"{OLD}\n# a comment\n")
    clock.passes()

    assert fits(held, OLD)
    assert caplog.messages == []


# A file that cannot be used later.


def missing(file: Path) -> None:
    """It is gone."""
    file.unlink()


def empty(file: Path) -> None:
    """Somebody writes it right now."""
    file.write_text("")


def shared(file: Path) -> None:
    """Written anew by a tool that knows no umask."""
    file.write_text(f"{NEW}\n")
    file.chmod(0o644)


def directory(file: Path) -> None:
    """Another thing has its name."""
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("broken", [missing, empty, shared, directory])
def test_the_last_good_key_counts_on(file: Path, clock: Clock, broken: Break):
    """A mistake in a rotation must not lock everybody out."""
    held = watching(file, clock)
    broken(file)
    clock.passes()

    assert (fits(held, OLD), fits(held, "")) == (True, False)


@pytest.mark.parametrize("broken", [missing, empty, shared, directory])
def test_a_broken_file_is_told_once(file: Path, clock: Clock, broken: Break, caplog: pytest.LogCaptureFixture):
    """One line for the operator, not one a second; nothing of the file is in it."""
    held = watching(file, clock)
    broken(file)
    for _ in range(3):
        clock.passes()
        held.find([OLD])

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("key team: its file cannot be used, so its last value counts: ")
    assert OLD not in caplog.text
    assert NEW not in caplog.text


def test_mended_permissions_are_noticed(file: Path, clock: Clock):
    """They change neither time nor size, so a failure is tried again as it is."""
    held = watching(file, clock)
    shared(file)
    clock.passes()
    before = fits(held, NEW)
    file.chmod(0o600)
    clock.passes()

    assert (before, fits(held, NEW)) == (False, True)


def test_a_mended_file_counts_again(file: Path, clock: Clock):
    """Without a restart."""
    held = watching(file, clock)
    empty(file)
    clock.passes()
    held.find([OLD])
    file.write_text(NEW)
    clock.passes()

    assert (fits(held, NEW), fits(held, OLD)) == (True, False)


def test_a_file_that_comes_back_as_it_was_is_told_again_when_it_breaks_again(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    """Each failure is one line."""
    held = watching(file, clock)
    aside = file.with_name("aside")
    for _ in range(2):
        file.rename(aside)
        clock.passes()
        held.find([OLD])
        aside.rename(file)
        clock.passes()
        held.find([OLD])

    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_one_broken_file_does_not_stop_the_others(file: Path, tmp_path: Path, clock: Clock):
    """Each key has its own rotation."""
    second = tmp_path / "second"
    second.write_text("second-old")
    held = ring(KeyConfig("a", key_file=str(file)), KeyConfig("b", key_file=str(second)), clock=clock)
    missing(file)
    second.write_text(NEW)
    clock.passes()

    assert (fits(held, OLD), fits(held, NEW)) == (True, True)
