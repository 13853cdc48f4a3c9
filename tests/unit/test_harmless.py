"""What others wrote cannot act in a terminal or a spreadsheet, and JSON stays the same data."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick._values import harmless

ANY_TEXT = st.text(st.characters(codec=None))
VISIBLE = "Hola ñ, ¿qué tal? 👩‍👩‍👧 ☎️ %s [bold]x[/bold] \n\t"


def acts(character: str) -> bool:
    """Whether a terminal or a person's eye could take the character for something else than a sign."""
    if character in "\n\t":
        return False
    bidirectional = unicodedata.bidirectional(character) in {
        "LRE",
        "RLE",
        "LRO",
        "RLO",
        "PDF",
        "LRI",
        "RLI",
        "FSI",
        "PDI",
    }
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or bidirectional


@given(ANY_TEXT)
def test_nothing_that_acts_reaches_a_terminal(text: str) -> None:
    assert not any(map(acts, harmless.for_terminal(text)))


@given(ANY_TEXT)
def test_json_is_harmless_and_the_same_data(text: str) -> None:
    written = harmless.for_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(written) == {"text": text}
    assert not any(map(acts, written))


@pytest.mark.parametrize("character", [chr(n) for n in range(0x110000) if acts(chr(n)) and not 0xD800 < n < 0xDFFF])
def test_each_character_that_acts_is_replaced(character: str) -> None:
    assert harmless.for_terminal(f"a{character}b") == "a\ufffdb"


def test_people_s_signs_stay_as_they_are() -> None:
    assert harmless.for_terminal(VISIBLE) == VISIBLE
    assert harmless.for_json(VISIBLE) == VISIBLE


@given(st.text(st.characters(codec=None), max_size=4), st.sampled_from("=+-@\t\r＝＋－＠"), ANY_TEXT)  # noqa: RUF001
def test_a_cell_never_begins_as_a_formula(blanks: str, sign: str, rest: str) -> None:
    text = "".join(each for each in blanks if each.isspace()) + sign + rest
    assert harmless.for_spreadsheet(text) == f"'{text}"
    assert harmless.for_spreadsheet("a" + text) == "a" + text
