"""The `smsclick` program: what it prints, its exit codes, and one clear line for what cannot be done."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

import smsclick
from smsclick.cli import OPERATORS, PROVIDERS
from smsclick.contract import messages
from smsclick.database import Database
from tests.commandline import call, run

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
        ((PHONE, "Otra", "--key", "taken"), "the key 'taken' already belongs to message 1"),
        (("5551402212", "Hola", "--key", "taken"), "the key 'taken' already belongs to message 1"),
        ((PHONE, "Hola", "--reference", "x" * 201), "reference: has 201 characters"),
    ],
)
def test_a_message_that_cannot_be_is_one_line_and_stores_nothing(
    env: dict[str, str], words: tuple[str, ...], reason: str
) -> None:
    call("enqueue", PHONE, "Hola", "--key", "taken", env=env)
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
    complaint = call(*words, env={"DATABASE_URL": sqlite_url}).complaint
    assert complaint.endswith("run: alembic upgrade head")


def test_a_defect_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "smsclick.db"
    file.write_bytes(b"this is no database" * 100)
    ended = call("enqueue", PHONE, "Hola", env={"DATABASE_URL": f"sqlite:///{file}"})
    assert ended.complaint.startswith("smsclick: ")


# --- import


def test_import_tells_bad_lines_by_number_and_ends_with_1(env: dict[str, str]) -> None:
    content = b"phone,text,key\n5551402211,Hola,a\n123,Hola,b\n5551402211,Ma\xf1ana,c\n5551402212,Adios,d\n"
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


def test_import_of_a_file_that_is_not_there_is_one_line(env: dict[str, str], tmp_path: Path) -> None:
    complaint = call("import", str(tmp_path / "none.csv"), env=env).complaint
    assert complaint.endswith("none.csv cannot be read (No such file or directory)")


# --- the program itself


def test_help_lists_every_command_even_with_wrong_settings() -> None:
    ended = call("--help", env={"SMSCLICK_LEASE_SECONDS": "1"})
    assert ended.code == 0
    for name in {"enqueue", "import", "simulate", *OPERATORS, *PROVIDERS}:
        assert f" {name} " in ended.out


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
