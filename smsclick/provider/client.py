"""The four calls of SMSClick's API, over `requests`.

The client uses requests' adapter directly instead of a `Session`: it may be shared by any number of
threads, follows no redirect, keeps no cookie and reads neither proxies nor `.netrc` from the environment.
Nothing is ever retried here: a `sendMsg` that may have arrived must not be repeated by a lower layer.

Whether a request left is not guessed from the kind of the exception (requests reports a refused handshake
and a connection that broke after the request with the same classes) but recorded by the connection itself,
in `_Call`.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import math
import re
import ssl
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import requests
import urllib3.connection
import urllib3.exceptions
from requests.adapters import HTTPAdapter

from smsclick._net.certificates import NOT_ACCEPTED, context, why
from smsclick._net.urls import is_loopback
from smsclick.errors import (
    InvalidField,
    InvalidText,
    InvalidTime,
    ProviderUnreachable,
    SettingsError,
    UnreadableAnswer,
)
from smsclick.provider.codes import Estatus
from smsclick.provider.results import (
    HttpAnswer,
    MessageStatus,
    ReportRow,
    SendResult,
    TransportFailure,
    UnreadableRow,
    classify_send,
    format_date,
    parse_credits,
    parse_report,
    parse_status,
)
from smsclick.provider.streaming import ReportReader

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from decimal import Decimal
    from types import TracebackType

DEFAULT_BASE_URL: Final = "https://app.smsclick.com.mx/sms-services"
DEFAULT_TIMEZONE: Final = "America/Mexico_City"

SMALL_ANSWER: Final = 256 * 1024
"""Most bytes read of an answer about one message or the balance; the manual's are under 400."""
LARGE_ANSWER: Final = 64 * 1024 * 1024
"""Most bytes read of a report: some 200,000 messages."""

SLOWEST_REPORT: Final = 64 * 1024
"""Bytes a second that a streamed report must bring once its first `read_timeout` is over."""
LONGEST_REPORT: Final = 300.0
"""Seconds after which a streamed report is given up, however fast it comes (or `read_timeout`, if that is longer)."""

MAX_IDLE: Final = 3.0
"""Seconds after which an idle connection is not used again.

A server that closes an idle connection just as the next request goes out turns that message into an unknown
one. urllib3 notices a close that has already arrived; this keeps us clear of the rest, because common
servers wait 5 s or more (Apache and Node 5, Tomcat 20, nginx 75). A server that announces less
(`Keep-Alive: timeout=…`) is believed.
"""

_LARGEST_TUNNEL_ANSWER: Final = 64 * 1024
_TOO_LARGE: Final = "the answer is too large"
_NO_CONNECTION: Final = "no connection could be made"
TOO_LATE: Final = "the claim was over before the request could leave"
"""How the reason begins of a send that was withheld, see `not_after`."""


