"""JSON as Python text, laid out as in TensorStore's reprs."""

from __future__ import annotations

from typing import Any

from asynctensor.pipeline_url import shown_url

#: Members that hold secrets, in specs that users have written.
_SECRET = frozenset({"password", "token"})


def json_repr(value: Any, *, width: int = 80, indent: int = 0) -> str:
    """`value` as a Python expression, members sorted, broken over lines when it is too long.

    What may be secret is left out: queries and users in URLs, values of ``headers``, passwords.

    Args:
        value: Parsed JSON.
        width: Columns; what fits into one line stays on one line.
        indent: Columns that the first line's opening bracket is indented by.
    """
    return _text(_shown(value), width, indent, indent)


def _shown(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _shown(v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_shown(item, "header" if name == "headers" else "") for item in value)
    if not isinstance(value, str):
        return value
    if name == "header":
        return f"{value.partition(':')[0]}: ..."
    return "..." if name in _SECRET else shown_url(value)


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
