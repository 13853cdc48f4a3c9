"""The words of alerts: complete in both languages, with the same placeholders, each with a section of the runbook."""

from __future__ import annotations

import datetime as dt
import re
import string
from typing import TYPE_CHECKING

import pytest

from smsclick.provider.codes import CODES, lookup
from smsclick.settings import load_settings
from tests.processes import ROOT
from worker.account import holds
from worker.alerting.catalogues import catalogue
from worker.alerting.details import STORED_CHARACTERS, made, of_code, of_doubt, shown
from worker.alerting.kinds import KINDS, Severity
from worker.alerting.spanish_details import BY_HAND, DOUBTS
from worker.alerting.texts import Incident, Style, text_of, trial
from worker.alerting.wording import DetailCode
from worker.callbacks.failures import CallFailedError, Failure
from worker.lifecycle.doubt import Doubt

if TYPE_CHECKING:
    from worker.alerting.wording import KindText

ENGLISH, SPANISH = catalogue("en"), catalogue("es")
EVENTS = {"opened": "", "reminder": "sigue: ", "reopened": "otra vez: ", "closed": "terminó: "}
CALL_CODES = [code for code in DetailCode if code.startswith("call_")]
NOW = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)


def incident(kind: str, event: str, detail: str = "") -> Incident:
    return Incident(
        number=7,
        kind=kind,
        subject="",
        event=event,
        detail=detail,
        count=1,
        opened_at=NOW,
        closed_at=NOW if event == "closed" else None,
        waiting=3,
        most_waiting=2000,
    )


def placeholders(template: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(template) if name)


def commands(text: KindText) -> set[str]:
    """What must not be translated: variables, states and commands."""
    whole = f"{text.title} {text.meaning} {text.touches} {text.advice}"
    return set(re.findall(r"SMSCLICK_\w+", whole)) | set(re.findall(r"`(smsclick [a-z]+)", whole))


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("language", ["es", "en"])
def test_each_kind_has_all_texts_and_a_section_of_the_runbook(kind: str, language: str) -> None:
    words = catalogue(language)
    text = words.kinds[kind]
    assert all(len(part) > 10 for part in (text.title, text.meaning, text.touches, text.advice))
    assert commands(text) == commands(ENGLISH.kinds[kind])
    page = (ROOT / words.runbook).read_text(encoding="utf-8")
    assert re.search(rf"^## {kind}$", page, re.MULTILINE)
    assert all(part in " ".join(page.split()) for part in (text.title, text.meaning, text.touches, text.advice))


def test_no_text_belongs_to_no_kind() -> None:
    assert set(ENGLISH.kinds) == set(SPANISH.kinds) == set(KINDS)
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"| `{kind}` |" not in operations] == []


def test_all_languages_have_the_same_phrases_and_placeholders() -> None:
    assert set(ENGLISH.phrases) == set(SPANISH.phrases)
    for name, phrase in ENGLISH.phrases.items():
        assert placeholders(phrase) == placeholders(SPANISH.phrases[name])
    assert set(ENGLISH.details) == set(SPANISH.details)
    for name, sentence in ENGLISH.details.items():
        assert placeholders(sentence) == placeholders(SPANISH.details[name])


@pytest.mark.parametrize("code", list(DetailCode))
def test_a_detail_is_said_in_each_language(code: DetailCode) -> None:
    values = dict.fromkeys(placeholders(ENGLISH.details[code]), "3 min 20 s")
    detail = made(code, **values)
    assert shown(detail, "en") == ENGLISH.details[code].format(**values)
    assert shown(detail, "es") == SPANISH.details[code].format(**values)


@pytest.mark.parametrize("doubt", list(Doubt))
def test_a_detail_in_a_detail_is_said_in_the_same_language(doubt: Doubt) -> None:
    why = DOUBTS[doubt].format(by_hand=BY_HAND)
    detail = made(DetailCode.OLD_UNKNOWN, count=500, ids="1234567, 1234568, 1234569 …", why=of_doubt(doubt))
    assert shown(detail, "es") == f"500 intentos (mensaje 1234567, 1234568, 1234569 …): {why}"
    assert "attempts" in shown(detail, "en")


@pytest.mark.parametrize("code", [each.code for each in CODES if each.action in holds.REASONS])
def test_a_code_that_holds_has_its_meaning_in_each_language(code: int) -> None:
    detail = made(DetailCode.HOLD, code=code, meaning=of_code(code))
    assert shown(detail, "en") == f"{code}: {lookup(code).meaning}"
    assert shown(detail, "es") != shown(detail, "en")


