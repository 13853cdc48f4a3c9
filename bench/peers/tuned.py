"""The usual worker after somebody has tuned it: gevent, a kept session, one UPDATE to claim, one for the result.

`celery -A bench.peers.tuned worker -P gevent -c 100`; `python -m bench.peers.tuned COUNT` publishes so many.
"""

import sys

import requests
import sqlalchemy as sa
from celery import Celery
from requests.adapters import HTTPAdapter

from bench.peers import table

app = Celery("tuned", broker=table.BROKER_URL, set_as_current=False)
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 4
engine = sa.create_engine(
    table.DATABASE_URL, isolation_level="AUTOCOMMIT", pool_size=20, max_overflow=0, pool_reset_on_return=None
)
http = requests.Session()
http.trust_env = False
http.verify = table.CA_BUNDLE or True
for scheme in ("http://", "https://"):
    http.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=200))

CLAIM = sa.text("UPDATE outbox SET state = 'sending' WHERE id = :id AND state = 'queued' RETURNING phone, text")
RESULT = sa.text("UPDATE outbox SET state = 'sent', id_mensaje = :id_mensaje, sent_at = now() WHERE id = :id")


def send_message(message_id: int) -> None:
    """Send one message."""
    with engine.connect() as connection:
        row = connection.execute(CLAIM, {"id": message_id}).first()
    if row is None:
        return
    answer = http.post(table.SEND_URL, data=table.form(row.phone, row.text), timeout=30).json()
    if answer["codigo"] == 1:
        with engine.connect() as connection:
            connection.execute(RESULT, {"id": message_id, "id_mensaje": answer["id_mensaje"]})


task = app.task(name="tuned.send_message")(send_message)

if __name__ == "__main__":
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(int(sys.argv[1])):
            task.apply_async((number,), producer=producer)
