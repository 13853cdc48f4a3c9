"""The operator's commands of `smsclick`, which join the program where the checkout or the image is."""

import dataclasses
import datetime as dt
import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database, opened, progress_line
from smsclick._database.database import Database, parse_url
from smsclick._database.sqlite_files import path_of
from smsclick._database.urls import shown
from smsclick._values import times
from smsclick.contract import Priority, State
from smsclick.errors import InvalidField, InvalidTime, SmsclickError
from smsclick.provider.codes import lookup
from smsclick.settings import Settings, get_settings
from worker.account.holds import AccountState
from worker.operator import dead_letter_commands, exporting, health, operations, unknowns
from worker.operator.doctor import checkup as doctoring
from worker.operator.doctor.check import Check, Verdict
from worker.operator.operations import Done, Incident, Stats, Story
from worker.operator.restored_command import recovery
from worker.operator.unknown_commands import unknown_commands
from worker.queue import optouts

operators = typer.Typer()
_optout = typer.Typer(no_args_is_help=True, help="Phones that are never written to.")
operators.add_typer(unknown_commands)
operators.add_typer(_optout, name="optout", rich_help_panel="Operation")
operators.add_typer(recovery)
operators.add_typer(dead_letter_commands.group, name="deadletters", rich_help_panel="Operation")

AsJson = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]
Phones = Annotated[list[str], typer.Argument(metavar="PHONE...", help="Mexican numbers, in any usual form.")]
Names = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids or keys; id:… and key:… where both fit.")]

_SIGNS = {Verdict.OK: "✔", Verdict.WARNING: "!", Verdict.FAILED: "✘", Verdict.SKIPPED: "-"}
_PLAIN_SIGNS = _SIGNS | {Verdict.OK: "ok", Verdict.FAILED: "X"}
"""For terminals that have no such characters: shown as `?`, a success would look like a failure."""


@operators.command(rich_help_panel="Operation")
def export(
    *,
    form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="JSON lines or CSV.")] = "jsonl",
    states: Annotated[
        list[State] | None, typer.Option("--state", help="Only those in this state; may be given several times.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only those created since; as report takes times.")] = None,
    until: Annotated[str | None, typer.Option(help="Only those created until; a day to its end.")] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="CSV for spreadsheets: marked as UTF-8, times as clocks show them.")
    ] = False,
    keep_formulas: Annotated[
        bool, typer.Option("--keep-formulas", help="CSV with texts as they are, also those like =1+1.")
    ] = False,
) -> None:
    """Write one record a message to stdout, as a stream.

    Times without a zone are in the provider's (SMSCLICK_TIMEZONE). In a CSV an apostrophe goes before texts that a
    spreadsheet would take for a formula.
    """
    if (excel or keep_formulas) and form != "csv":
        raise InvalidField(f"{'--excel' if excel else '--keep-formulas'}: is for CSV; add --format csv")
    zone = get_settings().zone
    wanted = exporting.Wanted(
        states or (),
        None if since is None else _moment("--since", since),
        None if until is None else _moment("--until", until, end_of_day=True),
    )
    with open_database() as database:
        records = exporting.export(database, wanted)
        if form == "csv":
            exporting.write_csv(records, sys.stdout, exporting.CsvForm(excel, zone, keep_formulas))
        else:
            exporting.write_jsonl(records, sys.stdout)


@operators.command(rich_help_panel="Operation")
def show(
    name: Annotated[str, typer.Argument(metavar="ID-or-KEY", help="Which message.")], *, as_json: AsJson = False
) -> None:
    """Show one message and its history."""
    with open_database() as database:
        story = operations.show(database, name)
    if as_json:
        output.json_line(
            {
                "message": story.message | {"priority": Priority(story.message["priority"]).name.lower()},
                "events": story.events,
                "incidents": [dataclasses.asdict(each) for each in story.incidents],
                "next": story.next,
            }
        )
    else:
        _show_story(story)


@operators.command(rich_help_panel="Operation")
def stats(*, as_json: AsJson = False) -> None:
    """Show counts by state, the oldest due, hold, balance and open incidents."""
    with open_database() as database:
        found = operations.stats(database)
    if as_json:
        output.json_line(_stats_record(found))
    else:
        _show_stats(found)


