"""`Member`: a node below a group, as a listing shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from asynctensor.hierarchy.node_format import Kind, Node
from asynctensor.runtime.future import Future
from asynctensor.tensorstore import TensorStore

if TYPE_CHECKING:
    from asynctensor.groups.group import Group

#: What a node is once it is open.
Opened: TypeAlias = "Group | TensorStore"


@dataclass(frozen=True, slots=True)
class Member:
    """An array or a group below another group: what its documents say, without opening it.

    Attributes:
        path: Relative to the group that was asked.
        kind: ``"array"`` or ``"group"``.
        attributes: The attributes.
        document: The metadata document as it is stored.
        shape: Of an array; None for a group.
        dtype: Name of an array's data type; None for a group.
        chunk_shape: Of an array, what is read at once (inner chunks, where there are shards).
        shard_shape: Of an array with shards, what one key holds.
        codecs: Names of an array's codecs.
    """

    path: str
    kind: Kind
    attributes: Mapping[str, Any]
    document: Mapping[str, Any] = field(repr=False)
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    chunk_shape: tuple[int, ...] | None = None
    shard_shape: tuple[int, ...] | None = None
    codecs: tuple[str, ...] = ()
    _open: Callable[..., Future[Any]] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, path: str, node: Node, opener: Callable[..., Future[Any]]) -> Member:
        """From the documents of a node."""
        found = node.summary
        if found is None:
            return cls(path, node.kind, node.attributes, node.document, _open=opener)
        return cls(
            path,
            node.kind,
            node.attributes,
            node.document,
            found.shape,
            found.dtype,
            found.chunk_shape,
            found.shard_shape,
            found.codecs,
            opener,
        )

    @property
    def name(self) -> str:
        """The last component of the path."""
        return self.path.rpartition("/")[2]

    def open(
        self, *, timeout: float | None = None, deadline: float | None = None
    ) -> Future[Opened]:
        """Opens it.

        Args:
            timeout: Seconds after which to give up.
            deadline: The same as a Unix time.

        Returns:
            Future of a `TensorStore` or a `Group`; see `Group.open`.
        """
        assert self._open is not None
        return self._open(self.path, timeout=timeout, deadline=deadline)
