"""Arrays made of arrays: `array`, `cast`, and what stands on several others."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, SupportsIndex, TypeAlias, TypedDict, Unpack, overload

import numpy.typing as npt

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space.dim_expression import d
from asynctensor.index_space.domain import IndexDomain
from asynctensor.opening import access_mode, view_opener
from asynctensor.registry import driver_module
from asynctensor.runtime.context import Context
from asynctensor.runtime.workers import WorkerPool
from asynctensor.schema.data_type import DTypeLike
from asynctensor.schema.data_type import dtype as data_type
from asynctensor.schema.keywords import unexpected_keyword
from asynctensor.schema.schema import Schema
from asynctensor.spec import Spec
from asynctensor.spec_state import SpecState
from asynctensor.tensorstore import TensorStore
from asynctensor.transaction.transaction import Transaction


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


class StackOptions(TypedDict, total=False):
    """Constraints on a stack; what each means is said at `Schema.update`."""

    rank: int | None
    dtype: DTypeLike | None
    domain: IndexDomain | None
    shape: Iterable[int] | None
    dimension_units: Iterable[Any] | None
    schema: Schema | None


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
    return Spec.from_state(state.with_silent_base())


def overlay(
    layers: Iterable[TensorStore | Spec],
    *,
    read: bool | None = None,
    write: bool | None = None,
    context: Context | None = None,
    transaction: Transaction | None = None,
    **constraints: Unpack[StackOptions],
) -> TensorStore:
    """Several arrays in one index space; where two hold an element, the later one serves it.

    Args:
        layers: Arrays, or specs of arrays whose domains are known; a spec is opened by every
            operation that needs it.
        read: Allow reading. Without `read` and `write`, whatever a layer allows.
        write: Allow writing.
        context: Resources for the specs; by default new ones.
        transaction: What reads and writes belong to; by default that of the layers.
        **constraints: `rank`, `dtype`, `domain`, `shape`, `dimension_units`, `schema`. A domain is
            that of the result, which else is the hull of the layers.

    Returns:
        The array. Its bounds are explicit; it has no fill value, no codec and no chunks. To read
        or write an element that no layer holds is an `InvalidArgument`.

    Raises:
        InvalidArgument: The layers do not fit together.
        IncompatibleType: A layer or a constraint is of the wrong type.
    """
    return _stacked(_listed(layers), read, write, context, transaction, constraints)


def concat(
    layers: Iterable[TensorStore | Spec],
    axis: int | str,
    *,
    read: bool | None = None,
    write: bool | None = None,
    context: Context | None = None,
    transaction: Transaction | None = None,
    **constraints: Unpack[StackOptions],
) -> TensorStore:
    """Several arrays one after the other along a dimension, beginning where the first begins.

    Args:
        layers: At least one; see `overlay`.
        axis: The dimension, by position (from the end if negative) or by label.
        read: See `overlay`.
        write: See `overlay`.
        context: See `overlay`.
        transaction: See `overlay`.
        **constraints: See `overlay`.

    Raises:
        InvalidArgument, IncompatibleType: See `overlay`.
    """
    given = _listed(layers)
    if not given:
        raise InvalidArgument("At least one layer must be specified for concat")
    first = _domain_of(given[0], 0)
    dim = _axis(axis, first.rank, first.labels)
    moved: list[TensorStore | Spec] = []
    end = first.inclusive_min[dim]
    for number, layer in enumerate(given):
        domain = _domain_of(layer, number)
        if domain.rank != first.rank:
            raise InvalidArgument(
                f"Layer {number}: Layer domain {domain} of rank {domain.rank} does not match "
                f"layer 0 rank of {first.rank}"
            )
        moved.append(layer if end == domain.inclusive_min[dim] else layer[d[dim].translate_to[end]])
        end += domain.shape[dim]
    return _stacked(moved, read, write, context, transaction, constraints)


def stack(
    layers: Iterable[TensorStore | Spec],
    axis: int = 0,
    *,
    read: bool | None = None,
    write: bool | None = None,
    context: Context | None = None,
    transaction: Transaction | None = None,
    **constraints: Unpack[StackOptions],
) -> TensorStore:
    """Several arrays along a new dimension, the first at 0.

    Args:
        layers: At least one; see `overlay`.
        axis: Where the new dimension is, counted from the end if negative.
        read: See `overlay`.
        write: See `overlay`.
        context: See `overlay`.
        transaction: See `overlay`.
        **constraints: See `overlay`.

    Raises:
        InvalidArgument, IncompatibleType: See `overlay`.
    """
    given = _listed(layers)
    if not given:
        raise InvalidArgument("At least one layer must be specified for stack")
    rank = _domain_of(given[0], 0).rank + 1
    moved: list[TensorStore | Spec] = []
    for number, layer in enumerate(given):
        domain = _domain_of(layer, number)
        if domain.rank != rank - 1:
            raise InvalidArgument(
                f"Layer {number}: Layer domain {domain} of rank {domain.rank} does not match "
                f"layer 0 rank of {rank - 1}"
            )
        new = d[_axis(operator.index(axis), rank)][None]
        moved.append(layer[new.translate_to[number].mark_bounds_implicit[False]])
    return _stacked(moved, read, write, context, transaction, constraints)


def _listed(layers: object) -> list[Any]:
    """The layers, in a list.

    Raises:
        IncompatibleType: They are not in anything that can be iterated over.
    """
    if isinstance(layers, (TensorStore, Spec)) or not isinstance(layers, Iterable):
        raise IncompatibleType(
            f"Expected layers, each a TensorStore or a Spec, in a list, but received {layers!r:.80}"
        )
    return list(layers)


def _axis(axis: int | str, rank: int, labels: tuple[str, ...] = ()) -> int:
    if isinstance(axis, str):
        if not axis or axis not in labels:
            raise InvalidArgument(f"Label {axis!r} does not match one of {list(labels)}")
        return labels.index(axis)
    dim = operator.index(axis)
    if not -rank <= dim < rank:
        raise InvalidArgument(f"Dimension index {dim} is outside valid range [-{rank}, {rank})")
    return dim % rank


def _domain_of(layer: object, number: int) -> IndexDomain:
    if not isinstance(layer, (TensorStore, Spec)):
        raise IncompatibleType(
            f"Layer {number}: Expected TensorStore or Spec, but received {layer!r:.80}"
        )
    if layer.domain is None:
        raise InvalidArgument(f"Layer {number}: Domain must be specified")
    return layer.domain


def _stacked(
    layers: list[TensorStore | Spec],
    read: bool | None,
    write: bool | None,
    context: Context | None,
    transaction: Transaction | None,
    constraints: StackOptions,
) -> TensorStore:
    for name in constraints.keys() - StackOptions.__annotations__:
        raise unexpected_keyword(name, StackOptions)
    schema = Schema()
    schema.update(**constraints)
    bound = Context() if context is None else context
    mode = access_mode(read, write)
    below: list[Any] = []
    specs: list[SpecState] = []
    for number, layer in enumerate(layers):
        _domain_of(layer, number)
        if isinstance(layer, TensorStore):
            below.append(layer._view())
            specs.append(layer._opened or layer.spec().state.bound(bound))
        else:
            specs.append(layer.state.bound(bound))
            below.append(specs[-1])
    opener = view_opener(bound, transaction, mode)
    driver = driver_module("stack").stacked(below, schema, opener, transaction, _workers(bound))
    usable = "".join(each for each in mode if each in driver.access)
    if not usable or (read and "r" not in usable) or (write and "w" not in usable):
        raise InvalidArgument(
            f'the layers allow "{driver.access}", and not read={read}, write={write}'
        )
    # Layers are bound already; bound again, stacks of stacks would cost the square of their depth.
    opened = replace(SpecState("stack").bound(bound), layers=tuple(specs))
    return TensorStore(driver, driver.transform(), bound, usable, opened)
