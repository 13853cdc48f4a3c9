"""What unit tests may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.senders import TRANSPORTS
from tests.socket_server import unused_port

if TYPE_CHECKING:
    from tests.senders import Transport


@pytest.fixture(params=TRANSPORTS.values(), ids=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> Transport:
    """Each class of the provider's client in turn: what holds for one transport holds for all."""
    given: Transport = request.param
    return given


@pytest.fixture
def dead_port() -> int:
    """A port of this machine on which nothing listens."""
    return unused_port()
