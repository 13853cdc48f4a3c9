"""The small table that the others send from, and their settings from the environment."""

import os

import sqlalchemy as sa

from bench.provider import phone, text

KEY = "bench-key"
DATABASE_URL = os.environ.get("BENCH_DATABASE_URL", "")
BROKER_URL = os.environ.get("BENCH_BROKER_URL", "")
SEND_URL = os.environ.get("BENCH_PROVIDER_URL", "") + "/sendMsg.json"
CA_BUNDLE = os.environ.get("REQUESTS_CA_BUNDLE", "")
DSN = DATABASE_URL.replace("+psycopg", "")

metadata = sa.MetaData()
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("phone", sa.String(20), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("state", sa.String(12), nullable=False, server_default="queued"),
    sa.Column("id_mensaje", sa.BigInteger),
    sa.Column("sent_at", sa.DateTime(timezone=True)),
)


def create(url: str, count: int) -> None:
    """The table with so many messages to send, numbered from 0."""
    engine = sa.create_engine(url)
    metadata.create_all(engine)
    rows = [{"id": number, "phone": phone(number), "text": text(number)} for number in range(count)]
    with engine.begin() as connection:
        connection.execute(sa.insert(outbox), rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))
    engine.dispose()


def sent(url: str) -> int:
    """How many have their result on record."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    query = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state == "sent", outbox.c.id_mensaje > 0)
    with engine.connect() as connection:
        return int(connection.scalar(query) or 0)


def form(phone: str, text: str) -> dict[str, str]:
    """The fields of `sendMsg`."""
    return {"APIKEY": KEY, "TELEFONO": phone, "MENSAJE": text}
