"""When a process is traced, and that nothing that sends spans is loaded where it is not."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from smsclick._database.engine import Database
from tests.processes import ROOT
from worker.traces import tracer

LOADED = """
import sys
import smsclick.django, web.app, worker.app, worker.background_process
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter"))])
"""
RECEIVER = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def test_no_process_loads_what_sends_spans_by_itself() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        RECEIVER | {"OTEL_SDK_DISABLED": "true"},
        RECEIVER | {"OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_a_process_is_not_traced_unless_a_receiver_is_set(environment: dict[str, str], sqlite_url: str) -> None:
    assert not tracer.start(Database(sqlite_url), "http://127.0.0.1:1", environment)
    assert not tracer.is_on()


def test_where_the_packages_are_missing_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sqlite_url: str
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    with caplog.at_level(logging.INFO):
        assert not tracer.start(Database(sqlite_url), "http://127.0.0.1:1", RECEIVER)
    [record] = caplog.records
    assert "smsclick[traces]" in record.getMessage()
    assert not tracer.is_on()
