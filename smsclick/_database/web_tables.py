"""The tables of `smsclick web`: who may call the HTTP API, and who may use the page."""

from sqlalchemy import Column, String, Table

from smsclick._database.columns import BigId, UtcDateTime, default_now
from smsclick._database.metadata import MYSQL_OPTIONS, metadata

tokens = Table(
    "smsclick_tokens",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False, unique=True, comment="what it is for, in its creator's words"),
    Column("hash", String(64), nullable=False, unique=True, comment="SHA-256 of the token, in hexadecimal digits"),
    Column("scopes", String(40), nullable=False, comment="send, read, operate; separated by blanks"),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("created_by", String(100), nullable=False),
    Column("last_used_at", UtcDateTime, comment="to the minute"),
    Column("revoked_at", UtcDateTime),
    **MYSQL_OPTIONS,
)

users = Table(
    "smsclick_users",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False, unique=True, comment="with which the person signs in to the page"),
    Column("role", String(20), nullable=False, comment="viewer or operator"),
    Column("password_hash", String(200), nullable=False, comment="Argon2id, with its parameters and its salt"),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now()),
    Column("created_by", String(100), nullable=False),
    Column("signed_in_at", UtcDateTime, comment="the latest time"),
    **MYSQL_OPTIONS,
)

web_sessions = Table(
    "smsclick_web_sessions",
    metadata,
    Column("hash", String(64), primary_key=True, comment="SHA-256 of the cookie's secret, in hexadecimal digits"),
    Column("user_id", BigId, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False, server_default=default_now(), index=True),
    Column("seen_at", UtcDateTime, nullable=False, server_default=default_now(), comment="to the minute"),
    **MYSQL_OPTIONS,
)
