"""The provider's client as the settings say: the one way to it, for workers, doctor and the commands.

What to do where there is no way is said here too, so that each of them says the same.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from smsclick._net.certificates import NOT_ACCEPTED
from smsclick._net.urls import is_loopback, place
from smsclick.errors import ProviderUnreachable, UnreadableAnswer
from smsclick.provider.client import SmsclickClient

if TYPE_CHECKING:
    from smsclick.errors import ProviderError
    from smsclick.settings import Settings

_OTHERS: Final = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_OTHER_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def open_client(
    settings: Settings, *, key: str | None = None, pool_size: int = 8, longest: float | None = None
) -> SmsclickClient:
    """A client for the account of the settings; close it.

    Args:
        settings: where the provider is, and the way to it.
        key: the APIKEY where the caller has read it already.
        pool_size: connections kept open.
        longest: seconds that no timeout may exceed, whatever the settings say; None: as they say.

    Raises:
        SettingsError: no key, or one of the settings cannot be used.
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


def way(settings: Settings) -> str:
    """Where the provider is asked, without secrets: its address, and the proxy before it."""
    where, proxy = place(settings.base_url), settings.proxy.get_secret_value()
    return f"{where} through {place(proxy)}" if proxy and not is_loopback(settings.base_url) else where


def advice(error: ProviderError, settings: Settings) -> str:
    """What to do about a query that brought no data."""
    if isinstance(error, UnreadableAnswer) and error.is_redirect:
        return f"set SMSCLICK_BASE_URL ({place(settings.base_url)}) to the address that answers without a redirect"
    reason = error.reason if isinstance(error, ProviderUnreachable) else ""
    if "proxy" in reason and NOT_ACCEPTED not in reason:
        return f"check SMSCLICK_PROXY ({place(settings.proxy.get_secret_value())}), its user and its password"
    if NOT_ACCEPTED in reason:
        given = [name for name in _OTHERS if os.environ.get(name)]
        hint = f" ({' and '.join(given)} {'count' if given[1:] else 'counts'} for other programs only)" if given else ""
        asked = f"is it in {settings.ca_bundle}" if settings.ca_bundle else "name its file in SMSCLICK_CA_BUNDLE"
        return f"see whose certificate it is: if a company's own authority signs, {asked}{hint}"
    given = [name for name in _OTHER_PROXIES if os.environ.get(name)]
    needs_none = settings.proxy.get_secret_value() or is_loopback(settings.base_url)
    hint = f"; a proxy is used only if SMSCLICK_PROXY names it, whatever {given[0]} says" if given else ""
    hint = "" if needs_none else hint
    return f"check SMSCLICK_BASE_URL ({way(settings)}) and this machine's way to it{hint}"
