"""The provider's client with each of its transports: one matrix of tests holds for all of them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

import uvloop

from smsclick.provider.account_client import open_async_sender, open_client
from smsclick.provider.async_sender import AsyncSender
from smsclick.provider.client import SmsclickClient

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from smsclick.provider.results import SendResult
    from smsclick.settings import Settings

T = TypeVar("T")


class AsyncioClient(SmsclickClient):
    """A client whose `send` is that of an `AsyncSender`, on an event loop in a thread of its own."""

    loop_factory: Callable[[], asyncio.AbstractEventLoop] = staticmethod(asyncio.new_event_loop)

    def __init__(
        self,
        api_key: str,
        base_url: str,
        timezone: str = "America/Mexico_City",
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
        *,
        pool_size: int = 32,
        max_idle: float = 3.0,
        ca_bundle: str | None = None,
        proxy: str | None = None,
        sender: AsyncSender | None = None,
    ) -> None:
        super().__init__(api_key, base_url, timezone, connect_timeout, read_timeout, ca_bundle=ca_bundle, proxy=proxy)
        self.sender = sender or AsyncSender(
            api_key,
            base_url,
            connect_timeout,
            read_timeout,
            connections=pool_size,
            max_idle=max_idle,
            ca_bundle=ca_bundle,
            proxy=proxy,
        )
        self.loop = self.loop_factory()
        self.loop.set_debug(True)
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def send(
        self, phone: str, text: str, rule_id: str | int | None = None, *, not_after: float | None = None
    ) -> SendResult:
        return self.run(self.sender.send(phone, text, rule_id, not_after=not_after))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the client's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def close(self) -> None:
        super().close()
        if self.loop.is_closed():
            return
        self.run(self.sender.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class UvloopClient(AsyncioClient):
    """As `AsyncioClient`, on uvloop."""

    loop_factory = staticmethod(uvloop.new_event_loop)


Transport = type[SmsclickClient]

TRANSPORTS: Final[dict[str, Transport]] = {
    "threads": SmsclickClient,
    "asyncio": AsyncioClient,
    "uvloop": UvloopClient,
}


def open_as(transport: Transport, settings: Settings) -> SmsclickClient:
    """Open a client as the settings describe it, with one of the transports."""
    if not issubclass(transport, AsyncioClient):
        return open_client(settings)
    return transport(
        settings.require_api_key(),
        settings.base_url,
        ca_bundle=None if settings.ca_bundle is None else str(settings.ca_bundle),
        proxy=settings.proxy.get_secret_value() or None,
        sender=open_async_sender(settings, connections=4),
    )
