"""One module for each library that is compared, all with the same face."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, ClassVar, Protocol

from benchmarks.layouts import Layout, Volume

Region = tuple[slice, ...]


class Peer(Protocol):
    """A library in one of its settings.

    What `open` and `create` return is given back to the other methods as `array`.
    """

    #: Setting names and, in words, what each is.
    SETTINGS: ClassVar[dict[str, str]]
    #: Whether a write can be made to survive a power failure.
    CAN_SYNC: ClassVar[bool]

    def __init__(self, setting: str) -> None: ...

    def open(self, path: Path, *, cache_bytes: int = 0, recheck: bool = True) -> Any:
        """Opens an array to read it; with `recheck`, cached data are revalidated at each read."""
        ...

    def create(self, path: Path, layout: Layout, shape: tuple[int, ...], *, sync: bool) -> Any:
        """Creates an array; with `sync`, a write ends when its data are on disk."""
        ...

    def read(self, array: Any) -> Volume:
        """Reads everything."""
        ...

    def write(self, array: Any, data: Volume) -> None:
        """Writes everything."""
        ...

    async def read_async(self, array: Any, region: Region) -> Volume:
        """Reads a region, awaited on the running loop."""
        ...


NAMES = ("asynctensor", "tensorstore", "zarr", "zarrs")
TITLES = {
    "asynctensor": "asynctensor",
    "tensorstore": "tensorstore",
    "zarr": "zarr-python",
    "zarrs": "zarrs-python",
}


def peer_class(name: str) -> type[Peer]:
    """The class `Peer` of this library, which is imported only now."""
    found: type[Peer] = importlib.import_module(f"benchmarks.peers.with_{name}").Peer
    return found
