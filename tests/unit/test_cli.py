"""The `smsclick` program: what it prints, its exit codes, and one clear line for what cannot be done."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

import smsclick
from smsclick._cli.main import OPERATORS, PROVIDERS, WEB
from smsclick._database.engine import Database
from smsclick.contract import accounts, messages
from tests.commandline import call, run
from tests.processes import ROOT, wait_until
from worker.operator.commands import registry

if TYPE_CHECKING:
    from tests.conftest import StartProcess

PHONE = "5551402211"


@pytest.fixture
def env(migrated_sqlite_url: str) -> dict[str, str]:
    return {"DATABASE_URL": migrated_sqlite_url}


def count(env: dict[str, str]) -> int:
    database = Database(env["DATABASE_URL"])
    with database.read() as connection:
        found = connection.execute(sa.select(sa.func.count()).select_from(messages)).scalar_one()
    database.dispose()
    return found


def test_enqueue_prints_the_id_alone(env: dict[str, str]) -> None:
    ended = call("enqueue", "+52 1 55 5140 2211", "Hola, señora", "--key", "k", env=env)
    assert (ended.code, ended.out, ended.err) == (0, "1\n", "")


def test_enqueue_with_a_known_key_prints_the_older_id(env: dict[str, str]) -> None:
    first = call("enqueue", PHONE, "Hola", "--key", "k", env=env)
    second = call("enqueue", PHONE, "Hola", "--key", "k", env=env)
    assert (second.code, second.out) == (0, first.out)
    assert count(env) == 1


def test_enqueue_takes_every_option_of_the_contract(env: dict[str, str]) -> None:
    options = (
        *("--key", "k", "--send-at", "2999-01-01T10:00:00-06:00", "--expires-at", "2999-01-02T10:00:00Z"),
        *("--priority", "high", "--rule", "7", "--if-absent", "fail"),
        *("--reference", "factura 1", "--callback", "https://example.com/x"),
    )
    assert call("enqueue", PHONE, "Hola", *options, env=env).code == 0
    database = Database(env["DATABASE_URL"])
    with database.read() as connection:
        row = connection.execute(sa.select(messages)).one()
    database.dispose()
    assert (row.key, row.priority, row.rule_id, row.if_absent) == ("k", 0, "7", "fail")
    assert (row.reference, row.callback) == ("factura 1", "https://example.com/x")
    assert (row.send_at.isoformat(), row.expires_at.isoformat()) == (
        "2999-01-01T16:00:00+00:00",
        "2999-01-02T10:00:00+00:00",
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("123", "Hola"), "is not a Mexican number"),
        ((PHONE, "  "), "the text is empty"),
        ((PHONE, "Hola", "--send-at", "2999-01-01T10:00:00"), "send_at: 2999-01-01T10:00:00 has no time zone"),
        ((PHONE, "Hola", "--send-at", "2001-01-01T10:00:00Z"), "send_at: 2001-01-01T10:00:00+00:00 is in the past"),
        ((PHONE, "Hola", "--send-at", "mañana"), "send_at: not a time"),
        ((PHONE, "Hola", "--expires-at", "2001-01-01T10:00:00Z"), "expires_at: "),
        ((PHONE, "Otra", "--key", "used"), "the key 'used' already belongs to message 1"),
        (("5551402212", "Hola", "--key", "used"), "the key 'used' already belongs to message 1"),
        ((PHONE, "Hola", "--reference", "x" * 201), "reference: has 201 characters"),
    ],
)
def test_a_message_that_cannot_be_is_one_line_and_stores_nothing(
    env: dict[str, str], words: tuple[str, ...], reason: str
) -> None:
    call("enqueue", PHONE, "Hola", "--key", "used", env=env)
    ended = call("enqueue", *words, env=env)
    assert ended.complaint.startswith("smsclick: ")
    assert reason in ended.complaint
    assert count(env) == 1


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nonsense",),
        ("enqueue", PHONE),
        ("enqueue", PHONE, "Hola", "--priority", "urgent"),
        ("enqueue", PHONE, "Hola", "--unknown"),
        ("import",),
        ("status", "abc"),
        ("report", "2026-01-01"),
        ("export", "--state", "lost"),
        ("cancel",),
        ("simulate", "--set", "balance"),
    ],
)
def test_wrong_usage_ends_with_2(words: tuple[str, ...]) -> None:
    ended = call(*words)
    assert ended.code == 2
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/x"}, "does not answer"),
        ({"DATABASE_URL": "oracle://x"}, "DATABASE_URL: "),
        ({"SMSCLICK_LEASE_SECONDS": "10"}, "SMSCLICK_LEASE_SECONDS: must exceed"),
        ({"SMSCLICK_SWEEP_SECONDS": "often"}, "SMSCLICK_SWEEP_SECONDS: "),
    ],
)
@pytest.mark.parametrize("words", [("enqueue", PHONE, "Hola"), ("stats",), ("export",)])
def test_what_the_environment_has_wrong_is_one_line_that_names_it(
    words: tuple[str, ...], variables: dict[str, str], reason: str
) -> None:
    complaint = call(*words, env=variables).complaint
    assert reason in complaint
    assert "s3cret" not in complaint


@pytest.mark.parametrize("words", [("enqueue", PHONE, "Hola"), ("show", "1"), ("stats",), ("cancel", "1"), ("hold",)])
def test_a_database_without_tables_is_one_line_that_says_what_to_run(words: tuple[str, ...], sqlite_url: str) -> None:
    Path(sqlite_url.removeprefix("sqlite:///")).touch()
    complaint = call(*words, env={"DATABASE_URL": sqlite_url}).complaint
    assert complaint.endswith("run: alembic upgrade head")


def test_a_defect_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "smsclick.db"
    file.write_bytes(b"this is no database" * 100)
    ended = call("enqueue", PHONE, "Hola", env={"DATABASE_URL": f"sqlite:///{file}"})
    assert ended.complaint.startswith("smsclick: ")


# --- import


def test_import_reports_bad_lines_by_number_and_ends_with_1(env: dict[str, str]) -> None:
    content = b"phone,text,key\n5551402211,Hola,a\n123,Hola,b\n5551402211,Ma\xc3\xb1ana \x00,c\n5551402212,Adios,d\n"
    ended = call("import", "-", env=env, stdin=content)
    assert ended.code == 1
    assert ended.out == ""
    lines = ended.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["line 3", "line 4", "2 stored, 0 already known, 2 refused"]
    assert count(env) == 2


def test_import_again_stores_nothing_and_ends_with_0(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "mensajes.csv"
    file.write_text("telefono;mensaje;clave\n5551402211;Hola;a\n")
    assert call("import", str(file), env=env).code == 0
    again = call("import", str(file), "--json", env=env)
    assert again.code == 0
    assert again.records == [{"stored": 0, "known": 1, "refused": 0, "without_key": 0}]


def test_import_without_keys_says_that_again_would_send_again(env: dict[str, str]) -> None:
    ended = call("import", "-", env=env, stdin=b'{"phone": "5551402211", "text": "Hola"}\n')
    assert ended.code == 0
    assert ended.err.splitlines()[0].startswith("1 lines came without a key")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"phone,text,prioridad\n5551402211,Hola,high\n", "unknown column 'prioridad'"),
        (b"phone,key\n5551402211,a\n", "the header lacks text"),
        (b"", "the file is empty"),
    ],
)
def test_import_of_a_wrong_file_is_one_line_and_stores_nothing(
    env: dict[str, str], content: bytes, reason: str
) -> None:
    assert reason in call("import", "-", env=env, stdin=content).complaint
    assert count(env) == 0


def test_a_dry_run_stores_nothing_and_says_what_an_import_would_say(env: dict[str, str]) -> None:
    call("enqueue", "5551402211", "Hola", "--key", "old", env=env)
    content = (
        "phone,text,key\n5551402211,Hola,old\n5551402211,Otra,old\n5551402212,Hola,new\n5551402212,Hola,new\n"
        f"5551402212,Otra,new\n123,Hola,bad\n5551402213,{'x' * 151},long\n5551402213,Hola,\n"
    ).encode()
    tried = call("import", "-", "--dry-run", "--json", env=env, stdin=content)
    assert count(env) == 1
    assert tried.records == [
        {
            "would_store": 3,
            "known": 2,
            "refused": 3,
            "without_key": 1,
            "credits_needed": 4,
            "balance": None,
            "balance_at": None,
        }
    ]
    assert "4 credits needed, by length; the balance is not known here" in tried.err.splitlines()[-1]
    done = call("import", "-", "--json", env=env, stdin=content)
    assert done.records == [{"stored": 3, "known": 2, "refused": 3, "without_key": 1}]
    assert [line.partition(":")[0] for line in done.err.splitlines()[:3]] == ["line 3", "line 6", "line 7"]
    assert tried.code == done.code == 1


def test_a_dry_run_compares_with_the_balance_that_was_seen_last(env: dict[str, str]) -> None:
    database = Database(env["DATABASE_URL"])
    with database.begin() as connection:
        connection.execute(sa.update(accounts).values(balance=1, balance_at=dt.datetime(2026, 5, 4, tzinfo=dt.UTC)))
    database.dispose()
    tried = call("import", "-", "--dry-run", env=env, stdin=b"phone,text,key\n5551402211,a,a\n5551402211,b,b\n")
    assert tried.err.splitlines()[-1] == (
        "2 credits needed, by length; the account had 1 at 2026-05-04 00:00:00Z, which is not enough"
    )
    assert tried.code == 0


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_rejected_lines_are_in_a_file_that_can_be_corrected_and_imported(
    env: dict[str, str], tmp_path: Path, form: str
) -> None:
    lines = {
        "csv": 'Teléfono;Mensaje;Clave\n123;"Mañana; sí";a\n5551402211;Hola;b\n5551402212;"rota;c\n',
        "jsonl": '{"telefono": 123, "mensaje": "Mañana; sí", "clave": "a"}\n'
        '{"telefono": 5551402211, "mensaje": "Hola", "clave": "b"}\n{"telefono"\n',
    }
    rejected = tmp_path / f"rejected.{form}"
    ended = call("import", "-", "--rejected", str(rejected), env=env, stdin=lines[form].encode())
    assert ended.code == 1
    assert rejected.stat().st_mode & 0o777 == 0o600
    content = rejected.read_text(encoding="utf-8-sig")
    assert "Mañana; sí" in content
    assert "is not a Mexican number" in content
    assert len(content.splitlines()) == (3 if form == "csv" else 2)
    assert call("import", str(rejected), env=env).code == 1
    rejected.write_text(content.replace(",123,", ",5551402213,").replace('"phone": 123', '"phone": 5551402213'))
    again = call("import", str(rejected), "--json", env=env)
    assert again.records == [{"stored": 1, "known": 0, "refused": 1, "without_key": 0}]


def test_the_file_of_rejected_lines_must_be_another_one(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "mensajes.csv"
    file.write_text("phone,text\n123,Hola\n")
    assert "name another one" in call("import", str(file), "--rejected", str(file), env=env).complaint
    assert file.read_text() == "phone,text\n123,Hola\n"
    refused = call("import", str(file), "--rejected", str(tmp_path / "no" / "such"), env=env)
    assert "cannot be written" in refused.complaint


def test_import_takes_a_zone_and_a_validity_for_lines_that_say_none(env: dict[str, str]) -> None:
    content = b"phone,text,key,send_at\n5551402211,Hola,a,2999-01-01 09:30\n"
    options = ("--timezone", "America/Mexico_City", "--ttl", "60")
    assert call("import", "-", *options, env=env, stdin=content).code == 0
    database = Database(env["DATABASE_URL"])
    with database.read() as connection:
        row = connection.execute(sa.select(messages.c.send_at, messages.c.expires_at)).one()
    database.dispose()
    assert row.send_at == dt.datetime(2999, 1, 1, 15, 30, tzinfo=dt.UTC)
    assert row.expires_at - row.send_at == dt.timedelta(seconds=60)
    wrong = call("import", "-", "--timezone", "Mexico", env=env, stdin=content).complaint
    assert wrong.startswith("smsclick: --timezone: there is no time zone of this name")


def test_an_import_that_is_interrupted_says_how_far_it_came_and_goes_on_from_there(
    env: dict[str, str], tmp_path: Path, start_process: StartProcess
) -> None:
    """It is so long that it is surely still read when it is interrupted."""
    file = tmp_path / "mensajes.csv"
    file.write_text("phone,text,key\n" + "".join(f"5551402211,Hola {n},k{n}\n" for n in range(200_000)))
    process = start_process(["smsclick", "import", str(file)], env)
    wait_until(lambda: count(env) >= 1000, what="the first lines")
    process.sigint()
    assert process.wait() == 130
    stored = count(env)
    said = re.fullmatch(r"interrupted: (\d+) stored, 0 already known, 0 refused; (.*)", process.output.strip())
    assert said is not None, process.output
    assert said[2] == "import the same file again to continue"
    assert int(said[1]) == stored
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[: stored + 101]))
    again = call("import", str(file), "--json", env=env)
    assert again.records == [{"stored": 100, "known": stored, "refused": 0, "without_key": 0}]


def test_import_of_a_file_that_is_not_there_is_one_line(env: dict[str, str], tmp_path: Path) -> None:
    complaint = call("import", str(tmp_path / "none.csv"), env=env).complaint
    assert complaint.endswith("none.csv cannot be read (No such file or directory)")


# --- the program itself


def test_help_lists_every_command_even_with_wrong_settings() -> None:
    ended = call("--help", env={"SMSCLICK_LEASE_SECONDS": "1"})
    assert ended.code == 0
    for name in {"enqueue", "import", "simulate", *OPERATORS, *PROVIDERS}:
        assert f" {name} " in ended.out


@pytest.mark.parametrize("command", sorted(OPERATORS | PROVIDERS | WEB))
def test_each_command_is_found_without_the_others(command: str) -> None:
    ended = call(command, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"smsclick {command} " in ended.out


def test_every_command_of_the_registry_is_one_of_the_programs() -> None:
    assert Counter(name for _, _, names in registry._PARTS for name in names) == Counter(OPERATORS)


def test_a_command_loads_no_module_of_another() -> None:
    code = """
