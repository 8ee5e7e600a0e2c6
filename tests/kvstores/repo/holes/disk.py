"""A repository on a disk that forgets what was not flushed, and what was acknowledged when."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from asynctensor.errors import NotFound
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.testing.deterministic_loop import simulate
from asynctensor.testing.forgetful import ForgetfulFileSystem
from tests.kvstores.repo.holes.wire import Process

_QUICK = FileOptions(sync=False)
Look = Callable[[Process], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Claim:
    """What was acknowledged.

    Attributes:
        what: In words.
        look: Sees how it is.
        before: What `look` may see until it was done; where there is no repository, it sees None.
        after: What it sees once it was.
        began: Where in the file system's journal nothing of it had been done.
        end: Where it was acknowledged.
    """

    what: str
    look: Look
    before: object
    after: object
    began: int
    end: int

    def allows(self, found: object, position: int) -> bool:
        """Whether this may be seen after a crash at some position of the journal."""
        if found == self.after:
            return self.began < position
        return found == self.before and position < self.end


class Recorded:
    """A repository on a disk that forgets."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file_system = ForgetfulFileSystem(folder)
        self.root = str(folder / "new" / "lab")
        #: While set, nobody gets to flush a directory.
        self.stalled = False
        flush = self.file_system.fsync

        def fsync(fd: int) -> None:
            if not self.stalled or not stat.S_ISDIR(os.fstat(fd).st_mode):
                flush(fd)

        self.file_system.fsync = fsync  # type: ignore[method-assign]
        self.claims: list[Claim] = []

    @property
    def position(self) -> int:
        """The length of the file system's journal now."""
        return self.file_system.position

    def process(self) -> Process:
        """Somebody who knows nothing yet."""
        return Process(FileStore(self.root, file_system=self.file_system))

    async def put(self, process: Process, key: str, value: bytes) -> None:
        """A commit of one value."""
        began = self.position
        await process.put(key, value)
        self.has(key, value, began)

    def has(self, key: str, value: bytes, began: int) -> None:
        """Claims that a value was committed."""

        async def look(process: Process) -> object:
            return await process.get(key)

        self.claim(f"{key} is committed", look, None, value, began)

    def claim(self, what: str, look: Look, before: object, after: object, began: int) -> None:
        """Claims something, which is acknowledged now."""
        self.claims.append(Claim(what, look, before, after, began, self.position))

    def problems(self, tmp_path: Path) -> tuple[int, list[str]]:
        """Opens every state that a crash may leave; gives how many, and what is wrong."""
        problems: list[str] = []
        seen: dict[object, list[object]] = {}
        for position in range(self.position + 1):
            for state in self.file_system.crash_states(position):
                if state.files not in seen:
                    folder = tmp_path / "state"
                    state.materialise(folder)
                    seen[state.files] = self._found(folder / "new" / "lab")
                    shutil.rmtree(folder)
                problems += [
                    f"{claim.what}: {found!r:.80} after a crash at {position}"
                    for claim, found in zip(self.claims, seen[state.files], strict=True)
                    if not claim.allows(found, position)
                ]
        return len(seen), problems

    def _found(self, root: Path) -> list[object]:
        async def look() -> list[object]:
            process = Process(FileStore(str(root), _QUICK, file_system=FileSystem()))
            try:
                found = [await claim.look(process) for claim in self.claims]
                await process.put("goes on", b"1")
            except NotFound:
                return [None] * len(self.claims)
            assert await process.get("goes on") == b"1"
            return found

        return simulate(look, 1)


def recorded(
    tmp_path: Path, scenario: Callable[[Recorded], Awaitable[None]], *, stalled: bool = False
) -> Recorded:
    """Plays a scenario on a new repository.

    Args:
        tmp_path: An empty folder.
        scenario: What is done.
        stalled: Whether whoever makes the repository does not get to flush directories.
    """
    disk = Recorded(tmp_path / "disk")

    async def main() -> None:
        disk.stalled = stalled
        await Process(FileStore(disk.root, file_system=disk.file_system)).state.create()
        disk.stalled = False
        await scenario(disk)

    simulate(main, 1)
    return disk
