"""A full disk, a read-only folder, vanished files: typed, and what was there is still there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import (
    Error,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.testing.faults import FaultyFileSystem, full_disk
from asynctensor.testing.open_over import open_over

METADATA = {
    "shape": [40],
    "data_type": "int32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4]}},
}


@pytest.fixture
def disk() -> FaultyFileSystem:
    return FaultyFileSystem()


@pytest.fixture
async def store(tmp_path: Path, disk: FaultyFileSystem) -> ts.TensorStore:
    files = FileStore(str(tmp_path / "root"), FileOptions(), file_system=disk)
    made = await open_over(files, "a/", metadata=METADATA)
    await made.write(np.arange(40, dtype="i4"))
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


async def test_full_disk(tmp_path: Path, store: ts.TensorStore, disk: FaultyFileSystem) -> None:
    before = files(tmp_path)
    for view in (store, store[1::2], store[5]):
        full_disk(disk, times=100)
        with pytest.raises(ResourceExhausted) as caught:
            await view.write(7)
        for fault in disk._faults["write"]:
            fault.times = 0
        assert isinstance(caught.value, OSError)
        assert "a/c/" in (caught.value.key or "")
        assert "a/" in (caught.value.array or "")
        assert files(tmp_path) == before, "something was lost, or left behind"
    assert (await store.read() == np.arange(40)).all()


async def test_full_disk_while_resizing(
    tmp_path: Path, store: ts.TensorStore, disk: FaultyFileSystem
) -> None:
    before = files(tmp_path)
    full_disk(disk, times=100)
    with pytest.raises(ResourceExhausted, match=r"zarr\.json"):
        await store.resize(exclusive_max=[4])
    assert files(tmp_path) == before
    assert (await store.read() == np.arange(40)).all()


@pytest.mark.parametrize("call", ["fsync", "rename"])
async def test_failing_calls(
    tmp_path: Path, store: ts.TensorStore, disk: FaultyFileSystem, call: str
) -> None:
    disk.fail(call, errno.EIO, times=100)
    with pytest.raises(Error):
        await store[1::2].write(7)
    for fault in disk._faults[call]:
        fault.times = 0
    data = await store.read()
    for cell in range(10):
        part, old = data[4 * cell : 4 * cell + 4].tolist(), [4 * cell + i for i in range(4)]
        assert part in (old, [old[0], 7, old[2], 7])
    await store.write(3)
    assert (await store.read() == 3).all()


async def test_failing_reads(store: ts.TensorStore, disk: FaultyFileSystem) -> None:
    disk.fail("open_no_links", errno.EACCES)
    with pytest.raises(PermissionDenied, match="a/c/"):
        await store.read()
    disk.fail("open_no_links", errno.EIO)
    with pytest.raises(Unavailable, match="a/c/"):
        await store.read()
    assert (await store.read() == np.arange(40)).all()


async def test_too_many_open_files(store: ts.TensorStore, disk: FaultyFileSystem) -> None:
    disk.fail("open_no_links", errno.EMFILE)
    with pytest.raises(ResourceExhausted):
        await store.read()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Turns a folder read-only for anybody, root included, where a test asks for it."""
    folder = tmp_path / "root"
    yield folder
    set_mode(folder, 0o755)


def set_mode(folder: Path, mode: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(mode)


async def test_read_only_folder(
    read_only: Path, store: ts.TensorStore, disk: FaultyFileSystem
) -> None:
    before = files(read_only)
    set_mode(read_only, 0o555)
    # Root may write everywhere: then the file system says no itself.
    for call in ("open", "mkdir", "rename", "link", "unlink"):
        disk.fail(call, errno.EROFS, times=1000)
    for change in (
        lambda: store.write(7),
        lambda: store[3].write(7),
        lambda: store.resize(exclusive_max=[4]),
        lambda: store.kvstore.delete_range(ts.KvStore.KeyRange()),
    ):
        with pytest.raises(PermissionDenied) as caught:
            await change()
        assert isinstance(caught.value, PermissionError)
    assert files(read_only) == before
    assert (await store.read() == np.arange(40)).all()


async def test_vanished_files(tmp_path: Path, store: ts.TensorStore) -> None:
    folder = tmp_path / "root" / "a"
    os.unlink(folder / "c" / "3")
    expected = np.arange(40)
    expected[12:16] = 0
    assert (await store.read() == expected).all()
    os.unlink(folder / "zarr.json")
    with pytest.raises(NotFound, match=r"zarr\.json"):
        await store.resolve()
    with pytest.raises(NotFound, match=r"zarr\.json"):
        await store.resize(exclusive_max=[80])
    # Its chunks are still there, and tell no format.
    with pytest.raises(FailedPrecondition, match="detect format"):
        await ts.open(folder)
    assert (await store.read() == expected).all()
    assert sorted(p.name for p in (folder / "c").iterdir()) == sorted("012456789")


async def test_missing_chunks_are_errors_where_that_is_asked(tmp_path: Path) -> None:
    given: dict[str, Any] = {"fill_missing_data_reads": False}
    spec = {"driver": "zarr3", "kvstore": f"file://{tmp_path}/b/", "metadata": METADATA, **given}
    store = await ts.open(spec, create=True)
    await store[:8].write(1)
    assert (await store[:8].read() == 1).all()
    with pytest.raises(NotFound, match=r"fill_missing_data_reads.*c/[2-9]"):
        await store.read()
    assert store.spec().to_json()["fill_missing_data_reads"] is False


async def test_a_directory_where_a_chunk_should_be(tmp_path: Path, store: ts.TensorStore) -> None:
    chunk = tmp_path / "root" / "a" / "c" / "3"
    chunk.unlink()
    chunk.mkdir()
    (chunk / "x").write_bytes(b"1")
    assert (await store[12:16].read() == 0).all()
    with pytest.raises(Error, match="a/c/3"):
        await store[13].write(1)
    assert (chunk / "x").read_bytes() == b"1"
