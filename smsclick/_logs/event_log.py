"""A logger that takes the constant name of an event and its fields."""

import json
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from smsclick._logs.catalogue import EVENTS
from smsclick._values import harmless

ExceptionInfo = bool | BaseException | tuple[type[BaseException], BaseException, TracebackType | None] | None

_RENDERED = {"_logger": None, "_name": ""}
"""How structlog's `ProcessorFormatter` knows a record whose `msg` holds fields; without structlog it means nothing."""

_NEEDS_QUOTES = frozenset(' \t\r\n"=')


class Event(dict[str, object]):
    """What a record's `msg` is: `event`, its name from `catalogue.EVENTS`, and its fields; None is unknown.

    As a string it is one line for people: so a handler that knows nothing of events shows it.
    """

    def __str__(self) -> str:
        """Return the event's sentence and its fields that are known, as `name=value`."""
        return sentence(self)


def sentence(event: Mapping[str, object]) -> str:
    """Return an event's sentence and its fields that are known, as `name=value`."""
    name = str(event["event"])
    words = [EVENTS.get(name, name)]
    words += [f"{each}={_shown(value)}" for each, value in event.items() if value is not None and each != "event"]
    return " ".join(words)


def into_event(record: logging.LogRecord, event: str, **fields: object) -> None:
    """Have a library's record hold an event instead of its words."""
    record.msg, record.args = Event(fields, event=event), ()
    record.__dict__ |= _RENDERED


class EventLog:
    """Logs events to the logger of a module.

    Args:
        name: of the logger, the module's `__name__`.
    """

    __slots__ = ("_log",)

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)

    def logs(self, level: int) -> bool:
        """Return whether events of this level are logged."""
        return self._log.isEnabledFor(level)

    def debug(self, event: str, *, exc_info: ExceptionInfo = None, **fields: object) -> None:
        """Log what helps to find a fault."""
        if self._log.isEnabledFor(logging.DEBUG):
            self._log.debug(Event(fields, event=event), extra=_RENDERED, exc_info=exc_info)

    def info(self, event: str, **fields: object) -> None:
        """Log what happens as it should."""
        if self._log.isEnabledFor(logging.INFO):
            self._log.info(Event(fields, event=event), extra=_RENDERED)

    def warning(self, event: str, **fields: object) -> None:
        """Log what delays something, or is out of the ordinary."""
        self._log.warning(Event(fields, event=event), extra=_RENDERED)

    def error(self, event: str, **fields: object) -> None:
        """Log what does not work."""
        self._log.error(Event(fields, event=event), extra=_RENDERED)

    def foreign(self) -> logging.Logger:
        """Return Python's own logger, for a library that takes one."""
        return self._log


def _shown(value: Any) -> str:  # noqa: ANN401 - a field's
    text = str(value)
    if not text or _NEEDS_QUOTES.intersection(text):
        return harmless.for_json(json.dumps(text, ensure_ascii=False))
    return harmless.for_terminal(text)
