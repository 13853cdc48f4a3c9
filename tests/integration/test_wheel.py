"""The wheel, installed beside a backend: what it brings, what it leaves alone, and what type checkers say of it.

Nothing is fetched: what the wheel requires is taken from the packages that the tests run with.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.environments import built, environment, pip, required
from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

NOT_FOR_PRODUCERS = {"alembic", "amqp", "apprise", "billiard", "celery", "django", "kombu", "pytest", "redis", "vine"}

APP = """
import importlib.util
import sqlalchemy as sa
import models, worker
from smsclick import enqueue, enqueue_many
from smsclick.contract import messages, metadata

engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
metadata.create_all(engine)
with engine.begin() as connection:
    enqueue(connection, phone="55 5140 2211", text="Hola", key="a")
    enqueue_many(connection, [{"phone": "5551402212", "text": "Hola", "key": "b"}])
    print(*connection.scalars(sa.select(messages.c.key)), models.OWNER, worker.OWNER)
print(*(name for name in ("tests", "migrations", "bench", "celeryconfig") if importlib.util.find_spec(name)))
"""

WRONG = """

def wrong(session: Session, engine: sa.Engine) -> None:
    enqueue(engine, phone="5551402211", text="Hola")  # wrong
    enqueue(session, phone="5551402211")  # wrong
    enqueue(session, phone="5551402211", text=7)  # wrong
    enqueue(session, phone="5551402211", text="Hola", colour="red")  # wrong
    enqueue(session, "5551402211", "Hola")  # wrong
    enqueue_many(session, ["5551402211"])  # wrong
    answer: str = enqueue(session, phone="5551402211", text="Hola")  # wrong
    NewMessage.of(phone="5551402211", text="Hola", priority=1)  # wrong
    django.enqueue(text="Hola")  # wrong
    django.enqueue(session, phone="5551402211", text="Hola")  # wrong
    Outbox(7)  # wrong
    cancel(session)  # wrong
    cancel(engine, "a")  # wrong
    django.cancel(session, "a")  # wrong
    print(answer, status(session, "a").state)  # wrong
"""


@dataclass(frozen=True)
class Backend:
    """A backend's folder, with packages `models` and `worker` of its own, and its environment with the wheel."""

    folder: Path
    python: Path
    wheel: Path
    distributions: set[str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A program in the folder."""
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=400)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """The wheel in an empty environment, with all that it requires and nothing else."""
    folder = tmp_path_factory.mktemp("backend")
    wheel = built(tmp_path_factory.mktemp("wheel"))
    distributions = set(required("smsclick"))
    python = environment(tmp_path_factory.mktemp("environment"), distributions - {"smsclick"})
    pip("install", str(wheel), python=("--python", str(python)))
    for package in ("models", "worker"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text('OWNER = "the backend\'s"\n')
    (folder / "app.py").write_text(APP)
    program = (ROOT / "tests/typed/api.py").read_text().replace("if TYPE_CHECKING:", "if True:")
    (folder / "program.py").write_text(program + WRONG)
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard", "include": ["program.py"]}')
    return Backend(folder, python, wheel, distributions)


def test_the_wheel_holds_smsclick_alone_and_requires_only_what_a_producer_needs(backend: Backend) -> None:
    with zipfile.ZipFile(backend.wheel) as content:
        assert {name.split("/")[0].split("-")[0] for name in content.namelist()} == {"smsclick"}
        assert {"smsclick/py.typed", "smsclick/testing/fixtures.py", "smsclick/django/admin.py"} <= set(
            content.namelist()
        )
    assert {"phonenumbers", "pydantic-settings", "requests", "sqlalchemy"} <= backend.distributions
    assert not backend.distributions & NOT_FOR_PRODUCERS


def test_it_works_beside_a_backend_that_has_models_and_a_worker_of_its_own(backend: Backend) -> None:
    app = backend.run(str(backend.python), "app.py")
    assert (app.stderr, app.stdout) == ("", "a b the backend's the backend's\n\n")
    program = str(backend.python.with_name("smsclick"))
    assert "Enqueue one message" in backend.run(program, "--help").stdout
    refused = backend.run(program, "up")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "not from a pip install alone" in refused.stderr
    assert backend.run(str(backend.python), "-W", "error", "-c", "import smsclick.simulator").stderr == ""


def wrong_lines(program: Path) -> list[int]:
    """Those that say so."""
    return [number for number, line in enumerate(program.read_text().splitlines(), 1) if line.endswith("# wrong")]


def test_mypy_in_its_strict_mode_notices_each_wrong_call_and_nothing_else(backend: Backend) -> None:
    options = ("--strict", "--python-executable", str(backend.python), "--cache-dir", str(backend.folder / "cache"))
    checked = backend.run(sys.executable, "-m", "mypy", *options, "program.py")
    errors = re.findall(r"^program\.py:(\d+): error:", checked.stdout, re.MULTILINE)
    assert sorted({int(line) for line in errors}) == wrong_lines(backend.folder / "program.py"), checked.stdout


def test_pyright_notices_each_wrong_call_and_nothing_else(backend: Backend) -> None:
    options = ("--outputjson", "--level", "error", "--pythonpath", str(backend.python))
    checked = backend.run(sys.executable, "-m", "basedpyright", *options)
    found = json.loads(checked.stdout)["generalDiagnostics"]
    lines = sorted({each["range"]["start"]["line"] + 1 for each in found})
    assert lines == wrong_lines(backend.folder / "program.py"), checked.stdout
