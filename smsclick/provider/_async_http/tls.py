"""TLS between memory buffers, so that the caller itself reads and writes the socket, and TLS may lie within TLS."""

from __future__ import annotations

import ssl
from typing import Self

_RECORD_BYTES = 64 * 1024


class Tls:
    """One TLS connection over a socket, or over another TLS connection (a proxy's).

    Args:
        context: Verifies the other side.
        hostname: That its certificate must name.
        beneath: The TLS that this one's records go through; None: the socket itself.
    """

    def __init__(self, context: ssl.SSLContext, hostname: str, beneath: Self | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)
        self._beneath = beneath
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the other side has said that nothing more comes."""
        return self._ended or (self._beneath is not None and self._beneath.ended)

    def handshake(self, received: bytes | None) -> bool:
        """Continue the handshake. Afterwards send `pending()`, whatever comes of it.

        Args:
            received: Bytes of the socket; empty at its end; None at the first call.

        Returns:
            Whether the handshake is done; if not, it needs more bytes.

        Raises:
            ssl.SSLError: It failed.
        """
        self._take(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def pending(self) -> bytes:
        """Return what TLS itself has to send, for the socket; often nothing."""
        out = self._outgoing.read() if self._outgoing.pending else b""
        return out if self._beneath is None else self._beneath.encrypt(out)

    def encrypt(self, data: bytes) -> bytes:
        """Return bytes for the socket that carry `data`.

        Args:
            data: Anything.

        Raises:
            ssl.SSLError: The connection cannot carry anything any more.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self._object.write(rest) :]
        return self.pending()

    def decrypt(self, received: bytes | None) -> bytes:
        """Return the data that bytes of the socket carry: none, while a record is not whole.

        Args:
            received: Bytes of the socket; empty at its end, which `ended` says afterwards. None: only what is here.

        Raises:
            ssl.SSLError: They are no TLS, or were changed on the way.
        """
        self._take(received)
        parts = []
        while not self._ended:
            try:
                part = self._object.read(_RECORD_BYTES)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                part = b""
            if not part:
                self._ended = True
            parts.append(part)
        return b"".join(parts)

    def _take(self, received: bytes | None) -> None:
        ended = received == b""
        if self._beneath is not None:
            received = self._beneath.decrypt(received)
            ended = self._beneath.ended
        if received:
            self._incoming.write(received)
        if ended:
            self._incoming.write_eof()
