"""`python -m tests.chaos --messages 5000 --kills 130 --stack postgres-redis --seed 1`."""

import argparse
import sys
from pathlib import Path

from tests.chaos.mischief import KINDS
from tests.chaos.runner import Options, run
from tests.chaos.stack import STACKS
from tests.chaos.victim import DEFECTS


def main() -> int:
    """Reads the options and runs."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--stack", choices=STACKS, default="postgres-redis")
    parser.add_argument("--messages", type=int, default=5000, help="at least so many")
    parser.add_argument("--kills", type=int, default=130, help="mischiefs of all kinds together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1200, help="for the whole run")
    parser.add_argument(
        "--patience", type=float, default=240, help="after the last kill; what is not final then is stuck"
    )
    parser.add_argument("--rate", type=float, default=0.008, help="of each of the provider's faults")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=[], help="only these mischiefs")
    parser.add_argument("--text-form", choices=("exact", "ascii", "collapsed", "cut"), default="exact")
    parser.add_argument("--defect", choices=DEFECTS, default="", help="break the system: the judge must notice")
    parser.add_argument("--logs", type=Path, help="keep the logs here; else only a failing run keeps them")
    given = parser.parse_args()
    return run(Options(**vars(given)))


if __name__ == "__main__":
    sys.exit(main())
