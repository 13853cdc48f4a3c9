"""Writes docs/reference and docs/es/reference from the code: `.venv/bin/python scripts/reference.py [--check]`.

With `--check` it writes nothing, and ends with 1 if a page differs from the code; `make lint` runs that.
"""

import enum
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import typer
from pydantic import SecretStr
from sqlalchemy import Table

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from smsclick._cli import main as commandline  # noqa: E402 - the checkout's own
from smsclick._values.causes import PHRASES  # noqa: E402
from smsclick.contract import State, metadata  # noqa: E402
from smsclick.provider.codes import CODES, Estatus  # noqa: E402
from smsclick.settings import Settings  # noqa: E402
from worker.alerting.catalogues import catalogue  # noqa: E402
from worker.alerting.kinds import KINDS  # noqa: E402
from worker.lifecycle.model import TRANSITIONS  # noqa: E402
from worker.operator.metrics.catalogue import METRICS  # noqa: E402

MADE: Final = {
    "en": "*Made from the code by `scripts/reference.py`; do not edit.*",
    "es": "*Hecha a partir del código por `scripts/reference.py`; no la edites.*",
}

STATES: Final = {
    State.QUEUED: ("waits for its time, or for a hold to end", "espera su hora, o el fin de una detención"),
    State.SENDING: (
        "claimed by a worker, its attempt on record; a request may be in flight",
        "lo tomó un worker y su intento está registrado; puede haber una petición en camino",
    ),
    State.UNKNOWN: (
        "the attempt ended without a readable answer; the provider's report decides",
        "el intento terminó sin una respuesta legible; decide el reporte del proveedor",
    ),
    State.SENT: (
        "accepted by SMSClick; its status is being asked",
        "SMSClick lo aceptó; se está consultando su estatus",
    ),
    State.DELIVERED: ("estatus 3, Recibido: it is on the phone", "estatus 3, Recibido: está en el teléfono"),
    State.REJECTED: ("estatus 4, Rechazado: the carrier refused it", "estatus 4, Rechazado: la compañía lo rechazó"),
    State.FAILED: (
        "refused for good before it was accepted; `smsclick retry` tries again",
        "rechazado en definitiva, nunca aceptado; `smsclick retry` lo intenta otra vez",
    ),
    State.EXPIRED: (
        "its validity ended before it could go",
        "su vigencia terminó antes de que pudiera salir",
    ),
    State.CANCELLED: ("withdrawn before a worker claimed it", "retirado antes de que lo tomara un worker"),
    State.UNDETERMINED: (
        "accepted, but no final status in time; a later one still counts",
        "aceptado, pero sin estatus final a tiempo; uno posterior todavía cuenta",
    ),
}
"""What a state means, in English and Spanish. A state that is missing here fails the script."""


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Lines of a table in Markdown."""
    columns = list(head)
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_cell(each) for each in row)} |"


def settings() -> Iterator[str]:
    """The page of the settings."""
    yield from ("# Settings in the code", "", MADE["en"], "")
    yield "Every variable also has a form `NAME_FILE`. What each is for: [configuration](../configuration.md)."
    yield ""
    rows = []
    for field in Settings.model_fields.values():
        default = field.get_default(call_default_factory=True)
        value = default.get_secret_value() if isinstance(default, SecretStr) else default
        shown = "none" if value in (None, "") else f"`{_plain(value)}`"
        example = ", ".join(f"`{each}`" for each in field.examples or ())
        rows.append((f"`{field.validation_alias}`", shown, example))
    yield from table(("variable", "default", "example"), rows)


def commands() -> Iterator[str]:
    """The page of the commands, from their own help."""
    yield from ("# Commands", "", MADE["en"], "")
    yield "Exit codes: 0 done, 1 could not be done (one line on stderr says why), 2 wrong usage, 130 interrupted."
    yield "What else a command's exit code says stands in its own text."
    for words, command in sorted(_commands()):
        yield from ("", f"## smsclick {words}", "")
        yield from _paragraphs(command.help or "")
        rows = [_parameter(each) for each in command.params if not getattr(each, "hidden", False)]
        if rows:
            yield ""
            yield from table(("argument or option", "default", "what it is"), rows)


def states(language: str) -> Iterator[str]:
    """The page of the states, their transitions and the causes of changes."""
    spanish = language == "es"
    words = {state: texts[1 if spanish else 0] for state, texts in STATES.items()}
    if set(words) != set(State):
        raise KeyError(f"STATES lacks {set(State) - set(words)}")
    yield from ("# Estados de un mensaje" if spanish else "# States of a message", "")
    if spanish:
        yield from ("[In English](../../reference/states.md)", "")
    else:
        yield from ("[En español](../es/reference/states.md)", "")
    yield from (MADE[language], "")
    head = ("estado", "significado", "puede pasar a") if spanish else ("state", "meaning", "may become")
    final = "nada: es final" if spanish else "nothing: it is final"
    yield from table(
        head,
        (
            (f"`{each}`", words[each], ", ".join(f"`{other}`" for other in State if other in after) or final)
            for each, after in TRANSITIONS.items()
        ),
    )
    if not spanish:
        yield from ("", "## Causes", "", "Each change is a row of `smsclick_events` with one of these causes.", "")
        yield from table(("cause", "what `smsclick show` prints"), ((f"`{each}`", PHRASES[each]) for each in PHRASES))


def codes() -> Iterator[str]:
    """The page of the provider's codes."""
    yield from ("# Codes of SMSClick", "", MADE["en"], "", "## codigo", "")
    yield "What its manual lists. *Action* is what a worker does with a `sendMsg` that was refused with the code."
    yield ""
    yield from table(
        ("codigo", "meaning", "whose fault", "action"),
        ((each.code, each.meaning, each.fault, each.action) for each in CODES),
    )
    yield from ("", "## estatus_mensaje", "")
    yield from table(("estatus", "name"), ((each.value, f"`{each.name}`") for each in Estatus))


