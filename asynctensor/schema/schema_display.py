"""What an array shows of itself, from all that is known of it: a `Schema`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from asynctensor.display.page import Display
from asynctensor.display.picture import Axis, Picture, count_text, shape_text, size_text
from asynctensor.schema.codec_spec import CodecSpec
from asynctensor.schema.schema import Schema

#: Bounds beyond it are infinite (TensorStore's limit).
_INFINITE = 2**62 - 1
#: Settings of codecs that are worth a word.
_TOLD = ("cname", "endian", "level", "clevel", "order")
Rows = Sequence[tuple[str, str]]


def schema_display(title: str, schema: Schema, before: Rows = (), after: Rows = ()) -> Display:
    """The display of an array, open or not.

    Args:
        title: What it is.
        schema: All that is known of it.
        before: Rows that stand above the schema's.
        after: Rows that stand below them.
    """
    axes = _axes(schema)
    sizes = None if axes is None else [axis.size for axis in axes]
    dtype = None if schema.dtype is None else schema.dtype.name
    shape = None if sizes is None else shape_text(sizes)
    headline = "  ".join(part for part in (dtype, shape) if part)
    rows = [*before, *_schema_rows(schema, axes), *after]
    return Display(title, headline, tuple(rows), None if axes is None else Picture(tuple(axes)))


def _axes(schema: Schema) -> list[Axis] | None:
    """The dimensions; None if not even the rank is known."""
    domain, rank = schema.domain, schema.rank
    if rank is None:
        return None
    layout = schema.chunk_layout
    read, write = _chunk(layout.read_chunk.shape, rank), _chunk(layout.write_chunk.shape, rank)
    origins = layout.grid_origin or (None,) * rank
    found = []
    for dim in range(rank):
        origin, size, label = 0, None, ""
        if domain is not None:
            interval = domain[dim]
            finite = interval.inclusive_min > -_INFINITE and interval.exclusive_max < _INFINITE
            origin, label = int(interval.inclusive_min), interval.label
            size = int(interval.size) if finite else None
        chunk, shard = read[dim] or write[dim], write[dim]
        if shard == chunk:
            shard = None
        found.append(Axis(size, label, origin, chunk, shard, origins[dim] or 0))
    if all(axis.shard is None for axis in found):
        return found
    # Where only some dimensions are cut finer, the others' shards are their chunks.
    return [
        axis
        if axis.shard is not None
        else Axis(axis.size, axis.label, axis.origin, axis.chunk, axis.chunk, axis.grid_origin)
        for axis in found
    ]


def _chunk(shape: Any, rank: int) -> list[int | None]:
    return [None] * rank if shape is None else [int(n) if n else None for n in shape]


def _schema_rows(schema: Schema, axes: Sequence[Axis] | None) -> Iterator[tuple[str, str]]:
    if axes:
        if any(axis.origin for axis in axes):
            yield "origin", ", ".join(f"{axis.origin:,}" for axis in axes)
        yield from _grid_rows(axes)
    if axes is not None and schema.dtype is not None:
        size = schema.dtype.numpy_dtype.itemsize
        counts = [axis.size for axis in axes]
        known = [n for n in counts if n is not None]
        if len(known) == len(counts):
            yield "size", f"{size_text(math.prod(known) * size)} uncompressed"
    if schema.codec is not None:
        yield "codec", codec_text(schema.codec)
    if schema.fill_value is not None:
        yield "fill value", _fill_text(schema.fill_value)
    units = schema.dimension_units
    if units is not None and any(unit is not None for unit in units):
        yield "units", ", ".join("-" if unit is None else str(unit) for unit in units)


def _grid_rows(axes: Sequence[Axis]) -> Iterator[tuple[str, str]]:
    for name, which in (("chunks", "chunk"), ("shards", "shard")):
        steps = [getattr(axis, which) for axis in axes]
        if not any(steps):
            continue
        counts = count_text([axis.count(step) for axis, step in zip(axes, steps, strict=True)])
        yield name, shape_text(steps) + (f"  ({counts})" if counts else "")


def codec_text(codec: CodecSpec) -> str:
    """Names of the codecs, with the settings that fit into a few words."""
    found = codec.to_json()
    chain = found.get("codecs")
    if isinstance(chain, list):
        return " → ".join(_codec_name(each) for each in chain)
    parts = []
    for name in ("filters", "compressor", "compression", "encoding"):
        each = found.get(name)
        many = each if isinstance(each, list) else [each]
        parts += [_codec_name(one) for one in many if one is not None]
    return " → ".join(parts) if parts else "none"


def _codec_name(codec: Any) -> str:
    if not isinstance(codec, dict):
        return str(codec)
    name = str(codec.get("name") or codec.get("id") or codec.get("type") or json.dumps(codec))
    inner = codec.get("configuration")
    settings = inner if isinstance(inner, dict) else codec
    if name == "sharding_indexed":
        chain = settings.get("codecs")
        return f"shards of ({' → '.join(map(_codec_name, chain))})" if chain else name
    said = [
        str(settings[k]) for k in ("cname", "endian", "level", "clevel", "order") if k in settings
    ]
    return f"{name} {' '.join(said)}".rstrip()


def _fill_text(value: Any) -> str:
    array = np.asarray(value)
    return str(array[()]) if array.ndim == 0 else f"array of shape {shape_text(array.shape)}"
