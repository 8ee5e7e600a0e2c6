"""What is said of data types that another library lacks."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from asynctensor.integrations.other_dtype import advice


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (np.dtype(ml_dtypes.int4), 'array.astype("int8")'),
        (np.dtype(ml_dtypes.uint4), 'array.astype("uint8")'),
        (np.dtype(ml_dtypes.float8_e3m4), 'array.astype("float32")'),
        (np.dtype(object), "leave the array out"),
        (np.dtype("U3"), "leave the array out"),
        (np.dtype("M8[ns]"), "leave the array out"),
        (np.dtype([("int", "i4")]), "leave the array out"),
    ],
)
def test_the_advice_can_be_followed(element: np.dtype, expected: str) -> None:
    assert expected in advice(element)
