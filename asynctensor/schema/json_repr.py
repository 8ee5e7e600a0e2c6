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
        if _is_integers(value):
            return value
        return type(value)(_shown(item, "header" if name == "headers" else "") for item in value)
    if not isinstance(value, str):
        return value
    if name == "header":
        return f"{value.partition(':')[0]}: ..."
    return "..." if name in _SECRET else shown_url(value)


def _is_integers(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether there are only integers, as in index arrays: they may be long and cost little."""
    return set(map(type, value)) == {int}


def _text(value: Any, width: int, indent: int, used: int) -> str:
    line = _one_line(value, width - used)
    if line is not None:
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
    if _is_integers(value):
        parts = [f"{pad}{item},\n" for item in value]
    else:
        parts = [pad + _text(item, width, inner, inner) + ",\n" for item in value]
    return "[\n" + "".join(parts) + " " * indent + "]"


def _one_line(value: Any, room: int) -> str | None:
    """`value` in one line; None if that needs more columns than `room` and can be broken."""
    if not value or not isinstance(value, (dict, list, tuple)):
        return "..." if value is ... else "[]" if value == () else repr(value)
    if 3 * len(value) > room:
        # Each item takes a column and, but for the last, a comma and a blank: two are brackets.
        return None
    parts: list[str] = []
    for item in sorted(value) if isinstance(value, dict) else value:
        name = f"{item!r}: " if isinstance(value, dict) else ""
        room -= 2 + len(name)
        line = _one_line(value[item] if isinstance(value, dict) else item, room)
        if line is None or len(line) > room:
            return None
        room -= len(line)
        parts.append(name + line)
    text = ", ".join(parts)
    return f"{{{text}}}" if isinstance(value, dict) else f"[{text}]"
