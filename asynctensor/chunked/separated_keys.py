"""Chunk keys that spell out the grid position: all that zarr has."""

from __future__ import annotations

from collections.abc import Sequence

from asynctensor.chunked.format import KeyEncoding

#: No index has more digits, so none that a key spells overflows 64 bits by much.
_MAX_DIGITS = 19


class SeparatedKeys(KeyEncoding):
    """``c/0/1``: an optional prefix, then the indices, with a separator between all of them.

    Args:
        rank: Number of indices in a key.
        separator: ``"/"`` or ``"."``.
        prefix: ``"c"``, or empty; a key of no indices is then ``"0"``.
        hidden: Trailing dimensions of a cell that are never divided, and not in keys.
    """

    def __init__(self, rank: int, separator: str, prefix: str = "", hidden: int = 0) -> None:
        self._rank = rank
        self._separator = separator
        self._prefix = prefix
        self._start = f"{prefix}{separator}" if prefix else ""
        self._hidden = (0,) * hidden

    def key(self, cell: Sequence[int]) -> str:
        if not self._rank:
            return self._prefix or "0"
        indices = cell[: self._rank] if self._hidden else cell
        return self._start + self._separator.join(map(str, indices))

    def cell(self, key: str) -> tuple[int, ...] | None:
        if not self._rank:
            return self._hidden if key == (self._prefix or "0") else None
        if not key.startswith(self._start):
            return None
        parts = key[len(self._start) :].split(self._separator)
        if len(parts) != self._rank or not all(map(_is_index, parts)):
            return None
        return (*map(int, parts), *self._hidden)


def _is_index(text: str) -> bool:
    return (
        text.isascii()
        and text.isdigit()
        and len(text) <= _MAX_DIGITS
        and (text == "0" or text[0] != "0")
    )
