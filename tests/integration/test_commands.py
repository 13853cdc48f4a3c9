"""The operator's commands over real databases, and the real program where a process is what matters."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
import redis
import requests

from smsclick._database.engine import Database
from smsclick.contract import HoldReason, State
from smsclick.errors import MessageNotFound, NotAllowed
from smsclick.simulator import Simulator
from tests.commandline import call, run
from tests.factories import KEY, PHONE, change_account, clock, history, insert, row, states
from tests.processes import PATIENT_WAKEUPS
from tests.servers import free_port
from worker.alerting import incidents
from worker.alerting.details import Detail
from worker.operator import message_changes, message_history
from worker.operator.doctor.check import Check, Verdict, guarded
from worker.operator.exporting import FIELDS
from worker.sql import heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartProcess

FIELDS_OUT = (
    "id,key,phone,text,state,id_mensaje,estatus_mensaje,attempts,credits_used,last_code,last_error,"
    "created_at,sent_at,final_at,reply,replied_at,reference"
)
"""As the contract has them."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """One on each kind of database."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def file(migrated_sqlite_url: str) -> Iterator[Database]:
    """The quick one, for what does not depend on the kind of database."""
    opened = Database(migrated_sqlite_url)
    yield opened
    opened.dispose()


def env_of(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.engine.url.render_as_string(hide_password=False)}


# --- show


def test_a_message_is_found_by_its_id_or_its_key(database: Database) -> None:
    (first,) = insert(database, key="order-7:shipped")
    for word in (str(first), "order-7:shipped", f"id:{first}", "key:order-7:shipped"):
        assert message_history.read(database, word).message["id"] == first


def test_what_is_neither_is_not_found(database: Database) -> None:
    for word in ("0", "99999", "9" * 30, "none", "", "id:", "\udcff", "x" * 300):
        with pytest.raises(MessageNotFound):
            message_history.read(database, word)


def test_a_number_that_is_an_id_and_anothers_key_must_be_said_more_clearly(database: Database) -> None:
    (first,) = insert(database)
    (second,) = insert(database, key=str(first))
    with pytest.raises(NotAllowed, match=f"write id:{first} or key:{first}"):
        message_history.read(database, str(first))
    assert message_history.read(database, f"id:{first}").message["id"] == first
    assert message_history.read(database, f"key:{first}").message["id"] == second


def test_show_prints_the_history_and_what_happens_next(file: Database) -> None:
    (message_id,) = insert(file, phone=PHONE, text="Tu pedido [bold]va[/bold] en camino", last_code=-104)
    list(message_changes.cancel(file, [str(message_id)], actor="ana"))
    ended = call("show", str(message_id), env=env_of(file))
    assert ended.code == 0
    for part in (PHONE, "[bold]va[/bold]", "cancelled", "operator", "this is final, and nothing more happens"):
        assert part in ended.out
    (record,) = call("show", str(message_id), "--json", env=env_of(file)).records
    assert (record["message"]["state"], record["message"]["priority"]) == ("cancelled", "normal")
    assert [(each["from_state"], each["to_state"]) for each in record["events"]] == [("queued", "cancelled")]


@pytest.mark.parametrize(
    ("values", "held", "expected"),
    [
        ({}, {}, "No worker makes progress"),
        ({"due_at": 7200}, {}, r"next try, in (2 h|1 h 5\d min)"),
        ({"send_at": 7200, "due_at": 7200}, {}, r"is sent in (2 h|1 h 5\d min)"),
        ({}, {"hold_reason": HoldReason.NO_BALANCE}, r"sending is held: no balance"),
        ({"state": State.SENDING, "due_at": 60, "lease_until": 60}, {}, "in flight"),
        ({"state": State.UNKNOWN}, {}, "The provider's report is read for it"),
        ({"state": State.UNKNOWN, "due_at": None}, {}, "only a person"),
        ({"state": State.SENT, "due_at": 7200}, {}, r"next status check in (2 h|1 h 5\d min)"),
        ({"state": State.SENT}, {}, "next status check now"),
        ({"state": State.DELIVERED, "due_at": 15}, {}, "For a reply"),
        ({"state": State.DELIVERED, "due_at": None}, {}, "final"),
        ({"state": State.FAILED, "due_at": None}, {}, "smsclick retry"),
        ({"state": State.UNDETERMINED, "due_at": None}, {}, "nothing more"),
    ],
)
def test_next_is_said_in_words(
    file: Database, values: dict[str, object], held: dict[str, object], expected: str
) -> None:
    now = clock(file)
    given = {name: now + dt.timedelta(seconds=v) if isinstance(v, int) else v for name, v in values.items()}
    (message_id,) = insert(file, 1, **given)
    if held:
        change_account(file, **held, hold_since=now)
    assert re.search(expected, message_history.read(file, str(message_id)).next)


