"""The check of words in `make lint`: it finds metaphors in prose and names, and leaves ordinary words alone."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("words", ROOT / "scripts" / "words.py")
assert _SPEC is not None
assert _SPEC.loader is not None
words = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(words)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("    bell.ring([number])", "bell ring"),
        ("class RecordingBell:", "Bell"),
        ("_told_at = {}", "told"),
        ("class NotTakenError(Exception):", "Taken"),
        ("two beats share the turn of a tick", "turn"),
        ("a lock of the account", "lock of the account"),
        ("what is on the wire is awaited", "wire"),
        ("the database hands the row over", "hands the row over"),
        ("until the outcome is settled", "settled"),
        ("a call-back by web hook after a time-out", "call-back web hook time-out"),
        ("it holds for ever", "for ever"),
    ],
)
def test_a_word_of_our_own_is_found(line: str, word: str) -> None:
    assert " ".join(found for found, _ in words.found(line)) == word


@pytest.mark.parametrize(
    "line",
    [
        "return each in turn",
        "the row's lock; threading.Lock(); the row lock of the account",
        "a report cannot tell the two apart",
        "`smsclick settle ID --accepted ID_MENSAJE` within SMSCLICK_SETTLE_SECONDS",
        "messages.c.wire_key, alerts.c.news, smsclick_gates",
        "the value is taken from the environment",
        "a string that brings a gateway",
        "turn it off, turn on verbose logs",
    ],
)
def test_an_ordinary_word_or_a_public_name_is_allowed(line: str) -> None:
    assert list(words.found(line)) == []


def test_it_names_file_line_and_replacement_and_fails_only_when_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# A page\nwhat is sent anew\n")
    assert words.main([str(tmp_path)]) == 0
    assert words.main(["--strict", str(tmp_path)]) == 1
    assert "page.md:2: anew: write again" in capsys.readouterr().out
    page.write_text("# A page\nwhat is sent again\n")
    assert words.main(["--strict", str(tmp_path)]) == 0


def test_names_of_files_count_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "ROOT", tmp_path)
    (tmp_path / "the_bell.py").write_text("")
    assert words.main(["--strict", str(tmp_path)]) == 1
    assert "the_bell.py:0: bell" in capsys.readouterr().out
