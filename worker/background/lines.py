"""What a worker and its background process write to each other: one JSON object a line.

To the child: `{"tick": …}` of `worker.background.tick.Tick`, and `{"stop": true}`. To the worker: `{"ready": PID}`,
`{"send": [IDS]}`, and `{"threads": […]}` every few seconds.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from worker.threads.supervision import ThreadReport

LONGEST_LINE = 1 << 20
"""Bytes; a longer line is no line of ours."""

STOP = {"stop": True}


def encode(values: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


def state(threads: Sequence[ThreadReport]) -> dict[str, Any]:
    """What the child says of itself every few seconds."""
    return {"threads": [dataclasses.asdict(thread) for thread in threads]}


class LineReader:
    """Puts lines together from what a pipe gives."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the objects whose lines are complete.

        Raises:
            ValueError: the other side writes something else.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise ValueError("a line without an end")
        found = [json.loads(line) for line in lines if line]
        if not all(isinstance(each, dict) for each in found):
            raise ValueError("a line that is no object")
        return found
