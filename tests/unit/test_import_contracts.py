"""`make lint` fails when an import goes against the direction of the rooms."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code, in which a test may draw an arrow."""
    for package in ("smsclick", "worker", "web", "models"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(checkout: Path) -> subprocess.CompletedProcess[str]:
    """What `make lint` runs, in that checkout."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-logo", "--no-cache"], cwd=checkout, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_code_as_it_is_keeps_every_contract_without_an_ignored_import(checkout: Path) -> None:
    done = lint(checkout)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
    assert "ignore_imports" not in (checkout / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        pytest.param(
            "worker/lifecycle/state_machine.py", "worker.sending.pump", id="up, from the state machine to a step"
        ),
        pytest.param("worker/sending/pump.py", "worker.tracking.by_report", id="aside, from one step to another"),
        pytest.param("worker/tracking/by_status.py", "worker.runtime", id="up, from a step to the process"),
        pytest.param(
            "worker/lifecycle/callback_outbox.py", "worker.lifecycle.state_machine", id="a circle within a room"
        ),
        pytest.param("smsclick/_enqueue/enqueue.py", "worker.queue.claims", id="out of the wheel"),
        pytest.param("smsclick/_values/phones.py", "smsclick.settings", id="up, within smsclick"),
        pytest.param("worker/lifecycle/on_report.py", "sqlalchemy", id="a decision that could read the database"),
        pytest.param("worker/operator/stats.py", "web.app", id="from the worker to the HTTP API"),
        pytest.param("web/account.py", "worker.sending.pump", id="from the HTTP API past what an operator does"),
        pytest.param("worker/compat/__init__.py", "worker.queue.claims", id="a workaround that knows of messages"),
    ],
)
def test_an_arrow_against_the_direction_is_refused(checkout: Path, module: str, imported: str) -> None:
    file = checkout / module
    file.write_text(f"{file.read_text()}\nimport {imported}  # the arrow\n")
    done = lint(checkout)
    assert done.returncode == 1, done.stdout
    assert "BROKEN" in done.stdout
    assert imported.split(".", maxsplit=1)[0] in done.stdout
