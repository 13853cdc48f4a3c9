"""Opens the client that the settings describe, for workers, doctor and the commands.

The advice for a query that brought no data is here too, so that all of them give the same.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from smsclick._net.urls import is_loopback, place
from smsclick.errors import ProviderUnreachable, UnreadableAnswer
from smsclick.provider.client import SmsclickClient
from smsclick.provider.failures import FailureKind

if TYPE_CHECKING:
    from smsclick.errors import ProviderError
    from smsclick.provider.async_sender import AsyncSender
    from smsclick.settings import Settings

__all__ = ["open_async_sender", "open_client"]

_OTHER_FILES: Final = 256
"""What a process has open besides its connections to the provider."""

_CERTIFICATE_VARIABLES_OF_OTHERS: Final = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_PROXY_VARIABLES_OF_OTHERS: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def open_client(
    settings: Settings, *, key: str | None = None, pool_size: int = 8, longest: float | None = None
) -> SmsclickClient:
    """Open a client for the account of the settings. Close it.

    Args:
        settings: Address, key, timeouts, certificates and proxy.
        key: The APIKEY, if the caller has read it already.
        pool_size: Connections kept open.
        longest: Seconds that no timeout may exceed; None: as the settings say.

    Raises:
        SettingsError: There is no key, or one of the settings cannot be used.
    """
    bound = float("inf") if longest is None else longest
    return SmsclickClient(
        key or settings.require_api_key(),
        settings.base_url,
        settings.timezone,
        min(settings.connect_timeout, bound),
        min(settings.read_timeout, bound),
        pool_size=pool_size,
        ca_bundle=None if settings.ca_bundle is None else str(settings.ca_bundle),
        proxy=settings.proxy.get_secret_value() or None,
    )


def open_async_sender(settings: Settings, *, connections: int, key: str | None = None) -> AsyncSender:
    """Open the sender of many calls at once for the account of the settings. Close it on its event loop.

    It raises this process's limit of open files as far as that many connections need and the system allows.

    Args:
        settings: Address, key, timeouts, certificates and proxy.
        connections: At most so many are open: as many as there are calls in flight.
        key: The APIKEY, if the caller has read it already.

    Raises:
        SettingsError: There is no key, or one of the settings cannot be used.
    """
    from smsclick.provider.async_sender import AsyncSender  # noqa: PLC0415 - it needs httptools, which only workers have

    return AsyncSender(
        key or settings.require_api_key(),
        settings.base_url,
        settings.connect_timeout,
        settings.read_timeout,
        connections=_allow_connections(connections),
        ca_bundle=None if settings.ca_bundle is None else str(settings.ca_bundle),
        proxy=settings.proxy.get_secret_value() or None,
    )


def _allow_connections(wanted: int) -> int:
    """Return how many connections the limit of open files allows, once it is raised; many shells start with 1,024."""
    import resource  # noqa: PLC0415 - the commands of producers run on systems without it too

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    return max(1, min(wanted, soft - _OTHER_FILES))


def way(settings: Settings) -> str:
    """Return how the provider is reached, without secrets: its address, and the proxy before it."""
    where, proxy = place(settings.base_url), settings.proxy.get_secret_value()
    return f"{where} through {place(proxy)}" if proxy and not is_loopback(settings.base_url) else where


def advice(error: ProviderError, settings: Settings) -> str:
    """Return what a person can do about a query that brought no data.

    Args:
        error: The query's.
        settings: Those that its client was opened with.
    """
    if isinstance(error, UnreadableAnswer) and error.is_redirect:
        return f"set SMSCLICK_BASE_URL ({place(settings.base_url)}) to the address that answers without a redirect"
    kind = error.kind if isinstance(error, ProviderUnreachable) else None
    if kind is FailureKind.PROXY:
        return f"check SMSCLICK_PROXY ({place(settings.proxy.get_secret_value())}), its user and its password"
    if kind is FailureKind.CERTIFICATE:
        given = [name for name in _CERTIFICATE_VARIABLES_OF_OTHERS if os.environ.get(name)]
        hint = f" ({' and '.join(given)} {'count' if given[1:] else 'counts'} for other programs only)" if given else ""
        asked = f"is it in {settings.ca_bundle}" if settings.ca_bundle else "name its file in SMSCLICK_CA_BUNDLE"
        return f"see whose certificate it is: if a company's own authority signs, {asked}{hint}"
    given = [name for name in _PROXY_VARIABLES_OF_OTHERS if os.environ.get(name)]
    needs_none = settings.proxy.get_secret_value() or is_loopback(settings.base_url)
    hint = f"; a proxy is used only if SMSCLICK_PROXY names it, whatever {given[0]} says" if given else ""
    hint = "" if needs_none else hint
    return f"check SMSCLICK_BASE_URL ({way(settings)}) and this machine's way to it{hint}"
