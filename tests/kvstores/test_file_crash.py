"""What `file` acknowledged survives every crash, and nothing is ever half there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions, LockingMode
from asynctensor.kvstores.file.store import FileFace
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ReadOptions, Replacement
from asynctensor.testing.forgetful import CrashState, ForgetfulFileSystem

Group = Sequence[Replacement]


@contextmanager
def built(state: CrashState, tmp_path: Path) -> Iterator[Path]:
    """The files of a crash state, for as long as they are looked at; yields the root."""
    folder = tmp_path / "state"
    state.materialise(folder)
    yield folder / "new" / "root"
    shutil.rmtree(folder)


SCENARIOS: dict[str, list[Group]] = {
    "overwrite": [[Replacement("k", b"first value")], [Replacement("k", b"second value")]],
    "create": [[Replacement("k", b"created", NO_VALUE)], [Replacement("k", b"lost", NO_VALUE)]],
    "deep": [[Replacement("a/b/k", b"deep value")], [Replacement("a/c/k", b"another value")]],
    "group": [[Replacement("a/1", b"group one"), Replacement("a/2", b"group two")]],
    "delete": [[Replacement("a/k", b"to go")], [Replacement("a/k", None)]],
    "same key": [[Replacement("k", b"value one"), Replacement("k", b"value two")]],
    "again": [
        [Replacement("a/k", b"value one")],
        [Replacement("a/k", None)],
        [Replacement("a/k", b"value three", NO_VALUE)],
    ],
}
MODES: list[LockingMode] = ["os", "lockfile", "none"]


class Recorded:
    """A scenario that was run: what each key may hold after each point of the journal."""

    def __init__(self, folder: Path, options: FileOptions) -> None:
        self.folder = folder
        self.file_system = ForgetfulFileSystem(folder)
        self.face = FileFace(str(folder / "new" / "root"), options, self.file_system)
        #: (key, value, where the write began, where it was acknowledged)
        self.writes: list[tuple[str, bytes | None, int, int]] = []

    def replace(self, group: Group) -> None:
        began = self.file_system.position
        outcomes = self.face.replace(group)
        end = self.file_system.position
        for replacement, outcome in zip(group, outcomes, strict=True):
            assert not isinstance(outcome, Exception), outcome
            if outcome.generation != UNKNOWN:
                self.writes.append((replacement.key, replacement.value, began, end))

    def allowed(self, key: str, position: int) -> set[bytes | None]:
        """The values that `key` may have after a crash at `position`."""
        allowed: set[bytes | None] = {None}
        for name, value, began, end in self.writes:
            if name == key and end <= position:
                allowed = {value}
            elif name == key and began < position:
                allowed.add(value)
        return allowed


def check(
    recorded: Recorded, tmp_path: Path, problem: Callable[[str], None], options: FileOptions
) -> int:
    """Looks at every crash state with the real store; returns how many there were."""
    names = {key for key, *_ in recorded.writes}
    seen: dict[object, dict[str, bytes]] = {}
    for position in range(recorded.file_system.position + 1):
        for state in recorded.file_system.crash_states(position):
            if state.files not in seen:
                with built(state, tmp_path) as root:
                    face = FileFace(str(root), options, FileSystem())
                    listed = [entry.key for entry in face.walk(KeyRange())]
                    seen[state.files] = {key: face.read(key, ReadOptions()).value for key in listed}
            values = seen[state.files]
            for key in names | values.keys():
                if values.get(key) not in recorded.allowed(key, position):
                    problem(f"{key!r} is {values.get(key)!r} after a crash at {position}")
    return len(seen)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_acknowledged_writes_survive_every_crash(
    tmp_path: Path, scenario: str, mode: LockingMode
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = FileOptions(locking=mode)
    recorded = Recorded(disk, options)
    for group in SCENARIOS[scenario]:
        recorded.replace(group)
    problems: list[str] = []
    assert check(recorded, tmp_path, problems.append, FileOptions(sync=False, locking=mode)) > 5
    assert problems == []


def test_without_sync_values_are_lost(tmp_path: Path) -> None:
    """The fake does forget: what is not flushed does not always survive."""
    disk = tmp_path / "disk"
    disk.mkdir()
    recorded = Recorded(disk, FileOptions(sync=False))
    recorded.replace([Replacement("a/k", b"value")])
    problems: list[str] = []
    check(recorded, tmp_path, problems.append, FileOptions(sync=False))
    assert any("is None" in problem for problem in problems)
    assert any("is b''" in problem for problem in problems)


def test_a_second_process_does_not_trust_directories_it_finds(tmp_path: Path) -> None:
    """Directories that somebody else made, and has not flushed yet, are flushed as well."""
    disk = tmp_path / "disk"
    disk.mkdir()
    recorded = Recorded(disk, FileOptions())
    creator = FileFace(recorded.face._root.path, FileOptions(sync=False), recorded.file_system)
    creator.replace([Replacement("a/b/other", b"unsynced")])
    recorded.replace([Replacement("a/b/k", b"value")])
    for state in recorded.file_system.crash_states(recorded.file_system.position):
        with built(state, tmp_path) as root:
            face = FileFace(str(root), FileOptions(), FileSystem())
            assert face.read("a/b/k", ReadOptions()).value == b"value"


def test_deleted_ranges_stay_deleted(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    recorded = Recorded(disk, FileOptions())
    recorded.replace([Replacement("a/1", b"1"), Replacement("a/b/2", b"2"), Replacement("c", b"3")])
    for _ in recorded.face.remove(KeyRange.prefix("a/")):
        pass
    for state in recorded.file_system.crash_states(recorded.file_system.position):
        with built(state, tmp_path) as root:
            face = FileFace(str(root), FileOptions(), FileSystem())
            assert [entry.key for entry in face.walk(KeyRange())] == ["c"]


def test_what_a_crash_leaves_is_cleared(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    recorded = Recorded(disk, FileOptions())
    recorded.replace([Replacement("a/k", b"one", NO_VALUE), Replacement("a/l", b"two")])
    seen = set()
    for position in range(recorded.file_system.position):
        for state in recorded.file_system.crash_states(position):
            if state.files in seen:
                continue
            seen.add(state.files)
            with built(state, tmp_path) as root:
                face = FileFace(str(root), FileOptions(sync=False), FileSystem())
                # Leftovers are in nobody's way ...
                face.replace([Replacement("a/k", b"new"), Replacement("a/l", b"new")])
                assert face.read("a/k", ReadOptions()).value == b"new"
                # ... and go with the directory.
                for _ in face.remove(KeyRange.prefix("a/")):
                    pass
                assert list(root.iterdir()) == []
