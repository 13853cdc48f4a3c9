"""What a role may see: a viewer sees masked phones and no texts.

Templates get phones, texts and replies through `Sight` only, so that none shows more by accident.
"""

import dataclasses

from worker.operator.access.users import Role

_SHOWN_DIGITS = 4
_HIDDEN = "•"
"""Stands for each digit that is not shown."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """What the person who is signed in may see.

    Attributes:
        role: of the person.
    """

    role: Role

    @property
    def full(self) -> bool:
        """Whether everything is shown."""
        return self.role is Role.OPERATOR

    def phone(self, phone: str | None) -> str:
        """Return a phone as this role may see it; empty where it was erased."""
        if not phone:
            return ""
        return phone if self.full else masked(phone)

    def text(self, text: str | None) -> str | None:
        """Return a text, a reply or an address that may hold one, or None where this role may not see it."""
        return text if self.full else None


def masked(phone: str) -> str:
    """Return a phone of which only the last four digits are readable."""
    shown = phone[-_SHOWN_DIGITS:] if len(phone) > _SHOWN_DIGITS else ""
    return _HIDDEN * (len(phone) - len(shown)) + shown
