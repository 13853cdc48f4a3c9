"""The page's texts: both languages have the same, and templates ask for none that is missing."""

from __future__ import annotations

import datetime as dt
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smsclick.contract import State
from web.pages.masking import Sight, masked
from web.pages.messages.remedies import REMEDIES
from web.pages.words import LANGUAGES, preferred
from worker.lifecycle.doubt import Doubt
from worker.operator.access.users import Role
from worker.operator.waiting import english as waiting_en
from worker.operator.waiting import spanish as waiting_es
from worker.operator.waiting.codes import Code, Remedy, Waiting
from worker.operator.waiting.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from worker.alerting.wording import Language

TEMPLATES = Path(__file__).resolve().parents[2] / "web" / "pages" / "templates"


ENGLISH, SPANISH = LANGUAGES["en"], LANGUAGES["es"]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_texts_with_the_same_placeholders() -> None:
    assert list(ENGLISH) == list(SPANISH)
    for code, text in ENGLISH.items():
        assert placeholders(text) == placeholders(SPANISH[code]), code
    same = {code for code, text in ENGLISH.items() if text == SPANISH[code]}
    assert same == set()


def test_every_text_that_a_template_names_is_there() -> None:
    named = {
        code
        for template in TEMPLATES.rglob("*.j2")
        for code in re.findall(r"""\bt\('([a-z_.]+)'[,)]""", template.read_text())
    }
    assert named - set(ENGLISH) == set()
    assert {f"state.{each}" for each in State} <= set(ENGLISH)


@pytest.mark.parametrize(("phone", "shown"), [("5551402211", "••••••2211"), ("2211", "••••"), ("1", "•"), ("", "")])
def test_a_masked_phone_shows_its_end_only(phone: str, shown: str) -> None:
    assert masked(phone) == shown
    assert Sight(Role.VIEWER).phone(phone) == shown
    assert Sight(Role.OPERATOR).phone(phone) == phone
    assert Sight(Role.VIEWER).text("hola") is None


@pytest.mark.parametrize(
    ("accepted", "language"), [("", None), ("en", "en"), ("en-GB,es", "en"), ("es;q=0.1,en;q=0", "es"), ("fr, *", None)]
)
def test_the_browsers_language(accepted: str, language: str | None) -> None:
    assert preferred(accepted) == language


@pytest.mark.parametrize(("language", "said"), [("es", waiting_es), ("en", waiting_en)])
def test_what_a_message_waits_for_names_no_command_that_the_page_has_too(language: Language, said: ModuleType) -> None:
    sentences = " ".join([*said.SENTENCES.values(), *said.WHY.values(), *REMEDIES[language].values()])
    assert set(re.findall(r"smsclick ([a-z]+)", sentences)) <= {"restored", "health", "report", "doctor"}


@pytest.mark.parametrize("catalogue", [waiting_es.REMEDIES, waiting_en.REMEDIES, *REMEDIES.values()])
def test_each_remedy_has_words(catalogue: Mapping[Remedy, str]) -> None:
    assert set(catalogue) == set(Remedy)
    assert all(catalogue.values())


@pytest.mark.parametrize("said", [waiting_es, waiting_en])
def test_each_remedy_stands_in_a_sentence(said: ModuleType) -> None:
    sentences = " ".join([*said.SENTENCES.values(), *said.WHY.values()])
    assert {each for each in Remedy if f"{{{each}}}" not in sentences} == set()


@pytest.mark.parametrize("doubt", list(Doubt))
def test_the_page_says_its_own_act_for_a_doubt(doubt: Doubt) -> None:
    now = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)
    waiting = Waiting(Code.UNKNOWN_PERSON, None, {"reason": doubt})
    on_the_page = sentence(waiting, now, remedies=REMEDIES["en"])
    assert "smsclick settle" in sentence(waiting, now)
    assert "smsclick settle" not in on_the_page
    assert on_the_page.startswith("What became of its attempt is not known, and only a person can decide, on this page")
