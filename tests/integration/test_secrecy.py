"""The API key, texts and phones stand in the database and in requests to the provider, and nowhere else."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from smsclick import NewMessage
from smsclick.contract import HoldReason, State, dead_letters, messages, metadata
from smsclick.simulator import ENDPOINTS, Fault, FaultKind
from tests.acceptance import IMPATIENT, Cluster, Receiver, Tap, ready, sent_by_name, sent_strangely, shows
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.conftest import StartProcess
    from tests.processes import Process
    from tests.servers import PostgresServer, RedisServer

KEY = "Kq7-llave-Xw93-Zt51"
WORD, PHONE = "zarzamora6d1f", "5579136482"
NAMED_WORD, NAMED_PHONE = "chapulines9c4e", "5583924617"
BAD_WORD, BAD_PHONE = "guanabana2b7a", "5561728395"
DATABASE_PASSWORD, ALERT_PASSWORD = "tezontle8a5c", "jacaranda3e0d"
SECRETS = (KEY, WORD, PHONE, NAMED_WORD, NAMED_PHONE, BAD_WORD, BAD_PHONE, DATABASE_PASSWORD, ALERT_PASSWORD)

SHOP = f"""
import logging, os, sys
logging.basicConfig(level=logging.DEBUG)
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from smsclick import enqueue
from smsclick.errors import SmsclickError

with Session(create_engine(os.environ["DATABASE_URL"])) as session:
    for n in range(60):
        enqueue(session, phone={PHONE!r}, text=f"Su clave es {WORD} {{n}}", key=f"shop-{{n}}")
    session.commit()
    for wrong in ({{"phone": {PHONE!r} + "0"}}, {{"key": "shop-1"}}, {{"expires_at": "2001-01-01T00:00:00Z"}}):
        try:
            enqueue(session, **{{"phone": {PHONE!r}, "text": "{WORD}", **wrong}})
        except SmsclickError:
            logging.exception("refused")
        else:
            sys.exit(3)
