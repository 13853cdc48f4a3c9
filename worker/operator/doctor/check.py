"""One check of `smsclick doctor`, as a value: what each module of checks (`worker.doctor_…`) gives."""

import dataclasses
import enum


class Verdict(enum.StrEnum):
    """How a check ended. Only `FAILED` makes the whole fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One check: what was found, and what to do about it."""

    name: str
    verdict: Verdict
    found: str
    todo: str = ""
