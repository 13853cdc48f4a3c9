"""From an exception of requests, urllib3, http.client, ssl or socket to a `TransportFailure`.

The kind is for programs, the reason is one line for a person. Neither shows anything of the request.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING, Final

import urllib3.exceptions

from smsclick._net.certificates import NOT_ACCEPTED, why
from smsclick._net.deadline import AnswerTooLargeError
from smsclick.provider.failures import FailureKind
from smsclick.provider.results import TransportFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick.provider._http.call_record import Departure

TRANSPORT_ERRORS: Final = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError)
"""All that requests, urllib3, http.client, ssl and socket raise on purpose (requests' own are OSErrors)."""

TOO_LARGE: Final = "the answer is too large"
_WITHHELD: Final = "the claim was over before the request could leave"
_NO_CONNECTION: Final = "no connection could be made"

_REASONS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (urllib3.exceptions.NameResolutionError, "{owner} name was not resolved"),
    (socket.gaierror, "{owner} name was not resolved"),
    (ConnectionRefusedError, "the connection was refused"),
    (urllib3.exceptions.NewConnectionError, _NO_CONNECTION),  # before its parent, which is the next
    (urllib3.exceptions.ConnectTimeoutError, "no connection in time"),
    (ssl.SSLError, "TLS failed"),
    (urllib3.exceptions.ReadTimeoutError, "no answer in time"),
    (TimeoutError, "no answer in time"),
    (urllib3.exceptions.IncompleteRead, "the answer was cut short"),
    (urllib3.exceptions.DecodeError, "the answer could not be decompressed"),
    (ConnectionError, "the connection broke"),
    (http.client.RemoteDisconnected, "the connection broke"),
)
"""The reason of the first class that occurs anywhere in the chain of an error."""


class TunnelError(OSError):
    """A proxy answered and opened no tunnel to the provider.

    Attributes:
        reason: One line for a person.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.reason = f"the proxy made no way to the provider (HTTP {status})"
        if status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            self.reason = f"the proxy asks for a user and password, or refuses ours (HTTP {status})"


def failure_of(error: BaseException, record: Departure | None = None) -> TransportFailure:
    """Return what an error means for the call that ended with it.

    Args:
        error: One of `TRANSPORT_ERRORS`.
        record: Of the call, which alone decides whether the request left. None while an answer's body is read: the
            request has left, and the thread's record may be about another call already.
    """
    if record is not None and record.withheld:
        return TransportFailure(_WITHHELD, record.never_left, FailureKind.WITHHELD)
    never_left = record is not None and record.never_left
    at_proxy = record is not None and never_left and record.at_proxy
    kind, reason = _explained(list(_chain(error)), "its" if at_proxy else "the provider's", never_left=never_left)
    if at_proxy:
        reason = f"at the proxy: {reason}"
        kind = kind if kind is FailureKind.CERTIFICATE else FailureKind.PROXY
    return TransportFailure(reason, never_left, kind)


def _explained(chain: list[BaseException], owner: str, *, never_left: bool) -> tuple[FailureKind, str]:
    for link in chain:
        if isinstance(link, TunnelError):
            return FailureKind.PROXY, link.reason
        if isinstance(link, ssl.SSLCertVerificationError):
            return FailureKind.CERTIFICATE, f"{owner} {NOT_ACCEPTED}: {why(link)}"
        if isinstance(link, AnswerTooLargeError):
            return FailureKind.TOO_LARGE, TOO_LARGE
    for kind, reason in _REASONS:
        if any(isinstance(link, kind) for link in chain):
            return FailureKind.NETWORK, reason.format(owner=owner)
    return FailureKind.NETWORK, _NO_CONNECTION if never_left else "the answer is not HTTP"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps; urllib3 keeps causes in `reason` and in `args` too."""
    left: list[object] = [error]
    seen: set[int] = set()
    while left:
        link = left.pop()
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        left += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
