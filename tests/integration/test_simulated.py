"""What is simulated and what is real have databases of their own, and each side refuses the other's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick.contract import heartbeats
from smsclick.errors import NotAllowed
from tests import one_sender
from tests.factories import LONG_AGO, change_account, insert, settings, states
from worker.account import simulated
from worker.runtime import require_start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smsclick.simulator import Simulator
    from tests.conftest import StartProcess
    from tests.integration.conftest import MakeRuntime

REAL = {"SMSCLICK_API_KEY": "a-key", "SMSCLICK_BASE_URL": "http://127.0.0.1:1/sms-services"}


@pytest.fixture
def own(migrated_sqlite_url: str) -> Iterator[Database]:
    made = Database(migrated_sqlite_url, threads=2)
    yield made
    made.dispose()


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def test_an_empty_database_becomes_the_simulators_and_stays_so(database: Database) -> None:
    simulated.refuse(database)
    simulated.mark(database)
    insert(database)
    simulated.mark(database)
    with pytest.raises(NotAllowed, match="must not go out for real"):
        simulated.refuse(database)


def test_a_database_with_messages_of_an_account_does_not(database: Database) -> None:
    insert(database, state="delivered", due_at=None)
    with pytest.raises(NotAllowed, match=r"would swallow them; name another database"):
        simulated.mark(database)
    simulated.refuse(database)


def test_an_empty_database_that_a_worker_uses_does_not(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.insert(heartbeats).values(name="sweep"))
    with pytest.raises(NotAllowed, match="a worker uses the database"):
        simulated.mark(database)
    with database.begin() as connection:
        connection.execute(sa.update(heartbeats).values(at=LONG_AGO))
    simulated.mark(database)


def test_a_worker_of_an_account_does_not_start_on_the_simulators_database(own: Database) -> None:
    simulated.mark(own)
    with pytest.raises(NotAllowed, match="up --simulate"):
        require_start(settings(url_of(own)))


def test_a_worker_that_runs_already_sends_nothing_from_it(
    make_runtime: MakeRuntime, database: Database, simulator: Simulator
) -> None:
    runtime = make_runtime()
    ids = insert(database)
    change_account(database, simulated_at=LONG_AGO)
    assert one_sender.send(runtime, ids) == 0
    assert (states(database), simulator.ledger()) == (["queued"], [])


def test_up_refuses_the_others_database_with_one_line(own: Database, start_process: StartProcess) -> None:
    env = REAL | {"DATABASE_URL": url_of(own)}
    insert(own)
    refused = start_process(["smsclick", "up", "--simulate"], env)
    assert refused.wait() == 1
    assert "would swallow them" in refused.output.splitlines()[-1]
    assert "Traceback" not in refused.output
    change_account(own, simulated_at=LONG_AGO)
    refused = start_process(["smsclick", "up"], env)
    assert refused.wait() == 1
    assert "must not go out for real" in refused.output.splitlines()[-1]
    simulating = start_process(["smsclick", "up", "--simulate"], env)
    simulating.wait_for_line("smsclick is up")
    # Ctrl-C stops it, and that is no error.
    simulating.sigint()
    assert simulating.wait() == 0
    assert "stopped by an error" not in simulating.output
    assert states(own)[0] in {"queued", "sending", "sent", "delivered", "rejected", "unknown"}
