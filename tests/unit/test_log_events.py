"""Log events: constant names, documented fields, and both forms of a line."""

from __future__ import annotations

import ast
import io
import json
import logging
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from smsclick._logs.catalogue import EVENTS, FIELDS, WITHOUT_ATTEMPT
from smsclick._logs.event_log import EventLog
from worker.broker import log_filter
from worker.logs.formats import REQUIRED, formatter

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent.parent
LEVELS: Final = frozenset({"debug", "info", "warning", "error", "exception"})
LOGGERS: Final = frozenset({"log", "_waits"})
POSITIONAL: Final = {"_waits": ("event", "error")}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for folder in ("smsclick", "worker", "web", "migrations"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Each call that logs, with its place and the name of its logger."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "into_event":
                yield f"{path.name}:{node.lineno}", ast.Call(node.func, node.args[1:], node.keywords), "into_event"
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            value = node.func.value
            if isinstance(value, ast.Name) and value.id in LOGGERS:
                yield f"{path.name}:{node.lineno}", node, value.id


def test_each_call_logs_a_constant_event_with_documented_fields() -> None:
    found = set()
    wrong = []
    for place, call, logger in calls():
        event = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
        found.add(event)
        names = {each.arg for each in call.keywords} - {"exc_info"}
        if event not in EVENTS or len(call.args) != len(POSITIONAL.get(logger, ("event",))) or not names <= set(FIELDS):
            wrong.append((place, event, names - set(FIELDS)))
        if "message_id" in names and "attempt" not in names and event not in WITHOUT_ATTEMPT:
            wrong.append((place, event, {"attempt is missing"}))
    assert wrong == []
    assert set(EVENTS) == found, "the catalogue has what is logged, and nothing else"


def test_nobody_logs_past_the_events() -> None:
    """Only the module of events, and a library that takes one, may use Python's own logger."""
    made = {
        (path.name, node.lineno)
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and isinstance(node.func.value, ast.Call)
        and "getLogger" in ast.unparse(node.func.value)
    }
    assert made == set()
    loggers = {
        path.name
        for path, tree in sources()
        for node in tree.body
        if isinstance(node, ast.Assign) and "logging.getLogger" in ast.unparse(node.value)
    }
    assert loggers == set()


def test_the_page_lists_the_events_and_fields() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "log_events.py"))
    assert (ROOT / "docs" / "logs.md").read_text(encoding="utf-8") == page["page"](), "run scripts/log_events.py"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged to `some.module`, in the form that a test chooses."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("some.module")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)


def use(log_format: str, process: str = "worker") -> None:
    logging.getLogger("some.module").handlers[0].setFormatter(formatter(log_format, process))


HOSTILE: Final = "one\n2026-11-27 00:00:00Z INFO forged\x1b[31m\u202e \x9b"


def test_an_event_is_one_json_object_with_its_fields(lines: io.StringIO) -> None:
    use("json")
    EventLog("some.module").warning("attempt_ended", message_id=7, attempt=2, code=None, error=ValueError(HOSTILE))
    [line] = lines.getvalue().splitlines()
    assert line.isascii()
    read = json.loads(line)
    assert tuple(read)[: len(REQUIRED)] == REQUIRED
    assert read["time"].endswith("Z")
    assert (read["level"], read["event"], read["process"]) == ("warning", "attempt_ended", "worker")
    assert (read["message_id"], read["attempt"], read["code"], read["error"]) == (7, 2, None, HOSTILE)


def test_an_event_is_one_line_of_text_that_nothing_in_it_can_end(lines: io.StringIO) -> None:
    use("text", "background")
    EventLog("some.module").warning("attempt_ended", message_id=7, attempt=2, code=None, error=HOSTILE, reason="a=b")
    [line] = lines.getvalue().splitlines()
    assert line.isprintable()
    assert line[20:] == (
        " WARNING background: Attempt ended. message_id=7 attempt=2 "
        'error="one\\n2026-11-27 00:00:00Z INFO forged\\u001b[31m\\u202e \\u009b" reason="a=b"'
    )


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_librarys_line_has_its_words_and_its_traceback_once(lines: io.StringIO, log_format: str) -> None:
    use(log_format)
    try:
        dict[str, str]()["lost"]
    except KeyError:
        logging.getLogger("some.module").exception("Could not %s", "connect")
    said = lines.getvalue()
    assert said.count("KeyError: 'lost'") == said.count("Traceback") == said.count("Could not connect") == 1
    if log_format == "json":
        read = json.loads(said)
        assert (read["event"], read["text"], read["level"]) == ("library", "Could not connect", "error")
        assert "KeyError" in read["exception"]
    else:
        assert "ERROR some.module: Could not connect\nTraceback" in said


def test_what_celery_says_of_a_messages_content_becomes_an_event_in_both_forms(lines: io.StringIO) -> None:
    secret = "Tu clave es 4821"
    for log_format in ("json", "text"):
        use(log_format)
        record = logging.LogRecord(
            "some.module", logging.ERROR, "x", 1, "Received unregistered task %r: %s", (KeyError(), secret), None
        )
        assert log_filter._without_content(record)
        logging.getLogger("some.module").handle(record)
    assert secret not in lines.getvalue()
    first, second = lines.getvalue().splitlines()
    assert json.loads(first)["event"] == "task_unknown"
    assert json.loads(first)["reason"] == "KeyError"
    assert second.endswith("An unknown task message was dropped. reason=KeyError")


def test_a_handler_that_knows_nothing_of_events_shows_the_sentence(lines: io.StringIO) -> None:
    EventLog("some.module").warning("wakeup_not_published", error="ConnectionRefusedError")
    said = "A wake-up could not be published; the sweep will find the messages. error=ConnectionRefusedError"
    assert lines.getvalue() == said + "\n"


def test_what_a_producer_installs_logs_without_structlog() -> None:
    code = """
import logging, sys
from smsclick import enqueue, enqueue_many
from smsclick._wakeups import publisher
assert not [name for name in sys.modules if name.startswith(("structlog", "worker"))]
assert not logging.getLogger().handlers and not logging.getLogger("smsclick").handlers
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
