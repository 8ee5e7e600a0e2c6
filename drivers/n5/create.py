"""New metadata, from what a spec says and what its schema wants."""

from __future__ import annotations

from asynctensor.chunked.constraint_checks import check_chunk_bytes, only_chunk_shape
from asynctensor.chunked.schema_match import agreed
from asynctensor.drivers.n5.compressions import default_compression, merged_compressions
from asynctensor.drivers.n5.constraints import N5Constraints, known_schema, without_fill
from asynctensor.drivers.n5.metadata import DATA_TYPES, MAX_BLOCK_BYTES, N5Metadata
from asynctensor.drivers.n5.schema import compression_of, inner_order
from asynctensor.schema.contradiction import contradiction
from asynctensor.schema.layout_state import LayoutState
from asynctensor.schema.schema import Schema
from asynctensor.schema.unit import Unit


def create_metadata(wanted: N5Constraints, schema: Schema) -> N5Metadata:
    """New metadata that satisfies both; see `ArrayFormat.create`."""
    compression = merged_compressions(wanted.compression, compression_of(schema.codec))
    state = agreed(known_schema(wanted), without_fill(schema))
    assert state.dtype is not None
    assert state.domain is not None
    if state.dtype.name not in DATA_TYPES:
        raise contradiction(
            f"{state.dtype.name} data type is not one of the supported data types: "
            f"{', '.join(DATA_TYPES)}",
            "dtype",
            "driver",
        )
    shape = tuple(state.domain.shape)
    axes = tuple(state.domain.labels)
    if wanted.axes not in (None, axes):
        raise contradiction(
            f'"axes" from metadata {list(wanted.axes or ())} does not match labels from schema '
            f"{list(axes)}",
            "schema.domain.labels",
            "metadata.axes",
        )
    _check_inner_order(state.layout, len(shape))
    block_shape = only_chunk_shape(state.layout, wanted.block_shape, shape)
    itemsize = state.dtype.numpy_dtype.itemsize
    check_chunk_bytes("blockSize", block_shape, itemsize, MAX_BLOCK_BYTES)
    units, resolution = _units(wanted, tuple(state.units))
    return N5Metadata(
        shape=shape,
        data_type=state.dtype,
        block_shape=block_shape,
        compression=compression or default_compression(itemsize),
        axes=axes,
        units=units,
        resolution=resolution,
        attributes=wanted.attributes,
    )


def _check_inner_order(layout: LayoutState, rank: int) -> None:
    wanted = layout.inner_order
    order = inner_order(rank)
    if wanted is not None and wanted.hard and wanted.value != order:
        raise contradiction(
            f'Invalid "inner_order" constraint: {list(wanted.value)}; N5 has only {list(order)}',
            "schema.chunk_layout.inner_order",
            "driver",
        )


def _units(
    wanted: N5Constraints, units: tuple[Unit | None, ...]
) -> tuple[tuple[str, ...] | None, tuple[float, ...] | None]:
    """Base units and resolution: N5 has them for all dimensions or for none."""
    if not any(unit is not None for unit in units):
        return None, wanted.resolution
    known = [Unit() if unit is None else unit for unit in units]
    steps = tuple(unit.multiplier for unit in known)
    if wanted.resolution not in (None, steps):
        raise contradiction(
            f'"resolution" from metadata {list(wanted.resolution or ())} does not match dimension '
            f"units from schema {[str(unit) for unit in known]}",
            "schema.dimension_units",
            "metadata.resolution",
        )
    return tuple(unit.base_unit for unit in known), steps
