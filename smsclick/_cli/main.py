"""The `smsclick` program: a producer's commands, the provider's, and an operator's where the checkout or the image is.

`main` is where every error ends: as one line on stderr and an exit code, never as a traceback.
"""

import importlib
import importlib.metadata
import importlib.util
import io
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from smsclick._cli import output
from smsclick._cli.import_command import import_command
from smsclick._cli.tools import open_database
from smsclick._enqueue.enqueue import enqueue as enqueue_message
from smsclick._logs.event_log import EventLog
from smsclick.errors import SmsclickError

log = EventLog(__name__)

OPERATORS: Final = frozenset(
    {
        "audit",
        "callbacks",
        "cancel",
        "deadletters",
        "doctor",
        "export",
        "find",
        "forget",
        "health",
        "hold",
        "metrics",
        "migrate",
        "optout",
        "restored",
        "resume",
        "retry",
        "settle",
        "show",
        "stats",
        "token",
        "unknown",
        "up",
        "user",
        "watch",
    }
)
"""The commands of `worker.operator.commands`, which the wheel does not hold."""

WEB: Final = frozenset({"web"})
"""The command of `web.commands`, which the wheel does not hold either."""

_MARKER = "smsclick.marker"
"""A file that only our own packages `worker` and `web` have: a backend may have packages of the same names."""

PROVIDERS: Final = frozenset({"balance", "report", "status"})
"""The commands of `smsclick._cli.provider_commands`."""

producers = typer.Typer()


@producers.command("enqueue", rich_help_panel="Messages")
def enqueue_command(
    phone: Annotated[str, typer.Argument(help="A Mexican number, in any usual form.")],
    text: Annotated[str, typer.Argument(help="What to send.")],
    *,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key twice is one message.")] = None,
    send_at: Annotated[str | None, typer.Option(help="Not before; ISO 8601 with a zone.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="Not after; ISO 8601 with a zone.")] = None,
    priority: Annotated[Literal["high", "normal", "low"], typer.Option(help="Who goes first.")] = "normal",
    rule: Annotated[str | None, typer.Option(help="ID_REGLA_INTERACTIVA, if you expect a reply.")] = None,
    if_absent: Annotated[
        Literal["resend", "fail"], typer.Option(help="What to do if the provider certainly did not accept an attempt.")
    ] = "resend",
    ttl: Annotated[float | None, typer.Option(min=0, help="Not later than this many seconds from now.")] = None,
    reference: Annotated[str | None, typer.Option(help="Your own text, returned with the record.")] = None,
    callback: Annotated[str | None, typer.Option(help="Who gets its states: celery:task@queue or https://…")] = None,
) -> None:
    """Enqueue one message and print its id."""
    with open_database() as database, database.begin() as connection:
        message_id = enqueue_message(
            connection,
            phone=phone,
            text=text,
            key=key,
            send_at=send_at,
            expires_at=expires_at,
            ttl=ttl,
            priority=priority,
            rule_id=rule,
            if_absent=if_absent,
            reference=reference,
            callback=callback,
        )
    output.say(str(message_id))


producers.command("import", rich_help_panel="Messages")(import_command)


@producers.command(rich_help_panel="The provider")
def simulate(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where it listens; 0 for a free port.")] = 8808,
    key: Annotated[str | None, typer.Option(help="The only APIKEY that it accepts.")] = None,
    balance: Annotated[int | None, typer.Option(help="Credits at the start.")] = None,
    delivery_seconds: Annotated[float | None, typer.Option(help="Median time to estatus 3 or 4.")] = None,
    reject_rate: Annotated[float | None, typer.Option(help="Share of messages that end with 4.")] = None,
    never_rate: Annotated[float | None, typer.Option(help="Share of messages that stay at 2.")] = None,
    reply_seconds: Annotated[float | None, typer.Option(help="From estatus 3 to an interactive reply.")] = None,
    report_lag: Annotated[float | None, typer.Option(help="Seconds before the report shows a message.")] = None,
    more: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting of the simulator; JSON or plain text."),
    ] = None,
    faults: Annotated[
        str, typer.Option(help="Faults from the start: a JSON list as for POST /_simulator/faults.", metavar="JSON")
    ] = "[]",
) -> None:
    """Run SMSClick on your own machine, until stopped: four endpoints, every code, faults on demand."""
    from smsclick.simulator import SimulatorSettings, serve  # noqa: PLC0415 - an extra, and only needed here
    from smsclick.simulator.faults import faults_from_json  # noqa: PLC0415 - likewise

    given = {
        "api_key": key,
        "balance": balance,
        "delivery_seconds": delivery_seconds,
        "reject_rate": reject_rate,
        "never_rate": never_rate,
        "reply_seconds": reply_seconds,
        "report_lag": report_lag,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = SimulatorSettings().replace(chosen | dict(map(_setting, more or [])))
    # A key that was given is not shown: somebody may keep the output.
    shown_key = "…" if "api_key" in chosen else settings.api_key

    def ready(base_url: str) -> None:
        output.say(f"SMSClick is simulated; use SMSCLICK_BASE_URL={base_url} SMSCLICK_API_KEY={shown_key}")
        sys.stdout.flush()

    serve(port, settings, faults=faults_from_json(faults.encode()), on_ready=ready)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; those of the command line where left out.

    Returns:
        The exit code: 0 done, 1 could not be done (one line on stderr says why), 2 wrong usage, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _use_utf8()
        _run(words)
    except SystemExit as end:
        return _exit_code(end)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1
    except (SmsclickError, OSError) as error:
        log.debug("command_refused", exc_info=True)
        output.complain(error)
        return 1
    except Exception as error:
        # A defect of ours: its text may hold anything, so only its type is shown.
        log.debug("command_failed", exc_info=True)
        output.complain(f"unexpected {type(error).__name__}; see more with: smsclick --debug …")
        return 1
    return 0


def _run(words: list[str]) -> None:
    command = next((word for word in words if not word.startswith("-")), None)
    # A part is loaded only if its command is called (or --help), so that an enqueue starts quickly.
    provider = _provider() if command is None or command in PROVIDERS else None
    operators = _operators(command) if command is None or command in OPERATORS else None
    web = _web() if command is None or command in WEB else None
    if operators is None and web is None and command in OPERATORS | WEB:
        raise SmsclickError(
            f"{command}: an operator's command needs the worker: run it in the checkout or the image of smsclick, "
            "not from a pip install alone"
        )
    root = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})
    root.callback()(_options)
    for part in (producers, provider, operators, web):
        if part is not None:
            root.add_typer(part)
    program = typer.main.get_command(root)
    _join_lines(program)
    program(args=words, prog_name="smsclick")


