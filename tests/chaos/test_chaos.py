"""The short form of `make chaos`, and the proof that its judge can say no."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT

# Its runs end as soon as there is nothing left to do; how long that takes is a matter of the machine.
pytestmark = pytest.mark.timeout(1000)


def _chaos(logs: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """A run in a process of its own: exit code, its JSON line, what it says to a person."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--logs", str(logs), "--seconds", "800", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1, f"{done.stdout}\n{done.stderr}"
    result: dict[str, Any] = json.loads(lines[0])
    sys.stdout.write(f"{lines[0]}\n{done.stderr}")  # pytest shows it where the test fails
    return done.returncode, result, done.stderr


def test_nothing_is_lost_or_sent_twice_while_everything_breaks_once(tmp_path: Path) -> None:
    code, result, _ = _chaos(tmp_path, "--messages", "300", "--kills", "12", "--patience", "240")
    found = {name: result[name] for name in ("lost", "sent_twice", "reported_wrong", "stuck")}
    assert found == {"lost": 0, "sent_twice": 0, "reported_wrong": 0, "stuck": 0}
    assert code == 0
    assert result["messages"] >= 300
    assert result["kills"]["total"] == 12
    assert result["unknown"] > 0, "nothing became unknown, so nothing was tried"


def test_the_embedded_default_loses_nothing_when_its_one_process_is_killed(tmp_path: Path) -> None:
    arguments = ("--messages", "100", "--kills", "4", "--patience", "240", "--rate", "0.004")
    kinds = ("--kinds", "worker", "in_flight", "answered", "recording")
    code, result, _ = _chaos(tmp_path, "--stack", "sqlite-embedded", *arguments, *kinds)
    assert code == 0
    assert result["unknown"] > 0


def test_a_reconciler_that_resends_at_once_is_found_to_send_twice(tmp_path: Path) -> None:
    arguments = ("--messages", "150", "--kills", "0", "--rate", "0.02", "--patience", "240")
    code, result, words = _chaos(tmp_path, "--defect", "resend-at-once", *arguments)
    assert code == 1
    assert result["sent_twice"] > 0
    assert str(tmp_path) in words
    assert "sent_twice: " in (tmp_path / "verdict.txt").read_text()


def test_a_sweep_without_lease_recovery_is_found_to_leave_messages_stuck(tmp_path: Path) -> None:
    arguments = ("--messages", "60", "--kills", "2", "--kinds", "claimed", "--rate", "0", "--patience", "10")
    code, result, _ = _chaos(tmp_path, "--defect", "no-lease-recovery", *arguments)
    assert code == 1
    assert result["stuck"] > 0
    assert result["lost"] == result["sent_twice"] == 0