@operators.command(rich_help_panel="Operation")
def cancel(names: Names) -> None:
    """Withdraw messages that have not been sent."""
    _each(names, operations.cancel, "cancelled")


@operators.command(rich_help_panel="Operation")
def retry(
    names: Names,
    *,
    even_if_unknown: Annotated[
        bool, typer.Option("--even-if-unknown", help="Also those that the provider may have: a second SMS is possible.")
    ] = False,
) -> None:
    """Queue failed messages once more."""
    _each(names, functools.partial(operations.retry, even_if_unknown=even_if_unknown, who=unknowns.user()), "queued")


@operators.command(rich_help_panel="Operation")
def hold() -> None:
    """Stop sending until resume; messages wait and nothing is lost."""
    with open_database() as database:
        held = operations.hold(database)
    output.say("held: nothing is sent until smsclick resume" if held else "held already")


@operators.command(rich_help_panel="Operation")
def resume() -> None:
    """Lift the operator's hold."""
    with open_database() as database:
        state = operations.resume(database)
    if state.is_open:
        output.say("resumed")
    else:
        why = ", ".join(operations.held_for(state))
        output.say(f"resumed, but still held: {why}; the balance is asked now, and sending goes on by itself")


@_optout.command("add")
def optout_add(
    phones: Phones, *, reason: Annotated[str | None, typer.Option(help="How it came here, in words.")] = None
) -> None:
    """Never write to these phones; their messages fail from the next claim on."""
    with open_database() as database:
        added = optouts.add(database, phones, reason)
    output.say(f"{added} added, {len(phones) - added} already known")


@_optout.command("remove")
def optout_remove(phones: Phones) -> None:
    """Write to these phones again; what has failed meanwhile stays failed until it is retried."""
    with open_database() as database:
        removed = optouts.remove(database, phones)
    output.say(f"{removed} removed, {len(phones) - removed} not on the list")


@_optout.command("list")
def optout_list(*, as_json: AsJson = False) -> None:
    """Write the list to stdout: CSV that import takes, or JSON lines."""
    with open_database() as database:
        if as_json:
            for each in optouts.listed(database):
                output.json_line(dataclasses.asdict(each))
        else:
            optouts.write_csv(optouts.listed(database), sys.stdout)


@_optout.command("import")
def optout_import(
    file: Annotated[str, typer.Argument(help="CSV or JSON lines with phone and perhaps reason; - is stdin.")],
) -> None:
    """Add the phones of a file; bad lines are reported and the good ones go in."""
    summary = optouts.Summary()
    with open_database() as database, opened(file) as stream, progress_line() as progress:
        optouts.import_file(
            database,
            stream,
            name=file,
            report=lambda number, why: progress.say(f"line {number}: {why}"),
            summary=summary,
        )
    output.note(f"{summary.added} added, {summary.known} already known, {summary.refused} refused")
    if summary.refused:
        raise typer.Exit(1)


@operators.command("health", rich_help_panel="Operation")
def health_command(
    *,
    worker: Annotated[bool, typer.Option("--worker", help="The workers of this machine.")] = False,
    beat: Annotated[bool, typer.Option("--beat", help="The beat of this machine.")] = False,
    as_json: AsJson = False,
) -> None:
    """Whether the processes of this machine progress: for containers, exit 0 or 1. Asks nothing but the processes."""
    _show_health(tuple(role for role, wanted in (("worker", worker), ("beat", beat)) if wanted), as_json=as_json)


def _show_health(roles: tuple[str, ...], *, as_json: bool) -> None:
    try:
        database_url: str | None = get_settings().database_url
    except SmsclickError:
        database_url = None  # a setting that is wrong now is no fault of the processes, which began with good ones
    found = health.examine(roles, database_url)
    for each in found:
        if as_json:
            output.json_line(dataclasses.asdict(each))
        elif each.is_healthy:
            output.say(each.words)
    for each in found:
        if not each.is_healthy:
            output.complain(each.words)
    if not all(each.is_healthy for each in found):
        raise typer.Exit(1)


