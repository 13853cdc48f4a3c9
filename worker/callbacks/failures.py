"""Why a call was not acknowledged: a code with its values. What people read is made from it, and never read again."""

import dataclasses
from collections.abc import Mapping

from smsclick._values.refusals import Refusal
from worker.alerting.details import Detail, made, shown
from worker.alerting.wording import DetailCode


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why a call was not acknowledged, without the address.

    Attributes:
        code: one of those that begin with `call_`; each language's catalogue has its sentence.
        values: of the sentence's placeholders.
        said: English words that say more than the sentence; the sentence points to them.
    """

    code: DetailCode
    values: Mapping[str, int | str] = dataclasses.field(default_factory=dict)
    said: str | None = None

    @classmethod
    def of(cls, code: DetailCode, /, **values: int | str) -> "Failure":
        """Return the failure with this code."""
        return cls(code, values)

    @classmethod
    def of_target(cls, refusal: Refusal) -> "Failure":
        """Return the failure of a callback whose address is none."""
        return cls(DetailCode.CALL_NO_TARGET, {"refusal": refusal.code}, str(refusal))

    @property
    def detail(self) -> Detail:
        """As a value of an incident's detail."""
        return made(self.code, **self.values)

    @property
    def words(self) -> str:
        """In English: for the log, and for people who read the column `last_error`."""
        return self.said or shown(self.detail, "en")


class CallFailedError(Exception):
    """A call failed. Its text is that of its failure, which names no address.

    Args:
        code: of the failure.
        **values: of the failure.
    """

    def __init__(self, code: DetailCode, /, **values: int | str) -> None:
        self.failure = Failure.of(code, **values)
        super().__init__(self.failure.words)
