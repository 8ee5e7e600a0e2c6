"""How Orbax lays a tree out in a folder: names, metadata, and what is no array. Pure.

Without OCDBT::

    _METADATA               JSON: each leaf's path, and what it is
    _strings.json           leaves that are texts, by their names
    params.w/.zarray ...    each array, under the parts of its path joined by dots; zarr v2 or v3
    _CHECKPOINT_METADATA, commit_success.txt    not needed to restore; the latter is written last

Source: what Orbax 0.12 writes with ``use_ocdbt=False``, and with ``use_zarr3=True``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asynctensor.errors import DataLoss, IncompatibleType, InvalidArgument, Unimplemented

METADATA, STRINGS, MANIFEST = "_METADATA", "_strings.json", "manifest.ocdbt"
CHECKPOINT_METADATA, COMMITTED = "_CHECKPOINT_METADATA", "commit_success.txt"
#: Orbax's kinds of keys.
_SEQUENCE, _DICT = 1, 2
#: What Orbax calls leaves that are stored nowhere else, and what makes them.
_EMPTY: dict[str, Callable[[], Any]] = {
    "None": lambda: None, "Dict": dict, "List": list, "Tuple": tuple
}  # fmt: skip
_ARRAYS = ("np.ndarray", "jax.Array")
#: Chunks are no larger than this.
_CHUNK_BYTES = 64 * 2**20

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of a tree.

    Attributes:
        path: Keys of mappings as texts, and places in sequences as numbers.
        kind: What Orbax calls it.
        value: An array or a text; None where it was not read yet, or there is nothing to read.
    """

    path: tuple[str | int, ...]
    kind: str
    value: Any = None

    @property
    def name(self) -> str:
        """Where its array is."""
        return ".".join(map(str, self.path))

    @property
    def is_array(self) -> bool:
        """Whether it has an array."""
        return self.kind in (*_ARRAYS, "scalar")

    def found(self, stored: Array) -> Any:
        """What it was, of the array that is stored."""
        if self.kind != "scalar":
            return stored
        # What Python's own numbers are stored as.
        return stored.item() if stored.dtype in (np.int64, np.float64, np.bool_) else stored[()]


def leaves_of(tree: Any) -> list[Leaf]:
    """The leaves of a tree of mappings and sequences.

    Raises:
        IncompatibleType: A leaf cannot be saved.
        InvalidArgument: A key cannot be part of a name, or two leaves would have one name.
    """
    found = list(_leaves(tree, ()))
    names: dict[str, Leaf] = {}
    for leaf in found:
        other = names.setdefault(leaf.name, leaf)
        if other is not leaf:
            raise InvalidArgument(
                f"the leaves at {other.path} and {leaf.path} would both be called {leaf.name!r}; "
                "rename one"
            )
    return found


def _leaves(tree: Any, path: tuple[str | int, ...]) -> Iterator[Leaf]:
    if isinstance(tree, Mapping) and tree:
        for key in sorted(tree, key=str):
            yield from _leaves(tree[key], (*path, _checked_key(key, path)))
    elif isinstance(tree, list | tuple) and tree:
        for place, each in enumerate(tree):
            yield from _leaves(each, (*path, place))
    elif not path:
        raise IncompatibleType(f"a checkpoint is a tree with leaves, got {tree!r:.100}")
    else:
        yield _leaf(tree, path)


def _checked_key(key: Any, path: tuple[str | int, ...]) -> str:
    # Of each part of its folder's name, something must be left.
    if isinstance(key, str) and all(part.strip(".") for part in key.split("/")):
        return key
    raise InvalidArgument(
        f"keys of a checkpoint are texts that can name a folder, got {key!r:.100} below {path}"
    )


def _leaf(value: Any, path: tuple[str | int, ...]) -> Leaf:
    if isinstance(value, str):
        return Leaf(path, "string", value)
    if value is None:
        return Leaf(path, "None")
    if isinstance(value, Mapping | list | tuple):
        # It has no leaves.
        kind = "Dict" if isinstance(value, Mapping) else type(value).__name__.capitalize()
        return Leaf(path, kind if kind in _EMPTY else "Tuple")
    if isinstance(value, bool | int | float | np.generic):
        kind = "scalar"
    elif hasattr(value, "__array__"):
        kind = "np.ndarray"
    else:
        raise IncompatibleType(
            f"the leaf at {path} is a {type(value).__name__}; a checkpoint has arrays, numbers, "
            "texts and None"
        )
    array = np.asarray(value)
    if array.dtype.kind in "OSUMm" or array.dtype.names:
        raise IncompatibleType(f"Orbax cannot restore {array.dtype}, which the leaf at {path} is")
    return Leaf(path, kind, array)


