"""Plots of the last hour as lines in an SVG: pure functions from points to what a template draws."""

import dataclasses
import datetime as dt
import math
from collections.abc import Sequence
from typing import Final

WIDTH: Final = 600.0
HEIGHT: Final = 150.0
SPAN: Final = dt.timedelta(hours=1)

_STEPS: Final = (1.0, 2.0, 5.0, 10.0)
_LEAST_TOP: Final = 1e-3


@dataclasses.dataclass(frozen=True, slots=True)
class Plot:
    """A line, ready to be drawn into a box of `WIDTH` x `HEIGHT`.

    Attributes:
        lines: the path of each piece between gaps, in SVG's words.
        areas: the same pieces, closed at the bottom.
        top: the value at the upper edge.
        last: the newest value; None where there is none.
        most: the greatest value; None where there is none.
    """

    lines: tuple[str, ...]
    areas: tuple[str, ...]
    top: float
    last: float | None
    most: float | None

    @property
    def has_points(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.lines)


def plot(points: Sequence[tuple[dt.datetime, float | None]], end: dt.datetime) -> Plot:
    """Return the plot of the hour before `end`.

    Args:
        points: times and values, oldest first; None is a gap.
        end: the right edge.
    """
    inside = [(at, value) for at, value in points if end - SPAN <= at <= end]
    values = [value for _, value in inside if value is not None]
    top = ceiling(max(values, default=0.0))
    pieces: list[list[tuple[float, float]]] = [[]]
    for at, value in inside:
        if value is None:
            pieces.append([])
            continue
        x = WIDTH * (1 - (end - at) / SPAN)
        pieces[-1].append((x, HEIGHT * (1 - value / top)))
    drawn = [piece for piece in pieces if piece]
    return Plot(
        lines=tuple(_path(piece) for piece in drawn),
        areas=tuple(
            f"{_path(piece)}L{piece[-1][0]:.1f} {HEIGHT:.1f}L{piece[0][0]:.1f} {HEIGHT:.1f}Z" for piece in drawn
        ),
        top=top,
        last=inside[-1][1] if inside else None,
        most=max(values, default=None),
    )


def ceiling(value: float) -> float:
    """Return the least of 1, 2 and 5 times a power of ten that is not below a value."""
    if value <= _LEAST_TOP:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((power * step for step in _STEPS if power * step >= value * (1 - 1e-9)), power * _STEPS[-1])


def _path(piece: Sequence[tuple[float, float]]) -> str:
    if len(piece) == 1:
        # A single point is drawn as a short line, or nobody would see it.
        (x, y) = piece[0]
        piece = [(max(0.0, x - 2), y), (min(WIDTH, x + 2), y)]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in piece)
