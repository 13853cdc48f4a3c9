"""Print open incidents, as `smsclick show` and `smsclick stats` do."""

from collections.abc import Sequence

from smsclick._cli import output
from worker.operator.open_incidents import Incident


def show(incidents: Sequence[Incident]) -> None:
    """Print a table of the incidents, or nothing if there are none."""
    if incidents:
        output.show_table(
            ("open since", "incident", "times", "detail", "what to do"),
            [(each.opened_at, each.title, each.occurrences, each.detail, each.advice) for each in incidents],
            title="Open incidents",
            texts={"incident", "detail", "what to do"},
            spare=("times",),
        )
