"""Causes of events: a code for each, a phrase for people, and the sentences that release 0.1 stored."""

from __future__ import annotations

import importlib.util
import re

import pytest

from smsclick._values.causes import PHRASES, SENTENCES, Cause, cause_of, phrase, stored_as
from tests.processes import ROOT

LONGEST = 40
"""Characters of the column."""


@pytest.mark.parametrize("cause", list(Cause))
def test_each_cause_is_a_code_that_fits_the_column_and_has_a_phrase_for_people(cause: Cause) -> None:
    assert cause.replace("_", "").isalpha()
    assert len(cause) <= LONGEST
    assert cause_of(cause) is cause
    assert phrase(cause) == PHRASES[cause] != ""


@pytest.mark.parametrize(("cause", "sentence"), SENTENCES.items())
def test_a_sentence_of_release_0_1_is_read_as_its_code(cause: Cause, sentence: str) -> None:
    assert cause_of(sentence) is cause
    assert phrase(sentence) == PHRASES[cause]
    assert stored_as(cause) == [cause, sentence]


def test_an_opt_out_of_an_earlier_release_is_read_as_one_and_other_refusals_are_not() -> None:
    said = PHRASES[Cause.OPTED_OUT]
    assert (cause_of("invalid", said), cause_of("cannot be sent", said)) == (Cause.OPTED_OUT, Cause.OPTED_OUT)
    assert phrase("invalid", said) == said
    assert (cause_of("invalid", "the text is empty"), cause_of("invalid")) == (Cause.INVALID, Cause.INVALID)
    assert cause_of("answered", said) is Cause.ANSWERED


def test_text_that_is_no_cause_is_shown_as_it_is() -> None:
    assert cause_of("by hand") is None
    assert phrase("by hand") == "by hand"


def test_the_migration_rewrites_the_sentences_that_readers_accept() -> None:
    spec = importlib.util.spec_from_file_location("m", ROOT / "migrations" / "versions" / "0015_cause_codes.py")
    assert spec is not None
    assert spec.loader is not None
    migration = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(migration)
    assert {sentence: str(cause) for cause, sentence in SENTENCES.items()} == migration._CODES


def test_the_docs_list_every_cause_with_its_phrase() -> None:
    page = (ROOT / "docs" / "producers.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \|$", page, re.MULTILINE)
    assert [each for each in listed if cause_of(each[0])] == [(str(cause), text) for cause, text in PHRASES.items()]
