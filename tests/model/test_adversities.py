"""The same walks where the world is not as the manual has it: other reports, late acceptance, clocks, keys, a standby.

What the provider shows are the simulator's own rows, read by the client's own parser. In the end each adversity is
over and messages go on: what can be known is known then.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from smsclick.simulator.settings import SimulatorSettings
from tests.model.test_attempt_protocol import TEXTS, AttemptProtocol, some, workers
from tests.model.world import ACCOUNT_OF_MODEL, MANUAL, NEW_KEY, OTHER_ACCOUNT, READ, World
from worker.database_clock import clock, step
from worker.lifecycle import on_report
from worker.lifecycle.doubt import Doubt
from worker.reconciliation import reading

if TYPE_CHECKING:
    from collections.abc import Callable

HALF_AN_HOUR: Final = 1800.0
A_LITTLE: Final = 80.0
"""Less than a date of the report may be off, so no control row shows it."""

HABITS: Final[dict[str, SimulatorSettings]] = {
    "as the manual says": MANUAL,
    "prefix": SimulatorSettings(text_prefix="ACME: "),
    "mask": SimulatorSettings(phone_mask=6),
    "oldest": SimulatorSettings(report_cap=1, report_cap_first="oldest"),
    "newest": SimulatorSettings(report_cap=2, report_cap_first="newest"),
    "another zone": SimulatorSettings(date_shift=3600.0),
    "rows of others": SimulatorSettings(odd_rows=("null_text", "bad_date")),
    "rows without text": SimulatorSettings(odd_form="null_text", odd_rate=0.5),
    "rows without date": SimulatorSettings(odd_form="null_date", odd_rate=0.5),
}
ACCEPTED: Final = ("at once", "at once, shown late", "late", "never")
MEANWHILE: Final = (
    "nothing",
    "nothing",
    "clock forward",
    "clock back",
    "clock forward a little",
    "clock forward a little, another watch",
    "new key",
    "another account",
)
ODD_WORDS: Final = "other words around each"


def _in_odd_words(text: str) -> str:
    return f"{sum(text.encode()) % 97} % {text}"


class Adversities(AttemptProtocol):
    """The attempt's protocol in a world that is not as it should be."""

    @precondition(lambda _: False)
    @rule()
    def others_send_the_same(self) -> None:
        """Never: what others send under the same key could be ours by a clock that is set."""

    # --- The provider

    @rule(habit=st.sampled_from([*HABITS, ODD_WORDS]))
    def the_report_looks_otherwise(self, habit: str) -> None:
        self.world.habit = HABITS.get(habit, MANUAL)
        self.world.form = _in_odd_words if habit == ODD_WORDS else self.world.usual_form

    def given_up(self) -> list[int]:
        return [number for number, each in enumerate(self.world.requests) if each.given_up(self.world.now)]

    @precondition(lambda self: self.given_up())
    @rule(which=some)
    def it_accepts_what_was_given_up(self, which: int) -> None:
        left = self.given_up()
        self.world.accept_late(self.world.requests[left[which % len(left)]])

    # --- The database

    @rule(seconds=st.sampled_from([HALF_AN_HOUR, -HALF_AN_HOUR, A_LITTLE, -A_LITTLE]))
    def its_clock_is_set(self, seconds: float) -> None:
        self.world.set_clock(seconds)

    @rule()
    def its_clock_is_watched_by_another_process(self) -> None:
        self.world.restart_watch()

    @rule(read_only=st.booleans())
    def it_takes_no_writes_or_does_again(self, read_only: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        self.world.read_only = read_only

    # --- The operator

    @precondition(lambda self: not self.world.read_only)
    @rule(key=st.sampled_from([ACCOUNT_OF_MODEL, NEW_KEY, OTHER_ACCOUNT]))
    def the_key_is_changed(self, key: str) -> None:
        self.world.change_key(key)

    # --- In longer strides

    @precondition(lambda self: not self.world.read_only)
    @rule(
        worker=workers,
        accepted=st.sampled_from(ACCEPTED),
        habit=st.sampled_from([*HABITS, ODD_WORDS]),
        meanwhile=st.sampled_from(MEANWHILE),
        seconds=st.sampled_from([0, 230, 521, 601]),
    )
    def an_attempt_without_an_answer_is_left_to_the_report(
        self, worker: int, accepted: str, habit: str, meanwhile: str, seconds: float
    ) -> None:
        world = self.world
        world.witness(2)
        for claim in world.claim(worker, 1):
            job = next(job for job in world.workers[worker] if job.claim is claim)
            world.wait(1)
            world.leave(job)
            if job.request is None:
                return
            if accepted in {"at once", "at once, shown late"}:
                world.accept(job.request, lag=0.0 if accepted == "at once" else None)
            world.wait(READ.total_seconds() + 1)
            world.hear(job, readable=False)
            world.record(worker)
            world.witness()
            world.sweep()
            self.happens(meanwhile)
            world.wait(300)
            if accepted == "late":
                world.accept_late(job.request)
            world.witness()
        self.the_report_looks_otherwise(habit)
        world.wait(seconds)
        world.witness()
        reconcile(world)

    def happens(self, what: str) -> None:
        match what:
            case "clock forward":
                self.its_clock_is_set(HALF_AN_HOUR)
            case "clock back":
                self.its_clock_is_set(-HALF_AN_HOUR)
            case "clock forward a little":
                self.its_clock_is_set(A_LITTLE)
            case "clock forward a little, another watch":
                self.its_clock_is_set(A_LITTLE)
                self.its_clock_is_watched_by_another_process()
            case "new key":
                self.the_key_is_changed(NEW_KEY)
            case "another account":
                self.the_key_is_changed(OTHER_ACCOUNT)


def reconcile(world: World) -> None:
    world.sweep()
    world.look()
    while world.reports:
        world.judge()


_thorough = hypothesis.settings().max_examples > 1000


def walk(examples: int, steps: int = 50) -> None:
    run_state_machine_as_test(
        Adversities,
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=not _thorough,
            database=None,
            phases=[hypothesis.Phase.generate] if not _thorough else list(hypothesis.Phase),
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )


EXAMPLES: Final = 50


@pytest.mark.timeout(20_000 if _thorough else 900)
def test_no_adversity_sends_twice_reports_wrong_loses_anything_or_leaves_open_what_can_be_known() -> None:
    walk(20_000 if _thorough else EXAMPLES, 100 if _thorough else 50)


# --- Each part of the rule that is left out is noticed


def ignoring(*doubts: Doubt) -> Callable[[pytest.MonkeyPatch], None]:
    """A product that does not have these doubts."""

    def leave_out(patch: pytest.MonkeyPatch) -> None:
        real = on_report.after_report

        def after_report(message: Any, token: str, seen: Any, *rest: Any) -> Any:  # noqa: ANN401
            if isinstance(seen, on_report.NotFound) and seen.doubt in doubts:
                seen = dataclasses.replace(seen, doubt=None)
            return real(message, token, seen, *rest)

        patch.setattr(on_report, "after_report", after_report)

    return leave_out


@dataclasses.dataclass(frozen=True)
class Broken:
    """A product that leaves something out, and the shortest walk that shows it.

    Attributes:
        leave_out: does that.
        accepted: when the provider takes a message whose answer is lost.
        habit: what its report looks like then.
        meanwhile: what happens before.
        seconds: after the first five minutes, until the report is read.
    """

    leave_out: Callable[[pytest.MonkeyPatch], None]
    accepted: str = "at once"
    habit: str = "as the manual says"
    meanwhile: str = "nothing"
    seconds: float = 601

    def walk(self) -> list[str]:
        """What went wrong on it."""
        state = Adversities()
        state.begin(skew=0.0, form="exact", others=False, texts=[TEXTS[0]])
        state.an_attempt_without_an_answer_is_left_to_the_report(
            0, self.accepted, self.habit, self.meanwhile, self.seconds
        )
        found = state.world.violations()
        state.violated = bool(found)
        state.teardown()
        return found


def unwatched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clock, "step_between", lambda *_: 0.0)


