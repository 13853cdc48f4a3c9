"""The policy: waits between attempts, and the settings they come from."""

from __future__ import annotations

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from smsclick.settings import load_settings
from worker.lifecycle import backoff
from worker.lifecycle.policy import Policy

# --- Waits


@given(st.integers(1, 10**9), st.integers())
def test_a_backoff_stays_within_its_bounds(tries: int, seed: int) -> None:
    assert 1 <= backoff.backoff(tries, (2.0, 300.0), random.Random(seed)) <= 300


def test_a_backoff_doubles() -> None:
    waits = [backoff.backoff(tries, (2.0, 300.0), random.Random(1)) for tries in range(1, 6)]
    assert [round(later / earlier, 6) for earlier, later in itertools.pairwise(waits)] == [2.0] * 4


def test_the_policy_comes_from_the_settings() -> None:
    found = Policy.of(load_settings(SMSCLICK_LEASE_SECONDS="200", SMSCLICK_POLL_SECONDS="1, 2"))
    assert found == Policy(lease=200, settle_seconds=600, tracking=604_800, poll=(1, 2))
