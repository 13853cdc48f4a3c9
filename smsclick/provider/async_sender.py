"""`sendMsg` on an event loop: thousands of calls in flight in one thread, each as strict as `SmsclickClient.send`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smsclick.provider._answers.classification import classify_send
from smsclick.provider._async_http.transport import AsyncTransport, head_of
from smsclick.provider._http import request
from smsclick.provider._http.connection import MAX_IDLE_SECONDS
from smsclick.provider.client import SMALL_ANSWER_BYTES

if TYPE_CHECKING:
    from smsclick.provider.results import SendResult

__all__ = ["AsyncSender"]


class AsyncSender:
    """`sendMsg` with one account's key. All calls, and `close`, belong to the thread of one event loop.

    Connections are kept alive and shared, and opened a limited number at a time. A call takes at most
    `connect_timeout + read_timeout` seconds from when it is given a connection, as `SmsclickClient.send` does. Before,
    it waits while more calls are in flight than `connections`, or while others open theirs: until `not_after`, and no
    longer than `connect_timeout` after a connection was opened or given back last. A call that ends so never left.

    Args:
        api_key: The account's APIKEY. It appears in no `repr`, error or log.
        base_url: The address of the endpoints.
        connect_timeout: Seconds.
        read_timeout: Seconds.
        connections: At most so many connections are open: as many as there are calls in flight.
        max_idle: Seconds after which an idle connection is not used again; see `MAX_IDLE_SECONDS`.
        ca_bundle: As for `SmsclickClient`.
        proxy: As for `SmsclickClient`.

    Raises:
        SettingsError: One of them cannot be used; the text says which and gives an example.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str,
        connect_timeout: float,
        read_timeout: float,
        *,
        connections: int,
        max_idle: float = MAX_IDLE_SECONDS,
        ca_bundle: str | None = None,
        proxy: str | None = None,
    ) -> None:
        request.check_account(api_key, connect_timeout, read_timeout)
        self._api_key = api_key
        self._base_url = base_url.rstrip("/")
        blank = request.template(f"{self._base_url}/sendMsg.json")
        self._head = head_of(blank)
        self._account = request.form({"APIKEY": api_key}) + b"&"
        proxies = request.proxies(self._base_url, proxy)
        trusted = request.trusted(self._base_url, ca_bundle)
        if trusted is not None:
            trusted.set_alpn_protocols(["http/1.1"])
        self._transport = AsyncTransport(
            str(blank.url),
            (connect_timeout, read_timeout),
            max_idle,
            connections,
            trusted,
            None if proxies is None else proxies["https"],
        )

    def __repr__(self) -> str:
        return f"AsyncSender(base_url={self._base_url!r})"

    async def send(
        self, phone: str, text: str, rule_id: str | int | None = None, *, not_after: float | None = None
    ) -> SendResult:
        """Send one message (`sendMsg`). Never repeats the request.

        Args:
            phone: As for `SmsclickClient.send`, and so are the others.
            text: The text.
            rule_id: `ID_REGLA_INTERACTIVA`, if the customer may answer.
            not_after: Time of `smsclick.provider.clock.clock` after which no byte of the request may be given to the
                socket.

        Returns:
            `Accepted`, `Refused` or `Unknown`. Trouble with the provider or on the way never raises.

        Raises:
            InvalidText: The text cannot be written as UTF-8; nothing was sent.
            asyncio.CancelledError: The task was cancelled; the request may have left.
        """
        fields = {"TELEFONO": phone, "MENSAJE": text}
        if rule_id is not None:
            fields["ID_REGLA_INTERACTIVA"] = str(rule_id)
        body = self._account + request.form(fields)
        whole = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        answer = await self._transport.post(whole, SMALL_ANSWER_BYTES, not_after=not_after)
        return classify_send(answer, hide=(self._api_key, text, phone))

    async def close(self) -> None:
        """Close the idle connections. Calls in progress finish, and their connections are closed then."""
        self._transport.close()
