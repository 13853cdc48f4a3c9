"""A test kit for backends: read what a test enqueued, without sending it; or use a real worker and a simulator.

With pytest:

```python
pytest_plugins = ["smsclick.testing"]  # in conftest.py

@pytest.fixture
def smsclick_bind(session):  # your test's transaction: a session, a connection or an engine
    return session

def test_the_customer_hears_of_it(session, smsclick_outbox):
    ship(session, order)
    assert "va en camino" in smsclick_outbox.one(to="55 5140 2211").text
```

With unittest, and so with Django's `manage.py test`:

```python
def setUp(self):
    self.outbox = self.enterContext(outbox(self.session))  # in Django: outbox(smsclick.django.connected)
```

No wake-up is published while a test uses one of these. (PYTEST_DONT_REWRITE: a conftest may import this first.)

The kit reads and deletes rows of a test database only. It may import `_enqueue`, `_values`, `_wakeups`, `contract`,
`settings` and `simulator`. Decisions: docs/decisions/0052 (an outbox knows where the app writes), 0051.
"""

import importlib.util

from smsclick.testing.enqueued import Enqueued
from smsclick.testing.outbox import Bind, Outbox, outbox
from smsclick.testing.tables import create_tables
from smsclick.testing.worker import Worker

if importlib.util.find_spec("pytest") is not None:
    from smsclick.simulator.pytest_plugin import smsclick_simulator as smsclick_simulator
    from smsclick.testing.fixtures import smsclick_bind as smsclick_bind
    from smsclick.testing.fixtures import smsclick_database_url as smsclick_database_url
    from smsclick.testing.fixtures import smsclick_outbox as smsclick_outbox
    from smsclick.testing.fixtures import smsclick_recorder as smsclick_recorder
    from smsclick.testing.fixtures import smsclick_silence as smsclick_silence
    from smsclick.testing.fixtures import smsclick_worker as smsclick_worker

__all__ = ["Bind", "Enqueued", "Outbox", "Worker", "create_tables", "outbox"]
