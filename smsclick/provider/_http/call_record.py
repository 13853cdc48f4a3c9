"""What the connection records about the call that its thread is making: whether the request left, and the limits.

requests and urllib3 raise the same exceptions for a refused handshake, after which the message may be sent again, and
for a connection that broke after the request, after which it may not. So nothing is concluded from the exception.
"""

from __future__ import annotations

import math
import threading
import time

from smsclick._net.deadline import ReadLimits
from smsclick.provider.clock import clock

_HEADER_BYTES = 256 * 1024
"""Allowed on top of a body for the headers and the framing of chunks."""


class AnswerLimits(ReadLimits):
    """The limits of one answer of the provider.

    They belong to the answer, not to the thread: while a streamed report is read, its thread may make other calls.

    Args:
        deadline: As in `ReadLimits`, until the request leaves.
        bytes_allowed: As in `ReadLimits`.
        slowest: Bytes a second that a streamed report must bring once its read timeout is over; 0: not streamed.
        longest: Seconds after which a streamed report is given up.
    """

    def __init__(self, deadline: float, bytes_allowed: float, slowest: float = 0.0, longest: float = 0.0) -> None:
        super().__init__(deadline, bytes_allowed)
        self._slowest = slowest
        self._longest = longest
        self._latest_deadline = deadline

    def start(self, read_timeout: float) -> None:
        """Start the time of the answer, because the request is leaving."""
        now = time.monotonic()
        self.deadline = now + read_timeout
        self._latest_deadline = now + max(read_timeout, self._longest)

    def count(self, received: int) -> None:
        """Subtract bytes that arrived. They give a streamed report more time.

        Raises:
            AnswerTooLargeError: More arrived than is allowed.
        """
        if self._slowest:
            self.deadline = min(self.deadline + received / self._slowest, self._latest_deadline)
        super().count(received)


class Departure:
    """What is proven of whether a call's request left, in both transports.

    A failure counts as "never left" only on positive proof: `connect()` failed, or the request was withheld, and
    nothing was given to a socket before.

    Attributes:
        not_after: Time of `clock()` after which no byte may leave; None: any time.
        connect_failed: Whether the connection could not be opened.
        at_proxy: Whether the call got no further than the proxy.
        withheld: Whether the request was not sent because `not_after` had passed.
        left: Whether bytes of the request may have been given to a socket.
    """

    not_after: float | None = None
    connect_failed = False
    at_proxy = False
    withheld = False
    left = False

    def leaves(self) -> None:
        """Record that the next step gives bytes of the request to a socket.

        Raises:
            TimeoutError: `not_after` has passed, so the bytes must not leave.
        """
        if self.not_after is not None and clock() > self.not_after:
            self.withheld = True
            raise TimeoutError
        self.left = True

    @property
    def never_left(self) -> bool:
        """Whether it is proven that not one byte of the request was sent."""
        return (self.connect_failed or self.withheld) and not self.left


class CallRecord(Departure, threading.local):
    """The record of the call that this thread is making. `begin` starts a new one.

    If urllib3 ever bypassed our connection class, nothing would be recorded, and the result of the send would be
    unknown.

    Attributes:
        connect_by: Time of `time.monotonic()` by which the connection must be open.
        limits: Of the answer.
        max_idle: Seconds after which the call's connection is not used again.
    """

    connect_by = 0.0
    limits = AnswerLimits(0.0, 0)
    max_idle = 0.0
    _read_timeout = 0.0

    def begin(
        self,
        connect_timeout: float,
        read_timeout: float,
        limit: int,
        max_idle: float,
        not_after: float | None = None,
        *,
        slowest: float = 0.0,
        longest: float = 0.0,
    ) -> None:
        """Start the record of a call.

        Args:
            connect_timeout: Seconds.
            read_timeout: Seconds.
            limit: Bytes that the body may have. A streamed report has no such limit.
            max_idle: Seconds.
            not_after: See `Departure`.
            slowest: See `AnswerLimits`.
            longest: See `AnswerLimits`.
        """
        self.connect_by = time.monotonic() + connect_timeout
        self._read_timeout = read_timeout
        allowed = math.inf if slowest else 2 * limit + _HEADER_BYTES
        self.limits = AnswerLimits(self.connect_by + read_timeout, allowed, slowest, longest)
        self.max_idle = max_idle
        self.not_after = not_after
        self.connect_failed = False
        self.at_proxy = False
        self.withheld = False
        self.left = False

    def leaves(self) -> None:
        """As in `Departure`; the time of the answer starts with the first byte."""
        left_before = self.left
        super().leaves()
        if not left_before:
            self.limits.start(self._read_timeout)


call = CallRecord()
"""The record of this thread's call."""
