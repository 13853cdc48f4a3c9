"""What tutorials show: one task per message, the row through the ORM, `requests.post`, commit; prefork.

`celery -A bench.peers.usual worker`; `python -m bench.peers.usual COUNT` publishes so many.
"""

import datetime as dt
import sys
from typing import Any

import requests
import sqlalchemy as sa
from celery import Celery, signals
from sqlalchemy.orm import DeclarativeBase, Mapped, Session

from bench.peers import table

app = Celery("usual", broker=table.BROKER_URL, set_as_current=False)
app.conf.task_ignore_result = True
engine = sa.create_engine(table.DATABASE_URL)


class Base(DeclarativeBase):
    """The ORM's base."""


class Message(Base):
    """A row of the outbox."""

    __table__ = table.outbox
    id: Mapped[int]
    phone: Mapped[str]
    text: Mapped[str]
    state: Mapped[str]
    id_mensaje: Mapped[int | None]
    sent_at: Mapped[dt.datetime | None]


@signals.worker_process_init.connect(weak=False)
def _fresh_pool(**_: Any) -> None:  # noqa: ANN401
    engine.dispose(close=False)


def send_message(message_id: int) -> None:
    """Send one message."""
    with Session(engine) as session:
        message = session.get(Message, message_id)
        if message is None or message.state != "queued":
            return
        answer = requests.post(table.SEND_URL, data=table.form(message.phone, message.text), timeout=30).json()
        if answer["codigo"] == 1:
            message.state = "sent"
            message.id_mensaje = answer["id_mensaje"]
            message.sent_at = dt.datetime.now(dt.UTC)
        session.commit()


task = app.task(name="usual.send_message")(send_message)

if __name__ == "__main__":
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(int(sys.argv[1])):
            task.apply_async((number,), producer=producer)
