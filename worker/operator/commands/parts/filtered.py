"""`smsclick cancel` and `retry` by a filter: count, ask, act with a progress bar, and say what was done."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from smsclick._cli import output
from smsclick._cli.tools import open_database, progress_bar
from smsclick.contract import State
from worker.operator import filtered_changes
from worker.operator.commands.options import time_of
from worker.operator.commands.parts import confirmation
from worker.operator.commands.parts.current_user import current_user
from worker.operator.filtered_changes import STATE_OF, Filter, FilteredAct
from worker.sql.audit import Act

States = Annotated[
    list[State] | None, typer.Option("--state", help="Only messages in this state; can be given several times.")
]
References = Annotated[
    list[str] | None, typer.Option("--reference", help="Only messages with this reference; several times: any of them.")
]
Codes = Annotated[
    list[int] | None,
    typer.Option("--code", help="Only messages with this latest code, like -103; several times: any of them."),
]

_DONE: Final[dict[Act, str]] = {Act.CANCEL: "cancelled", Act.RETRY: "queued"}


@dataclasses.dataclass(frozen=True, slots=True)
class FilterOptions:
    """The options of a filter as they were given."""

    states: Sequence[State] | None
    references: Sequence[str] | None
    codes: Sequence[int] | None
    since: str | None
    until: str | None
    dry_run: bool
    yes: bool

    @property
    def is_filter(self) -> bool:
        """Whether any of them selects messages."""
        return any((self.states, self.references, self.codes)) or not (self.since is None and self.until is None)


def chosen(act: FilteredAct, names: Sequence[str] | None, given: FilterOptions) -> bool:
    """Return whether a filter was given, and not names.

    Raises:
        typer.BadParameter: both or none was given, or a filter that the act is not possible for.
    """
    if names and given.is_filter:
        raise typer.BadParameter("give either ids or a filter, not both")
    if names and given.dry_run:
        raise typer.BadParameter("--dry-run is for a filter; smsclick show says what is known of one message")
    if names:
        return False
    if not given.is_filter:
        raise typer.BadParameter("give ids, or a filter: --state, --reference, --code, --since, --until")
    others = set(given.states or ()) - {STATE_OF[act]}
    if others:
        raise typer.BadParameter(
            f"--state {min(others)}: by a filter only {STATE_OF[act]} messages can be "
            f"{'retried' if act is Act.RETRY else 'cancelled'}"
            + ("; an unknown one could have been accepted: see smsclick unknown" if State.UNKNOWN in others else "")
        )
    return True


def run(act: FilteredAct, given: FilterOptions) -> None:
    """Count what matches, ask, and act.

    Raises:
        typer.Exit: the person did not agree, or could not be asked.
    """
    wanted = Filter(
        references=frozenset(given.references or ()),
        codes=frozenset(given.codes or ()),
        since=time_of("--since", given.since),
        until=time_of("--until", given.until, end_of_day=True),
    )
    state = STATE_OF[act]
    with open_database() as database:
        found = filtered_changes.count(database, act, wanted)
        besides = f"; {found.impossible} more were erased or their validity ended" if found.impossible else ""
        if given.dry_run:
            output.say(f"{found.possible} {state} messages would be {_DONE[act]}{besides}")
            return
        if not found.possible:
            output.say(f"no {state} message matches{besides}")
            return
        confirmation.require(f"{act} {found.possible} {state} messages", yes=given.yes)
        work = filtered_changes.cancel if act is Act.CANCEL else filtered_changes.retry
        with progress_bar(f"{act}", found.possible) as show:
            done = work(database, wanted, actor=current_user(), progress=lambda so_far: show(so_far.changed))
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(done.passed_over.items()))
    output.say(f"{done.changed} {_DONE[act]}" + (f"; passed over: {reasons}" if reasons else ""))
