"""Sort any number of messages by their keys: parts that do not fit in memory are sorted in a temporary file.

Two transactions that store the same keys cannot deadlock if each stores all of its keys in the same order. So
`enqueue_many` stores nothing before it has read all of its messages.
"""

from __future__ import annotations

import dataclasses
import heapq
import pickle
import tempfile
from typing import IO, TYPE_CHECKING, Any, Self

from smsclick._enqueue.message import NewMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 100
"""Messages that are read back at once, from each part."""

_FIELDS = tuple(field.name for field in dataclasses.fields(NewMessage))

_Entry = tuple[str, int, tuple[Any, ...]]
"""Key, position among all messages, and the fields of the message."""


class KeySorter:
    """Collects messages one by one, and returns them in batches.

    The temporary file has no name, so that nobody else can read it, and it is gone when it is closed.

    Args:
        size: the number of messages of a batch, and of those that are kept in memory.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer: list[NewMessage] = []
        self._count = 0
        self._file: IO[bytes] | None = None
        self._parts: list[list[int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Return whether `spill` must be called before the next message is added."""
        return len(self._buffer) >= self._size

    def add(self, message: NewMessage) -> None:
        """Add a message."""
        self._buffer.append(message)
        self._count += 1

    def spill(self) -> None:
        """Move the messages in memory to the file, in the order of keys.

        Raises:
            OSError: the temporary folder cannot be written to, or is full.
        """
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="smsclick-")  # noqa: SIM115 - closed in __exit__
        first = self._count - len(self._buffer)
        entries = [_entry(message, first + place) for place, message in enumerate(self._buffer)]
        self._buffer.clear()
        entries.sort(key=_order)
        offsets = []
        for start in range(0, len(entries), _BLOCK):
            offsets.append(self._file.tell())
            pickle.dump(entries[start : start + _BLOCK], self._file, pickle.HIGHEST_PROTOCOL)
        self._parts.append(offsets)

    def batches(self) -> Iterator[tuple[list[int], list[NewMessage]]]:
        """Yield positions and messages: by key if there are several batches, else in the order in which they came."""
        if not self._parts:
            if self._buffer:
                yield list(range(self._count)), self._buffer
            return
        if self._buffer:
            self.spill()
        places: list[int] = []
        messages: list[NewMessage] = []
        for _, place, fields in heapq.merge(*map(self._read, self._parts), key=_order):
            places.append(place)
            messages.append(NewMessage(*fields))
            if len(messages) == self._size:
                yield places, messages
                places, messages = [], []
        if messages:
            yield places, messages

    def _read(self, offsets: list[int]) -> Iterator[_Entry]:
        assert self._file is not None  # noqa: S101 - parts are in it
        for offset in offsets:
            self._file.seek(offset)
            yield from pickle.load(self._file)  # noqa: S301 - what `spill` wrote into a file without a name


def _entry(message: NewMessage, place: int) -> _Entry:
    # A subclass of str may not be picklable, and is not needed.
    values = (getattr(message, name) for name in _FIELDS)
    return (
        message.key,
        place,
        tuple(str(each) if type(each) is not str and isinstance(each, str) else each for each in values),
    )


def _order(entry: _Entry) -> tuple[str, int]:
    return entry[0], entry[1]
