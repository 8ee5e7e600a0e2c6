"""`file` on full disks, read-only folders and network file systems that lose replies."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from asynctensor.errors import (
    Aborted,
    DeadlineExceeded,
    Error,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from asynctensor.kvstores.file.options import FileOptions, LockingMode
from asynctensor.kvstores.file.store import FileFace
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import ReadOptions, Replacement
from asynctensor.testing.faults import FaultyFileSystem, full_disk

WHOLE = ReadOptions()


@pytest.fixture
def faulty() -> FaultyFileSystem:
    return FaultyFileSystem()


@pytest.fixture
def face(tmp_path: Path, faulty: FaultyFileSystem) -> FileFace:
    return FileFace(str(tmp_path / "root"), FileOptions(), faulty)


def put(face: FileFace, key: str, value: bytes | None, if_equal: bytes = UNKNOWN) -> Any:
    (outcome,) = face.replace([Replacement(key, value, if_equal)])
    return outcome


def names(tmp_path: Path) -> list[str]:
    root = tmp_path / "root"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("call", "code", "expected"),
    [
        ("write", errno.ENOSPC, ResourceExhausted),
        ("write", errno.EDQUOT, ResourceExhausted),
        ("write", errno.EIO, Unavailable),
        ("fsync", errno.EIO, Unavailable),
        ("fsync", errno.ENOSPC, ResourceExhausted),
        ("rename", errno.EIO, Unavailable),
        ("open", errno.EROFS, PermissionDenied),
        ("open", errno.EACCES, PermissionDenied),
        ("open", errno.EMFILE, ResourceExhausted),
        ("utime", errno.EIO, Unavailable),
    ],
)
@pytest.mark.parametrize("mode", ["os", "lockfile", "none"])
def test_failed_writes_leave_what_was_there(
    tmp_path: Path, call: str, code: int, expected: type[Error], mode: LockingMode
) -> None:
    faulty = FaultyFileSystem()
    face = FileFace(str(tmp_path / "root"), FileOptions(locking=mode), faulty)
    before = put(face, "a/k", b"before").generation
    faulty.fail(call, code)
    error = put(face, "a/k", b"after")
    assert type(error) is expected
    assert (error.key, error.store, error.operation) == ("a/k", str(tmp_path / "root"), "write")
    assert isinstance(error.__cause__, OSError)
    found = face.read("a/k", WHOLE)
    assert (found.value, found.stamp.generation) == (b"before", before)
    assert names(tmp_path) == ["a/k"]
    # And the store goes on.
    assert put(face, "a/k", b"after").generation not in (UNKNOWN, before)


def test_full_disk_while_creating(tmp_path: Path, face: FileFace, faulty: FaultyFileSystem) -> None:
    full_disk(faulty)
    assert isinstance(put(face, "a/k", b"value", NO_VALUE), ResourceExhausted)
    assert names(tmp_path) == []
    faulty.fail("mkdir", errno.ENOSPC)
    assert isinstance(put(face, "b/k", b"value", NO_VALUE), ResourceExhausted)


def test_one_write_of_a_group_fails_by_itself(
    tmp_path: Path, face: FileFace, faulty: FaultyFileSystem
) -> None:
    faulty.fail("write", errno.ENOSPC, when=lambda fd, data: bytes(data) == b"2", partial=0)
    group = [Replacement(f"a/{i}", b"%d" % i) for i in range(4)]
    outcomes = face.replace(group)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, False, True, False]
    assert names(tmp_path) == ["a/0", "a/1", "a/3"]


def test_deleting_works_on_a_full_disk(
    tmp_path: Path, face: FileFace, faulty: FaultyFileSystem
) -> None:
    stamp = put(face, "k", b"1")
    put(face, "l", b"1")
    faulty.fail("open", errno.ENOSPC, times=2)
    assert put(face, "l", None).generation == NO_VALUE
    # A condition cannot be checked without the lock.
    assert isinstance(put(face, "k", None, stamp.generation), ResourceExhausted)
    assert names(tmp_path) == ["k"]


def test_directory_that_cannot_be_flushed(face: FileFace, faulty: FaultyFileSystem) -> None:
    put(face, "k", b"before")
    calls: list[int] = []

    def second(fd: int) -> bool:
        calls.append(fd)
        return len(calls) == 2

    faulty.fail("fsync", errno.EIO, when=second)
    error = put(face, "k", b"after")
    # The value is in place, so it is not known what a crash would leave.
    assert type(error) is Unavailable
    assert face.read("k", WHOLE).value == b"after"


def test_parents_that_could_not_be_flushed_are_flushed_by_the_next_write(
    face: FileFace, faulty: FaultyFileSystem
) -> None:
    put(face, "settled", b"1")
    calls: list[int] = []

    def third(fd: int) -> bool:
        calls.append(fd)
        return len(calls) == 3

    # The value and its directory are flushed, and what leads to the directory is not.
    faulty.fail("fsync", errno.EIO, when=third)
    assert type(put(face, "a/b/k", b"1")) is Unavailable
    before = faulty.counts["fsync"]
    assert not isinstance(put(face, "a/b/k", b"2"), Exception)
    # The value, b, a and the root.
    assert faulty.counts["fsync"] - before == 4
    put(face, "a/b/k", b"3")
    assert faulty.counts["fsync"] - before == 6


def test_file_systems_that_cannot_flush_directories(
    face: FileFace, faulty: FaultyFileSystem
) -> None:
    put(face, "k", b"before")
    calls: list[int] = []

    def second(fd: int) -> bool:
        calls.append(fd)
        return len(calls) > 1

    faulty.fail("fsync", errno.EINVAL, times=100, when=second)
    assert not isinstance(put(face, "k", b"after"), Exception)


def test_directories_are_flushed_once_for_a_group(face: FileFace, faulty: FaultyFileSystem) -> None:
    put(face, "a/first", b"1")
    before = faulty.counts["fsync"]
    face.replace([Replacement(f"a/{i}", b"1") for i in range(10)])
    assert faulty.counts["fsync"] - before == 11
    before = faulty.counts["fsync"]
    put(face, "a/one", b"1")
    assert faulty.counts["fsync"] - before == 2


def test_nothing_is_flushed_without_sync(tmp_path: Path, faulty: FaultyFileSystem) -> None:
    face = FileFace(str(tmp_path / "root"), FileOptions(sync=False), faulty)
    put(face, "a/k", b"1")
    put(face, "a/k", None)
    list(face.remove(KeyRange()))
    assert faulty.counts["fsync"] == 0


# -- Network file systems -------------------------------------------------------------------------


def test_lost_reply_to_link_means_won(
    tmp_path: Path, face: FileFace, faulty: FaultyFileSystem
) -> None:
    """The server did it, the client asked again, and the server says that it is there."""
    faulty.fail("link", errno.EEXIST, after=True)
    stamp = put(face, "k", b"mine", NO_VALUE)
    assert stamp.generation == face.generation("k") != UNKNOWN
    assert face.read("k", WHOLE).value == b"mine"
    assert names(tmp_path) == ["k"]


@pytest.mark.parametrize("mode", ["os", "lockfile", "none"])
def test_lost_reply_to_rename_means_replaced(tmp_path: Path, mode: LockingMode) -> None:
    """The same of a value that is replaced: the file asked for again is not there any more."""
    faulty = FaultyFileSystem()
    face = FileFace(str(tmp_path / "root"), FileOptions(locking=mode), faulty)
    before = put(face, "k", b"before")
    faulty.fail("rename", errno.ENOENT, after=True)
    stamp = put(face, "k", b"mine", before.generation)
    assert stamp.generation == face.generation("k") != UNKNOWN
    assert face.read("k", WHOLE).value == b"mine"
    assert names(tmp_path) == ["k"]


def test_lost_reply_to_rename_where_there_are_no_links(
    tmp_path: Path, face: FileFace, faulty: FaultyFileSystem
) -> None:
    faulty.fail("link", errno.EPERM)
    faulty.fail("rename", errno.ENOENT, after=True)
    assert put(face, "k", b"mine", NO_VALUE).generation == face.generation("k") != UNKNOWN
    assert names(tmp_path) == ["k"]


def test_link_that_lost_to_another(face: FileFace, faulty: FaultyFileSystem) -> None:
    """Somebody else creates the key between our look and our link."""
    other = FileFace(face._root.path, FileOptions(), FaultyFileSystem())

    def sneak(*_: object, **__: object) -> bool:
        put(other, "k", b"theirs", NO_VALUE)
        return False

    faulty.fail("link", errno.EIO, when=sneak)
    assert put(face, "k", b"mine", NO_VALUE).generation == UNKNOWN
    assert face.read("k", WHOLE).value == b"theirs"


@pytest.mark.parametrize("mode", ["os", "lockfile", "none"])
@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def test_file_systems_without_links(tmp_path: Path, mode: LockingMode, code: int) -> None:
    faulty = FaultyFileSystem()
    face = FileFace(str(tmp_path / "root"), FileOptions(locking=mode, sync=False), faulty)
    faulty.fail("link", code, times=10)
    group = [Replacement("k", b"1", NO_VALUE), Replacement("k", b"2", NO_VALUE)]
    first, second = face.replace(group)
    assert first.generation == face.generation("k")  # type: ignore[union-attr]
    assert second.generation == UNKNOWN  # type: ignore[union-attr]
    assert face.read("k", WHOLE).value == b"1"
    assert names(tmp_path) == ["k"]


def test_stale_handles_are_opened_again(face: FileFace, faulty: FaultyFileSystem) -> None:
    put(face, "k", b"value")
    faulty.fail("open_no_links", errno.ESTALE)
    assert face.read("k", WHOLE).value == b"value"
    faulty.fail("pread", errno.ESTALE)
    assert face.read("k", WHOLE).value == b"value"
    opened = face.open("k")
    assert opened is not None
    faulty.fail("read_into", errno.ESTALE)
    buffer = bytearray(5)
    opened.read_into(memoryview(buffer), 0)
    assert buffer == b"value"
    opened.close()


def test_stale_handle_of_a_replaced_value(face: FileFace, faulty: FaultyFileSystem) -> None:
    put(face, "k", b"value")
    opened = face.open("k")
    assert opened is not None
    put(face, "k", b"other")
    faulty.fail("read_into", errno.ESTALE)
    with pytest.raises(Aborted):
        opened.read_into(memoryview(bytearray(5)), 0)
    opened.close()


def test_handle_that_stays_stale(face: FileFace, faulty: FaultyFileSystem) -> None:
    put(face, "k", b"value")
    faulty.fail("open_no_links", errno.ESTALE, times=2)
    with pytest.raises(Unavailable) as caught:
        face.read("k", WHOLE)
    assert (caught.value.key, caught.value.operation) == ("k", "read")


def test_file_that_is_cut_off_while_it_is_open(tmp_path: Path, face: FileFace) -> None:
    put(face, "k", b"0123456789")
    opened = face.open("k")
    assert opened is not None
    with (tmp_path / "root" / "k").open("r+b") as file:
        file.truncate(4)
    with pytest.raises(OutOfRange) as caught:
        opened.read_into(memoryview(bytearray(10)), 0)
    assert caught.value.key == "k"
    opened.close()


def test_vanished_file_can_still_be_read(face: FileFace) -> None:
    put(face, "k", b"value")
    opened = face.open("k")
    assert opened is not None
    put(face, "k", None)
    buffer = bytearray(5)
    opened.read_into(memoryview(buffer), 0)
    opened.close()
    assert buffer == b"value"


# -- Locks ----------------------------------------------------------------------------------------


class _Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("mode", ["os", "lockfile"])
def test_lock_that_is_never_given_up(tmp_path: Path, mode: LockingMode) -> None:
    faulty, clock = FaultyFileSystem(), _Clock()
    faulty.monotonic = clock.monotonic  # type: ignore[method-assign,assignment]
    faulty.sleep = clock.sleep  # type: ignore[method-assign,assignment]
    face = FileFace(str(tmp_path / "root"), FileOptions(locking=mode), faulty)
    put(face, "k", b"before")
    lock = tmp_path / "root" / "k.__lock"
    with lock.open("wb") as held:
        assert faulty.try_lock(held.fileno())
        error = put(face, "k", b"after")
        assert isinstance(error, DeadlineExceeded)
        assert str(lock) in str(error)
        assert 60 <= clock.now < 61
    assert face.read("k", WHOLE).value == b"before"
    lock.unlink(missing_ok=True)
    assert not isinstance(put(face, "k", b"after"), Exception)


def test_delete_range_leaves_the_locks_of_the_living(
    tmp_path: Path, face: FileFace, faulty: FaultyFileSystem
) -> None:
    put(face, "a/k", b"1")
    living, dead = tmp_path / "root/a/living.__lock", tmp_path / "root/a/dead.__lock"
    dead.write_bytes(b"half a val")
    with living.open("wb") as held:
        assert faulty.try_lock(held.fileno())
        list(face.remove(KeyRange()))
        assert names(tmp_path) == ["a/living.__lock"]
    list(face.remove(KeyRange()))
    assert names(tmp_path) == []


def test_delete_range_leaves_lock_files_of_others(tmp_path: Path) -> None:
    """Whether their writer lives, nobody can tell."""
    options = FileOptions(locking="lockfile")
    face = FileFace(str(tmp_path / "root"), options, FaultyFileSystem())
    put(face, "a/k", b"1")
    (tmp_path / "root/a/l.__lock").write_bytes(b"half a val")
    list(face.remove(KeyRange()))
    assert names(tmp_path) == ["a/l.__lock"]


def test_groups_that_lock_in_opposite_order(tmp_path: Path) -> None:
    """While one waits for the other's lock, it gives up its own."""
    faulty, clock = FaultyFileSystem(), _Clock()
    faulty.sleep = clock.sleep  # type: ignore[method-assign,assignment]
    faulty.monotonic = clock.monotonic  # type: ignore[method-assign,assignment]
    face = FileFace(str(tmp_path / "root"), FileOptions(), faulty)
    put(face, "a", b"0")
    lock = tmp_path / "root" / "b.__lock"
    with lock.open("wb") as held:
        assert faulty.try_lock(held.fileno())

        def other_group_waits_for_a(*_: Any, **__: Any) -> None:
            other = FileFace(str(tmp_path / "root"), FileOptions(), FaultyFileSystem())
            assert put(other, "a", b"2").generation
            lock.unlink(missing_ok=True)

        faulty.sleep = other_group_waits_for_a  # type: ignore[method-assign,assignment]
        outcomes = face.replace([Replacement("a", b"1"), Replacement("b", b"1")])
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert face.read("a", WHOLE).value == b"2"
    assert face.read("b", WHOLE).value == b"1"


