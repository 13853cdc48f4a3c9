"""Cancel and retry by a filter: what they mean, count and leave alone; on the command line and without it."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smsclick.contract import State
from tests.commandline import call
from tests.factories import LONG_AGO, change, clock, history, insert, row, states
from tests.processes import ROOT
from worker.operator import filtered_changes
from worker.operator.filtered_changes import STATE_OF, Count, Filter
from worker.sql import audit
from worker.sql.audit import Act

if TYPE_CHECKING:
    from smsclick._database.engine import Database

DAY = dt.timedelta(days=1)
NOON = LONG_AGO + dt.timedelta(days=100)
FACTS: dict[str, tuple[Any, Any, Filter]] = {
    "reference": ("one", "two", Filter(references=["one"])),
    "last_code": (-103, -105, Filter(codes=[-103])),
    "created_at": (NOON, NOON - DAY, Filter(since=NOON - dt.timedelta(hours=1))),
    "created_at ": (NOON, NOON + DAY, Filter(until=NOON + dt.timedelta(hours=1))),
}
"""A column, a value that the filter means, one that it does not, and the filter."""


def env_of(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.engine.url.render_as_string(hide_password=False)}


def failed(database: Database, number: int = 1, **values: Any) -> list[int]:  # noqa: ANN401 - any column
    return insert(database, number, **({"state": State.FAILED, "due_at": None, "final_at": LONG_AGO} | values))


def of_act(database: Database, act: Act, **values: Any) -> int:  # noqa: ANN401 - any column
    return (failed if act is Act.RETRY else insert)(database, **values)[0]


@pytest.mark.parametrize("act", [Act.CANCEL, Act.RETRY])
@pytest.mark.parametrize("fact", FACTS)
def test_each_field_of_a_filter_means_these_messages_and_no_others(database: Database, act: Any, fact: str) -> None:  # noqa: ANN401
    meant, other, wanted = FACTS[fact]
    column = fact.strip()
    wanted_id, other_id = of_act(database, act, **{column: meant}), of_act(database, act, **{column: other})
    assert filtered_changes.count(database, act, wanted) == Count(1, 0)
    work = filtered_changes.cancel if act is Act.CANCEL else filtered_changes.retry
    assert work(database, wanted, actor="ana").changed == 1
    assert row(database, wanted_id).state == (State.CANCELLED if act is Act.CANCEL else State.QUEUED)
    assert row(database, other_id).state == STATE_OF[act]
    assert [each.actor for each in history(database, wanted_id)] == ["ana"]
    (record,) = audit.listed(database)
    assert (record.act, record.count, record.actor) == (act, 1, "ana")
    assert "one" not in record.detail


def test_a_retry_by_filter_takes_no_message_that_could_have_been_accepted(database: Database) -> None:
    for state in State:
        insert(database, state=state, reference="all", unknown_since=LONG_AGO, attempted_at=LONG_AGO)
    assert filtered_changes.retry(database, Filter(references=["all"]), actor="ana").changed == 1
    expected = [State.QUEUED if state is State.FAILED else state for state in State]
    assert states(database) == expected
    assert filtered_changes.cancel(database, Filter(references=["all"]), actor="ana").changed == 2
    assert states(database) == [State.CANCELLED if state is State.QUEUED else state for state in expected]


def test_what_cannot_be_retried_is_counted_with_its_reason(database: Database) -> None:
    now = clock(database)
    failed(database, 3)
    failed(database, 2, erased_at=now)
    failed(database, expires_at=now - DAY)
    failed(database, expires_at=now + DAY)
    assert filtered_changes.count(database, Act.RETRY, Filter()) == Count(4, 3)
    done = filtered_changes.retry(database, Filter(), actor="ana")
    assert (done.changed, dict(done.passed_over)) == (4, {"phone and text erased": 2, "validity ended": 1})


@pytest.mark.parametrize("most", [0, 19, 20, 21])
def test_a_count_is_the_same_by_index_and_through_the_whole_table(
    database: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(filtered_changes, "IDS_PER_LOOK", 7)
    now = clock(database)
    for number in range(5):
        failed(database, 3, reference=f"r{number % 2}")
        failed(database, erased_at=now, reference=f"r{number % 2}")
        insert(database, 4, reference=f"r{number % 2}")
        insert(database, state=State.SENT, reference="r0")
    monkeypatch.setattr(filtered_changes, "MOST_BY_INDEX", most)
    for wanted, retry, cancel in (
        (Filter(), Count(15, 5), Count(20, 0)),
        (Filter(references=["r0", "r9"], since=LONG_AGO - DAY), Count(9, 3), Count(12, 0)),
        (Filter(references=["r1"], until=now + DAY), Count(6, 2), Count(8, 0)),
        (Filter(references=["r9"]), Count(0, 0), Count(0, 0)),
    ):
        assert filtered_changes.count(database, Act.RETRY, wanted) == retry
        assert filtered_changes.count(database, Act.CANCEL, wanted) == cancel


def test_messages_are_changed_in_bounded_transactions_across_many_looks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filtered_changes, "IDS_PER_LOOK", 7)
    monkeypatch.setattr(filtered_changes, "MESSAGES_PER_TRANSACTION", 3)
    for _ in range(5):
        failed(database, 4, last_code=-103)
        insert(database, 3, state=State.SENT)
    seen: list[int] = []
    assert filtered_changes.count(database, Act.RETRY, Filter(codes=[-103])) == Count(20, 0)
    done = filtered_changes.retry(
        database, Filter(codes=[-103]), actor="ana", progress=lambda so_far: seen.append(so_far.changed)
    )
    assert done.changed == 20
    assert seen[-1] == 20
    assert max(b - a for a, b in itertools.pairwise([0, *seen])) <= 3
    assert audit.listed(database)[0].count == 20


def test_a_message_that_changes_between_look_and_lock_is_left_alone(database: Database) -> None:
    first = failed(database, last_code=-103)[0]
    second = failed(database, last_code=-103)[0]
    change(database, [first], state=State.QUEUED, due_at=LONG_AGO)
    change(database, [second], last_code=-105)
    record = audit.begin(database, Act.RETRY, "ana")
    changed, passed_over = database.transact(
        lambda connection: filtered_changes._change(
            connection,
            ids=[first, second, 987_654],
            act=Act.RETRY,
            wanted=Filter(codes=[-103]),
            actor="ana",
            record=record,
        )
    )
    assert (changed, dict(passed_over)) == ([], {"changed meanwhile": 3})


# --- The command line


@pytest.fixture
def many(database: Database) -> Database:
    """Three failed messages of one reference, one of another, and two that wait."""
    failed(database, 3, reference="spring", last_code=-103)
    failed(database, reference="other", last_code=-105)
    insert(database, 2, reference="spring")
    return database


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_dry_run_counts_and_changes_nothing(many: Database) -> None:
    before = states(many)
    ended = call("retry", "--reference", "spring", "--dry-run", env=env_of(many))
    assert (ended.code, ended.out) == (0, "3 failed messages would be queued\n")
    ended = call("cancel", "--state", "queued", "--dry-run", env=env_of(many))
    assert (ended.code, ended.out) == (0, "2 queued messages would be cancelled\n")
    assert states(many) == before
    assert audit.listed(many) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_a_terminal_only_yes_lets_it_act(many: Database) -> None:
    before = states(many)
    ended = call("retry", "--code", "-103", "--code", "-105", env=env_of(many))
    assert ended.code == 2
    assert ended.err == "smsclick: retry 4 failed messages: there is no terminal to ask on; add --yes to do it\n"
    assert states(many) == before
    ended = call("retry", "--code", "-103", "--code", "-105", "--yes", env=env_of(many))
    assert (ended.code, ended.out) == (0, "4 queued\n")
    assert call("cancel", "--since", "2020-01-01", "--yes", env=env_of(many)).out == "6 cancelled\n"
    assert call("retry", "--state", "failed", "--yes", env=env_of(many)).out == "no failed message matches\n"
    assert [each.count for each in audit.listed(many)] == [6, 4]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 0), (b"n\n", 1, 3), (b"\n", 1, 3)])
def test_on_a_terminal_it_asks(many: Database, answer: bytes, code: int, left: int) -> None:
    person, terminal = pty.openpty()
    os.write(person, answer)
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("smsclick")), "retry", "--reference", "spring"],
        env={"PATH": os.environ["PATH"], "TERM": "xterm"} | env_of(many),
        cwd=ROOT,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        timeout=120,
        check=False,
    )
    os.close(terminal)
    seen = os.read(person, 10_000).decode()
    os.close(person)
    assert ended.returncode == code, seen
    assert "retry 3 failed messages? [y/N]" in seen
    assert states(many).count("failed") == left + 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("retry",), "give ids, or a filter"),
        (("cancel", "--dry-run"), "give ids, or a filter"),
        (("retry", "1", "--code", "-103"), "either ids or a filter"),
        (("cancel", "1", "--dry-run"), "--dry-run is for a filter"),
        (("retry", "--state", "unknown", "--yes"), "could have been accepted"),
        (("cancel", "--state", "sending", "--yes"), "only queued messages can be"),
        (("retry", "--code", "-103", "--even-if-unknown", "--yes"), "named one by one"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(many: Database, words: tuple[str, ...], said: str) -> None:
    before = states(many)
    ended = call(*words, env=env_of(many))
    assert ended.code == 2
    assert said in " ".join(ended.err.replace("│", " ").split())
    assert states(many) == before


def test_an_act_in_steps_changes_each_message_once_and_can_repeat_a_step(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filtered_changes, "IDS_PER_LOOK", 7)
    monkeypatch.setattr(filtered_changes, "MESSAGES_PER_TRANSACTION", 2)
    for _ in range(5):
        failed(database, 3, reference="spring")
        insert(database, 2, state=State.SENT)
    wanted = Filter(references=["spring"])
    position = filtered_changes.begin(database, Act.RETRY, wanted, actor="ana")
    late = failed(database, reference="spring")[0]  # after the act began
    steps = [position]
    while not position.is_over:
        before = position
        position = filtered_changes.proceed(database, Act.RETRY, wanted, position, actor="ana", seconds=0)
        assert 0 <= position.changed - before.changed <= 2
        assert position.after > before.after
        steps.append(position)
    assert (position.changed, position.passed_over) == (15, 0)
    repeated = filtered_changes.proceed(database, Act.RETRY, wanted, steps[1], actor="ana", seconds=60)
    assert repeated.changed == steps[1].changed
    assert states(database).count("failed") == 1
    assert row(database, late).state == "failed"
    (record,) = audit.listed(database)
    assert (record.count, record.actor) == (15, "ana")


def test_a_count_that_takes_too_long_says_that_it_is_not_complete(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(database, 3)
    assert filtered_changes.count(database, Act.RETRY, Filter(), seconds=-1) == Count(3, 0)
    monkeypatch.setattr(filtered_changes, "MOST_BY_INDEX", 2)
    assert filtered_changes.count(database, Act.RETRY, Filter(), seconds=60) == Count(3, 0)
    assert filtered_changes.count(database, Act.RETRY, Filter(), seconds=-1) == Count(0, 0, complete=False)


def test_an_empty_table_is_done_at_once(database: Database) -> None:
    assert filtered_changes.begin(database, Act.CANCEL, Filter(), actor="ana").is_over
