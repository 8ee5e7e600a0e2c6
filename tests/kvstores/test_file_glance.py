"""A glance says the same as a look at the file, or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.glance import Glance
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileFace
from asynctensor.storage.generation import UNKNOWN
from asynctensor.storage.kvstore import Replacement


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
    class Remote(Glance):
        def _is_local(self, fd: int) -> bool:
            return False

    write(face, "x", b"1")
    face._file_system.glance = Remote()
    assert face.glance("x") is None
    assert face.generation("x")


def test_no_descriptor_is_left_open(face: FileFace) -> None:
    write(face, "x", b"1")
    before = len(os.listdir("/proc/self/fd"))
    for key in ("x", "missing", "x/y") * 50:
        face.glance(key)
    assert len(os.listdir("/proc/self/fd")) == before
