"""Settings as real processes read them: one line on stderr, an exit code, and no secret; values from files.

What each setting and writing becomes is the table of tests/unit/test_settings_table.py; here are the ways to it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smsclick.settings import Settings
from tests.factories import KEY
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "tezontle8a5c"
# Every setting is wrong at once, most of them by a value that may be a secret in the wrong place.
BAD = {
    str(field.validation_alias): f"{MARK} {MARK}"
    for field in Settings.model_fields.values()
    if field.validation_alias not in {"SMSCLICK_API_KEY", "ALERT_URLS", "SMSCLICK_CA_BUNDLE", "SMSCLICK_WEBHOOK_HOSTS"}
}


def ended(*words: str, env: Mapping[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A program of the environment that the tests run in, with these settings alone."""
    needed = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    program = str(Path(sys.executable).with_name(words[0]))
    return subprocess.run(
        [program, *words[1:]],
        cwd=cwd,
        env=needed | dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("smsclick: ")
    assert MARK not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    return lines[0]


@pytest.mark.parametrize(
    "words",
    [
        ("celery", "-A", "worker", "worker"),
        ("celery", "-A", "worker", "beat"),
        ("alembic", "current"),
        ("smsclick", "up"),
        ("smsclick", "stats"),
    ],
    ids=" ".join,
)
def test_all_that_is_wrong_is_one_line_in_every_program(words: tuple[str, ...]) -> None:
    line = one_line(ended(*words, env=BAD))
    assert {name for name in BAD if f"{name}: " in line} == set(BAD)


def test_doctor_says_it_in_its_table(tmp_path: Path) -> None:
    (tmp_path / "url").write_bytes(f"oracle://u:{MARK}@h/d".encode("utf-16"))
    done = ended("smsclick", "doctor", "--json", env={"DATABASE_URL_FILE": str(tmp_path / "url")})
    assert one_line(done) == "smsclick: not healthy: configuration"
    assert "DATABASE_URL_FILE: the content must be the URL" in done.stdout


@pytest.mark.parametrize("words", [("celery", "-A", "worker", "worker"), ("smsclick", "up")], ids=" ".join)
def test_no_worker_starts_with_what_cannot_be_a_key(words: tuple[str, ...], tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "key").write_text(f"SMSCLICK_API_KEY={MARK}\n")
    env = {
        "DATABASE_URL": sqlite_url,
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        "SMSCLICK_API_KEY_FILE": str(tmp_path / "key"),
    }
    assert "SMSCLICK_API_KEY_FILE: holds a name and a value" in one_line(ended(*words, env=env))


def test_every_process_reads_its_secrets_from_files(tmp_path: Path) -> None:
    database = tmp_path / "smsclick.db"
    values = {
        "DATABASE_URL": f"\ufeff'sqlite+aiosqlite:///{database}'\r\n",
        "CELERY_BROKER_URL": '"redis://127.0.0.1:1/0"\n',
        "SMSCLICK_API_KEY": f"{KEY}\n",
        "ALERT_URLS": f"json://u:{MARK}@127.0.0.1:1/x\n",
    }
    env = {}
    for name, value in values.items():
        (tmp_path / name).write_text(value, encoding="utf-16" if name == "ALERT_URLS" else "utf-8")
        env[f"{name}_FILE"] = str(tmp_path / name)
    # Without a broker the worker would end with another line; and the tables are looked for in the right place.
    refused = one_line(ended("celery", "-A", "worker", "worker", env=env))
    assert f"there is no database at {database}" in refused
    done = ended("alembic", "upgrade", "head", env=env)
    assert done.returncode == 0
    assert all(" INFO alembic." in line for line in done.stderr.splitlines())
    assert database.exists()
    assert ended("smsclick", "enqueue", "5551402211", "Hola", env=env, cwd=tmp_path).stdout == "1\n"
