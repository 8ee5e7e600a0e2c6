"""Arrays made of arrays: `array`, `cast`, and what stands on several others."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, SupportsIndex, TypeAlias, overload

import numpy.typing as npt

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.registry import driver_module
from asynctensor.runtime.context import Context
from asynctensor.runtime.workers import WorkerPool
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
    wanted = None if dtype is None else data_type(dtype)
    driver = driver_module("array").wrap(array, wanted, _workers(bound), copy, write)
    opened = SpecState("array").bound(bound)
    return TensorStore(driver, driver.transform(), bound, driver.access, opened)


def _workers(context: Context) -> WorkerPool:
    pool: WorkerPool = context.resolve("data_copy_concurrency").value
    return pool


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


#: How elements of a cell become one.
DownsampleMethod: TypeAlias = Literal["stride", "median", "mode", "mean", "min", "max"]


@overload
def downsample(
    base: TensorStore, downsample_factors: Iterable[int], method: DownsampleMethod
) -> TensorStore: ...
@overload
def downsample(base: Spec, downsample_factors: Iterable[int], method: DownsampleMethod) -> Spec: ...
def downsample(
    base: TensorStore | Spec, downsample_factors: Iterable[int], method: DownsampleMethod
) -> TensorStore | Spec:
    """A view at a lower resolution, computed as it is read.

    Element ``i`` of a dimension stands for the positions ``i * factor`` to ``(i + 1) * factor``
    of the base, counted from position 0 whatever the base's origin; of a cell at the edge, only
    the positions inside count.

    Args:
        base: An array, or a spec of one.
        downsample_factors: One per dimension, at least 1.
        method: ``"stride"`` (the first position of each cell), ``"mean"`` (of integers rounded
            half to even, of bools the mode), ``"min"``, ``"max"``, ``"median"`` (of an even
            number the lower one) or ``"mode"`` (of several the least). NaN is the greatest, and
            no minimum or maximum where there is another number.

    Returns:
        The view; it can be read, and not be written.

    Raises:
        InvalidArgument: The factors do not fit, or the data type does not allow the method.
        IncompatibleType: The base is of another type.
    """
    factors = tuple(_factor(each) for each in downsample_factors)
    if isinstance(base, TensorStore):
        below = base._view()
        module = driver_module("downsample")
        driver = module.downsampled(below, factors, method, _workers(base.context))
        opened = base._opened and SpecState("downsample", base=base._opened)
        return TensorStore(driver, driver.transform(), base.context, "r", opened)
    options = {"downsample_factors": list(factors), "downsample_method": method}
    return _over(base, "downsample", Schema(), options, move=False)


def _factor(value: SupportsIndex) -> int:
    factor = operator.index(value)
    if factor < 1:
        raise InvalidArgument(f"Downsample factors must all be positive, but one is {factor}")
    return factor


def _over(
    base: object, driver: str, schema: Schema, options: dict[str, Any], *, move: bool = True
) -> Spec:
    """The spec of an adapter over a spec, whose transform becomes the adapter's if it may."""
    if not isinstance(base, Spec):
        raise IncompatibleType(f"Expected TensorStore or Spec, but received {base!r:.80}")
    transform = base.state.transform if move else None
    state = SpecState(
        driver,
        base=replace(base.state, transform=None) if move else base.state,
        schema=schema.state,
        transform=transform,
        options=options,
    )
    state.effective_schema()
    return Spec.from_state(state)
