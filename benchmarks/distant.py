"""`Distant`: what cases over a store 20 ms away have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.case import Scene
from benchmarks.cases.far_reads import loop
from benchmarks.repositories import DELAY
from tests.servers.distant_s3 import DistantS3, distant_s3


class Distant(ABC):
    """A case (`benchmarks.case.Case`) that makes what it reads in the store that it is served."""

    def prepare(self, scene: Scene) -> None:
        del scene

    def serve(self, folder: Path) -> AbstractContextManager[DistantS3]:
        return distant_s3(folder / "server", DELAY)

    def measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        return loop().run(self._measure(peer, setting, scene))

    @abstractmethod
    async def _measure(self, peer: str, setting: str, scene: Scene) -> dict[str, float]:
        """The values of the rows, by their names."""
