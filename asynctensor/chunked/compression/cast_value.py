"""``cast_value``: the same numbers in another data type. Source: zarr-extensions, "cast_value".

Everything is worked out in float64 and in exact integers: float32 and all smaller types are parts
of float64, and whole numbers leave it only where they are beyond the target's range anyway.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.compression.array_step import ArrayStep
from asynctensor.errors import DataLoss, Error, InvalidArgument

ROUNDINGS = (
    "nearest-even",
    "towards-zero",
    "towards-positive",
    "towards-negative",
    "nearest-away",
)
OUT_OF_RANGE = ("error", "clamp", "wrap")


def is_number(dtype: np.dtype[Any]) -> bool:
    """Whether it is a real number type that can be cast from and to."""
    return dtype.kind in "iuf" or dtype.type.__module__.startswith("ml_dtypes")


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether it is an integer type, narrow ones included."""
    return dtype.kind in "iu" or dtype.name.startswith(("int", "uint"))


@dataclass(frozen=True, slots=True)
class Cast:
    """One direction.

    Attributes:
        source: From which type.
        target: To which.
        rounding: One of `ROUNDINGS`.
        out_of_range: One of `OUT_OF_RANGE`; None is "error".
        scalars: Pairs of 0-dimensional arrays: what has a meaning of its own, and becomes what.
    """

    source: np.dtype[Any]
    target: np.dtype[Any]
    rounding: str
    out_of_range: str | None
    scalars: tuple[tuple[Array, Array], ...] = ()

    def __call__(self, chunk: Array, failure: type[Error]) -> Array:
        """The chunk in the target type.

        Raises:
            Error: `failure`: an element has no equal there.
        """
        mapped = [(_equal(chunk, before), after) for before, after in self.scalars]
        rest = chunk
        if mapped:
            rest = chunk.copy()
            for where, _ in mapped:
                rest[where] = np.zeros((), self.source)
        convert = _to_integers if is_integer(self.target) else _to_floats
        try:
            with np.errstate(all="ignore"):
                found = convert(rest, self)
        except _Outside as error:
            raise failure(
                f"cast_value: {error} cannot be represented as {self.target.name}"
            ) from error
        # The first pair of several that fit counts.
        for where, after in reversed(mapped):
            found[where] = after
        return found


class _Outside(Exception):
    """A value has no equal in the target type."""


def _equal(chunk: Array, scalar: Array) -> Array:
    if not is_integer(chunk.dtype) and bool(np.isnan(scalar)):
        return np.asarray(np.isnan(chunk))
    return np.asarray(chunk == scalar)


def _first(values: Array, wrong: Array) -> _Outside:
    return _Outside(str(values[wrong].reshape(-1)[0]))


def _library(dtype: np.dtype[Any]) -> Any:
    """Who knows the limits of a type."""
    small = dtype.type.__module__.startswith("ml_dtypes")
    return importlib.import_module("ml_dtypes") if small else np


def _range(dtype: np.dtype[Any]) -> tuple[int, int]:
    info = _library(dtype).iinfo(dtype)
    return int(info.min), int(info.max)


def _to_integers(chunk: Array, cast: Cast) -> Array:
    low, high = _range(cast.target)
    if is_integer(cast.source):
        # The narrow types of ml_dtypes compare and add in themselves.
        values = chunk if chunk.dtype.kind in "iu" else chunk.astype(np.int64)
        wrong = (values < low) | (values > high)
    else:
        values = _rounded(chunk.astype(np.float64), cast.rounding)
        if np.isnan(values).any():
            raise _Outside("NaN")
        # Powers of two, exact in float64.
        wrong = (values < float(low)) | (values >= float(high + 1))
    if not wrong.any():
        return _integers(values, cast.target)
    if cast.out_of_range == "clamp":
        kept = np.where(wrong, values.dtype.type(0), values)
        found = _integers(kept, cast.target)
        found[values < low] = low
        found[values > high if values.dtype.kind != "f" else values >= float(high + 1)] = high
        return found
    if cast.out_of_range != "wrap" or (values.dtype.kind == "f" and np.isinf(values).any()):
        raise _first(values, wrong)
    return _wrapped(values, cast.target, low, high)


def _integers(values: Array, target: np.dtype[Any]) -> Array:
    if target.kind in "iu":
        return values.astype(target)
    return values.astype(np.int8 if target.name.startswith("int") else np.uint8).astype(target)


def _wrapped(values: Array, target: np.dtype[Any], low: int, high: int) -> Array:
    count = high - low + 1
    if values.dtype.kind == "f":
        # fmod of floats is exact, and leaves less than 2^64.
        rest = np.fmod(values, float(count))
        unsigned = np.where(rest < 0, -rest, rest).astype(np.uint64)
        bits = np.where(rest < 0, -unsigned, unsigned)
    else:
        bits = values.astype(np.uint64)
    bits = bits & np.uint64(count - 1)
    signed = np.where(bits > np.uint64(high), bits - np.uint64(count & (2**64 - 1)), bits)
    return _integers(signed.astype(np.int64) if low < 0 else signed, target)


