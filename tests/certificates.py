"""Certificates of an authority of our own, by openssl: what private servers show in tests."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """An authority that no program trusts by default; `root` is its certificate.

    Args:
        folder: for its files.
        name: of the authority.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.root = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        subject = ("-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._run("req", "-x509", *_KEY, "-days", "2", *subject, "-keyout", str(self._key), "-out", str(self.root))

    def issue(self, *names: str) -> tuple[Path, Path]:
        """A certificate for these names (`DNS:localhost`, `IP:127.0.0.1`) and its key, which anybody may read."""
        stem = self._folder / "-".join(each.replace(":", "_") for each in names)
        request, certificate, key = (stem.with_name(f"{stem.name}.{end}") for end in ("csr", "crt", "key"))
        self._run("req", "-new", *_KEY, "-subj", "/CN=server", "-keyout", str(key), "-out", str(request))
        extensions = stem.with_name(f"{stem.name}.ext")
        extensions.write_text(f"subjectAltName={','.join(names)}\n")
        signer = ("-CA", str(self.root), "-CAkey", str(self._key), "-CAcreateserial")
        self._run(
            *("x509", "-req", "-in", str(request), *signer),
            *("-days", "2", "-extfile", str(extensions), "-out", str(certificate)),
        )
        key.chmod(0o644)
        return certificate, key

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server of ours in this process needs to show such a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names))
        return context

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60, cwd=self._folder)
