"""Figures for the docs, drawn from what the code decides."""

from __future__ import annotations

import itertools
from html import escape

from asynctensor.scheduler.plan import GAP, Span, plan_ranges

#: Bytes of an inner chunk as it is stored: 32 x 32 x 32 values of uint16, compressed.
_CHUNK = 37 * 2**10
#: Inner chunks along each edge of the shard, and those that are wanted along each.
_EDGE, _WANTED = 4, 3
_LEFT, _WIDTH, _BAR, _ROW = 12, 960, 22, 62


def coalescing() -> str:
    """What 27 neighbouring chunks of a shard are requested as, before and after coalescing."""
    places = [
        (z * _EDGE + y) * _EDGE + x for z, y, x in itertools.product(range(_WANTED), repeat=3)
    ]
    wanted = [(k * _CHUNK, (k + 1) * _CHUNK) for k in places]
    plan = plan_ranges(wanted, GAP, 16 * 2**20)
    size = _EDGE**3 * _CHUNK
    cells = [(k * _CHUNK, (k + 1) * _CHUNK) for k in range(_EDGE**3)]
    extra = (plan.fetched - plan.wanted) / plan.wanted
    rows = [
        (f"A shard of {len(cells)} chunks; {len(wanted)} neighbours are wanted", cells, wanted),
        (f"One request for each: {len(wanted)} requests", wanted, wanted),
        (
            f"Coalesced (gap {GAP >> 10} KiB): {len(plan.spans)} requests, {extra:.0%} more bytes",
            list(plan.spans),
            wanted,
        ),
    ]
    width, height = _WIDTH + 2 * _LEFT, _ROW * len(rows) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"',
        ' font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (title, frames, filled) in enumerate(rows):
        top = _ROW * number + 22
        lines.append(f'<text x="{_LEFT}" y="{top - 6}">{escape(title)}</text>')
        lines += [_box(frame, size, top, "#dfe6ee", "none") for frame in frames]
        lines += [_box(span, size, top, "#3d7ea6", "none") for span in filled]
        lines += [_box(frame, size, top, "none", "#1d3557") for frame in frames]
    return "\n".join([*lines, "</svg>", ""])


def _box(span: Span, size: int, top: int, fill: str, stroke: str) -> str:
    left = _LEFT + _WIDTH * span[0] / size
    width = _WIDTH * (span[1] - span[0]) / size
    return (
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{fill}" '
        f'stroke="{stroke}"/>'
    )
