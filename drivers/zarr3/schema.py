"""What the metadata of a zarr v3 array says, as a schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from asynctensor.chunked.constraint_checks import codec_members, within_spec
from asynctensor.chunked.member import Member
from asynctensor.chunked.schema_match import array_domain, finished_layout, unique_labels
from asynctensor.drivers.zarr3.codec_merge import merge_said
from asynctensor.drivers.zarr3.codec_reading import read_chain
from asynctensor.drivers.zarr3.codecs import Chain, Sharding, chain_to_json
from asynctensor.drivers.zarr3.metadata import Zarr3Metadata
from asynctensor.errors import Error
from asynctensor.schema.codec_spec import CodecRules, CodecSpec
from asynctensor.schema.schema import Schema
from asynctensor.schema.unit import Unit, as_unit

DRIVER = "zarr3"
#: The attribute by which TensorStore keeps units.
UNITS = "dimension_units"
#: How its name is spelled in JSON text.
_UNITS_NAME = json.dumps(UNITS)


def metadata_schema(metadata: Zarr3Metadata) -> Schema:
    """See `ArrayFormat.schema`."""
    hidden = metadata.data_type.hidden_shape
    labels = unique_labels(metadata.dimension_names, metadata.rank)
    order, read_shape = innermost(metadata.codecs, metadata.chunk_shape)
    schema = Schema(
        dtype=metadata.data_type.element,
        domain=array_domain(metadata.shape, hidden, labels),
        chunk_layout=finished_layout(
            (*metadata.chunk_shape, *hidden),
            (*read_shape, *hidden),
            (*order, *range(metadata.rank, metadata.rank + len(hidden))),
        ),
        codec=codec_spec(metadata.codecs),
        fill_value=metadata.fill_value,
    )
    units = attribute_units(metadata.attributes, metadata.rank)
    if any(unit is not None for unit in units):
        schema.update(dimension_units=[*units, *(None for _ in hidden)])
    return schema


def innermost(
    chain: Chain, chunk_shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Order of the dimensions inside the innermost chunks, and shape of these.

    Args:
        chain: A chain from `codec_chain.resolve`.
        chunk_shape: What it encodes.
    """
    order = tuple(range(len(chunk_shape)))
    shape = chunk_shape
    level: Chain | None = chain
    while level is not None:
        for transpose in level.transposes:
            assert isinstance(transpose.order, tuple)
            order = tuple(order[axis] for axis in transpose.order)
        # Inner chunks of another rank are no chunks of the array.
        if not isinstance(level.serializer, Sharding) or not level.keeps_shape:
            break
        assert level.serializer.chunk_shape is not None
        inner = dict(zip(order, level.serializer.chunk_shape, strict=True))
        shape = tuple(inner[axis] for axis in range(len(order)))
        level = level.serializer.codecs
    return order, shape


def codec_spec(chain: Chain) -> CodecSpec:
    """The codec of a schema."""
    return CodecSpec({"driver": DRIVER, **_members(chain)}, merge=_merge_members)


def _members(chain: Chain) -> dict[str, Any]:
    return {"codecs": chain_to_json(chain)} if [*chain] else {}


def chain_of(codec: CodecSpec | None) -> Chain:
    """The chain that a schema's codec asks for; empty if it asks for nothing.

    Raises:
        InvalidArgument: It is another driver's, or wrong.
    """
    members = codec_members(codec, DRIVER)
    return Chain() if members is None else _chain_of_members(members)


def _chain_of_members(members: Mapping[str, Any]) -> Chain:
    found = Member(dict(members), "codec").object(("codecs",))
    if "codecs" not in found:
        return Chain()
    with within_spec():
        return read_chain(found["codecs"])


def _merge_members(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    if "codecs" in a and "codecs" in b:
        merged = merge_said(_chain_of_members(a), _chain_of_members(b))
        return {"codecs": chain_to_json(merged)}
    return _read_members(a if "codecs" in a else b)


def _read_members(members: Mapping[str, Any]) -> dict[str, Any]:
    read = _members(_chain_of_members(members))
    # An empty list asks for no codec, where no list asks for nothing.
    return read or dict(members)


#: Of codec specs of this format.
CODEC_RULES = CodecRules(DRIVER, _read_members, _merge_members)


def attribute_units(attributes: str | None, rank: int) -> tuple[Unit | None, ...]:
    """The units that the attribute gives; none where it is something else than TensorStore's."""
    unknown = (None,) * rank
    # Asked again and again: without the name there is nothing to parse, however much it is.
    if attributes is None or _UNITS_NAME not in attributes:
        return unknown
    found = json.loads(attributes).get(UNITS)
    if not isinstance(found, list) or len(found) != rank:
        return unknown
    try:
        return tuple(None if unit is None else Unit(json=unit) for unit in found)
    except (Error, OverflowError):
        return unknown


def with_units(attributes: str | None, units: tuple[Unit | None, ...]) -> str | None:
    """The attributes with these units in them, if there are any."""
    if not any(unit is not None for unit in units):
        return attributes
    found = json.loads(attributes) if attributes else {}
    found[UNITS] = [None if unit is None else str(as_unit(unit)) for unit in units]
    return json.dumps(found)
