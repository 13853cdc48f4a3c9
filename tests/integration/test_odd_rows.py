"""Each kind of odd row on each database: refused, or alone in failing; the good beside it go, and no log has it."""

from __future__ import annotations

import datetime as dt
import io
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from smsclick._database.engine import Database
from smsclick.contract import State, events, messages
from smsclick.errors import DatabaseUnavailable
from tests import odd_rows, one_sender
from tests.conftest import migrate
from tests.factories import LONG_AGO, NOW, alert_events, change_account, clock, insert, message, row, settings
from tests.odd_rows import KINDS, SECRET, Odd
from worker.callbacks import store
from worker.lifecycle import on_claim
from worker.maintenance import retention
from worker.maintenance.sweep import sweep
from worker.operator import exporting, message_changes, message_history
from worker.queue import odd_rows as product
from worker.reconciliation import reconcile
from worker.runtime import Runtime
from worker.sending import attempts
from worker.sql.readable import UNREADABLE
from worker.tracking import by_report, by_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from smsclick.simulator import Simulator
    from tests.factories import RecordingWakeups
    from tests.servers import MariaDBServer, PostgresServer


GOOD = 20
_DIALECTS = {"sqlite": "sqlite", "postgres": "postgresql", "mariadb": "mariadb"}
MATRIX = [pytest.param(server, odd, id=f"{server}-{odd}") for server, kind in _DIALECTS.items() for odd in KINDS[kind]]


@pytest.fixture(scope="session")
def _unchecked_postgres_url(postgres: PostgresServer) -> str:
    postgres.start()
    return _without_constraints(postgres.create_database("unchecked"))


@pytest.fixture(scope="session")
def _unchecked_mariadb_url(mariadb: MariaDBServer) -> str:
    mariadb.start()
    return _without_constraints(mariadb.create_database("unchecked"))


def _without_constraints(url: str) -> str:
    database = Database(migrate(url), threads=1)
    odd_rows.drop_constraints(database)
    database.dispose()
    return url


