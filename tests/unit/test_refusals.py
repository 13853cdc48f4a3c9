"""Why an input is refused: codes with values, of which sentences are made."""

from __future__ import annotations

import ast
import pickle
import re
from typing import TYPE_CHECKING, Final

import pytest

from smsclick import NewMessage
from smsclick._values.refusals import Names, Refusal, RefusalCode
from smsclick.errors import InvalidField, InvalidMessage, InvalidPhone, KeyConflict
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKS: Final = (
    "smsclick/_enqueue/message.py", "smsclick/_importing/files.py", "smsclick/_importing/records.py",
    "smsclick/_importing/rows.py", "smsclick/_importing/store_rows.py", "smsclick/_values/callback.py",
    "smsclick/_values/phones.py", "smsclick/_values/texts.py", "worker/operator/imports/uploaded.py",
    "worker/queue/optouts.py",
)  # fmt: skip
"""What decides whether a line of a file is good. The page says the reason in the reader's language."""

MADE_OF_A_CODE: Final = re.compile(r"InvalidMessage|InvalidPhone|InvalidText|InvalidTime|InvalidField|Problem")


def sentences(source: str) -> Iterator[str]:
    """Where a piece of Python makes an error or a bad line of a sentence instead of a code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and MADE_OF_A_CODE.fullmatch(node.func.id):
            yield from (ast.unparse(each) for each in node.args if isinstance(each, ast.Constant | ast.JoinedStr))


@pytest.mark.parametrize("path", CHECKS)
def test_what_checks_a_line_gives_codes_and_no_sentences(path: str) -> None:
    assert list(sentences((ROOT / path).read_text(encoding="utf-8"))) == []


def test_a_sentence_in_place_of_a_code_is_found() -> None:
    assert list(sentences("raise InvalidField(f'{name}: must be text')")) == ["f'{name}: must be text'"]
    assert list(sentences("yield Problem(number, 'too long', raw=raw)")) == ["'too long'"]


def test_each_code_is_given_by_some_check() -> None:
    places = [*(ROOT / path for path in CHECKS), ROOT / "smsclick" / "errors.py"]
    used = set(re.findall(r"RefusalCode\.(\w+)", "\n".join(each.read_text(encoding="utf-8") for each in places)))
    assert used == {code.name for code in RefusalCode}


def test_an_error_has_its_code_and_values_after_it_passed_between_processes() -> None:
    with pytest.raises(InvalidPhone) as raised:
        NewMessage.of(phone="5551", text="Hola")
    copy = pickle.loads(pickle.dumps(raised.value))  # noqa: S301  (our own bytes)
    assert (str(copy), copy.refusal) == (str(raised.value), raised.value.refusal)
    assert copy.refusal == Refusal.of(RefusalCode.PHONE_NOT_MEXICAN, phone="…")
    assert copy.args == (str(copy),)


def test_an_error_of_a_sentence_alone_keeps_it() -> None:
    error = InvalidMessage("it is not a call")
    assert str(error) == "it is not a call"
    assert error.refusal == Refusal.of(RefusalCode.OTHER, sentence="it is not a call")
    assert str(error.refusal) == "it is not a call"


def test_a_key_conflict_has_a_code_too() -> None:
    refusal = KeyConflict("order-15", 7).refusal
    assert refusal == Refusal.of(RefusalCode.KEY_IN_USE, key="'order-15'", message=7)


def test_the_field_stands_before_the_sentence_and_can_be_left_out() -> None:
    with pytest.raises(InvalidField) as raised:
        NewMessage.of(phone="5551402211", text="Hola", reference="x" * 300)
    assert str(raised.value) == "reference: has 300 characters, at most 200 fit"
    assert raised.value.refusal.sentence() == "has 300 characters, at most 200 fit"


def test_names_stand_in_a_sentence_as_its_language_joins_them() -> None:
    assert f"{Names(('phone', 'text')): and }" == "phone and text"
    assert f"{Names(('phone', 'text')):, }" == "phone, text"
