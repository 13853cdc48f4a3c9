"""Thousands of followed messages in a few bytes each. A pure value.

A worker holds the messages of a bracket while it reads their reports, beside all its other work. As one object each
they would take several times the memory. See docs/decisions/0023-one-heap.md.
"""

import bisect
import dataclasses
import datetime as dt
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_NO_TIME = -(2**63)


@dataclasses.dataclass(frozen=True, slots=True)
class Followed:
    """A followed message.

    Attributes:
        id: our row's id.
        id_mensaje: the provider's id.
        sent_at: when the provider accepted it.
        due_at: when its own check is due; None where none is planned.
    """

    id: int
    id_mensaje: int
    sent_at: dt.datetime
    due_at: dt.datetime | None


class FollowedMessages(Sequence[Followed]):
    """Followed messages in the order in which they were sent, 48 bytes each. An item is made when it is asked for."""

    def __init__(self, rows: Iterable[Any]) -> None:
        """Read all rows.

        Args:
            rows: of `id`, `id_mensaje`, `sent_at`, `due_at`, ordered by `sent_at`.
        """
        self._ids = array("q")
        self._id_mensajes = array("q")
        self._sent = array("q")
        self._due = array("q")
        for row_id, id_mensaje, sent_at, due_at in rows:
            self._ids.append(row_id)
            self._id_mensajes.append(id_mensaje)
            self._sent.append(_number(sent_at))
            self._due.append(_NO_TIME if due_at is None else _number(due_at))
        self._order = array("q", sorted(range(len(self._ids)), key=self._id_mensajes.__getitem__))
        self._sorted = array("q", (self._id_mensajes[place] for place in self._order))

    def __len__(self) -> int:
        """Return how many messages these are."""
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> Followed: ...
    @overload
    def __getitem__(self, place: slice) -> list[Followed]: ...
    def __getitem__(self, place: int | slice) -> Followed | list[Followed]:
        """Return one message, or those of a slice."""
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        due = self._due[place]
        return Followed(
            self._ids[place],
            self._id_mensajes[place],
            _time(self._sent[place]),
            None if due == _NO_TIME else _time(due),
        )

    def times(self) -> Iterator[dt.datetime]:
        """Iterate over the times at which they were sent, in order."""
        return map(_time, self._sent)

    def places(self, first: dt.datetime, last: dt.datetime) -> range:
        """Return the places of the messages that were sent from `first` to `last`, both included."""
        begin = bisect.bisect_left(self._sent, _number(first))
        return range(begin, bisect.bisect_right(self._sent, _number(last), lo=begin))

    def id_of(self, id_mensaje: int) -> int | None:
        """Return the row id of the message with this provider's id; None where it is not one of these."""
        place = bisect.bisect_left(self._sorted, id_mensaje)
        if place == len(self._sorted) or self._sorted[place] != id_mensaje:
            return None
        return self._ids[self._order[place]]


def _number(time: dt.datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _time(number: int) -> dt.datetime:
    return _EPOCH + number * _MICROSECOND
