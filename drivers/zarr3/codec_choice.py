"""Choosing what a spec's codecs leave open, so that the chunk layout comes out as wanted."""

from __future__ import annotations

from dataclasses import replace

from asynctensor.drivers.zarr3.codec_chain import resolve
from asynctensor.drivers.zarr3.codecs import Chain, Sharding, Transpose, axes_of
from asynctensor.drivers.zarr3.data_types import DataType
from asynctensor.drivers.zarr3.schema import innermost
from asynctensor.errors import InvalidArgument
from asynctensor.schema.constraint import Constraint
from asynctensor.schema.contradiction import contradiction


def said_inner_shape(chain: Chain, rank: int) -> tuple[int, ...] | None:
    """The shape of the innermost chunks in the array's order of dimensions, if it is said.

    Raises:
        InvalidArgument: It is of another rank.
    """
    order = _followed(tuple(range(rank)), chain)
    codec = chain.serializer
    while isinstance(codec, Sharding):
        inner = codec.codecs or Chain()
        if not isinstance(inner.serializer, Sharding):
            break
        order = _followed(order, inner)
        codec = inner.serializer
    if not isinstance(codec, Sharding) or codec.chunk_shape is None:
        return None
    if len(codec.chunk_shape) != rank:
        raise InvalidArgument(
            f'member "codecs": the "chunk_shape" {list(codec.chunk_shape)} of "sharding_indexed" '
            f"is not of the rank {rank} of the array"
        )
    sizes = dict(zip(order, codec.chunk_shape, strict=True))
    return tuple(sizes[axis] for axis in range(rank))


def said_order(chain: Chain, rank: int) -> tuple[int, ...] | None:
    """The order of dimensions inside the innermost chunks, if nothing is open that changes it.

    Raises:
        InvalidArgument: A transpose is of another rank.
    """
    order = tuple(range(rank))
    level: Chain | None = chain
    while level is not None and level.keeps_shape:
        order = _followed(order, level)
        if not isinstance(level.serializer, Sharding):
            return None if level.serializer is None else order
        level = level.serializer.codecs
    return None


def choose_codecs(
    chain: Chain,
    inner_order: Constraint[tuple[int, ...]] | None,
    chunk_shape: tuple[int, ...],
    read_shape: tuple[int, ...],
    data_type: DataType,
) -> Chain:
    """The chain of a new array, with nothing left open.

    Args:
        chain: What is said of it.
        inner_order: Wanted order of dimensions in the innermost chunks.
        chunk_shape: Shape of what one key holds.
        read_shape: Shape of the innermost chunks.
        data_type: The data type.

    Raises:
        InvalidArgument: The codecs that are said do not give the layout that is required.
    """
    identity = tuple(range(len(chunk_shape)))
    wanted = None if inner_order is None else inner_order.value
    if not [*chain]:
        transposes = _transposes(identity, wanted)
        if read_shape == chunk_shape:
            chain = Chain(transposes)
        else:
            chain = Chain((), Sharding(read_shape, Chain(transposes)))
    else:
        chain = _filled(chain, identity, read_shape, wanted)
    resolved = resolve(chain, data_type, chunk_shape, stored=False)
    found, _ = innermost(resolved, chunk_shape)
    if inner_order is not None and inner_order.hard and found != inner_order.value:
        order = list(inner_order.value)
        raise contradiction(
            f"the codecs give the inner_order {list(found)}, required is {order}; add "
            f'{{"name": "transpose", "configuration": {{"order": {order}}}}} to them',
            "schema.chunk_layout.inner_order",
            "metadata.codecs",
        )
    return resolved


def _filled(
    chain: Chain,
    order: tuple[int, ...],
    read_shape: tuple[int, ...],
    wanted: tuple[int, ...] | None,
) -> Chain:
    order = _followed(order, chain)
    codec = chain.serializer
    if not isinstance(codec, Sharding):
        return chain
    inner = codec.codecs
    if inner is None or not [*inner]:
        inner = Chain(_transposes(order, wanted))
    else:
        inner = _filled(inner, order, read_shape, wanted)
    shape = codec.chunk_shape or tuple(read_shape[axis] for axis in order)
    return replace(chain, serializer=replace(codec, chunk_shape=shape, codecs=inner))


def _transposes(order: tuple[int, ...], wanted: tuple[int, ...] | None) -> tuple[Transpose, ...]:
    """What turns dimensions that are in `order` into the wanted one."""
    if wanted is None or wanted == order:
        return ()
    return (Transpose(tuple(order.index(axis) for axis in wanted)),)


def _followed(order: tuple[int, ...], chain: Chain) -> tuple[int, ...]:
    for transpose in chain.transposes:
        order = tuple(order[axis] for axis in axes_of(transpose, len(order)))
    return order
