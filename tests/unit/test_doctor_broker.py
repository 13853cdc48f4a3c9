"""What `smsclick doctor` reports of the broker where this machine is to blame."""

from __future__ import annotations

import sys
import threading

import pytest

from tests.commandline import call


@pytest.mark.skipif(sys.platform != "linux", reason="Linux refuses a stack that no address space has room for")
def test_a_machine_that_allows_no_further_thread_is_named_in_one_line() -> None:
    before = threading.stack_size(1 << 60)
    try:
        done = call("--debug", "doctor", "--json", env={"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"})
    finally:
        threading.stack_size(before)
    [broker] = [check for check in done.records if check["name"] == "broker"]
    assert broker["found"] == (
        "the broker at redis://127.0.0.1:1 was not asked, because this machine allows no further thread"
    )
    assert "ulimit -u" in broker["todo"]
    assert "Traceback" not in done.err
