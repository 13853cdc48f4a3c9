"""Traces by OpenTelemetry: from the producer's span to the delivered message, at a real receiver of OTLP over HTTP."""

from __future__ import annotations

import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import requests
import sqlalchemy as sa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from smsclick import enqueue
from smsclick.contract import State, messages
from tests.acceptance import KEY, Cluster
from tests.processes import wait_until
from tests.servers import free_port
from worker.operator.access import tokens

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.conftest import StartProcess

SECRETS = ("5551402211", "5551402212", "Tu pedido", "order-1", KEY)
PRODUCER = """
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
import sqlalchemy as sa
from smsclick import enqueue

provider = TracerProvider(sampler=ALWAYS_OFF if sys.argv[2:] else None)
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
with trace.get_tracer("shop").start_as_current_span("checkout"), sa.create_engine(sys.argv[1]).begin() as connection:
    enqueue(connection, phone="5551402211", text="Tu pedido va en camino", key="order-1" + "".join(sys.argv[2:]))
"""


class Collector:
    """Receives spans as an OpenTelemetry Collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.bodies.append(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, *names: str) -> dict[str, Span]:
        """The spans of these names, once all have come."""
        wait_until(lambda: {span.name for span in self.spans} >= set(names), 60, what=f"the spans {names}")
        return {span.name: span for span in self.spans}


def values(span: Span) -> dict[str, Any]:
    """The attributes, each as its value."""
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}


def traced(collector: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_BSP_SCHEDULE_DELAY": "200"}


def test_one_trace_goes_from_the_producer_to_the_delivered_message(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with (
        Collector() as collector,
        Cluster(start_process, migrated_postgres_url, redis_url, env=traced(collector.url)) as cluster,
    ):
        cluster.start(workers=1, beats=1)
        producer = [sys.executable, "-c", PRODUCER, migrated_postgres_url]
        assert start_process(producer, cluster.env, name="producer").wait(60) == 0
        assert start_process([*producer, "-unsampled"], cluster.env, name="producer").wait(60) == 0
        with cluster.database.begin() as connection:
            enqueue(connection, phone="5551402211", text="Tu pedido: gracias", key="order-1-untraced")
            odd = {"key": "order-1-odd", "phone": "5551402211", "text": "Tu pedido: hola", "traceparent": "no context"}
            connection.execute(sa.insert(messages).values(odd))
        cluster.wait_states(delivered=4)
        spans = collector.wait("checkout", "enqueue smsclick_messages", "POST sendMsg", "message delivered")
        assert len(collector.spans) == 4

        checkout, made = spans["checkout"], spans["enqueue smsclick_messages"]
        called, delivered = spans["POST sendMsg"], spans["message delivered"]
        assert {span.trace_id for span in spans.values()} == {checkout.trace_id}
        assert made.parent_span_id == checkout.span_id
        assert called.parent_span_id == delivered.parent_span_id == made.span_id
        assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans.values())
        [row] = cluster.rows(messages.c.key == "order-1")
        assert values(made)["messaging.message.id"] == str(row.id)
        assert values(called) == {
            "messaging.system": "smsclick",
            "messaging.message.id": str(row.id),
            "http.request.method": "POST",
            "http.response.status_code": 200,
            "url.full": f"{cluster.provider.base_url}/sendMsg.json",
            "server.address": "127.0.0.1",
            "server.port": int(cluster.provider.base_url.rpartition(":")[2].partition("/")[0]),
            "smsclick.attempt": 1,
            "smsclick.codigo": 1,
            "smsclick.id_mensaje": row.id_mensaje,
        }
        assert values(delivered)["smsclick.state"] == State.DELIVERED
        written = b"".join(collector.bodies)
        assert [secret for secret in SECRETS if secret.encode() in written] == []


def test_a_post_joins_its_callers_trace_and_a_rejection_is_an_error(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    port = free_port()
    site = f"http://127.0.0.1:{port}"
    with (
        Collector() as collector,
        Cluster(
            start_process,
            migrated_postgres_url,
            redis_url,
            env={**traced(collector.url), "SMSCLICK_WEB_BIND": f"127.0.0.1:{port}"},
            reject_phones={"5551402212"},
        ) as cluster,
    ):
        cluster.start(workers=1, beats=1)
        cluster.run("smsclick", "web", name="web")
        secret = tokens.create(cluster.database, "test", ["send"], actor="a test")

        def post() -> bool:
            content = {"messages": [{"phone": "5551402212", "text": "Tu pedido", "key": "order-1"}]}
            headers = {"Authorization": f"Bearer {secret}", "traceparent": parent}
            try:
                return requests.post(f"{site}/v1/messages", json=content, headers=headers, timeout=30).ok
            except requests.ConnectionError:
                return False

        wait_until(post, what="the API")
        requests.get(f"{site}/mensajes?q=5551402212", timeout=30)
        spans = collector.wait("enqueue smsclick_messages", "POST sendMsg", "message rejected")
        trace_id, span_id = (bytes.fromhex(part) for part in parent.split("-")[1:3])
        assert {span.trace_id for span in spans.values()} == {trace_id}
        assert spans["enqueue smsclick_messages"].parent_span_id == span_id
        assert len(collector.spans) == 3
        assert "error.type" not in values(spans["POST sendMsg"])
        assert values(spans["message rejected"])["error.type"] == State.REJECTED
        assert spans["message rejected"].status.code == Status.STATUS_CODE_ERROR


def test_a_receiver_that_never_answers_holds_up_neither_messages_nor_the_end(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = traced(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with Cluster(start_process, migrated_postgres_url, redis_url, env=env) as cluster:
            (worker,), (beat,) = cluster.start(workers=1, beats=1)
            producer = [sys.executable, "-c", PRODUCER, migrated_postgres_url]
            program = start_process(producer, {**cluster.env, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}, name="producer")
            assert program.wait(60) == 0
            cluster.wait_states(delivered=1)
            worker.sigterm()
            # Far below the exporter's own patience with a receiver, which is tried again and again.
            assert worker.wait(60) == 0
            beat.sigterm()
            assert beat.wait(60) == 0