import sys
from smsclick._cli.main import main
assert main(["hold", "--help"]) == 0
folder = "worker.operator.commands."
print(*sorted(name.removeprefix(folder) for name in sys.modules if name.startswith(folder)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["holds", "parts", "parts.current_user", "registry"]


@pytest.fixture
def installed(tmp_path: Path) -> str:
    """A place that holds what the wheel holds, and nothing else of the checkout."""
    packages = tmp_path / "packages"
    ours = Path(smsclick.__file__).parent
    shutil.copytree(ours, packages / "smsclick", ignore=shutil.ignore_patterns("__pycache__"))
    return str(packages)


def test_without_the_worker_an_operators_command_says_where_it_is(installed: str, tmp_path: Path) -> None:
    # A backend with a package of that name, which must not be imported in the place of ours.
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").write_text("raise SystemExit('imported a backend')")
    (tmp_path / "worker" / "commands.py").write_text('"""Commands of a backend."""')
    ended = run("stats", cwd=tmp_path, python=installed)
    assert ended.complaint.startswith("smsclick: stats: an operator's command")
    assert "checkout or the image" in ended.complaint
    assert "Operation" not in run("--help", cwd=tmp_path, python=installed).out


def test_the_worker_of_the_checkout_runs_although_a_backend_has_a_package_of_that_name(
    env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").write_text("raise SystemExit('imported a backend')")
    ended = run("stats", "--json", env=env, cwd=tmp_path, python=str(tmp_path))
    assert (ended.code, ended.err) == (0, "")
    assert ended.records[0]["states"]["queued"] == 0


def test_a_package_without_the_marker_is_not_run_as_the_worker(installed: str, tmp_path: Path) -> None:
    copy = tmp_path / "worker"
    shutil.copytree(ROOT / "worker", copy, ignore=shutil.ignore_patterns("__pycache__", "*.marker"))
    assert "an operator's command" in run("health", cwd=tmp_path, python=installed).complaint
    shutil.copy(ROOT / "worker" / "smsclick.marker", copy)
    assert "no such process" in run("health", "--worker", cwd=tmp_path, python=installed, env=nobody(tmp_path)).err


def nobody(folder: Path) -> dict[str, str]:
    """Settings of a deployment without processes."""
    return {"DATABASE_URL": f"sqlite:///{folder / 'none.db'}"}


def test_the_real_program_works_in_any_folder_of_the_checkout(env: dict[str, str], tmp_path: Path) -> None:
    enqueued = run("enqueue", PHONE, "Mañana a las 10", env=env, cwd=tmp_path)
    assert (enqueued.code, enqueued.out, enqueued.err) == (0, "1\n", "")
    exported = run("export", env={**env, "PYTHONIOENCODING": "latin-1"}, cwd=tmp_path)
    assert exported.records[0]["text"] == "Mañana a las 10"


def test_a_reader_that_leaves_early_is_no_error_to_see(env: dict[str, str]) -> None:
    rows = b"".join(b'{"phone": "5551402211", "text": "Hola"}\n' for _ in range(2000))
    call("import", "-", env=env, stdin=rows)
    program = Path(sys.executable).with_name("smsclick")
    done = subprocess.run(
        ["sh", "-c", f"{program} export | head -n 1"],
        env={**env, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


def test_debug_shows_the_traceback_of_our_own_error() -> None:
    ended = run("--debug", "stats", env={"SMSCLICK_LEASE_SECONDS": "1"})
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1].startswith("smsclick: SMSCLICK_LEASE_SECONDS")
