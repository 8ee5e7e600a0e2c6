"""What to do about a data type that another library lacks."""

from __future__ import annotations

from typing import Any

import numpy as np


def advice(element: np.dtype[Any]) -> str:
    """How an array of this data type is read all the same: the end of an error's text."""
    for kind, wider in (("int", "int8"), ("uint", "uint8"), ("float", "float32")):
        if element.name.startswith(kind):
            return f'read the array as another one: array.astype("{wider}")'
    return "only numbers become tensors: leave the array out, or store numbers that stand for it"
