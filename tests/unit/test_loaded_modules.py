"""A producer enqueues while another of its threads loads what we only look for."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from smsclick._threads.loaded_modules import loaded
from tests.processes import ROOT

# A thread is in the middle of an import, with the module in `sys.modules` and no name in it, when the message is
# enqueued; half a second later its import goes on.
ENQUEUED_MEANWHILE = """
import importlib.abc, importlib.machinery, sys, threading
import sqlalchemy as sa
from smsclick import enqueue
from smsclick.contract import metadata

NAME, FAILS = sys.argv[1], sys.argv[2] == "fails"
began, goes_on = threading.Event(), threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        def exec_module(module):
            began.set()
            goes_on.wait(60)
            if FAILS:
                raise RuntimeError("a package that is not whole")
            execute(module)
        spec.loader.exec_module = exec_module
        return spec

def import_it():
    try:
        importlib.import_module(NAME)
    except RuntimeError:
        pass

assert NAME not in sys.modules
sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=import_it)
thread.start()
assert began.wait(60) and NAME in sys.modules
threading.Timer(0.5, goes_on.set).start()
engine = sa.create_engine("sqlite://")
metadata.create_all(engine)
with engine.begin() as connection:
    print(enqueue(connection, phone="5551400000", text="hola", key="one"))
thread.join(60)
"""


@pytest.mark.parametrize("end", ["ends", "fails"])
@pytest.mark.parametrize("name", ["opentelemetry.trace", "sqlalchemy.ext.asyncio"])
def test_a_message_is_enqueued_while_another_thread_loads(name: str, end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENQUEUED_MEANWHILE, name, end], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_nothing_is_loaded_for_looking() -> None:
    assert "this" not in sys.modules
    assert loaded("this") is None
    assert "this" not in sys.modules
    assert loaded("json") is sys.modules["json"]


def test_no_other_module_looks_into_the_loaded_ones() -> None:
    looks = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for top in ("smsclick", "worker", "web")
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.modules"
    ]
    allowed = ("smsclick/_threads/loaded_modules.py", "worker/compat/structlog_rich.py")  # the second before any thread
    assert [look for look in looks if not look.startswith(allowed)] == []
