"""What one process has claimed and not begun to call for: two queues, because a high message must not wait for a set.

The feeder adds claims, and the thread of the calls alone does the rest. While both queues hold some, every second
call is for a message that is not high: so a claim of either kind waits for at most as many calls of the other kind as
there are of its own before it, and a flood of high messages lets none of the others wait until it is released.

Why: docs/decisions/0076-high-messages-behind-a-bulk.md.

An exception may come between any two lines. So a call is listed in its next place before it leaves the last: one that
is listed twice is noticed, and one in no list would be lost.
"""

import asyncio
import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator

from smsclick.contract import Priority
from worker.lifecycle.attempt import Claim


@dataclasses.dataclass(slots=True, eq=False)
class Call:
    """A claim on its way. It is in flight until its place is free for another.

    Attributes:
        claimed_at: the time of `clock()` just before the claim.
        first: of its claim's transaction.
        began_at: since then the request may have left; by `time.monotonic`.
        ended: the recorder has its outcome.
        recorded: the outcome is on record.
        holds: no call begins before that.
    """

    claim: Claim
    claimed_at: float
    first: bool
    began_at: float | None = None
    ended: bool = False
    recorded: bool = False
    holds: bool = False
    task: asyncio.Task[None] | None = None


class ClaimsInHand:
    """The claims of one process that wait for their call, in the order in which they are called for."""

    def __init__(self) -> None:
        self._handed: deque[Call] = deque()
        self._high: deque[Call] = deque()
        self._others: deque[Call] = deque()
        self._others_next = False

    def __len__(self) -> int:
        return len(self._handed) + len(self._high) + len(self._others)

    def __iter__(self) -> Iterator[Call]:
        """All of them, whoever is next."""
        self._sort()
        return iter([*self._high, *self._others])

    def add(self, calls: Iterable[Call]) -> None:
        """Add claims; by the feeder."""
        self._handed.extend(calls)

    def next(self) -> Call | None:
        """The one to call for next, which stays in hand until it is removed; None where none waits."""
        self._sort()
        if self._high and not (self._others_next and self._others):
            return self._high[0]
        return self._others[0] if self._others else None

    def remove(self, call: Call) -> None:
        """Remove one that is listed elsewhere by now."""
        queue = self._queue_of(call)
        self._others_next = queue is self._high
        if queue[0] is call:
            queue.popleft()
        else:
            queue.remove(call)

    def _sort(self) -> None:
        while self._handed:
            first = self._handed[0]
            queue = self._queue_of(first)
            if not queue or queue[-1] is not first:  # an exception may have come between the two lists
                queue.append(first)
            self._handed.popleft()

    def _queue_of(self, call: Call) -> deque[Call]:
        return self._high if call.claim.priority is Priority.HIGH else self._others