def test_a_held_message_shows_the_incident_that_holds_it(file: Database) -> None:
    (message_id,) = insert(file)
    change_account(file, hold_reason=HoldReason.NO_BALANCE)
    with file.begin() as connection:
        incidents.report(connection, HoldReason.NO_BALANCE, detail=Detail("-104 Saldo insuficiente"))
    (incident,) = message_history.read(file, str(message_id)).incidents
    assert incident.detail == "-104 Saldo insuficiente"


# --- cancel, retry


def test_cancel_withdraws_what_is_queued_and_names_what_is_not(database: Database) -> None:
    queued, sent = insert(database, key="a") + insert(database, state=State.SENT, id_mensaje=5)
    ended = call("cancel", "a", str(sent), "none", env=env_of(database))
    assert ended.code == 1
    assert ended.out == f"{queued} cancelled\n"
    why = "the provider has accepted it; only queued messages can be cancelled"
    assert ended.err.splitlines() == [
        f"smsclick: message {sent} cannot be cancelled: {why}",
        "smsclick: no message has the id or key 'none'",
    ]
    assert states(database) == ["cancelled", "sent"]
    assert [(e.from_state, e.to_state, e.cause) for e in history(database, queued)] == [
        ("queued", "cancelled", "operator")
    ]
    assert row(database, queued).due_at is None
    assert row(database, queued).final_at is not None


@pytest.mark.parametrize("state", [state for state in State if state is not State.QUEUED])
def test_only_queued_messages_can_be_cancelled(file: Database, state: State) -> None:
    (message_id,) = insert(file, state=state)
    (done,) = message_changes.cancel(file, [str(message_id)], actor="ana")
    assert done.problem is not None
    assert states(file) == [state]


def test_retry_queues_what_has_failed(database: Database) -> None:
    (failed,) = insert(database, state=State.FAILED, due_at=None, final_at=clock(database), refusals=8, last_code=-105)
    assert call("retry", str(failed), env=env_of(database)).out == f"{failed} queued\n"
    again = row(database, failed)
    assert (again.state, again.refusals, again.final_at) == ("queued", 0, None)
    assert again.due_at <= clock(database)


@pytest.mark.parametrize("state", [state for state in State if state is not State.FAILED])
def test_nothing_but_failed_messages_is_retried(file: Database, state: State) -> None:
    (message_id,) = insert(file, state=state)
    (done,) = message_changes.retry(file, [str(message_id)], actor="ana")
    assert done.problem is not None
    if state is State.UNKNOWN:
        assert "the provider may have accepted it, and only its report or your word decides" in str(done.problem)
    assert states(file) == [state]


def test_an_erased_or_expired_message_cannot_be_retried(file: Database) -> None:
    now = clock(file)
    erased, late = insert(file, state=State.FAILED, erased_at=now) + insert(file, state=State.FAILED, expires_at=now)
    problems = [str(done.problem) for done in message_changes.retry(file, [str(erased), str(late)], actor="ana")]
    assert "were erased" in problems[0]
    assert "its validity ended" in problems[1]
    assert states(file) == ["failed", "failed"]


def test_more_ids_than_one_transaction_takes_are_all_done(file: Database) -> None:
    ids = insert(file, 450)
    assert [done.id for done in message_changes.cancel(file, [str(each) for each in ids], actor="ana")] == ids
    assert set(states(file)) == {"cancelled"}


