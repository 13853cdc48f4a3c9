"""The ways in which a call can end without a whole HTTP answer, as far as programs decide by them."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FailureKind"]


class FailureKind(StrEnum):
    """What kind of failure it was. The reason beside it is one line for a person and decides nothing."""

    NETWORK = "network"
    """The name, the connection, TLS, a timeout, or an answer that broke off or is not HTTP."""
    CERTIFICATE = "certificate"
    """The certificate of the provider, or of the proxy before it, was not accepted."""
    PROXY = "proxy"
    """The proxy was not reached, or did not open a tunnel to the provider."""
    TOO_LARGE = "too_large"
    """The answer has more bytes than the caller allows."""
    WITHHELD = "withheld"
    """The client did not send the request, because the caller's `not_after` had passed."""
