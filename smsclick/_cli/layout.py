"""Choose the widths of a table's columns, so that no cell is cut."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_LEAST_TEXT_CELLS: Final = 12
"""The smallest width of a column of texts."""
_MOST_WORD_CELLS: Final = 24
"""A longer word is broken over several lines, in any column."""
_FRAME_CELLS: Final = 3
"""Of each column: a line, and a blank on both sides."""


def choose(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    texts: Collection[str] = (),
    spare: Collection[str] = (),
) -> dict[int, int] | None:
    """Choose the columns that fit and how wide each of them is.

    Args:
        headers: Of the columns.
        rows: Their cells.
        width: Of the whole table.
        texts: Columns whose words may be divided.
        spare: Columns that may be left out, the last one first.

    Returns:
        Places of columns and their widths, or None where no table fits.
    """
    kept = list(range(len(headers)))
    least = {place: _least(headers[place], [row[place] for row in rows], texts) for place in kept}
    going = [place for place in kept if headers[place] in spare]
    while sum(least[place] + _FRAME_CELLS for place in kept) + 1 > width:
        if not going:
            return None
        kept.remove(going.pop())
    widths = {place: least[place] for place in kept}
    room = width - 1 - sum(each + _FRAME_CELLS for each in widths.values())
    wanted = {place: max([cell_width(headers[place]), *(_lines(row[place]) for row in rows)]) for place in kept}
    missing = {place: wanted[place] - widths[place] for place in kept}
    # Identifiers are widened first; the columns of texts share the rest, and what one does not need is for the others.
    order = sorted(kept, key=lambda place: (headers[place] in texts, missing[place]))
    for done, place in enumerate(order):
        share = room // (len(order) - done) if headers[place] in texts else room
        more = max(0, min(share, missing[place]))
        widths[place] += more
        room -= more
    return widths


def cell_width(text: str) -> int:
    """Return how many cells of a terminal a text needs."""
    return sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _lines(text: str) -> int:
    return max((cell_width(line) for line in text.splitlines()), default=0)


def _least(header: str, cells: Sequence[str], texts: Collection[str]) -> int:
    words = [word for cell in (header, *cells) for word in cell.split()]
    longest = max(map(cell_width, words), default=1)
    return min(longest, _LEAST_TEXT_CELLS if header in texts else _MOST_WORD_CELLS)
