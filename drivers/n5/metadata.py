"""The document ``attributes.json`` of a dataset: parsed, and written.

Source: N5 specification, "File-system specification", number 4. The members ``axes``, ``units`` and
``resolution`` are a convention that TensorStore and neuroglancer share; where somebody else's
members of these names are something else, they are attributes like any other.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from asynctensor.chunked.constraint_checks import check_chunk_bytes
from asynctensor.chunked.member import Member, load_document
from asynctensor.drivers.n5.compressions import (
    Compression,
    read_compression,
    read_old_compression,
)
from asynctensor.errors import DataLoss, FailedPrecondition, InvalidArgument, Unimplemented
from asynctensor.schema.data_type import dtype
from asynctensor.schema.unit import Unit
from asynctensor.storage.kvstore import Json

#: In TensorStore's order.
DATA_TYPES = (
    "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64",
)  # fmt: skip
_REQUIRED = ("dimensions", "blockSize", "dataType")
_ANNOTATIONS = ("axes", "units", "resolution")
#: Members with a meaning here; all others are attributes.
KNOWN = (*_REQUIRED, "compression", *_ANNOTATIONS)
#: N5 specification, number 7.
MAX_BLOCK_BYTES = 2**31


@dataclass(frozen=True, slots=True)
class N5Metadata:
    """A parsed document.

    Attributes:
        shape: ``dimensions``, in the order of the document, which is the array's.
        data_type: Data type.
        block_shape: ``blockSize``: what one key holds.
        compression: How it is compressed.
        axes: A label per dimension, empty where there is none.
        units: A base unit per dimension; None: not said.
        resolution: How many of them one step along the dimension is; None: not said.
        attributes: JSON text of all other members, sorted by name.
    """

    shape: tuple[int, ...]
    data_type: dtype
    block_shape: tuple[int, ...]
    compression: Compression
    axes: tuple[str, ...]
    units: tuple[str, ...] | None = None
    resolution: tuple[float, ...] | None = None
    attributes: str = "{}"

    @property
    def dimension_units(self) -> tuple[Unit, ...] | None:
        """Units of the dimensions, None where none are known."""
        return combined_units(self.units, self.resolution)


def combined_units(
    units: tuple[str, ...] | None, resolution: tuple[float, ...] | None
) -> tuple[Unit, ...] | None:
    """Units of the dimensions; a resolution alone makes none, as in TensorStore."""
    if units is None:
        return None
    steps = resolution if resolution is not None else (1.0,) * len(units)
    return tuple(Unit(step, unit) for step, unit in zip(steps, units, strict=True))


def parse_metadata(data: bytes) -> N5Metadata:
    """Parses a stored document; see `ArrayFormat.parse`."""
    document = load_document(data)
    found = document.object()
    if not any(key in found for key in _REQUIRED):
        raise FailedPrecondition(
            "there is an N5 group here, not a dataset: its attributes.json has none of "
            f"{', '.join(_REQUIRED)}"
        )
    try:
        return _read_dataset(document)
    except InvalidArgument as error:
        raise DataLoss(f"invalid N5 metadata: {error.message}") from error


def _read_dataset(document: Member) -> N5Metadata:
    found = document.object(required=_REQUIRED)
    shape = found["dimensions"].sizes(0)
    rank = len(shape)
    block_shape = found["blockSize"].sizes(1, rank)
    data_type = read_data_type(found["dataType"])
    check_chunk_bytes("blockSize", block_shape, data_type.numpy_dtype.itemsize, MAX_BLOCK_BYTES)
    if "compression" not in found and "compressionType" in found:
        compression = read_old_compression(found["compressionType"])
    else:
        document.object(required=("compression",))
        compression = read_compression(found["compression"], stored=True)
    annotations, foreign = _stored_annotations(found, rank)
    attributes = {key: each.value for key, each in found.items() if key not in KNOWN}
    return N5Metadata(
        shape=shape,
        data_type=data_type,
        block_shape=block_shape,
        compression=compression,
        axes=annotations.get("axes", ("",) * rank),
        units=annotations.get("units"),
        resolution=annotations.get("resolution"),
        attributes=json.dumps(dict(sorted({**attributes, **foreign}.items()))),
    )


def _stored_annotations(
    found: dict[str, Member], rank: int
) -> tuple[dict[str, Any], dict[str, Json]]:
    """Those that are what TensorStore means by them, and the values of those that are not."""
    annotations: dict[str, Any] = {}
    foreign: dict[str, Json] = {}
    for name in _ANNOTATIONS:
        if name in found:
            try:
                annotations[name] = READERS[name](found[name], rank)
            except InvalidArgument:
                foreign[name] = found[name].value
    return annotations, foreign


def read_data_type(member: Member) -> dtype:
    """The data type.

    Raises:
        InvalidArgument: It is none.
        Unimplemented: Elements of this type are no numbers.
    """
    name = member.string()
    if name in ("object", "string"):
        raise Unimplemented(
            f'member "{member.path}": blocks of the type "{name}" hold serialized data, no array; '
            f"readable are {', '.join(DATA_TYPES)}"
        )
    return dtype(member.string(DATA_TYPES))


def read_axes(member: Member, rank: int | None, said_by: Member | None = None) -> tuple[str, ...]:
    """Labels of the dimensions.

    Raises:
        InvalidArgument: They are none, or not `rank`, or one occurs twice.
    """
    labels = tuple(each.string() for each in member.array(rank, said_by))
    named = [label for label in labels if label]
    if len(set(named)) != len(named):
        raise member.error("labels that differ")
    return labels


def read_units(member: Member, rank: int | None, said_by: Member | None = None) -> tuple[str, ...]:
    """Base units of the dimensions.

    Raises:
        InvalidArgument: They are none, or not `rank`.
    """
    return tuple(each.string() for each in member.array(rank, said_by))


def read_resolution(
    member: Member, rank: int | None, said_by: Member | None = None
) -> tuple[float, ...]:
    """How many units one step along each dimension is.

    Raises:
        InvalidArgument: They are no finite numbers, or not `rank`.
    """
    return tuple(map(_number, member.array(rank, said_by)))


def _number(member: Member) -> float:
    value = member.value
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise member.error("a number")
    try:
        number = float(value)
    except OverflowError:
        raise member.error("a number of 64 bits") from None
    if not math.isfinite(number):
        raise member.error("a finite number")
    return number


READERS = {"axes": read_axes, "units": read_units, "resolution": read_resolution}


def metadata_to_json(metadata: N5Metadata, *, stored: bool = False) -> dict[str, Json]:
    """The document; what a spec would refuse is in it only if it is `stored`."""
    attributes: dict[str, Any] = json.loads(metadata.attributes)
    document: dict[str, Json] = {
        "dimensions": list(metadata.shape),
        "blockSize": list(metadata.block_shape),
        "dataType": metadata.data_type.name,
        "compression": metadata.compression.to_json(stored=stored),
    }
    if any(metadata.axes):
        document["axes"] = list(metadata.axes)
    if metadata.units is not None:
        document["units"] = list(metadata.units)
    if metadata.resolution is not None:
        document["resolution"] = list(metadata.resolution)
    for key, value in attributes.items():
        if stored or key not in KNOWN:
            document.setdefault(key, value)
    return dict(sorted(document.items()))
