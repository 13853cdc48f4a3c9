"""`smsclick watch`: *Ahora* in a terminal, and once where there is none."""

from __future__ import annotations

import datetime as dt
import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from smsclick.contract import HoldReason, State
from tests.commandline import call
from tests.factories import change_account, clock, insert
from tests.processes import ROOT, wait_until
from worker.alerting import incidents
from worker.alerting.details import Detail
from worker.alerting.kinds import KINDS
from worker.operator import account, now
from worker.operator.commands.parts import now_view
from worker.operator.commands.parts.now_view import Canvas
from worker.operator.now import Latencies, Minute

if TYPE_CHECKING:
    from collections.abc import Callable

    from smsclick._database.engine import Database

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def env_of(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.engine.url.render_as_string(hide_password=False)}


def lines(database: Database, *, height: int | None = None, width: int = 80) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width).print(now_view.drawn(now.read(database), Canvas(width, height)))
    return file.getvalue().splitlines()


def troubled(database: Database, kinds: int) -> None:
    """The account is held twice, and there are so many incidents."""
    account.hold(database, actor="ana", why="the bank asked for it")
    change_account(
        database, hold_reason=HoldReason.NO_BALANCE, hold_since=clock(database), balance=7, balance_at=clock(database)
    )
    with database.begin() as connection:
        for kind in list(KINDS)[:kinds]:
            incidents.report(connection, kind, detail=Detail("of some length " * 5))


def test_without_a_terminal_the_figures_are_printed_once(database: Database) -> None:
    insert(database, 3)
    insert(database, 2, state=State.SENT, due_at=None, sent_at=clock(database))
    ended = call("watch", env=env_of(database))
    assert (ended.code, ended.err) == (0, "")
    assert "\x1b" not in ended.out
    assert "Nothing is sent: no worker makes progress. Start a worker." in ended.out
    assert ["queued", "3", "delivered", "0"] in [each.split() for each in ended.out.splitlines()]
    assert ["sent", "2", "+2", "failed", "0"] in [each.split() for each in ended.out.splitlines()]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(database: Database, width: int) -> None:
    troubled(database, 5)
    assert max(cell_len(each) for each in lines(database, width=width)) <= width


def test_in_a_low_terminal_incidents_give_way_to_the_figures(database: Database) -> None:
    troubled(database, 5)
    low, high = lines(database, height=24), lines(database, height=80)
    assert len(low) <= 24
    assert len(lines(database, height=30)) <= 30
    assert low[-1].startswith("workers")
    assert any("Open incidents: 5; smsclick stats shows what to do" in each for each in low)
    assert "Open incidents: 5" in high
    assert "by ana: the bank asked for it" in " ".join(" ".join(high).split())
    for kind in list(KINDS)[:5]:
        assert KINDS[kind].advice.split()[0] in "\n".join(high)


def test_the_plot_has_one_sign_for_each_minute(database: Database) -> None:
    at = dt.datetime(2026, 11, 27, 15, 0, tzinfo=dt.UTC)
    nothing = Latencies.of([])
    rates = [(50, 40, 8.0), (40, 3, 0.0), (3, 1, 4.0), (1, 0, 16.0)]
    minutes = [
        Minute(at - dt.timedelta(minutes=begin), at - dt.timedelta(minutes=end), rate, nothing)
        for begin, end, rate in rates
    ]
    assert now_view.plot(minutes, at) == "." * 10 + "▅" * 10 + " " * 37 + "▃▃█"
    assert now_view.plot(minutes, at, blocks=False) == "." * 10 + "5" * 10 + " " * 37 + "338"
    assert now_view.plot([], at) == "." * 60


def press_q(_: int, person: int) -> None:
    os.write(person, b"xq")


def interrupt(pid: int, _: int) -> None:
    os.kill(pid, signal.SIGINT)


@pytest.mark.parametrize("end", [press_q, interrupt])
def test_a_terminal_shows_what_changes_until_q_or_an_interrupt(
    database: Database, end: Callable[[int, int], None]
) -> None:
    person, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(terminal)
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("smsclick")), "watch", "--every", "0.5"],
        env={"PATH": os.environ["PATH"], "TERM": "xterm", "LC_ALL": "C.UTF-8"} | env_of(database),
        cwd=ROOT,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    seen = bytearray()

    def shows(words: bytes) -> bool:
        while select.select([person], [], [], 0)[0]:
            seen.extend(os.read(person, 10_000))
        return words in seen

    try:
        wait_until(lambda: shows(b"no worker makes progress"), what=f"the first figures, {seen!r}")
        account.hold(database, actor="ana")
        wait_until(lambda: shows(b"sending is held"), what="the hold")
        end(process.pid, person)
        assert wait_until(lambda: shows(b"never") and process.poll() is not None, what="the end")
        assert process.returncode == 0
        assert termios.tcgetattr(terminal) == before
        assert b"Traceback" not in seen
    finally:
        process.kill()
        process.wait()
        os.close(person)
        os.close(terminal)


def test_while_the_database_is_away_the_last_figures_stay_with_the_reason(database: Database) -> None:
    found = now.read(database)
    file = io.StringIO()
    Console(file=file, width=80).print(now_view.drawn(found, Canvas(80, 24, trouble="the database is away\x1b[2J")))
    assert "not read again: the database is away" in file.getvalue()
    assert "\x1b" not in file.getvalue()
    assert "queued" in file.getvalue()
