"""Unknown task messages: broker messages in our queues that no task of ours can handle.

Their content is stored as a dead letter (`worker.intake.dead_letters`), because a producer's call has no other copy.
"""

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from smsclick._database.engine import Database
from worker.alerting import incidents
from worker.alerting.details import Detail, made, shown
from worker.alerting.wording import DetailCode
from worker.intake import dead_letters


class Process(Protocol):
    """What this module uses of a process's runtime."""

    @property
    def database(self) -> Database:
        """Where dead letters are stored."""


_get_process: list[Callable[[], Process]] = []


def use(get_process: Callable[[], Process]) -> None:
    """Set how to get the process's runtime; the Celery app calls this when it is made.

    Args:
        get_process: called for each message, because a process opens its runtime at the first use.
    """
    _get_process[:] = [get_process]


def store_as_dead_letter(message: Any, why: Detail) -> int | None:  # noqa: ANN401 - kombu's
    """Store the content of an unknown task message; report an incident when it was a producer's call.

    Args:
        message: kombu's message.
        why: why no task can handle it, without any of its content.

    Returns:
        The dead letter's id; None for wake-ups and ticks, which carry nothing that the database does not have.

    Raises:
        SmsclickError: (or SQLAlchemy's) it could not be stored.
    """
    content = dead_letters.broker_content(message)
    task, task_id = _task_and_id(message)
    if task.startswith("smsclick.") and task not in dead_letters.CALLS:
        return None
    process = _get_process[0]()
    with process.database.begin() as connection:
        queue = str((message.delivery_info or {}).get("routing_key") or "")
        letter = dead_letters.keep(
            connection, queue=queue, task=task, task_id=task_id, reason=shown(why, "en"), content=content
        )
        if task in dead_letters.CALLS:
            incidents.report(connection, "bad_call", detail=made(DetailCode.BAD_TASK, why=why))
    return letter


def _task_and_id(message: Any) -> tuple[str, str]:  # noqa: ANN401 - kombu's
    """The task's name and the call's id, each empty where the message has none."""
    headers = message.headers if isinstance(message.headers, dict) else {}
    found: Any = headers
    if "task" not in headers:  # protocol 1 has them in its body
        with contextlib.suppress(Exception):
            found = message.payload
    if not isinstance(found, dict):
        return "", ""
    return str(found.get("task") or ""), str(found.get("id") or "")
