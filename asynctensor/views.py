"""Arrays made of arrays: `array`, `cast`, and what stands on several others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, overload

import numpy.typing as npt

from asynctensor.errors import IncompatibleType
from asynctensor.registry import driver_module
from asynctensor.runtime.context import Context
from asynctensor.schema.data_type import DTypeLike
from asynctensor.schema.data_type import dtype as data_type
from asynctensor.schema.schema import Schema
from asynctensor.spec import Spec
from asynctensor.spec_state import SpecState
from asynctensor.tensorstore import TensorStore


def array(
    array: npt.ArrayLike,
    dtype: DTypeLike | None = None,
    *,
    context: Context | None = None,
    copy: bool | None = None,
    write: bool | None = None,
) -> TensorStore:
    """An array in memory as a `TensorStore`.

    Args:
        array: Anything that NumPy takes for an array.
        dtype: Its data type; by default the array's own, and ``json`` for one of objects.
        context: Its ``data_copy_concurrency`` is where large reads and writes are copied.
        copy: None: refer to the memory of a NumPy array of this data type, else copy. True: always
            copy. False: never.
        write: None: writable if the memory is. True: it must be. False: it is not.

    Raises:
        InvalidArgument: It cannot be used without a copy, or not be written, as asked; or there
            is no such data type.
        IncompatibleType: The source cannot be converted to `dtype`.
    """
    bound = Context() if context is None else context
    workers = bound.resolve("data_copy_concurrency").value
    wanted = None if dtype is None else data_type(dtype)
    driver = driver_module("array").wrap(array, wanted, workers, copy, write)
    opened = SpecState("array").bound(bound)
    return TensorStore(driver, driver.transform(), bound, driver.access, opened)


@overload
def cast(base: TensorStore, dtype: DTypeLike) -> TensorStore: ...
@overload
def cast(base: Spec, dtype: DTypeLike) -> Spec: ...
def cast(base: TensorStore | Spec, dtype: DTypeLike) -> TensorStore | Spec:
    """A view with another data type: elements are converted as they are read and written.

    Numbers convert to numbers (cutting off what does not fit, as C++ does), to texts and JSON;
    texts to JSON and back; JSON to numbers. Where only one direction exists, the view can only
    be read, or only written.

    Args:
        base: An array, or a spec of one.
        dtype: The data type of the view.

    Raises:
        InvalidArgument: There is no conversion, or no such data type.
        IncompatibleType: The base is of another type.
    """
    if isinstance(base, TensorStore):
        return base.astype(dtype)
    schema = Schema(dtype=dtype)
    return _over(base, "cast", schema, {})


def _over(base: object, driver: str, schema: Schema, options: dict[str, Any]) -> Spec:
    """The spec of an adapter over a spec, whose transform becomes the adapter's."""
    if not isinstance(base, Spec):
        raise IncompatibleType(f"Expected TensorStore or Spec, but received {base!r:.80}")
    transform = base.state.transform
    state = SpecState(
        driver,
        base=replace(base.state, transform=None),
        schema=schema.state,
        transform=transform,
        options=options,
    )
    state.effective_schema()
    return Spec.from_state(state)
