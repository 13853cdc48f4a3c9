"""The order of claims in hand: high ones first, none of the others starved, and none lost or doubled."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsclick.contract import Priority
from worker.lifecycle.attempt import Claim
from worker.sending import claims_in_hand
from worker.sending.claims_in_hand import Call, ClaimsInHand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


def calls(*priorities: Priority) -> list[Call]:
    return [
        Call(
            Claim(
                id=number,
                token="t",
                phone="",
                text="",
                rule_id=None,
                valid_seconds=None,
                priority=priority,
                canary=False,
            ),
            claimed_at=0.0,
            first=False,
        )
        for number, priority in enumerate(priorities)
    ]


def handed(*priorities: Priority) -> ClaimsInHand:
    in_hand = ClaimsInHand()
    in_hand.add(calls(*priorities))
    return in_hand


def take(in_hand: ClaimsInHand) -> Call | None:
    call = in_hand.next()
    if call is not None:
        in_hand.remove(call)
    return call


def order_of(in_hand: ClaimsInHand) -> list[Priority]:
    order = []
    while (call := take(in_hand)) is not None:
        order.append(call.claim.priority)
    return order


def test_a_high_one_that_comes_last_is_the_next() -> None:
    in_hand = handed(*[LOW] * 5)
    in_hand.add(calls(HIGH))
    assert order_of(in_hand) == [HIGH, *[LOW] * 5]


def test_while_both_kinds_wait_they_alternate_and_a_high_one_begins() -> None:
    assert order_of(handed(LOW, NORMAL, LOW, HIGH, HIGH, HIGH)) == [HIGH, LOW, HIGH, NORMAL, HIGH, LOW]
    assert order_of(handed(*[HIGH] * 4, LOW)) == [HIGH, LOW, HIGH, HIGH, HIGH]


def test_a_high_one_is_next_after_one_of_the_others() -> None:
    in_hand = handed(LOW, LOW, LOW)
    assert take(in_hand)
    in_hand.add(calls(HIGH, HIGH))
    assert order_of(in_hand) == [HIGH, LOW, HIGH, LOW]


@given(st.lists(st.lists(st.sampled_from(Priority), max_size=6), min_size=1, max_size=30), st.integers(1, 8))
def test_a_flood_of_high_ones_starves_nobody(sets: Sequence[Sequence[Priority]], most: int) -> None:
    """However many high ones come between, the n-th of the others goes by the time of the 2n-th call."""
    in_hand = handed(*[LOW] * most)
    others = 0
    for number in range(1, 2 * most + 1):
        in_hand.add(calls(HIGH, *(sets[number % len(sets)])))
        call = take(in_hand)
        assert call is not None
        others += call.claim.priority is not HIGH
        assert others >= number // 2


@given(
    st.lists(
        st.one_of(st.lists(st.sampled_from(Priority), max_size=5), st.just("take"), st.integers(0, 20)), max_size=40
    )
)
def test_each_comes_out_once_and_its_kind_in_the_order_of_the_claims(steps: Sequence[Any]) -> None:
    """Also where some are removed from the middle, because they waited too long."""
    in_hand, waiting = ClaimsInHand(), list[Call]()
    for step in steps:
        if isinstance(step, list):
            new = calls(*step)
            in_hand.add(new)
            waiting += new
        elif step == "take":
            call = take(in_hand)
            assert (call is None) == (not waiting)
            if call is not None:
                kind = call.claim.priority is HIGH
                assert call is next(each for each in waiting if (each.claim.priority is HIGH) == kind)
                waiting.remove(call)
        elif waiting:
            in_hand.remove(removed := list(in_hand)[step % len(waiting)])
            waiting.remove(removed)
        assert len(in_hand) == len(waiting)
    assert set(in_hand) == set(waiting)


class Interruption:
    """Raises SystemExit at the n-th line of the module under test, as an exception may reach a thread anywhere."""

    def __init__(self, after: int) -> None:
        self._left = after

    def run(self, what: Callable[[], object]) -> bool:
        """Returns whether it was interrupted."""
        sys.settrace(self._called)
        try:
            what()
        except SystemExit:
            return True
        finally:
            sys.settrace(None)
        return False

    def _called(self, frame: FrameType, _event: str, _argument: object) -> Any:  # noqa: ANN401 - a trace function
        return self._line if frame.f_code.co_filename == claims_in_hand.__file__ else None

    def _line(self, _frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - a trace function
        if event == "line":
            self._left -= 1
            if not self._left:
                raise SystemExit
        return self._line


@pytest.mark.parametrize("line", range(1, 60))
def test_an_exception_at_any_line_loses_none_and_doubles_none(line: int) -> None:
    all_calls = calls(LOW, HIGH, LOW, HIGH)
    in_hand = ClaimsInHand()
    in_hand.add(all_calls)
    elsewhere = set()

    def work() -> None:
        while (call := in_hand.next()) is not None:
            elsewhere.add(call)
            in_hand.remove(call)

    Interruption(line).run(work)
    left = list(in_hand)
    assert len(left) == len(set(left)) == len(in_hand)
    assert {*left, *elsewhere} == set(all_calls)
    assert len({*left} & elsewhere) <= 1  # the one that was being removed
