"""How long to wait before the next try. Pure functions; randomness is an argument."""

import random


def backoff(tries: int, bounds: tuple[float, float], rng: random.Random) -> float:
    """Seconds to wait after the n-th try: doubling from the first bound to the second, jittered down to half."""
    first, longest = bounds
    return min(longest, first * 2.0 ** min(tries - 1, 30)) * rng.uniform(0.5, 1)
