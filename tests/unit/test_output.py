"""What people read stays readable on any terminal."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commandline import call
from worker.operator.commands import doctor, up
from worker.operator.doctor.check import Check, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKS = [Check(str(verdict), verdict, "", "") for verdict in Verdict]


def shown(encoding: str, checks: Sequence[Check]) -> str:
    """What doctor's table is on a terminal of this encoding."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    with contextlib.redirect_stdout(out):
        doctor.show(checks)
    out.flush()
    return out.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_each_verdict_of_doctor_has_a_sign_of_its_own_in_any_encoding(encoding: str) -> None:
    rows = [line for line in shown(encoding, CHECKS).splitlines() if any(str(each) in line for each in Verdict)]
    signs = {line.split()[1] for line in rows}
    assert len(signs) == len(Verdict)
    assert "?" not in signs


@pytest.mark.parametrize("command", ["import", "export", "restored"])
def test_the_terminal_breaks_the_lines_of_a_help_and_not_our_source(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    text = call(command, "--help").out.partition("\n╭")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert all(line.endswith((".", "…", "...")) or line.startswith("Usage") for line in lines), lines


def test_up_names_the_program_as_the_shell_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / ".venv" / "bin" / "smsclick"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "up"])
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert up.program_name() == str(Path(".venv/bin/smsclick"))
    monkeypatch.chdir(program.parent.parent / "bin" / "..")
    assert up.program_name() == str(Path("bin/smsclick"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert up.program_name() == str(program)
    monkeypatch.setenv("PATH", str(program.parent))
    assert up.program_name() == "smsclick"
