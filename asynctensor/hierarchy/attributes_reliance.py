"""What a transaction relies upon of the attributes of a node: those that it looked at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from asynctensor.hierarchy.node_format import NodeFormat
from asynctensor.transaction.staged_value import Reliance


class AttributesReliance(Reliance):
    """Attributes that have the values which they had.

    Args:
        generation: The document's.
        fmt: The format.
        known: All attributes as they were.
    """

    def __init__(self, generation: bytes, fmt: NodeFormat, known: Mapping[str, Any]) -> None:
        super().__init__(generation)
        self._format = fmt
        self._known = {name: _text(value) for name, value in known.items()}
        self._names: set[str] = set()
        self._needed: set[str] = set()
        self._all = self._all_needed = False

    def add(self, names: Iterable[str] | None, *, needed: bool) -> None:
        """Adds attributes (None: all); `needed` ones count in every isolation."""
        if names is None:
            self._all, self._all_needed = True, self._all_needed or needed
        else:
            (self._needed if needed else self._names).update(names)

    def broken(
        self, stored: bytes | None, outcome: bytes | None, reads: bool
    ) -> tuple[str, ...] | None:
        """See `Reliance.broken`."""
        now = {name: _text(value) for name, value in self._format.attributes(stored).items()}
        names = self._needed | (self._names if reads else set())
        if self._all_needed or (self._all and reads):
            names = now.keys() | self._known.keys()
        changed = sorted(name for name in names if now.get(name) != self._known.get(name))
        return tuple(f'attributes["{name}"]' for name in changed) or None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
