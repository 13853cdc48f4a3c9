"""What an alert says: title, body, and the fields for a receiver that is a program. Pure."""

import dataclasses
import datetime as dt
import os
from collections.abc import Mapping
from typing import Literal, Self

from smsclick._database.urls import parse_url
from smsclick._values.times import span
from smsclick.settings import Settings
from worker.alerting.catalogues import catalogue
from worker.alerting.details import shown
from worker.alerting.kinds import Severity, known_or_new
from worker.alerting.wording import DEFAULT_LANGUAGE

NotifyType = Literal["info", "success", "warning", "failure"]
"""Apprise's types: channels show them as a colour or a sign."""

_TYPES: dict[Severity, NotifyType] = {
    Severity.CRITICAL: "failure",
    Severity.WARNING: "warning",
    Severity.INFO: "info",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """How this installation's alerts are written.

    Attributes:
        installation: its name, in each title.
        language: `es` or `en`.
        runbook_url: under which the runbook's page lies, with a slash at its end; empty: the repository's own page.
    """

    installation: str
    language: str = DEFAULT_LANGUAGE
    runbook_url: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The style of the settings; without a name of its own an installation has that of its database."""
        return cls(settings.installation or _database_name(settings), settings.language, settings.runbook_url)


@dataclasses.dataclass(frozen=True, slots=True)
class Incident:
    """What an alert event says something of.

    Attributes:
        number: the incident's id, the same in all of its alerts.
        event: opened, reminder, reopened or closed.
        detail: as stored; see `worker.alerting.details`.
        waiting: how many messages wait, at most `most_waiting`.
    """

    number: int
    kind: str
    subject: str
    event: str
    detail: str
    count: int
    opened_at: dt.datetime
    closed_at: dt.datetime | None
    waiting: int
    most_waiting: int


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """One alert as it is sent.

    Attributes:
        type: Apprise's.
        fields: for receivers that are programs; names are the same in each language.
    """

    title: str
    body: str
    type: NotifyType
    fields: Mapping[str, str]


def text_of(about: Incident, style: Style) -> Text:
    """The alert of an event."""
    words = catalogue(style.language)
    kind = known_or_new(about.kind)
    text = kind.text(style.language)
    phrase = words.phrases
    over = about.event == "closed"
    event = about.event if about.event in {"reminder", "reopened", "closed"} else "opened"
    since = _time(about.opened_at)
    link = (style.runbook_url + "runbook.md" if style.runbook_url else words.runbook) + f"#{kind.name}"
    detail = shown(about.detail, style.language)
    lines = []
    if over:
        ended = _time(about.closed_at) if about.closed_at else "?"
        lines.append(phrase["ended"].format(since=since, ended=ended))
    else:
        said = {"meaning": text.meaning, "touches": text.touches, "advice": text.advice}
        lines.extend(phrase[name].format(text=words_) for name, words_ in said.items() if words_)
        lines.append(phrase["runbook"].format(text=link))
    if detail:
        lines.append(phrase["detail"].format(text=detail))
    if not over:
        lines.append(phrase["since"].format(since=since))
    if event == "reopened":
        lines.append(phrase["comes_and_goes"].format(span=span(kind.reopen_seconds)))
    waiting = str(about.waiting)
    if about.waiting >= about.most_waiting:
        waiting = phrase["or_more"].format(count=about.most_waiting)
    lines.append(phrase["waiting"].format(count=waiting))
    lines.append(
        phrase["footer"].format(
            installation=style.installation, kind=about.kind, number=about.number, severity=phrase[kind.severity]
        )
    )
    fields = {
        "installation": style.installation,
        "incident": about.kind,
        "incident_id": str(about.number),
        "subject": about.subject,
        "event": event,
        "severity": str(kind.severity),
        "detail": detail,
        "occurrences": str(about.count),
        "opened_at": about.opened_at.isoformat(),
        "closed_at": about.closed_at.isoformat() if about.closed_at else "",
        "runbook": link,
    }
    title = titled(phrase[event].format(title=text.title), style)
    return Text(title, "\n".join(lines), "success" if over else _TYPES[kind.severity], fields)


def trial(style: Style) -> Text:
    """The alert of `smsclick doctor --alert-test`."""
    return _plain("test_title", "test_body", "info", style, {})


def database_unusable(style: Style, seconds: float, why: str) -> Text:
    """The alert that the database cannot be written, which no database stores."""
    made = _plain("database_title", "database_body", "failure", style, {"seconds": f"{seconds:.0f}"})
    return dataclasses.replace(made, body=f"{made.body} {why}")


def database_usable(style: Style) -> Text:
    """The alert of its end."""
    return _plain("database_over_title", "database_over_body", "success", style, {})


def titled(title: str, style: Style) -> str:
    """A title with the installation's name in front."""
    return f"SMSClick {style.installation}: {title}"


def _plain(title: str, body: str, type_: NotifyType, style: Style, values: Mapping[str, str]) -> Text:
    phrase = catalogue(style.language).phrases
    fields = {"installation": style.installation, "incident": "", "event": title.removesuffix("_title")}
    return Text(titled(phrase[title], style), phrase[body].format(**values), type_, fields)


def _database_name(settings: Settings) -> str:
    url = parse_url(settings.database_url)
    if url.host:
        return f"{url.database}@{url.host}"
    return f"{os.path.basename(url.database or 'memory')}@{os.uname().nodename}"  # noqa: PTH119 - not a path of ours


def _time(value: dt.datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S UTC")
