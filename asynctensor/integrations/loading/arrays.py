"""`Arrays`: one array, or several by name that are read in step, and where they are cut up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from asynctensor.errors import Error, IncompatibleType, InvalidArgument
from asynctensor.tensorstore import TensorStore

#: One array, or several by name; samples of several are read in step.
Arrays: TypeAlias = TensorStore | Mapping[str, TensorStore]
#: A dimension by its number or label.
Dimension: TypeAlias = int | str


def named(arrays: object) -> dict[str, TensorStore]:
    """The arrays by name; ``""`` is the name of a single one.

    Raises:
        IncompatibleType: These are no opened arrays.
    """
    if isinstance(arrays, TensorStore):
        return {"": arrays}
    found = dict(arrays) if isinstance(arrays, Mapping) else {}
    if not found or not all(
        isinstance(name, str) and isinstance(array, TensorStore) for name, array in found.items()
    ):
        raise IncompatibleType(
            f"expected an opened array, or several by name, got {arrays!r:.200}; "
            "open it first: await asynctensor.open(...)"
        )
    return found


def cut(
    arrays: Arrays, dims: Sequence[Dimension]
) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """The dimensions of each array along which it is cut up, and how long they are.

    Raises:
        InvalidArgument: There is no such dimension, or the lengths differ.
        IncompatibleType: These are no arrays.
    """
    found: dict[str, tuple[int, ...]] = {}
    lengths: tuple[int, ...] | None = None
    for name, array in named(arrays).items():
        found[name] = tuple(_dimension(array, dim, name) for dim in dims)
        if len(set(found[name])) != len(dims) or not dims:
            raise InvalidArgument(
                f"samples are cut out along distinct dimensions, got {list(dims)}"
            )
        mine = tuple(array.domain.shape[dim] for dim in found[name])
        if lengths is not None and mine != lengths:
            raise InvalidArgument(
                f"arrays that are read in step are equally long along {list(dims)}: "
                f"array {name!r} is {mine} long, and those before it {lengths}"
            )
        lengths = mine
    assert lengths is not None
    return found, lengths


def _dimension(array: TensorStore, dim: Dimension, name: str) -> int:
    labels = array.domain.labels
    if isinstance(dim, str) and dim and dim in labels:
        return labels.index(dim)
    if isinstance(dim, int) and -array.rank <= dim < array.rank:
        return dim % array.rank
    which = f"array {name!r}" if name else "the array"
    named_so = f" and labels {list(labels)}" if any(labels) else ""
    raise InvalidArgument(f"{which} of rank {array.rank}{named_so} has no dimension {dim!r}")


def place_of(array: TensorStore) -> list[str]:
    """Where an array is, and which of those that were there."""
    try:
        url = array.url
    except Error:
        url = json.dumps(array.spec(minimal_spec=True).to_json(), sort_keys=True)
    version = array._driver.version()
    return [url, "" if version is None else version.hex()]