@pytest.fixture
def unchecked(server: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database that refuses nothing: as one was before the constraints, or where somebody wrote around them."""
    if server == "sqlite":
        url: str = request.getfixturevalue("migrated_sqlite_url")
    else:
        request.getfixturevalue(server).thaw()
        request.getfixturevalue(server).start()
        url = request.getfixturevalue(f"_unchecked_{server}_url")
    made = Database(url, threads=8)
    if server == "sqlite":
        odd_rows.drop_constraints(made)
    with made.begin() as connection:
        for table in (events, messages):
            connection.execute(sa.text(f"DELETE FROM {table.name}"))  # noqa: S608 - our own names
        connection.execute(sa.text("DELETE FROM smsclick_alerts"))
        connection.execute(sa.text("DELETE FROM smsclick_incidents"))
        connection.execute(sa.text("DELETE FROM smsclick_heartbeats"))
    yield made
    made.dispose()


@pytest.fixture
def worker(unchecked: Database, simulator: Simulator, wakeups: RecordingWakeups) -> Iterator[Runtime]:
    """A worker process on that database."""
    url = unchecked.engine.url.render_as_string(hide_password=False)
    made = Runtime.start(settings(url, simulator.base_url), wakeups, calls=4)
    yield made
    made.close()


def two_sweeps(worker: Runtime) -> None:
    for _ in range(2):
        sweep(worker, urgent=True)
        one_sender.send(worker, [])
        reconcile.reconcile(worker)
        by_report.follow(worker)
        with worker.database.read() as connection:
            due = by_status.due(connection, 100)
        by_status.poll(worker, due)
        retention.erase(worker.database, 1)


def states(database: Database, ids: Sequence[int]) -> list[str]:
    with database.read() as connection:
        found = {each.id: each.state for each in connection.execute(sa.select(messages.c.id, messages.c.state))}
    return [found[each] for each in ids]


def odd_id(database: Database, good: Sequence[int]) -> int:
    with database.read() as connection:
        found: set[int] = set(connection.scalars(sa.select(messages.c.id))) - set(good)
    return found.pop()


@pytest.mark.parametrize(("server", "odd"), MATRIX)
def test_good_messages_go_beside_an_odd_row_which_ends_alone_and_stands_in_no_log(
    server: str,
    odd: Odd,
    unchecked: Database,
    worker: Runtime,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    before = insert(unchecked, GOOD // 2, due_at=LONG_AGO)
    odd_rows.insert(unchecked, odd, 1)
    message_id = odd_id(unchecked, before)
    good = before + insert(unchecked, GOOD // 2, due_at=clock(unchecked))
    two_sweeps(worker)
    assert set(states(unchecked, good)) <= {State.SENT, State.DELIVERED}
    assert len({entry.phone for entry in simulator.ledger()}) >= 1
    [became] = states(unchecked, [message_id])
    expected = {"sent": {State.SENT, State.DELIVERED}, "any": {*State}}.get(odd.becomes, {odd.becomes})
    assert became in expected
    if odd.becomes == "failed":
        with unchecked.read() as connection:
            changes = connection.execute(
                sa.select(events.c.from_state, events.c.to_state)
                .where(events.c.message_id == message_id)
                .order_by(events.c.id)
            ).all()
            reason = connection.scalar(sa.select(messages.c.last_error).where(messages.c.id == message_id))
        assert [tuple(each) for each in changes][-2:] == [("queued", "sending"), ("sending", "failed")]
        assert reason
        assert SECRET not in reason
    # Whoever looks at it sees it, with a word in the place of what cannot be read.
    shown = message_history.read(unchecked, f"id:{message_id}")
    assert shown.message["state"] == became
    records = list(exporting.export(unchecked))
    assert [each["id"] for each in records] == sorted([*good, message_id])
    exporting.write_jsonl(iter(records), io.StringIO())
    exporting.write_csv(iter(records), io.StringIO())
    # The text of a message is no one's to read in a log, and a driver's words may hold it.
    assert SECRET not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("server", "odd"), [case for case in MATRIX if isinstance(case.values[1], Odd) and case.values[1].refused]
)
def test_the_database_refuses_it_by_a_constraint_of_ours(server: str, odd: Odd, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue("migrated_sqlite_url" if server == "sqlite" else f"_kept_{server}_url")
    database = Database(url, threads=1)
    with pytest.raises(DBAPIError) as refused:
        odd_rows.insert(database, odd, 1)
    assert "constraint" in str(refused.value)
    database.dispose()


# --- Other readers, and what must never be held against a row

ODD_TEXT = Odd("", {"text": f"CAST(x'{SECRET.encode().hex()}f161' AS TEXT)"})
ON_SQLITE = pytest.mark.parametrize("server", ["sqlite"])


def stored(database: Database, columns: dict[str, str], number: int = 1) -> int:
    """A row of plain SQL; returns its id."""
    odd_rows.insert(database, Odd("", columns), number)
    with database.read() as connection:
        newest: int = connection.execute(sa.select(sa.func.max(messages.c.id))).scalar_one()
        return newest


@pytest.mark.parametrize("server", ["sqlite", "postgres", "mariadb"])
def test_a_sending_row_that_cannot_be_read_becomes_unknown_when_its_lease_ends(
    server: str, unchecked: Database, worker: Runtime
) -> None:
    odd = {"sqlite": "'01/12/2030'", "postgres": "'infinity'", "mariadb": "'2030-00-00 00:00:00'"}[server]
    past = "'2020-01-01 00:00:00'"
    columns = {"state": "'sending'", "due_at": past, "attempted_at": past, "expires_at": odd, "token": "'t'"}
    message_id = stored(unchecked, columns)
    others = insert(unchecked, 3, state=State.SENDING, due_at=LONG_AGO, attempted_at=LONG_AGO, token="u")
    sweep(worker, urgent=True)
    assert states(unchecked, [message_id, *others]) == ["unknown"] * 4


@ON_SQLITE
def test_an_unknown_whose_text_cannot_be_read_stays_and_is_in_no_others_way(
    server: str, unchecked: Database, worker: Runtime
) -> None:
    assert server
    attempt = {"attempted_at": LONG_AGO, "unknown_since": LONG_AGO, "token": "u", "attempts": 1}
    others = insert(unchecked, 3, state=State.UNKNOWN, due_at=LONG_AGO, **attempt)
    past = "'2020-01-01 00:00:00.000000'"
    times = {"due_at": past, "attempted_at": past, "unknown_since": past}
    message_id = stored(unchecked, {"state": "'unknown'", "token": "'t'"} | times | ODD_TEXT.columns)
    assert reconcile.reconcile(worker) in range(4)
    assert states(unchecked, [message_id]) == ["unknown"]
    with unchecked.read() as connection:
        due = {each.id: each.due_at for each in connection.execute(sa.select(messages.c.id, messages.c.due_at))}
    # Out of the way for long, not only until the next look at whatever stays unknown.
    assert due[message_id] > clock(unchecked) + dt.timedelta(minutes=30)
    assert all(due[each] != LONG_AGO for each in others)
    assert ("odd_row", "opened") in alert_events(unchecked)


@pytest.mark.parametrize("server", ["sqlite", "postgres", "mariadb"])
def test_a_queued_row_without_a_due_time_is_found_by_the_sweep(
    server: str, unchecked: Database, worker: Runtime
) -> None:
    assert server
    ids = [stored(unchecked, {"due_at": "NULL", "priority": str(each)}, each) for each in (0, 1, 2)]
    sweep(worker, urgent=True)
    one_sender.send(worker, [])
    assert states(unchecked, ids) == ["sent"] * 3


@pytest.mark.parametrize("server", ["sqlite", "postgres"])
def test_an_odd_canary_gives_way(server: str, unchecked: Database, worker: Runtime) -> None:
    odd = {"sqlite": "'01/12/2030'", "postgres": "'infinity'"}[server]
    message_id = stored(unchecked, {"send_at": odd, "priority": "0"})
    [good] = insert(unchecked)
    change_account(unchecked, hold_reason="no_balance", canary_id=message_id, balance=10)
    [claim] = attempts.claim(worker, [message_id], 1).claims
    change_account(unchecked, hold_reason=None, canary_id=None)
    assert claim.id == good
    assert states(unchecked, [message_id]) == ["failed"]


@ON_SQLITE
def test_commands_on_an_odd_row_say_what_became_of_it(server: str, unchecked: Database) -> None:
    assert server
    odd, good = stored(unchecked, {"send_at": "'mañana'"}), insert(unchecked)[0]
    done = list(message_changes.cancel(unchecked, [f"id:{odd}", f"id:{good}"], actor="ana"))
    assert [each.problem is None for each in done] == [False, True]
    assert "it is failed" in str(done[0].problem)
    assert "send_at" in str(message_history.read(unchecked, f"id:{odd}").message["last_error"])


@ON_SQLITE
def test_an_error_of_the_environment_is_never_held_against_a_row(server: str, unchecked: Database) -> None:
    assert server
    message_id = stored(unchecked, ODD_TEXT.columns)

    def away(_: sa.Connection) -> list[int]:
        raise DatabaseUnavailable("the database does not answer")

    with pytest.raises(DatabaseUnavailable):
        product.run_in_halves(unchecked, away, lambda _: [message_id], lambda _, ids: list(ids), 10)
    assert states(unchecked, [message_id]) == ["queued"]


@ON_SQLITE
def test_a_defect_of_ours_fails_no_message_and_stops_no_other(server: str, unchecked: Database) -> None:
    assert server
    ids = insert(unchecked, 30)

    def work(_: sa.Connection, some: Sequence[int] = tuple(ids)) -> list[int]:
        if ids[7] in some:
            raise TypeError("a defect, met by one row only")
        return list(some)

    assert sorted(product.run_in_halves(unchecked, work, lambda _: ids, work, 100)) == ids[:7] + ids[8:]
    assert states(unchecked, ids) == ["queued"] * 30
    assert row(unchecked, ids[7]).due_at > clock(unchecked)
    assert ("odd_row", "opened") in alert_events(unchecked)


@ON_SQLITE
def test_a_producer_hears_of_an_odd_key_without_it_and_others_of_theirs(server: str, unchecked: Database) -> None:
    assert server
    odd = stored(unchecked, {"key": "CAST(x'f161' AS TEXT)"})
    [good] = insert(unchecked, key="order-1")
    with unchecked.begin() as connection:
        about = store._message_fields(connection, {odd, good})
    assert about[good].key == "order-1"
    assert about[odd].key == UNREADABLE


def test_what_odd_content_makes_of_a_message_is_failed_through_sending() -> None:
    first, second = on_claim.after_odd_content(message(waits_for="w"), "token", "text cannot be read", NOW)
    assert (first.was.state, first.becomes.state, first.becomes.waits_for) == (State.QUEUED, State.SENDING, None)
    assert first.becomes.due_at is not None
    assert (second.becomes.state, second.becomes.due_at, second.becomes.token) == (State.FAILED, None, None)
    assert second.becomes.attempts == first.was.attempts
    assert second.becomes.last_error == "text cannot be read"


@pytest.mark.parametrize("microsecond", [0, 1, 999_400, 999_500, 999_999])
def test_every_fraction_of_a_second_is_a_time_that_the_database_takes(
    microsecond: int, migrated_sqlite_url: str
) -> None:
    database = Database(migrated_sqlite_url, threads=1)
    at = NOW.replace(microsecond=microsecond)
    with database.begin() as connection:
        connection.execute(
            sa.insert(messages).values(key="k", phone="5551402211", text="hola", due_at=at, send_at=at, expires_at=at)
        )
        connection.execute(sa.update(messages).values(due_at=at, sent_at=at, attempted_at=at))
    database.dispose()
