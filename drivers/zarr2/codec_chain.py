"""Filters and compressor of a zarr v2 array, built for its chunks.

A chunk is its elements in the array's order. Filters that see elements say of which type they take
the bytes to be, whatever came before them, so that all but the object codecs are steps from bytes
to bytes here. Source: zarr v2 specification, "Filters"; numcodecs.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.array_step import (
    ArrayStep,
    ChainCodec,
    JoinStep,
    TransposeStep,
)
from asynctensor.chunked.compression.categorize import CategorizeCodec
from asynctensor.chunked.compression.codec import BytesCodec
from asynctensor.chunked.compression.json_array import JsonArrayCodec
from asynctensor.chunked.compression.numcodecs_filters import FilterStep, build_filter
from asynctensor.chunked.compression.numcodecs_serializer import NumcodecsSerializer
from asynctensor.chunked.compression.numcodecs_spec import SERIALIZERS, Numcodec
from asynctensor.chunked.compression.numcodecs_steps import build_step
from asynctensor.chunked.compression.packed import PackedCodec
from asynctensor.chunked.compression.user_array_codec import UserFilter
from asynctensor.chunked.compression.user_codec import UserCodec, is_user_codec
from asynctensor.chunked.compression.vlen import VlenCodec
from asynctensor.drivers.zarr2.codecs import is_array_filter
from asynctensor.drivers.zarr2.metadata import Zarr2Metadata
from asynctensor.errors import InvalidArgument


def build_codec(metadata: Zarr2Metadata) -> tuple[ArrayCodec, int]:
    """The codec of a chunk, and the bytes of the largest form that one takes on the way.

    Raises:
        InvalidArgument: Filters and data type do not fit together.
        Unimplemented: A codec needs a library that is not installed.
    """
    data_type = metadata.data_type
    if data_type.is_variable:
        return _build_objects(metadata), 0
    serializer = _take_serializer(metadata)
    if serializer is not None:
        return _build_serialized(metadata, serializer), 0
    steps, sizes = _build_steps(metadata)
    shape = (*metadata.chunk_shape, *data_type.hidden_shape)
    order = (*metadata.inner_order, *range(metadata.rank, len(shape)))
    if data_type.swapped is not None:
        codec = PackedCodec(
            shape,
            data_type.element.numpy_dtype,
            order=order,
            swapped=data_type.swapped,
            steps=steps,
        )
        return codec, max(sizes)
    packed = PackedCodec(shape, data_type.stored, order=order, steps=steps)
    return ChainCodec([_OrderStep(shape, data_type.native, data_type.stored)], packed), max(sizes)


class _OrderStep(ArrayStep):
    """Native structures as structures whose fields have byte orders of their own."""

    def __init__(
        self, shape: tuple[int, ...], native: np.dtype[Any], stored: np.dtype[Any]
    ) -> None:
        self.shape = self.encoded_shape = shape
        self.dtype, self.encoded_dtype = native, stored

    def encode(self, chunk: Array) -> Array:
        return chunk.astype(self.encoded_dtype)

    def decode(self, chunk: Array) -> Array:
        return chunk.astype(self.dtype)


def _build_steps(metadata: Zarr2Metadata) -> tuple[list[BytesCodec], list[int]]:
    """Filters and compressor as steps on bytes, and how many bytes there are between them."""
    elements: np.dtype[Any] = metadata.data_type.stored
    sizes: list[int] = [prod(metadata.chunk_shape) * elements.itemsize]
    steps: list[BytesCodec] = []
    known = True
    for i, spec in enumerate(metadata.filters):
        where = f'member "filters[{i}]"'
        if not is_array_filter(spec):
            steps.append(build_step(spec, elements.itemsize))
            size = steps[-1].encoded_size(sizes[-1])
            known = known and size is not None
            sizes.append(steps[-1].largest_encoding(sizes[-1]) if size is None else size)
            continue
        if not known:
            raise InvalidArgument(f"{where}: {spec.id} cannot follow a compressor")
        step = _array_filter(spec, sizes[-1], elements, where)
        steps.append(FilterStep(spec.id, step))
        elements = step.encoded_dtype
        sizes.append(prod(step.encoded_shape) * elements.itemsize)
    if metadata.compressor is not None:
        steps.append(build_step(metadata.compressor, elements.itemsize))
    return steps, sizes


def _array_filter(spec: Numcodec, size: int, elements: np.dtype[Any], where: str) -> ArrayStep:
    values = spec.values
    said = values.get("decode_dtype" if spec.id == "astype" else "dtype")
    if spec.id == "packbits":
        said = "?"
    if said == "|O":
        raise InvalidArgument(f"{where}: {spec.id} of objects must come first, on objects")
    decoded = elements if said is None else np.dtype(said)
    if not decoded.itemsize or size % decoded.itemsize:
        raise InvalidArgument(f"{where}: {size} bytes are no elements of type {decoded.str}")
    if is_user_codec(spec.id, "array_to_array"):
        user = UserCodec(spec.id, json.dumps(spec.values))
        return UserFilter(user, (size // decoded.itemsize,), decoded)
    try:
        return build_filter(spec, (size // decoded.itemsize,), decoded)
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message}") from error


def _build_objects(metadata: Zarr2Metadata) -> ArrayCodec:
    first, *rest = metadata.filters
    if any(is_array_filter(each) for each in rest):
        raise InvalidArgument('member "filters": after an object codec come only bytes')
    shape = metadata.chunk_shape
    object_dtype = np.dtype(object)
    arrays: list[ArrayStep] = []
    if first.id != "json2" and metadata.order == "F":
        arrays.append(TransposeStep(shape, object_dtype, metadata.inner_order))
        shape = arrays[0].encoded_shape
    serializer: ArrayCodec
    match first.id:
        case "vlen-utf8":
            serializer = VlenCodec(shape, str)
        case "vlen-bytes":
            serializer = VlenCodec(shape, bytes)
        case "categorize":
            serializer = CategorizeCodec(first, shape)
        case _:
            serializer = JsonArrayCodec(first.values, shape)
    compressors = [*rest] if metadata.compressor is None else [*rest, metadata.compressor]
    return ChainCodec(arrays, serializer, [build_step(each, 1) for each in compressors])


def _take_serializer(metadata: Zarr2Metadata) -> Numcodec | None:
    found = [*metadata.filters, metadata.compressor]
    if not any(each is not None and each.id in SERIALIZERS for each in found):
        return None
    if metadata.compressor is None or metadata.compressor.id not in SERIALIZERS:
        raise InvalidArgument('member "filters": pcodec and zfpy can only be the compressor')
    if any(each.id in SERIALIZERS for each in metadata.filters):
        raise InvalidArgument('member "filters": pcodec and zfpy can only be the compressor')
    return metadata.compressor


def _build_serialized(metadata: Zarr2Metadata, serializer: Numcodec) -> ArrayCodec:
    data_type = metadata.data_type
    shape: tuple[int, ...] = metadata.chunk_shape
    arrays: list[ArrayStep] = []
    elements = data_type.native
    if data_type.inner is not None:
        arrays.append(JoinStep((*shape, data_type.inner), data_type.element.numpy_dtype))
    if metadata.order == "F":
        arrays.append(TransposeStep(shape, elements, metadata.inner_order))
        shape = arrays[-1].encoded_shape
    if data_type.stored != elements:
        raise InvalidArgument(f"{serializer.id} is for numbers in the byte order of this machine")
    for i, spec in enumerate(metadata.filters):
        if not is_array_filter(spec):
            raise InvalidArgument(f'member "filters[{i}]": {serializer.id} compresses only numbers')
        step = _array_filter(spec, prod(shape) * elements.itemsize, elements, f"filters[{i}]")
        if not arrays or arrays[-1].encoded_shape != step.shape:
            arrays.append(_Flat(shape, elements))
        arrays.append(step)
        shape, elements = step.encoded_shape, step.encoded_dtype
    codec = NumcodecsSerializer(serializer, shape, elements)
    return ChainCodec(arrays, codec, (), 2**62)


class _Flat(ArrayStep):
    """The elements in C order, one after the other."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.encoded_shape = shape, (prod(shape),)
        self.dtype = self.encoded_dtype = dtype

    def encode(self, chunk: Array) -> Array:
        return chunk.reshape(-1)

    def decode(self, chunk: Array) -> Array:
        return chunk.reshape(self.shape)