def _rounded(values: Array, rounding: str) -> Array:
    match rounding:
        case "towards-zero":
            return np.asarray(np.trunc(values))
        case "towards-positive":
            return np.asarray(np.ceil(values))
        case "towards-negative":
            return np.asarray(np.floor(values))
        case "nearest-away":
            whole = np.trunc(values)
            # Not by adding a half: that would round 0.49999999999999994 up.
            return np.asarray(
                np.where(np.abs(values - whole) >= 0.5, whole + np.copysign(1.0, values), whole)
            )
    return np.asarray(np.rint(values))


def _to_floats(chunk: Array, cast: Cast) -> Array:
    target = cast.target
    if cast.out_of_range == "wrap":
        raise _Outside("with out_of_range wrap no float")
    wide = chunk.dtype.kind in "iu" and chunk.dtype.itemsize == 8
    values = chunk if wide else chunk.astype(np.float64)
    found = values.astype(target)
    if not wide and np.isnan(values).any() and not np.isnan(found[np.isnan(values)]).all():
        raise _Outside("NaN")
    largest = _largest(target)
    outside = np.isinf(values) & ~np.isinf(found) if not wide else np.zeros(chunk.shape, np.bool_)
    outside |= np.isfinite(values) & (~np.isfinite(found) | (np.abs(values) > _beyond(target)))
    lowest = _largest(target) if np.signbit(np.array(-1.0).astype(target).astype(np.float64)) else 0
    outside |= (values < 0) & (not lowest)
    if outside.any():
        if cast.out_of_range != "clamp":
            raise _first(values, outside)
        found[outside & (values > 0)] = np.array(largest).astype(target)
        found[outside & (values < 0)] = np.array(-lowest).astype(target)
    if cast.rounding != "nearest-even":
        found = _directed(values, found, cast.rounding, outside)
    return found


def _largest(target: np.dtype[Any]) -> float:
    return float(_library(target).finfo(target).max)


def _beyond(target: np.dtype[Any]) -> float:
    """From where on numbers do not round to the largest one."""
    if target.name == "float64":
        return np.inf
    largest = _largest(target)
    info = _library(target).finfo(target)
    spacing = 2.0 ** (int(np.floor(np.log2(largest))) - int(info.nmant))
    return largest + spacing / 2


def _directed(values: Array, found: Array, rounding: str, outside: Array) -> Array:
    """Moves results that were rounded the wrong way by one step."""
    exact = values.astype(np.longdouble)
    error = found.astype(np.float64).astype(np.longdouble) - exact
    size = np.abs(error)
    positive = exact > 0
    match rounding:
        case "towards-negative":
            down, up = error > 0, np.zeros_like(positive)
        case "towards-positive":
            down, up = np.zeros_like(positive), error < 0
        case "towards-zero":
            down, up = (error > 0) & positive, (error < 0) & ~positive
        case _:
            # Ties went to even: those that went towards zero go the other way.
            upper, lower = _next(found, up=True), _next(found, up=False)
            above = np.abs(upper.astype(np.float64).astype(np.longdouble) - exact) == size
            below = np.abs(lower.astype(np.float64).astype(np.longdouble) - exact) == size
            tie = size > 0
            up, down = tie & positive & above & (error < 0), tie & ~positive & below & (error > 0)
    moved = np.where(up, _next(found, up=True), np.where(down, _next(found, up=False), found))
    return np.where(outside | ~np.isfinite(values), found, moved)


def _next(found: Array, *, up: bool) -> Array:
    """The next larger or smaller number, by its bits; 0 goes to the smallest one."""
    unsigned = np.dtype(f"u{found.dtype.itemsize}")
    bits = found.view(unsigned)
    one = unsigned.type(1)
    negative = np.signbit(found.astype(np.float64))
    grows = ~negative if up else negative
    moved = np.where(grows, bits + one, bits - one)
    zero = found.astype(np.float64) == 0
    smallest = np.full_like(bits, 1)
    if not up:
        smallest = np.full_like(bits, 1) | np.array(-1.0).astype(found.dtype).view(
            unsigned
        ) & unsigned.type(1 << (_sign_bit(found.dtype)))
    return np.where(zero, smallest, moved).view(found.dtype)


def _sign_bit(dtype: np.dtype[Any]) -> int:
    bits = {"float4_e2m1fn": 4, "float6_e2m3fn": 6, "float6_e3m2fn": 6}
    return bits.get(dtype.name, dtype.itemsize * 8) - 1


class CastValueStep(ArrayStep):
    """Casts; decoding casts back.

    Args:
        shape: Shape of the chunk.
        encode: From the decoded to the encoded type.
        decode: The other way.
    """

    def __init__(self, shape: tuple[int, ...], encode: Cast, decode: Cast) -> None:
        self.shape = self.encoded_shape = shape
        self.dtype, self.encoded_dtype = encode.source, encode.target
        self._encode, self._decode = encode, decode

    def encode(self, chunk: Array) -> Array:
        return self._encode(np.ascontiguousarray(chunk).reshape(self.shape), InvalidArgument)

    def decode(self, chunk: Array) -> Array:
        return self._decode(np.ascontiguousarray(chunk).reshape(self.shape), DataLoss)

    def encode_fill(self, fill: Array) -> Array:
        return self._encode(fill.reshape((1,)), InvalidArgument).reshape(())
