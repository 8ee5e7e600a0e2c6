"""One module for each library that is compared, all with the same face."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
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

    def open(self, location: Path | str, *, cache_bytes: int = 0, recheck: bool = True) -> Any:
        """Opens an array to read it; with `recheck`, cached data are revalidated at each read.

        A location is a folder or, for those who read from servers, an http URL.
        """
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
    "obstore": "obstore",
    "s3fs": "s3fs",
    "icechunk": "icechunk",
    "ocdbt": "OCDBT",
}
#: Libraries that read and write objects, and know nothing of arrays; and those that keep versions.
STORE_NAMES = ("obstore", "s3fs", "icechunk", "ocdbt")


@dataclass(frozen=True)
class Ground:
    """Where a repository is.

    Attributes:
        path: A folder, or the beginning of keys in a bucket; without a slash at the end.
        endpoint: Of an S3 server; None: `path` is a folder.
    """

    path: str
    endpoint: str | None = None


class RepositoryPeer(Protocol):
    """A library that commits to an array of uint16 whose chunks are its rows, as they stand."""

    SETTINGS: ClassVar[dict[str, str]]

    def __init__(self, setting: str) -> None: ...

    async def create_repository(self, ground: Ground, count: int, length: int) -> Any:
        """Makes a repository with one array; what is returned is as of `open_repository`."""
        ...

    async def open_repository(self, ground: Ground) -> Any:
        """Opens it, knowing nothing of it."""
        ...

    async def stage(self, opened: Any, first: int, rows: Volume) -> Any:
        """Begins a transaction, and writes rows in it."""
        ...

    async def commit(self, staged: Any) -> None:
        """Commits it, whatever others have committed meanwhile to other rows."""
        ...

    async def read_rows(self, opened: Any, first: int, last: int) -> Volume:
        """Reads rows of the newest version."""
        ...

    async def settle(self, opened: Any) -> None:
        """Waits for what goes on beside the commits."""
        ...


class StorePeer(Protocol):
    """A library that reads objects of a server."""

    SETTINGS: ClassVar[dict[str, str]]

    def __init__(self, setting: str) -> None: ...

    async def open_store(self, url: str, authority: Path) -> Any:
        """Opens what is below a URL.

        Args:
            url: With a slash at the end.
            authority: File of the certificate that an https server's own is signed by.
        """
        ...

    async def read_range(self, store: Any, key: str, start: int, stop: int) -> Any:
        """Bytes of an object, as anything that has the buffer protocol."""
        ...


def peer_class(name: str) -> type[Peer]:
    """The class `Peer` of this library, which is imported only now."""
    found: type[Peer] = importlib.import_module(f"benchmarks.peers.with_{name}").Peer
    return found


def store_peer_class(name: str) -> type[StorePeer]:
    """The class `StorePeer` of this library, which is imported only now."""
    found: type[StorePeer] = importlib.import_module(f"benchmarks.peers.with_{name}").Peer
    return found