"""

ENDLESS = {FaultKind.HANG_BEFORE, FaultKind.HANG_AFTER, FaultKind.TRICKLE}
# One of each kind at each call; what hangs or trickles ends by the read timeout.
FAULTS = [
    Fault(kind, endpoints=(endpoint,), count=1, seconds=30)
    for kind in FaultKind
    if kind not in {FaultKind.LATENCY, FaultKind.NO_BALANCE, FaultKind.WRONG_KEY}
    for endpoint in ENDPOINTS
    if endpoint != "report" and (endpoint == "sendMsg" or kind not in ENDLESS)
]


# What a message is, and the only copy of a call that could not become one: those hold it on purpose.
KEPT_ON_PURPOSE = {(messages.name, "phone"), (messages.name, "text"), (dead_letters.name, "content")}


def content_of_the_database(cluster: Cluster) -> str:
    """Everything in our tables but what is kept on purpose."""
    found = []
    with cluster.database.read() as connection:
        for table in metadata.tables.values():
            columns = [c for c in table.columns if (table.name, c.name) not in KEPT_ON_PURPOSE]
            found += [str(row) for row in connection.execute(sa.select(*columns))]
    return "\n".join(found)


def call_badly(broker_url: str) -> None:
    """What a careless producer may put into our queue, each with something in it that must not be logged."""
    content = {"phone": BAD_PHONE, "text": f"Su clave es {BAD_WORD}"}
    sent_by_name(
        broker_url,
        [
            ({**content, "phone": BAD_PHONE + "7"}, None),
            ({**content, "colour": BAD_WORD}, None),
            ({**content, "text": [BAD_WORD]}, None),
            ({**content, "send_at": BAD_WORD}, None),
            ({**content, "priority": BAD_WORD}, None),
            ({**content, "text": f"{BAD_WORD}\0"}, None),
            ({"phone": NAMED_PHONE, "text": f"Otra {BAD_WORD}", "key": "named"}, None),
        ],
    )
    sent_strangely(broker_url, BAD_PHONE, BAD_WORD)


def test_key_texts_and_phones_stand_in_no_log_no_broker_no_exception_no_event_and_no_alert(
    postgres: PostgresServer,
    redis_server: RedisServer,
    migrated_postgres_url: str,
    redis_url: str,
    start_process: StartProcess,
) -> None:
    database_url = migrated_postgres_url.replace("postgres@", f"postgres:{DATABASE_PASSWORD}@")
    with (
        Tap(redis_server.port) as tap,
        Tap(redis_server.port) as named_tap,
        Receiver() as receiver,
        Cluster(
            start_process, database_url, "", env=IMPATIENT, api_key=KEY, balance=100_000, echo_form=True
        ) as cluster,
    ):
        alert_url = receiver.url.replace("json://", f"json://sms:{ALERT_PASSWORD}@")
        dead_url = f"json://sms:{ALERT_PASSWORD}@127.0.0.1:9/{ALERT_PASSWORD}"
        cluster.env |= {
            "CELERY_BROKER_URL": redis_url.replace(str(redis_server.port), str(tap.port)),
            "SMSCLICK_API_KEY": KEY,
            "ALERT_URLS": f"{alert_url},{dead_url}",
        }
        json = {"SMSCLICK_LOG_FORMAT": "json"}
        logs: list[Process] = [cluster.worker(level="debug"), cluster.worker(level="debug", env=json)]
        logs.append(cluster.beat(level="debug"))
        ready(*logs[:2])

        # The provider's bad day.
        cluster.provider.faults(FAULTS)
        logs.append(cluster.run("python", "-c", textwrap.dedent(SHOP), name="shop"))
        assert logs[-1].wait() == 0
        wait_until(lambda: cluster.states()[State.QUEUED] < 20, 90, what="the first attempts")
        cluster.provider.faults([Fault(FaultKind.NO_BALANCE, count=1)])
        # One that is surely still to be sent: the others may all be through by now.
        cluster.enqueue([NewMessage.of(phone=PHONE, text=f"La última {WORD}", key="last")])
        wait_until(lambda: HoldReason.NO_BALANCE in [kind for kind, *_ in cluster.incidents()], 90, what="a hold")

        # The database's: a constraint whose violation shows the whole row, then no database at all.
        with cluster.database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE smsclick_messages ADD CONSTRAINT odd CHECK (text = '') NOT VALID"))
        insert = "INSERT INTO smsclick_messages (key, phone, text) SELECT :key || n, :phone, n || :text"
        time.sleep(3)
        with cluster.database.begin() as connection:
            connection.execute(sa.text("ALTER TABLE smsclick_messages DROP CONSTRAINT odd"))
            rows = [("more", PHONE, WORD), ("odd", f"{PHONE}99", WORD), ("long", PHONE, WORD * 200)]
            for key, phone, text in rows:
                connection.execute(
                    sa.text(f"{insert} FROM generate_series(1, 20) AS n"), {"key": key, "phone": phone, "text": text}
                )
        postgres.restart()
        cluster.database.dispose()  # the test's own connections are dead

        # What others put into our queue.
        named_url = redis_url.replace(str(redis_server.port), str(named_tap.port))
        sent_by_name(named_url, [({"phone": NAMED_PHONE, "text": NAMED_WORD, "key": "named"}, None)])
        wait_until(lambda: cluster.rows(messages.c.key == "named"), 90, what="the call by name")
        call_badly(named_url)
        wait_until(lambda: not set(cluster.states()) & {State.QUEUED, State.SENDING, State.SENT}, 180, every=0.2)
        wait_until(lambda: len(receiver.notices) >= 3, 90, what="alerts")
        for process in logs[:2]:
            process.sigterm()
            assert process.wait() == 0

        # The texts were there to be seen, and the eyes are good.
        assert {PHONE, NAMED_PHONE} <= {entry.phone for entry in cluster.provider.ledger()}
        assert b"smsclick.send" in tap.traffic
        assert shows(named_tap.traffic, NAMED_WORD)
        assert shows(named_tap.traffic, BAD_PHONE)

        places = {f"log of {process.name}": process.output.encode() for process in logs}
        places["database"] = content_of_the_database(cluster).encode()
        places["alerts"] = b"\n".join(notice.raw for notice in receiver.notices)
        assert '"event": "attempt_ended"' in logs[1].output
        found = [(secret, place) for place, content in places.items() for secret in SECRETS if shows(content, secret)]
        assert found == []
        # What a wake-up carries; the broker also brings the workers the calls by name, which are the producers' own.
        assert [
            secret for secret in (KEY, WORD, PHONE, DATABASE_PASSWORD, ALERT_PASSWORD) if shows(tap.traffic, secret)
        ] == []
