"""This checkout beside an older one, in turns: `python -m bench.before FOLDER [--rounds 3] [--seconds 8]`.

The older checkout needs an environment of its own (`make setup`). Each round runs the throughput and latency benchmarks
of both, one after the other, each with its own workers, beat, producer and tables; the benchmarks themselves, the
provider and the settings are those of this checkout, so that both meet the same. CPU is that of a worker and all its
children. A figure is the median of the quotients round by round, so a slow minute of the machine counts for both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.harness import console, median, number, ratio
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_SECONDS = 900
"""Of one benchmark in one round."""

Figures = dict[str, float]


def throughput_figures(samples: Mapping[str, Any]) -> Figures:
    """Messages a second and milliseconds of CPU a message, from the samples of the benchmark `throughput`."""
    figures: Figures = {}
    for title, variants in samples.items():
        delay = title.removeprefix("Provider at ")
        ours, bare = variants["ours"][0], variants.get("bare", [{}])[0]
        figures[f"{delay}: messages/s"] = ours["steady"]
        figures[f"{delay}: messages/s over all"] = ours["rate"]
        if bare:
            figures[f"{delay}: share of bare requests"] = ours["steady"] / bare["steady"]
        figures[f"{delay}: CPU ms a message"] = ours["cpu"]
    return figures


def latency_figures(samples: Mapping[str, Any]) -> Figures:
    """Milliseconds from commit to arrival at the first load, from the samples of the benchmark `latency`."""
    figures: Figures = {}
    for stack, rounds in samples.items():
        quiet, *others = rounds[0]
        for share in ("p50", "p99"):
            figures[f"{stack} at {quiet['rate']:g}/s: {share} ms"] = quiet["milliseconds"][share]
            for beside in others:
                if beside["rate"] == quiet["rate"]:  # while others are followed
                    figures[f"{stack}, others followed: {share} ms"] = beside["milliseconds"][share]
    return figures


def run(checkout: Path, seconds: float) -> Figures:
    """One round of one checkout.

    Raises:
        subprocess.CalledProcessError: a benchmark failed; its output was shown.
        subprocess.TimeoutExpired: a benchmark took longer than a quarter of an hour.
    """
    commands = {
        "throughput": ["--only", "ours", "bare", "--delays", "0", "200", "1000", "--tls", "--seconds", f"{seconds:g}"],
        "latency": ["--only", "redis", "embedded", "--seconds", f"{max(10.0, seconds):g}"],
    }
    figures: Figures = {}
    for name, options in commands.items():
        command = [sys.executable, "-m", f"bench.{name}", "--rounds", "1", *options]
        env = {**os.environ, "BENCH_CHECKOUT": str(checkout)}
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False
        )
        if done.returncode:
            console.print(done.stdout[-2000:], done.stderr[-2000:], markup=False)
            done.check_returncode()
        samples = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())["samples"]
        figures |= throughput_figures(samples) if name == "throughput" else latency_figures(samples)
    return figures


def main() -> int:
    """Reads the options, measures, and prints one line for each figure."""
    parser = argparse.ArgumentParser(prog="python -m bench.before", description=__doc__)
    parser.add_argument("folder", type=Path, help="the older checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="about how long one run sends")
    options = parser.parse_args()
    if not (options.folder / ".venv" / "bin" / "python").exists():
        parser.error(f"{options.folder} has no .venv; run there: make setup")
    found: dict[str, dict[str, list[float]]] = {"before": defaultdict(list), "now": defaultdict(list)}
    for round_number in range(options.rounds):
        # The order changes from round to round: whoever is second finds warm caches and a tired machine.
        pair = [("before", options.folder.resolve()), ("now", ROOT)]
        for name, checkout in pair if round_number % 2 == 0 else reversed(pair):
            console.print(f"round {round_number + 1}/{options.rounds}: {name}")
            for figure, value in run(checkout, options.seconds).items():
                found[name][figure].append(value)
    print(f"{'':40} {'before':>9} {'now':>9} {'ratio':>7}")
    for figure, before in found["before"].items():
        now = found["now"][figure]
        print(f"{figure:40} {number(median(before)):>9} {number(median(now)):>9} {ratio(now, before):7.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
