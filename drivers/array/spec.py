"""The ``array`` and ``dtype`` members of a spec: nested lists of elements, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.errors import InvalidArgument
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.chunk_layout import ChunkLayout
from asynctensor.schema.contradiction import between, colliding, contradiction, in_schema
from asynctensor.schema.conversion import from_json
from asynctensor.schema.data_type import dtype
from asynctensor.schema.elements import LISTS, Elements
from asynctensor.schema.fill_constraint import fill_from_json
from asynctensor.schema.json_value import annotated, expected, merging
from asynctensor.schema.schema import Schema


def array_from_json(json: Any, data_type: dtype) -> Array:
    """The array that nested lists say.

    Raises:
        InvalidArgument: Lists of different lengths, or an element that `data_type` has not; the
            message gives its position.
    """
    with merging("array"):
        if data_type.name in LISTS:
            return np.array(fill_from_json(json, data_type))
        shape = _shape(json)
        found = np.empty(shape, data_type.numpy_dtype)
        _fill(found, json, from_json(data_type), ())
    return found


def _shape(json: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(json, (list, tuple)):
        shape.append(len(json))
        if not json:
            break
        json = json[0]
    return tuple(shape)


def _fill(found: Array, json: Any, read: Any, at: tuple[int, ...]) -> None:
    depth = len(at)
    if depth == found.ndim:
        with annotated(f"Error parsing array element at position {_braces(at)}"):
            if isinstance(json, (list, tuple)):
                raise expected(f"an element of a rank-{depth} array", json)
            with colliding("array", "schema.dtype"):
                found[at] = read(json)
        return
    if not isinstance(json, (list, tuple)):
        raise InvalidArgument(
            f"Expected rank-{found.ndim} array, but found non-array element {json!r:.80} at "
            f"position {_braces(at)}"
        )
    if len(json) != found.shape[depth]:
        raise InvalidArgument(
            f"Expected array of shape {_braces(found.shape)}, but found array element {json!r:.80} "
            f"of length {len(json)} at position {_braces(at)}"
        )
    for place, each in enumerate(json):
        _fill(found, each, read, (*at, place))


def _braces(numbers: tuple[int, ...]) -> str:
    return "{" + ", ".join(map(str, numbers)) + "}"


def visible(values: Array, transform: IndexTransform) -> tuple[Array, IndexTransform]:
    """What has to be written of a view, and the transform from its domain to that.

    Dimensions along which nothing varies are left out.

    Args:
        values: The elements of `transform`, of its input shape.
        transform: Bounded; only its domain counts.
    """
    shape = values.shape
    if 0 in shape:
        item = OutputIndexMap.constant(0)
        dim = shape.index(0)
        if transform.implicit_lower_bounds[dim] or transform.implicit_upper_bounds[dim]:
            # It does not count as empty by itself, and the constant would be checked.
            item = OutputIndexMap.single(dim, -transform.input_inclusive_min[dim], 1)
        return np.empty(0, values.dtype), _over(transform, (item,))
    kept = [d for d, size in enumerate(shape) if size > 1 and values.strides[d]]
    index = tuple(slice(None) if d in kept else 0 for d in range(values.ndim))
    origin = transform.input_inclusive_min
    single = tuple(OutputIndexMap.single(d, -origin[d], 1) for d in kept)
    # With the ellipsis, an array even of a single element.
    return values[(*index, ...)], _over(transform, single)


def _over(transform: IndexTransform, maps: tuple[OutputIndexMap, ...]) -> IndexTransform:
    return IndexTransform.make(transform.bounds, transform.input_labels, maps)


def array_schema(array: Array, data_type: dtype) -> Schema:
    """All that an array in memory says of itself: its layout is the order of its strides."""
    strides = array.strides
    order = sorted(range(array.ndim), key=lambda dim: -abs(strides[dim]))
    layout = ChunkLayout(inner_order=order, grid_origin=(0,) * array.ndim)
    return Schema(dtype=data_type, shape=array.shape, chunk_layout=layout)


def read_members(options: Mapping[str, Any], schema: Schema) -> tuple[Array, dtype]:
    """The array of a spec, and its data type.

    Raises:
        InvalidArgument: A member is missing or wrong.
    """
    data_type = schema.dtype
    if data_type is None:
        raise InvalidArgument('dtype must be specified: an array in JSON needs the member "dtype"')
    if "array" not in options:
        raise InvalidArgument(
            'Error parsing object member "array": Expected array, but member is missing'
        )
    given = options["array"]
    if isinstance(given, Elements):
        if given.data_type != data_type:
            raise InvalidArgument(
                f"dtype {data_type.name} is not that of the elements, {given.data_type.name}"
            )
        return given.values, data_type
    return array_from_json(given, data_type), data_type


def effective_schema(options: Mapping[str, Any], schema: Schema) -> Schema:
    """See `asynctensor.spec_rules.EffectiveSchema`."""
    array, data_type = read_members(options, schema)
    if schema.rank not in (None, array.ndim):
        raise contradiction(
            f'Error parsing object member "array": Array rank ({array.ndim}) does not match '
            f"expected rank ({schema.rank})",
            in_schema(schema.state.rank_said_by()),
            "array",
        )
    order = schema.chunk_layout.inner_order
    if order is not None:
        array = in_order(array, order)
    known = array_schema(array, data_type)
    with between(in_schema, lambda path: path if path == "dtype" else "array"):
        return Schema.from_state(known.state.merged(schema.state))


def in_order(array: Array, order: tuple[int, ...]) -> Array:
    """The same elements, stored with the dimensions in `order`, the last varying fastest."""
    back = np.argsort(order)
    return np.ascontiguousarray(array.transpose(order)).transpose(back)
