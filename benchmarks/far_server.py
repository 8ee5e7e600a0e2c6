"""Servers that are far away: a web server, or one of objects, behind a relay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.web_server import serving
from tests.servers.delay_relay import DelayRelay, Way, delayed
from tests.servers.object_server import objects

ROUND_TRIP = 0.030
FAR = Way(ROUND_TRIP)


@dataclass(frozen=True)
class FarServer:
    """A server behind a relay.

    Attributes:
        relay: The relay.
        near: The server's own URL, with a slash at the end.
    """

    relay: DelayRelay
    near: str

    @property
    def url(self) -> str:
        """The URL by the long way."""
        return self.relay.url


@contextmanager
def far_folder(folder: Path, way: Way = FAR) -> Iterator[FarServer]:
    """A web server for a folder, far away."""
    with serving(folder, folder / "server") as server:
        port = urlsplit(server.url).port
        assert port is not None
        with delayed(folder / "relay", port, way) as relay:
            yield FarServer(relay, server.url)


@contextmanager
def far_objects(folder: Path, way: Way = FAR) -> Iterator[FarServer]:
    """A server of objects, far away."""
    with objects(folder / "server") as port, delayed(folder / "relay", port, way) as relay:
        yield FarServer(relay, f"http://127.0.0.1:{port}/")
