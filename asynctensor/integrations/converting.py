"""`convert`: arrays of one library as those of another, or in a store, in one call."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from asynctensor.copying import copy
from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.index_space.domain import IndexDomain
from asynctensor.opening import open as open_array
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.future import Future
from asynctensor.spec import Spec
from asynctensor.tensorstore import TensorStore
from asynctensor.views import array

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Library:
    """How arrays of a library are made of NumPy's, and back.

    Attributes:
        module: Ours, which is loaded when it is needed.
        made: The function that makes one of an array.
        read: The function that makes an array of one.
        roots: Where its types are defined.
    """

    module: str
    made: str
    read: str
    roots: tuple[str, ...]


_LIBRARIES: Final = {
    "arrow": _Library("arrow", "to_arrow", "from_arrow", ("pyarrow",)),
    "jax": _Library("jax", "as_jax", "from_jax", ("jax", "jaxlib")),
    "tensorflow": _Library("tensorflow", "to_tensor", "from_tensor", ("tensorflow",)),
    "torch": _Library("torch", "to_torch", "from_torch", ("torch",)),
}
_NAMES: Final = ("numpy", *_LIBRARIES)


def convert(
    source: Any,
    to: Any,
    *,
    timeout: float | None = None,
    deadline: float | None = None,
    **options: Any,
) -> Future[Any]:
    """Makes of an array one of another library, or one in a store.

    >>> tensor = at.convert([[1.5, 2]], "numpy").result()
    >>> stored = at.convert(tensor, "memory://a/|zarr3:").result()
    >>> at.convert(stored[:, 1], "numpy").result()
    array([2.])

    Memory is shared where both sides can; nothing is narrowed or rounded.

    Args:
        source: An array of NumPy (or what NumPy takes for one), PyTorch, TensorFlow, JAX, Arrow or
            zarr-python; an opened array, or a view of one; a spec, its JSON, a URL or a path,
            which is opened.
        to: ``"numpy"``, ``"torch"``, ``"tensorflow"``, ``"jax"`` or ``"arrow"``; or an opened array
            of the same shape, which is written; or a spec, its JSON, a URL or a path, where an
            array is created.
        timeout: Seconds after which to give up.
        deadline: The same as a Unix time.
        options: For ``to`` a library: ``copy``. For a place: what `open` takes besides, such as
            ``chunk_layout``, ``codec``, ``transaction``, ``delete_existing``.

    Returns:
        Future of the array of that library, or of the opened array. It fails as reads and writes
        do. A cancelled call may have created the array, and written some of it.

    Raises:
        IncompatibleType: `source` is no array; or the library that is asked for has no such data
            type.
        InvalidArgument: `to` is nothing of that.
        ModuleNotFoundError: The library is not installed.
    """
    if isinstance(to, str) and to in _NAMES:
        if not options.keys() <= {"copy"}:
            raise InvalidArgument(f"convert to {to!r} takes copy=, not {sorted(options)}")
        if _is_stored(source):
            return start(_read_as, source, to, options, timeout=timeout, deadline=deadline)
        return Future.resolved(_made(_array_of(source), to, options))
    if not (isinstance(to, (TensorStore, Spec, Mapping, os.PathLike)) or _is_url(to)):
        raise InvalidArgument(
            f"convert to what? One of {', '.join(_NAMES)}, or a place: a URL, a spec, an opened "
            f"array; not {to!r:.200}"
        )
    if isinstance(to, TensorStore) and options:
        raise InvalidArgument(f"an opened array takes no options, got {sorted(options)}")
    given = source if _is_stored(source) else array(_array_of(source))
    return start(_written, given, to, options, timeout=timeout, deadline=deadline)


async def _read_as(source: Any, library: str, options: Mapping[str, Any]) -> Any:
    opened = await _opened(source)
    # Whatever has its own ideas of threads and devices is kept off the I/O loop.
    return await asyncio.to_thread(_made, await opened.read(), library, options)


async def _written(source: Any, to: Any, options: Mapping[str, Any]) -> TensorStore:
    given = await _opened(source)
    if isinstance(to, TensorStore):
        await copy(given, to)
        return to
    schema, labels = given.schema, given.domain.labels
    wanted: dict[str, Any] = {"create": True, "dtype": given.dtype}
    if any(labels):
        wanted["domain"] = IndexDomain(shape=given.shape, labels=labels)
    else:
        wanted["shape"] = given.shape
    if schema.dimension_units is not None and any(schema.dimension_units):
        wanted["dimension_units"] = schema.dimension_units
    if schema.fill_value is not None:
        wanted["fill_value"] = schema.fill_value
    wanted.update(options)
    made = await open_array(to, **wanted)
    await copy(given, made)
    return made


async def _opened(source: Any) -> TensorStore:
    return source if isinstance(source, TensorStore) else await open_array(source)


def _is_url(value: object) -> bool:
    return isinstance(value, str) and ":" in value


def _is_stored(value: object) -> bool:
    """Whether it has to be read from a store."""
    return isinstance(value, (TensorStore, Spec, Mapping, os.PathLike, str))


def _library_of(value: object) -> str | None:
    """Whose array it is, by where its type is defined: no library is loaded for that."""
    roots = {kind.__module__.partition(".")[0] for kind in type(value).__mro__}
    for name, library in _LIBRARIES.items():
        if roots.intersection(library.roots):
            return name
    return None


def _function(library: str, name: str) -> Any:
    module = importlib.import_module("asynctensor.integrations")
    return getattr(getattr(module, _LIBRARIES[library].module), name)


def _array_of(value: Any) -> Array:
    """The elements of an array in memory, or of zarr-python."""
    library = _library_of(value)
    if library is not None:
        found: Array = _function(library, _LIBRARIES[library].read)(value)
        return found
    roots = {kind.__module__.partition(".")[0] for kind in type(value).__mro__}
    if "zarr" in roots:
        value = value[...]
    made = np.asarray(value)
    if made.dtype.hasobject and not isinstance(value, np.ndarray):
        raise IncompatibleType(
            f"expected an array of some library, an opened array or a place, got "
            f"{type(value).__name__}"
        )
    return made


def _made(values: Array, library: str, options: Mapping[str, Any]) -> Any:
    """An array of a library."""
    if library == "numpy":
        return np.array(values) if options.get("copy") else values
    return _function(library, _LIBRARIES[library].made)(values, **options)
