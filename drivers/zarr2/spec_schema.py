"""What a spec says of an array of zarr v2: its ``metadata`` and its schema together."""

from __future__ import annotations

from typing import Any

from asynctensor.chunked.schema_match import array_domain
from asynctensor.drivers.zarr2.codecs import codec_to_json, filters_to_json
from asynctensor.drivers.zarr2.constraints import Zarr2Constraints, canonical
from asynctensor.drivers.zarr2.data_types import fill_array, read_fill_value
from asynctensor.drivers.zarr2.schema import DRIVER, WantedCodecs, merged_members
from asynctensor.errors import InvalidArgument
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.schema import Schema


def spec_schema(wanted: Zarr2Constraints, schema: Schema) -> Schema:
    """See `ArrayFormat.constraint_schema`.

    The document's shape does not tell the rank alone: strings and raw data have one dimension
    more, so either the data type or the schema's rank has to be known too.

    Raises:
        InvalidArgument: The two contradict each other.
    """
    known = Schema(codec=_codec(wanted.codecs))
    data_type = wanted.data_type
    if data_type is not None:
        known.update(dtype=data_type.element)
        said = None
        if wanted.fill_value is not None:
            said = read_fill_value(wanted.fill_value, data_type)
        if said is not None:
            known.update(fill_value=fill_array(said, data_type))
    hidden = _hidden_sizes(wanted, schema.rank)
    rank = schema.rank
    if hidden is not None and wanted.rank is not None:
        rank = wanted.rank + len(hidden)
        known.update(rank=rank)
        sizes = [size for size in hidden if size is not None]
        if wanted.shape is not None and len(sizes) == len(hidden):
            known.update(domain=array_domain(wanted.shape, sizes))
    if rank:
        known.update(rank=rank, chunk_layout=_layout(wanted, hidden, rank))
    known.update(schema=canonical(schema))
    return known


def _hidden_sizes(wanted: Zarr2Constraints, rank: int | None) -> tuple[int | None, ...] | None:
    """Sizes of the dimensions that follow the document's; None where their number is unknown."""
    if wanted.data_type is not None:
        return wanted.data_type.hidden_shape
    if rank is None or wanted.rank is None:
        return None
    if not wanted.rank <= rank <= wanted.rank + 1:
        raise InvalidArgument(
            f'"metadata" has {wanted.rank} dimensions, the rank of the schema is {rank}'
        )
    return (None,) * (rank - wanted.rank)


def _layout(
    wanted: Zarr2Constraints, hidden: tuple[int | None, ...] | None, rank: int
) -> ChunkLayout:
    layout = ChunkLayout(grid_origin=[0] * rank)
    if hidden is None:
        return layout
    if wanted.chunk_shape is not None:
        shape = [*wanted.chunk_shape, *hidden]
        layout.update(chunk_shape=shape)
    if wanted.order is not None:
        own = range(rank - len(hidden))
        order = own if wanted.order == "C" else reversed(own)
        layout.update(inner_order=[*order, *range(len(own), rank)])
    return layout


def _codec(codecs: WantedCodecs) -> CodecSpec:
    members: dict[str, Any] = {"filters": filters_to_json(codecs.filters or ())}
    if codecs.compressor_said:
        members["compressor"] = codec_to_json(codecs.compressor)
    return CodecSpec({"driver": DRIVER, **members}, merge=merged_members)
