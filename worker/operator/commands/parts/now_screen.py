"""The screen of `smsclick watch`: draw the figures every few seconds until q is pressed."""

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator

from rich.live import Live

from smsclick._cli import output
from smsclick._database.engine import Database
from smsclick.errors import SmsclickError
from worker.operator import now
from worker.operator.commands.parts.now_view import Canvas, drawn


def watch(database: Database, every: float) -> None:
    """Draw until q is pressed, or the input ends.

    Args:
        database: whose figures are drawn.
        every: seconds between two readings.

    Raises:
        SmsclickError: the first figures cannot be read; later ones leave those before them, with the reason.
    """
    found = now.read(database)
    blocks = output.can_show("█")
    console = output.console()
    with _keys() as pressed, Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        trouble = ""
        while True:
            shown = Canvas(console.width, console.height, blocks, "q ends", trouble)
            live.update(drawn(found, shown), refresh=True)
            if pressed(every):
                return
            try:
                found, trouble = now.read(database), ""
            except SmsclickError as error:
                trouble = str(error)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Yield a function that waits for so many seconds, and returns whether q was pressed or the input has ended."""
    if not sys.stdin.isatty():
        yield _nothing_pressed
        return
    import termios  # noqa: PLC0415 - there is none where nobody can watch
    import tty  # noqa: PLC0415 - likewise

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)

    def pressed(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([terminal], [], [], left)
            if ready and (not (key := os.read(terminal, 1)) or key in b"qQ"):
                return True
        return False

    try:
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _nothing_pressed(seconds: float) -> bool:
    time.sleep(seconds)
    return False
