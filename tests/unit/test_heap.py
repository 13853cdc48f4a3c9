"""The heap that all threads of a worker share."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from pathlib import Path
from worker.threads import heap

if sys.argv[1] == "one":
    heap.keep_small()
at_once = threading.Barrier(8)

def allocate() -> None:
    kept = [bytes(5000) for _ in range(100)]
    at_once.wait()
    del kept

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# glibc reserves 64 MiB for every further heap, at a multiple of 64 MiB. What is used of it can be written to; the rest,
# right behind it, cannot. Linux may also put the stack of a thread at such a multiple, but not with such a rest.
lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
parts = [(*(int(end, 16) for end in line[0].split("-")), line[1]) for line in lines]
print(
    sum(
        start % 2**26 == 0 and (rights, rest) == ("rw-p", "---p") and end == begin and until - start == 2**26
        for (start, end, rights), (begin, until, rest) in zip(parts, parts[1:])
    )
)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="only glibc has many heaps")
@pytest.mark.parametrize(("heaps", "more"), [("one", False), ("many", True)])
def test_threads_share_one_heap(heaps: str, more: bool) -> None:  # noqa: FBT001
    done = subprocess.run([sys.executable, "-c", PROGRAM, heaps], capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 0) is more
