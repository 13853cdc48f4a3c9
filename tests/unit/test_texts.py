"""Texts pass untouched or are refused; credits follow the manual."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick._values.texts import MAX_TEXT_LENGTH, clean_text, predict_credits
from smsclick.errors import InvalidText


@pytest.mark.parametrize(
    "text",
    [
        "Tu pedido va en camino",
        "  con espacios  ",
        "¿Añadió eñes, acentos y 🙂?",
        "dos\nlíneas\ty un tabulador",
        "fin de línea de Windows\r\nsegunda",
        "n\N{COMBINING TILDE}",
        "x" * MAX_TEXT_LENGTH,
    ],
)
def test_a_text_that_can_be_sent_is_left_untouched(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\N{NO-BREAK SPACE}"])
def test_an_empty_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidText, match="empty"):
        clean_text(text)


@pytest.mark.parametrize(
    "name",
    [
        "ZERO WIDTH SPACE",
        "ZERO WIDTH JOINER",
        "ZERO WIDTH NO-BREAK SPACE",
        "SOFT HYPHEN",
        "WORD JOINER",
        "RIGHT-TO-LEFT MARK",
        "HANGUL FILLER",
        "HALFWIDTH HANGUL FILLER",
        "BRAILLE PATTERN BLANK",
        "COMBINING GRAPHEME JOINER",
        "VARIATION SELECTOR-16",
        "MONGOLIAN VOWEL SEPARATOR",
        "LINE SEPARATOR",
        "TAG SPACE",
        "COMBINING ACUTE ACCENT",
        "OBJECT REPLACEMENT CHARACTER",
    ],
)
def test_a_text_of_which_nothing_can_be_seen_is_refused(name: str) -> None:
    invisible = unicodedata.lookup(name)
    for text in (invisible, f" {invisible}\t{invisible}\n", "\ue000" + invisible):
        with pytest.raises(InvalidText, match="at least one visible character"):
            clean_text(text)
    assert clean_text(f"{invisible}x{invisible}") == f"{invisible}x{invisible}"


@given(st.characters(categories=["Zs", "Zl", "Zp", "Cf", "Co", "Cn", "Mn", "Me"]))
def test_blanks_marks_and_format_characters_alone_are_no_text(character: str) -> None:
    with pytest.raises(InvalidText):
        clean_text(character)


@given(st.characters(categories=["Lu", "Ll", "Nd", "P", "Sm", "Sc"]))
def test_one_letter_digit_or_sign_is_a_text(character: str) -> None:
    assert clean_text(character) == character


@pytest.mark.parametrize("text", ["🙂", "👩‍👩‍👧", "ñ", "ツ", "।", "5", "."])
def test_one_character_of_any_script_is_a_text(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x93", "\ud83d", chr(0xDC00), "\r"])
def test_a_character_that_no_phone_can_show_is_refused_by_its_number(character: str) -> None:
    with pytest.raises(InvalidText, match=rf"U\+{ord(character):04X} at position 5"):
        clean_text(f"Hola{character}Ana")


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidText, match="1531 characters"):
        clean_text("x" * (MAX_TEXT_LENGTH + 1))


@pytest.mark.parametrize("value", [None, 5, b"Hola", ["Hola"]])
def test_another_type_is_refused(value: object) -> None:
    with pytest.raises(InvalidText, match="must be text"):
        clean_text(value)  # type: ignore[arg-type]


def test_the_refusal_does_not_show_the_text() -> None:
    with pytest.raises(InvalidText) as caught:
        clean_text("Su clave secreta es 1234\x00")
    assert "clave" not in str(caught.value)


@pytest.mark.parametrize(("length", "credits_"), [(0, 1), (1, 1), (150, 1), (151, 2), (300, 2), (301, 3), (1530, 11)])
def test_each_150_characters_begun_cost_a_credit(length: int, credits_: int) -> None:
    assert predict_credits("ñ" * length) == credits_


@given(st.text(st.characters(codec=None)))
def test_any_text_is_refused_or_passes_untouched_and_is_utf8(text: str) -> None:
    try:
        cleaned = clean_text(text)
    except InvalidText:
        return
    assert cleaned == text
    cleaned.encode("utf-8")
