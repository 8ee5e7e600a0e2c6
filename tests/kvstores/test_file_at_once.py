"""What is done at once is the same as what takes waiting, or nothing."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from asynctensor.kvstores.file.at_once import AtOnce
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileFace
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.kvstore import UNREAD, Replacement


@pytest.fixture
def face(tmp_path: Path) -> FileFace:
    return FileFace(str(tmp_path), FileOptions(), FileSystem())


def write(face: FileFace, key: str, value: bytes) -> bytes:
    (stamp,) = face.replace([Replacement(key, value)])
    assert not isinstance(stamp, Exception)
    assert stamp.generation != UNKNOWN
    return stamp.generation


def test_a_glance_sees_each_new_version(face: FileFace) -> None:
    seen = set()
    for value in (b"a", b"b", b"c"):
        generation = write(face, "x/y", value)
        assert face.generation("x/y") == generation
        assert face.glance("x/y") == generation
        seen.add(generation)
    assert len(seen) == 3


def test_a_glance_before_the_root_is_known_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")
    face = FileFace(str(tmp_path), FileOptions(), FileSystem())
    assert face.glance("x") is None
    face.generation("x")
    assert face.glance("x") == face.generation("x")


def test_what_is_no_plain_file_takes_a_real_look(face: FileFace, tmp_path: Path) -> None:
    write(face, "dir/file", b"1")
    (tmp_path / "link").symlink_to("dir/file")
    (tmp_path / "through").symlink_to("dir")
    os.mkfifo(tmp_path / "pipe")
    assert face.glance("dir/file") is not None
    for key in ("missing", "dir", "dir/missing", "link", "through/file", "pipe"):
        assert face.glance(key) is None


def test_file_systems_of_other_machines_are_not_believed(face: FileFace) -> None:
    class Remote(AtOnce):
        def _is_local(self, fd: int, device: tuple[int, int]) -> bool:
            return False

    write(face, "x", b"1")
    face._file_system.at_once = Remote()
    assert face.glance("x") is None
    assert face.generation("x")


def test_no_descriptor_is_left_open(face: FileFace) -> None:
    write(face, "x", b"1")
    before = len(os.listdir("/proc/self/fd"))
    for key in ("x", "missing", "x/y") * 50:
        face.glance(key)
    assert len(os.listdir("/proc/self/fd")) == before


def read(path: Path, size: int) -> bytes | None:
    place = ctypes.create_string_buffer(size)
    count = AtOnce().read(str(path), ctypes.addressof(place), size)
    return None if count < 0 else place.raw[:count]


def test_whole_files_are_read(tmp_path: Path) -> None:
    content = os.urandom(10_000)
    (tmp_path / "x").write_bytes(content)
    assert read(tmp_path / "x", 10_001) == content
    assert read(tmp_path / "x", 10_000) == content


def test_what_takes_a_closer_look_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "link").symlink_to("x")
    os.mkfifo(tmp_path / "pipe")
    assert read(tmp_path / "x", 4) is None
    for name in ("empty", "link", "pipe", "missing", "."):
        assert read(tmp_path / name, 100) is None
    before = len(os.listdir("/proc/self/fd"))
    for name in ("x", "empty", "missing") * 20:
        read(tmp_path / name, 100)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_is_not_in_memory_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x"
    content = os.urandom(1 << 20)
    with path.open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    # Some file systems keep the pages all the same; then all of it is there.
    assert read(path, len(content)) in (None, content)


def test_groups_are_read_as_each_value_is(face: FileFace) -> None:
    values = {f"c/{k}": os.urandom(k * 10) for k in range(30)}
    for key, value in values.items():
        write(face, key, value)
    keys = [*values, "c/missing", "c"]
    size = 200
    buffer = memoryview(bytearray(size * len(keys)))
    expected = [v if 0 < len(v) <= size else UNREAD for v in values.values()]
    for at_once in (AtOnce(), AtOnce(enabled=False)):
        face._file_system.at_once = at_once
        found = face.read_group(keys, buffer, size)
        assert [bytes(f) if isinstance(f, memoryview) else f for f in found] == [
            *expected, None, found[-1]
        ]  # fmt: skip
        assert not isinstance(found[-1], memoryview)
    assert face.read_group(["../x", *keys], buffer, size) == [UNREAD] * (len(keys) + 1)
    assert face.read_group([], buffer, size) == []
