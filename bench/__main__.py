"""`python -m bench [NAME ...] [--quick] [--docs]`: the benchmarks named, or all; or the kept results into the docs."""

import argparse
import importlib
import pkgutil
import sys

import bench
from bench import harness


def benchmarks() -> dict[str, harness.Benchmark]:
    """By name: every module of this package that has a `BENCHMARK`."""
    modules = (importlib.import_module(f"bench.{each.name}") for each in pkgutil.iter_modules(bench.__path__))
    found = (getattr(module, "BENCHMARK", None) for module in modules if module.__name__ != __name__)
    return {each.name: each for each in found if isinstance(each, harness.Benchmark)}


def main() -> int:
    """Reads the names and runs."""
    known = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m bench", description=f"Benchmarks: {', '.join(known)}.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; default: all")
    parser.add_argument("--quick", action="store_true", help="as small as shows that they work; keeps no result")
    parser.add_argument("--docs", action="store_true", help="runs nothing: writes kept results into the docs")
    given = parser.parse_args()
    if given.docs:
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
