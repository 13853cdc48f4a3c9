"""What is said of a broker's trouble, how often, and how long a worker waits."""

from __future__ import annotations

import amqp
import pytest
from kombu.exceptions import OperationalError
from redis import exceptions as redis

from worker.broker.trouble import LOG_INTERVAL_SECONDS, LONGEST_PAUSE_SECONDS, Trouble, reason

SECRET = "5551402211"


def wrapped(error: Exception) -> Exception:
    outer = OperationalError(SECRET)
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (redis.ReadOnlyError(SECRET), "ReadOnlyError"),
        (redis.ResponseError(f"MISCONF {SECRET}"), "MISCONF"),
        (redis.NoPermissionError(SECRET), "NoPermissionError"),
        (redis.AuthenticationError(SECRET), "AuthenticationError"),
        (amqp.AccessRefused(SECRET), "AccessRefused"),
        (redis.ResponseError(f"unknown command, with args beginning with: {SECRET}"), "ResponseError"),
        (ValueError(SECRET), "ValueError"),
    ],
)
def test_the_reason_has_words_of_ours_and_nothing_that_the_broker_said(error: Exception, word: str) -> None:
    for each in (error, wrapped(error)):
        assert word in reason(each)
        assert SECRET not in reason(each)


def test_one_line_a_minute_for_each_reason_however_often_it_is_tried(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    now = 0.0
    trouble = Trouble(lambda: now)
    for second in range(int(2 * LOG_INTERVAL_SECONDS)):
        now = float(second)
        trouble.met(redis.ReadOnlyError() if second % 2 else ConnectionResetError())
    assert len(caplog.records) == 4
    trouble.over()
    trouble.over()
    assert [record.getMessage() for record in caplog.records[4:]] == ["The broker can be used again. seconds=119"]


def test_pauses_grow_to_a_bound_and_begin_again_once_it_works() -> None:
    trouble = Trouble(lambda: 0.0)
    pauses = [trouble.met(ConnectionResetError()) for _ in range(2000)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1.0, LONGEST_PAUSE_SECONDS)
    trouble.over()
    assert trouble.met(ConnectionResetError()) == 1.0
