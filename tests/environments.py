"""Virtual environments of their own, with what a distribution requires and nothing of the test tools.

What they hold is linked from the packages that the tests run with; only `fetch` reaches for a registry.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.processes import ROOT
from tests.programs import in_ci

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NOT_IN_GIT = shutil.ignore_patterns(".*", "var", "build", "*.egg-info", "__pycache__", "results")


def required(name: str, extras: frozenset[str] = frozenset()) -> dict[str, frozenset[str]]:
    """A distribution and all that it requires here, each with the extras that are asked of it."""
    found: dict[str, frozenset[str]] = {}
    waiting = [(canonicalize_name(name), extras)]
    while waiting:
        each, asked = waiting.pop()
        if each in found and asked <= found[each]:
            continue
        found[each] = found.get(each, frozenset()) | asked
        for line in metadata.requires(each) or []:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *asked}):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found


def link(distribution: str, site_packages: Path) -> None:
    """Puts an installed distribution, and nothing that it does not own, into another environment."""
    installed = metadata.distribution(distribution)
    tops = {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}
    for top in tops:
        (site_packages / top).symlink_to(str(installed.locate_file(top)))


def built(folder: Path) -> Path:
    """The wheel of a copy of the whole tree, so that what is beside `smsclick` could get into it."""
    shutil.copytree(ROOT, folder / "tree", ignore=NOT_IN_GIT)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "tree"))
    (wheel,) = folder.glob("smsclick-*.whl")
    return wheel


def pip(*arguments: str, python: Sequence[str] = ()) -> None:
    """Pip of the tests, without any index."""
    options = ("--quiet", "--no-index", "--no-deps", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", *python, arguments[0], *options, *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr


def fetch(python: Path, requirements: Sequence[str]) -> None:
    """Installs versions that the tests do not run with, over the registry that pip is set up for."""
    options = ("--quiet", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    if done.returncode and "Retry" in done.stderr and not in_ci():
        pytest.skip(f"not run here: {', '.join(requirements)}: pip cannot reach its registry")
    assert done.returncode == 0, done.stderr


def environment(folder: Path, distributions: Iterable[str]) -> Path:
    """Makes a virtual environment with these distributions, and returns its Python."""
    venv.create(folder, with_pip=False)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    for each in distributions:
        link(each, site_packages)
    return folder / "bin" / "python"


_STAMP = "cd {} && (pwd; cksum requirements.lock pyproject.toml scripts/setup.sh) >.venv/.set-up"


def set_up(clone: Path) -> None:
    """What `scripts/setup.sh` makes of a clone, without an index."""
    needed = {*required("smsclick", frozenset({"worker"})), "setuptools"} - {"smsclick"}
    python = environment(clone / ".venv", needed)
    pip("install", "--no-build-isolation", "--editable", str(clone), python=("--python", str(python)))
    subprocess.run(["sh", "-euc", _STAMP.format(shlex.quote(str(clone)))], check=True)
