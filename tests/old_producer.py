"""What a backend does with an installed `smsclick`, whichever release that is: `python old_producer.py FOLDER`.

FOLDER holds that release's packages; the database is `DATABASE_URL`. Prints what came of it as JSON. It imports
nothing of the tests, because those are of the newest release.
"""

import json
import os
import sys

sys.path.insert(0, sys.argv[1])

import sqlalchemy as sa
from sqlalchemy.orm import Session

import smsclick
from smsclick.errors import SmsclickError

assert smsclick.__file__ is not None
assert smsclick.__file__.startswith(sys.argv[1]), smsclick.__file__

url = os.environ["DATABASE_URL"]
if url.startswith("mysql"):
    url = url.split("?")[0]
engine = sa.create_engine(url)
found: dict[str, object] = {}
with Session(engine) as session, session.begin():
    smsclick.enqueue(session, phone="55 5140 2211", text="Señal: ya va", key="one", priority="high")
    new = [smsclick.NewMessage.of(phone=f"55514{n:05d}", text=f"Pedido {n}", key=f"many-{n}") for n in range(20)]
    smsclick.enqueue_many(session, new)
with Session(engine) as session, session.begin():
    first = smsclick.status(session, "one")
    # The same key with the same content is the same message.
    smsclick.enqueue(session, phone="55 5140 2211", text="Señal: ya va", key="one", priority="high")
    found["count"] = session.execute(sa.text("SELECT count(*) FROM smsclick_messages")).scalar_one()
    found["status"] = first and first.state
    found["cancelled"] = [smsclick.cancel(session, "many-19"), smsclick.cancel(session, "none")]
with Session(engine) as session:
    try:
        smsclick.enqueue(session, phone="55 5140 2211", text="otro", key="one")
    except SmsclickError as error:
        found["other content"] = type(error).__name__
    session.rollback()
    gone = smsclick.status(session, "many-19")
    found["status of the cancelled"] = gone and gone.state
sys.stdout.write(json.dumps(found))
