"""`smsclick health`: whether the processes of this machine progress, for the probes of containers.

Liveness alone: a worker whose database, broker or provider is away is healthy, because a restart would not help it.
What a deployment needs besides is `smsclick doctor`'s affair.
"""

import dataclasses
import time
from pathlib import Path

from worker.threads import liveness


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """One process, or the lack of one.

    Attributes:
        role: `worker` or `beat`.
        pid: of the process; None where there is none.
        problems: what is wrong with it, in words; empty where nothing is.
        waits_for: what its threads wait for without being to blame, such as `database`.
    """

    role: str
    pid: int | None
    problems: tuple[str, ...]
    waits_for: tuple[str, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems

    @property
    def words(self) -> str:
        """One line for a person."""
        name = self.role if self.pid is None else f"{self.role} {self.pid}"
        if self.problems:
            return f"{name}: {'; '.join(self.problems)}"
        waits = f", waits for: {', '.join(self.waits_for)}" if self.waits_for else ""
        return f"{name}: progresses{waits}"


def examine(
    roles: tuple[str, ...], database_url: str | None, *, directory: Path | None = None, now: float | None = None
) -> list[Health]:
    """The health of each process of these roles on this machine.

    Args:
        roles: `worker`, `beat`; none: whatever runs here.
        database_url: of the deployment; None: of any.
        directory: where the processes' files are; see `worker.threads.liveness`.
        now: by `time.monotonic`; None: this moment.

    Returns:
        One for each process, and one for each role that nobody has.
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
