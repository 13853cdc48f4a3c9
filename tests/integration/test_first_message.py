"""README's six steps from a clone to the first own message in Django, word for word.

Two commands are not a person's here: `git clone` copies this checkout, as it is, and pip installs without an index into
environments that have what it would fetch. `python -m bench.first_message` follows the steps with the real ones.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.environments import NOT_IN_GIT, environment, required, set_up
from tests.first_message import URL, steps
from tests.processes import ROOT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartProcess


def program(path: Path, line: str) -> None:
    """Makes a program of one line for the shell."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def test_the_spanish_steps_are_the_english_ones() -> None:
    def commands(readme: str) -> list[tuple[int, str]]:
        return [(step.number, step.text) for step in steps(readme) if step.file is None]

    assert [step.number for step in steps()] == [1, 2, 3, 4, 5, 6]
    assert commands("README.es.md") == commands("README.md")


def test_six_steps_lead_from_a_clone_to_a_delivered_message(start_process: StartProcess, tmp_path: Path) -> None:
    clone, project, bin_folder = tmp_path / "smsclick", tmp_path / "shop", tmp_path / "bin"
    bin_folder.mkdir()
    needed = {*required("django"), *required("smsclick"), "setuptools"} - {"smsclick"}
    python = environment(tmp_path / "venv", needed)
    subprocess.run([python, "-m", "django", "startproject", "shop"], cwd=tmp_path, check=True)
    program(bin_folder / "git", f'test "$1 $2" = "clone {URL}" && cp -R {shlex.quote(str(tmp_path / "checkout"))} "$3"')
    own_pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    program(bin_folder / "pip", f'test "$1" = install && exec {shlex.join(own_pip + options)} "$2"')
    shutil.copytree(ROOT, tmp_path / "checkout", ignore=NOT_IN_GIT)

    path = ":".join(map(str, (bin_folder, python.parent, "/usr/local/bin", "/usr/bin", "/bin")))
    env = {"PATH": path, "HOME": str(tmp_path)}

    def shell(command: str, cwd: Path) -> str:
        done = subprocess.run(["sh", "-euc", command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    cloned, up, installed, edited, sent, shown = steps()
    shell(cloned.text, tmp_path)
    set_up(clone)
    running = start_process(["sh", "-euc", up.text], env, name="up", cwd=tmp_path)
    running.wait_for_line(r"^smsclick is up", 120)
    shell(installed.text, tmp_path)
    assert edited.file is not None
    (project / edited.file).write_text(edited.text)
    shell(sent.text, project)
    wait_until(lambda: "delivered" in shell(shown.text, project), 120, what="the message on the phone")
