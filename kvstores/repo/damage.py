"""What is said of objects that the store lost or damaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from asynctensor.errors import DataLoss

DamageKind: TypeAlias = Literal[
    "repository", "name", "record", "part", "pack", "value", "checkpoint", "page", "hint"
]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something of a repository that is lost or damaged.

    Attributes:
        kind: What it is: the description (``"repository"``), an entry of a branch's or tag's
            ``"name"``, a ``"record"`` of a log, a ``"part"`` of a commit, a ``"pack"`` of values
            that is missing or cut off, a ``"value"`` within one, a ``"checkpoint"``, a ``"page"``
            of one, a ``"hint"``.
        object: Key of the object in the base store.
        message: What is wrong.
        key: The repository's key that is hit, where it is only one.
        commit: The id of the commit that wrote it, where it is one.
    """

    kind: DamageKind
    object: str
    message: str
    key: str | None = None
    commit: str | None = None

    @property
    def rebuildable(self) -> bool:
        """Whether the log says the same, so that nothing is lost but speed."""
        return self.kind in ("checkpoint", "page", "hint")

    def __str__(self) -> str:
        of = "".join(
            f", {what} {name!r}"
            for what, name in (("key", self.key), ("commit", self.commit))
            if name is not None
        )
        return f"{self.kind} {self.object}{of}: {self.message}"


class LostPage(DataLoss):
    """A page of a checkpoint, or a value beside its pages, is lost or damaged.

    To whoever does not look closer it is `DataLoss`; the log says the same again.
    """


def lost(key: str, name: str) -> DataLoss:
    """The error of a value that the index names and the store lacks (R18)."""
    return DataLoss(f"the object {name!r}, which holds this value, is missing", key=key)


def damaged(key: str, name: str, how: str = "wrong checksum") -> DataLoss:
    """The error of a value that is not what was written."""
    return DataLoss(f"the value is damaged in the object {name!r}: {how}", key=key)