class SmsclickClient:
    """SMSClick's API with one account's key. Safe to use from many threads; make one in each process.

    Connections are kept alive and shared. A call takes at most `connect_timeout + read_timeout` seconds,
    however slowly the bytes come: `connect_timeout` covers the connection with its TLS handshake (if it
    takes longer, nothing is sent), `read_timeout` the request and the whole answer. What may add to it is
    the system's name resolution, and a name with several dead addresses; nothing is sent then. A streamed
    report (`report_rows`) has a limit of its own.

    Args:
        api_key: The account's APIKEY. It appears in no `repr`, error or log.
        base_url: Where the four endpoints live.
        timezone: The zone of the provider's dates.
        connect_timeout: Seconds.
        read_timeout: Seconds.
        pool_size: Connections kept open; as many as there are threads that call at once.
        max_idle: Seconds after which an idle connection is not used again; see `MAX_IDLE`.
        ca_bundle: A file of certificates to trust instead of the usual ones, for a company's own authority. It is
            read once.
        proxy: A company's proxy, `http://user:password@host:port` or https, through which the provider is reached by
            a tunnel (CONNECT). A provider on the loopback, which is the simulator, is reached without.

    Raises:
        SettingsError: One of them cannot be used; the text says which and gives an example.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str = DEFAULT_BASE_URL,
        timezone: str | ZoneInfo = DEFAULT_TIMEZONE,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        *,
        pool_size: int = 32,
        max_idle: float = MAX_IDLE,
        ca_bundle: str | None = None,
        proxy: str | None = None,
    ) -> None:
        if not api_key.strip() or not api_key.isprintable():
            raise SettingsError("the APIKEY is empty or holds line breaks: copy it again from the SMSClick panel")
        if connect_timeout <= 0 or read_timeout <= 0:
            raise SettingsError("the connect and read timeouts must be more than 0 seconds, for example 5 and 30")
        self._api_key = api_key
        self._base_url = base_url.rstrip("/")
        self._zone = _zone(timezone)
        self._timeouts = (connect_timeout, read_timeout)
        self._max_idle = max_idle
        self._templates = {
            name: _template(f"{self._base_url}/{name}.json") for name in ("sendMsg", "getMsg", "report", "credits")
        }
        self._proxies = _proxies(self._base_url, proxy)
        try:
            trusted = context(ca_bundle) if self._base_url.startswith("https://") else None
        except ValueError as error:
            raise SettingsError(f"the file of trusted certificates: {error}; name one in PEM") from None
        self._adapter = _Adapter(trusted, pool_size)

    def __repr__(self) -> str:
        return f"SmsclickClient(base_url={self._base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections. Calls under way finish."""
        self._adapter.close()

    def send(
        self, phone: str, text: str, rule_id: str | int | None = None, *, not_after: float | None = None
    ) -> SendResult:
        """Send one message (`sendMsg`, manual: "API Envío de mensajes"). Never repeats the request.

        Args:
            phone: Ten digits, as `smsclick._values.phones.normalize_phone` gives them.
            text: The text, as `smsclick._values.texts.clean_text` lets it pass.
            rule_id: `ID_REGLA_INTERACTIVA`, if the customer may answer.
            not_after: A time of `clock()` after which no byte of the request may be handed to the socket, because
                the caller's claim is over by then: a process may be paused at any point and wake much later.

        Returns:
            `Accepted`, `Refused` or `Unknown`. Trouble with the provider or on the way never raises.

        Raises:
            InvalidText: The text cannot be written as UTF-8; nothing was sent.
        """
        fields = {"TELEFONO": phone, "MENSAJE": text}
        if rule_id is not None:
            fields["ID_REGLA_INTERACTIVA"] = str(rule_id)
        answer = self._post("sendMsg", fields, SMALL_ANSWER, not_after=not_after)
        return classify_send(answer, hide=(self._api_key, text, phone))

    def status(self, id_mensaje: int) -> MessageStatus:
        """Ask for one message (`getMsg`, manual: "API Estatus de mensajes enviados").

        Args:
            id_mensaje: The provider's id.

        Returns:
            What the provider says of it.

        Raises:
            ProviderRefused: An error code; -200 and -201 say that there is no such message.
            ProviderUnreachable: No answer came.
            UnreadableAnswer: An answer came that proves nothing.
        """
        answer = self._query("getMsg", {"ID_MENSAJE": str(id_mensaje)}, SMALL_ANSWER)
        return parse_status(answer, self._zone, hide=(self._api_key,))

    def report(
        self,
        start: datetime,
        end: datetime,
        statuses: Iterable[int] | None = None,
        campaign_id: str | int | None = None,
    ) -> list[ReportRow | UnreadableRow]:
        """Ask for the messages of a span of time (`report`, manual: "API Reporte").

        Args:
            start: First moment, aware. The provider's dates have whole seconds; fractions are dropped.
            end: Last moment, aware and included.
            statuses: Only messages that stand at one of these `estatus_mensaje`.
            campaign_id: Only messages of this campaign.

        Returns:
            All rows of the answer, those that cannot be read as such. They may be large in number: ask for short spans.

        Raises:
            InvalidTime: A moment has no zone, or the span ends before it begins.
            InvalidField: A status is not one of 0 to 4.
            ProviderRefused: An error code.
            ProviderUnreachable: No answer came.
            UnreadableAnswer: An answer came that proves nothing.
        """
        answer = self._query("report", self._span(start, end, statuses, campaign_id), LARGE_ANSWER)
        return parse_report(answer, self._zone, hide=(self._api_key,))

    def report_rows(
        self,
        start: datetime,
        end: datetime,
        statuses: Iterable[int] | None = None,
        campaign_id: str | int | None = None,
    ) -> Generator[ReportRow | UnreadableRow]:
        """Ask for a report as `report` does, and give its rows out while they come: its size costs no memory.

        It may take longer than other calls: the first bytes must come within `read_timeout`, from then on
        `SLOWEST_REPORT` bytes a second, and the end within `LONGEST_REPORT` seconds. The caller's own time
        between two rows counts. Close it if you stop early.

        Args:
            start: First moment, aware.
            end: Last moment, aware and included.
            statuses: Only messages that stand at one of these.
            campaign_id: Only messages of this campaign.

        Returns:
            The rows, as they come. Only when they have ended without an error was the report whole: what came
            before an error is true, but says nothing about what did not come.

        Raises:
            InvalidTime: As `report`, before anything is asked; and so is the next.
            InvalidField: As `report`.
            ProviderRefused: An error code.
            ProviderUnreachable: No answer came.
            UnreadableAnswer: An answer came that proves nothing, or that broke off.
        """
        return self._stream(self._span(start, end, statuses, campaign_id))

    def _span(
        self, start: datetime, end: datetime, statuses: Iterable[int] | None, campaign_id: str | int | None
    ) -> dict[str, str]:
        """The fields of a report."""
        if start.tzinfo is None or end.tzinfo is None:
            raise InvalidTime("a report's times need a zone: give datetimes with tzinfo, for example in UTC")
        if end < start:
            raise InvalidTime("the report's span ends before it begins: exchange its two times")
        fields = {"FECHA_INICIO": format_date(start, self._zone), "FECHA_FIN": format_date(end, self._zone)}
        if statuses is not None:
            fields["ESTATUS_MENSAJE"] = _statuses(statuses)
        if campaign_id is not None:
            fields["ID_CAMPANIA"] = str(campaign_id)
        return fields

    def credits(self) -> int:
        """Ask for the balance (`credits`, manual: "API Crédito").

        Returns:
            Whole credits available.

        Raises:
            ProviderRefused: An error code; -100 and -101 say that the key does not work.
            ProviderUnreachable: No answer came.
            UnreadableAnswer: An answer came that proves nothing.
        """
        return math.floor(self.exact_credits())

    def exact_credits(self) -> Decimal:
        """Ask for the balance as `credits` does; what an answer says behind the decimal point stays.

        Returns:
            Credits available.

        Raises:
            ProviderRefused: An error code; -100 and -101 say that the key does not work.
            ProviderUnreachable: No answer came.
            UnreadableAnswer: An answer came that proves nothing.
        """
        return parse_credits(self._query("credits", {}, SMALL_ANSWER), hide=(self._api_key,))

    def _query(self, name: str, fields: Mapping[str, str], limit: int) -> HttpAnswer:
        """Call an endpoint that changes nothing."""
        answer = self._post(name, fields, limit)
        if isinstance(answer, HttpAnswer):
            return answer
        if answer.kind == _TOO_LARGE:
            raise UnreadableAnswer(f"{_TOO_LARGE}, more than {limit} bytes")
        raise ProviderUnreachable(answer.kind, answer.never_left)

    def _stream(self, fields: Mapping[str, str]) -> Generator[ReportRow | UnreadableRow]:
        request = self._request("report", fields)
        _call.begin(*self._timeouts, 0, self._max_idle, slowest=SLOWEST_REPORT, longest=LONGEST_REPORT)
        response = self._opened(request)
        if isinstance(response, TransportFailure):
            raise ProviderUnreachable(response.kind, response.never_left)
        with contextlib.closing(response):
            retry_after = _retry_after(response.headers.get("Retry-After"))
            reader = ReportReader(HttpAnswer(response.status_code, b"", retry_after), self._zone, hide=(self._api_key,))
            while piece := _piece(response):
                if isinstance(piece, TransportFailure):
                    raise UnreadableAnswer(f"{piece.kind}; the report is not whole", response.status_code)
                yield from reader.feed(piece)
            yield from reader.close()

    def _post(
        self, name: str, fields: Mapping[str, str], limit: int, *, not_after: float | None = None
    ) -> HttpAnswer | TransportFailure:
        """Call an endpoint once. What went wrong comes back as a value.

        Exceptions of requests are never chained to ours: they carry the request, and with it the key.
        """
        request = self._request(name, fields)
        _call.begin(*self._timeouts, limit, self._max_idle, not_after)
        response = self._opened(request)
        if isinstance(response, TransportFailure):
            return response
        with contextlib.closing(response):
            body = bytearray()
            while piece := _piece(response):
                if isinstance(piece, TransportFailure):
                    return piece
                body += piece
                if len(body) > limit:
                    return TransportFailure(_TOO_LARGE, never_left=False)
        return HttpAnswer(response.status_code, bytes(body), _retry_after(response.headers.get("Retry-After")))

    def _request(self, name: str, fields: Mapping[str, str]) -> requests.PreparedRequest:
        return _filled(self._templates[name], _form({"APIKEY": self._api_key, **fields}))

    def _opened(self, request: requests.PreparedRequest) -> requests.Response | TransportFailure:
        """Make the call; its body is yet to be read."""
        try:
            return self._adapter.send(request, stream=True, timeout=self._timeouts, proxies=self._proxies)
        except _TRANSPORT_ERRORS as error:
            return _failure(error)


