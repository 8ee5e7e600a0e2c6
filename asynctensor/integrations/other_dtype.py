"""What to do about data that another library cannot take."""

from __future__ import annotations

from typing import Any

import numpy as np

from asynctensor.errors import IncompatibleType


def advice(element: np.dtype[Any]) -> str:
    """How an array of this data type is read all the same: the end of an error's text."""
    for kind, wider in (("int", "int8"), ("uint", "uint8"), ("float", "float32")):
        if element.name.startswith(kind):
            return f'read the array as another one: array.astype("{wider}")'
    return "only numbers become tensors: leave the array out, or store numbers that stand for it"


def check_array(given: object) -> None:
    """Refuses what is no array of NumPy's, and no element of one.

    Raises:
        IncompatibleType: It is none.
    """
    if not isinstance(given, (np.ndarray, np.generic)):
        raise IncompatibleType(
            f"expected an array of NumPy's, got {given!r:.100}; `asynctensor.convert` takes arrays "
            "of other libraries, and opened ones"
        )
