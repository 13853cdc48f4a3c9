"""Tables on narrow terminals: nothing that identifies is ever cut."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick._cli.layout import cell_width, choose
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

_cells = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=60)
_tables = st.integers(1, 8).flatmap(
    lambda columns: st.lists(st.lists(_cells, min_size=columns, max_size=columns), min_size=1, max_size=5)
)


@given(_tables, st.integers(20, 200), st.data())
def test_every_column_has_room_for_its_words_within_the_width(
    rows: list[list[str]], width: int, data: st.DataObject
) -> None:
    headers = [f"column {n}" for n in range(len(rows[0]))]
    texts = data.draw(st.sets(st.sampled_from(headers)))
    spare = data.draw(st.lists(st.sampled_from(headers), unique=True))
    chosen = choose(headers, rows, width, texts, spare)
    if chosen is None:
        return
    assert sum(each + 3 for each in chosen.values()) + 1 <= width
    assert {headers[place] for place in range(len(headers)) if place not in chosen} <= set(spare)
    for place, room in chosen.items():
        if headers[place] not in texts:
            words = [word for row in rows for word in row[place].split()]
            assert all(cell_width(word) <= room for word in words if cell_width(word) <= 24)


def test_spare_columns_go_first_and_texts_share_what_is_left() -> None:
    headers = ("id", "phone", "text", "portfolio")
    rows = [("123456", "5551402211", "x" * 100, "a portfolio")]
    assert choose(headers, rows, 80, {"text"}, ("portfolio",)) == {0: 6, 1: 10, 2: 40, 3: 11}
    assert choose(headers, rows, 42, {"text"}, ("portfolio",)) == {0: 6, 1: 10, 2: 16}
    assert choose(headers, rows, 30, {"text"}, ("portfolio",)) is None


def on_a_terminal(env: Mapping[str, str], *words: str, columns: int = 80) -> tuple[int, bytes]:
    """What a command writes to a terminal of that width, and how it ends."""
    master, slave = pty.openpty()
    needed = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("smsclick")), *words],
        cwd=ROOT,
        env={**needed, "COLUMNS": str(columns), "TERM": "dumb", **env},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    written = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        written += part
    os.close(master)
    return process.wait(60), written.replace(b"\r\n", b"\n")


@pytest.fixture
def env(migrated_sqlite_url: str) -> dict[str, str]:
    return {"DATABASE_URL": migrated_sqlite_url, "PYTHONIOENCODING": ""}


def test_a_message_on_eighty_columns_shows_key_phone_and_times_whole(env: dict[str, str]) -> None:
    key = "order-1234:shipped:" + "k" * 60
    on_a_terminal(env, "enqueue", "5551402211", "Señal " * 30, "--key", key)
    code, written = on_a_terminal({**env, "LANG": "C.UTF-8"}, "show", key)
    lines = written.decode().splitlines()
    assert code == 0, written
    assert max(map(len, lines)) <= 80
    assert "…" not in written.decode()
    assert "5551402211" in written.decode()
    assert key in re.sub(r"\s", "", written.decode())
    assert re.search(r"\d{4}-\d\d-\d\d", written.decode())


def test_the_doctors_table_shows_the_whole_name_of_the_database(env: dict[str, str]) -> None:
    code, written = on_a_terminal({**env, "LANG": "C.UTF-8"}, "doctor")
    assert code == 1, written
    joined = re.sub(r"[\s│|]", "", written.decode())
    name = env["DATABASE_URL"].rpartition("/")[2]
    assert "…" not in written.decode()
    assert name[:12] in joined


def test_a_terminal_that_is_not_utf8_gets_replacement_characters(env: dict[str, str]) -> None:
    on_a_terminal(env, "enqueue", "5551402211", "Señal 🙂", "--key", "k")
    ascii_only = {**env, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    code, written = on_a_terminal(ascii_only, "show", "k")
    assert code == 0, written
    assert b"Se?al ?" in written
