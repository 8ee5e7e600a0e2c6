"""A picture as SVG: a bar, a rectangle or a box, with thin lines for chunks and thick for shards.

Colours are the page's own text colour in several strengths, so that it is readable on light and
dark pages alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from asynctensor.display.picture import Axis, Picture

_LONGEST = 150.0
_BAR = 28.0
_MARGIN = 8.0
_TEXT = 11
#: The third dimension goes to the right and up by these parts of its length.
_RIGHT, _UP = math.cos(math.radians(35)) * 0.6, math.sin(math.radians(35)) * 0.6
_CHUNK = 'stroke="currentColor" stroke-width="0.5" stroke-opacity="0.45"'
_SHARD = 'stroke="currentColor" stroke-width="1.4" stroke-opacity="0.8"'
_EDGE = 'stroke="currentColor" stroke-width="1.4"'

Point = tuple[float, float]


def svg(picture: Picture) -> str:
    """The picture as an SVG element."""
    axes = picture.shown
    lengths = picture.lengths(_LONGEST)
    if not axes:
        lengths = [_BAR, _BAR]
    elif len(axes) == 1:
        lengths = [_BAR, *lengths]
    flat: list[Axis | None] = [None] * (2 - len(axes)) if len(axes) < 2 else []
    flat += axes
    depth = lengths[0] if len(axes) == 3 else 0.0
    height, width = lengths[-2:]
    shift = (depth * _RIGHT, depth * _UP)
    texts = _texts(axes, width, height, shift)
    left = max([len(t) for t, _, anchor, _ in texts if anchor == "end"], default=0) * _TEXT * 0.62
    right = max([len(t) for t, _, anchor, _ in texts if anchor == "start"], default=0)
    x, y = left + _MARGIN, shift[1] + _MARGIN + _TEXT * 0.5
    total = (
        x + width + shift[0] + max(_MARGIN, right * _TEXT * 0.62 - shift[0] * 0.4 + _MARGIN),
        y + height + _TEXT * 1.8 + _MARGIN,
    )
    parts = [*_faces(flat, (x, y), width, height, shift)]
    for text, (tx, ty), anchor, _ in texts:
        parts.append(
            f'<text x="{tx + x:.1f}" y="{ty + y:.1f}" font-size="{_TEXT}" fill="currentColor" '
            f'text-anchor="{anchor}">{escape(text)}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total[0]:.0f}" height="{total[1]:.0f}" '
        f'font-family="sans-serif" role="img">{"".join(parts)}</svg>'
    )


def _faces(
    axes: Sequence[Axis | None], at: Point, width: float, height: float, shift: Point
) -> Iterator[str]:
    """Front, top and right face of the box, which is flat where there is no third dimension."""
    x, y = at
    row, column = axes[-2], axes[-1]
    back = axes[0] if len(axes) == 3 else None
    if back is not None:
        top = _Face((x, y), (width, 0.0), (shift[0], -shift[1]))
        side = _Face((x + width, y), (0.0, height), (shift[0], -shift[1]))
        yield from top.drawn(column, back, 0.10)
        yield from side.drawn(row, back, 0.18)
    front = _Face((x, y), (width, 0.0), (0.0, height))
    yield from front.drawn(column, row, 0.05)


class _Face:
    """A parallelogram with a corner and two sides."""

    def __init__(self, corner: Point, one: Point, other: Point) -> None:
        self.corner, self.one, self.other = corner, one, other

    def at(self, u: float, v: float) -> Point:
        return (
            self.corner[0] + u * self.one[0] + v * self.other[0],
            self.corner[1] + u * self.one[1] + v * self.other[1],
        )

    def drawn(self, one: Axis | None, other: Axis | None, shade: float) -> Iterator[str]:
        corners = [self.at(0, 0), self.at(1, 0), self.at(1, 1), self.at(0, 1)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        dashed = any(axis is not None and axis.size is None for axis in (one, other))
        dashes = ' stroke-dasharray="4 3"' if dashed else ""
        many = any(axis is not None and axis.cuts(axis.chunk) is None for axis in (one, other))
        # Chunks too many to be drawn make the face darker.
        shade = shade * 2.5 if many else shade
        yield (
            f'<polygon points="{points}" fill="currentColor" fill-opacity="{shade:.3f}" '
            f'{_EDGE} stroke-linejoin="round"{dashes}/>'
        )
        for style, which in ((_CHUNK, "chunk"), (_SHARD, "shard")):
            for axis, across in ((one, False), (other, True)):
                step = None if axis is None else getattr(axis, which)
                for cut in (axis.cuts(step) if axis is not None else None) or ():
                    begin, end = (
                        (self.at(0, cut), self.at(1, cut))
                        if across
                        else (self.at(cut, 0), self.at(cut, 1))
                    )
                    yield (
                        f'<line x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" '
                        f'y2="{end[1]:.1f}" {style}/>'
                    )


def _texts(
    axes: Sequence[Axis], width: float, height: float, shift: Point
) -> list[tuple[str, Point, str, Axis]]:
    """Sizes and labels: below the columns, left of the rows, right of what goes back."""
    found = []
    if axes:
        column = axes[-1]
        found.append((_name(column), (width / 2, height + _TEXT * 1.5), "middle", column))
    if len(axes) > 1:
        row = axes[-2]
        found.append((_name(row), (-6.0, height / 2 + _TEXT * 0.35), "end", row))
    if len(axes) > 2:
        back = axes[0]
        place = (width + shift[0] * 0.6 + 6, height - shift[1] * 0.4 + _TEXT * 0.9)
        found.append((_name(back), place, "start", back))
    return found


def _name(axis: Axis) -> str:
    size = "?" if axis.size is None else f"{axis.size:,}"
    return f"{axis.label} {size}" if axis.label else size
