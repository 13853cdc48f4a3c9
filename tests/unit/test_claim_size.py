"""How many rows a claim may have, against claims whose time is a formula."""

import pytest

from worker.sending.claim_size import LEAST_ROWS, SECONDS, ClaimSize

MOST = 400


def claimed(size: ClaimSize, row_seconds: float, times: int = 30, fixed: float = 0.01) -> None:
    for _ in range(times):
        size.took(size.rows, fixed + size.rows * row_seconds)


@pytest.mark.parametrize(
    ("row_seconds", "least", "most"),
    [(0.00005, MOST, MOST), (0.00025, 140, 200), (0.0005, 70, 100), (0.01, LEAST_ROWS, LEAST_ROWS)],
)
def test_a_claim_has_as_many_rows_as_its_time_allows(row_seconds: float, least: int, most: int) -> None:
    size = ClaimSize(MOST)
    claimed(size, row_seconds)
    assert least <= size.rows <= most


def test_the_first_claim_is_large_and_one_that_lasts_long_makes_the_next_small() -> None:
    size = ClaimSize(MOST)
    assert size.rows == MOST
    size.took(MOST, 4 * SECONDS)
    assert size.rows == MOST // 4


def test_after_a_time_in_which_the_database_stood_still_claims_grow_again() -> None:
    size = ClaimSize(MOST)
    claimed(size, 0.00005)
    size.took(MOST, 60.0)
    assert size.rows == LEAST_ROWS
    claimed(size, 0.00005)
    assert size.rows == MOST


def test_small_claims_prove_nothing() -> None:
    size = ClaimSize(MOST)
    for _ in range(30):
        size.took(1, SECONDS)
    assert size.rows == MOST
