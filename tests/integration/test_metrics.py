"""What Prometheus reads: figures of all processes, from the database, whatever has happened to them."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from smsclick._database.columns import db_now
from smsclick._database.engine import Database
from smsclick._values.causes import Cause
from smsclick.contract import State, callbacks, dead_letters
from smsclick.contract import worker_gauges as gauges_table
from tests.commandline import call
from tests.factories import change_account, insert
from tests.processes import ROOT
from tests.programs import PROMTOOL, MissingProgramError, find, in_ci
from worker.alerting import incidents
from worker.alerting.details import Detail
from worker.alerting.kinds import KINDS
from worker.lifecycle import message_rows, state_machine
from worker.lifecycle.model import Change, Note, replace
from worker.maintenance import retention
from worker.metrics import worker_gauges
from worker.metrics.process_metrics import ProcessMetrics
from worker.metrics.reporter import Reporter
from worker.operator.metrics.catalogue import METRICS
from worker.operator.metrics.collector import Collector
from worker.sql import heartbeat
from worker.threads.supervision import Supervisor

if TYPE_CHECKING:
    from worker.runtime import Runtime

PHONE = "5551402211"
TEXT = "a text that nobody may read"
AGO = dt.timedelta(seconds=1000)


def scrape(database: Database) -> str:
    registry = CollectorRegistry()
    registry.register(Collector(database))
    return generate_latest(registry).decode()


def values(database: Database) -> dict[str, float]:
    """Every sample, as `name{label="value"}`."""
    found = {}
    for line in scrape(database).splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def fill(database: Database) -> None:
    """Something of everything."""
    with database.begin() as connection:
        now = connection.execute(sa.select(db_now())).scalar_one()
    old = now - AGO
    insert(database, 3, state="queued", due_at=old, phone=PHONE, text=TEXT, priority=0)
    insert(database, 2, state="unknown", unknown_since=old, unknown_reason="report_lag")
    insert(database, 1, state="unknown", unknown_since=now)
    [sent] = insert(database, 1, state="sent", sent_at=old, due_at=now + AGO, id_mensaje=7)
    change_account(
        database,
        hold_reason="no_balance",
        hold_since=old,
        balance=500,
        balance_at=old,
        report_lag=3.5,
        report_lag_at=old,
    )
    with database.begin() as connection:
        incidents.report(connection, "no_balance", detail=Detail("x"))
        row = {"event_id": "e", "message_id": sent, "type": "t", "target": "https://example.com/", "data": "{}"}
        connection.execute(sa.insert(callbacks).values(**row, receiver="example.com", due_at=old))
        letter = {"queue": "q", "task": "t", "task_id": "i", "reason": "r", "content": "{}"}
        connection.execute(sa.insert(dead_letters).values(**letter))
        worker_gauges.write(connection, "worker:h:1", {"calls_allowed": 8, "calls_in_flight": 5, "results_waiting": 2})
        worker_gauges.write(connection, "worker:h:2", {"calls_allowed": 8, "calls_in_flight": 1, "results_waiting": 0})
    heartbeat.beat(database, "worker:h:1", 40)
    heartbeat.take(database, "sweep", 5)
    metrics = ProcessMetrics()
    for code in (1, 1, -102, -999):
        metrics.call_ended("accepted" if code == 1 else "refused", code, 0.2, 0.004)
    metrics.call_ended("unknown", None, 31, None)
    Reporter(database, metrics, Supervisor()).write()


def test_every_figure_is_what_the_rows_say(database: Database) -> None:
    fill(database)
    found = values(database)
    expected = {
        "smsclick_up": 1,
        'smsclick_messages{state="queued"}': 3,
        'smsclick_messages{state="unknown"}': 3,
        'smsclick_messages{state="sent"}': 1,
        'smsclick_messages{state="sending"}': 0,
        'smsclick_oldest_due_seconds{priority="normal"}': 0,
        'smsclick_unknown_attempts{reason="report_lag"}': 2,
        'smsclick_unknown_attempts{reason="not_looked"}': 1,
        'smsclick_hold{reason="no_balance"}': 1,
        'smsclick_hold{reason="operator"}': 0,
        "smsclick_balance_credits": 500,
        "smsclick_report_lag_seconds": 3.5,
        'smsclick_incidents_open{kind="no_balance"}': 1,
        'smsclick_incidents_open{kind="restored"}': 0,
        "smsclick_callbacks_waiting": 1,
        "smsclick_dead_letters": 1,
        "smsclick_workers": 1,
        'smsclick_worker_results_total{worker="h:1"}': 40,
        "smsclick_calls_allowed": 16,
        "smsclick_calls_in_flight": 6,
        "smsclick_results_waiting": 2,
        'smsclick_calls_total{code="1",outcome="accepted"}': 2,
        'smsclick_calls_total{code="-102",outcome="refused"}': 1,
        'smsclick_calls_total{code="other",outcome="refused"}': 1,
        'smsclick_calls_total{code="none",outcome="unknown"}': 1,
        "smsclick_call_seconds_count": 5,
        'smsclick_call_seconds_bucket{le="0.25"}': 4,
        "smsclick_send_wait_seconds_count": 4,
    }
    assert {name: found.get(name) for name in expected} == expected
    for name in (
        'smsclick_oldest_due_seconds{priority="high"}',
        'smsclick_unknown_oldest_seconds{reason="report_lag"}',
        "smsclick_hold_seconds",
        "smsclick_balance_age_seconds",
        "smsclick_report_lag_age_seconds",
        "smsclick_callbacks_oldest_due_seconds",
    ):
        assert 1000 <= found[name] < 1600, name
    assert found["smsclick_call_seconds_sum"] == pytest.approx(31.8)
    assert 0 <= found['smsclick_tick_age_seconds{tick="sweep"}'] < 600
    assert {name.split("{")[0] for name in found if "incidents_open" in name} == {"smsclick_incidents_open"}
    assert len([name for name in found if "incidents_open" in name]) == len(KINDS)


def test_every_metric_is_exported_and_documented_and_nothing_else(database: Database) -> None:
    fill(database)
    families = list(text_string_to_metric_families(scrape(database)))
    names = {metric.name.removesuffix("_total") for metric in METRICS.values()}
    later = {"smsclick_credits_per_second", "smsclick_balance_empty_seconds"}  # an hour of charges
    assert names - later <= {family.name for family in families} <= names
    for family in families:
        metric = METRICS.get(family.name) or METRICS[f"{family.name}_total"]
        for sample in family.samples:
            assert set(sample.labels) - {"le"} <= set(metric.labels), sample


def test_promtool_finds_nothing_to_complain_of(database: Database) -> None:
    try:
        promtool = find(PROMTOOL)["promtool"]
    except MissingProgramError as error:
        if in_ci():
            raise
        pytest.skip(str(error))
    fill(database)
    done = subprocess.run(
        [promtool, "check", "metrics"], input=scrape(database), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_phone_and_no_text_is_in_any_metric(database: Database) -> None:
    fill(database)
    text = scrape(database)
    assert PHONE not in text
    assert TEXT not in text
    assert "example.com" not in text


def test_totals_stay_when_texts_are_erased_and_rows_are_deleted(runtime: Runtime) -> None:
    database = runtime.database
    [message_id] = insert(database, 1, state="sent", sent_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), id_mensaje=5)
    with database.begin() as connection:
        was = message_rows.lock(connection, [message_id])[message_id]
        becomes = replace(was, state=State.DELIVERED, due_at=None, final_at=was.sent_at)
        state_machine.apply(connection, [Change(was, becomes, Note(Cause.STATUS_CHECKED))])
    before = values(database)
    assert before['smsclick_state_entries_total{state="delivered"}'] == 1
    assert before['smsclick_events_total{cause="status_checked"}'] == 1
    assert before['smsclick_final_seconds_count{state="delivered"}'] == 1
    assert retention.erase(database, 1) == 1
    with database.begin() as connection:
        connection.exec_driver_sql("DELETE FROM smsclick_events")
        connection.exec_driver_sql("DELETE FROM smsclick_messages")
    after = values(database)
    for name in before:
        if name.endswith("_total") or "_total{" in name or "_bucket" in name:
            assert after[name] >= before[name], name


def test_a_database_that_does_not_answer_is_a_figure_too(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/none.db")
    found = values(database)
    assert found["smsclick_up"] == 0
    assert not [name for name in found if name.startswith("smsclick_messages")]


def test_scrapes_at_the_same_time_read_the_database_once(database: Database) -> None:
    asked: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    registry = CollectorRegistry()
    registry.register(Collector(database))
    assert asked == [], "registering reads nothing"
    first = generate_latest(registry)
    count = len(asked)
    assert generate_latest(registry) == first
    assert len(asked) == count
    assert count < 60


def test_the_exporter_serves_until_it_is_stopped(migrated_sqlite_url: str) -> None:
    fill(Database(migrated_sqlite_url))
    environment = {**os.environ, "DATABASE_URL": migrated_sqlite_url}
    command = [str(Path(sys.executable).with_name("smsclick")), "metrics", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+/metrics", said)
            assert address is not None, said
            with urllib.request.urlopen(address.group(), timeout=30) as answer:  # noqa: S310 - our own
                text = answer.read().decode()
            assert 'smsclick_messages{state="queued"} 3.0' in text
            command[-1] = address.group().split(":")[2].removesuffix("/metrics")
            second = call("metrics", "--port", command[-1], env={"DATABASE_URL": migrated_sqlite_url})
            assert second.complaint.endswith("(Address already in use); choose another --port or --bind")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_an_address_that_is_not_ours_is_one_clear_line(migrated_sqlite_url: str) -> None:
    ended = call("metrics", "--bind", "192.0.2.1", env={"DATABASE_URL": migrated_sqlite_url})
    assert "cannot listen on 192.0.2.1:9808" in ended.complaint


def test_the_gauges_of_a_process_that_hangs_do_not_count(database: Database) -> None:
    fill(database)
    with database.begin() as connection:
        now = connection.execute(sa.select(db_now())).scalar_one()
        connection.execute(sa.update(gauges_table).where(gauges_table.c.worker == "worker:h:2").values(at=now - AGO))
    assert values(database)["smsclick_calls_in_flight"] == 5
