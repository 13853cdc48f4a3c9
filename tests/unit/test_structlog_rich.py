"""A worker and its background process do without rich, which structlog would import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import ROOT

HAS_NO_RICH = "import sys; assert 'structlog' in sys.modules; assert not {'rich', 'pygments'} & {*sys.modules}; "
RICH_STILL_WORKS = "import rich.console; assert rich.console.Console"


@pytest.mark.parametrize("module", ["worker.app", "worker.background_process"])
def test_rich_is_not_loaded_with_a_worker_and_can_be_loaded_later(module: str) -> None:
    code = f"import {module}; {HAS_NO_RICH}{RICH_STILL_WORKS}"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 0, found.stderr


def test_where_rich_is_loaded_first_nothing_changes() -> None:
    code = "import rich, sys; import worker.logs.formats; assert sys.modules['rich'] is rich"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 0, found.stderr
