"""What a task computed, before it is written: nothing of it is to be lost unseen."""

from __future__ import annotations

from typing import Any

import numpy as np

from asynctensor.errors import IncompatibleType


def unmasked(values: Any, place: str) -> Any:
    """The values, if none of them is masked; NumPy would write what lies under the mask.

    Args:
        values: What a task computed.
        place: Where it goes, for the error.

    Raises:
        IncompatibleType: Elements are masked.
    """
    if not isinstance(values, np.ma.MaskedArray):
        return values
    # Of records, it has a part for each field.
    mask = np.ascontiguousarray(np.ma.getmaskarray(values)).view(np.bool_)
    if count := np.count_nonzero(mask):
        raise IncompatibleType(
            f"in {place}, {count} elements are masked, and an array has no mask; say what is "
            "stored for them: numpy.ma.filled(values, x), or dask.array.ma.filled(source, x)"
        )
    return values.data
