"""`python -m bench [NAME ...] [--quick]`: the benchmarks named, or all.

`--docs`: measure all figures of `docs/performance.md` again, in one go; `--write`: put the kept results into it.
"""

import argparse
import importlib
import pkgutil
import subprocess
import sys
import time

import bench
from bench import harness
from bench.report import RESULTS
from tests.processes import ROOT

FOR_DOCS = {
    "throughput": (["--rounds", "2", "--seconds", "4"], 1000),
    "latency": (["--rounds", "1", "--seconds", "15"], 360),
    "memory_cpu": ([], 480),
    "cost": (["--rounds", "1"], 240),
    "priority": (["--rounds", "1"], 240),
    "status": (["--rounds", "1"], 300),
    "enqueue": (["--rounds", "2"], 150),
    "enqueue_commit": (["--rounds", "2", "--count", "1000"], 120),
    "ticks": (["--rounds", "3"], 240),
    "api_post": (["--rounds", "2", "--seconds", "4"], 360),
}
"""Options that `--docs` gives, and after how many seconds a benchmark is ended, which is two to three times as long as
it should take.

`quiet_account` goes by a simulated clock and `first_message` is a test as well: they keep the results that they have.
"""


def benchmarks() -> dict[str, harness.Benchmark]:
    """By name: every module of this package that has a `BENCHMARK`."""
    modules = (importlib.import_module(f"bench.{each.name}") for each in pkgutil.iter_modules(bench.__path__))
    found = (getattr(module, "BENCHMARK", None) for module in modules if module.__name__ != __name__)
    return {each.name: each for each in found if isinstance(each, harness.Benchmark)}


def for_docs() -> int:
    """Measures what the docs hold, each benchmark in a process of its own, and writes it; returns the exit code.

    A benchmark that fails or takes too long is said so and keeps its last result in the docs; the others go on. One
    with void runs is written and said so.
    """
    failed, void = [], []
    for name, (options, limit) in FOR_DOCS.items():
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        try:
            code = subprocess.run(
                [sys.executable, "-m", f"bench.{name}", *options], cwd=ROOT, timeout=limit, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
        print(f"{name}: {time.monotonic() - began:.0f} s{'' if code == 0 else ', FAILED'}", flush=True)
        if code:
            failed.append(name)
        elif harness.Report.read((RESULTS / f"{name}.json").read_text()).void:
            void.append(name)
    print("docs/performance.md has the results of", ", ".join(harness.write_docs()) or "nothing")
    if failed:
        print("failed, with their last results kept:", ", ".join(failed), file=sys.stderr)
    if void:
        print("with void runs, which need a look before these figures are kept:", ", ".join(void), file=sys.stderr)
    return 1 if failed or void else 0


def main() -> int:
    """Reads the names and runs."""
    known = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m bench", description=f"Benchmarks: {', '.join(known)}.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; default: all")
    parser.add_argument("--quick", action="store_true", help="as small as shows that they work; keeps no result")
    parser.add_argument("--docs", action="store_true", help="measure all figures of docs/performance.md again")
    parser.add_argument("--write", action="store_true", help="runs nothing: writes kept results into the docs")
    given = parser.parse_args()
    if given.docs:
        return for_docs()
    if given.write:
        print("docs/performance.md has the results of", ", ".join(harness.write_docs()) or "nothing")
        return 0
    unknown = [name for name in given.names if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in given.names or known:
        print(f"\n== {name}", flush=True)
        harness.main(known[name], ["--quick"] if given.quick else [])
    return 0


if __name__ == "__main__":
    sys.exit(main())