# --- hold, resume, stats


def test_hold_and_resume(database: Database) -> None:
    env = env_of(database)
    assert call("hold", env=env).out.startswith("held: nothing is sent")
    assert call("hold", env=env).out == "held already\n"
    (record,) = call("stats", "--json", env=env).records
    assert (record["hold"]["reason"], record["hold"]["by_operator"]) == ("operator", True)
    assert call("resume", env=env).out == "resumed\n"
    assert call("stats", "--json", env=env).records[0]["hold"] is None


def test_resume_says_what_still_holds(file: Database) -> None:
    change_account(file, hold_reason=HoldReason.KEY_REFUSED, hold_since=clock(file))
    assert "still held: the APIKEY is refused" in call("resume", env=env_of(file)).out


def test_stats_count_every_state_and_the_age_of_the_oldest_due(database: Database) -> None:
    now = clock(database)
    insert(database, 3, due_at=now - dt.timedelta(hours=2, minutes=30), priority=2)
    insert(database, 1, due_at=now + dt.timedelta(hours=1))
    insert(database, 2, state=State.SENT)
    change_account(database, balance=1234, balance_at=now)
    heartbeat.take(database, "sweep", 5)
    with database.begin() as connection:
        incidents.report(connection, "low_balance", detail=Detail("1234 credits"))
    (record,) = call("stats", "--json", env=env_of(database)).records
    assert record["states"] == dict.fromkeys(State, 0) | {"queued": 4, "sent": 2}
    assert 9000 <= record["oldest_due_seconds"] < 9600
    assert record["balance"] == 1234
    assert [each["kind"] for each in record["incidents"]] == ["low_balance"]
    assert [each["name"] for each in record["heartbeats"]] == ["sweep"]
    table = call("stats", env=env_of(database)).out
    for part in ("queued", "2 h 3", "1234 credits", "sweep", "The balance is low"):
        assert part in table


# --- export


def test_an_export_has_exactly_the_contracts_fields(database: Database) -> None:
    assert ",".join(FIELDS) == FIELDS_OUT
    sent_at = dt.datetime(2026, 5, 4, 12, 0, 0, 250000, tzinfo=dt.UTC)
    insert(
        database,
        state=State.DELIVERED,
        text='Señal "ñ", dos\nlíneas',
        id_mensaje=9_000_000_000_000,
        estatus_mensaje=3,
        sent_at=sent_at,
        final_at=sent_at,
        reply="SÍ",
        replied_at=sent_at,
        reference="factura 1",
    )
    env = env_of(database)
    (record,) = call("export", env=env).records
    assert ",".join(record) == FIELDS_OUT
    assert (record["id_mensaje"], record["estatus_mensaje"], record["state"]) == (9_000_000_000_000, 3, "delivered")
    assert (record["text"], record["reply"]) == ('Señal "ñ", dos\nlíneas', "SÍ")
    assert record["sent_at"] == record["replied_at"] == "2026-05-04T12:00:00.250000Z"
    assert dt.datetime.fromisoformat(record["created_at"]).utcoffset() == dt.timedelta(0)
    as_csv = call("export", "--format", "csv", env=env).out
    assert as_csv.partition("\n")[0] == FIELDS_OUT
    (line,) = csv.DictReader(io.StringIO(as_csv, newline=""))
    assert line == {name: "" if value is None else str(value) for name, value in record.items()}


def test_an_export_goes_over_many_batches_and_filters(file: Database) -> None:
    now = clock(file)
    insert(file, 1500, created_at=now - dt.timedelta(days=2))
    insert(file, 1000, state=State.REJECTED, created_at=now)
    env = env_of(file)
    ids = [record["id"] for record in call("export", env=env).records]
    assert ids == sorted(ids)
    assert len(ids) == 2500
    assert len(call("export", "--state", "rejected", env=env).records) == 1000
    since = (now - dt.timedelta(days=1)).isoformat()
    assert {record["state"] for record in call("export", "--since", since, env=env).records} == {"rejected"}
    assert call("export", "--since", now.isoformat(), "--state", "queued", env=env).out == ""


