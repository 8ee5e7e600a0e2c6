"""Paths of nodes: names joined by ``/``, relative to a group."""

from __future__ import annotations

from asynctensor.errors import IncompatibleType, InvalidArgument
from asynctensor.hierarchy.node_format import NodeFormat


def split_path(path: str, fmt: NodeFormat) -> tuple[str, ...]:
    """The names in `path`; leading, trailing and repeated slashes mean nothing (zarr's rule).

    Raises:
        InvalidArgument: The format does not allow a name.
        IncompatibleType: It is no string.
    """
    if not isinstance(path, str):
        raise IncompatibleType(f"a path is a str, such as 'a/b', not {type(path).__name__}")
    names = tuple(name for name in path.split("/") if name)
    for name in names:
        fmt.check_name(name)
    return names


def check_dots(name: str) -> None:
    """Refuses what zarr v2 and v3 refuse, and what no file store can name.

    Raises:
        InvalidArgument: The name is empty or of dots only, or holds a NUL or a ``/``.
    """
    if not name or not name.strip(".") or "\0" in name or "/" in name:
        raise InvalidArgument(
            f"{name!r} is no name of a node: it must not be empty or consist of dots, "
            "nor hold a NUL or a slash"
        )


def as_directory(path: str) -> str:
    """`path` as a key prefix: empty, or ending in ``/``."""
    return path if not path or path.endswith("/") else path + "/"
