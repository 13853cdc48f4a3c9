"""The producer's span of an `enqueue`, so that a message's later spans join the trace of the program that asked for it.

Only a program that has set up OpenTelemetry has spans; any other pays one look at what is set up. A message
keeps the context of its producer's span in `traceparent`. Spans hold ids and counts, never a key, a phone or a text.
Why: docs/decisions/0072-traces.md.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from smsclick._enqueue.message import NewMessage
from smsclick._threads.loaded_modules import loaded

if TYPE_CHECKING:
    from opentelemetry.trace import Span

SCOPE = "smsclick"
"""The instrumentation scope of all our spans, and their `messaging.system`."""

_PROPAGATED = "traceparent"


@dataclasses.dataclass(frozen=True, slots=True)
class Producing:
    """What is being enqueued.

    Attributes:
        traceparent: the context of its span in the form of the W3C; None where nothing is traced or it is not sampled.
    """

    traceparent: str | None = None
    _span: "Span | None" = None

    def of_all(self, new: Sequence[NewMessage]) -> Mapping[str, str] | None:
        """The same context for each of these messages, by key."""
        return None if self.traceparent is None else dict.fromkeys((each.key for each in new), self.traceparent)

    def stored(self, ids: Sequence[int]) -> None:
        """Say which messages became of it."""
        if self._span is None:
            return
        if len(ids) == 1:
            self._span.set_attribute("messaging.message.id", str(ids[0]))
        else:
            self._span.set_attribute("messaging.batch.message_count", len(ids))


_NOT_TRACED = contextlib.nullcontext(Producing())


def producing(headers: Mapping[str, str] | None = None) -> AbstractContextManager[Producing]:
    """Span the enqueuing of one message or many, where this program is traced.

    Args:
        headers: of the request that asks for it; its `traceparent` is the parent where no span of this program is open.
    """
    trace = loaded("opentelemetry.trace")
    # Until a program names a provider of spans, a proxy stands for it: libraries load the module in any case.
    if trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return _NOT_TRACED
    return _span(headers)


@contextlib.contextmanager
def _span(headers: Mapping[str, str] | None) -> Iterator[Producing]:
    from opentelemetry import trace  # noqa: PLC0415 - a program without it must not load it
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - as above

    context = None
    if headers is not None and not trace.get_current_span().get_span_context().is_valid:
        context = tracecontext.TraceContextTextMapPropagator().extract(dict(headers))
    with trace.get_tracer(SCOPE).start_as_current_span(
        "enqueue smsclick_messages",
        context,
        trace.SpanKind.PRODUCER,
        {
            "messaging.system": SCOPE,
            "messaging.operation.name": "enqueue",
            "messaging.operation.type": "send",
            "messaging.destination.name": "smsclick_messages",
        },
        # The words of an error may hold the message.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield Producing(_traceparent(), span)
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(trace.StatusCode.ERROR)
            raise


def _traceparent() -> str | None:
    """The context of the span that is open now, if it is sampled."""
    from opentelemetry import trace  # noqa: PLC0415 - as above
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - as above

    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return None
    carrier: dict[str, str] = {}
    tracecontext.TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(_PROPAGATED)
