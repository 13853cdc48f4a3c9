"""Attempts of unknown outcome, for a person: why each is open, and a person's word on what became of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smsclick.contract import IfAbsent, State
from smsclick.simulator import Fault, FaultKind
from tests.commandline import call
from tests.integration.workbench import Bench, bench
from worker.operator.commands.parts.current_user import current_user
from worker.reconciliation.absence_proof import LEAST_CONTROL_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.commandline import Ended


@pytest.fixture
def made(migrated_sqlite_url: str) -> Iterator[Bench]:
    with bench(migrated_sqlite_url) as running:
        yield running


def lost(made: Bench, *, accepted: bool = False, **values: object) -> int:
    """A message whose worker was killed."""
    [message_id] = made.enqueue(**values)
    [claim] = made.claim([message_id])
    if accepted:
        made.call(claim)
    made.lose()
    return message_id


def run(made: Bench, *words: str) -> Ended:
    url = made.database.engine.url.render_as_string(hide_password=False)
    return call(*words, env={"DATABASE_URL": url, "CELERY_BROKER_URL": ""})


def test_unknown_says_of_each_why_it_is_open_and_what_to_do(made: Bench) -> None:
    message_id = lost(made)
    made.age()
    made.reconcile()
    [listed] = run(made, "unknown", "--json").records
    assert (listed["id"], listed["open_reason"]) == (message_id, "no_control_rows")
    assert listed["why"].startswith("no control rows")
    assert "smsclick settle" in listed["todo"]
    printed = run(made, "unknown").out
    assert "no_control_rows" in printed
    assert "smsclick settle" in printed
    assert "no control rows" in run(made, "show", str(message_id), "--json").records[0]["next"]


def test_a_persons_word_that_it_was_accepted_makes_it_sent_and_followed(made: Bench) -> None:
    message_id = lost(made, accepted=True)
    [entry] = made.ledger()
    ended = run(made, "settle", str(message_id), "--accepted", str(entry.id_mensaje))
    assert (ended.code, ended.out) == (0, f"{message_id} accepted as {entry.id_mensaje}\n")
    row, last = made.row(message_id), made.history(message_id)[-1]
    assert (row.state, row.id_mensaje, row.id_source) == (State.SENT, entry.id_mensaje, "person")
    assert (last.cause, last.id_mensaje) == ("operator", entry.id_mensaje)
    assert (last.actor, last.description) == (current_user(), "accepted")
    made.live(rounds=1)
    assert made.states() == [State.DELIVERED]


def test_a_persons_word_that_it_was_not_accepted_sends_it_again(made: Bench) -> None:
    message_id = lost(made)
    assert run(made, "settle", str(message_id), "--not-accepted").out == f"{message_id} not accepted\n"
    assert made.row(message_id).state == State.QUEUED
    last = made.history(message_id)[-1]
    assert (last.actor, last.description) == (current_user(), "not accepted")
    made.send([message_id])
    assert (made.row(message_id).state, len(made.ledger())) == (State.SENT, 1)


def test_a_persons_word_that_it_was_not_accepted_fails_what_is_to_fail_then(made: Bench) -> None:
    message_id = lost(made, if_absent=IfAbsent.FAIL)
    run(made, "settle", str(message_id), "--not-accepted")
    assert made.row(message_id).state == State.FAILED


def test_an_id_that_another_message_has_is_refused_in_one_line(made: Bench) -> None:
    made.send(made.enqueue())
    [accepted] = made.ledger()
    owner = made.rows()[0].id
    message_id = lost(made)
    complaint = run(made, "settle", str(message_id), "--accepted", str(accepted.id_mensaje)).complaint
    assert complaint.endswith(
        f"id_mensaje {accepted.id_mensaje} belongs to message {owner} already: see smsclick show id:{owner}"
    )
    assert made.row(message_id).state == State.UNKNOWN


@pytest.mark.parametrize("state", [State.QUEUED, State.SENT, State.FAILED])
def test_only_an_unknown_message_can_be_decided_by_hand(state: State, made: Bench) -> None:
    [message_id] = made.enqueue(state=state, attempts=1)
    assert "for attempts of unknown outcome only" in run(made, "settle", str(message_id), "--not-accepted").complaint
    assert made.row(message_id).state == state


@pytest.mark.parametrize("words", [(), ("--accepted", "5", "--not-accepted"), ("--accepted", "0"), ("--accepted", "x")])
def test_an_unknown_attempt_is_decided_with_exactly_one_option(words: tuple[str, ...], made: Bench) -> None:
    message_id = lost(made)
    assert run(made, "settle", str(message_id), *words).code == 2
    assert made.row(message_id).state == State.UNKNOWN


def test_who_overrules_an_unknown_stands_in_its_history(made: Bench) -> None:
    message_id = lost(made)
    run(made, "retry", "--even-if-unknown", str(message_id))
    last = made.history(message_id)[-1]
    assert (last.actor, last.description) == (current_user(), "sent again although unknown")


def test_a_wrong_word_of_a_person_keeps_no_other_attempt_open(made: Bench) -> None:
    made.witness(LEAST_CONTROL_ROWS)
    said = lost(made)
    other = lost(made)
    run(made, "settle", str(said), "--accepted", "4711")  # the provider knows no such message
    made.ripen()
    made.reconcile()
    assert made.row(other).state == State.QUEUED


def test_the_alert_about_old_unknowns_says_why_and_what_to_do(made: Bench) -> None:
    message_id = lost(made)
    made.age()
    made.reconcile()
    made.age()
    made.simulator.faults([Fault(kind=FaultKind.HTTP_500_BEFORE, endpoints=("report",))])
    made.reconcile()
    assert made.alert_events() == [("old_unknown", "opened")]
    assert f"1 attempt (message {message_id}): the provider's report fails or cannot be read" in made.details()[0]
    made.simulator.faults()
    made.reconcile()
    assert "no control rows" in made.details()[0]
