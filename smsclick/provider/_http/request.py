"""What a request to the provider looks like: its address, headers and form fields, and the proxy before it."""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

import requests

from smsclick._net.certificates import context
from smsclick._net.urls import is_loopback
from smsclick.errors import InvalidField, InvalidText, InvalidTime, SettingsError
from smsclick.provider._answers.dates import format_date
from smsclick.provider.codes import Estatus

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from zoneinfo import ZoneInfo

DEFAULT_BASE_URL: Final = "https://app.smsclick.com.mx/sms-services"


def check_account(api_key: str, connect_timeout: float, read_timeout: float) -> None:
    """Check what every request depends on.

    Args:
        api_key: The account's.
        connect_timeout: Seconds.
        read_timeout: Seconds.

    Raises:
        SettingsError: One of them cannot be used.
    """
    if not api_key.strip() or not api_key.isprintable():
        raise SettingsError("the APIKEY is empty or holds line breaks: copy it again from the SMSClick panel")
    if connect_timeout <= 0 or read_timeout <= 0:
        raise SettingsError("the connect and read timeouts must be more than 0 seconds, for example 5 and 30")


def trusted(base_url: str, ca_bundle: str | None) -> ssl.SSLContext | None:
    """Return what verifies the provider's certificate, or None if it has none.

    Args:
        base_url: Of the provider.
        ca_bundle: A file of certificates that are trusted instead of the usual ones.

    Raises:
        SettingsError: The file cannot be used.
    """
    try:
        return context(ca_bundle) if base_url.startswith("https://") else None
    except ValueError as error:
        raise SettingsError(f"the file of trusted certificates: {error}; name one in PEM") from None


def template(url: str) -> requests.PreparedRequest:
    """Return a request that lacks only its body.

    Args:
        url: Of one endpoint.

    Raises:
        SettingsError: The URL cannot be used.
    """
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "keep-alive",
        # Servlet containers read a form as Latin-1 unless the header names another encoding.
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "User-Agent": f"smsclick/{version('smsclick')}",
    }
    with contextlib.suppress(ValueError, requests.RequestException):
        split = urlsplit(url)
        if split.scheme in ("http", "https") and split.hostname and not split.query and not split.fragment:
            return requests.Request("POST", url, headers=headers).prepare()
    raise SettingsError(f"the base URL cannot be used: an example is {DEFAULT_BASE_URL}")


def fill(blank: requests.PreparedRequest, fields: Mapping[str, str]) -> requests.PreparedRequest:
    """Return a copy of a template with a form as its body. Preparing it again would cost a fifth of the whole call.

    Args:
        blank: Made by `template`.
        fields: Names and values of the form.

    Raises:
        InvalidText: A field cannot be written as UTF-8.
    """
    request = requests.PreparedRequest()
    request.method, request.url, request.hooks = blank.method, blank.url, blank.hooks
    request.headers = blank.headers.copy()
    request.body = form(fields)
    request.headers["Content-Length"] = str(len(request.body))
    return request


def form(fields: Mapping[str, str]) -> bytes:
    """Return the body of a form.

    Args:
        fields: Names and values.

    Raises:
        InvalidText: A field cannot be written as UTF-8.
    """
    encoded = None
    with contextlib.suppress(UnicodeEncodeError):  # it carries the text, so ours must not be chained to it
        encoded = urlencode(fields).encode("ascii")
    if encoded is None:
        raise InvalidText("a field holds half a surrogate pair, which UTF-8 cannot carry: remove it")
    return encoded


def report_fields(
    start: datetime, end: datetime, statuses: Iterable[int] | None, campaign_id: str | int | None, zone: ZoneInfo
) -> dict[str, str]:
    """Return the form fields of a report, all but the key.

    Args:
        start: Aware.
        end: Aware, and not before `start`.
        statuses: Some of 0 to 4, or None for all.
        campaign_id: None for all.
        zone: Of the provider's dates.

    Raises:
        InvalidTime: A time has no zone, or the span ends before it begins.
        InvalidField: A status is not one of 0 to 4.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise InvalidTime("a report's times need a zone: give datetimes with tzinfo, for example in UTC")
    if end < start:
        raise InvalidTime("the report's span ends before it begins: exchange its two times")
    fields = {"FECHA_INICIO": format_date(start, zone), "FECHA_FIN": format_date(end, zone)}
    if statuses is not None:
        fields["ESTATUS_MENSAJE"] = _statuses(statuses)
    if campaign_id is not None:
        fields["ID_CAMPANIA"] = str(campaign_id)
    return fields


def _statuses(statuses: Iterable[int]) -> str:
    wanted = sorted(set(statuses))
    if not wanted or any(number not in set(Estatus) for number in wanted):
        raise InvalidField("a report's statuses are some of 0, 1, 2, 3 and 4, for example 3 and 4")
    return ",".join(str(int(number)) for number in wanted)


def proxies(base_url: str, proxy: str | None) -> dict[str, str] | None:
    """Return the proxy in the form that requests expects, or None if the provider is reached directly.

    Only tunnels are made: a proxy that forwards a request could answer it in the provider's place.

    Args:
        base_url: Of the provider. One on the loopback is always reached directly.
        proxy: Its URL, or None.

    Raises:
        SettingsError: No tunnel can be made with these addresses.
    """
    if not proxy or is_loopback(base_url):
        return None
    if not base_url.startswith("https://"):
        raise SettingsError("through a proxy the base URL must begin with https://")
    if not proxy.startswith(("http://", "https://")):
        raise SettingsError("the proxy must be an address that begins with http:// or https://")
    return {"https": proxy}
