"""A `report` read piece by piece: rows come out as their bytes come in, so that its size costs no memory.

As tolerant and as strict as `smsclick.provider.results.parse_report`, with whose functions each row is read and the
whole is judged. What a report lacks is known only when `close` did not raise.
"""

from __future__ import annotations

import codecs
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import ijson

from smsclick.provider.codes import ACCEPTED
from smsclick.provider.results import (
    HttpAnswer,
    JsonFloat,
    JsonObject,
    codigo,
    fold,
    json_object,
    judged,
    report_list,
    report_row,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo

    from smsclick.provider.results import ReportRow, UnreadableRow

LONGEST_ROW: Final = 1024 * 1024
"""Most bytes between the ends of two rows; a row is some 300."""

_QUOTED: Final = '"{""'
_HELD: Final = re.compile(r'["\s]*\Z')
_ERRORS: Final = "smsclick-legacy"


class ReportReader:
    """Takes a report's body in pieces, in order.

    Rows are given out once `codigo` 1 was read. If it comes behind them, against the manual, they are kept until then.

    Args:
        answer: The HTTP answer; its body is not looked at.
        zone: The zone of the provider's dates.
        hide: Words that must not appear in a description even if the provider echoes them.
    """

    def __init__(self, answer: HttpAnswer, zone: ZoneInfo, *, hide: Iterable[str] = ()) -> None:
        self._answer = answer
        self._zone = zone
        self._hide = tuple(hide)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(_ERRORS)
        self._quoted: bool | None = None
        self._pending = ""
        self._events = ijson.sendable_list()
        self._parser = ijson.basic_parse_coro(self._events)
        self._root: object = None
        self._open: list[list[object] | list[tuple[str, object]]] = []
        self._names: list[str | None] = []
        self._in_rows = False
        self._kept: list[ReportRow | UnreadableRow] = []
        self._bytes_since_row = 0

    def feed(self, piece: bytes) -> list[ReportRow | UnreadableRow]:
        """Take the next bytes; returns the rows that they complete.

        Raises:
            UnreadableAnswer: This is no readable report.
        """
        self._bytes_since_row += len(piece)
        self._parse(self._unquoted(self._decoder.decode(piece)))
        if self._bytes_since_row > LONGEST_ROW:
            unreadable(self._answer, "a row of the report is too long")
        return self._given() if self._accepted() else []

    def close(self) -> list[ReportRow | UnreadableRow]:
        """Say that the body has ended; returns the rows that were kept. Only now is the report known to be whole.

        Raises:
            ProviderRefused: The answer carries another code than 1.
            UnreadableAnswer: It is no such answer, or it is cut.
        """
        self._parse(self._unquoted(self._decoder.decode(b"", final=True), final=True))
        self._parse(None)
        root = self._root
        report_list(
            judged(root if isinstance(root, JsonObject) else _NO_OBJECT, self._answer, self._hide), self._answer
        )
        return self._given()

    def _given(self) -> list[ReportRow | UnreadableRow]:
        given, self._kept = self._kept, []
        return given

    def _accepted(self) -> bool:
        """Whether `codigo` 1 was read already, under a status that means it."""
        if self._answer.status >= 300 or not self._open or self._names[0] is None:
            return False
        return codigo(json_object(self._open[0])) == ACCEPTED  # type: ignore[arg-type]  # an object's list is of pairs

    def _unquoted(self, text: str, *, final: bool = False) -> str:
        """The text, or what is quoted in it: the manual's own sample of a report is one quoted CSV cell."""
        if self._quoted is None:
            text = self._pending + text
            self._pending = ""
            if len(text) < len(_QUOTED) and not final:
                self._pending = text
                return ""
            self._quoted = text.startswith(_QUOTED)
            text = text[self._quoted :]
        if not self._quoted:
            return text
        text = self._pending + text
        if final:
            return text.rstrip()[:-1].replace('""', '"')
        # A pair of quotes may be divided between two pieces, and the last one is no part of the JSON.
        held = _HELD.search(text)
        cut = held.start() if held else len(text)
        self._pending = text[cut:]
        return text[:cut].replace('""', '"')

    def _parse(self, text: str | None) -> None:
        """Parse more; None is the end. What the parser complains of may show a text, so it is not told on."""
        why = None
        try:
            if text is None:
                self._parser.close()
            elif text:
                self._parser.send(text.encode("utf-8", "replace"))
        except (ijson.JSONError, ValueError, ArithmeticError):
            why = "the body is not readable JSON"
        for event, value in self._events:
            self._take(event, value)
        self._events.clear()
        if why is not None:
            unreadable(self._answer, why)

    def _take(self, event: str, value: object) -> None:
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
        if self._in_rows and len(self._open) == _ROWS_DEPTH:
            self._bytes_since_row = 0
            self._kept.append(report_row(value, self._zone))
        elif not self._open:
            self._root = value
        else:
            name = self._names[-1]
            self._open[-1].append(value if name is None else (name, value))  # type: ignore[arg-type]


_ROWS_DEPTH: Final = 2
"""How many containers are open among the rows: the answer's object and their list."""
_NO_OBJECT: Final = "the body is not a JSON object"


def _legacy(error: UnicodeError) -> tuple[str, int]:
    """Read what is no UTF-8 as Windows-1252, or Latin-1 where that has no such character."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    wrong = error.object[error.start : error.end]
    try:
        return wrong.decode("cp1252"), error.end
    except UnicodeDecodeError:
        return wrong.decode("latin-1"), error.end


codecs.register_error(_ERRORS, _legacy)