def _zone(timezone: str | ZoneInfo) -> ZoneInfo:
    try:
        return timezone if isinstance(timezone, ZoneInfo) else ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"there is no time zone {timezone!r}: an example is {DEFAULT_TIMEZONE}") from None


def _proxies(base_url: str, proxy: str | None) -> dict[str, str] | None:
    """In requests' words. Only tunnels: what a proxy answers to a forwarded request may be the provider's word."""
    if not proxy or is_loopback(base_url):
        return None
    if not base_url.startswith("https://"):
        raise SettingsError("through a proxy the base URL must begin with https://")
    if not proxy.startswith(("http://", "https://")):
        raise SettingsError("the proxy must be an address that begins with http:// or https://")
    return {"https": proxy}


def _filled(template: requests.PreparedRequest, body: bytes) -> requests.PreparedRequest:
    """Return the request with this body. Preparing it again would cost a fifth of the whole call."""
    request = requests.PreparedRequest()
    request.method, request.url, request.hooks = template.method, template.url, template.hooks
    request.headers = template.headers.copy()
    request.headers["Content-Length"] = str(len(body))
    request.body = body
    return request


def _template(url: str) -> requests.PreparedRequest:
    """Return a request that lacks only its body."""
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "keep-alive",
        # Servlet containers read a form as Latin-1 unless told otherwise.
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "User-Agent": f"smsclick/{version('smsclick')}",
    }
    with contextlib.suppress(ValueError, requests.RequestException):
        split = urlsplit(url)
        if split.scheme in ("http", "https") and split.hostname and not split.query and not split.fragment:
            return requests.Request("POST", url, headers=headers).prepare()
    raise SettingsError(f"the base URL cannot be used: an example is {DEFAULT_BASE_URL}")