def metadata(leaves: Sequence[Leaf], zarr_format: int) -> bytes:
    """``_METADATA``."""
    tree = {}
    for leaf in leaves:
        keys = [
            {"key": str(key), "key_type": _SEQUENCE if isinstance(key, int) else _DICT}
            for key in leaf.path
        ]
        value = {"value_type": leaf.kind, "skip_deserialize": leaf.kind in _EMPTY}
        tree[repr(tuple(map(str, leaf.path)))] = {"key_metadata": keys, "value_metadata": value}
    said = {
        "tree_metadata": tree,
        "use_ocdbt": False,
        "use_zarr3": zarr_format == 3,
        "store_array_data_equal_to_fill_value": True,
        "custom_metadata": None,
    }
    return json.dumps(said).encode()


def strings(leaves: Sequence[Leaf]) -> bytes | None:
    """``_strings.json``; None: there are none."""
    found = {leaf.name: leaf.value for leaf in leaves if leaf.kind == "string"}
    return json.dumps(found).encode() if found else None


def parsed(text: bytes, texts: bytes | None) -> tuple[list[Leaf], str]:
    """The leaves of a checkpoint, arrays without values, and the driver of its arrays.

    Args:
        text: ``_METADATA``.
        texts: ``_strings.json``.

    Raises:
        DataLoss: It is damaged.
        Unimplemented: It has leaves of a kind that is not known.
    """
    try:
        said = json.loads(text)
        known = json.loads(texts) if texts is not None else {}
        found = [_parsed(entry, known) for entry in said["tree_metadata"].values()]
        return found, "zarr3" if said.get("use_zarr3") else "zarr"
    except Unimplemented:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataLoss(f"{METADATA} does not say what is in the checkpoint: {error}") from error


def _parsed(entry: Any, known: Any) -> Leaf:
    path: list[str | int] = []
    for each in entry["key_metadata"]:
        is_place = each["key_type"] == _SEQUENCE
        path.append(int(each["key"]) if is_place else _checked_key(str(each["key"]), tuple(path)))
    kind = entry["value_metadata"]["value_type"]
    leaf = Leaf(tuple(path), kind)
    if kind in _EMPTY:
        return Leaf(leaf.path, kind, _EMPTY[kind]())
    if kind == "string":
        return Leaf(leaf.path, kind, str(known[leaf.name]))
    if not leaf.is_array:
        raise Unimplemented(f"the leaf at {leaf.path} is a {kind!r}, which cannot be read here")
    return leaf


def tree_of(leaves: Sequence[tuple[Leaf, Any]]) -> Any:
    """The tree of leaves and what they are; sequences are lists, as Orbax restores them.

    Raises:
        DataLoss: They are no tree: one is both a leaf and more, or a sequence has gaps.
    """
    root: dict[str | int, Any] = {}
    for leaf, value in leaves:
        at = root
        for key in leaf.path[:-1]:
            at = at.setdefault(key, _Node())
            if not isinstance(at, _Node):
                raise DataLoss(f"{METADATA} has leaves below the leaf at {leaf.path}")
        if not leaf.path or leaf.path[-1] in at:
            raise DataLoss(f"{METADATA} has two leaves at {leaf.path}")
        at[leaf.path[-1]] = value
    return _plain(root)


class _Node(dict[str | int, Any]):
    """What is below a key, while the tree grows; no leaf is one."""


def _plain(node: Any) -> Any:
    if isinstance(node, _Node) or (type(node) is dict and node):
        keys = list(node)
        if all(isinstance(key, int) for key in keys):
            if sorted(keys) != list(range(len(keys))):
                raise DataLoss(f"{METADATA} has a sequence with places {sorted(keys)}")
            return [_plain(node[place]) for place in range(len(keys))]
        if not all(isinstance(key, str) for key in keys):
            raise DataLoss(f"{METADATA} has keys and places side by side: {keys}")
        return {key: _plain(each) for key, each in node.items()}
    return node


def array_spec(leaf: Leaf, zarr_format: int) -> dict[str, Any]:
    """The spec of a leaf's array, but for where it is."""
    shape, itemsize = list(leaf.value.shape), leaf.value.dtype.itemsize
    chunk = [max(1, size) for size in shape]
    for dim in range(len(chunk)):
        others = math.prod(chunk) // chunk[dim] * itemsize
        chunk[dim] = min(chunk[dim], max(1, _CHUNK_BYTES // others))
    zstd = {"level": 1, "checksum": False}
    if zarr_format == 2:
        said: dict[str, Any] = {
            "shape": shape, "chunks": chunk, "order": "C", "filters": None, "fill_value": None,
            "dimension_separator": ".", "compressor": {"id": "zstd", "level": 1},
        }  # fmt: skip
    else:
        said = {
            "shape": shape,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": zstd},
            ],
        }
    return {
        "driver": "zarr" if zarr_format == 2 else "zarr3",
        "dtype": leaf.value.dtype.newbyteorder("=").name,
        "metadata": said,
        # Orbax says in its metadata that these are stored.
        "store_data_equal_to_fill_value": True,
    }
