"""JSON as Python text, laid out as in TensorStore's reprs."""

from __future__ import annotations

from typing import Any


def json_repr(value: Any, *, width: int = 80, indent: int = 0) -> str:
    """`value` as a Python expression, members sorted, broken over lines when it is too long.

    Args:
        value: Parsed JSON.
        width: Columns; what fits into one line stays on one line.
        indent: Columns that the first line's opening bracket is indented by.
    """
    return _text(value, width, indent, indent)


def _text(value: Any, width: int, indent: int, used: int) -> str:
    line = _one_line(value)
    if used + len(line) <= width or not isinstance(value, (dict, list, tuple)) or not value:
        return line
    inner = indent + 2
    # The comma of a member takes a column, and TensorStore counts those of all levels.
    width -= 1
    pad = " " * inner
    if isinstance(value, dict):
        parts = []
        for name in sorted(value):
            key = f"{name!r}: "
            parts.append(pad + key + _text(value[name], width, inner, inner + len(key)) + ",\n")
        return "{\n" + "".join(parts) + " " * indent + "}"
    parts = [pad + _text(item, width, inner, inner) + ",\n" for item in value]
    return "[\n" + "".join(parts) + " " * indent + "]"


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_one_line(value[k])}" for k in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_one_line, value)) + "]"
    return repr(value)
