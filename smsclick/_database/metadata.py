"""The metadata of all tables of smsclick, with naming convention and options; separate from that of a producer."""

from typing import Any, Final

from sqlalchemy import MetaData

VERSION_TABLE = "smsclick_alembic_version"
"""Alembic's version table of smsclick, so that our migrations do not meet those of a backend in the same database."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Binary collation: keys that differ in case, and texts that differ in accents, differ as on the other databases.
MYSQL_OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
