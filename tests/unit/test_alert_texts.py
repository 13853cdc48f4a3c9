"""The words of alerts: complete in both languages, with the same placeholders, each with a section of the runbook."""

from __future__ import annotations

import datetime as dt
import re
import string
from typing import TYPE_CHECKING

import pytest

from smsclick.settings import load_settings
from tests.processes import ROOT
from worker.alerting.catalogues import catalogue
from worker.alerting.details import detail, translated
from worker.alerting.kinds import KINDS, Severity
from worker.alerting.texts import Incident, Style, text_of, trial
from worker.alerting.wording import DetailCode

if TYPE_CHECKING:
    from worker.alerting.wording import KindText

ENGLISH, SPANISH = catalogue("en"), catalogue("es")
EVENTS = {"opened": "", "reminder": "sigue: ", "reopened": "otra vez: ", "closed": "terminó: "}
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
    assert set(ENGLISH.details) == set(SPANISH.details) == set(DetailCode)
    for code, sentence in ENGLISH.details.items():
        assert placeholders(sentence) == placeholders(SPANISH.details[code])


@pytest.mark.parametrize("code", list(DetailCode))
def test_each_detail_is_said_in_both_languages(code: DetailCode) -> None:
    values = dict.fromkeys(placeholders(ENGLISH.details[code]), "3 min 20 s")
    made = detail(code, **values)
    assert translated(made, "es") == SPANISH.details[code].format(**values)
    assert translated(made, "en") == made == ENGLISH.details[code].format(**values)


def test_each_detail_is_made_by_some_check() -> None:
    sources = [each.read_text(encoding="utf-8") for each in (ROOT / "worker").rglob("*.py")]
    used = set(re.findall(r"(?:detail_of\(|= |else )DetailCode\.(\w+)", "\n".join(sources)))
    assert {code.name for code in DetailCode} - used == set()


def test_a_detail_that_no_template_made_stays_as_it_is() -> None:
    assert translated("-104: Saldo insuficiente", "es") == "-104: Saldo insuficiente"


@pytest.mark.parametrize("event", [*EVENTS])
@pytest.mark.parametrize("kind", [*KINDS])
def test_an_alert_says_everything_in_spanish_by_default(kind: str, event: str) -> None:
    text = SPANISH.kinds[kind]
    made = text_of(incident(kind, event, "for 2 d"), Style("tienda"))
    assert made.title == f"SMSClick tienda: {EVENTS[event]}{text.title}"
    assert "Detalle: desde hace 2 d" in made.body
    assert "Mensajes en espera: 3." in made.body
    assert f"Instalación: tienda. Incidente: {kind} (7). Gravedad: " in made.body
    if event == "closed":
        assert made.type == "success"
        assert made.fields["closed_at"]
    else:
        assert made.type == {"critical": "failure", "warning": "warning", "info": "info"}[KINDS[kind].severity]
        for said in (text.meaning, text.touches, text.advice, f"docs/es/runbook.md#{kind}"):
            assert said in made.body


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
