"""Certificates for tests, made by the `openssl` command."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

EXTENSIONS = """\
[ca]
basicConstraints=critical,CA:true
keyUsage=critical,keyCertSign,cRLSign
[server]
basicConstraints=CA:false
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,IP:127.0.0.1
[client]
basicConstraints=CA:false
extendedKeyUsage=clientAuth
subjectAltName=DNS:client.example
"""

DAYS = 30
EXPIRED = -1


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and of its key."""

    cert: Path
    key: Path

    def copy_to(self, other: "Pair") -> None:
        """Puts this certificate into the place of another."""
        for mine, theirs in ((self.key, other.key), (self.cert, other.cert)):
            shutil.copy2(mine, theirs)
            os.utime(theirs)

    @property
    def pem(self) -> str:
        """The certificate's text."""
        return self.cert.read_text()


class Authority:
    """Who issues certificates. Its own is in `pair`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self._folder = folder / name
        self._folder.mkdir()
        self._extensions = self._folder / "extensions"
        self._extensions.write_text(EXTENSIONS)
        self.pair = self._issue(name, "ca", None, DAYS)

    def server(self, name: str = "server", days: int = DAYS) -> Pair:
        """A certificate for localhost and 127.0.0.1."""
        return self._issue(name, "server", self.pair, days)

    def client(self, name: str = "client", days: int = DAYS) -> Pair:
        """A certificate for a client."""
        return self._issue(name, "client", self.pair, days)

    def _issue(self, name: str, kind: str, issuer: Pair | None, days: int) -> Pair:
        request, cert, key = (self._folder / f"{name}.{end}" for end in ("csr", "crt", "key"))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        _openssl("req", "-new", *curve, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        by = ["-signkey", key] if issuer is None else ["-CA", issuer.cert, "-CAkey", issuer.key, "-CAcreateserial"]
        extensions = ["-extfile", self._extensions, "-extensions", kind]
        _openssl("x509", "-req", "-in", request, *by, "-days", days, *extensions, "-out", cert)
        key.chmod(0o600)
        return Pair(cert, key)


def _openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
