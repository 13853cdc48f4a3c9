"""Why a line of a file is refused, in the page's languages."""

from __future__ import annotations

import io
import string
from typing import TYPE_CHECKING

import pytest

from smsclick._importing.records import Problem
from smsclick._importing.rows import read_rows
from smsclick._values.refusals import ENGLISH, RefusalCode
from web.pages.operate.refusals import SENTENCES
from web.pages.words import Words

if TYPE_CHECKING:
    from worker.alerting.wording import Language


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_each_code_has_a_sentence_with_the_same_placeholders(language: Language) -> None:
    sentences = SENTENCES[language]
    assert set(sentences) == set(RefusalCode)
    assert {code for code in RefusalCode if placeholders(sentences[code]) != placeholders(ENGLISH[code])} == set()


def test_the_languages_share_only_the_sentence_that_is_given() -> None:
    english, spanish = SENTENCES["en"], SENTENCES["es"]
    assert [code for code in RefusalCode if english[code] == spanish[code]] == [RefusalCode.OTHER]


@pytest.mark.parametrize(
    ("line", "english", "spanish"),
    [
        (
            "123,Hola",
            "the phone … is not a Mexican number: give ten digits, for example",
            "el teléfono … no es un número mexicano: escriba diez dígitos, por ejemplo",
        ),
        (",Hola", "phone missing: every message needs", "falta phone: cada mensaje necesita"),
        (
            "5551402211,Hola,x",
            "3 fields where the header has 2; put a text",
            "3 campos donde el encabezado tiene 2; ponga entre comillas",
        ),
        (
            f"5551402211,{'x' * 5000}",
            "the text has 5000 characters: shorten it to",
            "el texto tiene 5000 caracteres: redúzcalo a",
        ),
        ('5551402211,"Hola', "a quote is not closed", "una comilla no se cierra"),
    ],
)
def test_a_bad_line_says_in_each_language_what_is_wrong(line: str, english: str, spanish: str) -> None:
    [row] = read_rows(io.BytesIO(f"phone,text\n{line}\n".encode()))
    assert isinstance(row, Problem)
    assert Words("en").refusal(row.refusal).startswith(english)
    assert Words("es").refusal(row.refusal).startswith(spanish)


def test_a_sentence_about_a_field_begins_with_its_name_in_each_language() -> None:
    [row] = read_rows(io.BytesIO(b"phone,text,priority\n5551402211,Hola,urgent\n"))
    assert isinstance(row, Problem)
    assert Words("en").refusal(row.refusal) == "priority: it is none of high, normal, low"
    assert Words("es").refusal(row.refusal) == "priority: no es ninguno de high, normal, low"