@operators.command(rich_help_panel="Operation")
def doctor(
    *,
    this_worker: Annotated[bool, typer.Option("--worker", help="The same as `smsclick health --worker`.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check configuration, database, broker, beat, key, balance and clock, and say what to do."""
    if this_worker:
        _show_health(("worker",), as_json=as_json)
        return
    checks = list(doctoring.examine())
    if as_json:
        for check in checks:
            output.json_line(dataclasses.asdict(check))
    else:
        _show_checks(checks)
    failed = [check.name for check in checks if check.verdict is Verdict.FAILED]
    if failed:
        output.complain(f"not healthy: {', '.join(failed)}")
        raise typer.Exit(1)


@operators.command(rich_help_panel="Operation")
def migrate() -> None:
    """Create or upgrade the tables, from any folder."""
    from worker import embedded  # noqa: PLC0415 - Alembic, which the other commands start without

    settings = get_settings()
    embedded.migrate(settings.database_url)
    output.say(f"the tables are at the newest version in {_where(settings)}")


def _where(settings: Settings) -> str:
    url = parse_url(settings.database_url)
    return str(path_of(url) or shown(url))


@operators.command(rich_help_panel="Operation")
def up(
    *,
    simulate: Annotated[bool, typer.Option("--simulate", help="Send to a simulator of its own.")] = False,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="Of the log on stderr.")
    ] = "info",
) -> None:
    """Run everything in one process, without any server: migrate, worker, beat (and the simulator)."""
    from worker import embedded  # noqa: PLC0415 - Celery and Alembic, which the other commands start without

    def ready(settings: Settings) -> None:
        output.say(f"smsclick is up and sends to {settings.base_url}; Ctrl-C stops it")
        if simulate:
            key = settings.require_api_key()
            output.say(f"that is a simulator; ask it with SMSCLICK_BASE_URL={settings.base_url} SMSCLICK_API_KEY={key}")
        output.say(f"from another terminal{_same_database()}: {_program()} enqueue 5551402211 'Hola'")
        sys.stdout.flush()

    embedded.up(simulate=simulate, log_level=log_level, on_ready=ready)


def _program() -> str:
    """How a person in this folder starts this program: by its name where the shell finds it, else by its path."""
    found = shutil.which("smsclick")
    own = Path(sys.argv[0]).absolute()
    if own.name != "smsclick" or (found is not None and Path(found).absolute() == own):
        return "smsclick"
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)


def _same_database() -> str:
    return " with the same DATABASE_URL" if os.environ.get("DATABASE_URL") else ""


def _each(names: Sequence[str], act: Callable[[Database, Sequence[str]], Iterator[Done]], done: str) -> None:
    """Act on all that can be acted on; each that cannot gets its line on stderr."""
    refused = False
    with open_database() as database:
        for result in act(database, names):
            if result.problem is None:
                output.say(f"{result.id} {done}")
            else:
                refused = True
                output.complain(result.problem)
    if refused:
        raise typer.Exit(1)


def _moment(option: str, word: str, *, end_of_day: bool = False) -> dt.datetime:
    try:
        return times.parse_moment(word, get_settings().zone, end_of_day=end_of_day)
    except InvalidTime as error:
        raise InvalidTime(f"{option}: {error}") from None


def _show_story(story: Story) -> None:
    message = story.message
    output.show_pairs(
        {name: message[name] for name in ("id", "key", "phone", "text", "state")}
        | {"next": story.next}
        | {
            name: message[name]
            for name in ("id_mensaje", "estatus_mensaje", "attempts", "credits_used", "last_code", "last_error")
        }
        | {"priority": _priority(message["priority"])}
        | {name: message[name] for name in ("rule_id", "send_at", "expires_at", "if_absent", "callback", "reference")}
        | {name: message[name] for name in ("sent_at", "final_at", "reply", "replied_at", "erased_at")}
    )
    output.show_table(
        ("when", "from", "to", "cause", "attempt", "code", "description", "id_mensaje"),
        [
            (message["created_at"], "", State.QUEUED, "created", "", "", "", ""),
            *(
                (
                    event["at"],
                    event["from_state"],
                    event["to_state"],
                    event["cause"],
                    event["attempt"],
                    event["code"],
                    event["description"] or _meaning(event["code"]),
                    event["id_mensaje"],
                )
                for event in story.events
            ),
        ],
        title="History",
        texts={"cause", "description"},
        spare=("from", "attempt"),
    )
    _show_incidents(story.incidents)