def test_export_reads_times_as_report_does(file: Database) -> None:
    created_at = dt.datetime(2026, 5, 4, 23, 0, tzinfo=ZoneInfo("America/Mexico_City"))
    for days in range(3):
        insert(file, created_at=created_at + dt.timedelta(days=days), state=State.FAILED)
    env = env_of(file)

    def exported(*words: str) -> int:
        return len(call("export", *words, env=env).records)

    assert exported("--since", "2026-05-05") == 2
    assert exported("--until", "2026-05-05") == 2
    assert exported("--since", "05-05-2026 00:00:00", "--until", "05-05-2026") == 1
    assert exported("--since", "2026-05-06T04:59:59Z", "--until", "2026-05-06T05:00:00Z") == 1
    assert exported("--state", "failed", "--state", "queued") == 3
    assert exported("--state", "delivered", "--state", "queued") == 0
    assert call("export", "--since", "ayer", env=env).complaint.startswith("smsclick: --since: ")
    assert call("export", "--until", "mañana", env=env).complaint.startswith("smsclick: --until: ")
    assert "add --format csv" in call("export", "--excel", env=env).complaint


FORMULAS = ["=1+1", "+52 llámame", "-1", "@SUM(A1)", "\t=1", " =cmd|' /C calc'!A0", "＝1+1", "\u200b=1"]  # noqa: RUF001


@pytest.mark.parametrize("text", FORMULAS)
def test_nobodys_text_is_a_formula_for_who_opens_the_file(file: Database, text: str) -> None:
    insert(file, text=text, reply=text, reference=text, last_error=text, last_code=-104, state=State.FAILED)
    env = env_of(file)
    (safe,) = csv.DictReader(io.StringIO(call("export", "--format", "csv", env=env).out, newline=""))
    assert {safe[name] for name in ("text", "reply", "reference", "last_error")} == {f"'{text}"}
    assert safe["last_code"] == "-104"
    raw = call("export", "--format", "csv", "--keep-formulas", env=env).out
    (kept,) = csv.DictReader(io.StringIO(raw, newline=""))
    assert kept["text"] == text
    assert call("export", env=env).records[0]["text"] == text


def test_a_spreadsheet_opens_the_export_with_its_accents_and_local_times(file: Database) -> None:
    insert(file, text="Señal", sent_at=dt.datetime(2026, 5, 4, 18, 30, tzinfo=dt.UTC), state=State.SENT, id_mensaje=5)
    out = call("export", "--format", "csv", "--excel", env=env_of(file)).out
    assert out.startswith("\ufeffid,key,")
    assert out.count("\r\n") == 2
    (line,) = csv.DictReader(io.StringIO(out.removeprefix("\ufeff"), newline=""))
    assert (line["text"], line["sent_at"]) == ("Señal", "2026-05-04 12:30:00")


def test_what_was_exported_is_known_when_it_is_imported(file: Database) -> None:
    insert(file, 3)
    records = call("export", env=env_of(file)).records
    lines = "".join(json.dumps({name: r[name] for name in ("key", "phone", "text")}) + "\n" for r in records)
    ended = call("import", "-", "--json", env=env_of(file), stdin=lines.encode())
    assert ended.records == [{"stored": 0, "known": 3, "refused": 0, "without_key": 0}]


# --- doctor


def verdicts(env: dict[str, str]) -> dict[str, str]:
    return {check["name"]: check["verdict"] for check in call("doctor", "--json", env=env).records}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(api_key=KEY, balance=7) as running:
        yield running


def test_doctor_is_content_with_a_healthy_deployment(database: Database, simulator: Simulator, redis_url: str) -> None:
    heartbeat.take(database, "sweep", 5)
    heartbeat.take(database, "beat", 5)
    env = {
        **env_of(database),
        "SMSCLICK_API_KEY": KEY,
        "SMSCLICK_BASE_URL": simulator.base_url,
        "CELERY_BROKER_URL": redis_url,
        "SMSCLICK_SWEEP_SECONDS": "600",  # the sweep of just now is none of long ago, however slow this is
    }
    ended = call("doctor", env=env)
    assert (ended.code, ended.err) == (0, "")
    assert "7 credits" in ended.out
    assert KEY not in ended.out
    # The servers of tests do not wait for the disk, no worker runs here, and other tests share this Redis
    # (tests/integration/test_doctor_broker.py).
    others = {"durability", "report", "queues", "workers", "elsewhere"}
    assert {verdict for name, verdict in verdicts(env).items() if name not in others} == {"ok"}


