"""The array to array codecs of a chain, built for the chunks that they get."""

from __future__ import annotations

from typing import Any

from asynctensor.chunked.codec import Array
from asynctensor.chunked.compression.array_step import ArrayStep, ReshapeStep, TransposeStep
from asynctensor.chunked.compression.bitround import BitroundStep
from asynctensor.chunked.compression.cast_value import Cast, CastValueStep
from asynctensor.chunked.compression.numcodecs_filters import build_filter
from asynctensor.chunked.compression.scale_offset import ScaleOffsetStep
from asynctensor.chunked.compression.user_array_codec import UserFilter
from asynctensor.chunked.member import Member
from asynctensor.drivers.zarr3.codecs import (
    Bitround,
    CastValue,
    Filter,
    FromNumcodecs,
    FromUser,
    Reshape,
    ScaleOffset,
    Transpose,
)
from asynctensor.drivers.zarr3.data_types import DataType, data_type_of, read_data_type
from asynctensor.errors import InvalidArgument
from asynctensor.schema.data_type import dtype


def build_filter_step(
    codec: Filter, data_type: DataType, shape: tuple[int, ...]
) -> tuple[ArrayStep, DataType]:
    """A filter with nothing left open, for chunks of `shape`; and the type of what it gives.

    Raises:
        InvalidArgument: It is not for such chunks.
    """
    numpy_dtype = data_type.whole_dtype
    match codec:
        case Transpose(order=tuple(order)):
            return TransposeStep(shape, numpy_dtype, order), data_type
        case Reshape(shape=tuple(sizes)):
            encoded = tuple(size for size in sizes if isinstance(size, int))
            return ReshapeStep(shape, numpy_dtype, encoded), data_type
        case Bitround(keepbits=int(keepbits)):
            return BitroundStep(shape, numpy_dtype, keepbits), data_type
        case ScaleOffset():
            offset = _scalar(data_type, codec.offset and codec.offset.value, "offset")
            scale = _scalar(data_type, codec.scale and codec.scale.value, "scale")
            if not scale:
                raise InvalidArgument('"scale" of "scale_offset" must not be 0')
            return ScaleOffsetStep(shape, numpy_dtype, offset, scale), data_type
        case CastValue():
            return _cast_step(codec, data_type, shape)
        case FromNumcodecs():
            small = numpy_dtype.type.__module__.startswith("ml_dtypes")
            if small or numpy_dtype.kind in "SVO":
                raise InvalidArgument(
                    f'the codec "{codec.name}" is not for the data type "{data_type.name}"'
                )
            step = build_filter(codec.spec, shape, numpy_dtype)
            if not step.encoded_dtype.isnative:
                raise InvalidArgument(
                    f'the codec "{codec.name}" must be in the order of this machine'
                )
            if step.encoded_dtype == numpy_dtype:
                return step, data_type
            return step, data_type_of(dtype(step.encoded_dtype))
        case FromUser():
            user = UserFilter(codec.codec, shape, numpy_dtype)
            if user.encoded_dtype == numpy_dtype:
                return user, data_type
            return user, data_type_of(dtype(user.encoded_dtype))
    raise InvalidArgument(f'the codec "{codec.name}" leaves something open')


def _scalar(data_type: DataType, value: Any, name: str) -> Array:
    return data_type.fill_array(data_type.read_fill(Member(value, name)))


def _cast_step(
    codec: CastValue, source: DataType, shape: tuple[int, ...]
) -> tuple[ArrayStep, DataType]:
    assert codec.data_type is not None
    target = read_data_type(Member(codec.data_type.value, "data_type"))
    said: Any = {} if codec.scalar_map is None else codec.scalar_map.value
    rounding = codec.rounding or "nearest-even"
    casts = []
    for direction, before, after in (("encode", source, target), ("decode", target, source)):
        pairs = tuple(
            (_scalar(before, pair[0], "scalar_map"), _scalar(after, pair[1], "scalar_map"))
            for pair in said.get(direction, ())
        )
        out_of_range = codec.out_of_range
        if direction == "decode" and out_of_range == "wrap" and after.whole_dtype.kind == "f":
            # Nothing wraps in floats.
            out_of_range = None
        casts.append(Cast(before.whole_dtype, after.whole_dtype, rounding, out_of_range, pairs))
    return CastValueStep(shape, casts[0], casts[1]), target
