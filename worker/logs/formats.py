"""The two forms of a log line. structlog renders every record: events of ours, and the lines of libraries."""

import datetime as dt
import functools
import json
import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

from smsclick._logs.event_log import Event, sentence
from smsclick._values import harmless
from worker.compat import structlog_rich

structlog_rich.install()
import structlog  # noqa: E402 - it is loaded without rich

REQUIRED: Final = ("time", "level", "event", "logger", "process", "pid")
"""Fields of every line in JSON, which come first."""

LIBRARY: Final = "library"
"""The event of a line that is not ours; its words are in the field `text`."""

SHARES_ITS_STREAM: Final = "background"
"""The process whose lines stand among its worker's, and are marked in text."""

_ENCODE: Final = json.JSONEncoder(default=str).encode
_Render = Callable[[object, str, MutableMapping[str, Any]], str]

_BLOCK: Final = "trace"
"""A field of several lines: in text it stands below its line, as a traceback does."""


def formatter(log_format: str, process: str) -> logging.Formatter:
    """Make the formatter of a process.

    Args:
        log_format: `text` or `json`.
        process: what this process is: `worker`, `background`, `beat`, `up`, `web`, `metrics` or `migrate`.
    """
    return _Formatter(process, _json if log_format == "json" else _text)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """structlog's, with a short way for events without a traceback: of these there is one for each message.

    Args:
        process: what this process is.
        render: makes the line of a record's fields.
    """

    def __init__(self, process: str, render: _Render) -> None:
        self._process = process
        self._render = render
        super().__init__(
            processors=[functools.partial(_fields, process), structlog.processors.format_exc_info, render],
            keep_exc_info=True,
            keep_stack_info=False,
        )

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        if not isinstance(record.msg, Event) or record.exc_info:
            return super().format(record)
        fields = _head(self._process, record)
        fields |= record.msg
        return self._render(None, "", fields)


def _head(process: str, record: logging.LogRecord) -> dict[str, Any]:
    """The required fields."""
    return {
        "time": record.created,
        "level": record.levelname.lower(),
        "event": LIBRARY,
        "logger": record.name,
        "process": process,
        "pid": record.process,
    }


@functools.lru_cache(maxsize=4)
def _second(time: int) -> str:
    return f"{dt.datetime.fromtimestamp(time, dt.UTC):%Y-%m-%d %H:%M:%S}"


def _fields(process: str, _logger: object, _method: str, given: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a record, the required ones first."""
    record: logging.LogRecord = given["_record"]
    fields = _head(process, record)
    if given["_from_structlog"]:
        fields |= given
        del fields["_record"], fields["_from_structlog"]
    else:
        fields["text"] = given["event"]
    if record.exc_info:
        fields["exc_info"] = record.exc_info
        # Else Python's own formatter would add the traceback once more.
        record.exc_info = record.exc_text = None
    return fields


def _json(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
    """One line of ASCII: nothing in it can act on a terminal, or end the line."""
    time = int(fields["time"])
    fields["time"] = f"{_second(time).replace(' ', 'T')}.{int(1000 * (fields['time'] - time)):03d}Z"
    return _ENCODE(fields)


def _text(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
    """The time to the second in UTC, the level, the sentence and its fields; a traceback follows on its own lines."""
    below = [str(fields.pop(each)) for each in ("exception", _BLOCK) if fields.get(each)]
    if fields["event"] == LIBRARY:
        said = f"{fields['logger']}: {harmless.for_terminal(fields['text'])}"
    else:
        said = sentence({name: value for name, value in fields.items() if name == "event" or name not in REQUIRED})
    if fields["process"] == SHARES_ITS_STREAM:
        said = f"{SHARES_ITS_STREAM}: {said}"
    head = f"{_second(int(fields['time']))}Z {fields['level'].upper()} {said}"
    return "\n".join([head, *(harmless.for_terminal(each.rstrip("\n")) for each in below)])
