"""Wall clocks that are wrong, or are set while a program runs, by faketime's library; monotonic clocks go on."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tests import programs
from tests.processes import ROOT
from tests.servers import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@functools.cache
def library() -> Path:
    """The library of faketime.

    Raises:
        MissingProgramError: It is not on this machine.
    """
    program = programs.find(programs.FAKETIME)["faketime"].resolve()
    places = [*program.parent.parent.glob("lib/*/faketime"), *program.parent.parent.glob("lib/faketime")]
    libraries = [path for place in places for path in sorted(place.glob("libfaketimeMT.*"))]
    if not libraries:
        raise programs.MissingProgramError(f"faketime's library is not beside {program}")
    return libraries[0]


def environment(offset: str) -> dict[str, str]:
    """Of a program whose wall clock is off by `-7s` or `+1h`, or by what a file says that may change at any time.

    Raises:
        MissingProgramError: faketime is not on this machine.
    """
    where = "FAKETIME_TIMESTAMP_FILE" if offset.startswith("/") else "FAKETIME"
    return {
        "LD_PRELOAD": str(library()),
        where: offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


class SetPostgres(PostgresServer):
    """PostgreSQL whose clock is set while it runs.

    A signal handler that interrupts faketime's library gets the right time from it. Where that is later than the set
    one, PostgreSQL now and then takes a timeout for over that has just begun, and ends a session that is idle in a
    transaction. A test that must not meet this sets a clock back from ahead, not behind the right time.

    Raises:
        MissingProgramError: At the start, where faketime is not on this machine.
    """

    def set_clock(self, offset: str) -> None:
        """By so much against the right time, from now on."""
        self.directory.mkdir(parents=True, exist_ok=True)  # also before its first start
        staged = self._offset.with_suffix(".new")
        staged.write_text(offset)
        staged.chmod(0o644)
        staged.rename(self._offset)

    @property
    def _offset(self) -> Path:
        return self.directory / "clock"

    def _environment(self) -> Mapping[str, str]:
        if not self._offset.exists():
            self.set_clock("+0s")
        return environment(str(self._offset))


PYTHON = {"PYTHONPATH": str(ROOT / "tests" / "faketime")}
"""What a Python program needs besides, see there."""
