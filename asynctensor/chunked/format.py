"""The contract between the chunk engine and a format: everything here is pure.

A format (zarr3, zarr2, ...) turns a metadata document into an `ArrayLayout`, from which the engine
plans and does every read and write; and it makes, checks and changes such documents.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec, Encoding
from asynctensor.chunked.document_merge import OPAQUE, MergeRules
from asynctensor.chunked.part import Part
from asynctensor.errors import Unimplemented
from asynctensor.schema.codec_spec import CodecRules
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Buffer, Json


class KeyEncoding(ABC):
    """Grid positions of one array, spelled as keys below the array's path."""

    @abstractmethod
    def key(self, cell: Sequence[int]) -> str:
        """The key of the chunk at `cell`."""

    @abstractmethod
    def cell(self, key: str) -> tuple[int, ...] | None:
        """The cell whose key is exactly `key`, or None if it is no chunk key."""


class ShardLayout(ABC):
    """How one stored value (a shard) holds many inner chunks that can be read one by one.

    In a shard of shards (`nested`), inner chunks are those of the shards within, as if there were
    but one level; only its index has a row for each shard within.

    Attributes:
        inner: Codec of one inner chunk; its `shape` divides the shard's.
        grid: Number of inner chunks along each dimension of the shard.
        nested: The layout of each of the shards within; None if there are none.
        index_size: Length in bytes of the encoded index.
        index_at_end: Whether the index is the last, else the first, part of the shard.
    """

    inner: ArrayCodec
    grid: tuple[int, ...]
    nested: ShardLayout | None = None
    index_size: int
    index_at_end: bool

    @property
    def index_grid(self) -> tuple[int, ...]:
        """Number of what the index has rows for, along each dimension."""
        if self.nested is None:
            return self.grid
        return tuple(n // m for n, m in zip(self.grid, self.nested.grid, strict=True))

    def split(self, numbers: Array) -> tuple[Array, Array]:
        """Of inner chunks, in which of the shards within they are, and which they are there.

        Args:
            numbers: C-order numbers in `grid`.

        Returns:
            C-order numbers in `index_grid`, and in the grid of `nested`.
        """
        assert self.nested is not None
        if not self.grid:
            return numbers, numbers
        inner = np.asarray(self.nested.grid).reshape(-1, 1)
        places = np.asarray(np.unravel_index(numbers, self.grid))
        outer, within = tuple(places // inner), tuple(places % inner)
        return (
            np.asarray(np.ravel_multi_index(outer, self.index_grid)),
            np.asarray(np.ravel_multi_index(within, self.nested.grid)),
        )

    @abstractmethod
    def decode_index(self, data: Buffer, shard_size: int) -> Array:
        """The index: int64, rows (offset, length) in C order of `index_grid`.

        What is empty has the row ``(-1, 0)``. Every other row lies within `shard_size`.

        Raises:
            DataLoss: Checksum, offsets or lengths are wrong.
        """

    @abstractmethod
    def encode(
        self, inner: Sequence[Encoding | None], kept: Mapping[int, Buffer | None] | None = None
    ) -> list[Buffer]:
        """The shard for encoded inner chunks, in pieces.

        Args:
            inner: In C order of `grid`; None where one is empty.
            kept: Shards within that stay as they are (None: empty), by C-order number in
                `index_grid`; their chunks in `inner` are not looked at.
        """


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """Where the elements of one array are, and how they are encoded.

    Attributes:
        shape: Shape of the array; its origin is 0.
        dtype: Data type of the elements, native-endian.
        fill_value: What is read where no chunk is stored; 0-dimensional, or a vector along the
            last dimension, which chunks then do not divide.
        chunk_shape: Shape of what one key holds (the write chunk); all chunks are full size.
        keys: Their keys.
        codec: Whole stored value to chunk and back.
        shard: How to read parts of a stored value; None if they can only be read whole.
        resizable: Per dimension, whether `resize` may move the upper bound.
        largest_form: Bytes of the largest form that a chunk takes on the way to its encoding, where
            that is more than its own; for elements without a fixed size, a limit.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: Array
    chunk_shape: tuple[int, ...]
    keys: KeyEncoding
    codec: ArrayCodec
    shard: ShardLayout | None = None
    resizable: tuple[bool, ...] | None = None
    largest_form: int = 0

    @property
    def fill_chunk(self) -> Array:
        """The fill value: 0-dimensional, or else of the shape of a chunk."""
        if not self.fill_value.ndim:
            return self.fill_value
        return np.broadcast_to(self.fill_value, self.chunk_shape)


M = TypeVar("M")


class ArrayFormat(ABC, Generic[M]):
    """A format, as a strategy without state. `M` is its parsed metadata: immutable, hashable."""

    #: Name in specs (``"zarr3"``).
    driver: str
    #: Key of the metadata document below the array's path.
    metadata_key: str
    #: How versions of that document merge, when several transactions change it.
    merge_rules: MergeRules = OPAQUE

    def with_metadata_key(self, key: str) -> Self:
        """The same format, for arrays whose document stands at another key."""
        found = copy.copy(self)
        found.metadata_key = key
        return found

    @abstractmethod
    def parse(self, data: bytes) -> M:
        """Parses a stored document, generously (all that readers of the format agree upon).

        Raises:
            DataLoss: It is not a valid document of this format; the message names the member.
            FailedPrecondition: It is one of another kind (a group, say).
            Unimplemented: It needs an extension that is not known here, which the text names.
        """

    @abstractmethod
    def serialize(self, metadata: M) -> bytes:
        """The document to store, written so that the strictest known reader accepts it."""

    @abstractmethod
    def constraint_schema(self, constraints: dict[str, Json], schema: Schema) -> Schema:
        """What a spec says: its partial ``metadata`` member and its schema together.

        Raises:
            InvalidArgument: Unknown or wrong member, of which the message gives the path; or one
                that contradicts the schema.
        """

    def codec_rules(self) -> CodecRules | None:
        """How codec specs of this format are read and merged; None if they are kept as they are."""
        return None

    def part_schema(self, constraints: dict[str, Json], schema: Schema, part: Part) -> Schema:
        """What a spec says of an array of parts of elements; by default only the schema does.

        Raises:
            InvalidArgument: As `constraint_schema`.
            FailedPrecondition: Elements have no such part.
        """
        del constraints, part
        return schema

    def implied_part(self, constraints: dict[str, Json], schema: Schema) -> Part | None:
        """The part of elements that a spec without ``field`` means; None: whole elements."""
        del constraints, schema
        return None

    def fixed_rank(self, constraints: dict[str, Json], part: Part | None) -> int:
        """How many trailing dimensions an array has that no `resize` can change."""
        del constraints, part
        return 0

    @abstractmethod
    def check_constraints(self, constraints: dict[str, Json]) -> None:
        """Checks a spec's partial ``metadata`` member.

        Raises:
            InvalidArgument: Unknown or wrong member; the message gives its path.
        """

    def spelled_out(self, constraints: dict[str, Json]) -> dict[str, Json]:
        """A spec's partial ``metadata`` member, as a spec gives it back.

        A format may fill in defaults of members that are there; the rest stays open.

        Raises:
            InvalidArgument: Wrong member; the message gives its path.
        """
        return constraints

    def record(self, metadata: M) -> np.dtype[Any] | None:
        """The NumPy type of one element as it is stored, if it is a record; else None."""
        return None

    def as_bytes(self, metadata: M) -> M:
        """The same array seen as the bytes of its elements, along one more dimension.

        What is stored, and the document, stay as they are.

        Raises:
            Unimplemented: The format cannot do it, or the array has no such bytes.
        """
        raise Unimplemented(f"{self.driver} arrays cannot be opened as bytes")

    @abstractmethod
    def create(self, constraints: dict[str, Json], schema: Schema) -> M:
        """New metadata that satisfies both.

        Raises:
            InvalidArgument: They contradict each other, or leave out what has no default.
        """

    @abstractmethod
    def check(self, metadata: M, constraints: dict[str, Json], schema: Schema) -> None:
        """Checks that stored metadata satisfies both.

        Raises:
            FailedPrecondition: It does not; the message names the member and both values.
        """

    @abstractmethod
    def layout(self, metadata: M) -> ArrayLayout:
        """Where the elements are."""

    @abstractmethod
    def schema(self, metadata: M) -> Schema:
        """Everything the metadata says, as a schema.

        Domain with labels and implicit upper bounds, dtype, chunk layout, codec, fill value, units.
        """

    @abstractmethod
    def resized(self, metadata: M, shape: tuple[int, ...]) -> M:
        """The same metadata with another shape."""

    def kind(self, metadata: M) -> Hashable:
        """What arrays that differ in nothing but their shape have in common, and no others.

        By default their document without a shape. Asked for whenever an array is opened: a format
        whose documents may be long gives something that takes no longer to make for that.
        """
        return self.serialize(self.resized(metadata, (0,) * len(self.layout(metadata).shape)))

    @abstractmethod
    def to_json(self, metadata: M) -> dict[str, Json]:
        """The spec's ``metadata`` member for it."""
