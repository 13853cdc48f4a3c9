"""What several commands of `smsclick` share: the database, a file, a line that shows progress."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from smsclick._cli import output
from smsclick._database.engine import Database, parse_url
from smsclick._database.sqlite_files import require_there
from smsclick.errors import SmsclickError
from smsclick.settings import get_settings

if TYPE_CHECKING:
    from rich.status import Status


@contextlib.contextmanager
def open_database() -> Iterator[Database]:
    """Open the database of the settings, and dispose of it at the end.

    Raises:
        DatabaseNotMigrated: an SQLite database whose file does not exist.
        SettingsError: a setting is wrong.
    """
    url = get_settings().database_url
    require_there(parse_url(url))
    database = Database(url, threads=2)
    try:
        yield database
    finally:
        database.dispose()


@contextlib.contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open a file of bytes; `-` is stdin.

    Raises:
        SmsclickError: the file cannot be read.
    """
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 - closed below; only the opening's own errors are translated
    except OSError as error:
        raise SmsclickError(f"{file} cannot be read ({error.strerror})") from None
    with stream:
        yield stream


class Progress:
    """A line on a terminal that shows progress, with lines above it that stay."""

    def __init__(self, status: "Status | None" = None) -> None:
        self._status = status

    def show(self, words: str) -> None:
        """Show the progress."""
        if self._status is not None:
            self._status.update(f"{words} …")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        line = " ".join(output.shown(text).split())
        if self._status is None:
            output.note(line)
        else:
            self._status.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def progress_line() -> Iterator[Progress]:
    """Yield the progress line; it prints nothing if stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield Progress()
        return
    from rich.console import Console  # noqa: PLC0415 - only where someone watches

    with Console(stderr=True, markup=False).status("reading …") as status:
        yield Progress(status)


@contextlib.contextmanager
def progress_bar(words: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar with the time that is left, and remove it at the end; prints nothing if stderr is not a terminal.

    Args:
        words: before the bar.
        total: the number at which it is full.

    Yields:
        A function that takes the number so far.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - only where someone watches
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as bar:
        task = bar.add_task(words, total=total)
        yield lambda done: bar.update(task, completed=done)
