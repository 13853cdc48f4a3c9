"""The units in ops/systemd, as far as they can be checked without systemd as the first process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from smsclick.settings import Settings, variables
from tests.processes import ROOT

UNITS = sorted((ROOT / "ops" / "systemd").glob("smsclick-*"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
LASTING = [unit for unit in SERVICES if "Type=exec" in unit.read_text()]
BIN = "/opt/smsclick/.venv/bin/"


def values(unit: Path, option: str) -> list[str]:
    """What a unit says for an option, which may stand there several times."""
    return re.findall(rf"^{option}=(.*)$", unit.read_text(), re.MULTILINE)


def by_name(unit: Path) -> str:
    """The name of a parametrized test."""
    return unit.name


def sandbox(unit: Path) -> list[str]:
    """The lines that confine a unit."""
    _, _, rest = unit.read_text().partition("# What a breach")
    return [line for line in rest.partition("\n[")[0].splitlines()[1:] if line]


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """Debian's package systemd has the program; the tests below need none."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed; apt-get install systemd")
    for unit in UNITS:
        # This checkout and its programs instead of those of an installed system.
        text = unit.read_text().replace(BIN, f"{Path(sys.executable).parent}/").replace("/opt/smsclick", str(ROOT))
        (tmp_path / unit.name).write_text(text)
    command = [analyze, "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "smsclick" in line]
    assert (done.returncode, ours) == (0, [])


def test_there_is_a_unit_for_each_part() -> None:
    parts = {unit.name.removeprefix("smsclick-") for unit in LASTING}
    assert parts == {"worker@.service", "beat.service", "web.service", "metrics.service"}


@pytest.mark.parametrize("unit", SERVICES, ids=by_name)
def test_each_command_exists_with_its_options(unit: Path) -> None:
    [line] = values(unit, "ExecStart")
    assert line.startswith(BIN)
    program, *words = line.removeprefix(BIN).split()
    assert program in {point.name for point in entry_points(group="console_scripts")}
    first = next((n for n, word in enumerate(words) if word.startswith("--")), len(words))
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *words[:first], "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [word for word in words[first:] if word.startswith("--") and word not in done.stdout] == []


@pytest.mark.parametrize("unit", LASTING, ids=by_name)
def test_what_runs_forever_is_started_again_forever_and_has_a_time_to_stop(unit: Path) -> None:
    assert values(unit, "Restart") == ["always"]
    assert values(unit, "StartLimitIntervalSec") == ["0"]
    assert len(values(unit, "TimeoutStopSec")) == 1
    assert len(values(unit, "MemoryMax")) == 1


def test_a_worker_has_time_to_finish_a_call_to_the_provider() -> None:
    [worker] = [unit for unit in LASTING if "worker@" in unit.name]
    longest = sum(Settings.model_fields[name].default for name in ("connect_timeout", "read_timeout"))
    [stop] = values(worker, "TimeoutStopSec")
    assert int(stop) > longest + 10
    assert values(worker, "KillMode") == ["mixed"], "its background process ends after its own last call"


@pytest.mark.parametrize("unit", SERVICES, ids=by_name)
def test_every_service_is_confined_alike_and_reads_the_same_settings(unit: Path) -> None:
    assert values(unit, "EnvironmentFile") == ["/etc/smsclick/smsclick.env"]
    assert values(unit, "User") == ["smsclick"]
    assert sandbox(unit) == sandbox(SERVICES[0])
    assert "ProtectSystem=strict" in sandbox(unit)
    # The health check finds a process by its file, so all have one folder.
    assert "TMPDIR=/run/smsclick" in values(unit, "Environment")


def test_the_file_of_settings_names_settings_and_holds_no_secret() -> None:
    lines = (ROOT / "ops" / "systemd" / "smsclick.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert set(settings) <= variables()
    secret = {"SMSCLICK_API_KEY", "DATABASE_URL", "CELERY_BROKER_URL", "ALERT_URLS", "SMSCLICK_WEBHOOK_SECRET"}
    assert not secret & set(settings)
