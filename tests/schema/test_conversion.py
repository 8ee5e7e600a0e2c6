"""Conversions between data types: which there are and what they give, against tensorstore."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorstore

import asynctensor as ts
from asynctensor.errors import InvalidArgument
from asynctensor.schema.conversion import can_convert, convert, is_lossless

# tensorstore's float8_e8m0fnu has an exponent that is off by 64.
NAMES = [n for n in ts.__all__ if isinstance(getattr(ts, n), ts.dtype) and n != "float8_e8m0fnu"]
OBJECTS = {
    "string": [b"0", b"abc", b"-1.5"],
    "ustring": ["0", "abc", "\u20ac"],
    "json": [0, 1, 1],
}


def samples(name) -> np.ndarray:
    if name in OBJECTS:
        found = np.empty(3, object)
        found[:] = OBJECTS[name]
        return found
    dtype = ts.dtype(name).numpy_dtype
    if name in ("char", "byte"):
        return np.frombuffer(bytes(range(256)), dtype)
    if name == "bool":
        return np.array([True, False])
    if name.startswith("complex"):
        return (np.array([0, 1, -2.5, 7.5, 100.7]) + 1j * np.arange(5)).astype(dtype)
    if name in ("int2", "int4"):
        return np.arange(-2, 2).astype(np.int8).astype(dtype)
    if name.startswith(("int", "uint")):
        limits = np.iinfo(dtype)
        random = np.random.default_rng(0).integers(limits.min, limits.max, 50, dtype=dtype)
        return np.concatenate([np.array([limits.min, limits.max, 0, 1, 5], dtype), random])
    if dtype.itemsize == 1:
        return np.arange(16 if "float4" in name else 256, dtype=np.uint8).view(dtype)
    random = np.random.default_rng(1)
    spread = random.normal(size=200) * 10 ** random.uniform(-6, 6, 200)
    edges = [0, -0.0, 1.5, 2.5, -3.5, 100.25, 0.1, 1e-5, np.nan, np.inf, -np.inf, 448, 465, 61440]
    with np.errstate(all="ignore"):
        return np.concatenate([edges, spread]).astype(dtype)


def theirs(name, values) -> tensorstore.TensorStore:
    return tensorstore.array(values, dtype=getattr(tensorstore, name))


def in_range(values, target) -> np.ndarray:
    """Without the numbers that C++ leaves to the machine: those beyond the integer type."""
    floats = values.dtype.kind in "fcV" and values.dtype.type is not np.void
    if not floats or not target.startswith(("int", "uint")):
        return values
    real = values.real if values.dtype.kind == "c" else values
    bits = int("".join(c for c in target if c.isdigit()))
    limit = 2.0 ** min(bits, 31)
    wide = real.astype(np.float64)
    low = 0 if target.startswith("u") else -limit
    return values[(wide >= low) & (wide < (limit if target.startswith("u") else limit / 2))]


@pytest.mark.parametrize("source", NAMES)
def test_there_are_the_same_conversions(source) -> None:
    values = samples(source)
    for target in NAMES:
        try:
            readable = tensorstore.cast(theirs(source, values), getattr(tensorstore, target))
            expected = readable.readable
        except ValueError:
            expected = False
        assert can_convert(ts.dtype(source), ts.dtype(target)) == expected, target


@pytest.mark.parametrize("source", NAMES)
def test_a_copy_may_use_the_same(source) -> None:
    values = samples(source)[0]
    for target in NAMES:
        try:
            theirs(target, samples(target)[:1].copy()).write(theirs(source, values)).result()
            expected = True
        except ValueError:
            expected = False
        assert is_lossless(ts.dtype(source), ts.dtype(target)) == expected, target


@pytest.mark.parametrize("source", NAMES)
def test_values_are_the_same(source) -> None:
    for target in NAMES:
        ours = ts.dtype(source), ts.dtype(target)
        if not can_convert(*ours) or source in ("char", "byte", "json"):
            continue
        values = in_range(samples(source), target)
        expected = tensorstore.cast(theirs(source, values), getattr(tensorstore, target))
        found = convert(values, *ours)
        assert found.dtype == ours[1].numpy_dtype
        assert [repr(x) for x in found.tolist()] == [
            repr(x) for x in expected.read().result().tolist()
        ], target


def test_bytes_and_chars_are_the_same_bytes() -> None:
    for source, target in itertools.permutations(("char", "byte")):
        found = convert(samples(source), ts.dtype(source), ts.dtype(target))
        assert found.tobytes() == bytes(range(256))


@pytest.mark.parametrize("target", ["bool", "int8", "uint16", "int64", "float32", "float64"])
@pytest.mark.parametrize(
    "value",
    [0, 1, -1, 200, 2**40, 2.0, 2.5, True, "1", " 1 ", "+7", "-5", "2.5", "nan", "1e3", "0x10",
     "true", "x", "", None, [1], {"a": 1}, 1e300, "inf"],
)  # fmt: skip
def test_json_converts_as_theirs(target, value) -> None:
    values = np.empty(1, object)
    values[0] = value
    try:
        expected = tensorstore.cast(theirs("json", values), getattr(tensorstore, target))
        expected = expected.read().result().tolist()
    except ValueError:
        with pytest.raises(InvalidArgument):
            convert(values, ts.json, ts.dtype(target))
        return
    assert repr(convert(values, ts.json, ts.dtype(target)).tolist()) == repr(expected)


def test_what_is_no_text_is_named() -> None:
    values = np.empty(1, object)
    values[0] = b"\xff"
    with pytest.raises(InvalidArgument, match="UTF-8"):
        convert(values, ts.string, ts.ustring)
    values[0] = 5
    with pytest.raises(InvalidArgument, match="Expected string, but received: 5"):
        convert(values, ts.json, ts.string)
