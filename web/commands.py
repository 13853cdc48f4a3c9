"""`smsclick web`: run the HTTP API and the page."""

import http.client
from typing import Annotated, Final

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick._logs.event_log import EventLog
from smsclick._values.bind_address import parse_bind
from smsclick.errors import SmsclickError
from smsclick.settings import get_settings

log = EventLog(__name__)

commands = typer.Typer()

_CHECK_SECONDS: Final = 5


@commands.command(rich_help_panel="Operation")
def web(
    *,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the address.")] = 1,
    check: Annotated[bool, typer.Option("--check", help="Only ask whether one serves there; exit 0 or 1.")] = False,
) -> None:
    """Serve the HTTP API and the page at SMSCLICK_WEB_BIND until stopped; tokens come from smsclick token create."""
    settings = get_settings()
    if check:
        ask(*parse_bind(settings.web_bind))
        output.say("serves")
        return
    from web.server import serve  # noqa: PLC0415 - the framework, and only needed here
    from worker.logs.setup import set_up  # noqa: PLC0415 - the same

    set_up(settings.log_format, "web")
    with open_database() as database:
        database.require_migrated()
    host, port = parse_bind(settings.web_bind)
    if settings.log_format == "text":
        output.note(f"The HTTP API and the page listen on http://{host}:{port} (its description: /openapi.json)")
    serve(settings, processes=processes)
    log.info("web_stopped")


def ask(host: str, port: int) -> None:
    """Ask the API at this address whether it lives, for the health checks of containers.

    Raises:
        SmsclickError: it gives no good answer within five seconds.
    """
    # An address that stands for all of a machine's has a local one.
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is only asked
    connection = http.client.HTTPConnection(local, port, timeout=_CHECK_SECONDS)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise SmsclickError(f"nothing serves at {local}:{port} ({type(error).__name__})") from None
    finally:
        connection.close()
    if status != http.HTTPStatus.OK:
        raise SmsclickError(f"what is at {local}:{port} answers {status}")
