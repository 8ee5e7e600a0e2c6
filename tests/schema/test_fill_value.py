"""Fill values in JSON: all bits survive, and nothing else is taken."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynctensor.errors import InvalidArgument
from asynctensor.schema.fill_value import fill_value_from_json, fill_value_to_json

TYPES = [
    *(np.dtype(code) for code in ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")),
    *(np.dtype(code) for code in ("f2", "f4", "f8", "c8", "c16", "V3", "S2")),
    *(np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")),
]


@given(dtype=st.sampled_from(TYPES), raw=st.binary(min_size=16, max_size=16))
def test_every_bit_pattern_survives(dtype: np.dtype, raw: bytes) -> None:
    data = bytes([raw[0] & 1]) if dtype.kind == "b" else raw[: dtype.itemsize]
    fill = np.frombuffer(data, dtype).reshape(())
    found = fill_value_from_json(dtype, fill_value_to_json(fill))
    assert found.dtype == dtype
    assert found.tobytes() == fill.tobytes()


@pytest.mark.parametrize(
    ("dtype", "json", "bits"),
    [
        ("f4", "NaN", "7fc00000"), ("f4", "0x7fc00001", "7fc00001"),
        ("f4", "-Infinity", "ff800000"),
        ("f4", -0.0, "80000000"), ("f8", "NaN", "7ff8000000000000"), ("f2", "NaN", "7e00"),
        (ml_dtypes.bfloat16, "NaN", "7fc0"), ("u1", 7.0, "07"), ("b1", 1, "01"),
        ("f2", 65505, "7bff"),
    ],
)  # fmt: skip
def test_bits(dtype: Any, json: Any, bits: str) -> None:
    found = fill_value_from_json(np.dtype(dtype), json)
    assert found.astype(found.dtype).tobytes()[::-1].hex() == bits


@pytest.mark.parametrize(
    ("dtype", "json"),
    [
        ("b1", 2), ("b1", "true"), ("b1", None), ("u1", 256), ("u1", -1), ("u1", 0.5), ("u1", "1"),
        ("u1", True), ("i8", 2**63), ("f4", "nan"), ("f4", "0x7fc0"), ("f4", "0x7fc000zz"),
        ("f4", "0x 7fc000"), ("f4", "0x7fc00000 "), ("f4", True), ("f4", None), ("f4", [1]),
        ("f8", 10**400), ("c8", [1]),
        ("c8", [1, 2, 3]), ("c8", ["x", 1]), ("V2", [1]), ("V2", [1, 256]), ("V2", [1, True]),
        ("V2", "A"), ("V2", "AAAA"), (ml_dtypes.float8_e4m3fn, "Infinity"),
        (ml_dtypes.float4_e2m1fn, "NaN"), (ml_dtypes.int4, 8), ("f4", {}),
    ],
)  # fmt: skip
def test_what_is_none(dtype: Any, json: Any) -> None:
    with pytest.raises(InvalidArgument, match='"where"'):
        fill_value_from_json(np.dtype(dtype), json, "where")
