"""This process's spans. They are written after the fact, with their beginning and end, so no call runs inside one."""

import dataclasses
import importlib.util
import os
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._enqueue.tracing import SCOPE
from smsclick._logs.event_log import EventLog
from smsclick.contract import messages
from smsclick.provider.results import Accepted, Refused, SendResult
from worker.sql.bulk import among

if TYPE_CHECKING:
    from opentelemetry.trace import SpanKind, Tracer

log = EventLog(__name__)

STOP_SECONDS = 3.0
"""How long a process that ends waits for the receiver of its last spans."""

_ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """A message that has become final in a transaction.

    Attributes:
        id: of its row.
        state: which it has now.
        cause: why.
        seconds: since the provider accepted it; 0 where it never did.
        failed: whether it did not reach the phone.
    """

    id: int
    state: str
    cause: str
    seconds: float
    failed: bool


class _Tracing:
    """What a process that is traced holds.

    Args:
        database: where the parents of spans are read.
        tracer: makes the spans.
        base_url: of the provider.
        provider: what is closed in the end; None where it is another's.
    """

    def __init__(self, database: Database, tracer: "Tracer", base_url: str, provider: Any = None) -> None:  # noqa: ANN401 - the SDK's
        self.database = database
        self.provider = provider
        self._tracer = tracer
        address = urlsplit(base_url)
        self.server = {
            "http.request.method": "POST",
            # Without a user and a password, which an address may have.
            "url.full": f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path.rstrip('/')}/sendMsg.json",
            "server.address": address.hostname or "",
            "server.port": address.port or (443 if address.scheme == "https" else 80),
        }

    def write(
        self,
        name: str,
        kind: "SpanKind",
        parent: str,
        attributes: Mapping[str, Any],
        seconds: float,
        failed: str | None = None,
    ) -> None:
        """Write a span that ends now; none where `parent` is no context, as a plain INSERT may have stored it."""
        from opentelemetry.trace import StatusCode, get_current_span  # noqa: PLC0415 - see `_open`
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - as above

        # By this machine's clock only: `seconds` is a difference of times of one clock.
        end = time.time_ns()
        context = tracecontext.TraceContextTextMapPropagator().extract({"traceparent": parent})
        if not get_current_span(context).get_span_context().is_valid:
            return
        begin = end - int(seconds * 1e9)
        span = self._tracer.start_span(name, context, kind, {"messaging.system": SCOPE, **attributes}, None, begin)
        if failed is not None:
            span.set_attribute("error.type", failed)
            span.set_status(StatusCode.ERROR)
        span.end(end)


_lock = threading.Lock()
_tracing: _Tracing | None = None


