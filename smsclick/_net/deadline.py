"""HTTP answers that are read until one deadline, for the provider's client and for the callbacks' webhooks.

A socket's own timeout starts again with every byte that arrives, so an answer that trickles in could hold a call for
hours. Here one deadline and one byte limit cover the whole answer, its status line and headers included.
"""

from __future__ import annotations

import http.client
import io
import math
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket


class AnswerTooLargeError(http.client.HTTPException):
    """The answer has more bytes than its limits allow."""


class ReadLimits:
    """How long an answer may take and how many bytes it may have.

    Attributes:
        deadline: Time of `time.monotonic()` by which the whole answer must have arrived.
        bytes_allowed: Bytes that may still arrive.
    """

    def __init__(self, deadline: float, bytes_allowed: float = math.inf) -> None:
        self.deadline = deadline
        self.bytes_allowed = bytes_allowed

    def count(self, received: int) -> None:
        """Subtract bytes that arrived.

        Raises:
            AnswerTooLargeError: More arrived than is allowed.
        """
        self.bytes_allowed -= received
        if self.bytes_allowed < 0:
            raise AnswerTooLargeError


def seconds_left(deadline: float) -> float:
    """Return the seconds until a deadline of `time.monotonic()`.

    Raises:
        TimeoutError: It has passed.
    """
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


class DeadlineResponse(http.client.HTTPResponse):
    """An HTTP answer whose every read keeps its limits.

    Args:
        sock: The connection's socket.
        limits: May change while the answer is read: the reader looks at them before and after each read.
    """

    def __init__(self, sock: socket.socket, *args: Any, limits: ReadLimits, **options: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, limits))


class _DeadlineReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, limits: ReadLimits) -> None:
        super().__init__()
        self._raw, self._sock, self._limits = raw, sock, limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401  (typeshed's WriteableBuffer is not importable)
        self._sock.settimeout(seconds_left(self._limits.deadline))
        count: int | None = self._raw.readinto(buffer)
        self._limits.count(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