def _form(fields: Mapping[str, str]) -> bytes:
    encoded = None
    with contextlib.suppress(UnicodeEncodeError):  # it carries the text, so ours must not be chained to it
        encoded = urlencode(fields).encode("ascii")
    if encoded is None:
        raise InvalidText("a field holds half a surrogate pair, which UTF-8 cannot carry: remove it")
    return encoded


def _statuses(statuses: Iterable[int]) -> str:
    wanted = sorted(set(statuses))
    if not wanted or any(number not in set(Estatus) for number in wanted):
        raise InvalidField("a report's statuses are some of 0, 1, 2, 3 and 4, for example 3 and 4")
    return ",".join(str(int(number)) for number in wanted)


def _piece(response: requests.Response) -> bytes | TransportFailure:
    """Return the next part of the body, empty at its end."""
    try:
        part: bytes = response.raw.read(64 * 1024, decode_content=True)
    except _TRANSPORT_ERRORS as error:
        return _failure(error)
    return part


def _failure(error: BaseException) -> TransportFailure:
    kind = TOO_LATE if _call.withheld else _kind(error, never_left=_call.never_left)
    return TransportFailure(kind, _call.never_left)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After`, which may be a number or a date; at most a day."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return min(float(value), 86400.0)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), 86400.0)
    except (ValueError, OverflowError):
        return None


_TRANSPORT_ERRORS: Final = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError)
"""All that requests, urllib3, http.client, ssl and socket raise on purpose (requests' own are OSErrors)."""

_KINDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (urllib3.exceptions.NameResolutionError, "the provider's name was not resolved"),
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
"""From an error anywhere in the chain to words; the first that fits. What is proven is `_Call`'s affair."""


class _TunnelError(OSError):
    """A proxy answered, and made no tunnel to the provider."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.words = f"the proxy made no way to the provider (HTTP {status})"
        if status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            self.words = f"the proxy asks for a user and password, or refuses ours (HTTP {status})"


def _kind(error: BaseException, *, never_left: bool) -> str:
    words = _words(list(_chain(error)), never_left=never_left)
    return f"at the proxy: {words}".replace("the provider's", "its") if never_left and _call.at_proxy else words


def _words(chain: list[BaseException], *, never_left: bool) -> str:
    for link in chain:
        if isinstance(link, _TunnelError):
            return link.words
        if isinstance(link, ssl.SSLCertVerificationError):
            return f"the provider's {NOT_ACCEPTED}: {why(link)}"
    for kind, words in _KINDS:
        if any(isinstance(link, kind) for link in chain):
            return words
    return _NO_CONNECTION if never_left else "the answer is not HTTP"


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


def clock() -> float:
    """Seconds of a clock that goes on while the process is paused and while the machine sleeps (where it can)."""
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)


class _Limits:
    """What the answer to one call may take. It belongs to the answer: its thread may make other calls meanwhile."""

    def __init__(self, deadline: float, bytes_allowed: float, slowest: float, longest: float) -> None:
        self.deadline = deadline
        self.bytes_allowed = bytes_allowed
        self._slowest = slowest
        self._longest = longest
        self._last = deadline

    def begin(self, read_timeout: float) -> None:
        """Start the time of the answer, as the request leaves."""
        now = time.monotonic()
        self.deadline = now + read_timeout
        self._last = now + max(read_timeout, self._longest)

    def took(self, count: int) -> None:
        """Note bytes that came; they buy a streamed report time."""
        self.bytes_allowed -= count
        if self._slowest:
            self.deadline = min(self.deadline + count / self._slowest, self._last)


class _Call(threading.local):
    """What the connection notes down about the call that this thread is making.

    A failure counts as "never left" only on two positive proofs: `connect()` itself failed, and nothing was
    handed to a socket before. If urllib3 ever went around our connection class, neither would be noted and
    the send is unknown.
    """

    connect_by = 0.0
    limits = _Limits(0.0, 0, 0.0, 0.0)
    connect_failed = False
    at_proxy = False
    withheld = False
    left = False
    max_idle = 0.0
    not_after: float | None = None
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
        self.connect_by = time.monotonic() + connect_timeout
        self._read_timeout = read_timeout
        # Headers and the framing of chunks come on top.
        allowed = math.inf if slowest else 2 * limit + 256 * 1024
        self.limits = _Limits(self.connect_by + read_timeout, allowed, slowest, longest)
        self.max_idle = max_idle
        self.connect_failed = False
        self.at_proxy = False
        self.withheld = False
        self.left = False
        self.not_after = not_after

    def leaves(self) -> None:
        """Note that bytes of the request are about to be handed to a socket; raises where it is too late for that."""
        if self.not_after is not None and clock() > self.not_after:
            self.withheld = True
            raise TimeoutError(TOO_LATE)
        if not self.left:
            self.left = True
            self.limits.begin(self._read_timeout)

    @property
    def never_left(self) -> bool:
        return (self.connect_failed or self.withheld) and not self.left


_call = _Call()


class _DeadlineReader(io.RawIOBase):
    """A socket's bytes until the call's deadline; its own timeout would start anew with every byte."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._limits = _call.limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401  (typeshed's WriteableBuffer is not importable)
        remaining = self._limits.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the whole answer took too long")
        self._sock.settimeout(remaining)
        count: int | None = self._raw.readinto(buffer)
        self._limits.took(count or 0)
        if self._limits.bytes_allowed < 0:
            raise http.client.HTTPException(_TOO_LARGE)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock))


class _Connection(urllib3.connection.HTTPConnection):
    """A connection that notes what happened in `_call`, and how long it may stay idle."""

    response_class = _Response
    _reuse_until = float("inf")
    _held: list[bytes] | None = None
    _tunnelling = False

    def request(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (urllib3's)
        """Send head and body at once: one system call and one packet instead of two."""
        self._held = []
        try:
            super().request(*args, **kwargs)
            held = b"".join(self._held)
        finally:
            self._held = None
        self.send(held)

    def connect(self) -> None:
        _call.at_proxy = self.proxy is not None
        try:
            super().connect()
        except BaseException:
            _call.connect_failed = True
            self.close()
            raise
        if time.monotonic() > _call.connect_by:
            _call.connect_failed = True
            self.close()
            raise urllib3.exceptions.ConnectTimeoutError(self, "the connection took too long")

    def _tunnel(self) -> None:
        """Ask the proxy for a way to the provider, which tells it the provider's name and nothing of the request."""
        kept, _call.limits = _call.limits, _Limits(_call.connect_by, _LARGEST_TUNNEL_ANSWER, 0.0, 0.0)
        self._tunnelling = True
        try:
            super()._tunnel()
        except OSError as error:
            if answered := re.match(r"Tunnel connection failed: ([0-9]{3})", str(error)):
                _call.at_proxy = False
                raise _TunnelError(int(answered[1])) from None
            raise
        finally:
            self._tunnelling = False
            _call.limits = kept
        _call.at_proxy = False

    def send(self, data: Any) -> None:  # noqa: ANN401  (http.client takes nearly everything)
        if self._tunnelling:
            super().send(data)
            return
        if self._held is not None:
            self._held.append(data)
            return
        if self.sock is None:
            self.connect()
        _call.leaves()
        super().send(data)

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as in urllib3 itself
        response = super().getresponse()
        announced = re.search(r"timeout=([0-9]{1,6})", response.headers.get("Keep-Alive", ""))
        idle = min(_call.max_idle, float(announced[1]) - 1) if announced else _call.max_idle
        self._reuse_until = time.monotonic() + idle
        return response

    @property
    def is_connected(self) -> bool:
        """Whether urllib3's pool may use the connection again."""
        return time.monotonic() < self._reuse_until and super().is_connected


class _TlsConnection(_Connection, urllib3.connection.HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS: Final = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    """requests' adapter with our connections.

    Args:
        trusted: verifies the provider, and a proxy with TLS; made once: a file that is gone later harms no send.
        size: connections kept open.
    """

    def __init__(self, trusted: ssl.SSLContext | None, size: int) -> None:
        self._trusted = trusted
        super().__init__(pool_connections=1, pool_maxsize=size, max_retries=0)

    def init_poolmanager(
        self,
        connections: int,
        maxsize: int,
        block: bool = False,  # noqa: FBT001, FBT002  (requests' signature)
        **pool_kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:  # noqa: ANN401  (requests' types)
        manager = super().proxy_manager_for(proxy, proxy_ssl_context=self._trusted, **proxy_kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:  # noqa: ANN401
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {} if self._trusted is None else {"ssl_context": self._trusted, "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401
        """Nothing to do: `trusted` verifies."""

    # One host: what requests works out anew for each request is always the same.

    @functools.cached_property
    def _pools(self) -> dict[str, Any]:
        return {}

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,  # noqa: ANN401  (requests' types)
        proxies: Any = None,  # noqa: ANN401
        cert: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        url = str(request.url)
        pool = self._pools.get(url)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            self._pools[url] = pool
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:  # noqa: ANN401, ARG002
        return request.path_url

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:  # noqa: ANN401, ARG002
        """Only what `SmsclickClient` reads of it; cookies and encodings are none of ours."""
        response = requests.Response()
        response.status_code, response.headers, response.raw = resp.status, resp.headers, resp
        return response

    def close(self) -> None:
        # urllib3 leaves this to the garbage collector, which an error's traceback may keep waiting for long.
        pools = self.poolmanager.pools
        for pool in [pools.get(key) for key in list(pools.keys())]:
            if pool is not None:
                pool.close()
        self._pools.clear()
        super().close()