def test_what_is_the_same_in_both_languages_is_words_of_no_language() -> None:
    """A sentence that somebody forgot to translate would be the same."""
    same = {name for name, said in ENGLISH.details.items() if SPANISH.details[name] == said}
    assert same == {DetailCode.HOLD, DetailCode.UNLISTED, DetailCode.BAD_TASK, DetailCode.CALL_STATUS}


def test_a_detail_of_an_earlier_release_stays_as_it_is() -> None:
    for stored in ("-104: Saldo insuficiente", "", "{not JSON", '{"is":"of tomorrow"}', '{"is":"lasts"}'):
        assert shown(stored, "es") == stored


def test_a_detail_fits_its_column_whatever_its_values_hold() -> None:
    detail = made(DetailCode.RECEIVER, receiver="\x00" * 500, why=made(DetailCode.CALL_BROKE), id=2**63)
    assert 0 < len(detail) <= STORED_CHARACTERS
    assert shown(detail, "es").endswith(f"el primero: mensaje {2**63}")


@pytest.mark.parametrize("code", CALL_CODES)
def test_each_failure_of_a_call_is_said_from_its_code_in_the_readers_language(code: DetailCode) -> None:
    values: dict[str, int | str] = {"status": 503, "error": "OSError", "refusal": "callback_host"}
    failure = Failure.of(code, **{name: values[name] for name in placeholders(ENGLISH.details[code])})
    assert failure.words == ENGLISH.details[code].format(**values)
    assert str(CallFailedError(failure.code, **failure.values)) == failure.words
    assert shown(failure.detail, "es") == SPANISH.details[code].format(**values)
    inside = made(DetailCode.RECEIVER, receiver="r" * 100, why=failure.detail, id=2**63)
    assert failure.words in shown(inside, "en")


def test_each_failure_of_a_call_is_used() -> None:
    used = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "worker" / "callbacks").glob("*.py"))
    assert [code.name for code in CALL_CODES if f"DetailCode.{code.name}" not in used] == []


def test_no_code_reports_an_incident_with_a_sentence() -> None:
    """The type checker lets no text pass as a `Detail`; a cast would."""
    casts = re.compile(r"\bDetail\((?!stored\)|\"\"\))")
    found = [path for path in (ROOT / "worker").rglob("*.py") if casts.search(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize("event", [*EVENTS])
@pytest.mark.parametrize("kind", [*KINDS])
def test_an_alert_says_everything_in_spanish_by_default(kind: str, event: str) -> None:
    text = SPANISH.kinds[kind]
    alert = text_of(incident(kind, event, made(DetailCode.LASTS, span="2 d")), Style("tienda"))
    assert alert.title == f"SMSClick tienda: {EVENTS[event]}{text.title}"
    assert "Detalle: desde hace 2 d" in alert.body
    assert "Mensajes en espera: 3." in alert.body
    assert f"Instalación: tienda. Incidente: {kind} (7). Gravedad: " in alert.body
    if event == "closed":
        assert alert.type == "success"
        assert alert.fields["closed_at"]
    else:
        assert alert.type == {"critical": "failure", "warning": "warning", "info": "info"}[KINDS[kind].severity]
        for said in (text.meaning, text.touches, text.advice, f"docs/es/runbook.md#{kind}"):
            assert said in alert.body


def test_fields_have_the_same_names_and_codes_in_each_language() -> None:
    spanish, english = (text_of(incident("no_balance", "opened"), Style("shop", each)) for each in ("es", "en"))
    assert {**spanish.fields, "runbook": ""} == {**english.fields, "runbook": ""}
    assert english.fields["severity"] == Severity.CRITICAL
    assert english.fields["incident"] == "no_balance"


def test_the_runbooks_address_can_be_set() -> None:
    style = Style.of(load_settings(SMSCLICK_RUNBOOK_URL="https://wiki.example.com/sms", SMSCLICK_INSTALLATION="tienda"))
    made = text_of(incident("no_balance", "opened"), style)
    assert "https://wiki.example.com/sms/runbook.md#no_balance" in made.body


def test_an_installation_without_a_name_has_that_of_its_database() -> None:
    style = Style.of(load_settings(DATABASE_URL="postgresql+psycopg://user:secret@db.example.com/shop"))
    assert style == Style("shop@db.example.com", "es")
    assert Style.of(load_settings(DATABASE_URL="sqlite:///var/smsclick.db")).installation.startswith("smsclick.db@")


def test_a_kind_of_a_newer_release_is_alerted_by_its_name() -> None:
    assert text_of(incident("of_tomorrow", "opened"), Style("shop", "en")).title == "SMSClick shop: of_tomorrow"


def test_the_trial_alert_names_the_installation() -> None:
    assert trial(Style("tienda")).title == "SMSClick tienda: aviso de prueba"