def incidents(language: str) -> Iterator[str]:
    """The page of the incidents, in the words of their alerts."""
    spanish, words = language == "es", catalogue(language)
    yield from ("# Incidentes" if spanish else "# Incidents", "")
    if spanish:
        yield from ("[In English](../../reference/incidents.md)", "")
    else:
        yield from ("[En español](../es/reference/incidents.md)", "")
    yield from (MADE[language], "")
    yield (
        "Qué hacer, paso por paso: [guía de incidentes](../runbook.md)."
        if spanish
        else "What to do, step by step: the [runbook](../runbook.md)."
    )
    labels = (
        ("Gravedad", "Qué significa.", "Qué afecta.", "Qué hacer.", "Recordatorio cada")
        if spanish
        else ("Severity", "What it means.", "What it affects.", "What to do.", "Reminder every")
    )
    for kind in KINDS.values():
        text = words.kinds[kind.name]
        yield from ("", f"## {kind.name}", "", f"*{text.title}.*", "")
        yield f"{labels[0]}: {words.phrases[kind.severity]}. {labels[4]} {kind.remind_seconds // 3600} h."
        for label, sentence in zip(labels[1:4], (text.meaning, text.touches, text.advice), strict=True):
            yield from ("", f"**{label}** {_escaped(sentence)}")


def metrics() -> Iterator[str]:
    """The page of the metrics."""
    yield from ("# Metrics in the code", "", MADE["en"], "")
    yield "What they mean exactly, and their bounds: [metrics](../metrics.md)."
    yield ""
    rows = (
        (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels), each.help)
        for each in METRICS.values()
    )
    yield from table(("metric", "type", "labels", "help"), rows)


def tables() -> Iterator[str]:
    """The page of the tables, with the comments of their columns."""
    yield from ("# Tables", "", MADE["en"], "")
    yield "Programs may read them; only `smsclick_messages` may be written ([producers](../producers.md#by-sql))."
    yield "Times are in UTC."
    for each in sorted(metadata.tables.values(), key=lambda found: found.name):
        yield from ("", f"## {each.name}", "")
        yield from table(("column", "type", "may be NULL", "comment"), map(_column, each.columns))
        yield from _indexes(each)


PAGES: Final = {
    "docs/reference/settings.md": settings,
    "docs/reference/commands.md": commands,
    "docs/reference/states.md": lambda: states("en"),
    "docs/reference/codes.md": codes,
    "docs/reference/incidents.md": lambda: incidents("en"),
    "docs/reference/metrics.md": metrics,
    "docs/reference/tables.md": tables,
    "docs/es/reference/states.md": lambda: states("es"),
    "docs/es/reference/incidents.md": lambda: incidents("es"),
}


def different(folder: Path = ROOT) -> list[str]:
    """Return the pages that are not what the code says."""
    return [name for name, made in PAGES.items() if _read(folder / name) != _text(made())]


def _commands() -> Iterator[tuple[str, Any]]:
    root = typer.Typer()
    parts = (commandline.producers, commandline._provider(), commandline._operators(), commandline._web())  # noqa: SLF001 - its own parts
    for part in parts:
        if part is not None:
            root.add_typer(part)
    yield from _leaves("", typer.main.get_command(root))


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - a command of the click that typer carries
    parts = getattr(command, "commands", {})
    for name, part in parts.items():
        if not part.hidden:
            yield from _leaves(f"{words} {name}".strip(), part)
    if not parts:
        yield words, command


def _parameter(parameter: Any) -> tuple[str, str, str]:  # noqa: ANN401 - likewise
    option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if option else [(parameter.metavar or parameter.name).upper()]
    default = parameter.default
    if parameter.required:
        shown = "required"
    elif default in (None, "", (), []) or isinstance(default, bool) or callable(default):
        shown = ""
    else:
        shown = f"`{_plain(default)}`"
    return ", ".join(f"`{each}`" for each in names), shown, " ".join((parameter.help or "").split())


def _column(column: Any) -> tuple[str, str, str, str]:  # noqa: ANN401 - a column of any type
    kind = re.sub(r"\(\)$", "", repr(column.type).split("(")[0]).strip()
    length = getattr(column.type, "length", None)
    return (
        f"`{column.name}`",
        f"{kind}({length})" if length else kind,
        "yes" if column.nullable else "no",
        column.comment or ("primary key" if column.primary_key else ""),
    )


def _indexes(found: Table) -> Iterator[str]:
    if found.indexes:
        yield ""
        yield "Indexes: " + "; ".join(
            f"`{index.name}` ({', '.join(str(getattr(part, 'name', part)) for part in index.expressions)})"
            for index in sorted(found.indexes, key=lambda each: str(each.name))
        )


def _paragraphs(text: str) -> Iterator[str]:
    paragraphs = [" ".join(each.split()) for each in text.replace("\b", "").split("\n\n")]
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ""
        yield _escaped(paragraph)


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple | list | frozenset | set):
        return ",".join(str(_plain(each)) for each in value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", r"\*").replace("[", r"\[")


def _cell(value: object) -> str:
    text = str(value)
    return (text if text.startswith("`") else _escaped(text)).replace("|", r"\|").replace("\n", " ")


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        pages = different()
        if pages:
            sys.exit(f"reference: {', '.join(pages)}: not as the code; run .venv/bin/python scripts/reference.py")
    else:
        for page, lines in PAGES.items():
            path = ROOT / page
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_text(lines()), encoding="utf-8")
