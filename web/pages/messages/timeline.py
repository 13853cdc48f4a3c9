"""A message's events in words: who, when, and why."""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

from smsclick._values.causes import cause_of
from web.pages.messages.shown import Veil
from web.pages.words import Words


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline.

    Attributes:
        at: when.
        state: that the message had from then on.
        words: why, in the person's language.
        actor: the person who did it; empty where nobody did.
        attempt: its number; 0 before the first.
        code: the provider's code; empty where there is none.
        meaning: of that code, in the person's language; empty for one that the manual does not list.
        said: the provider's own words, or what was found.
        id_mensaje: that came with it.
    """

    at: dt.datetime | None
    state: str
    words: str
    actor: str = ""
    attempt: int = 0
    code: str = ""
    meaning: str = ""
    said: str = ""
    id_mensaje: str = ""


CREATED: Final = "cause.created"


def steps(message: Mapping[str, Any], events: Iterable[Mapping[str, Any]], words: Words, veil: Veil) -> list[Step]:
    """Return the timeline of a message, oldest first.

    Args:
        message: its columns by name.
        events: its events by the columns' names, oldest first.
        words: of the person's language.
        veil: what the person may see.
    """
    created = message["created_at"]
    found = [Step(created if isinstance(created, dt.datetime) else None, "queued", words(CREATED))]
    for event in events:
        cause = cause_of(event["cause"], event["description"])
        code = "" if event["code"] is None else str(event["code"])
        found.append(
            Step(
                at=event["at"],
                state=event["to_state"],
                words=veil(event["cause"]) if cause is None else words(f"cause.{cause}"),
                actor=veil(event["actor"]),
                attempt=event["attempt"],
                code=code,
                meaning=meaning(code, words),
                said=veil(event["description"]),
                id_mensaje=veil(event["id_mensaje"]),
            )
        )
    return found


def meaning(code: str, words: Words) -> str:
    """Return what a code of the provider means; empty for none, or one that its manual does not list."""
    return words(f"code.{code}") if words.has(f"code.{code}") else ""
