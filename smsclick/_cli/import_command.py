"""The command `smsclick import`."""

import contextlib
import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database, opened, progress_line
from smsclick._importing import files
from smsclick._importing.known_balance import known_balance
from smsclick._importing.records import Problem, read_records
from smsclick._importing.rejected_file import RejectedFile
from smsclick._importing.rows import MESSAGES, Defaults, as_rows
from smsclick._importing.store_rows import Summary, import_rows, try_rows
from smsclick._values.times import parse_zone
from smsclick.errors import SmsclickError


def import_command(
    file: Annotated[str, typer.Argument(help="CSV or JSON lines; - is stdin.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing; print what would be stored and what it would cost.")
    ] = False,
    rejected: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the bad lines and their reasons into this file.")
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="The zone of times without one, for example America/Mexico_City.")
    ] = None,
    ttl: Annotated[
        float | None, typer.Option(min=0, help="Seconds of validity, for lines without ttl and expires_at.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout.")] = False,
) -> None:
    """Enqueue many messages; bad lines are reported and the good ones are stored.

    Columns: phone, text, key, send_at, expires_at, ttl, priority, rule_id, if_absent, callback, reference (telefono,
    mensaje and clave are accepted too). With keys the same file may be imported again and nothing is sent twice.
    """
    defaults = Defaults(ttl, None if timezone is None else parse_zone(timezone, "--timezone"))
    summary = Summary()
    work = try_rows if dry_run else import_rows
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(open_database())
        lines = stack.enter_context(files.opened(stack.enter_context(opened(file))))
        records = read_records(lines, MESSAGES, name=file)
        _refuse_same(file, rejected)
        bad = None if rejected is None else stack.enter_context(contextlib.closing(RejectedFile(rejected, records)))
        progress = stack.enter_context(progress_line())

        def report(problem: Problem) -> None:
            progress.say(f"line {problem.line}: {problem.reason}")
            if bad is not None:
                bad.write(problem)

        try:
            rows = as_rows(records.rows, defaults)
            work(database, rows, report=report, summary=summary, progress=lambda each: progress.show(_words(each)))
        except KeyboardInterrupt:
            stack.close()
            _note_interrupted(summary, dry_run=dry_run)
            raise typer.Exit(130) from None
        except SmsclickError as error:
            if summary.stored or summary.known:
                raise SmsclickError(f"{error}; stopped after: {_words(summary)}") from error
            raise
        balance = known_balance(database) if dry_run else None
    if as_json:
        output.json_line(_summary_record(summary, balance, dry_run=dry_run))
    _note_summary(summary, balance, dry_run=dry_run)
    if summary.refused:
        raise typer.Exit(1)


def _refuse_same(file: str, rejected: Path | None) -> None:
    if rejected is not None and file != "-" and rejected.exists() and rejected.samefile(file):
        raise SmsclickError(f"--rejected: {rejected} is the file that is imported; name another one")


def _note_interrupted(summary: Summary, *, dry_run: bool) -> None:
    if dry_run:
        output.note(f"interrupted; nothing was stored. So far: {_words(summary)}")
        return
    output.note(f"interrupted: {_words(summary)}; import the same file again to continue")
    if summary.unkeyed:
        output.note(f"but {summary.unkeyed} lines came without a key: imported again, they would be sent again")


def _note_summary(summary: Summary, balance: tuple[int, dt.datetime] | None, *, dry_run: bool) -> None:
    if summary.unkeyed:
        output.note(f"{summary.unkeyed} lines came without a key: imported again, they would be sent again")
    if not dry_run:
        output.note(_words(summary))
        return
    output.note(f"dry run, nothing is stored: {_words(summary, stored='would be stored')}")
    known = "the balance is not known here (smsclick balance asks for it)"
    if balance is not None:
        short = "" if balance[0] >= summary.credits else ", which is not enough"
        known = f"the account had {balance[0]} at {output.shown(balance[1])}{short}"
    output.note(f"{summary.credits} credits needed, by length; {known}")


def _summary_record(summary: Summary, balance: tuple[int, dt.datetime] | None, *, dry_run: bool) -> dict[str, object]:
    record: dict[str, object] = {
        "would_store" if dry_run else "stored": summary.stored,
        "known": summary.known,
        "refused": summary.refused,
        "without_key": summary.unkeyed,
    }
    if dry_run:
        record |= {
            "credits_needed": summary.credits,
            "balance": None if balance is None else balance[0],
            "balance_at": None if balance is None else balance[1],
        }
    return record


def _words(summary: Summary, *, stored: str = "stored") -> str:
    return f"{summary.stored} {stored}, {summary.known} already known, {summary.refused} refused"