def _priority(value: object) -> object:
    """Its name, or whatever plain SQL has put there."""
    names = {int(each): each.name.lower() for each in Priority}
    return names.get(value, value) if isinstance(value, int) else value


def _meaning(code: int | None) -> str:
    return "" if code is None else lookup(code).meaning


def _show_stats(found: Stats) -> None:
    about = found.counts.estimated
    shown = [(state, f"about {n}" if state in about else n) for state, n in found.counts.states.items()]
    output.show_table(("state", "messages"), shown)
    state = found.account_state
    oldest = found.oldest_due_seconds
    known = state.balance is not None and state.balance_at is not None
    output.show_pairs(
        {
            "oldest due": "none" if oldest is None else times.span(oldest),
            "hold": "none" if state.is_open else ", ".join(operations.held_for(state)),
            "held since": _held_since(state),
            "canary": state.canary_id,
            "report lag": _report_lag(state),
            "balance": f"{state.balance} credits at {output.shown(state.balance_at)}" if known else "not asked yet",
        }
    )
    if found.heartbeats:
        output.show_table(
            ("heartbeat", "last", "progress"),
            [(beat.name, f"{times.span(beat.age_seconds)} ago", beat.progress) for beat in found.heartbeats],
        )
    _show_incidents(found.incidents)


def _report_lag(state: AccountState) -> str | None:
    """The one assumption of settling, as measured: it must stay well below SMSCLICK_SETTLE_SECONDS."""
    if state.lag_since is not None:
        waited = (state.now - state.lag_since).total_seconds()
        if state.report_lag is None or waited > state.report_lag:
            return f"more than {times.span(waited)}: the newest message looked for is not in the report yet"
    if state.report_lag is None:
        return None
    return f"at most {times.span(state.report_lag)}, measured at {output.shown(state.report_lag_at)}"


def _show_incidents(incidents: Sequence[Incident]) -> None:
    if incidents:
        output.show_table(
            ("open since", "incident", "times", "detail", "what to do"),
            [(each.opened_at, each.title, each.occurrences, each.detail, each.advice) for each in incidents],
            title="Open incidents",
            texts={"incident", "detail", "what to do"},
            spare=("times",),
        )


def _held_since(state: AccountState) -> dt.datetime | None:
    since = [each for each in (state.operator_hold_at, state.hold_since) if each is not None]
    return min(since, default=None)


def _stats_record(found: Stats) -> dict[str, Any]:
    state = found.account_state
    hold = None
    if not state.is_open:
        hold = {
            "reason": "operator" if state.hold_reason is None else state.hold_reason,
            "since": _held_since(state),
            "by_operator": state.operator_hold_at is not None,
            "canary_id": state.canary_id,
        }
    return {
        "states": found.counts.states,
        "estimated": sorted(found.counts.estimated),
        "oldest_due_seconds": found.oldest_due_seconds,
        "hold": hold,
        "report_lag_seconds": state.report_lag,
        "report_lag_at": state.report_lag_at,
        "balance": state.balance,
        "balance_at": state.balance_at,
        "incidents": [dataclasses.asdict(each) for each in found.incidents],
        "heartbeats": [dataclasses.asdict(each) for each in found.heartbeats],
        "at": found.now,
    }


def _show_checks(checks: Sequence[Check]) -> None:
    signs = _SIGNS if output.can_show("".join(_SIGNS.values())) else _PLAIN_SIGNS
    output.show_table(
        ("", "check", "found", "what to do"),
        [(signs[check.verdict], check.name, check.found, check.todo) for check in checks],
        texts={"found", "what to do"},
    )
