"""Print callbacks, as `smsclick show` and `smsclick callbacks list` do."""

from collections.abc import Sequence

from smsclick._cli import output
from worker.callbacks.replay import StoredCallback


def show(found: Sequence[StoredCallback], *, title: str | None) -> None:
    """Print a table of the callbacks, or nothing if there are none."""
    if found:
        output.show_table(
            ("id", "message", "event", "receiver", "state", "tries", "since", "next or end", "last error"),
            [
                (
                    each.id,
                    each.message_id,
                    each.type,
                    each.receiver,
                    each.state,
                    each.tries,
                    each.created_at,
                    each.next_at or each.ended_at,
                    each.last_error,
                )
                for each in found
            ],
            title=title,
            texts={"last error"},
            spare=("since", "tries", "message"),
        )