def test_directory_that_is_removed_under_a_write(
    tmp_path: Path, face: FileFace, faulty: FaultyFileSystem
) -> None:
    put(face, "a/b/k", b"before")
    other = FileFace(face._root.path, FileOptions(), FaultyFileSystem())

    removed = []

    def remove_once(*_: object, **__: object) -> bool:
        if not removed:
            removed.extend(other.remove(KeyRange()))
        return False

    faulty.fail("open", errno.EIO, when=remove_once)
    outcomes = face.replace([Replacement("a/b/k", b"1"), Replacement("a/b/l", b"2", NO_VALUE)])
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert names(tmp_path) == ["a/b/k", "a/b/l"]


def test_directory_that_is_removed_while_it_is_made(
    tmp_path: Path, face: FileFace, faulty: FaultyFileSystem
) -> None:
    faulty.fail("mkdir", errno.ENOENT)
    assert not isinstance(put(face, "a/b/k", b"1"), Exception)
    assert names(tmp_path) == ["a/b/k"]


def test_file_systems_without_locks(
    tmp_path: Path, face: FileFace, faulty: FaultyFileSystem
) -> None:
    faulty.fail("try_lock", errno.ENOLCK)
    error = put(face, "k", b"1")
    assert isinstance(error, Unimplemented)
    assert "lockfile" in str(error)


