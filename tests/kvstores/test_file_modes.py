"""``file_io_mode``: memory maps and direct I/O give the same bytes, or give way."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import InvalidArgument, OutOfRange
from asynctensor.kvstores.file.direct_file import DirectFile
from asynctensor.kvstores.file.file_system import FileSystem
from asynctensor.kvstores.file.mapped_file import LEAST_MAPPED, MappedFile
from asynctensor.kvstores.file.open_file import OpenFile
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.kvstore import UNREAD, ReadOptions
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite

LARGE = np.random.default_rng(0).bytes(3 * 2**20 + 77)
VALUES = {"empty": b"", "small": b"hello", "block": LARGE[:4096], "large": LARGE}


class TestContractWithMaps(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileStore(str(tmp_path), FileOptions(sync=False, mode="memmap"))


class TestContractWithDirectReads(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileStore(str(tmp_path), FileOptions(sync=False, mode="direct"))


def _store(root: Path, mode: Any, file_system: FileSystem | None = None) -> FileStore:
    for key, value in VALUES.items():
        (root / key).write_bytes(value)
    options = FileOptions(sync=False, mode=mode)
    return FileStore(str(root), options, file_system=file_system)


def _check(store: FileStore, ranges: Sequence[tuple[int, int]] = ()) -> list[type[OpenFile]]:
    """Reads all values, whole and in part, in all ways; tells how they were opened."""
    kinds = []
    for key, value in VALUES.items():
        opened = store.blocking.open(key)
        assert opened is not None
        kinds.append(type(opened))
        buffer = bytearray(len(value))
        opened.read_into(memoryview(buffer), 0)
        assert bytes(buffer) == value
        for start, stop in [(0, 0), (1, 3), (len(value) - 1, len(value)), *ranges]:
            start, stop = sorted((max(0, min(start, len(value))), max(0, min(stop, len(value)))))
            part = bytearray(stop - start)
            opened.read_into(memoryview(part), start)
            assert bytes(part) == value[start:stop]
            found = store.blocking.read(key, ReadOptions(ByteRange(start, stop)))
            assert found.value == value[start:stop]
        for offset in (len(value), len(value) + 5000, -1):
            with pytest.raises(OutOfRange):
                opened.read_into(memoryview(bytearray(1)), offset)
        opened.close()
        opened.close()
    return kinds


@given(st.lists(st.tuples(*[st.integers(0, len(LARGE))] * 2), max_size=4))
@settings(deadline=None, max_examples=20)
def test_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, ranges: list[tuple[int, int]]
) -> None:
    for mode in ("default", "memmap", "direct"):
        _check(_store(tmp_path_factory.mktemp(mode), mode), ranges)


def test_only_large_local_values_are_mapped(tmp_path: Path) -> None:
    store = _store(tmp_path, "memmap")
    local = store.blocking.open("large")
    assert local is not None
    assert local.is_local()
    local.close()
    assert _check(store) == [OpenFile, OpenFile, OpenFile, MappedFile]
    assert len(VALUES["block"]) < LEAST_MAPPED < len(LARGE)


class _Remote(FileSystem):
    """Everything is on another machine."""

    def __init__(self) -> None:
        super().__init__()
        self.glance._bound = None


def test_files_of_other_machines_are_not_mapped(tmp_path: Path) -> None:
    assert set(_check(_store(tmp_path, "memmap", _Remote()))) == {OpenFile}


def test_files_written_in_place_are_not_mapped(tmp_path: Path) -> None:
    _store(tmp_path, "memmap")
    options = FileOptions(sync=False, locking="non_atomic", mode="memmap")
    assert set(_check(FileStore(str(tmp_path), options))) == {OpenFile}


def test_a_mapped_value_outlives_its_replacement(tmp_path: Path) -> None:
    store = _store(tmp_path, "memmap")
    opened = store.blocking.open("large")
    assert isinstance(opened, MappedFile)
    kvstore = ts.KvStore(store)
    kvstore["large"] = b"new"
    buffer = bytearray(len(LARGE))
    opened.read_into(memoryview(buffer), 0)
    assert bytes(buffer) == LARGE
    opened.close()
    assert kvstore["large"] == b"new"


class _Watched(FileSystem):
    """Tells what was read directly; may refuse it, at once or when it comes to reading."""

    def __init__(self, refuse: str = "") -> None:
        super().__init__()
        self.refuse = refuse
        self.direct: list[bool] = []

    def set_direct(self, fd: int, on: bool) -> None:
        if self.refuse == "at once":
            raise OSError(errno.EINVAL, "no direct I/O")
        if self.refuse != "later":
            super().set_direct(fd, on)

    def read_into(self, fd: int, buffer: memoryview, offset: int) -> int:
        direct = bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)
        self.direct.append(direct)
        if self.refuse == "later" and offset % 8192 == 0 and len(buffer) % 4096 == 0:
            raise OSError(errno.EINVAL, "blocks are larger here")
        assert not direct or (offset % 4096 == 0 and len(buffer) % 4096 == 0)
        return super().read_into(fd, buffer, offset)


def test_direct_reads_are_direct(tmp_path: Path) -> None:
    file_system = _Watched()
    assert set(_check(_store(tmp_path, "direct", file_system))) == {DirectFile}
    assert all(file_system.direct)
    store = FileStore(str(tmp_path), FileOptions(mode="direct"))
    assert list(store.blocking.read_group(["small"], memoryview(bytearray(9)), 9)) == [UNREAD]


def test_where_there_is_no_direct_io(tmp_path: Path) -> None:
    file_system = _Watched("at once")
    _check(_store(tmp_path, "direct", file_system))
    assert not any(file_system.direct)


def test_where_blocks_are_larger(tmp_path: Path) -> None:
    for key, value in VALUES.items():
        (tmp_path / key).write_bytes(value)
    file_system = _Watched("later")
    store = FileStore(str(tmp_path), FileOptions(mode="direct"), file_system=file_system)
    opened = store.blocking.open("small")
    assert isinstance(opened, DirectFile)
    buffer = bytearray(5)
    opened.read_into(memoryview(buffer), 0)
    assert bytes(buffer) == b"hello"
    assert not opened.is_direct
    opened.close()


@pytest.mark.parametrize("mode", ["memmap", "direct"])
@pytest.mark.parametrize("sharded", [False, True])
def test_arrays(mode: str, sharded: bool, tmp_path: Path) -> None:
    context = ts.Context({"file_io_mode": {"mode": mode}, "file_io_sync": False})
    data = np.arange(300 * 700, dtype="int64").reshape(300, 700)
    layout = {"write_chunk": {"shape": [200, 400]}}
    if sharded:
        layout["read_chunk"] = {"shape": [50, 100]}
    array = ts.open(
        f"file://{tmp_path}/|zarr3:", create=True, dtype="int64", shape=data.shape,
        chunk_layout=ts.ChunkLayout(layout), context=context,
    ).result()  # fmt: skip
    array[...] = data
    assert (array.read().result() == data).all()
    assert (array[17:203, 5:500:3].read().result() == data[17:203, 5:500:3]).all()


def test_modes_are_checked() -> None:
    with pytest.raises(InvalidArgument, match="direct"):
        FileOptions(mode="x")  # type: ignore[arg-type]
