"""How a process logs, passed on to a process that it starts."""

import dataclasses
import json
import logging
from collections.abc import Sequence

from worker.logs.setup import set_up


@dataclasses.dataclass(frozen=True, slots=True)
class LogForm:
    """How a process logs.

    Attributes:
        level: of the root logger.
        file: where lines go; None for stderr.
        log_format: `text` or `json`.
    """

    level: int
    file: str | None
    log_format: str

    @classmethod
    def of_this_process(cls, log_format: str) -> "LogForm":
        """How this process logs."""
        root = logging.getLogger()
        files = [each.baseFilename for each in root.handlers if isinstance(each, logging.FileHandler)]
        return cls(root.getEffectiveLevel(), next(iter(files), None), log_format)

    def as_arguments(self) -> Sequence[str]:
        """For a command line; `of_arguments` reads it."""
        return [json.dumps(dataclasses.asdict(self))]

    @classmethod
    def of_arguments(cls, arguments: Sequence[str]) -> "LogForm":
        """What `as_arguments` wrote."""
        return cls(**json.loads(arguments[0]))

    def set_up(self, process: str) -> None:
        """Have this process log so.

        Args:
            process: what this process is.
        """
        set_up(self.log_format, process, self.level, self.file)
