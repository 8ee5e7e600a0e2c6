"""`SimpleFormat`: a chunked format of which a user writes its document, its keys and its chunks."""

from __future__ import annotations

import math
import numbers
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.constraint_checks import check_chunk_bytes, only_chunk_shape
from asynctensor.chunked.format import ArrayFormat, ArrayLayout, KeyEncoding
from asynctensor.chunked.member import Member
from asynctensor.chunked.schema_match import (
    agreed,
    agreed_fill,
    array_domain,
    check_schema,
    expect,
    finished_layout,
)
from asynctensor.errors import DataLoss, Error, IncompatibleType, InvalidArgument, from_ending
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.data_type import dtype
from asynctensor.schema.schema import Schema
from asynctensor.storage.kvstore import Buffer, Json

_MEMBERS = ("shape", "dtype", "chunk_shape", "fill_value")
#: Numbers that JSON has no numerals for, as zarr spells them.
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_DIGITS = re.compile("0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class SimpleMetadata:
    """What a `SimpleFormat` knows of an array.

    Attributes:
        shape: Its shape.
        dtype: Name of its data type: of numbers.
        chunk_shape: Shape of its chunks; those at the edge are whole too.
        fill_value: What is read where no chunk is stored.
    """

    shape: tuple[int, ...]
    dtype: str
    chunk_shape: tuple[int, ...]
    fill_value: complex = 0

    def checked(self) -> SimpleMetadata:
        """The same with plain values.

        Raises:
            InvalidArgument: It cannot be that of an array.
        """
        json: dict[str, Any] = {name: getattr(self, name) for name in _MEMBERS}
        for name in ("shape", "chunk_shape"):
            json[name] = [int(size) for size in json[name]]
        del json["fill_value"]
        found = _read(json)
        chunk_shape = found["chunk_shape"]
        if len(found["shape"]) != len(chunk_shape):
            raise InvalidArgument("shape and chunk_shape are of different ranks")
        itemsize = dtype(found["dtype"]).numpy_dtype.itemsize
        check_chunk_bytes("chunk_shape", chunk_shape, itemsize)
        return SimpleMetadata(
            found["shape"], found["dtype"], chunk_shape, _plain(self.fill_value, found["dtype"])
        )


def _plain(fill: Any, name: str) -> complex:
    kind = dtype(name).numpy_dtype
    wrong = InvalidArgument(f"the fill value {fill!r:.200} is no {name}")
    try:
        given = np.asarray(fill)
        if given.dtype.kind == "c" and kind.kind != "c":
            if np.imag(given):
                raise ValueError("it has an imaginary part")
            given = np.real(given)
        with np.errstate(invalid="ignore"):
            found: complex = given.astype(kind)[()].item()
    except (TypeError, ValueError, OverflowError) as error:
        raise wrong from error
    if kind.kind in "biu" and found != given:
        raise wrong
    return found


def _fill_json(fill: Any) -> Any:
    if isinstance(fill, complex):
        return [_fill_json(fill.real), _fill_json(fill.imag)]
    if math.isfinite(fill):
        return fill
    return "NaN" if math.isnan(fill) else "Infinity" if fill > 0 else "-Infinity"


def _fill_of(member: Member) -> complex:
    """What `_fill_json` says, or any number.

    Raises:
        InvalidArgument: It is none.
    """
    value = member.value
    parts = value if isinstance(value, list) and len(value) == 2 else [value]
    wrong = member.error(f"a number, one of {', '.join(_NOT_FINITE)}, or a list of two of these")
    if not all(isinstance(part, numbers.Complex) or part in _NOT_FINITE for part in parts):
        raise wrong
    found: list[Any] = [float(part) if isinstance(part, str) else part for part in parts]
    try:
        return complex(*found) if len(found) == 2 else found[0]
    except OverflowError as error:
        raise wrong from error


class SimpleFormat(ArrayFormat[SimpleMetadata]):
    """Arrays with a document that says shape, data type and chunk shape; one key per chunk.

    A subclass sets `driver` and `metadata_key`, and writes `read_document` and `write_document`;
    perhaps `key`, `encode` and `decode` too. ``metadata`` in its specs has the members of
    `SimpleMetadata`.
    """

    @abstractmethod
    def read_document(self, data: bytes) -> SimpleMetadata:
        """What a stored document says. Whatever it raises says that the document is damaged."""

    @abstractmethod
    def write_document(self, metadata: SimpleMetadata) -> bytes:
        """The document to store."""

    def key(self, cell: Sequence[int]) -> str:
        """The key of the chunk at a grid position, below the array's path."""
        return ".".join(map(str, cell)) or "0"

    def encode(self, chunk: Array) -> bytes:
        """The bytes of a chunk, which cannot be written: by default its elements, little-endian."""
        return chunk.astype(chunk.dtype.newbyteorder("<")).tobytes()

    def decode(self, data: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """The chunk that bytes are."""
        return np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape).astype(dtype)

    # -- the contract -----------------------------------------------------------------------

    def parse(self, data: bytes) -> SimpleMetadata:
        try:
            return self.read_document(data).checked()
        except InvalidArgument as error:
            raise DataLoss(f"the {self.driver} document is damaged: {error.message}") from error
        except Error:
            raise
        except Exception as error:
            raise DataLoss(
                f"the {self.driver} document is damaged: {type(error).__name__}: {error}"
            ) from error

    def serialize(self, metadata: SimpleMetadata) -> bytes:
        return bytes(self.write_document(metadata))

    def check_constraints(self, constraints: dict[str, Json]) -> None:
        _read(constraints)

    def constraint_schema(self, constraints: dict[str, Json], schema: Schema) -> Schema:
        known = _known(_read(constraints))
        known.update(schema=schema)
        return known

    def create(self, constraints: dict[str, Json], schema: Schema) -> SimpleMetadata:
        said = _read(constraints)
        known = _known(said)
        state = agreed(known, schema)
        assert state.dtype is not None
        assert state.domain is not None
        if schema.codec is not None:
            raise InvalidArgument(f'arrays of driver "{self.driver}" have no codec to choose')
        shape = tuple(state.domain.shape)
        name = state.dtype.name
        fill = agreed_fill(known.fill_value, schema, state.dtype)
        return SimpleMetadata(
            shape,
            name,
            only_chunk_shape(state.layout, said.get("chunk_shape"), shape),
            0 if fill is None else fill.item(),
        ).checked()

    def check(self, metadata: SimpleMetadata, constraints: dict[str, Json], schema: Schema) -> None:
        found = self.to_json(metadata)
        for name, wanted in _read(constraints).items():
            if name == "fill_value":
                wanted = _fill_json(_plain(wanted, metadata.dtype))  # noqa: PLW2901
            expect(name, list(wanted) if isinstance(wanted, tuple) else wanted, found[name])
        check_schema(self.schema(metadata), schema)

    def layout(self, metadata: SimpleMetadata) -> ArrayLayout:
        element = dtype(metadata.dtype).numpy_dtype
        return ArrayLayout(
            shape=metadata.shape,
            dtype=element,
            fill_value=np.asarray(metadata.fill_value, element),
            chunk_shape=metadata.chunk_shape,
            keys=_Keys(self, len(metadata.shape)),
            codec=_Codec(self, metadata.chunk_shape, element),
        )

    def schema(self, metadata: SimpleMetadata) -> Schema:
        rank = len(metadata.shape)
        element = dtype(metadata.dtype)
        return Schema(
            dtype=element,
            domain=array_domain(metadata.shape),
            chunk_layout=finished_layout(metadata.chunk_shape, metadata.chunk_shape, range(rank)),
            fill_value=np.asarray(metadata.fill_value, element.numpy_dtype),
        )

    def resized(self, metadata: SimpleMetadata, shape: tuple[int, ...]) -> SimpleMetadata:
        return replace(metadata, shape=tuple(shape))

    def to_json(self, metadata: SimpleMetadata) -> dict[str, Json]:
        return {
            "shape": [*metadata.shape],
            "dtype": metadata.dtype,
            "chunk_shape": [*metadata.chunk_shape],
            "fill_value": _fill_json(metadata.fill_value),
        }


def _read(json: Any) -> dict[str, Any]:
    """The members of a ``metadata`` that are given.

    Raises:
        InvalidArgument: One is not known, or wrong.
    """
    members = Member(dict(json), "metadata").object(_MEMBERS)
    found: dict[str, Any] = {}
    if "shape" in members:
        found["shape"] = tuple(members["shape"].sizes(0))
    if "chunk_shape" in members:
        found["chunk_shape"] = tuple(members["chunk_shape"].sizes(1))
    if "dtype" in members:
        try:
            element = dtype(members["dtype"].string())
        except InvalidArgument as error:
            raise members["dtype"].error(f"a data type: {error.message}") from error
        if element.numpy_dtype.kind not in "biufc":
            raise members["dtype"].error("a data type of numbers")
        found["dtype"] = element.name
    if "fill_value" in members:
        found["fill_value"] = _fill_of(members["fill_value"])
    return found


def _known(said: dict[str, Any]) -> Schema:
    known = Schema()
    if "dtype" in said:
        known.update(dtype=said["dtype"])
    if "shape" in said:
        known.update(domain=array_domain(said["shape"]))
    if "chunk_shape" in said:
        known.update(chunk_layout=ChunkLayout(chunk_shape=said["chunk_shape"]))
    if "fill_value" in said:
        fill = said["fill_value"]
        known.update(fill_value=_plain(fill, said["dtype"]) if "dtype" in said else fill)
    return known


class _Keys(KeyEncoding):
    def __init__(self, fmt: SimpleFormat, rank: int) -> None:
        self._format, self._rank = fmt, rank

    def key(self, cell: Sequence[int]) -> str:
        return self._format.key(cell)

    def cell(self, key: str) -> tuple[int, ...] | None:
        # The user's function goes one way only. Other numbers may stand in the key, but the
        # indices, in their order, are among the last ones or the first ones.
        numbers = [int(each) for each in _DIGITS.findall(key)]
        rank = self._rank
        for start in {len(numbers) - rank, 0} if len(numbers) >= rank else ():
            cell = tuple(numbers[start : start + rank])
            if self._format.key(cell) == key:
                return cell
        return None


def _called(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception:
        raise
    except BaseException as error:
        raise from_ending(error, repr(function)) from error


class _Codec(ArrayCodec):
    def __init__(self, fmt: SimpleFormat, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._format, self.shape, self.dtype = fmt, shape, dtype

    def encode(self, chunk: Array) -> Buffer:
        view = chunk.view()
        view.flags.writeable = False
        found = _called(self._format.encode, view)
        if not isinstance(found, bytes | bytearray | memoryview):
            raise IncompatibleType(
                f"encode of the format {self._format.driver} must give bytes: {found!r:.200}"
            )
        return found

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        try:
            found = _called(self._format.decode, bytes(data), self.shape, self.dtype)
        except Error:
            raise
        except ValueError as error:
            raise DataLoss(f"the chunk is damaged: {error}") from error
        if not isinstance(found, np.ndarray):
            raise IncompatibleType(
                f"decode of the format {self._format.driver} must give an array: {found!r:.200}"
            )
        if found.shape != self.shape or found.dtype != self.dtype:
            raise DataLoss(
                f"the chunk decodes to {found.dtype} of shape {found.shape}, expected "
                f"{self.dtype} of shape {self.shape}"
            )
        if out is None:
            return found
        np.copyto(out, found)
        return out