def start(database: Database, base_url: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Trace this process if OpenTelemetry's SDK is installed and its environment variables name a receiver.

    A provider of spans that somebody else has set up in this process (`opentelemetry-instrument`) is used as it is.

    Args:
        database: of this process.
        base_url: of the provider's endpoints.
        environment: OTEL_EXPORTER_OTLP_ENDPOINT and the others that OpenTelemetry's specification names.

    Returns:
        Whether it is traced. Nothing is raised: a process that cannot be traced works all the same.
    """
    global _tracing  # noqa: PLW0603 - one per process, like OpenTelemetry's own
    if not _is_wanted(environment):
        return False
    try:
        missing = [name for name in _PACKAGES if _is_missing(name)]
        if missing:
            log.warning("traces_not_installed")
            return False
        with _lock:
            _tracing = _open(database, base_url)
    except Exception as error:  # noqa: BLE001 - a package of another version may raise anything
        log.error("traces_failed", error=type(error).__name__)  # noqa: TRY400 - its words may hold an address with a password
        return False
    log.info("traces_started")
    return True


def _is_wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() != "otlp":
        return False
    return any(environment.get(name, "").strip() for name in _ADDRESSES)


def _is_missing(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is None
    except ModuleNotFoundError:  # of a package above it
        return True


def _open(database: Database, base_url: str) -> _Tracing:
    from opentelemetry import trace  # noqa: PLC0415 - a process that is not traced must not load it
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    known = trace.get_tracer_provider()
    if isinstance(known, TracerProvider):
        return _Tracing(database, known.get_tracer(SCOPE), base_url)
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before ours.
    named = Resource.create()
    default = str(named.attributes.get(SERVICE_NAME, "")).startswith("unknown_service")
    resource = named.merge(Resource({SERVICE_NAME: SCOPE})) if default else named
    # It would wait for the receiver for as long as that pleases; `stop` does not.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return _Tracing(database, provider.get_tracer(SCOPE), base_url, provider)


def is_on() -> bool:
    """Whether this process is traced."""
    return _tracing is not None


def stop() -> None:
    """Send what waits, for at most `STOP_SECONDS`."""
    global _tracing
    with _lock:
        tracing, _tracing = _tracing, None
    if tracing is None or tracing.provider is None:
        return
    closing = threading.Thread(target=tracing.provider.shutdown, name="smsclick-traces", daemon=True)
    closing.start()
    closing.join(STOP_SECONDS)


def parents(ids: Collection[int]) -> dict[int, str]:
    """The contexts of the producers' spans, by message; without those that are not traced."""
    tracing = _tracing
    if tracing is None or not ids:
        return {}
    try:
        with tracing.database.read() as connection:
            query = sa.select(messages.c.id, messages.c.traceparent).where(
                among(connection, messages.c.id, list(ids)), messages.c.traceparent.is_not(None)
            )
            return {row.id: row.traceparent for row in connection.execute(query)}
    except Exception as error:  # noqa: BLE001 - a plain INSERT may have stored anything, and a span is no reason to stop
        log.warning("traces_failed", error=type(error).__name__)
        return {}


def call_ended(message_id: int, attempt: int | None, parent: str | None, outcome: SendResult, seconds: float) -> None:
    """Write the span of a call that has just ended.

    Args:
        message_id: of its message.
        attempt: which of the message's attempts it was.
        parent: of its producer's span; without one there is no span.
        outcome: what became of it.
        seconds: how long it took.
    """
    tracing = _tracing
    if tracing is None or parent is None:
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - as above

    attributes = {**tracing.server, "messaging.message.id": str(message_id), "smsclick.attempt": attempt or 1}
    failed: str | None = None
    if isinstance(outcome, Accepted):
        attributes |= {
            "http.response.status_code": 200,
            "smsclick.codigo": 1,
            "smsclick.id_mensaje": outcome.id_mensaje,
        }
    elif isinstance(outcome, Refused):
        failed = "never_left" if outcome.code is None else str(outcome.code)
    else:
        failed = "unknown" if outcome.status is None else str(outcome.status)
        if outcome.status is not None:
            attributes["http.response.status_code"] = outcome.status
    code = 1 if isinstance(outcome, Accepted) else outcome.code
    if code is not None:
        attributes["smsclick.codigo"] = code
    _write(tracing, "POST sendMsg", SpanKind.CLIENT, parent, attributes, seconds, failed)


def committed(noted: Sequence[object]) -> None:
    """Write a span for each message that has become final, from its acceptance to now."""
    tracing = _tracing
    if tracing is None:
        return
    finished = {each.id: each for each in noted if isinstance(each, Finished)}
    known = parents(finished)
    if not known:
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - as above

    for message_id, parent in known.items():
        end = finished[message_id]
        attributes = {
            "messaging.message.id": str(message_id),
            "smsclick.state": str(end.state),
            "smsclick.cause": str(end.cause),
        }
        failed = str(end.state) if end.failed else None
        _write(tracing, f"message {end.state}", SpanKind.INTERNAL, parent, attributes, end.seconds, failed)


def _write(tracing: _Tracing, name: str, kind: "SpanKind", *more: Any) -> None:  # noqa: ANN401 - as `_Tracing.write`
    try:
        tracing.write(name, kind, *more)
    except Exception as error:  # noqa: BLE001 - a span is no reason to stop
        log.warning("traces_failed", error=type(error).__name__)
