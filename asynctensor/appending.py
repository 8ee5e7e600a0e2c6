"""Appending: an array grows along one dimension, and what is added is written, as one step."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from asynctensor.chunked.array_driver import ArrayDriver, ProgressFunction
from asynctensor.chunked.view import View
from asynctensor.errors import FailedPrecondition, InvalidArgument
from asynctensor.index_space.propagate_bounds import resolve_over
from asynctensor.index_space.transform import IndexTransform
from asynctensor.runtime.clock import NEVER
from asynctensor.transaction.own_commit import in_one_commit
from asynctensor.transaction.transaction import Transaction


async def append_to(
    view: View, data: npt.NDArray[Any], axis: int, progress: ProgressFunction | None
) -> None:
    """Adds `data` at the end of dimension `axis` of a view; see `TensorStore.append`."""
    driver = view.driver
    dimension = _dimension(view.transform, driver, axis)
    found = driver.kvstore()
    if driver.transaction is not None or found is None or found[0].commit_domain is None:
        await _append(driver, view.transform, data, axis, dimension, progress)
        return

    async def appended(transaction: Transaction) -> None:
        bound = driver.bound(transaction)
        await _append(bound, view.transform, data, axis, dimension, progress)

    await in_one_commit(appended)
    await driver.refresh()


async def _append(
    driver: ArrayDriver,
    transform: IndexTransform,
    data: npt.NDArray[Any],
    axis: int,
    dimension: int,
    progress: ProgressFunction | None,
) -> None:
    await driver.refresh()
    before = resolve_over(transform, driver.transform())
    shape = list(before.input_shape)
    expected = [*shape[:axis], data.shape[axis], *shape[axis + 1 :]]
    if list(data.shape) != expected:
        raise InvalidArgument(
            f"what is appended along dimension {axis} has shape {list(data.shape)}, and the array "
            f"{shape}: all other dimensions must be the same"
        )
    if not data.shape[axis]:
        return
    start = await driver.grow(dimension, data.shape[axis])
    grown = resolve_over(transform, driver.transform())
    low = start - grown.maps[dimension].offset
    added = grown[(slice(None),) * axis + (slice(low, low + data.shape[axis]),)]
    await driver.write(added, data, NEVER, progress).commit


def _dimension(transform: IndexTransform, driver: ArrayDriver, axis: int) -> int:
    """The array's dimension that one of a view is."""
    found = [o for o, m in enumerate(transform.maps) if m.input_dimension == axis]
    fits = len(found) == 1 and transform.maps[found[0]].stride == 1
    if not fits or not transform.implicit_upper_bounds[axis]:
        raise FailedPrecondition(
            f"dimension {axis} of this view does not go on to the end of the array; append to the "
            "whole array, or to a view with resizable bounds"
        )
    if not driver.transform().implicit_upper_bounds[found[0]]:
        raise FailedPrecondition(f"dimension {found[0]} of the array cannot be resized")
    return found[0]
