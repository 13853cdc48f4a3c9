"""What a worker and its background process do not load: each of these takes memory in every process.

docs/performance.md says where a worker's memory goes.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import ROOT

NOT_NEEDED = (
    "alembic",
    "apprise",
    "fastapi",
    "jinja2",
    "prometheus_client",
    "prompt_toolkit",
    "sqlalchemy.orm",
    "typer",
)
"""Commands, the HTTP API, the page, migrations and the delivery of alerts load them where they need them."""


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("worker.app", NOT_NEEDED),
        ("worker.background_process", (*NOT_NEEDED, "celery", "kombu", "redis")),
    ],
)
def test_a_worker_loads_no_library_that_only_other_processes_need(module: str, absent: tuple[str, ...]) -> None:
    # That each of them is installed is asked there too: kombu, once loaded, has no `__spec__`.
    code = f"""
import importlib.util, sys
assert all(map(importlib.util.find_spec, {absent!r}))
import {module}
print(*sorted({{*{absent!r}}} & {{*sys.modules}}))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (found.returncode, found.stdout.split(), found.stderr) == (0, [], "")
