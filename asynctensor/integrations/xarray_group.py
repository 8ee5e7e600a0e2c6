"""`GroupVariables`: the arrays of a group as xarray's variables, opened and prefetched together."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from xarray import Variable
from xarray.backends.common import AbstractDataStore
from xarray.backends.zarr import FillValueCoder
from xarray.core import indexing

from asynctensor.errors import FailedPrecondition
from asynctensor.groups.group import Group
from asynctensor.groups.member import Member
from asynctensor.integrations.xarray_array import StoredArray
from asynctensor.integrations.xarray_encoding import encoding_of
from asynctensor.tensorstore import TensorStore

#: The attribute that names dimensions where the format has no place for them (xarray's).
_DIMENSIONS = "_ARRAY_DIMENSIONS"
#: Bytes of a coordinate up to which it is read when the dataset is opened. xarray makes an index
#: of each, and for that reads one after the other what is not there.
_COORDINATE_BYTES = 64 * 2**20
#: Bytes of another variable of times: xarray looks at its ends, to know how exact they are.
_TIME_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Opened:
    """One array of a group.

    Attributes:
        store: The array.
        member: What its documents say.
        dims: Names of its dimensions.
        values: Its elements, where they were read already.
    """

    store: TensorStore
    member: Member
    dims: tuple[str, ...]
    values: np.ndarray[Any, Any] | None = None


class GroupVariables(AbstractDataStore):
    """A group as xarray's ``AbstractDataStore``.

    Args:
        attributes: Of the group.
        arrays: Its arrays by name.
        zarr_format: 2, 3, or None for another format.
    """

    __slots__ = ("_arrays", "_attributes", "_zarr_format")

    def __init__(
        self,
        attributes: Mapping[str, Any],
        arrays: Mapping[str, Opened],
        zarr_format: int | None,
    ) -> None:
        self._attributes, self._arrays, self._zarr_format = attributes, arrays, zarr_format

    def get_attrs(self) -> dict[str, Any]:
        """Attributes of the group, without those of NCZarr's own."""
        return {k: v for k, v in self._attributes.items() if not k.lower().startswith("_nc")}

    def get_variables(self) -> dict[str, Variable]:
        """The arrays as variables that are not decoded yet."""
        return {name: self._variable(each) for name, each in self._arrays.items()}

    def get_dimensions(self) -> dict[str, int]:
        """Sizes of the dimensions, by name."""
        return {
            dim: size
            for each in self._arrays.values()
            for dim, size in zip(each.dims, each.store.shape, strict=True)
        }

    def _variable(self, opened: Opened) -> Variable:
        lazy = StoredArray(opened.store)
        data: Any = indexing.LazilyIndexedArray(lazy) if opened.values is None else opened.values
        attributes = {k: v for k, v in opened.member.attributes.items() if k != _DIMENSIONS}
        encoding = encoding_of(opened.store, opened.member, opened.dims, self._zarr_format)
        fill_value = opened.member.document.get("fill_value")
        if self._zarr_format == 2:
            # Version 2 has one place for both: what was never written, and what is missing.
            if fill_value is not None:
                attributes["_FillValue"] = opened.store.fill_value
        elif "_FillValue" in attributes and self._zarr_format == 3:
            encoded = attributes["_FillValue"]
            name = "string" if lazy.dtype.kind == "O" else lazy.dtype
            attributes["_FillValue"] = FillValueCoder.decode(encoded, name)
        return Variable(opened.dims, data, attributes, encoding)


async def read_group(
    group: Group, members: Mapping[str, Member], drop: Iterable[str] = ()
) -> GroupVariables:
    """Opens all arrays of a group side by side, then reads its coordinates side by side.

    Args:
        group: The group.
        members: What is directly in it, by name.
        drop: Names of arrays that are not wanted: they are not looked at.

    Raises:
        FailedPrecondition: An array's dimensions have no names, or two sizes of one name.
    """
    dropped = set(drop)
    wanted = {n: m for n, m in members.items() if m.kind == "array" and n not in dropped}
    stores = await asyncio.gather(*(group.open_array(name) for name in wanted))
    arrays = {
        name: Opened(store, member, _dims(name, store, member))
        for (name, member), store in zip(wanted.items(), stores, strict=True)
    }
    _check_sizes(arrays)
    soon = [name for name, each in arrays.items() if _is_soon_read(name, each)]
    values = await asyncio.gather(*(arrays[name].store.read() for name in soon))
    for name, found in zip(soon, values, strict=True):
        opened = arrays[name]
        arrays[name] = Opened(opened.store, opened.member, opened.dims, np.asarray(found))
    return GroupVariables(group.attrs.asdict(), arrays, group.zarr_format)


def _dims(name: str, store: TensorStore, member: Member) -> tuple[str, ...]:
    labels = tuple(store.domain.labels)
    given = labels if all(labels) else member.attributes.get(_DIMENSIONS)
    if (
        not isinstance(given, list | tuple)
        or len(given) != store.rank
        or not all(isinstance(each, str) for each in given)
    ):
        raise FailedPrecondition(
            f"the dimensions of array {name!r} have no names, which xarray needs: "
            f"{json.dumps(given)}; write them, or leave the array out: drop_variables={name!r}",
            array=name,
        )
    return tuple(given)


def _check_sizes(arrays: Mapping[str, Opened]) -> None:
    sizes: dict[str, tuple[int, str]] = {}
    for name, each in arrays.items():
        for dim, size in zip(each.dims, each.store.shape, strict=True):
            before, whose = sizes.setdefault(dim, (size, name))
            if before != size:
                raise FailedPrecondition(
                    f"dimension {dim!r} has size {before} in array {whose!r}, but {size} in "
                    f"{name!r}: leave one out with drop_variables=",
                    array=name,
                )


def _is_soon_read(name: str, opened: Opened) -> bool:
    store = opened.store
    nbytes = store.size * (store.dtype.numpy_dtype.itemsize or 1)
    if opened.dims == (name,):
        return bool(nbytes <= _COORDINATE_BYTES)
    units = opened.member.attributes.get("units")
    return isinstance(units, str) and " since " in units and nbytes <= _TIME_BYTES