def _join_lines(command: Any) -> None:  # noqa: ANN401 - a command of the click that typer carries
    """Join the lines of each paragraph of a help, so that the terminal's width breaks them and not our source's."""
    if command.help:
        command.help = "\n\n".join(" ".join(each.split()) for each in command.help.split("\n\n"))
    for part in getattr(command, "commands", {}).values():
        _join_lines(part)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - an option's callback
    if wanted:
        output.say(f"smsclick {importlib.metadata.version('smsclick')}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[  # noqa: ARG001 - its callback has acted
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Log more, with the traceback of an error.")] = False,
) -> None:
    """Transactional SMS through SMSClick, followed until delivered."""
    logging.basicConfig(format="smsclick: %(message)s")
    if debug:
        # Not the root logger: at debug level SQLAlchemy would show rows, and with them phones and texts.
        for name in ("smsclick", "worker"):
            logging.getLogger(name).setLevel(logging.DEBUG)


def _provider() -> typer.Typer:
    from smsclick._cli.provider_commands import provider  # noqa: PLC0415 - with it comes requests

    return provider


def _operators(command: str | None = None) -> typer.Typer | None:
    """Return the operator's commands, of all modules or of the one that has this command; None without our worker."""
    return _part("worker", lambda: _module("worker.operator.commands.registry").operators(command))


def _web() -> typer.Typer | None:
    """Return the command of the HTTP API, or None if it is not here."""
    return _part("web", lambda: _module("web.commands").commands)


def _part(package: str, load: Callable[[], typer.Typer]) -> typer.Typer | None:
    """Return the commands of a package of the checkout, or None if ours is not here.

    Raises:
        SmsclickError: the package is here, but something that it needs is not installed.
    """
    if not _found(package):
        return None
    try:
        return load()
    except ModuleNotFoundError as error:
        raise SmsclickError(f"the {package} lacks {error.name}: pip install 'smsclick[worker]'") from None


def _module(name: str) -> Any:  # noqa: ANN401 - of a package that may not be here
    return importlib.import_module(name)


def _found(package: str) -> bool:
    """Return whether importing the package imports ours, after adding its folder to the path if needed.

    A backend's own package of that name is not imported.
    """
    spec = importlib.util.find_spec(package)
    if spec is not None and any(_is_ours(Path(place)) for place in spec.submodule_search_locations or ()):
        return True
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if _is_ours(folder / package):
            sys.path.insert(0, str(folder))
            return True
    return False


def _is_ours(package: Path) -> bool:
    return (package / _MARKER).is_file()


def _use_utf8() -> None:
    """Write UTF-8 into pipes and files, whatever the locale is; a terminal keeps its own encoding.

    A terminal shows `?` for a character that its encoding does not have.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.isatty():
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _exit_code(end: SystemExit) -> int:
    if isinstance(end.code, str):
        output.complain(end.code.removeprefix("smsclick: "))
        return 1
    return end.code or 0


def _setting(pair: str) -> tuple[str, object]:
    name, equals, value = pair.partition("=")
    if not equals:
        raise typer.BadParameter(f"{pair}: write NAME=VALUE", param_hint="--set")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
