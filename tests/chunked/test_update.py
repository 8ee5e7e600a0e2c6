"""Which chunks are nothing but fill value, bit by bit."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from asynctensor.chunked.update import is_fill

DTYPES = [
    "bool", "int8", "uint16", "int32", "uint64", "float16", "float32", "float64", "complex64",
    "complex128", "S3", "V5", ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (5, 7), (3, 1, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_other_element_is_found(dtype: object, shape: tuple[int, ...], order: str) -> None:
    kind = np.dtype(dtype)  # type: ignore[call-overload]
    fill = np.zeros((), kind)
    if kind.name.startswith(("bytes", "void")):
        other = np.frombuffer(b"\x00" * (kind.itemsize - 1) + b"x", kind).reshape(())
    else:
        other = np.ones((), np.uint8).astype(kind)
    chunk = np.zeros(shape, kind, order=order)
    assert is_fill(chunk, fill)
    for place in np.ndindex(*shape):
        chunk[place] = other
        assert not is_fill(chunk, fill), place
        chunk[place] = fill
    assert is_fill(chunk, fill)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "c8", "c16"])
def test_bits_count_and_not_numbers(kind: str) -> None:
    nan, zero = np.array(np.nan, kind), np.array(0.0, kind)
    assert is_fill(np.full((3, 4), nan), nan)
    assert not is_fill(np.full((3, 4), nan), zero)
    assert not is_fill(np.full((3, 4), -zero), zero)


def test_an_empty_chunk_is_fill() -> None:
    assert is_fill(np.zeros((0, 3)), np.array(5.0))
