"""A `report` that is read piece by piece: rows come out as their bytes arrive, so that its size costs no memory.

It reads each row and judges the whole with the functions of `smsclick.provider._answers.report`. Which rows a report
lacks is known only after `close` returned without an error.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import ijson

from smsclick.provider._answers.body_text import TextStream
from smsclick.provider._answers.fields import read_codigo
from smsclick.provider._answers.json_body import (
    NOT_AN_OBJECT,
    NOT_JSON,
    JsonFloat,
    JsonObject,
    NoObject,
    fold,
    json_object,
)
from smsclick.provider._answers.query import raise_unreadable, require_accepted
from smsclick.provider._answers.report import report_list, report_row
from smsclick.provider.codes import ACCEPTED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from smsclick.provider.results import HttpAnswer, ReportRow, UnreadableRow

LONGEST_ROW_BYTES: Final = 1024 * 1024
"""Most bytes between the ends of two rows; a row has some 300."""

_ROWS_DEPTH: Final = 2
"""Containers that are open between two rows: the answer's object and its list."""


class ReportReader:
    """Reads a report's body in pieces, in order.

    Rows are returned once `codigo` 1 was read. If it comes after them, against the manual, they are kept until then.

    Args:
        answer: The HTTP answer; its body is ignored.
        zone: The zone of the provider's dates.
        hide: Words that must not appear in a description even if the provider echoes them.
    """

    def __init__(self, answer: HttpAnswer, zone: ZoneInfo, *, hide: Iterable[str] = ()) -> None:
        self._answer = answer
        self._zone = zone
        self._hide = tuple(hide)
        self._text = TextStream()
        self._events = ijson.sendable_list()
        self._parser = ijson.basic_parse_coro(self._events)
        self._root: object = None
        # Of each container that is open, from the outside in: what it has so far, and the name that its next value
        # gets (None in a list).
        self._open: list[list[object] | list[tuple[str, object]]] = []
        self._names: list[str | None] = []
        self._in_rows = False
        self._kept: list[ReportRow | UnreadableRow] = []
        self._bytes_since_row = 0

    def feed(self, piece: bytes) -> list[ReportRow | UnreadableRow]:
        """Read the next bytes.

        Args:
            piece: Any part of the body.

        Returns:
            The rows that they complete.

        Raises:
            UnreadableAnswer: This is no readable report.
        """
        self._bytes_since_row += len(piece)
        self._parse(self._text.feed(piece))
        if self._bytes_since_row > LONGEST_ROW_BYTES:
            raise_unreadable(self._answer, "a row of the report is too long")
        return self._pop_kept() if self._is_accepted() else []

    def close(self) -> list[ReportRow | UnreadableRow]:
        """Judge the report, because its body has ended.

        Returns:
            The rows that were kept.

        Raises:
            ProviderRefused: The answer carries another code than 1.
            UnreadableAnswer: It is no such answer, or it is cut.
        """
        self._parse(self._text.close())
        self._parse(None)
        root = self._root if isinstance(self._root, JsonObject) else NoObject(NOT_AN_OBJECT)
        report_list(require_accepted(root, self._answer, self._hide), self._answer)
        return self._pop_kept()

    def _pop_kept(self) -> list[ReportRow | UnreadableRow]:
        kept, self._kept = self._kept, []
        return kept

    def _is_accepted(self) -> bool:
        """Whether `codigo` 1 was read already, with an HTTP status that does not contradict it."""
        if self._answer.status >= 300 or not self._open or self._names[0] is None:
            return False
        return read_codigo(json_object(self._open[0])) == ACCEPTED  # type: ignore[arg-type]  # an object's list is of pairs

    def _parse(self, text: str | None) -> None:
        """Parse more; None is the end. The parser's own words may show a part of a text, so they are dropped."""
        is_broken = False
        try:
            if text is None:
                self._parser.close()
            elif text:
                self._parser.send(text.encode("utf-8", "replace"))
        except (ijson.JSONError, ValueError, ArithmeticError):
            is_broken = True
        for event, value in self._events:
            self._handle(event, value)
        self._events.clear()
        if is_broken:
            raise_unreadable(self._answer, NOT_JSON)

    def _handle(self, event: str, value: object) -> None:
        match event:
            case "map_key":
                self._names[-1] = str(value)
            case "start_map":
                self._open.append([])
                self._names.append("")
            case "start_array":
                self._in_rows = self._in_rows or self._begins_rows()
                self._open.append([])
                self._names.append(None)
            case "end_map":
                self._names.pop()
                self._put(json_object(self._open.pop()))  # type: ignore[arg-type]  # an object's list is of pairs
            case "end_array":
                self._names.pop()
                self._in_rows = self._in_rows and len(self._open) > _ROWS_DEPTH
                self._put(self._open.pop())
            case _:
                self._put(JsonFloat(str(value)) if isinstance(value, Decimal) else value)

    def _begins_rows(self) -> bool:
        name = self._names[0] if len(self._open) == 1 else None
        return name is not None and fold(name) == "mensajes"

    def _put(self, value: object) -> None:
        """Put a value into the container that is open, or keep it as a row."""
        if self._in_rows and len(self._open) == _ROWS_DEPTH:
            self._bytes_since_row = 0
            self._kept.append(report_row(value, self._zone))
        elif not self._open:
            self._root = value
        else:
            name = self._names[-1]
            self._open[-1].append(value if name is None else (name, value))  # type: ignore[arg-type]
