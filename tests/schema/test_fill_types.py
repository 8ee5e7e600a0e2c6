"""Fill values against data types: what TensorStore takes without changing it, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorstore as ts

import asynctensor as at

TYPES = [name for name in dir(ts) if isinstance(getattr(ts, name), ts.dtype)]
VALUES: list[Any] = [
    *(0, 1, -1, 2, 300, 2**40, 1.0, 1.5, 0.1, True, 1j, 0j),
    *([1, 2], [1.5, 2], [[1], [0]], {"a": 1}, [{"a": None}], None),
    *("a", b"a", "é".encode(), b"\xff"),
    *(np.int16(3), np.float32(1.5), np.array([1, 0], np.uint8)),
]
#: TensorStore's conversions to it are wrong by a power of two.
WRONG = "float8_e8m0fnu"


def outcome(module: Any, name: str, value: Any, dtype_first: bool) -> Any:
    """JSON and array of the fill value; the built-in kind of error, where it is one."""
    try:
        if dtype_first:
            schema = module.Schema(dtype=module.dtype(name))
            schema.update(fill_value=value)
        else:
            schema = module.Schema(fill_value=value)
            schema.update(dtype=module.dtype(name))
        fill = schema.fill_value
        return schema.to_json().get("fill_value"), str(fill.dtype), fill.shape, fill.tolist()
    except Exception as error:
        if isinstance(error, Warning):
            raise
        return (TypeError, ValueError)[isinstance(error, ValueError | OverflowError)]


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("name", [name for name in TYPES if name != WRONG])
def test_with_the_type_given_first(name: str) -> None:
    for value in VALUES:
        mine, theirs = (outcome(module, name, value, True) for module in (at, ts))
        if mine in (TypeError, ValueError) and isinstance(theirs, tuple):
            # They cut it off, or (of JSON) make a list of the bytes.
            assert not same(theirs[3], value), (value, theirs)
        elif not isinstance(mine, tuple):
            assert mine in (TypeError, ValueError)
        elif name in ("char", "byte") and value in (b"a", b"\xff"):
            assert mine == (list(value), "|S1" if name == "char" else "|V1", (), value)
        elif theirs is TypeError and isinstance(value, np.ndarray):
            assert same(mine[3], value)  # no safe cast by NumPy's rules, but the same number
        elif name == "string" and value == b"\xff":
            assert mine[3] == value
        else:
            assert isinstance(theirs, tuple), value
            assert mine[1:3] == theirs[1:3], value
            assert same(mine[3], theirs[3]), value
            assert spelled(mine[0]) == spelled(theirs[0]), value


@pytest.mark.parametrize("name", TYPES)
def test_with_the_type_given_last(name: str) -> None:
    # The value stays as it is until it is used.
    for value in (0, 1, -1, 300, 1.5, True, 1j, [1, 2], np.float32(1.5)):
        assert outcome(at, name, value, False) == outcome(ts, name, value, False), value


def test_bytes_that_are_text_come_back() -> None:
    schema = at.Schema(dtype=at.string, fill_value="é".encode())
    again = at.Schema(schema.to_json())
    assert again.fill_value is not None
    assert again.fill_value.item() == "é".encode()
    assert again == schema
    other = at.Schema(dtype=at.string, fill_value=b"\xff")
    assert repr(other) == "Schema({'dtype': 'string', 'fill_value': b'\\xff'})"


def spelled(json: Any) -> Any:
    return {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}.get(str(json), str(json))


def same(mine: Any, value: Any) -> bool:
    """Whether all elements are equal; NaN is equal to itself."""
    if isinstance(mine, list) or isinstance(value, list | np.ndarray):
        return np.array_equal(np.array(mine, object), np.array(value, object))
    return bool(mine == value) or (mine != mine and value != value)
