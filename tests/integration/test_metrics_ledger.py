"""The metrics are what the provider's own ledger says, although every process was restarted or killed meanwhile."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from smsclick.contract import State, messages
from tests.acceptance import IMPATIENT, Cluster, ready, texts
from tests.processes import wait_until
from worker.operator.metrics.collector import Collector

if TYPE_CHECKING:
    from tests.conftest import StartProcess

EARLIER, COUNT = 20, 240
ENDED = {State.DELIVERED, State.REJECTED}
LONG = "x" * 151
"""A text of two credits."""


def value(cluster: Cluster, name: str, **labels: str) -> float:
    registry = CollectorRegistry()
    registry.register(Collector(cluster.database))
    found = registry.get_sample_value(name, labels)
    assert found is not None, name
    return found


def entries(cluster: Cluster, state: State) -> float:
    return value(cluster, "smsclick_state_entries_total", state=state)


def test_metrics_equal_the_providers_ledger_after_every_process_was_restarted(
    migrated_postgres_url: str, redis_url: str, start_process: StartProcess
) -> None:
    env = {**IMPATIENT, "SMSCLICK_SETTLE_SECONDS": "6"}
    new = texts(COUNT)
    for n in range(0, COUNT, 4):
        new[n] = dataclasses.replace(new[n], text=f"{n} {LONG}")
    with Cluster(start_process, migrated_postgres_url, redis_url, env=env, reject_rate=0.2) as cluster:
        (first, second), beats = cluster.start(workers=2, beats=1, concurrency=4)
        # Without messages of known end before the first kill, no report could prove that a lost attempt is absent.
        cluster.enqueue(texts(EARLIER, "Antes"))
        cluster.wait_final(EARLIER)
        cluster.enqueue(new[: COUNT // 2])
        wait_until(
            lambda: cluster.provider.stats().accepted >= EARLIER + COUNT // 8, 120, what="the first of them", every=0.01
        )
        first.sigkill()
        beats[0].sigkill()
        third = cluster.worker(concurrency=4)
        ready(third)
        cluster.beat()
        # A report proves absence only with messages sent after the lost lease, so the others wait for its end.
        cluster.wait_final(EARLIER + COUNT // 2, states={*ENDED, State.SENT, State.UNKNOWN})
        cluster.enqueue(new[COUNT // 2 :])
        wait_until(
            lambda: cluster.provider.stats().accepted >= EARLIER + COUNT * 5 // 8, 120, what="more of them", every=0.01
        )
        second.sigterm()
        assert second.wait(120) == 0

        # Each is sent in the end, also what a killed worker had claimed; nothing stays unknown.
        cluster.wait_final(EARLIER + COUNT, 300, ENDED)
        ledger = cluster.assert_ledger_agrees()
        assert len(ledger) == EARLIER + COUNT
        assert entries(cluster, State.SENT) == len(ledger)
        assert entries(cluster, State.DELIVERED) == sum(entry.estatus == 3 for entry in ledger)
        assert entries(cluster, State.REJECTED) == sum(entry.estatus == 4 for entry in ledger)
        # What a killed worker has sent is found in the report, which names no price.
        unpriced = {row.id_mensaje for row in cluster.rows(messages.c.credits_used.is_(None))}
        assert value(cluster, "smsclick_messages_unpriced_total") == len(unpriced)
        known = sum(entry.credits for entry in ledger if entry.id_mensaje not in unpriced)
        assert value(cluster, "smsclick_credits_charged_total") == known
        third.sigterm()
        assert third.wait(120) == 0
        # In memory until it is written: of a killed process a few seconds may be missing, of the others nothing.
        calls = value(cluster, "smsclick_calls_total", outcome="accepted", code="1")
        assert COUNT // 2 <= calls <= len(ledger)
        assert value(cluster, "smsclick_call_seconds_count") >= calls
        assert value(cluster, "smsclick_send_wait_seconds_count") >= COUNT // 2