def test_directory_that_is_always_removed(face: FileFace, faulty: FaultyFileSystem) -> None:
    faulty.fail("open", errno.ENOENT, times=1000)
    assert isinstance(put(face, "a/k", b"1"), Unavailable)


def test_clocks_that_stand_still(tmp_path: Path) -> None:
    faulty = FaultyFileSystem()
    faulty.time_ns = lambda: 1_700_000_000_000_000_000  # type: ignore[method-assign,assignment]
    face = FileFace(str(tmp_path / "root"), FileOptions(sync=False), faulty)
    seen = {put(face, "k", b"same").generation for _ in range(100)}
    assert len(seen) == 100


def test_nothing_stays_open(tmp_path: Path, face: FileFace, faulty: FaultyFileSystem) -> None:
    def opened() -> int:
        return faulty.counts["open"] + faulty.counts["open_no_links"] - faulty.counts["close"]

    put(face, "a/b/k", b"1")
    balance = opened()
    for code in (errno.ENOSPC, errno.EIO):
        for call in ("write", "fsync", "rename", "link", "utime", "stat", "fstat"):
            faulty.fail(call, code)
            put(face, "a/b/k", b"2")
            put(face, f"new{call}{code}/k", b"2", NO_VALUE)
            put(face, "a/b/k", None)
            for fault in faulty._faults[call]:
                fault.times = 0
    list(face.walk(KeyRange()))
    walk = face.walk(KeyRange())
    next(walk)
    walk.close()
    list(face.remove(KeyRange()))
    face.read("a/b/k", WHOLE)
    assert opened() == balance
