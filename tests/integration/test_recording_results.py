"""Recording results: answers are written in groups, late ones included, and no `id_mensaje` is lost."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from smsclick._database.engine import Database
from smsclick.contract import State, messages
from smsclick.errors import DatabaseUnavailable
from smsclick.provider.codes import Action
from smsclick.provider.results import Accepted, Refused, Unknown
from tests.conftest import migrate
from tests.factories import (
    LONG_AGO,
    POLICY,
    RecordingWakeups,
    alert_events,
    change,
    history,
    insert,
    noted,
    row,
    settings,
    states,
)
from tests.processes import wait_until
from tests.servers import PostgresServer
from worker.account import account_state, holds
from worker.account.account_state import HoldCache
from worker.lifecycle import callback_outbox
from worker.lifecycle.attempt import Ended
from worker.lifecycle.effects import Effects
from worker.lifecycle.on_attempt import MAX_REFUSALS
from worker.lifecycle.policy import Outcome, Released
from worker.post_commit_notifier import Notifier
from worker.queue import claims, expired_leases
from worker.sending.recorder import Recorder
from worker.sending.results import Recorded, record_results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import OwnServer
    from worker.lifecycle.attempt import Claim

SETTINGS = settings("sqlite:///never-opened.db")
UNLISTED = Refused(-999, "Error no documentado", Action.RETRY, "a code that the manual does not list")
INVALID_PHONE = Refused(-102, "Parametro TELEFONO no valido", Action.FAIL, "TELEFONO is not a valid number")
RNG = random.Random(0)


def accepted(id_mensaje: int) -> Accepted:
    return Accepted(id_mensaje, 1, "Mensaje enviado")


def claim(database: Database, count: int = 1) -> list[Claim]:
    insert(database, count)
    found = database.transact(lambda connection: claims.claim(connection, None, 100, POLICY))
    return sorted(found, key=lambda each: each.id)


def record(database: Database, *ended: tuple[Claim, Outcome]) -> Recorded:
    group = [Ended(each, outcome, 0) for each, outcome in ended]
    return database.transact(lambda connection: record_results(connection, group, SETTINGS, RNG))


def lose(database: Database) -> None:
    """The worker is gone for longer than its lease."""
    change(database, due_at=LONG_AGO, lease_until=LONG_AGO)
    database.transact(lambda connection: expired_leases.expire_leases(connection, 100))


def test_a_group_is_written_each_by_its_own_outcome(database: Database) -> None:
    first, second, third, fourth = claim(database, 4)
    record(
        database,
        (first, accepted(7)),
        (second, INVALID_PHONE),
        (third, Unknown("no answer in time")),
        (fourth, UNLISTED),
    )
    assert states(database) == ["sent", "failed", "unknown", "queued"]
    assert row(database, first.id).id_mensaje == 7
    assert [each.to_state for each in history(database, third.id)] == ["sending", "unknown"]
    assert (row(database, fourth.id).last_code, row(database, fourth.id).refusals) == (-999, 1)


def test_every_change_is_kept_with_the_providers_code_and_words(database: Database) -> None:
    [only] = claim(database)
    record(database, (only, INVALID_PHONE))
    last = history(database, only.id)[-1]
    assert (last.from_state, last.to_state, last.attempt) == ("sending", "failed", 1)
    assert (last.code, last.description) == (-102, "Parametro TELEFONO no valido")


def test_a_late_accepted_answer_decides_an_unknown_row(database: Database) -> None:
    [only] = claim(database)
    lose(database)
    assert states(database) == ["unknown"]
    record(database, (only, accepted(7)))
    found = row(database, only.id)
    assert (found.state, found.id_mensaje, found.sent_at) == ("sent", 7, found.attempted_at)
    assert alert_events(database) == []


def test_a_late_refused_answer_decides_an_unknown_row(database: Database) -> None:
    [only] = claim(database)
    lose(database)
    record(database, (only, INVALID_PHONE))
    assert states(database) == ["failed"]


def test_a_late_answer_without_proof_leaves_the_row_unknown(database: Database) -> None:
    [only] = claim(database)
    lose(database)
    record(database, (only, Unknown("the connection broke")))
    assert states(database) == ["unknown"]


@pytest.mark.parametrize("outcome", [INVALID_PHONE, UNLISTED, Unknown("reset"), Released()])
def test_an_answer_whose_claim_is_another_ones_now_changes_nothing(database: Database, outcome: Outcome) -> None:
    [only] = claim(database)
    change(database, token="of a later attempt")
    before = row(database, only.id)
    record(database, (only, outcome))
    assert row(database, only.id) == before
    assert len(history(database, only.id)) == 1


@pytest.mark.parametrize("state", [State.SENDING, State.FAILED, State.QUEUED, State.CANCELLED, State.SENT])
def test_an_accepted_answer_that_comes_too_late_is_kept_as_an_event_with_an_incident(
    database: Database, state: State
) -> None:
    [only] = claim(database)
    change(database, token="of a later attempt", state=state)
    before = row(database, only.id)
    with noted(database) as effects:
        record(database, (only, accepted(7)))
    assert effects == [Effects(alerts=True)]
    assert row(database, only.id) == before
    last = history(database, only.id)[-1]
    assert (last.id_mensaje, last.cause, last.from_state, last.to_state) == (
        7,
        "late_answer",
        state,
        state,
    )
    assert alert_events(database) == [("lost_id", "opened")]


def test_the_same_answer_recorded_twice_changes_nothing_the_second_time(database: Database) -> None:
    [only] = claim(database)
    record(database, (only, INVALID_PHONE))
    before = row(database, only.id)
    record(database, (only, INVALID_PHONE))
    assert row(database, only.id) == before


def test_one_id_mensaje_for_two_messages_of_a_group_makes_only_the_second_unknown(database: Database) -> None:
    first, second, third = claim(database, 3)
    record(database, (first, accepted(7)), (second, accepted(7)), (third, accepted(8)))
    assert states(database) == ["sent", "unknown", "sent"]
    assert row(database, second.id).id_mensaje is None
    # What the provider said is kept all the same, and the row is looked at again.
    assert history(database, second.id)[-1].id_mensaje == 7
    assert row(database, second.id).due_at is not None


def test_an_id_mensaje_that_another_row_has_makes_only_that_one_unknown(database: Database) -> None:
    insert(database, state=State.SENT, id_mensaje=7, sent_at=LONG_AGO, due_at=None)
    first, second = claim(database, 2)
    record(database, (first, accepted(7)), (second, accepted(8)))
    assert states(database) == ["sent", "unknown", "sent"]


def test_a_late_answer_with_an_id_mensaje_in_use_leaves_the_row_due_again(database: Database) -> None:
    insert(database, state=State.SENT, id_mensaje=7, sent_at=LONG_AGO, due_at=None)
    [only] = claim(database)
    lose(database)
    record(database, (only, accepted(7)))
    found = row(database, only.id)
    assert (found.state, found.token) == ("unknown", only.token)
    assert found.due_at is not None


def test_an_unlisted_code_at_its_limit_fails_the_message_with_one_incident_for_the_code(database: Database) -> None:
    group = claim(database, 3)
    change(database, refusals=MAX_REFUSALS - 1)
    other = Refused(-998, "otra cosa", Action.RETRY, "a code that the manual does not list")
    with noted(database) as effects:
        record(database, (group[0], UNLISTED), (group[1], UNLISTED), (group[2], other))
    assert effects == [Effects(alerts=True)]
    assert states(database) == ["failed"] * 3
    assert sorted(alert_events(database)) == [("unlisted_code", "opened")] * 2


def test_an_unlisted_code_below_its_limit_opens_no_incident(database: Database) -> None:
    [only] = claim(database)
    with noted(database) as effects:
        record(database, (only, UNLISTED))
    assert effects == []
    assert alert_events(database) == []


# --- The recorder


def locks_awaited(database: Database) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with database.read() as connection:
        return int(connection.execute(sa.text(query)).scalar_one())


@pytest.mark.parametrize(("withheld", "reason"), [(True, None), (False, "provider_down")])
def test_only_calls_that_the_client_made_count_for_the_circuit_breaker(
    database: Database,
    withheld: bool,  # noqa: FBT001 - a parameter
    reason: str | None,
) -> None:
    outcome = Refused(None, "", Action.RETRY, "the request never left", withheld=withheld)
    record(database, *((each, outcome) for each in claim(database, holds.MOST_FAILURES)))
    with database.read() as connection:
        assert account_state.read(connection).hold_reason == reason


def test_a_result_is_committed_when_record_returns(database: Database) -> None:
    recorder = Recorder(database, SETTINGS)
    [only] = claim(database)
    recorder.record(Ended(only, accepted(7), 0))
    assert states(database) == ["sent"]
    recorder.close()
    assert recorder.recorded == 1


def test_results_that_come_while_one_is_written_go_in_one_transaction(database: Database) -> None:
    group, commits = claim(database, 20), []
    writing, written = threading.Event(), threading.Event()

    def after_commit(noted: Sequence[object]) -> None:
        commits.append(noted)
        writing.set()
        assert written.wait(60)

    callback_outbox.use_default(database.engine, "celery:shop.sms@shop")  # so that each result has an effect
    database.after_commit = after_commit
    recorder = Recorder(database, SETTINGS)
    recorder.submit(Ended(group[0], accepted(1), 0))
    assert writing.wait(60)
    rest = [threading.Event() for _ in group[1:]]
    for each, done in zip(group[1:], rest, strict=True):
        recorder.submit(Ended(each, accepted(each.id + 100), 0), done.set)
    assert not any(done.is_set() for done in rest)
    written.set()
    assert all(done.wait(60) for done in rest)
    recorder.close()
    assert states(database) == ["sent"] * 20
    assert len(commits) == 2


def test_one_odd_result_does_not_take_the_others_with_it(database: Database) -> None:
    odd, *good = claim(database, 6)
    with database.begin() as connection:
        connection.execute(sa.text("DELETE FROM smsclick_events"))
        connection.execute(sa.delete(messages).where(messages.c.id == odd.id))
    recorder = Recorder(database, SETTINGS)
    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(recorder.record, Ended(each, accepted(each.id), 0)) for each in [*good, odd]]
        for each in done:
            each.result(60)  # nothing is raised: the sender has further claims in hand
    recorder.close()
    assert states(database) == ["sent"] * 5


def test_a_broker_that_takes_no_wake_up_does_not_stop_the_recorder(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(RecordingWakeups):
        def callbacks(self) -> None:
            raise RuntimeError("OOM command not allowed")

    callback_outbox.use_default(database.engine, "celery:shop.sms@shop")
    database.after_commit = Notifier(Failing(), HoldCache(database))
    recorder = Recorder(database, SETTINGS)
    for each in claim(database, 2):
        recorder.record(Ended(each, accepted(each.id), 0))
    recorder.close()
    assert states(database) == ["sent", "sent"]
    assert caplog.text.count("The notification after a commit failed; the sweep will pick it up") == 2
    assert 'error="RuntimeError at ' in caplog.text
    assert "OOM command" not in caplog.text, "an error's words may hold a message"


def test_two_processes_with_the_same_id_mensaje_lose_neither_message(database: Database) -> None:
    group = claim(database, 16)
    recorders = [Recorder(database, SETTINGS) for _ in range(2)]
    barrier = threading.Barrier(2)

    def run(part: int) -> None:
        for number, each in enumerate(group[part::2]):
            barrier.wait(60)
            recorders[part].record(Ended(each, accepted(number + 1), 0))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    for recorder in recorders:
        recorder.close()
    assert sorted(states(database)) == ["sent"] * 8 + ["unknown"] * 8


def test_answers_wait_for_a_database_that_restarts_and_none_is_lost(
    own_server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = own_server(PostgresServer)
    database = Database(migrate(server.create_database("own")), threads=4)
    group = claim(database, 10)
    recorder = Recorder(database, SETTINGS)
    server.kill()
    with ThreadPoolExecutor(10) as pool:
        waiting = [pool.submit(recorder.record, Ended(each, accepted(each.id), 0)) for each in group]
        try:
            wait_until(lambda: "Results wait for the database" in caplog.text, what="the recorder to notice")
            assert not any(each.done() for each in waiting)
        finally:
            server.start()
        for each in waiting:
            each.result(60)
    assert states(database) == ["sent"] * 10
    assert all(len(history(database, each.id)) == 2 for each in group)
    recorder.close()
    database.dispose()


def test_connections_that_are_all_busy_count_as_a_database_that_does_not_answer(postgres_url: str) -> None:
    database = Database(postgres_url, threads=1)
    database.engine.pool._timeout = 0.01  # type: ignore[attr-defined]
    with (
        database.read() as _,
        pytest.raises(DatabaseUnavailable, match="every connection to it is busy"),
        database.read(),
    ):
        pass
    with pytest.raises(PoolTimeoutError), database.engine.connect(), database.engine.connect():
        pass
    database.dispose()
