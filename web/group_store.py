"""Store the messages of many requests in one transaction: a commit costs more than the rows in it.

One thread stores whatever waits, then answers all of it. A single request is stored at once; under load the requests
that arrive during one commit share the next one. An answer is given after the commit and never before, so a process
that is killed loses no message that was answered.
"""

import asyncio
import dataclasses
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._enqueue.enqueue import enqueue_each
from smsclick._enqueue.message import NewMessage
from smsclick._enqueue.tracing import producing
from smsclick._logs.event_log import EventLog
from smsclick._threads.supervised import SupervisedThread
from smsclick.contract import State, messages
from smsclick.errors import DatabaseNotMigrated, DatabaseUnavailable, SmsclickError
from web.problems import Kind, ProblemError

log = EventLog(__name__)

MOST_WAITING: Final = 20_000
"""Messages that may wait for a commit; a request beyond that is refused, and its client tries again."""

LONGEST_WAIT_SECONDS: Final = 60.0
"""A request waits for its commit for so long; the messages may be stored later all the same."""

_MESSAGES_PER_COMMIT: Final = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message.

    Attributes:
        id: of its row, or of the older message with its key.
        key: its key.
        state: its state now.
        new: whether this request stored it.
        conflict: whether the older message has another phone or text; nothing was stored then.
    """

    id: int
    key: str
    state: str
    new: bool
    conflict: bool


@dataclasses.dataclass(slots=True, eq=False)
class _Request:
    new: Sequence[NewMessage]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[list[Outcome]]"
    traceparents: Mapping[str, str]
    answered: bool = False

    def answer(self, outcome: "list[Outcome] | BaseException") -> None:
        self.answered = True
        # The client, or the whole server, may be gone: then nobody waits for the answer.
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._set, outcome)

    def _set(self, outcome: "list[Outcome] | BaseException") -> None:
        if self.done.done():
            return
        if isinstance(outcome, BaseException):
            self.done.set_exception(outcome)
        else:
            self.done.set_result(outcome)


class GroupStore:
    """Stores messages of many requests together, from `start` until `close`.

    Args:
        database: where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._condition = threading.Condition()
        self._requests: deque[_Request] = deque()
        self._in_work: list[_Request] = []
        self._waiting = 0
        self._closing = False
        self._thread = SupervisedThread("smsclick-web-store", self._run, stopping=threading.Event())

    def start(self) -> None:
        """Begin to store."""
        self._thread.start()

    def close(self) -> None:
        """Store what waits, and end."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    async def store(self, new: Sequence[NewMessage], headers: Mapping[str, str] | None = None) -> list[Outcome]:
        """Store messages; returns when they are committed.

        Args:
            new: validated messages.
            headers: of the request; where this process is traced, its `traceparent` is the parent of the span.

        Returns:
            What became of each, in their order.

        Raises:
            ProblemError: too much waits for the database.
            SmsclickError: the database cannot be used; nothing is stored, or the answer to the commit was lost. A
                client that gave keys may simply try again.
        """
        with producing(headers) as span:
            outcomes = await self._store(new, span.of_all(new))
            span.stored([each.id for each in outcomes])
            return outcomes

    async def _store(self, new: Sequence[NewMessage], traceparents: Mapping[str, str] | None) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        request = _Request(new, loop, loop.create_future(), traceparents or {})
        with self._condition:
            if self._closing or self._waiting + len(new) > MOST_WAITING:
                raise ProblemError(
                    Kind.UNAVAILABLE, "too many messages wait for the database; try again", headers={"Retry-After": "2"}
                )
            self._waiting += len(new)
            self._requests.append(request)
            self._condition.notify()
        self._thread.start()  # in case it could not be started before
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                return await request.done
        except TimeoutError:
            raise ProblemError(
                Kind.UNAVAILABLE,
                "the database does not answer; try again with the same key",
                headers={"Retry-After": "5"},
            ) from None

    def _run(self) -> None:
        # After an exception that ended this thread: nobody knows what was committed.
        for request in self._in_work:
            if not request.answered:
                request.answer(ProblemError(Kind.DEFECT, "it is not known whether this was stored; try again"))
        self._in_work = []
        while group := self._take():
            self._store_group(group)

    def _take(self) -> list[_Request]:
        with self._condition:
            while not self._requests:
                if self._closing:
                    return []
                self._condition.wait()
            count = 0
            while self._requests and (not count or count + len(self._requests[0].new) <= _MESSAGES_PER_COMMIT):
                request = self._requests.popleft()
                self._in_work.append(request)
                count += len(request.new)
            self._waiting -= count
            return self._in_work

    def _store_group(self, group: list[_Request]) -> None:
        try:
            self._answer(group)
        except Exception as error:  # noqa: BLE001 - one request must not end the others
            if len(group) > 1 and not isinstance(error, DatabaseUnavailable | DatabaseNotMigrated):
                for each in group:
                    self._store_alone(each)
            else:
                self._refuse(group, error)
        self._in_work = []

    def _store_alone(self, request: _Request) -> None:
        try:
            self._answer([request])
        except Exception as error:  # noqa: BLE001 - as above
            self._refuse([request], error)

    def _answer(self, group: Sequence[_Request]) -> None:
        new = [message for request in group for message in request.new]
        # Of a key that two requests have, one message is stored, and one of the two contexts.
        traceparents = {key: parent for request in group for key, parent in request.traceparents.items()}
        outcomes = self._database.transact(lambda connection: _store(connection, new, traceparents or None))
        start = 0
        for request in group:
            request.answer(outcomes[start : start + len(request.new)])
            start += len(request.new)

    def _refuse(self, group: Sequence[_Request], error: Exception) -> None:
        # A driver's words may hold a row, with its phone and text.
        log.warning("messages_not_stored", requests=len(group), error=type(error).__name__)
        for request in group:
            request.answer(
                error
                if isinstance(error, SmsclickError)
                else ProblemError(Kind.UNAVAILABLE, "the messages could not be stored; try again")
            )


def _store(
    connection: sa.Connection, new: Sequence[NewMessage], traceparents: Mapping[str, str] | None
) -> list[Outcome]:
    stored = enqueue_each(connection, new, traceparents)
    older = {each.id for each in stored if not each.new}
    states: dict[int, str] = {}
    if older:
        query = sa.select(messages.c.id, messages.c.state).where(messages.c.id.in_(older))
        states = {row.id: row.state for row in connection.execute(query)}
    return [
        Outcome(each.id, message.key, states.get(each.id, State.QUEUED), each.new, each.conflict)
        for message, each in zip(new, stored, strict=True)
    ]
