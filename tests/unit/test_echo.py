"""What an answer repeats of the form is removed, in every encoding in which it may come back."""

from __future__ import annotations

import html
import json
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick.provider._answers.echo import HIDDEN, MAX_CHARACTERS, scrub

if TYPE_CHECKING:
    from collections.abc import Callable

KEY, PHONE = "1EgdzRnSFX83mPh2WK7y", "5551402211"
TEXT = "Señora Núñez: su clave es 4821 & vence mañana, no la comparta"


def plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "percent-encoded with +": quote_plus,
    "percent-encoded with %20": quote,
    "percent-encoded twice": lambda text: quote_plus(quote_plus(text)),
    "as HTML": lambda text: html.escape(text).replace("ñ", "&ntilde;"),
    "as JSON": lambda text: json.dumps(text)[1:-1],
    "in capitals": str.upper,
    "without accents": plain,
    "without blanks": lambda text: text.replace(" ", ""),
    "spaced out": lambda text: text.replace(" ", " \n "),
    "cut at its end": lambda text: text[: len(text) * 2 // 3],
    "cut at its beginning": lambda text: text[len(text) // 3 :],
    "misread as another encoding": lambda text: text.encode().decode("latin-1"),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_word_number_or_key_of_an_echoed_form_is_left(form: str) -> None:
    echo = FORMS[form](f"APIKEY={KEY}&TELEFONO={PHONE}&MENSAJE={TEXT}")
    shown = scrub(f"Error no documentado: {echo}", (KEY, TEXT, PHONE)).casefold()
    assert shown.startswith("error no documentado")
    for word in ("1egdz", "wk7y", "5140", "2211", "senora", "señora", "nunez", "núñez", "clave", "4821", "vence"):
        assert word not in shown, word
    for word in ("manana", "mañana", "comparta"):
        assert word not in shown, word


_words = st.text("abcdeñóíu", min_size=4, max_size=12)


@given(
    st.lists(_words, min_size=1, max_size=6),
    st.sampled_from(sorted(FORMS)),
    st.from_regex(r"[2-9]\d{9}", fullmatch=True),
)
def test_no_word_of_any_text_is_left(words: list[str], form: str, phone: str) -> None:
    text = " ".join(words)
    shown = scrub(f"Numero {FORMS[form](text)} xx {FORMS[form](phone)} bloqueado", (text, phone))
    assert not any(word in shown for word in words if word not in "numero bloqueado")
    assert phone[2:6] not in shown
    assert len(shown) <= MAX_CHARACTERS
    assert shown.isprintable()


@pytest.mark.parametrize(
    "description",
    ["Mensaje enviado", "Parametro TELEFONO no valido", "Saldo insuficiente", "Número en lista negra del operador"],
)
def test_the_providers_own_words_stay(description: str) -> None:
    assert scrub(description, (KEY, "Su pedido va en camino", PHONE)) == description


def test_words_of_the_manual_stay_even_where_the_text_has_them_too() -> None:
    assert scrub("Mensaje enviado", ("Mensaje enviado por error",)) == "Mensaje enviado"
    text = ("Su mensaje urgente",)
    assert scrub("Parametro MENSAJE vacio: su mensaje urgente", text) == f"Parametro MENSAJE vacio: su mensaje {HIDDEN}"


def test_a_word_that_no_language_has_is_removed_as_an_encoded_form() -> None:
    assert scrub("error U2XDsW9yYSBOw7rDsWV6OiBzdSBjbGF2ZQ", ()) == f"error {HIDDEN}"
