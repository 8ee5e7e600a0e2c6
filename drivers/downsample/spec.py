"""The ``downsample_factors`` and ``downsample_method`` of a spec, and what they say."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from asynctensor.chunked.driver_request import base_of, schema_of
from asynctensor.drivers.downsample.cells import downsampled_schema, strided
from asynctensor.drivers.downsample.methods import METHODS, check_method
from asynctensor.errors import InvalidArgument, OutOfRange
from asynctensor.index_space.domain import IndexDomain
from asynctensor.index_space.interval import MAX_FINITE_INDEX
from asynctensor.index_space.output_map import OutputIndexMap
from asynctensor.index_space.transform import IndexTransform
from asynctensor.schema.chunk_grid import GridConstraints
from asynctensor.schema.constraint import Constraint, PerDimension
from asynctensor.schema.contradiction import between, colliding, contradiction, in_schema
from asynctensor.schema.json_value import array, expected, in_member, merging
from asynctensor.schema.layout_state import NO_LAYOUT, LayoutState
from asynctensor.schema.schema import Schema

T = TypeVar("T", int, float)


def read_factors(options: Mapping[str, Any]) -> tuple[int, ...]:
    """The factor of each dimension.

    Raises:
        InvalidArgument: The member is missing or wrong.
    """
    with in_member("downsample_factors"):
        if "downsample_factors" not in options:
            raise InvalidArgument("Expected array, but member is missing")
        return array(options["downsample_factors"], _factor)


def _factor(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**63:
        raise expected("integer in the range [1, 9223372036854775807]", value)
    return value


def read_method(options: Mapping[str, Any]) -> str:
    """The method.

    Raises:
        InvalidArgument: The member is missing or wrong.
    """
    with in_member("downsample_method"):
        if "downsample_method" not in options:
            raise InvalidArgument("Expected string, but member is missing")
        return checked_method(options["downsample_method"])


def checked_method(method: object) -> str:
    """`method`, if there is such a one.

    Raises:
        InvalidArgument: There is not.
    """
    if method not in METHODS:
        raise expected(f"one of {', '.join(METHODS)}", method)
    return str(method)


def check_rank(factors: tuple[int, ...], rank: int | None) -> None:
    """Refuses factors that are not as many as the dimensions.

    Raises:
        InvalidArgument: They are not.
    """
    if rank not in (None, len(factors)):
        raise InvalidArgument(
            f"Number of downsample factors ({len(factors)}) does not match TensorStore rank "
            f"({rank})"
        )


def effective_schema(options: Mapping[str, Any], schema: Schema) -> Schema:
    """See `asynctensor.spec_rules.EffectiveSchema`."""
    factors, method = read_factors(options), read_method(options)
    base = schema_of(base_of(options))
    with merging("downsample_factors"), colliding("downsample_factors", "base"):
        check_rank(factors, base.rank)
    if base.dtype is not None:
        with merging("downsample_method"), colliding("downsample_method", "base"):
            check_method(method, base.dtype)
    domain = base.domain or IndexDomain(rank=len(factors))
    known = downsampled_schema(base, strided(domain, factors, method))
    if base.domain is None:
        known = Schema.from_state(replace(known.state, domain=None))
    with between(in_schema, lambda _: "base"):
        return Schema.from_state(known.state.merged(schema.state))


def base_part(
    options: Mapping[str, Any], transform: IndexTransform, domain: IndexDomain
) -> IndexTransform | None:
    """See `asynctensor.spec_rules.DriverRules`; None for views that leave cells out.

    As in TensorStore, the part of a cell that is outside of the base does not count, and no bound
    moves. Of cells that are one element each (method ``"stride"``), it is any view of these.
    """
    factors, method = read_factors(options), read_method(options)
    if method == "stride":
        return strided(domain, factors, method)[transform]
    seen = {each.input_dimension for each in transform.output}
    if len(seen) < len(transform.output) or None in seen or not _is_finite(domain):
        return None
    if any(each.stride not in (1, -1) for each in transform.output):
        return None
    cells = transform.domain
    bounds = [*zip(cells.inclusive_min, cells.exclusive_max, strict=True)]
    maps = []
    for size, factor, each in zip(domain, factors, transform.output, strict=True):
        axis, stride, offset = each.input_dimension, each.stride, each.offset * factor
        assert axis is not None
        assert stride is not None
        low, high = bounds[axis]
        first, last = sorted(each.offset + stride * x for x in (low, high - 1))
        if high <= low:
            first, last = each.offset, each.offset - 1
        start = max(first * factor, size.inclusive_min)
        stop = max(start, min((last + 1) * factor, size.exclusive_max))
        bounds[axis] = (
            (start - offset, stop - offset)
            if stride == 1
            else (offset - stop + 1, offset - start + 1)
        )
        maps.append(OutputIndexMap(offset=offset, stride=stride, input_dimension=axis))
    return IndexTransform(
        domain=IndexDomain(
            inclusive_min=[low for low, _ in bounds],
            exclusive_max=[high for _, high in bounds],
            labels=cells.labels,
        ),
        output=maps,
    )


def _is_finite(domain: IndexDomain) -> bool:
    bounds = (*domain.inclusive_min, *domain.inclusive_max)
    return all(abs(bound) <= MAX_FINITE_INDEX for bound in bounds)


def base_schema(options: Mapping[str, Any], schema: Schema) -> tuple[Schema, Schema]:
    """See `asynctensor.spec_rules.BaseSchema`.

    Raises:
        InvalidArgument: There is a fill value, which would concern the base in a way that no
            constraint expresses.
        OutOfRange: A chunk of the base would leave the index space.
    """
    factors, state = read_factors(options), schema.state
    if state.fill_value is not None:
        message = 'fill_value not supported by the "downsample" driver'
        raise contradiction(message, "schema.fill_value", "driver")
    with merging("downsample_factors"), colliding("downsample_factors", "base"):
        check_rank(factors, base_of(options).effective_schema().rank)
    said_by = in_schema(state.rank_said_by())
    with merging("downsample_factors"), colliding("downsample_factors", said_by):
        check_rank(factors, state.rank)
    units = tuple(
        None if unit is None else unit / factor
        for unit, factor in zip(state.units, factors, strict=False)
    )
    handed = replace(
        state, rank=len(factors), domain=None, units=units, layout=_layout(state.layout, factors)
    )
    kept = replace(state, dtype=None, codec=None, units=(), layout=NO_LAYOUT)
    return Schema.from_state(kept), Schema.from_state(handed)


def _layout(layout: LayoutState, factors: tuple[int, ...]) -> LayoutState:
    """What a layout of cells says of the elements below."""

    def scaled_grid(grid: GridConstraints) -> GridConstraints:
        # A size of -1 stands for all there is, in cells as in elements.
        shape = _scaled(grid.shape, factors, lambda size, factor: max(size * factor, -1))
        ratio = _scaled(grid.aspect_ratio, factors, operator.mul)
        return GridConstraints(shape, ratio, grid.elements)

    return replace(
        layout,
        grid_origin=_scaled(layout.grid_origin, factors, operator.mul),
        write=scaled_grid(layout.write),
        read=scaled_grid(layout.read),
        codec=scaled_grid(layout.codec),
    )


def _scaled(
    items: PerDimension[T], factors: tuple[int, ...], scale: Callable[[T, int], T]
) -> PerDimension[T]:
    found: list[Constraint[T] | None] = []
    for item, factor in zip(items, factors, strict=False):
        value = None if item is None else scale(item.value, factor)
        if value is not None and abs(float(value)) > MAX_FINITE_INDEX:
            raise OutOfRange(f"{value} is out of range for a chunk of the downsampled array")
        found.append(None if item is None or value is None else replace(item, value=value))
    return tuple(found)
