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
# glibc puts every further heap at a multiple of 64 MiB.
starts = [int(line.split("-")[0], 16) for line in Path("/proc/self/maps").read_text().splitlines()]
print(sum(start % 2**26 == 0 for start in starts))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="only glibc has many heaps")
@pytest.mark.parametrize(("heaps", "more"), [("one", False), ("many", True)])
def test_threads_share_one_heap(heaps: str, more: bool) -> None:  # noqa: FBT001
    done = subprocess.run([sys.executable, "-c", PROGRAM, heaps], capture_output=True, text=True, check=True)
    assert (int(done.stdout) > 0) is more
