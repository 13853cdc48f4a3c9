"""The portable column types: aware in Python, UTC in the database, one clock for all comparisons."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql, sqlite

from smsclick._database.columns import BigId, UtcDateTime, db_now, default_now

MEXICO = dt.timezone(dt.timedelta(hours=-6))
DIALECTS = [postgresql.dialect(), mysql.dialect(), sqlite.dialect()]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_naive_datetime_is_refused(dialect: sa.Dialect) -> None:
    with pytest.raises(ValueError, match="naive"):
        UtcDateTime().process_bind_param(dt.datetime(2026, 5, 4), dialect)  # noqa: DTZ001 - on purpose


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2100, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
def test_a_stored_time_is_read_as_the_same_time_in_utc(dialect: sa.Dialect, time: dt.datetime) -> None:
    column = UtcDateTime()
    back = column.process_result_value(column.process_bind_param(time, dialect), dialect)
    assert back == time.astimezone(dt.UTC)
    assert back is not None
    assert back.tzinfo is dt.UTC


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_nothing_stays_nothing(dialect: sa.Dialect) -> None:
    assert UtcDateTime().process_bind_param(None, dialect) is None
    assert UtcDateTime().process_result_value(None, dialect) is None


def test_a_time_of_the_sessions_zone_is_read_as_utc() -> None:
    local = dt.datetime(2026, 5, 4, 6, tzinfo=MEXICO)
    found = UtcDateTime().process_result_value(local, DIALECTS[0])
    assert found == local
    assert found is not None
    assert found.tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("dialect", "type_", "now", "default"),
    [
        (DIALECTS[0], "TIMESTAMP WITH TIME ZONE", "statement_timestamp()", "statement_timestamp()"),
        (DIALECTS[1], "DATETIME(6)", "UTC_TIMESTAMP(6)", "(UTC_TIMESTAMP(6))"),
        (
            DIALECTS[2],
            "DATETIME",
            "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
            "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))",
        ),
    ],
    ids=["postgresql", "mysql", "sqlite"],
)
def test_each_database_has_its_own_type_and_clock(dialect: sa.Dialect, type_: str, now: str, default: str) -> None:
    assert UtcDateTime().compile(dialect) == type_
    assert str(db_now().compile(dialect=dialect)).replace("%%", "%") == now
    assert str(default_now().compile(dialect=dialect)).replace("%%", "%") == default


def test_the_clock_of_sqlite_is_text_that_compares_with_what_is_stored() -> None:
    engine = sa.create_engine("sqlite://")
    table = sa.Table("t", sa.MetaData(), sa.Column("id", BigId, primary_key=True), sa.Column("at", UtcDateTime))
    table.create(engine)
    with engine.begin() as connection:
        now = connection.execute(sa.select(db_now())).scalar_one()
        tick = dt.timedelta(milliseconds=1)
        connection.execute(sa.insert(table), [{"at": now - tick}, {"at": now + dt.timedelta(hours=1)}])
        due = connection.execute(sa.select(table.c.id).where(table.c.at <= db_now())).scalars().all()
    engine.dispose()
    assert due == [1]


def test_ids_count_by_themselves_on_sqlite() -> None:
    assert BigId.compile(DIALECTS[2]) == "INTEGER"
    assert BigId.compile(DIALECTS[0]) == "BIGINT"
