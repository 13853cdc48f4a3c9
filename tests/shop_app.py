"""A producer's own Celery app, as a test starts it: it knows nothing of smsclick but the name of its own task.

`SHOP_BROKER` is its broker, `SHOP_FILE` where it writes one line of JSON for each call that it takes.
"""

import json
import os
from pathlib import Path
from typing import Any

from celery import Celery

app = Celery("shop", broker=os.environ["SHOP_BROKER"], set_as_current=False)
app.conf.update(task_default_queue="shop", worker_enable_remote_control=False, worker_send_task_events=False)


@app.task(name="shop.sms_changed", bind=True)
def sms_changed(self: Any, event: dict[str, Any]) -> None:  # noqa: ANN401 - Celery's own
    """Store each event that arrives."""
    with Path(os.environ["SHOP_FILE"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"task_id": self.request.id, "event": event}) + "\n")