def test_doctor_names_everything_that_is_wrong(file: Database, simulator: Simulator) -> None:
    heartbeat.take(file, "sweep", 5)
    heartbeat.take(file, "beat", 5)
    with file.begin() as connection:
        incidents.report(connection, HoldReason.NO_BALANCE)
    change_account(file, hold_reason=HoldReason.NO_BALANCE)
    simulator.set(balance=0)
    env = {
        **env_of(file),
        "SMSCLICK_API_KEY": KEY,
        "SMSCLICK_BASE_URL": simulator.base_url,
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0",
    }
    ended = call("doctor", env=env)
    assert ended.code == 1
    assert ended.err == "smsclick: not healthy: broker, balance\n"
    found = verdicts(env)
    assert {name for name, verdict in found.items() if verdict == "warning"} == {"hold", "incidents"}


@pytest.mark.parametrize(
    ("stopped", "found"),
    [
        ("sweep", "the last sweep was 1 min ago"),
        ("beat", "the last sweep was 0 s ago, by a worker itself; beat's last tick was 1 min ago"),
    ],
)
def test_doctor_sees_a_beat_that_has_stopped(file: Database, stopped: str, found: str) -> None:
    long_ago = dt.timedelta(seconds=60)
    heartbeat.take(file, "beat", 5)
    heartbeat.take(file, "sweep", 5)
    with file.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE smsclick_heartbeats SET at = ? WHERE name = ?",
            ((clock(file) - long_ago).strftime("%Y-%m-%d %H:%M:%S.%f"), stopped),
        )
    beat = next(check for check in call("doctor", "--json", env=env_of(file)).records if check["name"] == "beat")
    assert beat["verdict"] == "failed"
    assert re.sub(r"\b\d s ago", "0 s ago", beat["found"]) == found


def test_doctor_goes_on_after_each_failure(sqlite_url: str) -> None:
    Path(sqlite_url.removeprefix("sqlite:///")).touch()
    env = {"DATABASE_URL": sqlite_url, "SMSCLICK_API_KEY": KEY, "SMSCLICK_BASE_URL": "http://127.0.0.1:1/sms-services"}
    found = verdicts(env)
    assert (found["database"], found["migrations"], found["beat"]) == ("ok", "failed", "skipped")
    assert (found["clock"], found["key"], found["balance"]) == ("ok", "failed", "skipped")
    gone = verdicts(env | {"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x"})
    assert (gone["database"], gone["migrations"], gone["broker"], gone["key"]) == ("failed", "skipped", "ok", "failed")


def test_doctor_knows_tables_that_are_newer_than_the_program(file: Database) -> None:
    with file.begin() as connection:
        connection.exec_driver_sql("UPDATE smsclick_alembic_version SET version_num = '9999'")
    found = {check["name"]: check for check in call("doctor", "--json", env=env_of(file)).records}
    assert found["migrations"]["found"].startswith("the tables are at 9999, newer than this program")
    assert found["hold"]["verdict"] == "skipped"


def test_doctor_with_a_wrong_setting_says_which(file: Database) -> None:
    ended = call("doctor", env={**env_of(file), "SMSCLICK_LEASE_SECONDS": "3"})
    assert ended.code == 1
    assert "SMSCLICK_LEASE_SECONDS" in ended.out
    assert ended.err == "smsclick: not healthy: configuration\n"


def test_doctor_distinguishes_a_refused_key_from_an_empty_account(file: Database, simulator: Simulator) -> None:
    env = {**env_of(file), "SMSCLICK_API_KEY": "another-key", "SMSCLICK_BASE_URL": simulator.base_url}
    ended = call("doctor", env=env)
    assert "refused with -101" in ended.out
    assert "another-key" not in ended.out


