"""What satisfies two lists of codecs, both of which may leave things open."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

from asynctensor.chunked.compression.numcodecs_spec import merge_numcodecs
from asynctensor.drivers.zarr3.codecs import (
    Chain,
    Codec,
    FromNumcodecs,
    Serializer,
    Sharding,
    Transpose,
    axes_of,
    chain_to_json,
    codec_to_json,
)
from asynctensor.errors import InvalidArgument

C = TypeVar("C", bound=Codec)


def merge_chains(a: Chain, b: Chain) -> Chain:
    """What satisfies both; a chain without any codec leaves all open.

    Raises:
        InvalidArgument: They contradict each other.
    """
    if not [*a]:
        return b
    return a if not [*b] else merge_said(a, b)


def merge_said(a: Chain, b: Chain) -> Chain:
    """What satisfies two lists of codecs that are both said.

    One that lacks the codec from array to bytes leaves it open. Where one is nothing but shards,
    nested deeper than in the other one, the other one is about what is in them, as in TensorStore.

    Raises:
        InvalidArgument: They contradict each other.
    """
    heights = shard_height(a), shard_height(b)
    deeper, other = (a, b) if heights[0] > heights[1] else (b, a)
    shards = deeper.serializer
    if heights[0] != heights[1] and isinstance(shards, Sharding) and len([*deeper]) == 1:
        inner = other if shards.codecs is None else merge_said(shards.codecs, other)
        return Chain((), replace(shards, codecs=inner), ())
    if len(a.filters) != len(b.filters) or len(a.steps) != len(b.steps):
        raise _contradiction(a, b)
    return Chain(
        tuple(map(_merge, a.filters, b.filters)),
        _merge_optional(a.serializer, b.serializer),
        tuple(map(_merge, a.steps, b.steps)),
    )


def shard_height(chain: Chain | None) -> int:
    """How many shards are inside each other."""
    height = 0
    while chain is not None and isinstance(chain.serializer, Sharding):
        height += 1
        chain = chain.serializer.codecs
    return height


def _merge_optional(a: Serializer | None, b: Serializer | None) -> Serializer | None:
    if a is None or b is None:
        return a or b
    return _merge(a, b)


def _merge(a: C, b: Codec) -> C:
    if type(a) is not type(b):
        raise _contradiction(a, b)
    if isinstance(a, Transpose) and isinstance(b, Transpose):
        a, b = _same_spelling(a, b)
    if isinstance(a, FromNumcodecs) and isinstance(b, FromNumcodecs):
        return replace(a, spec=merge_numcodecs(a.spec, b.spec))
    changed: dict[str, Any] = {}
    for field in fields(a):
        mine, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(mine, Chain) and isinstance(other, Chain):
            changed[field.name] = merge_said(mine, other)
        elif mine is None:
            changed[field.name] = other
        elif other is not None and mine != other:
            raise _contradiction(a, b)
    return replace(a, **changed)


def _same_spelling(a: C, b: Transpose) -> tuple[C, Transpose]:
    """The same, with ``"C"`` and ``"F"`` spelled out where the other one tells the rank."""
    assert isinstance(a, Transpose)
    if isinstance(a.order, str) and isinstance(b.order, tuple):
        return replace(a, order=axes_of(a, len(b.order))), b
    if isinstance(b.order, str) and isinstance(a.order, tuple):
        return a, replace(b, order=axes_of(b, len(a.order)))
    return a, b


def _contradiction(a: Chain | Codec, b: Chain | Codec) -> InvalidArgument:
    shown = [chain_to_json(x) if isinstance(x, Chain) else codec_to_json(x) for x in (a, b)]
    return InvalidArgument(f"Cannot merge codec spec {shown[0]} with {shown[1]}")
