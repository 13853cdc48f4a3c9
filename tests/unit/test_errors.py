"""The error tree."""

from __future__ import annotations

import pickle

import pytest

from smsclick import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.SettingsError("SMSCLICK_API_KEY is missing"),
        errors.InvalidPhone("the phone …2211 is not a Mexican number"),
        errors.DatabaseUnavailable("the database does not answer", advice="check that it runs"),
        errors.KeyConflict("order-15:shipped", 7),
        errors.ProviderUnreachable("no answer in time", never_left=False),
        errors.UnreadableAnswer("HTTP 429, which proves nothing", 429, 30.0),
        errors.ProviderRefused(-201, "Identificador de mensaje no existe"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_the_border_of_a_process(error: errors.SmsclickError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_the_advice_of_an_error_ends_its_text_and_is_kept_apart() -> None:
    error = errors.DatabaseUnavailable("the database x does not answer (timeout; refused)", advice="check x; run it")
    assert str(error) == "the database x does not answer (timeout; refused); check x; run it"
    assert (error.problem, error.advice) == ("the database x does not answer (timeout; refused)", "check x; run it")


def test_an_error_without_advice_is_all_problem() -> None:
    for error in (errors.SettingsError("a is missing; b"), errors.KeyConflict("k", 7)):
        assert (error.problem, error.advice) == (str(error), "")


@pytest.mark.parametrize("error", [errors.InvalidPhone, errors.InvalidText, errors.InvalidTime, errors.InvalidField])
def test_an_invalid_message_is_a_value_error_too(error: type[Exception]) -> None:
    assert issubclass(error, errors.InvalidMessage)
    assert issubclass(error, ValueError)


def test_a_key_conflict_names_the_key_and_the_message() -> None:
    assert str(errors.KeyConflict("order-15", 7)) == (
        "the key 'order-15' already belongs to message 7, which has another phone or text: "
        "use a new key for a new message"
    )