def test_a_check_that_raises_keeps_no_other_from_being_made() -> None:
    def explode() -> Check:
        raise RuntimeError("with a secret in it")

    check = guarded("odd", explode)
    assert (check.verdict, check.found) == (Verdict.FAILED, "it could not be checked (RuntimeError)")


# --- the real program

PATIENT = f"{PATIENT_WAKEUPS}\nfrom smsclick._cli.main import main\nraise SystemExit(main())"
"""As `smsclick`, whose end lasts as long as the machine needs."""


def test_a_short_program_still_sends_the_wake_up(file: Database, redis_url: str, start_process: StartProcess) -> None:
    env = {**env_of(file), "CELERY_BROKER_URL": redis_url}
    assert start_process(["python", "-c", PATIENT, "enqueue", PHONE, "Hola"], env).wait() == 0
    client = redis.Redis.from_url(redis_url)
    (wake,) = client.lrange("smsclick.send", 0, -1)
    client.close()
    assert PHONE.encode() not in wake


def test_a_broker_that_is_not_there_costs_a_line_and_never_the_message(
    file: Database, start_process: StartProcess
) -> None:
    env = {**env_of(file), "CELERY_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"}
    process = start_process(["python", "-c", PATIENT, "enqueue", PHONE, "Hola"], env)
    assert process.wait() == 0
    assert "1" in process.output.splitlines()
    (line,) = (line for line in process.output.splitlines() if line != "1")
    assert "the sweep will find the messages" in line
    assert states(file) == ["queued"]


def test_simulate_says_in_one_line_how_to_use_it_and_stops_at_sigterm(start_process: StartProcess) -> None:
    process = start_process(["smsclick", "simulate", "--port", "0", "--balance", "5", "--set", "reply_text=NO"])
    line = process.wait_for_line(r"SMSCLICK_BASE_URL=(\S+) SMSCLICK_API_KEY=(\S+)$")
    url, key = line.groups()
    answer = requests.post(f"{url}/credits.json", data={"APIKEY": key}, timeout=60)
    assert answer.json()["creditos"] == 5
    env = {"SMSCLICK_BASE_URL": url, "SMSCLICK_API_KEY": key}
    assert call("balance", env=env).out == '{"credits": 5}\n'
    process.sigterm()
    assert process.wait() == 0
    assert len(process.output.splitlines()) == 1


def test_simulate_shows_no_key_that_it_was_given(start_process: StartProcess) -> None:
    process = start_process(["smsclick", "simulate", "--port", "0", "--key", KEY])
    process.wait_for_line("SMSCLICK_BASE_URL=")
    assert KEY not in process.output


def test_simulate_with_a_wrong_setting_or_a_port_in_use_is_one_line(simulator: Simulator) -> None:
    assert "unknown setting 'colour'" in call("simulate", "--set", "colour=red").complaint
    assert "balance" in call("simulate", "--set", "balance=much").complaint
    assert "faults refused: 0.kind" in call("simulate", "--faults", '[{"kind": "nada"}]').complaint
    port = simulator.base_url.split(":")[2].partition("/")[0]
    assert port in run("simulate", "--port", port).complaint


def test_the_key_a_phone_and_a_text_are_in_no_complaint_at_debug_level(file: Database, simulator: Simulator) -> None:
    # Not the phone that our error messages give as an example.
    phone, text = "5526632636", "Texto que nadie debe ver"
    env = {**env_of(file), "SMSCLICK_API_KEY": KEY, "SMSCLICK_BASE_URL": simulator.base_url}
    run("enqueue", phone, text, "--key", "k", env=env)
    for words in (
        ("enqueue", phone, text + ".", "--key", "k"),
        ("enqueue", phone + "x", text),
        ("status", "1"),
        ("balance",),
        ("doctor",),
        ("stats",),
    ):
        ended = run("--debug", *words, env=env)
        for secret in (KEY, phone, text):
            assert secret not in ended.err
            assert secret not in ended.out
