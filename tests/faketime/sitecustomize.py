"""For Python processes under faketime, whose library fails Python's `time.sleep` (`clock_nanosleep` to a time).

`select` waits as long and is not disturbed. Found by PYTHONPATH, see the fixture `wall_clock`.
"""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], max(0.0, seconds))


setattr(time, "sleep", _sleep)  # noqa: B010 - its stub has it with another name of the argument
