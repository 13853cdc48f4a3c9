"""Call the `smsclick` program: here in this process, or as the real one where that is what matters."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smsclick._cli.main import main
from smsclick.settings import get_settings
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a call of the program ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that could not be done."""
        assert self.code == 1, self
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert self.out == "", self.out
        return lines[0]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


def call(*words: str, env: Mapping[str, str] | None = None, stdin: bytes = b"", cwd: Path | None = None) -> Ended:
    """Run a command in this process, with settings of its own."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name, value in (env or {}).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        patch.chdir(cwd or ROOT / "tests")
        get_settings.cache_clear()
        try:
            code = main(words)
        finally:
            get_settings.cache_clear()
    return Ended(code, *(_text(stream) for stream in (out, err)))


def run(
    *words: str, env: Mapping[str, str] | None = None, stdin: bytes = b"", cwd: Path = ROOT, python: str = ""
) -> Ended:
    """Run the installed program as a process of its own.

    Args:
        words: the command.
        env: its settings; nothing else of this process's environment but what any program needs.
        stdin: what it reads.
        cwd: where it runs.
        python: a PYTHONPATH.
    """
    names = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_CONFIG")
    needed = {name: os.environ[name] for name in names if name in os.environ}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("smsclick")), *words],
        cwd=cwd,
        env={**needed, **({"PYTHONPATH": python} if python else {}), **(env or {})},
        input=stdin,
        capture_output=True,
        check=False,
        timeout=240,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
