"""The points where a process can be ordered to die exist in the functions that they name."""

import os
import subprocess
import sys

import pytest

from tests.chaos.victim import DEFECTS
from tests.processes import ROOT


@pytest.mark.parametrize("defect", ["", *DEFECTS])
def test_every_point_and_every_defect_has_its_function(defect: str) -> None:
    command = [sys.executable, "-c", "from tests.chaos.victim import _arm; _arm()"]
    environment = {**os.environ, "CHAOS_ORDERS": "/dev/null", "CHAOS_DEFECT": defect}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
