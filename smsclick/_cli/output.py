"""What the `smsclick` program writes: tables for people, JSON lines for programs, one line for an error."""

import datetime as dt
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from smsclick._cli import layout
from smsclick._values import harmless
from smsclick._values.times import iso

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_FILE_WIDTH = 120
"""Width of tables in a file or a pipe; a terminal has its own."""


def for_people() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty()


def can_show(text: str) -> bool:
    """Return whether stdout's encoding has these characters; a terminal shows others as `?`."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def say(text: str) -> None:
    """Print one line of the result on stdout, without characters that could control a terminal."""
    typer.echo(harmless.for_terminal(text))


def complain(text: object) -> None:
    """Print an error as one line on stderr, whatever the text holds."""
    typer.echo(f"smsclick: {' '.join(shown(text).split())}", err=True)


def note(text: str) -> None:
    """Print one line on stderr that is not an error, whatever the text holds."""
    typer.echo(" ".join(harmless.for_terminal(text).split("\n")), err=True)


def json_line(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line."""
    typer.echo(harmless.for_json(json.dumps(value, ensure_ascii=False, default=_plain)))


def show_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    texts: Collection[str] = (),
    spare: Collection[str] = (),
) -> None:
    """Print a table with a heading for each column. No cell is cut, and identifiers stay in one piece.

    Args:
        headers: of the columns.
        rows: their cells.
        title: above the table.
        texts: columns that may become narrow; other columns keep their words whole.
        spare: columns that are left out if the table is too wide, the last one first. If it is still too wide, each row
            becomes a list.
    """
    from rich.table import Table  # noqa: PLC0415 - most commands print a line and start sooner without it

    cells = [[shown(cell) for cell in row] for row in rows]
    drawing = console()
    chosen = layout.choose(headers, cells, drawing.width, texts, spare)
    if chosen is None:
        _show_list(headers, cells, title)
        return
    table = Table(title=title, title_justify="left")
    for place, width in chosen.items():
        table.add_column(headers[place], width=width, overflow="fold")
    for row in cells:
        table.add_row(*(row[place] for place in chosen))
    drawing.print(table)


def _show_list(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
    if title is not None:
        say(title)
    for row in rows:
        show_pairs(dict(zip(headers, row, strict=True)))
        say("")


def show_pairs(pairs: Mapping[str, object]) -> None:
    """Print names and values, without those that have no value."""
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        if value is not None and value != "":
            table.add_row(name, shown(value))
    console().print(table)


def show(renderable: "RenderableType") -> None:
    """Print what rich can draw; its texts must have passed `shown`."""
    console().print(renderable)


def shown(value: object) -> str:
    """Return a value as a person reads it, without characters that could control a terminal."""
    if value is None:
        return ""
    text = value.strftime("%Y-%m-%d %H:%M:%SZ") if isinstance(value, dt.datetime) else str(value)
    return harmless.for_terminal(text)


def console() -> "Console":
    """Return what draws on stdout, as wide as the terminal, or of a fixed width in a file."""
    from rich.console import Console  # noqa: PLC0415 - as above

    # No markup: a text like "[red]" is somebody's message, not ours.
    return Console(width=None if for_people() else _FILE_WIDTH, markup=False, highlight=False, emoji=False)


def _plain(value: object) -> object:
    if isinstance(value, dt.datetime):
        return iso(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
