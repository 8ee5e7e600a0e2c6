"""`TensorStore.summary`: the repr of an array, and how much of it is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

import asynctensor as ts
from asynctensor.errors import Unimplemented


async def test_stored_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    array = await ts.open(
        f"file://{tmp_path}/|zarr3:",
        create=True,
        dtype="int32",
        shape=[100, 100],
        chunk_layout=ts.ChunkLayout(chunk_shape=[10, 100]),
    )
    empty = await array.summary()
    assert (empty.stored_bytes, empty.stored_chunks, empty.nbytes) == (0, 0, 40_000)
    assert "0 B in 0 values" in str(empty)
    await array[:35].write(7)
    found = await array.summary()
    assert found.stored_chunks == 4
    assert found.stored_bytes == 16_000
    assert found.stored_bytes == zarr.open_array(tmp_path).nbytes_stored() - metadata_size(tmp_path)
    assert "15.6 KiB in 4 values, ratio 2.5" in str(found)
    part = await array[:10].summary()
    assert (part.stored_bytes, part.stored_chunks) == (4000, 1)
    # All that the array shows of itself, and that.
    assert [line for line in array._display().text().splitlines() if line not in str(found)] == []
    assert "15.6 KiB in 4 values" in found._repr_html_()


def metadata_size(path: Path) -> int:
    return (path / "zarr.json").stat().st_size


async def test_what_stores_no_chunks(tmp_path: Path) -> None:
    with pytest.raises(Unimplemented):
        await ts.array(np.ones(3)).summary()


async def test_of_several_arrays() -> None:
    arrays = [
        await ts.open(f"memory://{name}/|zarr3:", create=True, dtype="int8", shape=[8])
        for name in "ab"
    ]
    for array in arrays:
        await array.write(1)
    both = ts.concat(arrays, axis=0)
    summary = await both.summary()
    assert (summary.stored_bytes, summary.stored_chunks) == (16, 2)
