"""The four calls of SMSClick's API: `send`, `status`, `report` (whole or streamed) and `credits`.

Each call makes one request (`_http.transport`), whose answer `_answers` reads. Nothing is retried here or below: a
`sendMsg` that may have arrived must not be repeated by a lower layer.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Final, Self

from smsclick.errors import ProviderUnreachable, UnreadableAnswer
from smsclick.provider._answers.balance import parse_credits
from smsclick.provider._answers.classification import classify_send
from smsclick.provider._answers.dates import find_zone
from smsclick.provider._answers.report import parse_report
from smsclick.provider._answers.report_stream import ReportReader
from smsclick.provider._answers.status import parse_status
from smsclick.provider._http import request
from smsclick.provider._http.connection import MAX_IDLE_SECONDS
from smsclick.provider._http.request import DEFAULT_BASE_URL
from smsclick.provider._http.transport import Transport
from smsclick.provider.failures import FailureKind
from smsclick.provider.results import (
    HttpAnswer,
    MessageStatus,
    ReportRow,
    SendResult,
    TransportFailure,
    UnreadableRow,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from datetime import datetime
    from decimal import Decimal
    from types import TracebackType
    from zoneinfo import ZoneInfo

    import requests

__all__ = ["DEFAULT_TIMEZONE", "LARGE_ANSWER_BYTES", "SMALL_ANSWER_BYTES", "SmsclickClient"]

DEFAULT_TIMEZONE: Final = "America/Mexico_City"

SMALL_ANSWER_BYTES: Final = 256 * 1024
"""Most bytes read of an answer about one message or the balance; the manual's are under 400."""
LARGE_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Most bytes read of a report: some 200,000 messages."""


class SmsclickClient:
    """SMSClick's API with one account's key. Safe to use from many threads; make one in each process.

    Connections are kept alive and shared. A call takes at most `connect_timeout + read_timeout` seconds, however
    slowly the bytes come: `connect_timeout` covers the connection with its TLS handshake (if it takes longer, nothing
    is sent), `read_timeout` the request and the whole answer. Only two things can add to it, both before anything is
    sent: the system's name resolution, and a name with several addresses that do not answer. A streamed report
    (`report_rows`) has a limit of its own.

    Args:
        api_key: The account's APIKEY. It appears in no `repr`, error or log.
        base_url: The address of the four endpoints.
        timezone: The zone of the provider's dates.
        connect_timeout: Seconds.
        read_timeout: Seconds.
        pool_size: Connections kept open; as many as there are threads that call at once.
        max_idle: Seconds after which an idle connection is not used again; see `MAX_IDLE_SECONDS`.
        ca_bundle: A file of certificates to trust instead of the usual ones, for a company's own authority. It is
            read once.
        proxy: A company's proxy, `http://user:password@host:port` or https, through which the provider is reached by
            a tunnel (CONNECT). A provider on the loopback, which is the simulator, is reached without it.

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
        max_idle: float = MAX_IDLE_SECONDS,
        ca_bundle: str | None = None,
        proxy: str | None = None,
    ) -> None:
        request.check_account(api_key, connect_timeout, read_timeout)
        self._api_key = api_key
        self._base_url = base_url.rstrip("/")
        self._zone = find_zone(timezone, example=DEFAULT_TIMEZONE)
        self._templates = {
            name: request.template(f"{self._base_url}/{name}.json")
            for name in ("sendMsg", "getMsg", "report", "credits")
        }
        proxies = request.proxies(self._base_url, proxy)
        trusted = request.trusted(self._base_url, ca_bundle)
        self._transport = Transport((connect_timeout, read_timeout), max_idle, pool_size, trusted, proxies)

    def __repr__(self) -> str:
        return f"SmsclickClient(base_url={self._base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections. Calls in progress finish."""
        self._transport.close()

    def send(
        self, phone: str, text: str, rule_id: str | int | None = None, *, not_after: float | None = None
    ) -> SendResult:
        """Send one message (`sendMsg`, manual: "API Envío de mensajes"). Never repeats the request.

        Args:
            phone: Ten digits, as `smsclick._values.phones.normalize_phone` returns them.
            text: The text, as `smsclick._values.texts.clean_text` returns it.
            rule_id: `ID_REGLA_INTERACTIVA`, if the customer may answer.
            not_after: Time of `smsclick.provider.clock.clock` after which no byte of the request may be given to the
                socket. It is the end of the caller's claim: a process may be paused at any point and continue much
                later.

        Returns:
            `Accepted`, `Refused` or `Unknown`. Trouble with the provider or on the way never raises.

        Raises:
            InvalidText: The text cannot be written as UTF-8; nothing was sent.
        """
        fields = {"TELEFONO": phone, "MENSAJE": text}
        if rule_id is not None:
            fields["ID_REGLA_INTERACTIVA"] = str(rule_id)
        answer = self._transport.post(self._request("sendMsg", fields), SMALL_ANSWER_BYTES, not_after=not_after)
        return classify_send(answer, hide=(self._api_key, text, phone))

    def status(self, id_mensaje: int) -> MessageStatus:
        """Ask for one message (`getMsg`, manual: "API Estatus de mensajes enviados").

        Args:
            id_mensaje: The provider's id.

        Returns:
            What the provider says about it.

        Raises:
            ProviderRefused: An error code; -200 and -201 say that there is no such message.
            ProviderUnreachable: No answer came.
            UnreadableAnswer: An answer came that proves nothing.
        """
        answer = self._query("getMsg", {"ID_MENSAJE": str(id_mensaje)}, SMALL_ANSWER_BYTES)
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
            start: First second, aware. The provider's dates have whole seconds; fractions are dropped.
            end: Last second, aware and included.
            statuses: Only messages that are at one of these `estatus_mensaje`.
            campaign_id: Only messages of this campaign.

        Returns:
            All rows of the answer, the unreadable ones as `UnreadableRow`. There may be many: ask for short spans.

        Raises:
            InvalidTime: A time has no zone, or the span ends before it begins.
            InvalidField: A status is not one of 0 to 4.
            ProviderRefused: An error code.
            ProviderUnreachable: No answer came.
            UnreadableAnswer: An answer came that proves nothing.
        """
        fields = request.report_fields(start, end, statuses, campaign_id, self._zone)
        return parse_report(self._query("report", fields, LARGE_ANSWER_BYTES), self._zone, hide=(self._api_key,))

    def report_rows(
        self,
        start: datetime,
        end: datetime,
        statuses: Iterable[int] | None = None,
        campaign_id: str | int | None = None,
    ) -> Generator[ReportRow | UnreadableRow]:
        """Ask for a report as `report` does, and yield its rows while they arrive: its size costs no memory.

        It may take longer than other calls: the first bytes must come within `read_timeout`, from then on
        `SLOWEST_REPORT_BYTES_PER_SECOND`, and the end within `LONGEST_REPORT_SECONDS`. The caller's own time
        between two rows counts. Close the generator if you stop early.

        Args:
            start: First second, aware.
            end: Last second, aware and included.
            statuses: Only messages that are at one of these.
            campaign_id: Only messages of this campaign.

        Returns:
            The rows, as they arrive. The report was whole only if they ended without an error: the rows before an
            error are true, but their absence from the rest proves nothing.

        Raises:
            InvalidTime: As `report`, before anything is asked; and so is the next.
            InvalidField: As `report`.
            ProviderRefused: An error code.
            ProviderUnreachable: No answer came.
            UnreadableAnswer: An answer came that proves nothing, or that broke off.
        """
        return self._stream(request.report_fields(start, end, statuses, campaign_id, self._zone))

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
        """Ask for the balance as `credits` does, and keep what the answer says behind the decimal point.

        Returns:
            Credits available.

        Raises:
            ProviderRefused: An error code; -100 and -101 say that the key does not work.
            ProviderUnreachable: No answer came.
            UnreadableAnswer: An answer came that proves nothing.
        """
        return parse_credits(self._query("credits", {}, SMALL_ANSWER_BYTES), hide=(self._api_key,))

    def _request(self, name: str, fields: Mapping[str, str]) -> requests.PreparedRequest:
        return request.fill(self._templates[name], {"APIKEY": self._api_key, **fields})

    def _query(self, name: str, fields: Mapping[str, str], limit: int) -> HttpAnswer:
        """Call an endpoint that changes nothing."""
        answer = self._transport.post(self._request(name, fields), limit)
        if isinstance(answer, HttpAnswer):
            return answer
        if answer.kind is FailureKind.TOO_LARGE:
            raise UnreadableAnswer(f"{answer.reason}, more than {limit} bytes")
        raise ProviderUnreachable(answer.reason, answer.never_left, answer.kind)

    def _stream(self, fields: Mapping[str, str]) -> Generator[ReportRow | UnreadableRow]:
        answer = self._transport.stream(self._request("report", fields))
        if isinstance(answer, TransportFailure):
            raise ProviderUnreachable(answer.reason, answer.never_left, answer.kind)
        with contextlib.closing(answer):
            reader = ReportReader(answer.head, self._zone, hide=(self._api_key,))
            for piece in answer.pieces():
                if isinstance(piece, TransportFailure):
                    raise UnreadableAnswer(f"{piece.reason}; the report is not whole", answer.head.status)
                yield from reader.feed(piece)
            yield from reader.close()
