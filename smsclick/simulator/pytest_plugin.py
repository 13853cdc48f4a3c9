"""A pytest fixture for projects that send through SMSClick.

```python
pytest_plugins = ["smsclick.simulator.pytest_plugin"]  # in conftest.py

def test_the_order_is_announced(smsclick_simulator):
    ...
    assert smsclick_simulator.ledger()[0].phone == "5551402211"
```

(PYTEST_DONT_REWRITE: `smsclick.testing` may have imported this first.)
"""

from collections.abc import Iterator

import pytest

from smsclick.simulator import Simulator


@pytest.fixture
def smsclick_simulator() -> Iterator[Simulator]:
    """A fresh simulator on a free port of 127.0.0.1, which delivers within a tenth of a second."""
    with Simulator(delivery_seconds=0.1, delivery_spread=0, reply_seconds=0.1) as simulator:
        yield simulator
