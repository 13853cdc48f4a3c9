"""After a restored backup: what could have been sent since is looked for before anything else leaves."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from smsclick._database.engine import Database
from smsclick._enqueue.enqueue import enqueue_many
from smsclick._enqueue.message import NewMessage
from smsclick.contract import State, messages
from smsclick.errors import InvalidTime
from tests import programs
from tests.acceptance import IMPATIENT, Cluster, ready, texts
from tests.commandline import call
from tests.factories import KEY, LONG_AGO, insert, row, states
from tests.integration.workbench import KEY as BENCH_KEY
from tests.integration.workbench import Bench, bench
from tests.processes import wait_until
from worker.account import account_state
from worker.maintenance import sweep
from worker.operator import account, message_history, stats
from worker.restore import hold
from worker.restore.losses import missing_keys, unowned_ids
from worker.restore.recovery import recover

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import StartProcess
    from tests.processes import Process
    from tests.servers import PostgresServer

ACCOUNT = "0123456789abcdef"
HOUR = dt.timedelta(hours=1)


def test_whatever_could_have_been_sent_since_becomes_unknown_since_then(database: Database) -> None:
    now = database.clock()
    since = now - HOUR
    (queued,) = insert(database)
    (later,) = insert(database, send_at=now + HOUR, due_at=now + HOUR)
    (sending,) = insert(
        database,
        state=State.SENDING,
        token="mine",
        attempts=1,
        attempted_at=since - HOUR,
        lease_until=now + HOUR,
        wire_key="a",
    )
    (unknown,) = insert(
        database, state=State.UNKNOWN, token="his", attempts=1, attempted_at=now, unknown_since=now, wire_key="b"
    )
    finals = {
        state: insert(database, state=state, due_at=None)[0]
        for state in (State.SENT, State.DELIVERED, State.FAILED, State.EXPIRED, State.CANCELLED)
    }
    done = recover(database, since, ACCOUNT, actor="ana")
    assert done.unknown == 3
    assert row(database, later).state == State.QUEUED, "its time had not come, so it cannot have been sent"
    assert {state: row(database, each).state for state, each in finals.items()} == {state: state for state in finals}
    for each in (queued, sending, unknown):
        found = row(database, each)
        assert found.state == State.UNKNOWN
        assert found.attempted_at <= since
        assert found.unknown_since >= now
        assert found.token
        assert found.wire_key
        assert found.account_fingerprint == ACCOUNT
    assert row(database, sending).token == "mine", "its answer may still come"
    assert row(database, sending).unknown_since == now + HOUR, "until then its request may leave"
    story = message_history.read(database, f"id:{queued}").events
    assert [(each["to_state"], each["cause"]) for each in story] == [(State.UNKNOWN, "restored")]


def _insert(database: Database, count: int, **values: object) -> None:
    new = [{"key": f"k{n}", "phone": f"55514{n:05d}", "text": f"texto {n}", **values} for n in range(count)]
    with database.begin() as connection:
        connection.execute(sa.insert(messages), new)


def test_messages_of_equal_content_are_looked_for_together_and_in_any_number(database: Database) -> None:
    _insert(database, 1200, phone="5551402211", text="Su pedido va en camino", waits_for="0" * 32)
    done = recover(database, database.clock() - HOUR, ACCOUNT, actor="ana")
    assert (done.unknown, set(states(database))) == (1200, {State.UNKNOWN})
    with database.read() as connection:
        keys = connection.scalars(sa.select(messages.c.wire_key)).all()
        waits = connection.scalars(sa.select(messages.c.waits_for)).all()
    assert sum(key is not None for key in keys) == 1
    assert set(waits) == {None}, "none waits for another any more"


def test_sending_is_held_until_all_have_been_looked_for(database: Database) -> None:
    ids = insert(database, 3)
    recover(database, database.clock() - HOUR, ACCOUNT, actor="ana")
    with database.read() as connection:
        state = account_state.read(connection)
    assert not state.is_open
    assert "restored" in account.hold_reasons(state)[0]
    for reason in (None, "settling", "no_report"):
        with database.begin() as connection:
            connection.execute(sa.update(messages).values(unknown_reason=reason))
        assert not database.transact(hold.end_if_looked_for), reason
    with database.begin() as connection:
        connection.execute(sa.update(messages).where(messages.c.id > ids[0]).values(unknown_reason="no_control_rows"))
    assert not database.transact(hold.end_if_looked_for), "one has not been looked for"
    with database.begin() as connection:
        connection.execute(sa.update(messages).values(unknown_reason="no_control_rows"))
    assert database.transact(hold.end_if_looked_for)
    assert stats.read(database).account_state.is_open
    assert not stats.read(database).incidents


def test_a_restore_that_was_interrupted_stays_held_until_it_is_run_again(database: Database) -> None:
    _insert(database, 1100)
    since = database.clock() - HOUR

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recover(database, since, ACCOUNT, progress=interrupt, actor="ana")
    assert Counter(states(database)) == {State.UNKNOWN: 500, State.QUEUED: 600}
    with database.begin() as connection:
        connection.execute(sa.update(messages).values(unknown_reason="no_control_rows"))
    assert not database.transact(hold.end_if_looked_for), "what is still queued could have been sent"
    assert "run it again" in account.hold_reasons(stats.read(database).account_state)[0]
    done = recover(database, since + HOUR / 2, ACCOUNT, actor="ana")
    assert (done.since, done.unknown) == (since, 1100), "the earliest time counts"
    assert set(states(database)) == {State.UNKNOWN}
    database.transact(hold.end)
    assert stats.read(database).account_state.is_open


def test_a_time_in_the_future_is_refused_and_holds_nothing(database: Database) -> None:
    with pytest.raises(InvalidTime, match="in the future"):
        recover(database, database.clock() + HOUR, ACCOUNT, actor="ana")
    assert stats.read(database).account_state.is_open


def test_producers_learn_which_keys_and_ids_are_gone(database: Database) -> None:
    insert(database, key="kept", id_mensaje=7)
    asked = (f"k{number}" for number in range(1200))
    assert list(missing_keys(database, ["kept", "gone", "Kept"])) == ["gone", "Kept"]
    assert len(list(missing_keys(database, asked))) == 1200
    assert list(unowned_ids(database, [6, 7, 8])) == [6, 8]


def _env(database: Database) -> dict[str, str]:
    url = database.engine.url.render_as_string(hide_password=False)
    return {"DATABASE_URL": url, "SMSCLICK_API_KEY": KEY}


def test_the_command_holds_and_its_end_lifts(migrated_sqlite_url: str, tmp_path: Path) -> None:
    database = Database(migrated_sqlite_url)
    insert(database, 2)
    ended = call("restored", "--since", (database.clock() - HOUR).isoformat(), env=_env(database))
    assert (ended.code, "held: 2 messages" in ended.out) == (0, True)
    assert KEY not in ended.out
    assert set(states(database)) == {State.UNKNOWN}
    keys = tmp_path / "keys.txt"
    keys.write_text("gone-1\ngone-ñ\n", encoding="utf-8")
    assert call("restored", "--missing-keys", str(keys), env=_env(database)).out == "gone-1\ngone-ñ\n"
    assert call("restored", "--end", env=_env(database)).code == 0
    assert stats.read(database).account_state.is_open
    database.dispose()


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ((), 2, "--since TIME"),
        (("--unowned",), 2, "--since TIME"),
        (("--since", "yesterday"), 1, "not a time"),
        (("--since", "2999-01-01T00:00:00Z"), 1, "lies in the future"),
        (("--since", "2026-01-01T00:00:00"), 1, "no time zone"),
        (("--missing-keys", "/nowhere"), 1, "/nowhere cannot be read"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    words: tuple[str, ...], code: int, line: str, migrated_sqlite_url: str
) -> None:
    database = Database(migrated_sqlite_url)
    insert(database)
    ended = call("restored", *words, env=_env(database))
    assert (ended.code, line in ended.err) == (code, True), ended.err
    assert states(database) == [State.QUEUED]
    assert stats.read(database).account_state.is_open
    database.dispose()


def test_without_the_key_whose_account_it_was_nothing_is_done(migrated_sqlite_url: str) -> None:
    ended = call("restored", "--since", "2026-01-01T00:00:00Z", env={"DATABASE_URL": migrated_sqlite_url})
    assert (ended.code, "SMSCLICK_API_KEY: not set" in ended.err) == (1, True)


def test_ids_that_no_message_has_are_listed(migrated_sqlite_url: str) -> None:
    with bench(migrated_sqlite_url) as made:
        made.enqueue(3)
        made.send()
        ids = [entry.id_mensaje for entry in made.ledger()]
        with made.database.begin() as connection:
            connection.execute(sa.update(messages).where(messages.c.id_mensaje == ids[1]).values(id_mensaje=None))
        env = {
            "DATABASE_URL": migrated_sqlite_url,
            "SMSCLICK_API_KEY": BENCH_KEY,
            "SMSCLICK_BASE_URL": made.simulator.base_url,
        }
        since = (made.database.clock() - HOUR).isoformat()
        assert call("restored", "--since", since, "--unowned", env=env).out == f"{ids[1]}\n"


def _tool(name: str) -> Path:
    tool = programs.find(programs.POSTGRES)["postgres"].with_name(name)
    if not tool.exists():
        pytest.skip(f"not run here: {name}: it is not beside this PostgreSQL")
    return tool


def _copy(server: PostgresServer, source: str, dump: Path) -> None:
    address = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
    subprocess.run([_tool("pg_dump"), *address, "-Fc", "-f", dump, source], check=True, timeout=120)


def _restore(server: PostgresServer, dump: Path, name: str) -> str:
    url = server.create_database(name)
    address = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
    subprocess.run([_tool("pg_restore"), *address, "-d", name, dump], check=True, timeout=120)
    return url


def _new(first: int, count: int, text: str = "") -> list[NewMessage]:
    return [
        NewMessage.of(phone=f"55514{number:05d}", text=text or f"pedido {number} en camino", key=f"order-{number}")
        for number in range(first, first + count)
    ]


def _enqueue(database: Database, new: list[NewMessage]) -> list[int]:
    with database.begin() as connection:
        return enqueue_many(connection, new)


def _reconcile(bench: Bench) -> None:
    """Ticks until each has been looked for once after SMSCLICK_SETTLE_SECONDS."""

    def looked() -> bool:
        bench.reconcile()
        sweep.sweep(bench.runtime, urgent=True)
        reasons = {each.unknown_reason for each in bench.rows(State.UNKNOWN)}
        return not reasons & {None, "settling", "no_report"}

    wait_until(looked, 120, every=0.3, what="every unknown attempt to be looked for")


def test_a_dump_in_the_middle_of_a_run_restored_at_its_end_sends_nothing_twice_and_loses_nothing(
    migrated_postgres_url: str, postgres: PostgresServer, tmp_path: Path
) -> None:
    pairs = [
        NewMessage.of(phone="5551402211", text=f"igual {n}", key=f"pair-{n}-{m}") for n in range(4) for m in range(2)
    ]
    with bench(migrated_postgres_url, SMSCLICK_SETTLE_SECONDS=1) as before:
        _enqueue(before.database, _new(0, 60))
        before.send()
        _enqueue(before.database, [*_new(60, 190), *pairs])
        dumped_at = before.database.clock()
        _copy(postgres, str(sa.make_url(migrated_postgres_url).database), tmp_path / "dump")
        # After the dump: most of what waited is sent, one of each of two pairs too; and some are new, of whom most go.
        waits = [f"order-{number}" for number in range(220, 250)] + ["pair-0-1", "pair-1-0", "pair-2-0", "pair-2-1"]
        with before.database.begin() as connection:
            held = sa.update(messages).where(messages.c.key.in_(waits))
            connection.execute(held.values(due_at=before.database.clock() + HOUR))
        _enqueue(before.database, _new(300, 60))
        for _ in range(3):  # a message waits for one of equal content
            before.send()
            before.change(State.QUEUED, due_at=sa.case((messages.c.key.in_(waits), messages.c.due_at), else_=LONG_AGO))
        _enqueue(before.database, _new(400, 20))
        provider = before.simulator
        sent_before = Counter(entry.text for entry in provider.ledger())
        restored_url = _restore(postgres, tmp_path / "dump", "restored")
        try:
            database = Database(restored_url)
            keys = [new.key or "" for new in [*_new(0, 250), *pairs, *_new(300, 60), *_new(400, 20)]]
            gone = set(missing_keys(database, keys))
            assert gone == {new.key for new in [*_new(300, 60), *_new(400, 20)]}
            # The producer stores them again, although most of them were sent.
            _enqueue(database, [*_new(300, 60), *_new(400, 20)])
            recover(database, dumped_at, before.runtime.account, actor="ana")
            database.dispose()
            variables = {"SMSCLICK_BASE_URL": provider.base_url, "SMSCLICK_SETTLE_SECONDS": 1}
            with bench(restored_url, **variables) as after:
                _reconcile(after)
                sweep.sweep(after.runtime, urgent=True)
                assert after.account_state().is_open, "each has been looked for"
                assert Counter(entry.text for entry in provider.ledger()) == sent_before, (
                    "nothing left while it was held"
                )
                # What was not sent can only be absent once later messages show that the report is whole.
                _enqueue(after.database, _new(500, 5))
                after.send()
                _reconcile(after)

                def all_sent() -> bool:
                    after.change(State.QUEUED, due_at=LONG_AGO)
                    after.send()
                    after.reconcile()
                    return not after.rows(State.UNKNOWN, State.QUEUED, State.SENDING)

                wait_until(all_sent, 120, every=0.3, what="all to be sent")
                assert len(after.rows()) == 60 + 190 + 8 + 60 + 20 + 5
            times = Counter((entry.phone, entry.text) for entry in provider.ledger())
            expected = Counter(
                (new.phone, new.text) for new in [*_new(0, 250), *pairs, *_new(300, 60), *_new(400, 20), *_new(500, 5)]
            )
            assert times == expected
        finally:
            postgres.drop_database("restored")


def test_worker_processes_go_on_with_a_dump_that_was_made_while_they_sent(
    migrated_postgres_url: str, postgres: PostgresServer, redis_url: str, start_process: StartProcess, tmp_path: Path
) -> None:
    """Workers are killed while they send, and others start on the restored dump; nobody touches a row by hand."""
    env = IMPATIENT | {"SMSCLICK_SETTLE_SECONDS": "2", "SMSCLICK_MAX_PER_SECOND": "60"}
    with Cluster(start_process, migrated_postgres_url, redis_url, env=env) as cluster:

        def accepted(count: int) -> None:
            wait_until(lambda: len(cluster.provider.ledger()) >= count, 120, what=f"{count} to be accepted")

        worker, beat = cluster.worker(), cluster.beat()
        ready(worker)
        cluster.enqueue(texts(160))
        accepted(40)
        dumped_at = cluster.database.clock()
        _copy(postgres, str(sa.make_url(migrated_postgres_url).database), tmp_path / "dump")
        accepted(90)
        worker.sigkill()
        beat.sigkill()
        cluster.database.dispose()
        url = _restore(postgres, tmp_path / "dump", "restored_under_load")
        others: list[Process] = []
        try:
            cluster.database, cluster.env["DATABASE_URL"] = Database(url), url
            assert call("restored", "--since", dumped_at.isoformat(), env=cluster.env).code == 0
            assert cluster.states()[State.QUEUED] == 0
            others = [cluster.worker(), cluster.beat()]
            # What was not sent is absent only where later messages show that the report is whole.
            for number in range(120):
                waiting = cluster.states()
                if number > 3 and not waiting[State.UNKNOWN] + waiting[State.QUEUED] + waiting[State.SENDING]:
                    break
                if number % 4 == 0:
                    cluster.enqueue(texts(1, f"Luego {number}"))
                time.sleep(0.5)
            cluster.wait_final(len(cluster.rows()), 120)
            times = Counter((entry.phone, entry.text) for entry in cluster.provider.ledger())
            assert set(times.values()) == {1}
            assert len(times) == len(cluster.rows())
        finally:
            cluster.database.dispose()
            for each in others:
                each.end()
            postgres.drop_database("restored_under_load")
