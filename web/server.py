"""Runs the application with uvicorn: one process or several, until SIGTERM or Ctrl-C."""

import logging
import signal
import socket
from typing import Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from smsclick._logs.event_log import EventLog
from smsclick._values.bind_address import parse_bind
from smsclick.errors import SmsclickError
from smsclick.settings import Settings

log = EventLog(__name__)

_STOP_SECONDS: Final = 30
"""Requests in progress are answered for so long after SIGTERM."""

_MOST_IN_PROGRESS: Final = 1000
"""Requests in progress in one process; further ones are answered with 503 at once."""

_BACKLOG: Final = 1024


def serve(settings: Settings, *, processes: int) -> None:
    """Serve until stopped.

    Args:
        settings: of this process; `web_bind` says where to listen.
        processes: that share the address; each that dies is started again.

    Raises:
        SmsclickError: the address cannot be listened on.
    """
    host, port = parse_bind(settings.web_bind)
    config = uvicorn.Config(
        "web.app:create",
        factory=True,
        host=host,
        port=port,
        workers=processes,
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,  # an address may hold a phone or a key
        server_header=False,
        proxy_headers=False,  # anybody could name another client's address
        timeout_graceful_shutdown=_STOP_SECONDS,
        limit_concurrency=_MOST_IN_PROGRESS,
        backlog=_BACKLOG,
    )
    bound = _listen(host, port)
    for each in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops at these and then raises the last one again, which would end this process with an error.
        signal.signal(each, lambda *_: None)
    log.info("web_started", address=f"http://{host}:{port}", processes=processes)
    if processes > 1:
        Multiprocess(config, [bound]).run()
    else:
        uvicorn.Server(config).run(sockets=[bound])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.set_inheritable(True)
    except OSError as error:
        raise SmsclickError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another address with SMSCLICK_WEB_BIND"
        ) from None
    return bound
