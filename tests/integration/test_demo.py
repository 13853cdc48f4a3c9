"""`make run`, started as a person does: it delivers, prints a correct summary and leaves nothing behind."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from smsclick._importing.records import Problem
from smsclick._importing.rows import Row, read_rows
from tests.page import Visitor
from tests.processes import ROOT, alive, descendants, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.processes import Process

DEMO = [sys.executable, "examples/demo.py"]
FILE = ROOT / "examples" / "mensajes.csv"

# What a person's shell may hold: none of it may reach the demonstration.
STRANGE_SHELL = {
    "DATABASE_URL": "sqlite:////nowhere/that/exists.db",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "SMSCLICK_SWEEP_SECONDS": "never",
    "http_proxy": "http://127.0.0.1:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "LC_ALL": "C",
}


def table_of(output: str) -> dict[str, list[str]]:
    """The closing table: the two columns of numbers by the first column's word."""
    rows = re.findall(r"^[│|] (\w+) +[│|] +(\d+|-) [│|] +(\d+|-) [│|]", output, re.MULTILINE)
    return {name: [ours, theirs] for name, ours, theirs in rows}


def log_of(demo: Process) -> Path:
    return ROOT / demo.wait_for_line(r"The worker's log: (\S+)$")[1]


def test_the_demonstration_delivers_the_file_and_its_table_is_true(start_process: StartProcess) -> None:
    demo = start_process(DEMO, STRANGE_SHELL)

    assert demo.wait(300) == 0
    assert table_of(demo.output) == {
        "delivered": ["58", "58"],
        "rejected": ["2", "2"],
        "messages": ["60", "60"],
        "credits": ["72", "72"],
        "replies": ["1", "1"],
    }
    titles = re.findall(r"An alert arrives: SMSClick \S+: (.*)", demo.output)
    assert [title.startswith("over: No balance (-104)") for title in titles] == [False, True]
    assert titles[0].startswith("No balance (-104)")
    assert "60 stored, 0 already known, 7 refused" in demo.output

    log = log_of(demo).read_text(encoding="utf-8")
    with FILE.open("rb") as stream:
        rows = [row for row in read_rows(stream) if isinstance(row, Row)]
    assert not [row.line for row in rows if row.message.phone in log or row.message.text in log]


def test_with_the_page_it_goes_on_until_it_is_interrupted(start_process: StartProcess) -> None:
    demo = start_process([*DEMO, "--page"], STRANGE_SHELL)
    shown = demo.wait_for_line(r"The page goes on: (http://127\.0\.0\.1:\d+)/  user demo, password (\S+)", 120)
    visitor = Visitor(shown[1])
    assert visitor.sign_in("demo", shown[2]).status_code == 303

    def sent_meanwhile() -> bool:
        return "Tu pedido 2 va en camino" in visitor.get("/mensajes").text

    wait_until(sent_meanwhile, what="a message that is sent while the page is shown")
    started = descendants(demo.pid)
    demo.sigint()
    assert demo.wait(60) == 130
    assert [pid for pid in started if alive(pid)] == []


def test_interrupted_the_demonstration_ends_what_it_started(start_process: StartProcess) -> None:
    demo = start_process(DEMO)
    demo.wait_for_line("Watch them go", 240)
    started = descendants(demo.pid)
    assert started

    demo.sigint()

    assert demo.wait() == 130
    wait_until(lambda: not any(alive(pid) for pid in started), what="the worker's end")
    assert demo.output.rstrip().endswith("Stopped.")


def test_the_example_file_has_sixty_good_lines_and_seven_bad_ones() -> None:
    with FILE.open("rb") as stream:
        rows = list(read_rows(stream, name=FILE.name))
    good = [row.message for row in rows if isinstance(row, Row)]
    keys = {message.key for message in good}

    # The seventh bad line is good by itself: its key is another line's.
    assert (len(keys), len(good)) == (60, 61)
    assert sum(isinstance(row, Problem) for row in rows) == 6
    assert sum(len(message.text) > 150 for message in good) >= 5
    assert sum(len(message.text) > 300 for message in good) >= 2
    assert [message.key for message in good if message.rule_id] == ["cita-7713:cambio"]
    assert {"á", "é", "í", "ó", "ú", "ü", "ñ", "Ñ", "¿", "¡"} <= set("".join(message.text for message in good))
