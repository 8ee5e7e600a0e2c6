"""A picture in box-drawing characters: the last two dimensions, cut into at most a few chunks."""

from __future__ import annotations

from asynctensor.display.picture import Axis, Picture

#: Cells drawn per direction; what is beyond is hinted at.
_ROWS, _COLUMNS = 3, 6


def box(picture: Picture) -> list[str]:
    """The picture as lines of equal width."""
    axes = picture.axes[-2:]
    if not axes:
        return ["┌─┐", "│·│", "└─┘"]
    columns, more_columns = _cells(axes[-1], _COLUMNS)
    rows, more_rows = _cells(axes[0], _ROWS) if len(axes) == 2 else (1, False)
    ends = ("┄", "┄") if more_columns else ("", "")
    lines = ["┌" + "┬".join(["──"] * columns) + "┐" + ends[0]]
    for row in range(rows):
        if row:
            lines.append("├" + "┼".join(["──"] * columns) + "┤" + ends[0])
        lines.append("│" + "│".join(["  "] * columns) + "│" + ends[1])
    if more_rows:
        lines.append("┆" + "┆".join(["  "] * columns) + "┆" + (" " if more_columns else ""))
    lines.append("└" + "┴".join(["──"] * columns) + "┘" + ends[0])
    return lines


def _cells(axis: Axis, limit: int) -> tuple[int, bool]:
    count = axis.count(axis.chunk)
    if not count:
        return 1, False
    return min(count, limit), count > limit
