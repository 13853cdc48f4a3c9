"""A broker behind Sentinels, whose master dies under load: workers, beat, wake-ups and doctor follow the new one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.acceptance import Cluster, phone, ready, texts
from tests.processes import PATIENT_WAKEUPS, ROOT, wait_until
from tests.sentinels import Sentinels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import StartProcess

_numbers = count()
ENQUEUE = """
import sqlalchemy as sa
from smsclick import enqueue
from smsclick.settings import get_settings

with sa.create_engine(get_settings().database_url).begin() as connection:
    enqueue(connection, phone="{}", text="Hola {}", key="{}")
"""


@pytest.fixture
def sentinels(servers_directory: Path) -> Iterator[Sentinels]:
    with Sentinels(servers_directory / f"sentinels-{next(_numbers)}") as running:
        yield running


def producer(cluster: Cluster, number: int) -> None:
    """A program that enqueues and ends once its wake-up was heard; it complains where it was not."""
    program = PATIENT_WAKEUPS + ENQUEUE.format(phone(number), number, f"producer-{number}")
    env = {**cluster.env, "PATH": os.environ.get("PATH", "")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failover_under_load_loses_nothing_and_needs_no_restart(
    sentinels: Sentinels, migrated_postgres_url: str, start_process: StartProcess
) -> None:
    with Cluster(start_process, migrated_postgres_url, sentinels.url, delivery_seconds=0) as cluster:
        worker, beat = cluster.worker(), cluster.beat()
        ready(worker)
        producer(cluster, 9000)
        cluster.enqueue(texts(40, "Antes"))
        before = sentinels.master.port
        sentinels.master.kill()
        cluster.enqueue(texts(40, "Durante"))
        wait_until(lambda: sentinels.masters().isdisjoint({before}), 120, what="another master")
        worker.wait_for_line(r"The broker can be used again")
        beat.wait_for_line("The broker accepts ticks again")
        producer(cluster, 9001)
        cluster.wait_final(82)
        cluster.assert_ledger_agrees()
        assert worker.running
        assert beat.running
        assert not re.search("Traceback|Unrecoverable|CRITICAL", worker.output + beat.output)
        examined = cluster.run("smsclick", "doctor", name="doctor")
        assert examined.wait(120) == 0, examined.output
        assert re.search(r"broker +.*sentinel://", examined.output)
