"""Which writes to one zip file can be done together, and what each of them then answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from asynctensor.kvstores.zip.directory import Directory
from asynctensor.kvstores.zip.rewriting import NewEntry
from asynctensor.storage.generation import NO_VALUE, UNKNOWN


@dataclass(frozen=True, slots=True)
class Change:
    """One write.

    Attributes:
        key: The key.
        entry: What it shall become; None: it is deleted.
        if_equal: The generation that it must have, or `UNKNOWN`.
    """

    key: str
    entry: NewEntry | None
    if_equal: bytes = UNKNOWN


@dataclass(slots=True)
class Round:
    """What is done in one rewriting of the file.

    Attributes:
        changes: What becomes of the keys.
        written: Numbers of the writes that give a new value.
        deleted: Numbers of those that leave none, or found none.
        refused: Numbers of those whose condition does not hold.
        left: Numbers of those for the next round: their key is changed in this one.
    """

    changes: dict[str, NewEntry | None] = field(default_factory=dict)
    written: list[int] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)


def planned(group: Sequence[Change], directory: Directory | None, generation: bytes) -> Round:
    """What can be done at once.

    Args:
        group: The writes, in order.
        directory: What the file holds; None if there is none.
        generation: That of the file.
    """
    found = Round()
    touched: set[str] = set()
    for number, change in enumerate(group):
        if change.key in touched:
            found.left.append(number)
            continue
        there = directory is not None and directory.find(change.key) is not None
        if change.if_equal not in (UNKNOWN, generation if there else NO_VALUE):
            found.refused.append(number)
            continue
        touched.add(change.key)
        (found.deleted if change.entry is None else found.written).append(number)
        if change.entry is not None or there:
            found.changes[change.key] = change.entry
    return found
