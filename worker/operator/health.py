"""Judge whether the processes of this machine make progress, for the probes of containers.

This is liveness only: a worker without its database, broker or provider is healthy, because a restart does not help it.
`smsclick doctor` checks what else a deployment needs.
"""

import dataclasses
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from worker.threads import liveness

_STOP_SECONDS = 20.0
"""How long a process that is asked to end may take, by default; within the timeout of a container's probe."""


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """The health of one process, or of a role without a process.

    Attributes:
        role: `worker` or `beat`.
        pid: of the process; None if there is none.
        problems: what is wrong, in words; empty if nothing is.
        waits_for: what its threads wait for, such as `database`; this is not a problem.
    """

    role: str
    pid: int | None
    problems: tuple[str, ...]
    waits_for: tuple[str, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    @property
    def words(self) -> str:
        """One line for a person."""
        name = self.role if self.pid is None else f"{self.role} {self.pid}"
        if self.problems:
            return f"{name}: {'; '.join(self.problems)}"
        waits = f", waits for: {', '.join(self.waits_for)}" if self.waits_for else ""
        return f"{name}: makes progress{waits}"


def examine(
    roles: tuple[str, ...], database_url: str | None, *, directory: Path | None = None, now: float | None = None
) -> list[Health]:
    """Return the health of each process with these roles on this machine.

    Args:
        roles: `worker`, `beat`; empty for every process that runs here.
        database_url: of the deployment; None for any deployment.
        directory: where the processes' files are; see `worker.threads.liveness`.
        now: by `time.monotonic`; None for the time of the call.

    Returns:
        One for each process, and one for each role without a process.
    """
    signs = liveness.read(database_url=database_url, directory=directory)
    now = time.monotonic() if now is None else now
    found = [
        Health(
            role=sign.role,
            pid=sign.pid,
            problems=tuple(liveness.problems(sign, now)),
            waits_for=tuple(sorted({thread.waits_for for thread in sign.threads if thread.waits_for is not None})),
        )
        for sign in signs
        if not roles or sign.role in roles
    ]
    there = {health.role for health in found}
    missing = [role for role in roles or (() if there else ("worker",)) if role not in there]
    return found + [Health(role, None, ("no such process of this user runs on this machine",)) for role in missing]


def end_stalled(found: Sequence[Health], *, stop_seconds: float = _STOP_SECONDS) -> list[int]:
    """End the processes that do not progress, so that what supervises them starts them again.

    `health` says that a process does not progress only after a minute, so one that starts or is busy is never ended.

    Args:
        found: as `examine` returns it.
        stop_seconds: how long a process may take to end after SIGTERM; then it gets SIGKILL.

    Returns:
        The pids of the processes that were asked to end.
    """
    pids = [each.pid for each in found if each.pid is not None and not each.is_healthy]
    for pid in pids:
        _signal(pid, signal.SIGTERM)
    until = time.monotonic() + stop_seconds
    while time.monotonic() < until and any(_signal(pid, 0) for pid in pids):
        time.sleep(0.1)
    for pid in pids:
        _signal(pid, signal.SIGKILL)
    return pids


def _signal(pid: int, number: int) -> bool:
    """Send a signal; False where the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
