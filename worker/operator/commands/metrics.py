"""`smsclick metrics`: serve the metrics to Prometheus until it is stopped."""

import signal
import sys
import threading
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database
from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError
from smsclick.settings import get_settings

log = EventLog(__name__)

commands = typer.Typer()

PORT = 9808


@commands.command(rich_help_panel="Operation")
def metrics(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where to listen; 0: any free one.")] = PORT,
    bind: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 for all of them, if a firewall guards it.")
    ] = "127.0.0.1",
) -> None:
    """Serve the metrics to Prometheus: an exporter of its own, which only reads the database. Ctrl-C stops it."""
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - other commands start sooner

    from worker.logs.setup import set_up  # noqa: PLC0415 - the same
    from worker.operator.metrics.collector import Collector  # noqa: PLC0415 - the same

    log_format = get_settings().log_format
    set_up(log_format, "metrics")
    with open_database() as database:
        registry = CollectorRegistry()
        registry.register(Collector(database))
        try:
            server, thread = start_http_server(port, bind, registry)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "not an address of this machine"
            raise SmsclickError(f"cannot listen on {bind}:{port} ({reason}); choose another --port or --bind") from None
        stopped = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        signal.signal(signal.SIGINT, lambda *_: stopped.set())
        host = f"[{bind}]" if ":" in bind else bind
        address = f"http://{host}:{server.server_port}/metrics"
        if log_format == "text":
            output.say(f"the metrics are at {address}; Ctrl-C stops it")
            sys.stdout.flush()
        log.info("metrics_started", address=address)
        stopped.wait()
        server.shutdown()
        thread.join()
        log.info("metrics_stopped")