def unmoved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(step, "adjust", lambda *_: True)


def always_trusted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clock, "trusted_since", lambda *_: None)


def short_reports_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "read_to_now", lambda context, attempts, *_: reading.read_around(context, attempts))


BROKEN: Final = {
    "masked phones": Broken(ignoring(Doubt.PHONES), habit="mask"),
    "texts in another form": Broken(ignoring(Doubt.TEXTS), habit=ODD_WORDS),
    "shifted dates": Broken(ignoring(Doubt.DATES), habit="another zone"),
    "missing control rows": Broken(ignoring(Doubt.MISSING, Doubt.NOT_YET), habit="oldest"),
    "rows without text": Broken(ignoring(Doubt.ODD), habit="rows without text"),
    "rows without date": Broken(ignoring(Doubt.ODD, Doubt.SIMILAR), habit="rows without date"),
    "another account": Broken(ignoring(Doubt.ACCOUNT), meanwhile="another account"),
    "steps of the clock": Broken(
        unwatched, accepted="at once, shown late", meanwhile="clock forward a little", seconds=230
    ),
    "rows from before a step": Broken(
        unmoved, accepted="at once, shown late", meanwhile="clock forward a little", seconds=230
    ),
    "time that nobody watched": Broken(
        always_trusted, accepted="at once, shown late", meanwhile="clock forward a little, another watch", seconds=230
    ),
    "reports up to now": Broken(short_reports_only, accepted="late"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_walk_notices_a_product_that_leaves_out(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken.walk() == []
    broken.leave_out(monkeypatch)
    assert broken.walk() == ["message 1 is queued although it was accepted"]


def test_random_walks_find_a_product_that_trusts_every_report(monkeypatch: pytest.MonkeyPatch) -> None:
    ignoring(*Doubt)(monkeypatch)
    with pytest.raises(AssertionError, match="accepted"):
        walk(EXAMPLES)
